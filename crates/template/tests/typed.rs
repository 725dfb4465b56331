//! Objects of the API and what the docker client (28.2, Go 1.24) printed for them.
//!
//! `golden/objects.json` has each kind of object in full, with nothing but its structure, and
//! empty; `golden/typed.json` what `docker inspect --format …` made of them.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic like tests")]

use serde_json::Value as Json;
use swarm_template::{Inspector, ObjectKind};

fn render(objects: &Json, case: &Json) -> Result<String, String> {
    let name = case["kind"].as_str().unwrap();
    let kind = match name {
        "service" => ObjectKind::Service,
        "node" => ObjectKind::Node,
        "task" => ObjectKind::Task,
        "secret" => ObjectKind::Secret,
        "config" => ObjectKind::Config,
        other => panic!("unknown kind {other}"),
    };
    let json = objects[name][case["object"].as_str().unwrap()].to_string();
    let typed = kind.typed(&json).unwrap();
    let inspector = Inspector::parse(case["template"].as_str().unwrap()).map_err(|error| format!("template parsing error: {error}"))?;
    inspector.render(Some(&typed), &json).map_err(|error| error.to_string())
}

#[test]
fn objects_print_as_docker_prints_them() {
    let objects: Json = serde_json::from_str(include_str!("golden/objects.json")).unwrap();
    let cases: Vec<Json> = serde_json::from_str(include_str!("golden/typed.json")).unwrap();
    assert!(!cases.is_empty());
    let mut wrong = Vec::new();
    for case in &cases {
        let got = render(&objects, case);
        let want = match case.get("output") {
            Some(output) => Ok(output.as_str().unwrap().to_string()),
            None => Err(case["error"].as_str().unwrap().to_string()),
        };
        if got != want {
            let (kind, object) = (&case["kind"], &case["object"]);
            wrong.push(format!("{kind} {object} {}\n   want {want:?}\n   got  {got:?}", case["template"]));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn objects_of_other_shapes_have_no_types() {
    for json in ["", "[]", "{", r#"{"ID":5}"#, r#"{"Spec":{"Labels":["a"]}}"#, r#"{"CreatedAt":1}"#] {
        assert!(ObjectKind::Service.typed(json).is_none(), "{json}");
    }
    assert!(ObjectKind::Config.typed(r#"{"Spec":{"Data":"?"}}"#).is_none());
}
