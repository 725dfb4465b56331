//! Templates and what the docker client (28.2, Go 1.24) printed for them.
//!
//! The files in `golden/` were recorded by running `docker volume inspect --format …` (typed data)
//! and `docker config inspect --format …` (raw data, after the typed attempt failed) against a
//! server that returned the objects built here.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic like tests")]

use std::sync::Arc;

use serde_json::json;
use swarm_template::{Inspector, List, Map, Named, Struct, Value};

fn status() -> serde_json::Value {
    json!({
        "s": "text", "n": 5, "f": 1.5, "big": 1073741824, "neg": -3, "t": true, "no": false,
        "nul": null, "l": ["a", "b", "c"], "el": [], "nums": [1, 2.5, 1e21],
        "mix": ["x", 1, true, null, {"k": "v"}],
        "m": {"b": "2", "a": "1", "c": {"d": "deep"}}, "em": {}, "es": "", "zero": 0,
        "html": "<a href=\"x\">&'</a>", "uni": "héllo wörld", "q": "say \"hi\"\n\ttab",
        "ml": [{"n": "one", "v": 1}, {"n": "two", "v": 2}], "ll": [["a", "b"], ["c"]],
        "tiny": 1e-7, "int21": 1e20
    })
}

/// JSON as Go decodes it without `UseNumber`: all numbers are `float64`.
fn with_floats(json: &serde_json::Value) -> Value {
    match json {
        serde_json::Value::Number(n) => Value::Float(n.as_f64().unwrap()),
        serde_json::Value::Array(items) => List::any(items.iter().map(with_floats).collect()).into(),
        serde_json::Value::Object(entries) => {
            entries.iter().fold(Map::any(), |map, (key, value)| map.entry(key, with_floats(value))).into()
        }
        other => Value::from(other),
    }
}

fn volume() -> Value {
    let version = Struct::new("swarm.Version").optional_field("Index", Value::named("uint64", Value::Uint(7))).string_text("7");
    let meta = Struct::new("swarm.Meta")
        .optional_field("Version", version)
        .optional_field("CreatedAt", Struct::time("2024-01-02T03:04:05.000000006Z"))
        .optional_field("UpdatedAt", Struct::time("0001-01-01T00:00:00Z"));
    let mode = Struct::pointer("volume.AccessMode")
        .optional_field("Scope", Value::named("volume.Scope", "single"))
        .optional_field("Sharing", Value::named("volume.SharingMode", "none"))
        .optional_field("MountVolume", Struct::nil_pointer("volume.TypeMount", &["FsType"]))
        .optional_field("BlockVolume", Struct::nil_pointer("volume.TypeBlock", &[]));
    let spec = Struct::new("volume.ClusterVolumeSpec")
        .optional_field("Group", "g")
        .optional_field("AccessMode", mode)
        .optional_field("AccessibilityRequirements", Struct::nil_pointer("T", &[]))
        .optional_field("CapacityRange", Struct::nil_pointer("C", &[]))
        .optional_field("Secrets", List::nil("[]volume.Secret"))
        .optional_field("Availability", Value::named("volume.Availability", ""));
    let cluster = Struct::pointer("volume.ClusterVolume")
        .field("ID", "cid")
        .embed("Meta", meta)
        .field("Spec", spec)
        .optional_field("PublishStatus", List::nil("[]*volume.PublishStatus"))
        .optional_field("Info", Struct::nil_pointer("volume.Info", &["VolumeID"]));
    let usage = Struct::pointer("volume.UsageData").field("RefCount", Value::int64(3)).field("Size", Value::int64(-1));
    let labels = [("com.example.a-b", "x"), ("z", "26"), ("a", "1")];
    Struct::new("volume.Volume")
        .optional_field("ClusterVolume", cluster)
        .optional_field("CreatedAt", "2024-01-02T03:04:05Z")
        .field("Driver", "local")
        .field("Labels", Value::string_map(labels))
        .field("Mountpoint", "/m")
        .field("Name", "x")
        .field("Options", Map::new("map[string]string", Value::from("")).into_nil())
        .field("Scope", "local")
        .optional_field("Status", with_floats(&status()))
        .optional_field("UsageData", usage)
        .into()
}

fn config_json() -> String {
    let config = json!({
        "ID": "cfgid", "X": status(), "Version": {"Index": 7},
        "CreatedAt": "2024-01-02T03:04:05Z",
        "Spec": {"Name": "n", "Labels": {"a": "1"}, "Data": "aGk="}
    });
    // The server spelled these numbers differently than serde_json does.
    config.to_string().replace("1e+20", "100000000000000000000").replace("1e-7", "1e-07")
}

pub(crate) fn render(data: &str, template: &str) -> Result<String, String> {
    let inspector = Inspector::parse(template).map_err(|error| format!("template parsing error: {error}"))?;
    match data {
        "volume" => {
            // Volumes have no raw form, so the error is that of the typed attempt.
            let template = swarm_template::Template::parse(template, &swarm_template::client_functions()).unwrap();
            template.render(&volume()).map_err(|error| format!("template parsing error: {error}"))
        }
        _ => inspector.render(None, &config_json()).map_err(|error| error.to_string()),
    }
}

fn check(file: &str) {
    let cases: Vec<serde_json::Value> = serde_json::from_str(file).unwrap();
    assert!(!cases.is_empty());
    let mut wrong = Vec::new();
    for case in &cases {
        let template = case["template"].as_str().unwrap();
        let got = render(case["data"].as_str().unwrap(), template);
        let want = match case.get("output") {
            Some(output) => Ok(output.as_str().unwrap().to_string()),
            None => Err(case["error"].as_str().unwrap().to_string()),
        };
        if got != want {
            wrong.push(format!("{template}\n   want {want:?}\n   got  {got:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn inspection_prints_what_docker_prints() {
    check(include_str!("golden/inspect.json"));
}

#[test]
fn generated_templates_print_what_docker_prints() {
    check(include_str!("golden/generated.json"));
}

#[test]
fn values_can_be_shared_between_threads() {
    fn assert_shareable<T: Send + Sync>() {}
    assert_shareable::<Value>();
    assert_shareable::<Arc<Named>>();
}
