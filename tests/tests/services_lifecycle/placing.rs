//! Where tasks go, why they wait, and how many ended ones are remembered.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use swarm_testkit::{Cluster, SLEEP};
use swarm_tests::SOON;
use swarm_tests::services::{
    all_containers, create, fails, fields, gone, live, node_of, remove, replaced, said, service, shows, spread, task_lines, update,
    waits_because,
};

use crate::is_spread;

pub(crate) fn tasks_are_spread(cluster: &Cluster) -> Result<()> {
    create(cluster, &format!("--name wide --replicas 6 {SLEEP}"))?;
    cluster.wait_running("wide", 6, SOON)?;
    is_spread(cluster, "wide", &[("h1", 2), ("h2", 2), ("h3", 2)])?;
    remove(cluster, &["wide"])
}

pub(crate) fn constraints(cluster: &Cluster) -> Result<()> {
    said(cluster, "node update --label-add zone=east h2")?;
    said(cluster, "node update --label-add zone=west h3")?;
    let h3 = node_of(cluster, 3)?;
    let address = cluster.host(2).ip();
    let mut services = Vec::new();
    for (constraints, hosts) in [
        (&["node.hostname==h2"][..], &["h2"][..]),
        (&["node.hostname != H2", "node.role==worker"], &["h3"]),
        (&["node.role==manager"], &["h1"]),
        (&["node.labels.zone==west"], &["h3"]),
        (&["node.labels.zone!=west"], &["h1", "h2"]),
        (&["node.labels.zone==east", "node.platform.os==linux"], &["h2"]),
        (&[&format!("node.id=={h3}")], &["h3"]),
        (&[&format!("node.ip=={address}")], &["h2"]),
        (&[&format!("node.ip!={address}/32"), "node.role==worker"], &["h3"]),
    ] {
        let name = format!("placed-{}", services.len());
        let flags: String = constraints.iter().map(|text| format!("--constraint '{text}' ")).collect();
        create(cluster, &format!("--name {name} --replicas 2 {flags} {SLEEP}"))?;
        cluster.wait_running(&name, 2, SOON)?;
        let found = spread(cluster, &name)?;
        ensure!(found.keys().eq(hosts), "{constraints:?} gives {found:?}, not {hosts:?}");
        services.push(name);
    }
    let names: Vec<_> = services.iter().map(String::as_str).collect();
    remove(cluster, &names)?;
    said(cluster, "node update --label-rm zone h2")?;
    said(cluster, "node update --label-rm zone h3")?;
    Ok(())
}

/// A label that goes away takes the tasks with it; they wait and say why, until there is a place again.
pub(crate) fn labels_that_change(cluster: &Cluster) -> Result<()> {
    said(cluster, "node update --label-add disk=ssd h3")?;
    create(cluster, &format!("--name follows --constraint node.labels.disk==ssd {SLEEP}"))?;
    let before = live(cluster, "follows")?;
    ensure!(before.host == 3);
    said(cluster, "node update --label-rm disk h3")?;
    let why = "no suitable node (scheduling constraints not satisfied on 3 nodes)";
    waits_because(cluster, "follows", 1, why)?;
    let table = said(cluster, "service ps --no-trunc follows")?;
    ensure!(table.contains(&format!("\"{why}\"")), "{table}");
    let table = said(cluster, "service ps follows")?;
    ensure!(table.contains("\"no suitable node (scheduling …\""), "{table}");
    gone(cluster, &["follows"], SOON)?;
    let tasks = cluster.tasks("follows")?;
    let old = tasks.iter().find(|task| task["ID"] == before.task["ID"]);
    let expected = serde_json::json!({
        "/Status/State": "rejected",
        "/Status/Message": "task rejected by constraint enforcer",
        "/Status/Err": "assigned node no longer meets constraints",
    });
    fields(old.context("the old task is gone")?, &expected)?;
    said(cluster, "node update --label-add disk=ssd h2")?;
    ensure!(live(cluster, "follows")?.host == 2);
    said(cluster, "node update --label-rm disk h2")?;
    remove(cluster, &["follows"])
}

pub(crate) fn refused_constraints(cluster: &Cluster) -> Result<()> {
    for (constraint, why) in [
        ("node.hostnam==h2", "key 'node.hostnam' is unknown"),
        ("zone==east", "key 'zone' is unknown"),
        ("node.hostname=h2", "constraint expected one operator from ==, !="),
        ("no de==h2", "key 'no de' is invalid"),
        ("node.hostname==", "value '' is invalid"),
        ("node.ip==nowhere", "value 'nowhere' is invalid"),
    ] {
        let line = format!("service create --detach --no-resolve-image --name bad --constraint '{constraint}' {SLEEP}");
        fails(cluster, &line, 1, why)?;
    }
    create(cluster, &format!("--name good --replicas 0 {SLEEP}"))?;
    let before = service(cluster, "good")?;
    let line = "service update --detach --constraint-add nod.role==worker good";
    fails(cluster, line, 1, "key 'nod.role' is unknown")?;
    ensure!(service(cluster, "good")? == before);
    remove(cluster, &["good"])
}

pub(crate) fn maximum_for_each_node(cluster: &Cluster) -> Result<()> {
    create(cluster, &format!("--name few --replicas 4 --replicas-max-per-node 1 {SLEEP}"))?;
    cluster.wait_running("few", 3, SOON)?;
    let why = "no suitable node (max replicas per node limit exceed)";
    waits_because(cluster, "few", 1, why)?;
    is_spread(cluster, "few", &[("h1", 1), ("h2", 1), ("h3", 1)])?;
    let ls = "service ls --format {{.Replicas}} --filter name=few";
    shows(cluster, ls, &["3/4 (max 1 per node)"])?;
    update(cluster, "few", "--replicas-max-per-node 2")?;
    cluster.wait_running("few", 4, SOON)?;
    remove(cluster, &["few"])
}

/// As many tasks for each value of a label, whatever the number of nodes that have it.
pub(crate) fn preferences(cluster: &Cluster) -> Result<()> {
    said(cluster, "node update --label-add zone=a h1")?;
    said(cluster, "node update --label-add zone=a h2")?;
    said(cluster, "node update --label-add zone=b h3")?;
    let pref = "--placement-pref spread=node.labels.zone";
    create(cluster, &format!("--name zones --replicas 4 {pref} {SLEEP}"))?;
    cluster.wait_running("zones", 4, SOON)?;
    is_spread(cluster, "zones", &[("h1", 1), ("h2", 1), ("h3", 2)])?;
    for node in ["h1", "h2", "h3"] {
        said(cluster, &format!("node update --label-rm zone {node}"))?;
    }
    remove(cluster, &["zones"])
}

pub(crate) fn reservations(cluster: &Cluster) -> Result<()> {
    let node = cluster.node(2)?;
    let resources = &node["Description"]["Resources"];
    let memory = resources["MemoryBytes"].as_u64().context("no memory")?;
    let cpus = resources["NanoCPUs"].as_u64().context("no CPUs")? / 1_000_000_000;
    let most = memory / 10 * 6;
    create(cluster, &format!("--name big --replicas 3 --reserve-memory {most} {SLEEP}"))?;
    cluster.wait_running("big", 3, SOON)?;
    is_spread(cluster, "big", &[("h1", 1), ("h2", 1), ("h3", 1)])?;
    let why = "no suitable node (insufficient resources on 3 nodes)";
    create(cluster, &format!("--name next --reserve-memory {most} {SLEEP}"))?;
    waits_because(cluster, "next", 1, why)?;
    create(cluster, &format!("--name never --reserve-cpu {} {SLEEP}", cpus + 1))?;
    waits_because(cluster, "never", 1, why)?;
    // Limits and what is not reserved do not count.
    let line = format!("--name light --limit-cpu {cpus} --limit-memory {most} {SLEEP}");
    create(cluster, &line)?;
    cluster.wait_running("light", 1, SOON)?;
    // What a task gives back is given to the one that waits.
    said(cluster, "service scale --detach big=2")?;
    cluster.wait_running("next", 1, SOON)?;
    cluster.wait_running("big", 2, SOON)?;
    let of = |name| Ok::<_, anyhow::Error>(BTreeSet::from_iter(spread(cluster, name)?.into_keys()));
    ensure!(of("big")?.is_disjoint(&of("next")?));
    remove(cluster, &["big", "next", "never", "light"])
}

pub(crate) fn history(cluster: &Cluster) -> Result<()> {
    const LIMIT: usize = 2;
    let line = format!("update --task-history-limit {LIMIT}");
    shows(cluster, &line, &["Swarm updated."])?;
    create(cluster, &format!("--name old {SLEEP}"))?;
    let mut now = live(cluster, "old")?;
    for _ in 0..4 {
        update(cluster, "old", "--force")?;
        now = replaced(cluster, "old", &now)?;
    }
    // The one that runs counts.
    cluster.until("as many tasks as the limit", SOON, || {
        let tasks = cluster.tasks("old")?.len();
        ensure!(tasks == LIMIT, "{}", task_lines(cluster, "old")?);
        // The containers of forgotten tasks are forgotten as well.
        let mut containers = 0;
        for host in cluster.bed().hosts() {
            containers += all_containers(cluster, host.number(), "old")?.len();
        }
        ensure!(containers == LIMIT, "{containers} containers are left");
        Ok(())
    })?;
    let tasks = cluster.tasks("old")?;
    let kept = tasks.iter().any(|task| task["ID"] == now.task["ID"]);
    ensure!(kept, "the newest was forgotten: {}", task_lines(cluster, "old")?);
    remove(cluster, &["old"])
}
