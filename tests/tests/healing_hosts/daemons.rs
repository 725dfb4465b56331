//! dockerd, agents and a lone manager that stop, are killed and come back.

use std::collections::BTreeSet;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use swarm_testkit::{Cluster, SLEEP};
use swarm_tests::services::{all_containers, create, inspect, live, remove, said, service, task_lines};
use swarm_tests::{LATER, SOON, create_service, service_spec, task_containers};

use crate::{lives, untouched};

pub(crate) fn dockerd_stops_and_starts(cluster: &Cluster) -> Result<()> {
    create(cluster, &format!("--name engine --replicas 6 --restart-delay 1s {SLEEP}"))?;
    let line = format!("--name pinned --constraint node.hostname==h3 --restart-delay 1s {SLEEP}");
    create(cluster, &line)?;
    cluster.wait_running("engine", 6, SOON)?;
    cluster.wait_running("pinned", 1, SOON)?;
    let others = lives(cluster, &[1, 2])?;
    let agent = cluster.agent(3).process().context("no agent")?.pid;
    cluster.host(3).stop_dockerd()?;
    cluster.host(3).start_dockerd()?;
    let start = Instant::now();
    let back = live(cluster, "pinned")?;
    println!("dockerd is back, tasks run on its host again after {:?}", start.elapsed());
    ensure!(back.host == 3);
    cluster.wait_running("engine", 6, SOON)?;
    untouched(cluster, &[1, 2], &others)?;

    // Killed it leaves its containers running: they are found again or replaced, but never doubled.
    cluster.host(3).kill_dockerd()?;
    cluster.host(3).start_dockerd()?;
    cluster.wait_running("engine", 6, LATER)?;
    cluster.wait_running("pinned", 1, LATER)?;
    let same = cluster.agent(3).process().is_some_and(|process| process.pid == agent);
    ensure!(same, "the agent ended");
    remove(cluster, &["engine", "pinned"])
}

/// Killed early, in the middle and late: no task gets two containers, and none is restarted.
pub(crate) fn agent_killed_while_scaling_up(cluster: &Cluster) -> Result<()> {
    const COUNT: usize = 10;
    for enough in [1, 4, 8] {
        create(cluster, &format!("--name grows --replicas 2 --constraint node.hostname==h3 {SLEEP}"))?;
        cluster.wait_running("grows", 2, SOON)?;
        let before = task_containers(cluster.host(3))?;
        said(cluster, &format!("service scale --detach grows={}", 2 + COUNT))?;
        cluster.until("some of the new containers", SOON, || {
            let made = all_containers(cluster, 3, "grows")?.len() - before.len();
            ensure!(made >= enough, "{made} containers");
            Ok(())
        })?;
        cluster.agent(3).kill()?;
        let made = all_containers(cluster, 3, "grows")?;
        let new = made.len() - before.len();
        println!("killed the agent with {new} of {COUNT} containers made");
        cluster.agent(3).start_again()?;
        cluster.wait_running("grows", 2 + COUNT, LATER)?;
        let all = all_containers(cluster, 3, "grows")?;
        let tasks: BTreeSet<_> = all.iter().map(|(task, _)| task).collect();
        ensure!(tasks.len() == all.len(), "tasks with two containers: {all:?}");
        ensure!(all.len() == 2 + COUNT, "{all:?}");
        let kept = made.iter().all(|pair| all.contains(pair));
        ensure!(kept, "containers were replaced: {made:?} {all:?}");
        untouched(cluster, &[3], &before)?;
        let tasks = cluster.tasks("grows")?.len();
        ensure!(tasks == 2 + COUNT, "{}", task_lines(cluster, "grows")?);
        remove(cluster, &["grows"])?;
    }
    Ok(())
}

/// Its containers are adopted; one that ends while nobody looks is noticed afterwards.
pub(crate) fn agent_is_restarted(cluster: &Cluster) -> Result<()> {
    create(cluster, &format!("--name adopted --mode global --restart-delay 0s {SLEEP}"))?;
    let tasks = cluster.wait_running("adopted", 3, SOON)?;
    let mut kept = lives(cluster, &[1, 2, 3])?;
    cluster.agent(3).restart()?;
    cluster.agent(2).stop()?;
    let lives: Result<Vec<_>> = tasks.iter().map(|task| inspect(cluster, task)).collect();
    let victim = lives?.into_iter().find(|live| live.host == 2);
    let victim = victim.context("no task on h2")?;
    kept.remove(&victim.id()?);
    cluster.host(2).docker(&["kill", &victim.id()?])?.ok()?;
    cluster.agent(2).start_again()?;
    cluster.until("a successor of what ended meanwhile", LATER, || {
        let running = cluster.running_tasks("adopted")?;
        let new = running.iter().all(|task| task["ID"] != victim.task["ID"]);
        ensure!(running.len() == 3 && new, "{}", task_lines(cluster, "adopted")?);
        Ok(())
    })?;
    cluster.wait_running("adopted", 3, SOON)?;
    untouched(cluster, &[1, 2, 3], &kept)?;
    let tasks = cluster.tasks("adopted")?.len();
    ensure!(tasks == 4, "{}", task_lines(cluster, "adopted")?);
    remove(cluster, &["adopted"])
}

pub(crate) fn only_manager_is_killed(cluster: &Cluster) -> Result<()> {
    create(cluster, &format!("--name alone --mode global {SLEEP}"))?;
    cluster.wait_running("alone", 3, SOON)?;
    let before = lives(cluster, &[1, 2, 3])?;
    let start = Instant::now();
    cluster.agent(1).manager().context("no manager")?.kill()?;
    let id = cluster.until("a write", LATER, || create_service(cluster, 1, &service_spec("after", SLEEP, 3)))?;
    println!("the only manager was killed, next write after {:?}", start.elapsed());
    cluster.wait_running("after", 3, LATER)?;
    ensure!(service(cluster, "after")?["ID"] == id.as_str());
    cluster.wait_ready(1, 2)?;
    cluster.wait_running("alone", 3, SOON)?;
    untouched(cluster, &[1, 2, 3], &before)?;
    remove(cluster, &["alone", "after"])
}
