//! A worker's host is gone: how long until all of a service's tasks run on other hosts. Ours and Docker's lose the same host.

use super::{Options, Row, seconds, times};
use crate::{docker_swarm, report::Line};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::{
    thread,
    time::{Duration, Instant},
};
use swarm_testkit::{Cluster, Request, Response, SLEEP, until};

pub(super) const ROW: Row = Row { name: "host-gone", title: "Worker host gone → its tasks run elsewhere", run };

const WORKERS: u8 = 3;
const REPLICAS: usize = 8;
const KILLED_MAX: Duration = Duration::from_secs(6);
const SILENT_MAX: Duration = Duration::from_secs(12);
const LOOK_EVERY: Duration = Duration::from_millis(50);
const DEADLINE: Duration = Duration::from_secs(180);

type Api<'a> = &'a dyn Fn(&Request) -> Result<Response>;

fn run(options: Options) -> Result<Vec<Line>> {
    let cluster = Cluster::formed(1, WORKERS)?;
    let ours = |request: &Request| cluster.api(1, request);
    let theirs = |request: &Request| cluster.host(1).docker_api(request);
    let mut sides: Vec<Api<'_>> = vec![&ours];
    if !options.quick {
        docker_swarm::form(&cluster, 1)?;
        sides.push(&theirs);
    }
    for api in &sides {
        let spec = json!({
            "Name": "bench",
            "TaskTemplate": {"ContainerSpec": {"Image": SLEEP, "StopGracePeriod": 0}},
            "Mode": {"Replicated": {"Replicas": REPLICAS}},
        });
        api(&Request::post("/services/create", &spec))?.ok()?;
        until("the tasks", DEADLINE, || {
            let count = running(*api)?.len();
            ensure!(count == REPLICAS, "{count} run");
            Ok(())
        })?;
    }
    let killed = lose(&cluster, &sides, WORKERS + 1, |c, n| c.host(n).kill_all())?;
    let silent = lose(&cluster, &sides, WORKERS, |c, n| c.host(n).cut())?;
    Ok(vec![line("all its processes killed, connections closed", &killed, KILLED_MAX), line("cut off, silent", &silent, SILENT_MAX)])
}

/// Takes a host away and waits until every side has all tasks elsewhere; how long each took.
fn lose(cluster: &Cluster, sides: &[Api<'_>], number: u8, take_away: impl Fn(&Cluster, u8) -> Result<()>) -> Result<Vec<Duration>> {
    let hostname = cluster.host(number).hostname().to_owned();
    let lost = sides.iter().map(|api| node_of(*api, &hostname)).collect::<Result<Vec<_>>>()?;
    let begun = Instant::now();
    take_away(cluster, number)?;
    let mut took: Vec<Option<Duration>> = vec![None; sides.len()];
    while took.iter().any(Option::is_none) {
        for (place, api) in sides.iter().enumerate().filter(|(place, _)| took[*place].is_none()).collect::<Vec<_>>() {
            let nodes = running(*api)?;
            if nodes.len() == REPLICAS && !nodes.contains(&lost[place]) {
                took[place] = Some(begun.elapsed());
            }
        }
        ensure!(begun.elapsed() < DEADLINE, "the tasks do not come back: {took:?}");
        thread::sleep(LOOK_EVERY);
    }
    Ok(took.into_iter().flatten().collect())
}

/// The nodes of the tasks that run and are meant to.
fn running(api: Api<'_>) -> Result<Vec<Value>> {
    let filters = json!({"service": ["bench"], "desired-state": ["running"]}).to_string();
    let tasks = api(&Request::get("/tasks").query("filters", &filters))?.json()?;
    let tasks = tasks.as_array().context("no list")?;
    Ok(tasks.iter().filter(|t| t["Status"]["State"] == "running").map(|t| t["NodeID"].clone()).collect())
}

fn node_of(api: Api<'_>, hostname: &str) -> Result<Value> {
    let nodes = api(&Request::get("/nodes"))?.json()?;
    let found = nodes.as_array().and_then(|n| n.iter().find(|n| n["Description"]["Hostname"] == hostname));
    Ok(found.context("the host is no node")?["ID"].clone())
}

fn line(what: &str, took: &[Duration], target: Duration) -> Line {
    let theirs = took.get(1).copied();
    Line {
        what: what.to_owned(),
        docker: theirs.map(seconds),
        ours: seconds(took[0]),
        ratio: times(took[0], theirs),
        target: format!("≤ {} s", target.as_secs()),
        reached: Some(took[0] <= target),
        ..Line::default()
    }
}
