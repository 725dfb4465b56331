//! Hosts, daemons and connections that fail: workloads go on, move where they have to, and are never doubled.

mod daemons;
mod managers;
mod workers;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::Value;
use swarm_testkit::Cluster;
use swarm_tests::services::{all_containers, check_every, task_lines};
use swarm_tests::{LATER, Life, SOON, task_containers};

#[test]
fn workers_that_fail_lose_their_tasks() -> Result<()> {
    let cluster = Cluster::formed(1, 2)?;
    check_every(
        &cluster,
        &[
            ("a worker that is cut off", workers::cut_off),
            ("a killed host", workers::killed),
            ("a host without power", workers::without_power),
            ("a host that dies in an update", workers::killed_in_an_update),
        ],
    )
}

#[test]
fn daemons_that_fail_lose_nothing() -> Result<()> {
    let cluster = Cluster::formed(1, 2)?;
    check_every(
        &cluster,
        &[
            ("dockerd stops and starts", daemons::dockerd_stops_and_starts),
            ("the agent is killed while its service grows", daemons::agent_killed_while_scaling_up),
            ("the agent is restarted", daemons::agent_is_restarted),
            ("the only manager is killed", daemons::only_manager_is_killed),
        ],
    )
}

#[test]
fn three_managers_survive_one() -> Result<()> {
    let cluster = Cluster::formed(3, 0)?;
    check_every(
        &cluster,
        &[
            ("the leader's manager is killed", managers::leader_is_killed),
            ("the leader is killed in an update", managers::leader_is_killed_in_an_update),
            ("a manager's host is killed", managers::host_is_killed),
            ("all hosts lose power", managers::all_hosts_lose_power),
        ],
    )
}

/// The running containers of tasks on hosts, with their starts.
fn lives(cluster: &Cluster, numbers: &[u8]) -> Result<BTreeMap<String, Life>> {
    let mut all = BTreeMap::new();
    for number in numbers {
        all.extend(task_containers(cluster.host(*number))?);
    }
    Ok(all)
}

/// Checks that all containers of `before` still run on these hosts and were not restarted.
fn untouched(cluster: &Cluster, numbers: &[u8], before: &BTreeMap<String, Life>) -> Result<()> {
    let after = lives(cluster, numbers)?;
    let same = before.iter().all(|(id, life)| after.get(id) == Some(life));
    ensure!(same, "containers were touched:\n{before:?}\n{after:?}");
    Ok(())
}

/// Waits until `count` tasks of a service run and none of them is on the node, and gives the time it took since `start`.
fn moved_away(cluster: &Cluster, name: &str, count: usize, node: &str, (start, limit): (Instant, Duration)) -> Result<Duration> {
    cluster.until(&format!("{count} tasks of {name} elsewhere"), LATER, || {
        let tasks = cluster.running_tasks(name)?;
        let elsewhere = tasks.iter().filter(|task| task["NodeID"] != node).count();
        let all = elsewhere == count && tasks.len() == count;
        ensure!(all, "{}", task_lines(cluster, name)?);
        Ok(())
    })?;
    let took = start.elapsed();
    ensure!(took < limit, "tasks of {name} were elsewhere only after {took:?}, limit {limit:?}");
    Ok(took)
}

/// Checks that exactly `count` tasks of a service run, none of them on the node: nothing moves back by itself.
fn stays_away(cluster: &Cluster, name: &str, count: usize, node: &str) -> Result<()> {
    let tasks = cluster.wait_running(name, count, SOON)?;
    let away = tasks.iter().all(|task| task["NodeID"] != node);
    ensure!(away, "{}", task_lines(cluster, name)?);
    Ok(())
}

fn wait_state(cluster: &Cluster, number: u8, state: &str) -> Result<()> {
    cluster.until(&format!("h{number} {state}"), LATER, || {
        let node = cluster.node(number)?;
        ensure!(node["Status"]["State"] == state, "{}", node["Status"]);
        Ok(())
    })
}

/// Waits until not even ended containers of the services are on a host.
fn nothing_left(cluster: &Cluster, number: u8, names: &[&str]) -> Result<()> {
    cluster.until(&format!("nothing of {names:?} on h{number}"), SOON, || {
        for name in names {
            let left = all_containers(cluster, number, name)?;
            ensure!(left.is_empty(), "{name}: {left:?}");
        }
        Ok(())
    })
}

/// Boots a host that is off, with its agent.
fn boot(cluster: &Cluster, number: u8) -> Result<()> {
    cluster.host(number).power_on()?;
    cluster.agent(number).start_again()
}

/// Waits until all tasks of a service that run are `new`, and as many as wanted.
fn wait_all_new(cluster: &Cluster, name: &str, count: usize, is_new: impl Fn(&Value) -> bool) -> Result<()> {
    cluster.until(&format!("{count} new tasks of {name}"), LATER, || {
        let tasks = cluster.running_tasks(name)?;
        let all = tasks.len() == count && tasks.iter().all(&is_new);
        ensure!(all, "{}", task_lines(cluster, name)?);
        let containers = cluster.containers(name)?;
        ensure!(containers.len() == count, "{containers:?}");
        Ok(())
    })
}
