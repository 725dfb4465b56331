//! Three managers, one or all of which fail.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::{Value, json};
use swarm_testkit::{Cluster, Request, SLEEP, WEB_1, WEB_2};
use swarm_tests::services::{create, fields, gone, node_of, remove, service, task_lines, update};
use swarm_tests::{LATER, SOON, create_service, service_spec, text_at, texts_at};

use crate::{boot, lives, moved_away, stays_away, untouched, wait_all_new};

/// The number of the host whose manager leads, and the others.
fn leader(cluster: &Cluster) -> Result<(u8, [u8; 2])> {
    let nodes = cluster.nodes()?;
    let leader = nodes.iter().find(|node| node["ManagerStatus"]["Leader"] == true);
    let leader = leader.with_context(|| format!("nobody leads: {nodes:?}"))?;
    match leader["Description"]["Hostname"].as_str() {
        Some("h1") => Ok((1, [2, 3])),
        Some("h2") => Ok((2, [1, 3])),
        Some("h3") => Ok((3, [1, 2])),
        other => Err(anyhow!("the leader is {other:?}")),
    }
}

/// The names of all services, as one manager gives them.
fn services(cluster: &Cluster, number: u8) -> Result<BTreeSet<String>> {
    let list = cluster.api(number, &Request::get("/services"))?.json()?;
    let list = list.as_array().context("not a list")?;
    Ok(texts_at(list, "/Spec/Name"))
}

/// Creates services without tasks on the hosts in turn until it is told to stop. Gives the names of those that were
/// acknowledged, and the longest time without one.
fn write(cluster: &Cluster, hosts: [u8; 2], stop: &AtomicBool) -> (Vec<String>, Duration) {
    let mut acknowledged = Vec::new();
    let mut gap = Duration::ZERO;
    let mut last = Instant::now();
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let name = format!("written-{number}");
        let host = hosts[number % hosts.len()];
        // One that was not acknowledged may be there or not.
        if create_service(cluster, host, &service_spec(&name, SLEEP, 0)).is_ok() {
            acknowledged.push(name);
            gap = gap.max(last.elapsed());
            last = Instant::now();
        }
    }
    (acknowledged, gap)
}

/// Kills the leader's manager among writes. Gives the time until the next write.
fn kill_among_writes(cluster: &Cluster, leads: u8, other: u8) -> Result<Duration> {
    let more_than = |count: usize| {
        cluster.until("more writes", LATER, || {
            let found = services(cluster, other)?.len();
            ensure!(found > count, "{found} services");
            Ok(found)
        })
    };
    more_than(10)?;
    let start = Instant::now();
    cluster.agent(leads).manager().context("no manager")?.kill()?;
    cluster.until("a write under the next leader", LATER, || create_service(cluster, other, &service_spec("first-after", SLEEP, 0)))?;
    let next = start.elapsed();
    let now = services(cluster, other)?.len();
    more_than(now + 10)?;
    Ok(next)
}

pub(crate) fn leader_is_killed(cluster: &Cluster) -> Result<()> {
    create(cluster, &format!("--name runs --replicas 6 {SLEEP}"))?;
    cluster.wait_running("runs", 6, SOON)?;
    let before = lives(cluster, &[1, 2, 3])?;
    let (leads, others) = leader(cluster)?;
    let stop = AtomicBool::new(false);
    let (written, next) = thread::scope(|scope| {
        let writer = scope.spawn(|| write(cluster, others, &stop));
        let next = kill_among_writes(cluster, leads, others[0]);
        stop.store(true, Ordering::Relaxed);
        (writer.join(), next)
    });
    let (acknowledged, gap) = written.map_err(|_| anyhow!("the writer panicked"))?;
    let (next, writes) = (next?, acknowledged.len());
    println!("the leader was killed: next write after {next:?}; {writes} writes, longest gap {gap:?}");
    ensure!(next < SOON, "the next write took {next:?}");
    cluster.wait_ready(3, 0)?;
    for number in 1..=3 {
        let found = services(cluster, number)?;
        let lost: Vec<_> = acknowledged.iter().filter(|name| !found.contains(*name)).collect();
        ensure!(lost.is_empty(), "h{number} lost writes that were acknowledged: {lost:?}");
        ensure!(found.contains("first-after"), "h{number}: {found:?}");
    }
    // Nothing was restarted for it, on no host, and the manager is back.
    cluster.wait_running("runs", 6, SOON)?;
    untouched(cluster, &[1, 2, 3], &before)?;
    ensure!(cluster.tasks("runs")?.len() == 6, "{}", task_lines(cluster, "runs")?);
    let managers = cluster.agents().iter().filter(|agent| agent.manager().is_some());
    ensure!(managers.count() == 3, "a manager was not started again");
    let names = services(cluster, leads)?;
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    remove(cluster, &names)
}

/// The next leader goes on where the last one was, still one slot after the other.
pub(crate) fn leader_is_killed_in_an_update(cluster: &Cluster) -> Result<()> {
    create(cluster, &format!("--name roll --replicas 6 {WEB_1}"))?;
    cluster.wait_running("roll", 6, SOON)?;
    let (leads, _) = leader(cluster)?;
    update(cluster, "roll", &format!("--image {WEB_2}"))?;
    let is_new = |task: &Value| task["Spec"]["ContainerSpec"]["Image"] == WEB_2;
    let few = |least: usize| {
        let containers = cluster.containers("roll")?.len();
        ensure!((5..=6).contains(&containers), "{containers} containers run");
        let tasks = cluster.running_tasks("roll")?;
        Ok::<_, anyhow::Error>(tasks.iter().filter(|task| is_new(task)).count() >= least)
    };
    let wait = |least: usize| {
        let start = Instant::now();
        // A broken bound ends the wait at once; no answer, while there is no leader, does not.
        while start.elapsed() < LATER {
            match few(least) {
                Ok(true) => return Ok(()),
                Err(error) if error.to_string().ends_with("containers run") => return Err(error),
                Ok(false) | Err(_) => {}
            }
        }
        Err(anyhow!("less than {least} new tasks: {}", task_lines(cluster, "roll")?))
    };
    wait(2)?;
    cluster.agent(leads).manager().context("no manager")?.kill()?;
    wait(6)?;
    wait_all_new(cluster, "roll", 6, is_new)?;
    cluster.until("the end of the update", LATER, || fields(&service(cluster, "roll")?, &json!({"/UpdateStatus/State": "completed"})))?;
    let tasks = cluster.tasks("roll")?.len();
    ensure!(tasks == 12, "some were replaced twice: {}", task_lines(cluster, "roll")?);
    cluster.wait_ready(3, 0)?;
    remove(cluster, &["roll"])
}

pub(crate) fn host_is_killed(cluster: &Cluster) -> Result<()> {
    create(cluster, &format!("--name three --replicas 6 {SLEEP}"))?;
    cluster.wait_running("three", 6, SOON)?;
    let (leads, others) = leader(cluster)?;
    let node = node_of(cluster, leads)?;
    let before = lives(cluster, &others)?;
    let start = Instant::now();
    cluster.host(leads).kill_all()?;
    let created = cluster
        .until("a write without the dead manager", LATER, || create_service(cluster, others[1], &service_spec("two-of-three", SLEEP, 2)))?;
    println!("the leader's host was killed: next write after {:?}", start.elapsed());
    let limit = Duration::from_secs(60);
    let took = moved_away(cluster, "three", 6, &node, (start, limit))?;
    println!("its tasks run elsewhere after {took:?}");
    cluster.wait_running("two-of-three", 2, SOON)?;
    untouched(cluster, &others, &before)?;
    for number in others {
        ensure!(services(cluster, number)?.contains("two-of-three"));
    }
    cluster.until("what is said of the dead manager", LATER, || {
        let expected = json!({
            "/Status/State": "down",
            "/ManagerStatus/Reachability": "unreachable",
        });
        let node = cluster.node(leads)?;
        ensure!(node["ManagerStatus"]["Leader"] != true);
        fields(&node, &expected)
    })?;

    boot(cluster, leads)?;
    cluster.wait_ready(3, 0)?;
    let path = format!("/services/{created}");
    let back = cluster.api(leads, &Request::get(&path))?.json()?;
    fields(&back, &json!({"/Spec/Name": "two-of-three", "/Spec/Mode/Replicated/Replicas": 2}))?;
    stays_away(cluster, "three", 6, &node)?;
    let removed = cluster.swarm(leads, &["service", "rm", "three", "two-of-three"])?;
    removed.ok()?;
    gone(cluster, &["three", "two-of-three"], SOON)
}

/// What was acknowledged is on the disks; containers are made anew.
pub(crate) fn all_hosts_lose_power(cluster: &Cluster) -> Result<()> {
    let id = create(cluster, &format!("--name dark --replicas 6 --restart-delay 1s {SLEEP}"))?;
    create(cluster, &format!("--name each --mode global --restart-delay 1s {SLEEP}"))?;
    cluster.wait_running("dark", 6, SOON)?;
    cluster.wait_running("each", 3, SOON)?;
    let nodes = texts_at(&cluster.nodes()?, "/ID");
    let last = create_service(cluster, 2, &service_spec("last", SLEEP, 1))?;
    for number in 1..=3 {
        cluster.host(number).power_off()?;
    }
    let start = Instant::now();
    for number in 1..=3 {
        boot(cluster, number)?;
    }
    cluster.wait_ready(3, 0)?;
    println!("after power off, all hosts are ready {:?} after the first boot", start.elapsed());
    ensure!(texts_at(&cluster.nodes()?, "/ID") == nodes);
    cluster.wait_running("dark", 6, LATER)?;
    cluster.wait_running("each", 3, LATER)?;
    cluster.wait_running("last", 1, LATER)?;
    println!("and all tasks run {:?} after it", start.elapsed());
    ensure!(text_at(&service(cluster, "dark")?, "/ID") == Some(id));
    ensure!(text_at(&service(cluster, "last")?, "/ID") == Some(last));
    remove(cluster, &["dark", "each", "last"])
}
