//! How long it takes from creating a service to all of its tasks running, on three hosts: this project, Docker Swarm on the
//! same engines, and those engines alone for the same containers.
//!
//! Every figure is the median of [`ROUNDS`] rounds; the three are taken in turn, so that what else the machine does hits all.

use super::{Options, Row, median, millis};
use crate::{docker_swarm, report::Line};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};
use swarm_testkit::{Cluster, Host, Request, SLEEP, until};

pub(super) const ROW: Row = Row { name: "create", title: "Replicas on three hosts, create → all running", run };

const HOSTS: u8 = 3;
const COUNTS: [usize; 3] = [1, 10, 30];
const ROUNDS: usize = 5;
const ROUNDS_QUICK: usize = 1;
/// What is wanted, times the engines alone.
const RATIO_MAX: f64 = 1.15;
/// Containers that the engines are asked for at a time, per host, when nothing is in between; the fastest counts.
const ALONE_CONCURRENCY: [usize; 3] = [1, 4, 10];
/// Between two looks at the tasks.
const LOOK_EVERY: Duration = Duration::from_millis(5);
const DEADLINE: Duration = Duration::from_secs(120);

fn run(options: Options) -> Result<Vec<Line>> {
    let cluster = Cluster::formed(1, HOSTS - 1)?;
    if !options.quick {
        docker_swarm::form(&cluster, 1)?;
    }
    let mut lines = Vec::new();
    for count in COUNTS {
        let (mut alone, mut theirs, mut ours) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..if options.quick { ROUNDS_QUICK } else { ROUNDS } {
            let tries = ALONE_CONCURRENCY.iter().map(|c| engines_alone(&cluster, count, *c));
            alone.push(tries.collect::<Result<Vec<_>>>()?.into_iter().min().context("no try")?);
            if !options.quick {
                theirs.push(service(count, |request| cluster.host(1).docker_api(request), &cluster)?);
            }
            ours.push(service(count, |request| cluster.api(1, request), &cluster)?);
        }
        let (alone, ours) = (median(&alone), median(&ours));
        let ratio = ours.as_secs_f64() / alone.as_secs_f64();
        lines.push(Line {
            what: format!("{count} replicas (engines alone: {})", millis(alone)),
            docker: (!options.quick).then(|| millis(median(&theirs))),
            ours: millis(ours),
            ratio: format!("{ratio:.2} × engines alone"),
            target: if count == 30 { format!("≤ {RATIO_MAX} × engines alone") } else { String::new() },
            reached: (count == 30).then_some(ratio <= RATIO_MAX),
            ..Line::default()
        });
    }
    Ok(lines)
}

/// Creates a service, waits until all of its tasks run, removes it and waits until its containers are gone.
fn service(count: usize, api: impl Fn(&Request) -> Result<swarm_testkit::Response>, cluster: &Cluster) -> Result<Duration> {
    let spec = json!({
        "Name": "bench",
        "TaskTemplate": {"ContainerSpec": {"Image": SLEEP, "StopGracePeriod": 0}},
        "Mode": {"Replicated": {"Replicas": count}},
    });
    let begun = Instant::now();
    api(&Request::post("/services/create", &spec))?.ok()?;
    let filters = json!({"service": ["bench"], "desired-state": ["running"]}).to_string();
    loop {
        let tasks = api(&Request::get("/tasks").query("filters", &filters))?.json()?;
        let running = |t: &&Value| t["Status"]["State"] == "running";
        if tasks.as_array().map_or(0, |t| t.iter().filter(running).count()) == count {
            break;
        }
        ensure!(begun.elapsed() < DEADLINE, "not running in time: {tasks}");
        thread::sleep(LOOK_EVERY);
    }
    let took = begun.elapsed();
    api(&Request::new("DELETE", "/services/bench"))?.ok()?;
    wait_empty(cluster)?;
    Ok(took)
}

fn wait_empty(cluster: &Cluster) -> Result<()> {
    until("the containers to be gone", DEADLINE, || {
        for host in cluster.bed().hosts() {
            let left = host.docker_api(&Request::get("/containers/json?all=1"))?.json()?;
            ensure!(left.as_array().is_some_and(Vec::is_empty), "{} has {left}", host.hostname());
        }
        Ok(())
    })
}

/// Creates and starts the containers by the engines' API, spread over the hosts.
fn engines_alone(cluster: &Cluster, count: usize, concurrency: usize) -> Result<Duration> {
    let next = AtomicUsize::new(0);
    let begun = Instant::now();
    thread::scope(|scope| {
        let mut workers = Vec::new();
        for (place, host) in cluster.bed().hosts().iter().enumerate() {
            let share = count / usize::from(HOSTS) + usize::from(place < count % usize::from(HOSTS));
            for _ in 0..concurrency.min(share) {
                let next = &next;
                let quota = share.div_ceil(concurrency.min(share));
                workers.push(scope.spawn(move || (0..quota).try_for_each(|_| run_one(host, next, count))));
            }
        }
        workers.into_iter().try_for_each(|w| w.join().expect("no worker panics"))
    })?;
    let took = begun.elapsed();
    for host in cluster.bed().hosts() {
        let all = host.docker_api(&Request::get("/containers/json?all=1"))?.json()?;
        for container in all.as_array().into_iter().flatten() {
            let id = container["Id"].as_str().context("a container without id")?;
            host.docker_api(&Request::new("DELETE", &format!("/containers/{id}?force=1")))?.ok()?;
        }
    }
    Ok(took)
}

fn run_one(host: &Host, next: &AtomicUsize, count: usize) -> Result<()> {
    if next.fetch_add(1, Ordering::Relaxed) >= count {
        return Ok(());
    }
    let made = host.docker_api(&Request::post("/containers/create", &json!({"Image": SLEEP})))?.json()?;
    let id = made["Id"].as_str().context("no id")?;
    host.docker_api(&Request::new("POST", &format!("/containers/{id}/start")))?.ok()?;
    Ok(())
}
