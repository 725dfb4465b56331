//! The objects of a small cluster, as a daemon would answer.

use super::{Answer, Call, Daemon};
use serde_json::{Value, json};

/// An id of one letter.
pub(crate) fn id(letter: char) -> String {
    letter.to_string().repeat(25)
}

const TIME: &str = "2024-01-01T00:00:00Z";

fn service(letter: char, name: &str, mode: Value) -> Value {
    json!({
        "ID": id(letter), "Version": {"Index": 12}, "CreatedAt": TIME, "UpdatedAt": TIME,
        "Spec": {"Name": name, "Labels": {}, "TaskTemplate": {"ContainerSpec": {"Image": "nginx:1", "Init": false},
            "ForceUpdate": 0, "Newer": {"Kept": [1, 2.50]}}, "Mode": mode, "EndpointSpec": {"Mode": "vip"}},
        "Endpoint": {"Spec": {}}, "ServiceStatus": {"RunningTasks": 1, "DesiredTasks": 2, "CompletedTasks": 0},
    })
}

fn node(letter: char, hostname: &str, manager: Value) -> Value {
    json!({
        "ID": id(letter), "Version": {"Index": 5}, "CreatedAt": TIME, "UpdatedAt": TIME,
        "Spec": {"Labels": {"rack": "1"}, "Role": if manager.is_null() { "worker" } else { "manager" }, "Availability": "active"},
        "Description": {"Hostname": hostname, "Platform": {"Architecture": "x86_64", "OS": "linux"},
            "Resources": {"NanoCPUs": 2_000_000_000, "MemoryBytes": 1024}, "Engine": {"EngineVersion": "28.2.2"}},
        "Status": {"State": "ready", "Addr": "10.0.0.1"}, "ManagerStatus": manager,
    })
}

fn task(letter: char, service: char, slot: u64) -> Value {
    json!({
        "ID": id(letter), "Version": {"Index": 3}, "CreatedAt": TIME, "UpdatedAt": TIME,
        "Spec": {"ContainerSpec": {"Image": "nginx:1"}}, "ServiceID": id(service), "Slot": slot, "NodeID": id('x'),
        "Status": {"Timestamp": TIME, "State": "running"}, "DesiredState": "running",
    })
}

fn network(letter: char, name: &str, ingress: bool) -> Value {
    json!({
        "Id": id(letter), "Name": name, "Created": TIME, "Scope": "swarm", "Driver": "overlay", "Ingress": ingress,
        "EnableIPv6": false, "IPAM": {"Driver": "default", "Options": null, "Config": []}, "Containers": null, "Labels": null,
    })
}

fn swarm() -> Value {
    json!({
        "ID": id('k'), "Version": {"Index": 9}, "CreatedAt": TIME, "UpdatedAt": TIME,
        "Spec": {"Name": "default", "Labels": {}, "Orchestration": {"TaskHistoryRetentionLimit": 5}, "Newer": 1},
        "TLSInfo": {"TrustRoot": "PEM"}, "JoinTokens": {"Worker": "SWMTKN-1-w", "Manager": "SWMTKN-1-m"},
    })
}

fn found(objects: &[Value], word: &str, kind: &str) -> Answer {
    let name =
        |object: &Value| object.pointer("/Spec/Name").or_else(|| object.pointer("/Description/Hostname")).cloned().unwrap_or(Value::Null);
    match objects.iter().find(|object| object["ID"] == word || name(object) == word) {
        Some(object) => (200, object.to_string()),
        None => (404, json!({"message": format!("{kind} {word} not found")}).to_string()),
    }
}

/// Two services, two nodes, three tasks. `create` and `update` succeed, the registry knows `known`.
pub(crate) fn daemon() -> Daemon {
    Daemon::new(|call: &Call| {
        let services = [service('a', "web", json!({"Replicated": {"Replicas": 2}})), service('b', "agent", json!({"Global": {}}))];
        let leader = json!({"Leader": true, "Reachability": "reachable", "Addr": "10.0.0.1:2377"});
        let nodes = [node('x', "host-1", leader), node('y', "host-2", Value::Null)];
        let tasks = [task('t', 'a', 1), task('u', 'a', 2)];
        let networks = [network('i', "ingress", true), network('j', "blue", false)];
        let (method, path) = call.route.split_once(' ').unwrap_or_default();
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let ok = |json: Value| Some((200, json.to_string()));
        match (method, &parts[..]) {
            ("GET", ["services"]) => ok(services.to_vec().into()),
            ("GET", ["services", word]) => Some(found(&services, word, "service")),
            ("GET", ["nodes"]) => ok(nodes.to_vec().into()),
            ("GET", ["nodes", word]) => Some(found(&nodes, word, "node")),
            ("GET", ["networks"]) => ok(networks.to_vec().into()),
            ("GET", ["networks", word]) => match networks.iter().find(|n| n["Id"] == *word || n["Name"] == *word) {
                Some(network) => ok(network.clone()),
                None => Some((404, json!({"message": format!("network {word} not found")}).to_string())),
            },
            ("POST", ["networks", "create"]) => Some((201, json!({"Id": id('n'), "Warning": ""}).to_string())),
            ("POST", ["networks", "prune"]) => ok(json!({"NetworksDeleted": ["blue", "green"]})),
            ("DELETE", ["networks", "nope"]) => Some((404, json!({"message": "network nope not found"}).to_string())),
            ("GET", ["tasks"]) => ok(tasks.to_vec().into()),
            ("GET", ["swarm"]) => ok(swarm()),
            ("GET", ["info"]) => ok(json!({"Swarm": {"NodeID": id('x'), "NodeAddr": "10.0.0.1",
                "LocalNodeState": "active", "ControlAvailable": true, "Error": "", "RemoteManagers": null}})),
            ("GET", ["distribution", "known:1", "json"]) => ok(json!({
                "Descriptor": {"digest": format!("sha256:{}", "0".repeat(64))},
                "Platforms": [{"architecture": "amd64", "os": "linux"}]})),
            ("POST", ["services", "create"]) => Some((201, json!({"ID": id('n'), "Warnings": ["careful"]}).to_string())),
            ("POST", ["services", _, "update"]) => ok(json!({"Warnings": null})),
            ("DELETE", ["services" | "nodes", word]) if word.starts_with("no") => {
                Some((404, json!({"message": format!("service {word} not found")}).to_string()))
            }
            ("POST", ["swarm", "init"]) => ok(id('x').into()),
            ("POST" | "DELETE", _) => Some((200, String::new())),
            _ => None,
        }
    })
}
