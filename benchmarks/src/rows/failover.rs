//! The leader's processes are killed: how long until the next write is accepted by another manager.

use super::{Options, Row, median, seconds, times, worst};
use crate::{docker_swarm, report::Line};
use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use std::{
    thread,
    time::{Duration, Instant},
};
use swarm_testkit::{Cluster, Request, Response, until};

pub(super) const ROW: Row = Row { name: "failover", title: "Leader killed (kill -9) → next write accepted, three managers", run };

const HOSTS: u8 = 3;
const ROUNDS: usize = 10;
const ROUNDS_QUICK: usize = 3;
/// Docker takes long, so it is asked less often.
const ROUNDS_DOCKER: usize = 3;
const MEDIAN_MAX: Duration = Duration::from_millis(1000);
const WORST_MAX: Duration = Duration::from_millis(1500);
/// Between two tries of the writer.
const PAUSE: Duration = Duration::from_millis(10);
const DEADLINE: Duration = Duration::from_secs(120);

fn run(options: Options) -> Result<Vec<Line>> {
    let cluster = Cluster::formed(HOSTS, 0)?;
    let ours = (0..if options.quick { ROUNDS_QUICK } else { ROUNDS }).map(|n| ours(&cluster, n)).collect::<Result<Vec<_>>>()?;
    let theirs = if options.quick {
        None
    } else {
        docker_swarm::form(&cluster, HOSTS)?;
        Some((0..ROUNDS_DOCKER).map(|n| theirs(&cluster, n)).collect::<Result<Vec<_>>>()?)
    };
    let text = |all: &[Duration]| format!("median {}, worst {} of {}", seconds(median(all)), seconds(worst(all)), all.len());
    Ok(vec![Line {
        what: "next write".to_owned(),
        docker: theirs.as_ref().map(|t| text(t)),
        ours: text(&ours),
        ratio: times(median(&ours), theirs.as_ref().map(|t| median(t))),
        target: format!("median ≤ {}, worst ≤ {}", seconds(MEDIAN_MAX), seconds(WORST_MAX)),
        reached: Some(median(&ours) <= MEDIAN_MAX && worst(&ours) <= WORST_MAX),
        ..Line::default()
    }])
}

fn ours(cluster: &Cluster, round: usize) -> Result<Duration> {
    let leads = until("a leader of ours", DEADLINE, || {
        let number = (1..=HOSTS).find(|n| leads_ours(cluster, *n).unwrap_or(false));
        number.context("no manager leads")
    })?;
    let agent = cluster.agent(leads);
    let manager = agent.manager().context("the leader has no manager")?;
    // The agent first: it must not start the manager again.
    agent.kill()?;
    manager.kill()?;
    let other = leads % HOSTS + 1;
    let took = next_write(&format!("ours-{round}"), |request| cluster.api(other, request))?;
    agent.start_again()?;
    cluster.wait_ready(HOSTS, 0)?;
    Ok(took)
}

fn leads_ours(cluster: &Cluster, number: u8) -> Result<bool> {
    let own = cluster.api(number, &Request::get("/info"))?.json()?["Swarm"]["NodeID"].clone();
    let nodes = cluster.api(number, &Request::get("/nodes"))?.json()?;
    Ok(nodes.as_array().is_some_and(|n| n.iter().any(|n| n["ID"] == own && n["ManagerStatus"]["Leader"] == true)))
}

fn theirs(cluster: &Cluster, round: usize) -> Result<Duration> {
    let leads = until("a leader of Docker's", DEADLINE, || {
        let number = (1..=HOSTS).find(|n| docker_swarm::leads(cluster.host(*n)).unwrap_or(false));
        number.context("no engine leads")
    })?;
    let host = cluster.host(leads);
    host.kill_dockerd()?;
    let other = cluster.host(leads % HOSTS + 1);
    let took = next_write(&format!("theirs-{round}"), |request| other.docker_api(request))?;
    host.start_dockerd()?;
    until("Docker's managers to be reachable", DEADLINE, || {
        let nodes = other.docker_api(&Request::get("/nodes"))?.json()?;
        let good = |n: &&serde_json::Value| n["ManagerStatus"]["Reachability"] == "reachable" && n["Status"]["State"] == "ready";
        let good = nodes.as_array().map_or(0, |n| n.iter().filter(good).count());
        ensure!(good == usize::from(HOSTS), "{good} are reachable");
        Ok(())
    })?;
    Ok(took)
}

/// Tries to create a service without tasks until it is there. A try that failed may have been stored all the same.
fn next_write(name: &str, api: impl Fn(&Request) -> Result<Response>) -> Result<Duration> {
    let spec = json!({
        "Name": name,
        "TaskTemplate": {"ContainerSpec": {"Image": "none"}},
        "Mode": {"Replicated": {"Replicas": 0}},
    });
    let begun = Instant::now();
    loop {
        match api(&Request::post("/services/create", &spec)) {
            Ok(answer) if answer.status == 201 || answer.status == 409 => return Ok(begun.elapsed()),
            other if begun.elapsed() > DEADLINE => bail!("no write was accepted: {other:?}"),
            // Refused for want of a leader, or the connection broke.
            _ => thread::sleep(PAUSE),
        }
    }
}
