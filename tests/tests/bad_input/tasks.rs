//! Services that are accepted and cannot run: the task says why, and the service is there to be put right.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use swarm_testkit::{SLEEP, WEB_1, until};
use swarm_tests::{LATER, SOON, create_service, inspect_container, remove_service, service_spec, text_at};

use crate::Scene;

const MISSING: &str = "swarm-test/nothing:1";
const SECOND_NS: u64 = 1_000_000_000;

pub(crate) fn a_missing_image_rejects_the_task(scene: &Scene) -> Result<()> {
    let cluster = &scene.cluster;
    // A warning of the client, not a refusal: only the node can know.
    let output = cluster.swarm(1, &["service", "create", "--detach", "--name", "missing", "--restart-delay", "1s", MISSING])?;
    ensure!(output.stderr.contains(&format!("image {MISSING} could not be accessed on a registry")), "{output}");
    let id = output.ok()?;
    let error = format!("No such image: {MISSING}");
    cluster.until("a rejected task", LATER, || {
        let tasks = cluster.tasks("missing")?;
        let rejected = tasks.iter().find(|task| task["Status"]["State"] == "rejected");
        let rejected = rejected.with_context(|| format!("{tasks:?}"))?;
        ensure!(rejected["Status"]["Err"] == error.as_str() && rejected["DesiredState"] == "shutdown", "{rejected}");
        // Another one is tried.
        ensure!(tasks.len() > 1, "{tasks:?}");
        Ok(())
    })?;
    let shown = cluster.swarm(1, &["service", "ps", "--no-trunc", "missing"])?.ok()?;
    ensure!(shown.contains("Rejected") && shown.contains(&format!("\"{error}\"")), "{shown}");
    let shown = cluster.swarm(1, &["service", "ls", "--filter", "name=missing", "--format", "{{.ID}} {{.Replicas}}"])?.ok()?;
    ensure!(shown == format!("{} 0/1", &id[..12]), "{shown}");

    cluster.swarm(1, &["service", "update", "--detach", "--image", SLEEP, "missing"])?.ok()?;
    cluster.wait_running("missing", 1, LATER)?;
    remove_service(cluster, 1, "missing")
}

pub(crate) fn a_port_taken_by_somebody_else(scene: &Scene) -> Result<()> {
    let cluster = &scene.cluster;
    let host = cluster.host(2);
    let pid = host.sh("busybox httpd -f -p 8085 -h /tmp >/dev/null 2>&1 </dev/null & echo $!")?.ok()?;
    until("a listener", SOON, || host.connect((host.ip(), 8085), SOON))?;

    create_service(cluster, 1, &on_port("taken", 8085))?;
    cluster.until("a task that failed", LATER, || {
        let tasks = cluster.tasks("taken")?;
        let failed = tasks.iter().find(|task| task["Status"]["State"] == "failed");
        let failed = failed.with_context(|| format!("{tasks:?}"))?;
        let error = text_at(failed, "/Status/Err").unwrap_or_default();
        ensure!(error.contains("address already in use"), "{failed}");
        Ok(())
    })?;
    ensure!(cluster.running_tasks("taken")?.is_empty());

    host.sh(&format!("kill {pid}"))?.ok()?;
    let tasks = cluster.wait_running("taken", 1, LATER)?;
    let ports = &tasks[0]["Status"]["PortStatus"]["Ports"];
    ensure!(ports[0]["PublishedPort"] == 8085 && ports[0]["TargetPort"] == 8080, "{}", tasks[0]);
    let page = cluster.bed().http_get_from_outside((host.ip(), 8085), "/")?.ok()?;
    ensure!(page.ends_with(" 1"), "{page}");
    Ok(())
}

/// The one of the check before: both must be on the second host.
pub(crate) fn a_port_taken_by_another_service(scene: &Scene) -> Result<()> {
    let cluster = &scene.cluster;
    create_service(cluster, 1, &on_port("waits", 8085))?;
    let error = "no suitable node (host-mode port already in use on 1 node; scheduling constraints not satisfied on 1 node)";
    cluster.until("a task that waits", SOON, || {
        let tasks = cluster.tasks("waits")?;
        ensure!(tasks.len() == 1 && tasks[0]["Status"]["State"] == "pending", "{tasks:?}");
        let told = text_at(&tasks[0], "/Status/Err").unwrap_or_default();
        let sorted = |text: &str| {
            let mut parts: Vec<_> = text.trim_end_matches(')').split(['(', ';']).map(|part| part.trim().to_owned()).collect();
            parts.sort();
            parts
        };
        ensure!(sorted(&told) == sorted(error), "{told}");
        Ok(())
    })?;
    let shown = cluster.swarm(1, &["service", "ps", "--no-trunc", "waits"])?.ok()?;
    ensure!(shown.contains("Pending") && shown.contains("host-mode port already in use on 1 node"), "{shown}");
    remove_service(cluster, 1, "taken")?;
    cluster.wait_running("waits", 1, SOON)?;
    remove_service(cluster, 1, "waits")
}

pub(crate) fn reserved_labels_are_ours(scene: &Scene) -> Result<()> {
    let cluster = &scene.cluster;
    let mut spec = service_spec("labelled", SLEEP, 1);
    spec["TaskTemplate"]["ContainerSpec"]["Labels"] = json!({
        "com.docker.swarm.service.name": "web",
        "com.docker.swarm.task.id": "mine",
        "com.docker.swarm.node.id": "mine",
        "own": "kept",
    });
    let id = create_service(cluster, 1, &spec)?;
    let tasks = cluster.wait_running("labelled", 1, SOON)?;
    let task = &tasks[0];
    let (_, container) = inspect_container(cluster, task)?;
    let task_id = text_at(task, "/ID").context("no id")?;
    let expected: BTreeMap<&str, Value> = [
        ("com.docker.swarm.node.id", task["NodeID"].clone()),
        ("com.docker.swarm.service.id", json!(id)),
        ("com.docker.swarm.service.name", json!("labelled")),
        ("com.docker.swarm.task", json!("")),
        ("com.docker.swarm.task.id", json!(task_id)),
        ("com.docker.swarm.task.name", json!(format!("labelled.1.{task_id}"))),
        ("own", json!("kept")),
    ]
    .into();
    ensure!(container["Config"]["Labels"] == json!(expected), "{}", container["Config"]["Labels"]);
    ensure!(container["Name"] == format!("/labelled.1.{task_id}"), "{}", container["Name"]);
    remove_service(cluster, 1, "labelled")
}

/// One task on the second host, which publishes this port there.
fn on_port(name: &str, port: u32) -> Value {
    let mut spec = service_spec(name, WEB_1, 1);
    spec["TaskTemplate"]["Placement"] = json!({"Constraints": ["node.hostname == h2"]});
    spec["TaskTemplate"]["RestartPolicy"] = json!({"Condition": "any", "Delay": SECOND_NS});
    spec["EndpointSpec"] = json!({"Ports": [
        {"Protocol": "tcp", "TargetPort": 8080, "PublishedPort": port, "PublishMode": "host"},
    ]});
    spec
}
