//! Ports published on the hosts that run the task.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use swarm_testkit::{Cluster, WEB_1};
use swarm_tests::services::{create, fields, remove, said, task_lines, update, waits_because};
use swarm_tests::{LATER, SOON};

pub(crate) fn published(cluster: &Cluster) -> Result<()> {
    let line = format!(
        "--name web --replicas 4 --publish mode=host,target=8080,published=18090
         --publish mode=host,target=53,protocol=udp {WEB_1}"
    );
    create(cluster, &line)?;
    let tasks = cluster.wait_running("web", 3, SOON)?;
    let why = "no suitable node (host-mode port already in use on 3 nodes)";
    waits_because(cluster, "web", 1, why)?;
    let outside = cluster.bed().outside_address();
    for host in cluster.bed().hosts() {
        let answer = cluster.until("an answer from outside", SOON, || {
            let to = (host.ip(), 18090);
            let answer = cluster.bed().http_get_from_outside(to, "/cgi-bin/client");
            answer?.ok()
        })?;
        // Ports of the host do not hide who calls.
        let known = [format!("{outside}"), format!("[::ffff:{outside}]")].contains(&answer);
        ensure!(known, "the client is {answer}");
    }
    for task in &tasks {
        let port = port(task, "tcp")?;
        let expected = json!({"/TargetPort": 8080, "/PublishedPort": 18090, "/PublishMode": "host"});
        fields(port, &expected)?;
        // Without a number it is the engine that chooses.
        let chosen = port_number(task, "udp")?;
        ensure!(chosen > 0, "the engine's choice is missing");
    }
    let shown = said(cluster, "service ps --format {{.Ports}} web")?;
    ensure!(shown.contains("*:18090->8080/tcp"), "{shown}");
    remove(cluster, &["web"])
}

fn port<'a>(task: &'a Value, protocol: &str) -> Result<&'a Value> {
    let ports = &task["Status"]["PortStatus"]["Ports"];
    let all = ports.as_array().context("no ports in the status")?;
    let port = all.iter().find(|port| port["Protocol"] == protocol);
    port.with_context(|| format!("no {protocol} port: {ports}"))
}

fn port_number(task: &Value, protocol: &str) -> Result<u64> {
    let port = port(task, protocol)?;
    port["PublishedPort"].as_u64().context("no number")
}

/// The next container needs the port that the last one still holds, on every host.
pub(crate) fn updated(cluster: &Cluster) -> Result<()> {
    let line = format!("--name next --replicas 3 --publish mode=host,target=8080,published=18090 {WEB_1}");
    create(cluster, &line)?;
    cluster.wait_running("next", 3, SOON)?;
    update(cluster, "next", "--env-add NEW=1")?;
    cluster.until("three tasks of the new version", LATER, || {
        let mut new = cluster.running_tasks("next")?;
        new.retain(|task| task["Spec"]["ContainerSpec"]["Env"] == json!(["NEW=1"]));
        ensure!(new.len() == 3, "{}", task_lines(cluster, "next")?);
        Ok(())
    })?;
    let tasks = cluster.tasks("next")?;
    let failed = |task: &&Value| task["Status"]["State"] == "failed";
    let failed = tasks.iter().filter(failed).count();
    ensure!(failed == 0, "{}", task_lines(cluster, "next")?);
    remove(cluster, &["next"])
}
