//! Specs of services, nodes and the swarm that contradict themselves or the cluster.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use swarm_testkit::SLEEP;
use swarm_tests::{message_of, refused, service_spec};

use crate::Scene;

const INVALID: &str = "rpc error: code = InvalidArgument desc = ";

pub(crate) fn bad_specs_are_refused_with_dockers_words(scene: &Scene) -> Result<()> {
    let template = |pointer: &str, value: Value| {
        let mut spec = service_spec("bad", SLEEP, 1);
        set(&mut spec, pointer, value);
        spec
    };
    let image = |image: &str| template("/TaskTemplate/ContainerSpec/Image", json!(image));
    let container = |field: &str, value: Value| template(&format!("/TaskTemplate/ContainerSpec/{field}"), value);
    let resources = |field: &str, value: Value| template(&format!("/TaskTemplate/Resources/{field}"), value);
    let named = |name: &str| service_spec(name, SLEEP, 1);
    let host_port =
        |target: u32, published: u32| json!({"TargetPort": target, "PublishedPort": published, "PublishMode": "host", "Protocol": "tcp"});
    let constraint = |text: &str| template("/TaskTemplate/Placement", json!({"Constraints": [text]}));
    let mount = json!({"Type": "tmpfs", "Target": "/x"});
    // With Docker's RPC prefix.
    for (spec, message) in [
        (named("a.b"), "name must be valid as a DNS name component"),
        (named("-a"), "name must be valid as a DNS name component"),
        (named("ä"), "name must be valid as a DNS name component"),
        (named(&"a".repeat(64)), "name must be 63 characters or fewer"),
        (image(""), "ContainerSpec: image reference must be provided"),
        (image("Upper"), "ContainerSpec: \"Upper\" is not a valid repository/tag"),
        (image("a b"), "ContainerSpec: \"a b\" is not a valid repository/tag"),
        (container("Mounts", json!([mount, mount])), "ContainerSpec: duplicate mount point: /x"),
        (container("StopGracePeriod", json!(-1)), "ContainerSpec: stop-grace-period cannot be negative"),
        (resources("Limits", json!({"NanoCPUs": 10})), "invalid cpu value 1e-08: Must be at least 0.001"),
        (resources("Reservations", json!({"MemoryBytes": 1024})), "invalid memory value 1024: Must be at least 4MiB"),
        (template("/TaskTemplate/RestartPolicy", json!({"Delay": -1})), "TaskSpec: restart-delay cannot be negative"),
        (constraint("node.role=worker"), "constraint expected one operator from ==, !="),
        (constraint("a b==c"), "key 'a b' is invalid"),
        (constraint("node.id=="), "value '' is invalid"),
        (
            template("/EndpointSpec", json!({"Ports": [host_port(80, 8080), host_port(81, 8080)]})),
            "EndpointSpec: duplicate published ports provided",
        ),
    ] {
        is_refused(scene, &spec, 400, &format!("{INVALID}{message}"))?;
    }
    // Without.
    let both = json!({"Replicated": {"Replicas": 1}, "Global": {}});
    for (spec, message) in [
        (template("/Mode", both), "must specify only one service mode"),
        (resources("SwapBytes", json!(1 << 20)), "memory swap provided, but no memory-limit was set"),
    ] {
        is_refused(scene, &spec, 400, message)?;
    }
    // Templates are tried before anything is stored.
    scene.nothing_changes(|| {
        for env in ["A={{.Nothing}}", "A={{", "A={{.Service.Nothing}}", "A={{frobnicate 1}}"] {
            let answer = scene.post("/services/create", &container("Env", json!([env])))?;
            let message = message_of(&answer)?;
            ensure!(answer.status == 400 && message.starts_with(INVALID), "{env}: {answer}");
        }
        Ok(())
    })
}

pub(crate) fn bad_node_and_swarm_specs_are_refused(scene: &Scene) -> Result<()> {
    let (node, version) = scene.versioned("/nodes/h2")?;
    let (manager, manager_version) = scene.versioned("/nodes/h1")?;
    let (swarm, swarm_version) = scene.versioned("/swarm")?;
    scene.nothing_changes(|| {
        for (field, value) in [("Role", "king"), ("Availability", "away")] {
            let mut spec = node["Spec"].clone();
            spec[field] = json!(value);
            let answer = scene.post(&format!("/nodes/h2/update?{version}"), &spec)?;
            refused(&answer, 400, &format!("invalid {field}: \"{value}\""))?;
        }
        let mut spec = manager["Spec"].clone();
        spec["Role"] = json!("worker");
        let answer = scene.post(&format!("/nodes/h1/update?{manager_version}"), &spec)?;
        let last = "rpc error: code = FailedPrecondition desc = attempting to demote the last manager of the swarm";
        refused(&answer, 400, last)?;

        let change = |pointer: &str, value: Value| {
            let mut spec = swarm["Spec"].clone();
            set(&mut spec, pointer, value);
            scene.post(&format!("/swarm/update?{swarm_version}"), &spec)
        };
        refused(&change("/Name", json!("mine"))?, 400, "swarm spec must be named \"default\"")?;
        refused(&change("/CAConfig/NodeCertExpiry", json!(1_000))?, 400, &format!("{INVALID}minimum certificate expiry time is: 1h0m0s"))?;
        refused(
            &change("/Dispatcher/HeartbeatPeriod", json!(-1))?,
            400,
            &format!("{INVALID}heartbeat time period cannot be a negative duration"),
        )
    })
}

/// As a new service and as an update of one that exists.
fn is_refused(scene: &Scene, spec: &Value, status: u16, message: &str) -> Result<()> {
    let (_, version) = scene.versioned("/services/web")?;
    scene
        .nothing_changes(|| {
            refused(&scene.post("/services/create", spec)?, status, message)?;
            if spec["Name"] == "bad" {
                let mut spec = spec.clone();
                spec["Name"] = json!(crate::WEB);
                refused(&scene.post(&format!("/services/web/update?{version}"), &spec)?, status, message)?;
            }
            Ok(())
        })
        .with_context(|| spec.to_string())
}

/// Sets a value inside another, making the objects on the way.
fn set(within: &mut Value, pointer: &str, value: Value) {
    let mut place = within;
    for name in pointer.trim_start_matches('/').split('/') {
        place = &mut place[name];
    }
    *place = value;
}
