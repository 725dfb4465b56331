//! Promoting and demoting nodes, the leader included, undisturbed and with kills on the way.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use swarm_testkit::{Cluster, SLEEP};
use swarm_tests::{LATER, SOON, check_cluster, create_service, daemon_says, node_id, prints, remove_service, service_spec, text_at};

#[test]
fn roles_change_and_end_right() -> Result<()> {
    let cluster = Cluster::formed(1, 3)?;
    create_service(&cluster, 1, &service_spec("steady", SLEEP, 4))?;
    cluster.wait_running("steady", 4, SOON)?;
    check_cluster(
        &cluster,
        &[
            ("the last manager stays", the_last_manager_stays),
            ("two workers are promoted at once", two_are_promoted),
            ("the agent is killed in a promotion and in a demotion", the_agent_is_killed),
            ("the manager is killed in a promotion and in a demotion", the_manager_is_killed),
            ("the leader is demoted", the_leader_is_demoted),
            ("a manager that is gone is demoted", one_that_is_gone_is_demoted),
            ("all but one are demoted", all_but_one_are_demoted),
        ],
    )
}

const LAST: &str = "rpc error: code = FailedPrecondition desc = attempting to demote the last manager of the swarm";
const QUORUM: &str = "rpc error: code = FailedPrecondition desc = can't remove member from the raft: this would result in a loss of quorum";

fn the_last_manager_stays(cluster: &Cluster) -> Result<()> {
    daemon_says(&cluster.swarm(1, &["node", "demote", "h1"])?, LAST)?;
    daemon_says(&cluster.docker(1, &["node", "update", "--role", "worker", "h1"])?, LAST)
}

fn two_are_promoted(cluster: &Cluster) -> Result<()> {
    let told = "Node h2 promoted to a manager in the swarm.\nNode h3 promoted to a manager in the swarm.";
    prints(cluster.swarm(1, &["node", "promote", "h2", "h3"])?, told)?;
    are_managers(cluster, &[1, 2, 3])?;
    let again = format!("Node {} is already a manager.", node_id(cluster.agent(2))?);
    prints(cluster.swarm(3, &["node", "promote", "h2"])?, &again)?;
    untouched(cluster)
}

/// At several moments, since each has another step under way.
fn the_agent_is_killed(cluster: &Cluster) -> Result<()> {
    for pause_ms in [0, 700, 1500] {
        prints(cluster.docker(1, &["node", "promote", "h4"])?, "Node h4 promoted to a manager in the swarm.")?;
        kill_agent(cluster, pause_ms)?;
        are_managers(cluster, &[1, 2, 3, 4])?;
        prints(cluster.docker(2, &["node", "demote", "h4"])?, "Manager h4 demoted in the swarm.")?;
        kill_agent(cluster, pause_ms)?;
        are_managers(cluster, &[1, 2, 3])?;
    }
    untouched(cluster)
}

/// The moment is what is tested, so there is no condition to wait for.
fn kill_agent(cluster: &Cluster, pause_ms: u64) -> Result<()> {
    std::thread::sleep(Duration::from_millis(pause_ms));
    cluster.agent(4).kill()?;
    cluster.agent(4).start_again()
}

fn the_manager_is_killed(cluster: &Cluster) -> Result<()> {
    prints(cluster.swarm(1, &["node", "update", "--role", "manager", "h4"])?, "h4")?;
    let manager = cluster.until("a manager on h4", SOON, || cluster.agent(4).manager().context("none yet"))?;
    manager.kill()?;
    are_managers(cluster, &[1, 2, 3, 4])?;
    let manager = cluster.agent(4).manager().context("no manager")?;
    prints(cluster.swarm(1, &["node", "update", "--role", "worker", "h4"])?, "h4")?;
    manager.kill()?;
    are_managers(cluster, &[1, 2, 3])?;
    untouched(cluster)
}

fn the_leader_is_demoted(cluster: &Cluster) -> Result<()> {
    let leads = leader(cluster)?;
    prints(cluster.swarm(leads, &["node", "demote", &format!("h{leads}")])?, &format!("Manager h{leads} demoted in the swarm."))?;
    let others: Vec<u8> = (1..=3).filter(|number| *number != leads).collect();
    are_managers(cluster, &others)?;
    ensure!(leader(cluster)? != leads);
    let id = create_service(cluster, others[0], &service_spec("after", SLEEP, 2))?;
    ensure!(!id.is_empty());
    cluster.wait_running("after", 2, SOON)?;
    remove_service(cluster, others[1], "after")?;
    prints(
        cluster.swarm(others[0], &["node", "promote", &format!("h{leads}")])?,
        &format!("Node h{leads} promoted to a manager in the swarm."),
    )?;
    are_managers(cluster, &[1, 2, 3])?;
    untouched(cluster)
}

/// Without one of three, another one must stay; the one that is gone may go, and follows when it is back.
fn one_that_is_gone_is_demoted(cluster: &Cluster) -> Result<()> {
    let leads = leader(cluster)?;
    let mut others = (1..=3).filter(|number| *number != leads);
    let (stays, gone) = (others.next().context("no other")?, others.next().context("no other")?);
    cluster.host(gone).power_off()?;
    cluster.until("the dead manager told so", LATER, || {
        let node = cluster.node(gone)?;
        ensure!(text_at(&node, "/ManagerStatus/Reachability").as_deref() == Some("unreachable"), "{node}");
        Ok(())
    })?;
    for number in [stays, leads] {
        daemon_says(&cluster.swarm(leads, &["node", "demote", &format!("h{number}")])?, QUORUM)?;
    }
    prints(cluster.swarm(leads, &["node", "demote", &format!("h{gone}")])?, &format!("Manager h{gone} demoted in the swarm."))?;
    cluster.until("two managers", LATER, || {
        let node = cluster.node(gone)?;
        ensure!(node.pointer("/ManagerStatus").is_none(), "{node}");
        Ok(())
    })?;
    cluster.host(gone).power_on()?;
    cluster.agent(gone).start_again()?;
    are_managers(cluster, &[leads, stays])?;
    // Its old state must not be in the way of another life as a manager.
    prints(cluster.swarm(leads, &["node", "promote", &format!("h{gone}")])?, &format!("Node h{gone} promoted to a manager in the swarm."))?;
    are_managers(cluster, &[1, 2, 3])
}

fn all_but_one_are_demoted(cluster: &Cluster) -> Result<()> {
    prints(cluster.swarm(2, &["node", "demote", "h1", "h3"])?, "Manager h1 demoted in the swarm.\nManager h3 demoted in the swarm.")?;
    are_managers(cluster, &[2])?;
    daemon_says(&cluster.swarm(2, &["node", "demote", "h2"])?, LAST)?;
    remove_service(cluster, 2, "steady")
}

fn leader(cluster: &Cluster) -> Result<u8> {
    cluster.until("a leader", SOON, || {
        let leads = |number: &u8| cluster.node(*number).is_ok_and(|node| node["ManagerStatus"]["Leader"] == true);
        (1..=4).find(leads).context("nobody leads")
    })
}

/// Waits until exactly these hosts are managers, for the cluster, for Raft and by their processes, and all nodes are ready.
fn are_managers(cluster: &Cluster, numbers: &[u8]) -> Result<()> {
    cluster.until(&format!("managers on {numbers:?} alone"), LATER, || {
        for number in 1..=4 {
            let is_one = numbers.contains(&number);
            let node = cluster.node(number)?;
            let role = if is_one { "manager" } else { "worker" };
            ensure!(node["Spec"]["Role"] == role && node["Status"]["State"] == "ready", "{node}");
            let reachable = text_at(&node, "/ManagerStatus/Reachability");
            ensure!(reachable.as_deref() == is_one.then_some("reachable"), "{node}");
            let agent = cluster.agent(number);
            ensure!(agent.manager().is_some() == is_one, "h{number}: {:?}", agent.manager());
            ensure!(is_one || !agent.state_dir().join("manager").exists(), "h{number} keeps the state of its manager");
            let info = swarm_tests::swarm_info(agent)?;
            ensure!(info["ControlAvailable"] == is_one && info["LocalNodeState"] == "active", "h{number}: {info}");
        }
        Ok(())
    })?;
    // Each of them answers by itself.
    for number in numbers {
        cluster.until(&format!("an answer of h{number}"), SOON, || cluster.swarm(*number, &["node", "ls"])?.ok())?;
    }
    Ok(())
}

/// Changes of roles are no matter of the tasks.
fn untouched(cluster: &Cluster) -> Result<()> {
    let tasks = cluster.tasks("steady")?;
    ensure!(tasks.len() == 4, "tasks were replaced: {tasks:?}");
    Ok(())
}
