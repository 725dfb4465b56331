//! Commands about stacks, against a daemon that remembers what was made.

use crate::support::{Call, Daemon, Run};
use serde_json::{Value, json};
use std::sync::Mutex;

const FILE: &str = "
services:
  web: {image: web:1, configs: [text], networks: [front]}
  db: {image: db:1, build: .}
networks:
  front: {}
configs:
  text: {content: hello}
";

/// A daemon that keeps what is created, by path and name.
fn daemon() -> Daemon {
    let kept: Mutex<Vec<(String, Value)>> = Mutex::default();
    Daemon::new(move |call: &Call| {
        let mut kept = kept.lock().ok()?;
        let (method, path) = call.route.split_once(' ')?;
        let kind = path.split('/').nth(1)?.to_owned();
        match method {
            "POST" if path.ends_with("/create") => {
                let spec = call.body.clone();
                let id = format!("{}{}", &kind[..1], kept.len()).repeat(13)[..25].to_owned();
                let name = spec["Name"].clone();
                let object = json!({"ID": id, "Id": id, "Name": name, "Scope": "swarm", "Version": {"Index": 7}, "Spec": spec,
                    "CreatedAt": "2024-01-01T00:00:00Z", "UpdatedAt": "2024-01-01T00:00:00Z"});
                kept.push((kind, object));
                Some((201, json!({"ID": id, "Id": id, "Warning": ""}).to_string()))
            }
            "POST" => Some((200, "{}".into())),
            "DELETE" => {
                let id = path.rsplit('/').next()?;
                kept.retain(|(_, object)| object["ID"] != id);
                Some((204, String::new()))
            }
            "GET" if path == "/info" => Some((200, json!({"Swarm": {"LocalNodeState": "active", "ControlAvailable": true}}).to_string())),
            "GET" if path.matches('/').count() == 1 => {
                let all: Vec<&Value> = kept.iter().filter(|(of, _)| *of == kind).map(|(_, object)| object).collect();
                Some((200, json!(all).to_string()))
            }
            "GET" => {
                let name = path.rsplit('/').next()?;
                let found = kept.iter().find(|(of, object)| *of == kind && (object["ID"] == name || object["Spec"]["Name"] == name));
                found.map(|(_, object)| (200, object.to_string()))
            }
            _ => None,
        }
    })
}

fn file(folder: &tempfile::TempDir, text: &str) -> String {
    let path = folder.path().join("stack.yml");
    std::fs::write(&path, text).expect("writes");
    path.display().to_string()
}

#[test]
fn a_stack_is_made_in_order_updated_and_removed() {
    let (daemon, folder) = (daemon(), tempfile::tempdir().expect("a folder"));
    let path = file(&folder, FILE);
    let run = daemon.run(&format!("stack deploy --resolve-image never -c {path} s"));
    assert_eq!(
        run.out,
        "Creating network s_default\nCreating network s_front\nCreating config s_text\nCreating service s_db\nCreating service s_web\n"
    );
    assert!(run.err.starts_with("Ignoring unsupported options: build\n"), "{}", run.err);
    assert!(run.err.contains("Since --detach=false was not specified, tasks will be created in the background.\n"), "{}", run.err);
    let web = daemon.writes().into_iter().find(|call| call.body["Name"] == "s_web").expect("is made").body;
    let config = daemon.writes().into_iter().find(|call| call.body["Name"] == "s_text").expect("is made").body;
    assert_eq!(config["Labels"], json!({"com.docker.stack.namespace": "s"}));
    assert!(web["TaskTemplate"]["ContainerSpec"]["Configs"][0]["ConfigID"].as_str().is_some_and(|id| id.len() == 25), "{web}");
    assert_eq!(web["TaskTemplate"]["Networks"], json!([{"Target": "s_front", "Aliases": ["web"]}]));

    assert_eq!(daemon.run("stack ls"), Run::ok("NAME      SERVICES\ns         2\n"));

    let path = file(&folder, "services: {web: {image: web:2}}");
    let run = daemon.run(&format!("stack deploy --detach=true --prune --resolve-image never -c {path} s"));
    let lines: Vec<&str> = run.out.lines().collect();
    assert_eq!(lines[0], "Removing service s_db");
    assert!(lines[1].starts_with("Updating service s_web (id: "), "{lines:?}");
    assert_eq!(lines.len(), 2, "{lines:?}");

    let run = daemon.run("stack rm s");
    assert_eq!(run.out, "Removing service s_web\nRemoving config s_text\nRemoving network s_default\nRemoving network s_front\n");
    assert_eq!(daemon.run("stack rm s"), Run { out: String::new(), err: "Nothing found in stack: s\n".into(), code: 0 });
    assert_eq!(daemon.run("stack services s"), Run { out: String::new(), err: "Nothing found in stack: s\n".into(), code: 0 });
    assert_eq!(daemon.run("stack ps s"), Run::failed(1, "nothing found in stack: s"));
}

#[test]
fn mistakes_are_told_before_anything_is_made() {
    let (daemon, folder) = (daemon(), tempfile::tempdir().expect("a folder"));
    assert_eq!(daemon.run("stack deploy s"), Run::failed(1, "specify a Compose file (with --compose-file)"));
    let run = daemon.run("stack deploy -c none.yml s");
    assert_eq!(run.err, "open none.yml: no such file or directory\n");
    let path = file(&folder, FILE);
    assert_eq!(daemon.run(&format!("stack deploy -c {path} ''")), Run::failed(1, "invalid stack name: \"\""));
    let path = file(&folder, "services: {a: {image: x, networks: [n]}}\nnetworks: {n: {external: true, name: other}}");
    let run = daemon.run(&format!("stack deploy -d -c {path} s"));
    assert_eq!(
        run.err,
        "network \"other\" is declared as external, but could not be found. You need to create a swarm-scoped network before the stack is deployed\n"
    );
    let path = file(&folder, "services: {a: {image: x, foo: 1}}");
    assert_eq!(daemon.run(&format!("stack deploy -c {path} s")), Run::failed(1, "services.a Additional property foo is not allowed"));
    assert!(daemon.writes().is_empty());
}

#[test]
fn the_merged_file_is_printed() {
    let (daemon, folder) = (daemon(), tempfile::tempdir().expect("a folder"));
    let path = file(&folder, "services: {a: {image: 'x:$HOME'}}");
    let run = daemon.run(&format!("stack config --skip-interpolation -c {path}"));
    assert_eq!(run, Run::ok("version: '3.13'\nservices:\n  a:\n    image: x:$HOME\n"));
}
