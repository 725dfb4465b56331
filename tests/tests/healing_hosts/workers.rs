//! Workers that die, fall silent or come back.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use swarm_testkit::{Cluster, SLEEP, WEB_1, WEB_2};
use swarm_tests::services::{all_containers, create, fields, gone, node_of, remove, said, service, shows, spread, update};
use swarm_tests::{LATER, SOON, task_containers};

use crate::{boot, lives, moved_away, nothing_left, stays_away, untouched, wait_all_new, wait_state};

/// The limit for moving tasks away from a host whose connections broke; 6 s is what they should take.
const BROKEN: Duration = Duration::from_secs(15);
/// The limit for moving tasks away from a host that fell silent; 12 s is what they should take.
const SILENT: Duration = Duration::from_secs(30);

/// Without any manager it keeps its containers as they are; when it is back it catches up with what it missed.
pub(crate) fn cut_off(cluster: &Cluster) -> Result<()> {
    let node = node_of(cluster, 3)?;
    create(cluster, &format!("--name work --replicas 6 {SLEEP}"))?;
    create(cluster, &format!("--name ends --mode global {SLEEP}"))?;
    create(cluster, &format!("--name stays --mode global {SLEEP}"))?;
    for (name, count) in [("work", 6), ("ends", 3), ("stays", 3)] {
        cluster.wait_running(name, count, SOON)?;
    }
    let there = task_containers(cluster.host(3))?;
    ensure!(there.len() == 4, "{there:?}");
    let start = Instant::now();
    cluster.host(3).cut()?;
    let took = moved_away(cluster, "work", 6, &node, (start, SILENT))?;
    println!("tasks of a host that is cut off run elsewhere after {took:?}");
    said(cluster, "service rm ends")?;
    ensure!(task_containers(cluster.host(3))? == there);

    let start = Instant::now();
    cluster.host(3).heal()?;
    wait_state(cluster, 3, "ready")?;
    println!("healed, the host is ready after {:?}", start.elapsed());
    gone(cluster, &["ends"], SOON)?;
    stays_away(cluster, "work", 6, &node)?;
    cluster.wait_running("stays", 3, SOON)?;
    println!("and has what it should have after {:?}", start.elapsed());
    // The one that was thought dead, and its successor.
    let stays = all_containers(cluster, 3, "stays")?;
    ensure!(stays.len() <= 2, "{stays:?}");
    remove(cluster, &["work", "stays"])?;
    nothing_left(cluster, 3, &["work", "stays", "ends"])
}

pub(crate) fn killed(cluster: &Cluster) -> Result<()> {
    let node = node_of(cluster, 3)?;
    create(cluster, &format!("--name moves --replicas 6 {SLEEP}"))?;
    create(cluster, &format!("--name each --mode global {SLEEP}"))?;
    cluster.wait_running("moves", 6, SOON)?;
    cluster.wait_running("each", 3, SOON)?;
    let others = lives(cluster, &[1, 2])?;
    let start = Instant::now();
    cluster.host(3).kill_all()?;
    let took = moved_away(cluster, "moves", 6, &node, (start, BROKEN))?;
    println!("tasks of a killed host run elsewhere after {took:?}");
    untouched(cluster, &[1, 2], &others)?;
    let ls = "node ls --format {{.Status}} --filter name=h3";
    shows(cluster, ls, &["Down"])?;

    let start = Instant::now();
    boot(cluster, 3)?;
    wait_state(cluster, 3, "ready")?;
    println!("booted, the host is ready after {:?}", start.elapsed());
    cluster.wait_running("each", 3, SOON)?;
    ensure!(spread(cluster, "each")?.len() == 3);
    stays_away(cluster, "moves", 6, &node)?;
    remove(cluster, &["moves", "each"])?;
    nothing_left(cluster, 3, &["moves", "each"])
}

/// A service that is removed while a host is off goes from it when it is back.
pub(crate) fn without_power(cluster: &Cluster) -> Result<()> {
    let node = node_of(cluster, 2)?;
    let line = format!("--name power --replicas 4 --constraint node.role==worker {SLEEP}");
    create(cluster, &line)?;
    cluster.wait_running("power", 4, SOON)?;
    ensure!(spread(cluster, "power")?.get("h2") == Some(&2));
    let start = Instant::now();
    cluster.host(2).power_off()?;
    let took = moved_away(cluster, "power", 4, &node, (start, SILENT))?;
    println!("tasks of a host without power run elsewhere after {took:?}");
    said(cluster, "service rm power")?;
    boot(cluster, 2)?;
    wait_state(cluster, 2, "ready")?;
    nothing_left(cluster, 2, &["power"])
}

/// The update goes on without the host.
pub(crate) fn killed_in_an_update(cluster: &Cluster) -> Result<()> {
    create(cluster, &format!("--name roll --replicas 6 {WEB_1}"))?;
    cluster.wait_running("roll", 6, SOON)?;
    update(cluster, "roll", &format!("--image {WEB_2}"))?;
    let is_new = |task: &Value| task["Spec"]["ContainerSpec"]["Image"] == WEB_2;
    cluster.until("the middle of the update", SOON, || {
        let new = cluster.running_tasks("roll")?.iter().filter(|task| is_new(task)).count();
        ensure!(new >= 2, "{new} are new");
        Ok(())
    })?;
    cluster.host(3).kill_all()?;
    wait_all_new(cluster, "roll", 6, is_new)?;
    cluster.until("the end of the update", LATER, || fields(&service(cluster, "roll")?, &json!({"/UpdateStatus/State": "completed"})))?;
    boot(cluster, 3)?;
    wait_state(cluster, 3, "ready")?;
    cluster.wait_running("roll", 6, SOON)?;
    remove(cluster, &["roll"])?;
    nothing_left(cluster, 3, &["roll"])
}
