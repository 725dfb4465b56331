//! Promoting and demoting nodes, the leader included, undisturbed and with kills on the way. Whatever happens, no container is
//! touched: roles are no matter of the tasks.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use swarm_testkit::{Cluster, SLEEP};
use swarm_tests::{
    LATER, Life, SOON, check_cluster, create_service, daemon_says, node_id, prints, remove_service, service_spec, swarm_info,
    task_containers, text_at,
};

/// Hosts of the bed.
const HOSTS: u8 = 4;

#[test]
fn roles_change_and_end_right() -> Result<()> {
    let cluster = Cluster::formed(1, HOSTS - 1)?;
    create_service(&cluster, 1, &service_spec("steady", SLEEP, 8))?;
    cluster.wait_running("steady", 8, SOON)?;
    let before = lives(&cluster)?;
    ensure!(before.len() == 8, "{before:?}");
    check_cluster(
        &cluster,
        &[
            ("the last manager stays", the_last_manager_stays),
            ("two workers are promoted at once", two_are_promoted),
            ("the agent is killed in promotions and demotions", the_agent_is_killed),
            ("the manager is killed in a promotion and in a demotion", the_manager_is_killed),
            ("the leader is demoted", the_leader_is_demoted),
            ("the leader is killed in a demotion", the_leader_is_killed),
        ],
    )?;
    ensure!(lives(&cluster)? == before, "containers were touched: {before:?} {:?}", lives(&cluster)?);
    ensure!(cluster.tasks("steady")?.len() == 8, "tasks were replaced: {:?}", cluster.tasks("steady")?);
    check_cluster(
        &cluster,
        &[("a manager that is gone is demoted", one_that_is_gone_is_demoted), ("all but one are demoted", all_but_one_are_demoted)],
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
    prints(cluster.swarm(3, &["node", "promote", "h2"])?, &again)
}

/// At each step of both ways: when it was only told, when the process is there, when it counts as a manager; when it was only
/// told, and when it is out of Raft, but its agent has a manager's certificate.
fn the_agent_is_killed(cluster: &Cluster) -> Result<()> {
    let moments: [fn(&Cluster) -> Result<()>; 3] = [
        |_| Ok(()),
        |cluster| cluster.until("a manager's process", SOON, || cluster.agent(4).manager().context("none yet").map(drop)),
        |cluster| cluster.until("a manager more", SOON, || is_member(&cluster.node(4)?, true)),
    ];
    for moment in moments {
        prints(cluster.docker(1, &["node", "promote", "h4"])?, "Node h4 promoted to a manager in the swarm.")?;
        moment(cluster)?;
        kill_agent(cluster, 4)?;
        are_managers(cluster, &[1, 2, 3, 4])?;
        prints(cluster.docker(2, &["node", "demote", "h4"])?, "Manager h4 demoted in the swarm.")?;
        cluster.until("a manager less", SOON, || is_member(&cluster.node(4)?, false))?;
        kill_agent(cluster, 4)?;
        are_managers(cluster, &[1, 2, 3])?;
    }
    prints(cluster.docker(1, &["node", "promote", "h4"])?, "Node h4 promoted to a manager in the swarm.")?;
    are_managers(cluster, &[1, 2, 3, 4])?;
    prints(cluster.docker(3, &["node", "demote", "h4"])?, "Manager h4 demoted in the swarm.")?;
    kill_agent(cluster, 4)?;
    are_managers(cluster, &[1, 2, 3])
}

fn kill_agent(cluster: &Cluster, number: u8) -> Result<()> {
    cluster.agent(number).kill()?;
    cluster.agent(number).start_again()
}

fn the_manager_is_killed(cluster: &Cluster) -> Result<()> {
    prints(cluster.swarm(1, &["node", "update", "--role", "manager", "h4"])?, "h4")?;
    let manager = cluster.until("a manager on h4", SOON, || cluster.agent(4).manager().context("none yet"))?;
    manager.kill()?;
    are_managers(cluster, &[1, 2, 3, 4])?;
    let manager = cluster.agent(4).manager().context("no manager")?;
    prints(cluster.swarm(1, &["node", "update", "--role", "worker", "h4"])?, "h4")?;
    manager.kill()?;
    are_managers(cluster, &[1, 2, 3])
}

fn the_leader_is_demoted(cluster: &Cluster) -> Result<()> {
    let leads = leader(cluster)?;
    prints(cluster.swarm(leads, &["node", "demote", &format!("h{leads}")])?, &format!("Manager h{leads} demoted in the swarm."))?;
    let others: Vec<u8> = (1..=3).filter(|number| *number != leads).collect();
    are_managers(cluster, &others)?;
    ensure!(leader(cluster)? != leads);
    // It dispatches, too.
    create_service(cluster, others[0], &service_spec("after", SLEEP, 2))?;
    cluster.wait_running("after", 2, SOON)?;
    remove_service(cluster, others[1], "after")?;
    promote(cluster, others[0], leads)?;
    are_managers(cluster, &[1, 2, 3])
}

/// The next leader finishes what it began, wherever it was.
fn the_leader_is_killed(cluster: &Cluster) -> Result<()> {
    let leads = leader(cluster)?;
    let gone = (1..=3).find(|number| *number != leads).context("no other")?;
    let manager = cluster.agent(leads).manager().context("no manager")?;
    demote(cluster, leads, gone)?;
    manager.kill()?;
    let left: Vec<u8> = (1..=3).filter(|number| *number != gone).collect();
    are_managers(cluster, &left)?;
    let leads = leader(cluster)?;
    let manager = cluster.agent(leads).manager().context("no manager")?;
    promote(cluster, leads, gone)?;
    manager.kill()?;
    are_managers(cluster, &[1, 2, 3])
}

/// Without one of three, another one must stay; the one that is gone may go, and follows when it is back.
fn one_that_is_gone_is_demoted(cluster: &Cluster) -> Result<()> {
    let leads = leader(cluster)?;
    let mut others = (1..=3).filter(|number| *number != leads);
    let (stays, gone) = (others.next().context("no other")?, others.next().context("no other")?);
    let manager = cluster.agent(gone).manager().context("no manager")?;
    // The agent first: it must not start the manager again.
    cluster.agent(gone).kill()?;
    manager.kill()?;
    cluster.until("the dead manager told so", LATER, || {
        let node = cluster.node(gone)?;
        ensure!(text_at(&node, "/ManagerStatus/Reachability").as_deref() == Some("unreachable"), "{node}");
        Ok(())
    })?;
    for number in [stays, leads] {
        daemon_says(&cluster.swarm(leads, &["node", "demote", &format!("h{number}")])?, QUORUM)?;
    }
    demote(cluster, leads, gone)?;
    cluster.until("two managers", LATER, || is_member(&cluster.node(gone)?, false))?;
    cluster.agent(gone).start_again()?;
    are_managers(cluster, &[leads, stays])?;
    // Its old state must not be in the way of another life as a manager.
    promote(cluster, stays, gone)?;
    are_managers(cluster, &[1, 2, 3])
}

fn all_but_one_are_demoted(cluster: &Cluster) -> Result<()> {
    prints(cluster.swarm(2, &["node", "demote", "h1", "h3"])?, "Manager h1 demoted in the swarm.\nManager h3 demoted in the swarm.")?;
    are_managers(cluster, &[2])?;
    daemon_says(&cluster.swarm(2, &["node", "demote", "h2"])?, LAST)?;
    remove_service(cluster, 2, "steady")
}

fn promote(cluster: &Cluster, through: u8, number: u8) -> Result<()> {
    let told = format!("Node h{number} promoted to a manager in the swarm.");
    prints(cluster.swarm(through, &["node", "promote", &format!("h{number}")])?, &told)
}

fn demote(cluster: &Cluster, through: u8, number: u8) -> Result<()> {
    let told = format!("Manager h{number} demoted in the swarm.");
    prints(cluster.swarm(through, &["node", "demote", &format!("h{number}")])?, &told)
}

fn leader(cluster: &Cluster) -> Result<u8> {
    cluster.until("a leader", SOON, || {
        let leads = |number: &u8| cluster.node(*number).is_ok_and(|node| node["ManagerStatus"]["Leader"] == true);
        (1..=HOSTS).find(leads).context("nobody leads")
    })
}

/// Checks whether a node is in Raft, as the cluster tells.
fn is_member(node: &Value, is_one: bool) -> Result<()> {
    ensure!(node.get("ManagerStatus").is_some_and(|status| !status.is_null()) == is_one, "{node}");
    Ok(())
}

/// Waits until exactly these hosts are managers, for the cluster, for Raft and by their processes, and all nodes are ready.
fn are_managers(cluster: &Cluster, numbers: &[u8]) -> Result<()> {
    cluster.until(&format!("managers on {numbers:?} alone"), LATER, || {
        for number in 1..=HOSTS {
            let is_one = numbers.contains(&number);
            let node = cluster.node(number)?;
            let role = if is_one { "manager" } else { "worker" };
            ensure!(node["Spec"]["Role"] == role && node["Status"]["State"] == "ready", "{node}");
            is_member(&node, is_one)?;
            ensure!(!is_one || node["ManagerStatus"]["Reachability"] == "reachable", "{node}");
            let agent = cluster.agent(number);
            ensure!(agent.manager().is_some() == is_one, "h{number}: {:?}", agent.manager());
            ensure!(is_one || !agent.state_dir().join("manager").exists(), "h{number} keeps the state of its manager");
            let info = swarm_info(agent)?;
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

/// The containers of tasks, with their starts.
fn lives(cluster: &Cluster) -> Result<BTreeMap<String, Life>> {
    let mut all = BTreeMap::new();
    for number in 1..=HOSTS {
        all.extend(task_containers(cluster.host(number))?);
    }
    Ok(all)
}
