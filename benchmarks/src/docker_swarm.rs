//! Docker Swarm on the engines under our agents.

use anyhow::{Result, ensure};
use std::time::Duration;
use swarm_testkit::{Cluster, Host, Request, until};

const DEADLINE: Duration = Duration::from_secs(120);
/// Our manager has port 2377 of these hosts.
const PORT: u16 = 2477;

/// Makes a swarm of the engines of a cluster's hosts: the first `managers` are managers. The first leads.
///
/// # Errors
/// When a node does not join in time.
pub fn form(cluster: &Cluster, managers: u8) -> Result<()> {
    let first = cluster.host(1);
    let address = |host: &Host| format!("{}:{PORT}", host.ip());
    first.docker(&["swarm", "init", "--advertise-addr", &address(first), "--listen-addr", &address(first)])?.ok()?;
    let count = cluster.bed().hosts().len();
    for host in &cluster.bed().hosts()[1..] {
        let role = if host.number() <= managers { "manager" } else { "worker" };
        let token = first.docker(&["swarm", "join-token", "-q", role])?.ok()?;
        let own = address(host);
        let join = ["swarm", "join", "--token", token.trim(), "--advertise-addr", &own, "--listen-addr", &own, &address(first)];
        host.docker(&join)?.ok()?;
    }
    until("Docker Swarm's nodes", DEADLINE, || {
        let nodes = first.docker_api(&Request::get("/nodes"))?.json()?;
        let ready = nodes.as_array().map_or(0, |n| n.iter().filter(|n| n["Status"]["State"] == "ready").count());
        ensure!(ready == count, "{ready} are ready");
        Ok(())
    })
}

/// Whether the engine of a host leads its swarm, as it says itself.
///
/// # Errors
/// When the engine does not answer.
pub fn leads(host: &Host) -> Result<bool> {
    let nodes = host.docker_api(&Request::get("/nodes"))?.json()?;
    let own = host.docker_api(&Request::get("/info"))?.json()?["Swarm"]["NodeID"].clone();
    Ok(nodes.as_array().is_some_and(|n| n.iter().any(|n| n["ID"] == own && n["ManagerStatus"]["Leader"] == true)))
}
