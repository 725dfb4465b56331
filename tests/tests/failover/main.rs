//! Five hosts, three of them managers: the leader dies or is cut off, or the majority is lost, under writes. Nothing that was
//! acknowledged is lost, nothing that was refused comes back, and no container is touched as long as its host is there.

mod cut;
mod kills;
mod majority;
mod writer;

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use swarm_testkit::{Cluster, SLEEP};
use swarm_tests::{Life, SOON, check_cluster, create_service, service_spec, task_containers, text_at};

const MANAGERS: u8 = 3;
const WORKERS: u8 = 2;
const HOSTS: u8 = MANAGERS + WORKERS;
/// The service whose containers must not be touched.
const STEADY: &str = "steady";
const REPLICAS: usize = 10;

#[test]
fn five_hosts_outlive_their_leaders() -> Result<()> {
    let cluster = Cluster::formed(MANAGERS, WORKERS)?;
    let mut spec = service_spec(STEADY, SLEEP, REPLICAS as u64);
    spec["TaskTemplate"]["RestartPolicy"] = json!({"Condition": "any", "Delay": 1_000_000});
    create_service(&cluster, 1, &spec)?;
    cluster.wait_running(STEADY, REPLICAS, SOON)?;
    check_cluster(
        &cluster,
        &[
            ("leaders are killed", kills::leaders_are_killed),
            ("the majority is lost", majority::is_lost),
            ("the leader is cut off", cut::leader_is_cut_off),
        ],
    )
}

/// The number of the host whose manager leads, as one of these hosts tells, and the other managers' hosts.
fn leader(cluster: &Cluster) -> Result<(u8, [u8; 2])> {
    let leads = cluster.until("a leader", SOON, || {
        let nodes = cluster.nodes()?;
        let leads = |node: &&Value| node.pointer("/ManagerStatus/Leader") == Some(&Value::Bool(true));
        let node = nodes.iter().find(leads).context("nobody leads")?;
        let name = text_at(node, "/Description/Hostname").context("a node without a name")?;
        (1..=MANAGERS).find(|n| cluster.host(*n).hostname() == name).with_context(|| format!("no host {name}"))
    })?;
    let mut others = (1..=MANAGERS).filter(|number| *number != leads);
    Ok((leads, [others.next().context("no other")?, others.next().context("no other")?]))
}

/// kill -9 of the agent and the manager of a host; the agent first, so that nobody starts the manager again.
fn kill_both(cluster: &Cluster, number: u8) -> Result<()> {
    let manager = cluster.agent(number).manager().with_context(|| format!("h{number} has no manager"))?;
    cluster.agent(number).kill()?;
    manager.kill()
}

/// The running containers of tasks on hosts, with their starts.
fn lives(cluster: &Cluster, numbers: impl IntoIterator<Item = u8>) -> Result<BTreeMap<String, Life>> {
    let mut all = BTreeMap::new();
    for number in numbers {
        all.extend(task_containers(cluster.host(number))?);
    }
    Ok(all)
}

/// Checks that all containers of `before` run on, and were not restarted.
fn untouched(cluster: &Cluster, before: &BTreeMap<String, Life>) -> Result<()> {
    let after = lives(cluster, 1..=HOSTS)?;
    let touched: Vec<_> = before.iter().filter(|(id, life)| after.get(*id) != Some(*life)).collect();
    ensure!(touched.is_empty(), "containers were touched: {touched:?}");
    Ok(())
}

/// With whom the agents of hosts have their sessions, and how many each has had, as their logs tell.
fn sessions(cluster: &Cluster) -> Result<BTreeMap<u8, (String, usize)>> {
    let mut all = BTreeMap::new();
    for number in 1..=HOSTS {
        let log = std::fs::read_to_string(cluster.agent(number).log())?;
        let opened: Vec<&str> = log.lines().filter(|line| line.contains("a manager accepted the session")).collect();
        let last = opened.last().and_then(|line| line.split("manager=\"").nth(1)).and_then(|rest| rest.split('"').next());
        let last = last.with_context(|| format!("no session of h{number}: {opened:?}"))?;
        all.insert(number, (last.to_owned(), opened.len()));
    }
    Ok(all)
}

/// Checks that agents whose sessions were with other managers than that of host `gone` still have them.
fn sessions_unbroken(cluster: &Cluster, before: &BTreeMap<u8, (String, usize)>, gone: u8) -> Result<()> {
    let ip = cluster.host(gone).ip().to_string();
    let after = sessions(cluster)?;
    let apart = |number: &u8, manager: &str| *number != gone && !manager.starts_with(&format!("{ip}:"));
    for (number, old) in before.iter().filter(|(number, (manager, _))| apart(number, manager)) {
        let new = after.get(number);
        ensure!(new == Some(old), "the agent of h{number} had to find another manager: {old:?} {new:?}");
    }
    Ok(())
}
