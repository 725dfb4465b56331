use super::*;

fn digest() -> String {
    format!("sha256:{}", "a1".repeat(32))
}

#[test]
fn people_write_less_than_registries_need() {
    let digested = format!("nginx@{}", digest());
    let both = format!("nginx:1@{}", digest());
    let full_digested = format!("docker.io/library/nginx@{}", digest());
    let full_both = format!("docker.io/library/nginx:1@{}", digest());
    let cases = [
        ("nginx", "docker.io/library/nginx", "nginx"),
        ("nginx:1.27", "docker.io/library/nginx:1.27", "nginx:1.27"),
        ("a/b", "docker.io/a/b", "a/b"),
        ("docker.io/nginx", "docker.io/library/nginx", "nginx"),
        ("index.docker.io/a/b:c", "docker.io/a/b:c", "a/b:c"),
        ("localhost/x", "localhost/x", "localhost/x"),
        ("host:5000/x:y", "host:5000/x:y", "host:5000/x:y"),
        ("[::1]:5000/x", "[::1]:5000/x", "[::1]:5000/x"),
        ("Example/x", "Example/x", "Example/x"),
        ("reg.example.com/a.b/c__d/e---f:v_1.0-x", "reg.example.com/a.b/c__d/e---f:v_1.0-x", "reg.example.com/a.b/c__d/e---f:v_1.0-x"),
        ("library/a/b", "docker.io/library/a/b", "library/a/b"),
        (&digested, &full_digested, &digested),
        (&both, &full_both, &both),
    ];
    for (text, full, familiar) in cases {
        let reference = ImageReference::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(reference.to_string(), full, "{text}");
        assert_eq!(reference.familiar(), familiar, "{text}");
    }
}

#[test]
fn what_is_no_reference_is_refused() {
    let id = "a1".repeat(32);
    let long = format!("x/{}", "a".repeat(256));
    let long_tag = format!("x:{}", "a".repeat(129));
    let short_digest = format!("x@sha256:{}", "a".repeat(40));
    let capital_digest = format!("x@sha256:{}", "A1".repeat(32));
    let other_digest = format!("x@md5:{}", "a".repeat(32));
    let texts = [
        "",
        "UPPER",
        "a/B",
        "a b",
        "-a",
        "a-",
        "a//b",
        "/a",
        "a/",
        "a:",
        ":a",
        "a:-x",
        "a@",
        "a@sha256",
        "a@sha256:xyz",
        "a___b",
        "a..b",
        "a._b",
        "host:port/x",
        "host:/x",
        "[::1/x",
        "[zz]/x",
        "[]/x",
        "a:b:c",
        "a:b/c:d/e",
        "é",
        "a\n",
        "http://a/b",
        "a/b:c@d@e",
        "user@host/x",
        &id,
        &long,
        &long_tag,
        &short_digest,
        &capital_digest,
        &other_digest,
    ];
    for text in texts {
        assert!(ImageReference::parse(text).is_err(), "{text:?} is read as {:?}", ImageReference::parse(text));
    }
}

#[test]
fn the_default_tag_goes_where_nothing_is_named() {
    let tagged = |text: &str| ImageReference::parse(text).map(|r| r.with_default_tag().familiar());
    assert_eq!(tagged("nginx").as_deref(), Ok("nginx:latest"));
    assert_eq!(tagged("nginx:1").as_deref(), Ok("nginx:1"));
    let digested = format!("nginx@{}", digest());
    assert_eq!(tagged(&digested), Ok(digested));
}
