//! Getting out of a swarm.

use anyhow::{Context, Result, ensure};
use serde_json::json;
use swarm_testkit::{Role, SLEEP};
use swarm_tests::{LATER, SOON, create_service, daemon_says, node_id, prints, service_spec, task_containers, text_at};

use crate::Scene;

const LEFT: &str = "Node left the swarm.";
const ATTEMPT: &str = "You are attempting to leave the swarm on a node that is participating as a manager. ";
const CONSENSUS: &str = "The only way to restore a swarm that has lost consensus is to reinitialize it with \
     `--force-new-cluster`. Use `--force` to suppress this message.";

/// The first and third host are managers, the second is a worker.
pub(crate) fn a_worker_leaves_and_comes_back(scene: &Scene) -> Result<()> {
    let cluster = &scene.cluster;
    let mut spec = service_spec("everywhere", SLEEP, 0);
    spec["Mode"] = json!({"Global": {}});
    create_service(cluster, 1, &spec)?;
    cluster.wait_running("everywhere", 3, SOON)?;
    let first_id = node_id(cluster.agent(2))?;

    prints(cluster.swarm(2, &["leave"])?, LEFT)?;
    scene.is_outside(cluster.agent(2))?;
    let left = task_containers(cluster.host(2))?;
    ensure!(left.is_empty(), "containers are left: {left:?}");
    becomes_down(scene, 2)?;
    prints(cluster.swarm(3, &["node", "rm", "h2"])?, "h2")?;
    ensure!(cluster.nodes()?.len() == 2, "{:?}", cluster.nodes()?);

    cluster.join(2, Role::Worker)?;
    cluster.wait_ready(2, 1)?;
    ensure!(node_id(cluster.agent(2))? != first_id, "it has its old id");
    cluster.wait_running("everywhere", 3, SOON)?;
    Ok(())
}

pub(crate) fn a_worker_is_removed(scene: &Scene) -> Result<()> {
    let cluster = &scene.cluster;
    let id = node_id(cluster.agent(2))?;
    let ready = format!("rpc error: code = FailedPrecondition desc = node {id} is not down and can't be removed");
    daemon_says(&cluster.swarm(1, &["node", "rm", "h2"])?, &ready)?;
    daemon_says(&cluster.swarm(1, &["node", "rm", "nobody"])?, "node nobody not found")?;
    // What can be removed is removed, what cannot is told.
    let output = cluster.swarm(1, &["node", "rm", "--force", "nobody", &id[..24]])?;
    ensure!(output.code() == Some(1) && output.stdout.trim() == &id[..24], "{output}");
    output.fails_with("node nobody not found")?;
    let nodes = cluster.nodes()?;
    ensure!(nodes.len() == 2, "{nodes:?}");
    cluster.until("no task of the removed node", SOON, || {
        let tasks = cluster.running_tasks("everywhere")?;
        ensure!(tasks.len() == 2 && tasks.iter().all(|task| task["NodeID"] != id), "{tasks:?}");
        Ok(())
    })?;

    // The host itself gets out and in again without further ado.
    prints(cluster.swarm(2, &["leave"])?, LEFT)?;
    scene.is_outside(cluster.agent(2))?;
    cluster.join(2, Role::Worker)?;
    cluster.wait_ready(2, 1)?;
    cluster.wait_running("everywhere", 3, SOON)?;
    Ok(())
}

/// Hosts 1, 3 and 4 are managers, the second is a worker.
pub(crate) fn a_manager_leaves_with_force_only(scene: &Scene) -> Result<()> {
    let cluster = &scene.cluster;
    daemon_says(&cluster.swarm(4, &["leave"])?, &format!("{ATTEMPT}{CONSENSUS}"))?;
    let id = node_id(cluster.agent(4))?;
    let manager = format!(
        "rpc error: code = FailedPrecondition desc = node {id} is a cluster manager and is a member of the raft \
         cluster. It must be demoted to worker before removal"
    );
    for args in [&["node", "rm", "h4"][..], &["node", "rm", "--force", "h4"]] {
        daemon_says(&cluster.swarm(3, args)?, &manager)?;
    }
    cluster.wait_ready(3, 1)?;

    prints(cluster.swarm(4, &["leave", "--force"])?, LEFT)?;
    scene.is_outside(cluster.agent(4))?;
    becomes_down(scene, 4)?;
    prints(cluster.swarm(3, &["node", "rm", "h4"])?, "h4")?;
    cluster.wait_ready(2, 1)
}

/// Docker warns that this ends the swarm. Here the one that leaves takes itself out of the vote first.
pub(crate) fn the_last_but_one_manager_leaves(scene: &Scene) -> Result<()> {
    let cluster = &scene.cluster;
    let quorum = "Removing this node leaves 1 managers out of 2. Without a Raft quorum your swarm will be inaccessible. ";
    daemon_says(&cluster.swarm(3, &["leave"])?, &format!("{ATTEMPT}{quorum}{CONSENSUS}"))?;
    prints(cluster.swarm(3, &["leave", "--force"])?, LEFT)?;
    scene.is_outside(cluster.agent(3))?;
    becomes_down(scene, 3)?;
    prints(cluster.swarm(1, &["node", "rm", "h3"])?, "h3")?;
    cluster.wait_ready(1, 1)
}

/// A worker that has lost all managers keeps its containers until it is told to leave.
pub(crate) fn the_last_manager_leaves(scene: &Scene) -> Result<()> {
    let cluster = &scene.cluster;
    let last = "Removing the last manager erases all current state of the swarm. Use `--force` to ignore this message.";
    daemon_says(&cluster.swarm(1, &["leave"])?, &format!("{ATTEMPT}{last}"))?;
    create_service(cluster, 1, &{
        let mut spec = service_spec("stays", SLEEP, 2);
        spec["TaskTemplate"]["Placement"] = json!({"Constraints": ["node.hostname == h2"]});
        spec
    })?;
    cluster.wait_running("stays", 2, SOON)?;
    let before = task_containers(cluster.host(2))?;
    let swarm_id = swarm_id(scene)?;

    prints(cluster.swarm(1, &["leave", "--force"])?, LEFT)?;
    scene.is_outside(cluster.agent(1))?;
    let ours = task_containers(cluster.host(1))?;
    ensure!(ours.is_empty(), "containers are left: {ours:?}");
    ensure!(task_containers(cluster.host(2))? == before, "the worker's containers changed");

    prints(cluster.swarm(2, &["leave"])?, LEFT)?;
    scene.is_outside(cluster.agent(2))?;
    let left = task_containers(cluster.host(2))?;
    ensure!(left.is_empty(), "containers are left: {left:?}");

    // From here a new swarm can be made that knows nothing of the old one.
    cluster.init(1)?;
    cluster.join(2, Role::Worker)?;
    cluster.wait_ready(1, 1)?;
    ensure!(swarm_id != self::swarm_id(scene)?, "the old swarm's id");
    let services = cluster.swarm(1, &["service", "ls", "-q"])?.ok()?;
    ensure!(services.is_empty(), "{services}");
    Ok(())
}

fn becomes_down(scene: &Scene, number: u8) -> Result<()> {
    scene.cluster.until("a node that is down", LATER, || {
        let node = scene.cluster.node(number)?;
        ensure!(node["Status"]["State"] == "down", "{node}");
        Ok(())
    })
}

fn swarm_id(scene: &Scene) -> Result<String> {
    let swarm = scene.cluster.api(1, &swarm_testkit::Request::get("/swarm"))?.json()?;
    text_at(&swarm, "/ID").context("a swarm without an id")
}
