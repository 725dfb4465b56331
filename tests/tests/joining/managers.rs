//! Three managers that are one control plane. Hosts 1, 3 and 4 are managers, the second is a worker.

use std::collections::BTreeSet;
use std::thread;

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::{Value, json};
use swarm_testkit::{Request, Role, SLEEP};
use swarm_tests::{
    LATER, SOON, create_service, daemon_says, prints, refused, service_spec, swarm_info, task_containers, text, text_at, texts_at,
};

use crate::Scene;

const MANAGERS: [u8; 3] = [1, 3, 4];

pub(crate) fn the_cluster_forms(scene: &Scene) -> Result<()> {
    let cluster = &scene.cluster;
    cluster.init(1)?;
    cluster.join(2, Role::Worker)?;
    for number in [3, 4] {
        let (_, token) = cluster.join_token(Role::Manager)?;
        let output = cluster.swarm(number, &["join", "--token", &token, &scene.remote(1)])?;
        prints(output, "This node joined a swarm as a manager.")?;
    }
    cluster.wait_ready(3, 1)
}

pub(crate) fn all_tell_the_same(scene: &Scene) -> Result<()> {
    let nodes = agreed(scene, "/nodes")?;
    let nodes = nodes.as_array().context("not a list")?;
    let leaders = nodes.iter().filter(|node| node["ManagerStatus"]["Leader"] == true);
    ensure!(leaders.count() == 1, "not one leader: {nodes:?}");
    let addresses = texts_at(nodes, "/ManagerStatus/Addr");
    ensure!(addresses == manager_addresses(scene), "{addresses:?}");
    for path in ["/swarm", "/services", "/tasks"] {
        agreed(scene, path)?;
    }
    Ok(())
}

pub(crate) fn every_manager_answers_every_call(scene: &Scene) -> Result<()> {
    let cluster = &scene.cluster;
    let worker = text_at(&cluster.node(2)?, "/ID").context("no id")?;
    for (index, number) in MANAGERS.into_iter().enumerate() {
        let next = MANAGERS[(index + 1) % MANAGERS.len()];
        let name = format!("by{number}");
        let id = create_service(cluster, number, &service_spec(&name, SLEEP, 1))?;
        // Whoever is asked next knows of it, without delay.
        for other in MANAGERS {
            let service = cluster.api(other, &Request::get(&format!("/services/{id}")))?.json()?;
            ensure!(service["Spec"]["Name"] == name, "{service}");
        }
        cluster.wait_running(&name, 1, SOON)?;
        let task = text_at(&cluster.tasks(&name)?[0], "/ID").context("no id")?;
        for path in [
            "/swarm".to_owned(),
            "/nodes".to_owned(),
            "/nodes/h2".to_owned(),
            "/services".to_owned(),
            format!("/services/{name}"),
            "/tasks".to_owned(),
            format!("/tasks/{task}"),
            "/info".to_owned(),
        ] {
            let answer = cluster.api(number, &Request::get(&path))?;
            ensure!(answer.status == 200, "{path} of h{number}: {answer}");
        }

        let scaled = format!("{name} scaled to 2");
        let output = cluster.swarm(next, &["service", "scale", "--detach", &format!("{name}=2")])?;
        prints(output, &scaled)?;
        cluster.wait_running(&name, 2, SOON)?;

        let labelled = cluster.swarm(number, &["node", "update", "--label-add", &format!("by={number}"), "h2"])?;
        prints(labelled, "h2")?;
        let node = cluster.api(next, &Request::get(&format!("/nodes/{worker}")))?.json()?;
        ensure!(node["Spec"]["Labels"]["by"] == json!(number.to_string()), "{node}");

        let old = cluster.join_token(Role::Worker)?.1;
        let new = cluster.swarm(number, &["join-token", "--rotate", "-q", "worker"])?.ok()?;
        let seen = cluster.api(next, &Request::get("/swarm"))?.json()?;
        ensure!(old != new && seen["JoinTokens"]["Worker"] == new, "{old} {new} {seen}");

        swarm_tests::remove_service(cluster, next, &name)?;
        refused(&cluster.api(number, &Request::get(&format!("/services/{name}")))?, 404, &format!("service {name} not found"))?;
    }
    Ok(())
}

pub(crate) fn a_worker_answers_none(scene: &Scene) -> Result<()> {
    let cluster = &scene.cluster;
    for path in ["/swarm", "/nodes", "/nodes/h2", "/services", "/tasks"] {
        refused(&cluster.api(2, &Request::get(path))?, 503, text::WORKER)?;
    }
    let spec = service_spec("of-a-worker", SLEEP, 1);
    refused(&cluster.api(2, &Request::post("/services/create", &spec))?, 503, text::WORKER)
}

pub(crate) fn agents_learn_new_managers(scene: &Scene) -> Result<()> {
    let cluster = &scene.cluster;
    for agent in cluster.agents() {
        cluster.until("three managers known", SOON, || {
            let info = swarm_info(agent)?;
            let known = texts_at(info["RemoteManagers"].as_array().context("none")?, "/Addr");
            ensure!(known == manager_addresses(scene), "{} knows {known:?}", agent.host().name());
            Ok(())
        })?;
    }
    Ok(())
}

/// Once one that follows, once the one that leads.
pub(crate) fn a_killed_manager_is_back(scene: &Scene) -> Result<()> {
    let cluster = &scene.cluster;
    for wanted in [false, true] {
        let number = MANAGERS.into_iter().find(|number| is_leader(scene, *number).is_ok_and(|leads| leads == wanted));
        let number = number.context("no such manager")?;
        let old = cluster.agent(number).manager().context("no manager process")?;
        old.kill()?;
        let new = cluster.until("another manager process", SOON, || cluster.agent(number).manager().context("none yet"))?;
        ensure!(new.pid != old.pid, "it was not killed");
        // The agent was not: it is the manager's own death.
        cluster.wait_ready(3, 1)?;
        let name = format!("after{number}");
        let id = cluster.until("an answer from the manager", LATER, || create_service(cluster, number, &service_spec(&name, SLEEP, 1)))?;
        cluster.wait_running(&name, 1, LATER)?;
        for other in MANAGERS {
            cluster.api(other, &Request::get(&format!("/services/{id}")))?.json()?;
        }
        swarm_tests::remove_service(cluster, number, &name)?;
    }
    all_tell_the_same(scene)
}

/// All others joined by the first host's address; nobody needs it any more.
pub(crate) fn workers_get_tasks_without_the_first_manager(scene: &Scene) -> Result<()> {
    let cluster = &scene.cluster;
    create_service(cluster, 1, &on_the_worker("before", 2))?;
    cluster.wait_running("before", 2, SOON)?;
    let before = task_containers(cluster.host(2))?;

    cluster.host(1).power_off()?;
    cluster.until("a leader that takes a service", LATER, || create_service(cluster, 3, &on_the_worker("without", 2)))?;
    cluster.wait_running("without", 2, LATER)?;
    let now = task_containers(cluster.host(2))?;
    ensure!(before.iter().all(|(id, life)| now.get(id) == Some(life)), "containers changed: {before:?} {now:?}");
    cluster.until("the dead manager told so", LATER, || {
        let node = cluster.node(1)?;
        ensure!(node["Status"]["State"] == "down" && node["ManagerStatus"]["Reachability"] == "unreachable", "{node}");
        Ok(())
    })
}

pub(crate) fn the_first_host_comes_back(scene: &Scene) -> Result<()> {
    let cluster = &scene.cluster;
    cluster.host(1).power_on()?;
    cluster.agent(1).start_again()?;
    cluster.wait_ready(3, 1)?;
    all_tell_the_same(scene)?;
    for name in ["before", "without"] {
        cluster.wait_running(name, 2, SOON)?;
        swarm_tests::remove_service(cluster, 1, name)?;
    }
    Ok(())
}

/// Hosts 1 and 3 are managers, the second is a worker, the fourth is outside. Without one of the two nobody leads.
pub(crate) fn a_join_waits_for_a_leader(scene: &Scene) -> Result<()> {
    let cluster = &scene.cluster;
    create_service(cluster, 1, &on_the_worker("steady", 2))?;
    cluster.wait_running("steady", 2, SOON)?;
    let containers = task_containers(cluster.host(2))?;
    let (_, token) = cluster.join_token(Role::Worker)?;
    let join = ["join", "--token", &token, &scene.remote(1)];

    cluster.host(3).power_off()?;
    thread::scope(|scope| {
        let joined = scope.spawn(|| cluster.swarm(4, &join));
        refused(&cluster.api(1, &Request::get("/nodes"))?, 500, text::NO_LEADER)?;
        let spec = service_spec("never", SLEEP, 1);
        refused(&cluster.api(1, &Request::post("/services/create", &spec))?, 500, text::NO_LEADER)?;
        let joined = joined.join().map_err(|_| anyhow!("the joining thread panicked"))??;
        daemon_says(&joined, text::JOIN_TIMEOUT)
    })?;
    let info = swarm_info(cluster.agent(4))?;
    ensure!(info["LocalNodeState"] == "pending" && info["NodeID"] == "", "{info}");
    let info = swarm_info(cluster.agent(1))?;
    ensure!(info["Error"] == text::NO_LEADER, "{info}");
    daemon_says(&cluster.swarm(4, &join)?, text::ALREADY)?;
    ensure!(task_containers(cluster.host(2))? == containers, "containers changed");

    cluster.host(3).power_on()?;
    cluster.agent(3).start_again()?;
    // It goes on by itself.
    cluster.wait_ready(2, 2)?;
    let info = swarm_info(cluster.agent(4))?;
    ensure!(info["LocalNodeState"] == "active", "{info}");
    ensure!(task_containers(cluster.host(2))? == containers, "containers changed");
    let services = cluster.swarm(3, &["service", "ls", "--format", "{{.Name}}"])?;
    prints(services, "steady")?;
    swarm_tests::remove_service(cluster, 3, "steady")?;
    prints(cluster.swarm(4, &["leave"])?, "Node left the swarm.")?;
    scene.is_outside(cluster.agent(4))?;
    cluster.until("a node that can be removed", LATER, || cluster.swarm(1, &["node", "rm", "h4"])?.ok())?;
    cluster.wait_ready(2, 1)
}

/// What all managers say when asked the same; waits until they do.
fn agreed(scene: &Scene, path: &str) -> Result<Value> {
    scene.cluster.until(&format!("managers that agree on {path}"), SOON, || {
        let mut told = Vec::new();
        for number in MANAGERS {
            told.push(scene.cluster.api(number, &Request::get(path))?.json()?);
        }
        ensure!(told.iter().all(|one| *one == told[0]), "{}", json!(told));
        Ok(told.swap_remove(0))
    })
}

fn is_leader(scene: &Scene, number: u8) -> Result<bool> {
    Ok(scene.cluster.node(number)?["ManagerStatus"]["Leader"] == true)
}

fn manager_addresses(scene: &Scene) -> BTreeSet<String> {
    MANAGERS.into_iter().map(|number| scene.remote(number)).collect()
}

fn on_the_worker(name: &str, replicas: u64) -> Value {
    let mut spec = service_spec(name, SLEEP, replicas);
    spec["TaskTemplate"]["Placement"] = json!({"Constraints": ["node.hostname == h2"]});
    spec
}
