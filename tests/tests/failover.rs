//! The leader dies: how long until the next write is taken, and whether all that was acknowledged is still there.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use swarm_testkit::{Cluster, Request, SLEEP};
use swarm_tests::{LATER, SOON, create_service, service_spec, text_at};

/// Leaders that are killed.
const ROUNDS: usize = 5;
/// One second is what it should take; the machine may be busy.
const NEXT_WRITE_MAX: Duration = Duration::from_secs(5);
/// Between two tries of the writer.
const PAUSE: Duration = Duration::from_millis(20);
/// A host that falls silent is missed as soon as a broken one: by Raft's heartbeats.
const NEXT_WRITE_SILENT_MAX: Duration = Duration::from_secs(8);

#[test]
fn writes_go_on_soon_after_the_leader_is_killed() -> Result<()> {
    let cluster = Cluster::formed(3, 0)?;
    let checked = kill_leaders(&cluster).and_then(|()| silence_the_leader(&cluster)).and_then(|()| lose_the_majority(&cluster));
    checked.map_err(|error| anyhow::anyhow!("{error:#}\n{}", cluster.logs()))
}

fn kill_leaders(cluster: &Cluster) -> Result<()> {
    let mut acknowledged = BTreeSet::new();
    let mut times = Vec::new();
    for round in 0..ROUNDS {
        for n in 0..10 {
            let name = format!("before-{round}-{n}");
            create_service(cluster, other(leader(cluster)?), &service_spec(&name, SLEEP, 0))?;
            acknowledged.insert(name);
        }
        let leads = leader(cluster)?;
        let manager = cluster.agent(leads).manager().context("the leader has no manager")?;
        // The agent first: it must not start the manager again.
        cluster.agent(leads).kill()?;
        manager.kill()?;
        let (name, took) = next_write(cluster, other(leads), &format!("after-{round}"))?;
        acknowledged.insert(name);
        println!("round {}: the next write was taken after {took:?}", round + 1);
        times.push(took);
        cluster.agent(leads).start_again()?;
        cluster.wait_ready(3, 0)?;
    }
    times.sort();
    println!("leader killed to next write: median {:?}, worst {:?}", times[ROUNDS / 2], times[ROUNDS - 1]);
    everywhere(cluster, &acknowledged)?;
    ensure!(times[ROUNDS - 1] <= NEXT_WRITE_MAX, "the next write took {:?}", times[ROUNDS - 1]);
    Ok(())
}

fn silence_the_leader(cluster: &Cluster) -> Result<()> {
    let leads = leader(cluster)?;
    cluster.host(leads).cut()?;
    let (name, took) = next_write(cluster, other(leads), "after-silence")?;
    println!("leader silent to next write: {took:?}");
    cluster.host(leads).heal()?;
    cluster.wait_ready(3, 0)?;
    everywhere(cluster, &BTreeSet::from([name]))?;
    ensure!(took <= NEXT_WRITE_SILENT_MAX, "the next write took {took:?}");
    Ok(())
}

/// A leader without a majority says so and takes nothing; when all managers start again, everything is there.
fn lose_the_majority(cluster: &Cluster) -> Result<()> {
    let name = "before-the-loss".to_owned();
    create_service(cluster, 1, &service_spec(&name, SLEEP, 0))?;
    let leads = leader(cluster)?;
    let managers: Vec<_> = (1..=3).filter_map(|n| cluster.agent(n).manager().map(|m| (n, m))).collect();
    for (n, manager) in managers.iter().filter(|(n, _)| *n != leads) {
        cluster.agent(*n).kill()?;
        manager.kill()?;
    }
    let refused = |what: &str| {
        cluster.until(what, SOON, || {
            for request in [Request::get("/nodes"), Request::post("/services/create", &service_spec("never", SLEEP, 0))] {
                let answer = cluster.api(leads, &request)?;
                ensure!(answer.status >= 500 && answer.text().contains("does not have a leader"), "{}: {}", answer.status, answer.text());
            }
            let info = cluster.api(leads, &Request::get("/info"))?.json()?;
            let error = text_at(&info, "/Swarm/Error").unwrap_or_default();
            ensure!(error.contains("does not have a leader"), "/info says {error:?}");
            Ok(())
        })
    };
    refused("a leader that says it has no majority")?;
    let alone = cluster.agent(leads).manager().context("the last manager is gone")?;
    alone.kill()?;
    let again = cluster.until("the last manager again", SOON, || cluster.agent(leads).manager().context("no manager"))?;
    refused("a manager that starts without a majority and says so")?;
    cluster.agent(leads).kill()?;
    again.kill()?;
    std::thread::scope(|scope| {
        let starts: Vec<_> = (1..=3).map(|n| scope.spawn(move || cluster.agent(n).start_again())).collect();
        starts.into_iter().try_for_each(|start| start.join().map_err(|_| anyhow::anyhow!("a start panicked"))?)
    })?;
    let begun = Instant::now();
    cluster.wait_ready(3, 0)?;
    println!("all three managers started at once: ready after {:?}", begun.elapsed());
    everywhere(cluster, &BTreeSet::from([name]))
}

/// Tries until a write is acknowledged; its name, and the time that took.
fn next_write(cluster: &Cluster, number: u8, prefix: &str) -> Result<(String, Duration)> {
    let start = Instant::now();
    let mut tries = 0;
    loop {
        // A name of its own for each try: one that failed may have been stored all the same.
        let name = format!("{prefix}-{tries}");
        match create_service(cluster, number, &service_spec(&name, SLEEP, 0)) {
            Ok(_) => return Ok((name, start.elapsed())),
            Err(error) => ensure!(start.elapsed() < LATER, "no write was taken: {error:#}"),
        }
        tries += 1;
        std::thread::sleep(PAUSE);
    }
}

/// Every manager knows these services.
fn everywhere(cluster: &Cluster, names: &BTreeSet<String>) -> Result<()> {
    for number in 1..=3 {
        let answer = cluster.api(number, &Request::get("/services"))?.json()?;
        let services = answer.as_array().context("not a list")?;
        let found: BTreeSet<String> = services.iter().filter_map(|s| text_at(s, "/Spec/Name")).collect();
        let lost: Vec<_> = names.difference(&found).collect();
        ensure!(lost.is_empty(), "h{number} does not know writes that were acknowledged: {lost:?}");
    }
    Ok(())
}

/// The number of the host whose manager leads.
fn leader(cluster: &Cluster) -> Result<u8> {
    cluster.until("a leader", SOON, || {
        let nodes = cluster.nodes()?;
        let leads = |node: &&Value| node.pointer("/ManagerStatus/Leader") == Some(&Value::Bool(true));
        let node = nodes.iter().find(leads).context("nobody leads")?;
        let name = text_at(node, "/Description/Hostname").context("a node without a name")?;
        (1..=3).find(|n| cluster.host(*n).hostname() == name).with_context(|| format!("no host {name}"))
    })
}

fn other(than: u8) -> u8 {
    than % 3 + 1
}
