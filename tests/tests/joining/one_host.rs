//! Several agents beside each other: one network namespace, one dockerd, ports and folders of their own.

use std::collections::BTreeMap;

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::{Value, json};
use swarm_testkit::{AgentOptions, AgentProc, Bed, Host, Request, SLEEP, until};
use swarm_tests::{LATER, SOON, is_outside, node_id, prints, state_files, text_at};

pub(crate) fn three_agents_are_a_cluster() -> Result<()> {
    let bed = Bed::up(1)?;
    let host = bed.host(1);
    let agents: Vec<AgentProc> = ["one", "two", "three"]
        .into_iter()
        .map(|name| {
            let hostname = Some(format!("node-{name}"));
            AgentProc::start(host, AgentOptions { name: name.to_owned(), hostname, ..AgentOptions::default() })
        })
        .collect::<Result<_>>()?;
    let checked = three_agents(host, &agents);
    checked.map_err(|error| {
        let logs: String = agents.iter().map(|agent| format!("{}\n", agent.log_tail(30))).collect();
        anyhow!("{error:#}\n{logs}")
    })
}

fn three_agents(host: &Host, agents: &[AgentProc]) -> Result<()> {
    let [one, two, three] = agents else { unreachable!("three agents were started") };
    let fresh = state_files(one)?;
    let address = |port: u16| format!("{}:{port}", host.ip());
    one.swarm(&["init", "--listen-addr", &address(2378), "--advertise-addr", &address(2378)])?.ok()?;
    let swarm = one.api(&Request::get("/swarm"))?.json()?;
    let token = |role: &str| text_at(&swarm, &format!("/JoinTokens/{role}")).context("no token");
    let join = ["join", "--listen-addr", &address(2379), "--advertise-addr", &address(2379), "--token"];
    let manager = two.swarm(&[&join[..], &[&token("Manager")?, &address(2378)]].concat())?;
    prints(manager, "This node joined a swarm as a manager.")?;
    // A worker listens nowhere: it needs no port of its own.
    let worker = three.swarm(&["join", "--token", &token("Worker")?, &address(2378)])?;
    prints(worker, "This node joined a swarm as a worker.")?;
    until("three nodes", LATER, || {
        let nodes = two.api(&Request::get("/nodes"))?.json()?;
        let nodes = nodes.as_array().context("not a list")?;
        let ready = nodes.iter().filter(|node| node["Status"]["State"] == "ready");
        ensure!(nodes.len() == 3 && ready.count() == 3, "{nodes:?}");
        Ok(())
    })?;

    // Each runs its own tasks and lets those of the others alone.
    let spec = json!({
        "Name": "everywhere",
        "TaskTemplate": {"ContainerSpec": {"Image": SLEEP}},
        "Mode": {"Global": {}},
    });
    let created = two.api(&Request::post("/services/create", &spec))?;
    ensure!(created.status == 201, "{created}");
    let before = by_node(host, 3)?;
    for agent in agents {
        ensure!(before.contains_key(&node_id(agent)?), "{before:?}");
        agent.kill()?;
        agent.start_again()?;
    }
    let seen = until("three tasks run", LATER, || {
        let tasks = one.api(&Request::get("/tasks"))?.json()?;
        let tasks = tasks.as_array().context("not a list")?.clone();
        ensure!(tasks.len() == 3 && tasks.iter().all(|task| task["Status"]["State"] == "running"), "{tasks:?}");
        Ok(tasks)
    })?;
    ensure!(by_node(host, 3)? == before, "containers changed");
    for task in &seen {
        let node = text_at(task, "/NodeID").unwrap_or_default();
        ensure!(task["Status"]["ContainerStatus"]["ContainerID"] == before[&node], "{task}");
    }

    // Who leaves takes only its own containers along.
    let gone = node_id(three)?;
    prints(three.swarm(&["leave"])?, "Node left the swarm.")?;
    is_outside(three, &fresh)?;
    let mut expected = before;
    expected.remove(&gone);
    ensure!(by_node(host, 2)? == expected, "containers of others changed");
    Ok(())
}

/// The containers of tasks by the node they belong to, once there are so many.
fn by_node(host: &Host, count: usize) -> Result<BTreeMap<String, Value>> {
    let filters = json!({"label": ["com.docker.swarm.node.id"]}).to_string();
    until("containers", SOON, || {
        let list = host.docker_api(&Request::get("/containers/json").query("filters", &filters))?.json()?;
        let list = list.as_array().context("not a list")?;
        let found: BTreeMap<_, _> = list
            .iter()
            .filter_map(|one| Some((one["Labels"]["com.docker.swarm.node.id"].as_str()?.to_owned(), one["Id"].clone())))
            .collect();
        ensure!(list.len() == count && found.len() == count, "{list:?}");
        Ok(found)
    })
}
