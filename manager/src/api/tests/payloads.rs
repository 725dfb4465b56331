use super::*;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use swarm_types::SecretId;

fn payload(name: &str, bytes: &[u8]) -> Value {
    json!({"Name": name, "Labels": {"a": "1"}, "Data": STANDARD.encode(bytes)})
}

/// Creates a secret or config and returns its id.
async fn create(world: &World, kind: &str, name: &str, bytes: &[u8]) -> String {
    let (status, body) = world.post(&format!("/{kind}s/create"), &payload(name, bytes)).await;
    assert_eq!(status, StatusCode::CREATED, "{body}");
    assert_eq!(body.as_object().map(serde_json::Map::len), Some(1));
    body["ID"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn what_was_created_reads_back_but_for_the_bytes_of_secrets() {
    let world = World::new();
    for kind in ["secret", "config"] {
        let id = create(&world, kind, "first", b"bytes").await;
        for input in ["first", &id, &id[..20]] {
            let (status, object) = world.get(&format!("/{kind}s/{input}")).await;
            assert_eq!((status, object["ID"].as_str()), (StatusCode::OK, Some(id.as_str())));
            assert_eq!((&object["Spec"]["Name"], &object["Spec"]["Labels"]), (&json!("first"), &json!({"a": "1"})));
            let expected = (kind == "config").then(|| json!(STANDARD.encode(b"bytes")));
            assert_eq!(object["Spec"].get("Data"), expected.as_ref());
        }
        let (_, list) = world.get(&format!("/{kind}s")).await;
        assert_eq!(list[0]["Spec"].get("Data").is_some(), kind == "config");
        let (status, body) = world.get(&format!("/{kind}s/FIRST")).await;
        assert_eq!((status, message(&body)), (StatusCode::NOT_FOUND, format!("{kind} FIRST not found").as_str()));
    }
}

#[tokio::test]
async fn a_name_is_taken_once_ignoring_case() {
    let world = World::new();
    for kind in ["secret", "config"] {
        create(&world, kind, "Key", b"x").await;
        let (status, body) = world.post(&format!("/{kind}s/create"), &payload("key", b"y")).await;
        let text = format!("rpc error: code = AlreadyExists desc = {kind} key already exists");
        assert_eq!((status, message(&body)), (StatusCode::CONFLICT, text.as_str()));
    }
}

#[tokio::test]
async fn what_cannot_be_stored_is_refused() {
    let world = World::new();
    let name = "invalid name, only 64 [a-zA-Z0-9-_.] characters allowed, and the start and end character must be [a-zA-Z0-9]";
    let cases = [
        ("secret", payload("", b"x"), "name must be provided"),
        ("config", payload("-a", b"x"), name),
        ("secret", payload("a", b""), "secret data must be larger than 0 and less than 512000 bytes"),
        ("secret", payload("a", &vec![0; 512_000]), "secret data must be larger than 0 and less than 512000 bytes"),
        ("config", payload("a", &vec![0; 1_024_000]), "config data must be larger than 0 and less than 1024000 bytes"),
    ];
    for (kind, body, text) in cases {
        let (status, body) = world.post(&format!("/{kind}s/create"), &body).await;
        let text = format!("rpc error: code = InvalidArgument desc = {text}");
        assert_eq!((status, message(&body)), (StatusCode::BAD_REQUEST, text.as_str()));
    }
    let (status, _) = world.post("/secrets/create", &json!({"Name": "a", "Data": "???"})).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let (status, _) = world.post("/secrets/create", &json!({"Name": "a", "Driver": {"Name": "vault"}})).await;
    assert_eq!(status, StatusCode::NOT_IMPLEMENTED);
    assert_eq!(world.store.state().secrets().count() + world.store.state().configs().count(), 0);
}

#[tokio::test]
async fn the_largest_config_is_stored() {
    let world = World::new();
    create(&world, "config", "large", &vec![7; 1_023_999]).await;
    create(&world, "secret", "large", &vec![7; 511_999]).await;
    assert_eq!(world.store.state().config_named("large").map(|c| c.spec.data.bytes().len()), Some(1_023_999));
}

#[tokio::test]
async fn only_labels_change_and_only_at_the_version_read() {
    let world = World::new();
    for kind in ["secret", "config"] {
        create(&world, kind, "key", b"bytes").await;
        let (_, before) = world.get(&format!("/{kind}s/key")).await;
        let path = |version: &str| format!("/{kind}s/key/update?version={version}");
        let version = before["Version"]["Index"].to_string();
        let (status, body) = world.post(&path("x"), &before["Spec"]).await;
        assert_eq!((status, message(&body)), (StatusCode::BAD_REQUEST, format!("invalid {kind} version").as_str()));
        for other in [with(before["Spec"].clone(), "/Name", json!("other")), with(before["Spec"].clone(), "/Data", json!("AAAA"))] {
            let (status, body) = world.post(&path(&version), &other).await;
            let text = "rpc error: code = InvalidArgument desc = only updates to Labels are allowed";
            assert_eq!((status, message(&body)), (StatusCode::BAD_REQUEST, text));
        }
        let labelled = with(before["Spec"].clone(), "/Labels", json!({"b": "2"}));
        assert_eq!(world.post(&path(&version), &labelled).await, (StatusCode::OK, Value::Null));
        let (status, body) = world.post(&path(&version), &labelled).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(message(&body), "rpc error: code = Unknown desc = update out of sequence");
        let (_, after) = world.get(&format!("/{kind}s/key")).await;
        assert_eq!(after["Spec"]["Labels"], json!({"b": "2"}));
    }
    assert_eq!(world.store.state().secret_named("key").map(|s| s.spec.data.bytes().to_vec()), Some(b"bytes".to_vec()));
}

#[tokio::test]
async fn the_list_of_payloads_is_filtered() {
    let world = World::new();
    for name in ["one", "only", "two"] {
        create(&world, "secret", name, b"x").await;
        create(&world, "config", name, b"x").await;
    }
    for (filters, expected) in [
        (vec![("name", "on")], vec!["one", "only"]),
        (vec![("names", "one"), ("names", "on")], vec!["one"]),
        (vec![("label", "a=1"), ("name", "t")], vec!["two"]),
        (vec![("label", "a=2")], vec![]),
    ] {
        let (_, list) = world.get(&format!("/secrets?{}", filter(&filters))).await;
        let mut names = field(&list, "/Spec/Name");
        names.sort_unstable();
        assert_eq!(names, expected, "{filters:?}");
    }
    let (status, body) = world.get(&format!("/configs?{}", filter(&[("names", "one")]))).await;
    assert_eq!((status, message(&body)), (StatusCode::BAD_REQUEST, "invalid filter 'names'"));
}

#[tokio::test]
async fn what_nothing_uses_goes() {
    let world = World::new();
    for kind in ["secret", "config"] {
        create(&world, kind, "key", b"x").await;
        assert_eq!(world.delete(&format!("/{kind}s/key")).await, (StatusCode::NO_CONTENT, Value::Null));
        let (status, body) = world.delete(&format!("/{kind}s/key")).await;
        assert_eq!((status, message(&body)), (StatusCode::NOT_FOUND, format!("{kind} key not found").as_str()));
    }
}

/// A reference as clients send it; `key` is `SecretID` or `ConfigID`.
fn reference(kind: &str, id: &str, name: &str, target: &str) -> Value {
    let upper = if kind == "secret" { "Secret" } else { "Config" };
    let file = json!({"Name": target, "UID": "0", "GID": "0", "Mode": 0o444});
    json!({"File": file, format!("{upper}ID"): id, format!("{upper}Name"): name})
}

/// A spec of a service that gets these.
fn using(name: &str, kind: &str, references: &[Value]) -> Value {
    let field = if kind == "secret" { "Secrets" } else { "Configs" };
    with(spec(name), &format!("/TaskTemplate/ContainerSpec/{field}"), json!(references))
}

#[tokio::test]
async fn what_services_use_exists_and_stays() {
    let world = World::new();
    for kind in ["secret", "config"] {
        let id = create(&world, kind, "key", b"x").await;
        let other = SecretId::from_random([9; 16]).to_string();
        let cases = [
            (vec![reference(kind, "", "key", "t")], format!("malformed {kind} reference")),
            (vec![reference(kind, &id, "key", "")], format!("malformed file {kind} reference, invalid target file name provided")),
            (
                vec![reference(kind, &id, "key", "t"), reference(kind, &id, "key", "t")],
                format!("{kind} references 'key' and 'key' have a conflicting target: 't'"),
            ),
            (vec![reference(kind, &other, "none", "t")], format!("{kind} not found: none")),
            (vec![reference(kind, &other, "a", "t"), reference(kind, &id, "misnamed", "u")], format!("{kind}s not found: a, misnamed")),
        ];
        for (references, text) in cases {
            let (status, body) = world.post("/services/create", &using("bad", kind, &references)).await;
            let text = format!("rpc error: code = InvalidArgument desc = {text}");
            assert_eq!((status, message(&body)), (StatusCode::BAD_REQUEST, text.as_str()));
        }
        let names = [format!("{kind}-a"), format!("{kind}-b")];
        for name in &names {
            let (status, body) = world.post("/services/create", &using(name, kind, &[reference(kind, &id, "key", "t")])).await;
            assert_eq!(status, StatusCode::CREATED, "{body}");
        }
        let (status, body) = world.delete(&format!("/{kind}s/key")).await;
        let in_use = "rpc error: code = InvalidArgument desc =";
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(message(&body).starts_with(&format!("{in_use} {kind} 'key' is in use by the following services: {kind}-")), "{body}");
        world.delete(&format!("/services/{}", names[0])).await;
        let (_, body) = world.delete(&format!("/{kind}s/key")).await;
        assert_eq!(message(&body), format!("{in_use} {kind} 'key' is in use by the following service: {}", names[1]));
        world.delete(&format!("/services/{}", names[1])).await;
        assert_eq!(world.delete(&format!("/{kind}s/key")).await.0, StatusCode::NO_CONTENT);
    }
}
