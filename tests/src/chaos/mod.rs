//! Five hosts, writers, a service, and somebody who kills, stops and cuts at random. In the end everything is healed and must be
//! as if nothing had happened: every acknowledged write is there on every manager, and the containers are what was asked for.

mod faults;
mod writer;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};
use swarm_testkit::{Cluster, Request, SLEEP};

use crate::task_containers;
use faults::{Dice, Fault};
use writer::Written;

/// Managers come first.
const MANAGERS: u8 = 3;
const WORKERS: u8 = 2;
const HOSTS: u8 = MANAGERS + WORKERS;
/// Of the service whose containers are counted.
const REPLICAS: usize = 10;
const SERVICE: &str = "chaos";
/// How long the cluster may take to be whole again after the last fault.
const HEALED_WITHIN: Duration = Duration::from_secs(120);
/// Milliseconds that a fault lasts, and that are between two: at least, at most.
const LASTS_MS: (u64, u64) = (1_000, 10_000);
const PAUSE_MS: (u64, u64) = (500, 4_000);

/// Runs for `span` from `seed` and checks. `progress` is told what happens.
///
/// # Errors
/// When something was lost, or does not come back.
pub fn run(span: Duration, seed: u64, progress: impl Fn(&str)) -> Result<()> {
    let cluster = Cluster::formed(MANAGERS, WORKERS)?;
    let spec = json!({
        "Name": SERVICE,
        "TaskTemplate": {"ContainerSpec": {"Image": SLEEP, "StopGracePeriod": 0}},
        "Mode": {"Replicated": {"Replicas": REPLICAS}},
    });
    cluster.api(1, &Request::post("/services/create", &spec))?.ok()?;
    cluster.wait_running(SERVICE, REPLICAS, HEALED_WITHIN)?;
    progress(&format!("writing through {MANAGERS} managers until {span:?} are over"));
    let (over, written) = (AtomicBool::new(false), Written::default());
    let broken = thread::scope(|scope| {
        for through in 1..=MANAGERS {
            let (cluster, written, over) = (&cluster, &written, &over);
            scope.spawn(move || written.write(cluster, through, over));
        }
        let broken = break_things(&cluster, span, seed, &progress);
        over.store(true, Ordering::Relaxed);
        broken
    });
    let checked = broken.and_then(|faults| {
        let acknowledged = written.acknowledged();
        let (count, unknown, gap) = (acknowledged.len(), written.unknown(), written.longest_gap());
        progress(&format!("{faults} faults; {count} writes acknowledged, {unknown} not; the longest time without one was {gap:.1?}"));
        ensure!(count > 0, "nothing was written");
        check(&cluster, &acknowledged, &progress)
    });
    checked.map_err(|error| anyhow::anyhow!("{error:#}\n{}", cluster.logs()))
}

/// Faults until the time is over; how many. All are undone when it returns without an error.
fn break_things(cluster: &Cluster, span: Duration, seed: u64, progress: &impl Fn(&str)) -> Result<usize> {
    let mut dice = Dice::new(seed);
    let begun = Instant::now();
    let mut count = 0;
    while begun.elapsed() < span {
        // One host mostly, two at times: two managers at once cost the majority, and writes stop until one is back.
        let mut hosts: Vec<u8> = (1..=HOSTS).collect();
        let mut broken = Vec::new();
        for _ in 0..=usize::from(dice.below(4) == 0) {
            let place = usize::try_from(dice.below(hosts.len() as u64))?;
            let fault = Fault::draw(&mut dice, hosts.swap_remove(place), MANAGERS);
            progress(&format!("{:>6.1?} {fault}", begun.elapsed()));
            broken.push((fault, fault.begin(cluster).with_context(|| fault.to_string())?));
        }
        count += broken.len();
        thread::sleep(dice.span(LASTS_MS));
        for (fault, stopped) in broken {
            fault.end(cluster, stopped).with_context(|| format!("the end of: {fault}"))?;
        }
        thread::sleep(dice.span(PAUSE_MS));
    }
    Ok(count)
}

fn check(cluster: &Cluster, acknowledged: &[String], progress: &impl Fn(&str)) -> Result<()> {
    let begun = Instant::now();
    cluster.wait_ready(MANAGERS, WORKERS)?;
    for number in 1..=MANAGERS {
        let listed = cluster.until("an answer of every manager", HEALED_WITHIN, || {
            let answer = cluster.api(number, &Request::get("/configs"))?;
            ensure!(answer.status == 200, "{answer}");
            answer.json()
        })?;
        let names: BTreeSet<&str> = listed.as_array().into_iter().flatten().filter_map(|o: &Value| o["Spec"]["Name"].as_str()).collect();
        let lost: Vec<&String> = acknowledged.iter().filter(|name| !names.contains(name.as_str())).collect();
        ensure!(lost.is_empty(), "manager {number} lacks {} acknowledged writes: {lost:?}", lost.len());
    }
    let tasks = cluster.wait_running(SERVICE, REPLICAS, HEALED_WITHIN)?;
    progress(&format!("whole again {:.1?} after the last fault", begun.elapsed()));
    // Each runs in the container that the cluster knows, and no other runs.
    let known: BTreeSet<&str> = tasks.iter().filter_map(|t| t["Status"]["ContainerStatus"]["ContainerID"].as_str()).collect();
    let mut found = BTreeSet::new();
    for number in 1..=HOSTS {
        found.extend(task_containers(cluster.host(number))?.into_keys());
    }
    ensure!(found.iter().map(String::as_str).eq(known.iter().copied()), "containers that run: {found:?}, that should: {known:?}");
    Ok(())
}
