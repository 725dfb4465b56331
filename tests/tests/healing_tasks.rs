//! Containers that end, fail or are killed: what replaces them, when, and when nothing does.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use swarm_testkit::{Cluster, EXIT, HEALTH, Request, SLEEP};
use swarm_tests::services::{check_every, create, inspect, live, remove, replaced, said, shows, task_lines, update};
use swarm_tests::{LATER, SOON, text_at};

#[test]
fn containers_that_end_are_replaced_as_their_policy_says() -> Result<()> {
    let cluster = Cluster::formed(1, 2)?;
    check_every(
        &cluster,
        &[
            ("a killed container is replaced", killed_container_is_replaced),
            ("a container that somebody removed is replaced", removed_container_is_replaced),
            ("a container that somebody stopped is replaced", stopped_container_is_replaced),
            ("an unhealthy container is replaced", unhealthy_container_is_replaced),
            ("the delay is kept", the_delay_is_kept),
            ("attempts are limited", attempts_are_limited),
            ("conditions", conditions),
            ("a global task is replaced on its node", global_task_is_replaced_on_its_node),
            ("an image that cannot start", image_that_cannot_start),
        ],
    )
}

/// The task that a service has had before the one of `now`, in the same slot.
fn predecessor(cluster: &Cluster, name: &str, before: &Value) -> Result<Value> {
    let old = cluster.tasks(name)?.into_iter().find(|task| task["ID"] == before["ID"]);
    old.with_context(|| format!("the old task is gone: {}", task_lines(cluster, name).unwrap_or_default()))
}

fn killed_container_is_replaced(cluster: &Cluster) -> Result<()> {
    create(cluster, &format!("--name killed --replicas 3 --restart-delay 500ms {SLEEP}"))?;
    let tasks = cluster.wait_running("killed", 3, SOON)?;
    let victim = inspect(cluster, &tasks[0])?;
    let start = Instant::now();
    cluster.host(victim.host).docker(&["kill", &victim.id()?])?.ok()?;
    let after = cluster.until("a successor", SOON, || {
        let running = cluster.running_tasks("killed")?;
        ensure!(running.len() == 3, "{} run", running.len());
        let new: Vec<_> = running.into_iter().filter(|task| !tasks.iter().any(|old| old["ID"] == task["ID"])).collect();
        ensure!(new.len() == 1, "{} are new: {}", new.len(), task_lines(cluster, "killed")?);
        Ok(new[0].clone())
    })?;
    println!("a killed container is replaced after {:?} (delay 500 ms)", start.elapsed());
    ensure!(after["Slot"] == victim.task["Slot"], "another slot: {after}");
    let old = predecessor(cluster, "killed", &victim.task)?;
    ensure!(old["Status"]["State"] == "failed" && old["DesiredState"] == "shutdown", "{old}");
    ensure!(old["Status"]["Err"] == "task: non-zero exit (137)", "{old}");
    ensure!(old["Status"]["ContainerStatus"]["ExitCode"] == 137, "{old}");
    ensure!(old["Status"]["ContainerStatus"]["ContainerID"] == victim.id()?.as_str(), "{old}");
    // Its container stays for whoever wants to know why.
    let kept = cluster.host(victim.host).docker(&["logs", &victim.id()?])?.ok()?;
    ensure!(kept == "started", "{kept}");
    remove(cluster, &["killed"])
}

fn removed_container_is_replaced(cluster: &Cluster) -> Result<()> {
    create(cluster, &format!("--name lost --restart-delay 0s {SLEEP}"))?;
    let before = live(cluster, "lost")?;
    cluster.host(before.host).docker(&["rm", "-f", &before.id()?])?.ok()?;
    let after = replaced(cluster, "lost", &before)?;
    ensure!(after.task["Slot"] == before.task["Slot"], "another slot: {}", after.task);
    let old = predecessor(cluster, "lost", &before.task)?;
    ensure!(old["Status"]["State"] == "failed", "{old}");
    remove(cluster, &["lost"])
}

fn stopped_container_is_replaced(cluster: &Cluster) -> Result<()> {
    create(cluster, &format!("--name stopped --restart-delay 0s {SLEEP}"))?;
    let before = live(cluster, "stopped")?;
    cluster.host(before.host).docker(&["stop", &before.id()?])?.ok()?;
    replaced(cluster, "stopped", &before)?;
    let old = predecessor(cluster, "stopped", &before.task)?;
    // It ended well, but nobody asked for it.
    ensure!(old["Status"]["State"] == "complete" && old["Status"]["Message"] == "finished", "{old}");
    remove(cluster, &["stopped"])
}

fn unhealthy_container_is_replaced(cluster: &Cluster) -> Result<()> {
    create(cluster, &format!("--name ill --restart-delay 500ms {HEALTH}"))?;
    // It counts as running only once it is healthy.
    let mut early = false;
    cluster.until("a healthy task", SOON, || {
        let tasks = cluster.tasks("ill")?;
        let task = tasks.first().context("no task")?;
        let healthy = match task["Status"]["ContainerStatus"]["ContainerID"].as_str() {
            Some(_) => inspect(cluster, task)?.container["State"]["Health"]["Status"] == "healthy",
            None => false,
        };
        // What was read first is older.
        early |= task["Status"]["State"] == "running" && !healthy;
        ensure!(task["Status"]["State"] == "running", "{}", task["Status"]);
        Ok(())
    })?;
    ensure!(!early, "the task was running before it was healthy");
    let before = live(cluster, "ill")?;
    before.exec(cluster, &["touch", "/tmp/sick"])?;
    let start = Instant::now();
    let after = replaced(cluster, "ill", &before)?;
    println!("an unhealthy container is replaced after {:?} (2 checks of 1 s, delay 500 ms)", start.elapsed());
    ensure!(after.container["State"]["Health"]["Status"] == "healthy", "{}", after.container["State"]);
    let old = predecessor(cluster, "ill", &before.task)?;
    // It stopped well when it was told to; that it was unhealthy is a failure all the same.
    ensure!(old["Status"]["State"] == "failed" && old["Status"]["Err"] == "dockerexec: unhealthy container", "{old}");
    remove(cluster, &["ill"])?;

    // One that never gets healthy never runs; this one does not stop when it is told to, either.
    let line = format!(
        "--name never --health-cmd false --health-interval 200ms --health-retries 2
         --restart-delay 200ms --restart-max-attempts 1 --stop-grace-period 1s
         --entrypoint 'sleep 1000' {SLEEP}"
    );
    create(cluster, &line)?;
    cluster.until("two failures", SOON, || {
        let tasks = cluster.tasks("never")?;
        ensure!(tasks.iter().all(|task| task["Status"]["State"] != "running"), "{}", task_lines(cluster, "never")?);
        let why = "task: non-zero exit (137): dockerexec: unhealthy container";
        let failed = tasks.iter().filter(|task| task["Status"]["State"] == "failed" && task["Status"]["Err"] == why);
        ensure!(failed.count() == 2, "{}", task_lines(cluster, "never")?);
        Ok(())
    })?;
    remove(cluster, &["never"])
}

/// A time of dockerd, in nanoseconds of its day: enough to compare times of one test.
fn nanos(container: &Value, pointer: &str) -> Result<i64> {
    let text = text_at(container, pointer).with_context(|| format!("no {pointer} in {container}"))?;
    let clock = text.split_once('T').and_then(|(_, rest)| rest.strip_suffix('Z')).context("not in UTC")?;
    let (hms, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let seconds = hms.split(':').try_fold(0_i64, |sum, part| Ok::<_, anyhow::Error>(sum * 60 + part.parse::<i64>()?))?;
    Ok(seconds * 1_000_000_000 + format!("{fraction:0<9}").parse::<i64>()?)
}

fn the_delay_is_kept(cluster: &Cluster) -> Result<()> {
    const DAY: i64 = 24 * 3600 * 1_000_000_000;
    create(cluster, &format!("--name slow --restart-delay 3s {SLEEP}"))?;
    let before = live(cluster, "slow")?;
    let host = cluster.host(before.host);
    host.docker(&["kill", &before.id()?])?.ok()?;
    // While it waits the successor is made ready.
    cluster.until("a task that is ready", SOON, || {
        let tasks = cluster.tasks("slow")?;
        let is_ready = |task: &Value| task["Status"]["State"] == "ready" && task["DesiredState"] == "ready";
        ensure!(tasks.iter().any(is_ready), "{}", task_lines(cluster, "slow")?);
        Ok(())
    })?;
    let after = replaced(cluster, "slow", &before)?;
    let ended = host.docker_api(&Request::get(&format!("/containers/{}/json", before.id()?)))?.json()?;
    let waited = (nanos(&after.container, "/State/StartedAt")? - nanos(&ended, "/State/FinishedAt")?).rem_euclid(DAY);
    println!("restarted {} ms after the end (delay 3 s)", waited / 1_000_000);
    ensure!((2_990_000_000..8_000_000_000).contains(&waited), "it waited for {waited} ns");
    remove(cluster, &["slow"])
}

fn attempts_are_limited(cluster: &Cluster) -> Result<()> {
    let line = format!("--name thrice --restart-delay 100ms --restart-max-attempts 2 {EXIT} 0 3");
    create(cluster, &line)?;
    let settled = || {
        cluster.until("three failed tasks", SOON, || {
            let tasks = cluster.tasks("thrice")?;
            let failed = |task: &&Value| task["Status"]["Err"] == "task: non-zero exit (3)";
            let failed = tasks.iter().filter(failed).count();
            ensure!(failed == 3 && tasks.len() == 3, "{}", task_lines(cluster, "thrice")?);
            Ok(())
        })
    };
    settled()?;
    shows(cluster, "service ls --format {{.Replicas}} --filter name=thrice", &["0/1"])?;
    // That was all, whatever else happens; a new version begins anew.
    create(cluster, &format!("--name other {SLEEP}"))?;
    live(cluster, "other")?;
    remove(cluster, &["other"])?;
    settled()?;
    update(cluster, "thrice", "--args 1000")?;
    live(cluster, "thrice")?;
    remove(cluster, &["thrice"])
}

fn conditions(cluster: &Cluster) -> Result<()> {
    let services = [
        ("on-failure-good", "on-failure", 0),
        ("none-good", "none", 0),
        ("none-bad", "none", 7),
        ("any-good", "any", 0),
        ("on-failure-bad", "on-failure", 7),
    ];
    for (name, condition, code) in services {
        let policy = format!("--restart-delay 100ms --restart-condition {condition}");
        create(cluster, &format!("--name {name} {policy} {EXIT} 0 {code}"))?;
    }
    // Those that come again.
    for (name, state) in [("any-good", "complete"), ("on-failure-bad", "failed")] {
        cluster.until(&format!("{name} three times"), LATER, || {
            let tasks = cluster.tasks(name)?;
            let ended = tasks.iter().filter(|task| task["Status"]["State"] == state).count();
            ensure!(ended >= 3, "{}", task_lines(cluster, name)?);
            Ok(())
        })?;
    }
    // By now the others had their time to come again as well.
    for (name, state) in [("on-failure-good", "complete"), ("none-good", "complete"), ("none-bad", "failed")] {
        let tasks = cluster.tasks(name)?;
        let ended = tasks.len() == 1 && tasks[0]["Status"]["State"] == state;
        ensure!(ended, "{name}: {}", task_lines(cluster, name)?);
        ensure!(cluster.containers(name)?.is_empty());
    }
    let line = "service ps --format '{{.DesiredState}} {{.CurrentState}}' on-failure-good";
    let shown = said(cluster, line)?;
    ensure!(shown.starts_with("Shutdown Complete "), "{shown}");
    remove(cluster, &services.map(|(name, ..)| name))
}

fn global_task_is_replaced_on_its_node(cluster: &Cluster) -> Result<()> {
    create(cluster, &format!("--name all --mode global --restart-delay 500ms {SLEEP}"))?;
    let tasks = cluster.wait_running("all", 3, SOON)?;
    let victim = inspect(cluster, &tasks[1])?;
    cluster.host(victim.host).docker(&["kill", &victim.id()?])?.ok()?;
    cluster.until("a successor on the same node", SOON, || {
        let running = cluster.running_tasks("all")?;
        let new = running.iter().find(|task| !tasks.iter().any(|old| old["ID"] == task["ID"]));
        let new = new.with_context(|| task_lines(cluster, "all").unwrap_or_default())?;
        ensure!(new["NodeID"] == victim.task["NodeID"] && running.len() == 3, "{new}");
        Ok(())
    })?;
    remove(cluster, &["all"])
}

fn image_that_cannot_start(cluster: &Cluster) -> Result<()> {
    let line = format!("--name broken --restart-delay 100ms --restart-max-attempts 1 --entrypoint /not/there {SLEEP}");
    create(cluster, &line)?;
    cluster.until("two tasks that say why", Duration::from_secs(30), || {
        let tasks = cluster.tasks("broken")?;
        let says = |task: &Value| text_at(task, "/Status/Err").is_some_and(|text| text.contains("/not/there"));
        let failed = tasks.iter().filter(|task| task["Status"]["State"] == "failed" && says(task)).count();
        ensure!(failed == 2 && tasks.len() == 2, "{}", task_lines(cluster, "broken")?);
        Ok(())
    })?;
    ensure!(json!(cluster.containers("broken")?) == json!([]), "something runs");
    remove(cluster, &["broken"])
}
