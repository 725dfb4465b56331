//! `docker swarm …` and the Swarm section of `docker info`.

use anyhow::{Context, Result, ensure};
use swarm_testkit::{Request, Role};
use swarm_tests::{LATER, daemon_says, node_id, prints, text, text_at};

use crate::Scene;

pub(crate) fn outside_a_swarm(scene: &Scene) -> Result<()> {
    daemon_says(&scene.docker(1, &["node", "ls"])?, text::NO_SWARM)?;
    daemon_says(&scene.docker(1, &["service", "ls"])?, text::NO_SWARM)?;
    daemon_says(&scene.docker(1, &["swarm", "join-token", "worker"])?, text::NO_SWARM)?;
    daemon_says(&scene.docker(1, &["swarm", "leave"])?, text::NOT_PART)?;
    let token = "SWMTKN-1-abc-def";
    let output = scene.docker(2, &["swarm", "join", "--token", token, "192.0.2.1:2377"])?;
    daemon_says(&output, "invalid join token")?;
    let info = scene.docker(1, &["info"])?.ok()?;
    ensure!(info.contains(" Swarm: inactive\n"), "{info}");
    Ok(())
}

pub(crate) fn a_cluster_is_made(scene: &Scene) -> Result<()> {
    let cluster = &scene.cluster;
    let ip = cluster.host(1).ip().to_string();
    let output = scene.docker(1, &["swarm", "init", "--advertise-addr", &ip])?;
    let id = node_id(cluster.agent(1))?;
    let worker = cluster.join_token(Role::Worker)?.1;
    prints(
        output,
        &format!(
            "Swarm initialized: current node ({id}) is now a manager.\n\n{}\n\n\
             To add a manager to this swarm, run 'docker swarm join-token manager' and follow the instructions.",
            how_to_join("worker", &worker, &ip)
        ),
    )?;
    daemon_says(&scene.docker(1, &["swarm", "init"])?, text::ALREADY)?;

    let manager = cluster.join_token(Role::Manager)?.1;
    prints(scene.docker(1, &["swarm", "join-token", "manager"])?, &how_to_join("manager", &manager, &ip))?;
    prints(scene.docker(1, &["swarm", "join-token", "-q", "worker"])?, &worker)?;
    let output = scene.docker(1, &["swarm", "join-token", "--rotate", "worker"])?;
    let new = cluster.join_token(Role::Worker)?.1;
    let how = how_to_join("worker", &new, &ip);
    prints(output, &format!("Successfully rotated worker join token.\n\n{how}"))?;

    let remote = format!("{ip}:2377");
    daemon_says(&scene.docker(2, &["swarm", "join", "--token", &worker, &remote])?, text::TOKEN)?;
    let output = scene.docker(2, &["swarm", "join", "--token", &new, &remote])?;
    prints(output, "This node joined a swarm as a worker.")?;
    daemon_says(&scene.docker(2, &["swarm", "join", "--token", &new, &remote])?, text::ALREADY)?;
    daemon_says(&scene.docker(2, &["node", "ls"])?, text::WORKER)?;
    cluster.wait_ready(1, 1)
}

pub(crate) fn info_has_a_swarm_section(scene: &Scene) -> Result<()> {
    let cluster = &scene.cluster;
    let swarm = cluster.api(1, &Request::get("/swarm"))?.json()?;
    let cluster_id = text_at(&swarm, "/ID").context("no id")?;
    let (manager, worker) = (node_id(cluster.agent(1))?, node_id(cluster.agent(2))?);
    let (ip, worker_ip) = (cluster.host(1).ip(), cluster.host(2).ip());
    let expected = format!(
        " Swarm: active
  NodeID: {manager}
  Is Manager: true
  ClusterID: {cluster_id}
  Managers: 1
  Nodes: 2
  Default Address Pool: 10.0.0.0/8  
  SubnetSize: 24
  Data Path Port: 4789
  Orchestration:
   Task History Retention Limit: 5
  Raft:
   Snapshot Interval: 10000
   Number of Old Snapshots to Retain: 0
   Heartbeat Tick: 1
   Election Tick: 10
  Dispatcher:
   Heartbeat Period: 5 seconds
  CA Configuration:
   Expiry Duration: 3 months
   Force Rotate: 0
  Autolock Managers: false
  Root Rotation In Progress: false
  Node Address: {ip}
  Manager Addresses:
   {ip}:2377
"
    );
    let info = scene.docker(1, &["info"])?.ok()?;
    ensure!(info.contains(&expected), "should have in it:\n{expected}\n{info}");
    let expected = format!(
        " Swarm: active
  NodeID: {worker}
  Is Manager: false
  Node Address: {worker_ip}
  Manager Addresses:
   {ip}:2377
"
    );
    let info = scene.docker(2, &["info"])?.ok()?;
    ensure!(info.contains(&expected), "should have in it:\n{expected}\n{info}");
    Ok(())
}

pub(crate) fn the_swarm_is_changed(scene: &Scene) -> Result<()> {
    let args = ["swarm", "update", "--task-history-limit", "7", "--dispatcher-heartbeat", "6s", "--cert-expiry", "720h"];
    prints(scene.docker(1, &args)?, "Swarm updated.")?;
    let spec = &scene.cluster.api(1, &Request::get("/swarm"))?.json()?["Spec"];
    ensure!(
        spec["Orchestration"]["TaskHistoryRetentionLimit"] == 7
            && spec["Dispatcher"]["HeartbeatPeriod"] == 6_000_000_000_u64
            && spec["CAConfig"]["NodeCertExpiry"] == 2_592_000_000_000_000_u64,
        "{spec}"
    );
    let output = scene.docker(1, &["swarm", "update", "--cert-expiry", "10m"])?;
    let expiry = "rpc error: code = InvalidArgument desc = minimum certificate expiry time is: 1h0m0s";
    daemon_says(&output, expiry)
}

pub(crate) fn nodes_leave(scene: &Scene) -> Result<()> {
    let cluster = &scene.cluster;
    let id = node_id(cluster.agent(2))?;
    let ready = format!("rpc error: code = FailedPrecondition desc = node {id} is not down and can't be removed");
    daemon_says(&scene.docker(1, &["node", "rm", "h2"])?, &ready)?;
    prints(scene.docker(2, &["swarm", "leave"])?, "Node left the swarm.")?;
    cluster.until("a node that is down", LATER, || {
        let state = scene.docker(1, &["node", "ls", "--filter", "name=h2", "--format", "{{.Status}}"])?.ok()?;
        ensure!(state == "Down", "{state}");
        Ok(())
    })?;
    prints(scene.docker(1, &["node", "rm", "h2"])?, "h2")?;
    let output = scene.docker(1, &["swarm", "leave"])?;
    ensure!(output.code() == Some(1), "{output}");
    output.fails_with("Removing the last manager erases all current state of the swarm. Use `--force`")?;
    prints(scene.docker(1, &["swarm", "leave", "--force"])?, "Node left the swarm.")?;
    let info = scene.docker(1, &["info", "--format", "{{.Swarm.LocalNodeState}}"])?.ok()?;
    ensure!(info == "inactive", "{info}");
    Ok(())
}

fn how_to_join(word: &str, token: &str, ip: &str) -> String {
    format!("To add a {word} to this swarm, run the following command:\n\n    docker swarm join --token {token} {ip}:2377")
}
