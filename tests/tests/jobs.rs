//! Jobs on three managers, by our client and the docker command line; what a leader's end changes; generic resources.

use anyhow::{Context, Result, ensure};
use serde_json::json;
use swarm_testkit::{Cluster, EXIT, Request, SLEEP};
use swarm_tests::services::{create, remove, said, shows, swarm, task_lines, update, waits_because};
use swarm_tests::{Check, LATER, check_cluster, prints, says, text_at};

fn both_clients_wait_until_a_job_is_complete(cluster: &Cluster) -> Result<()> {
    let line = |name| {
        let job = ["service", "create", "--name", name, "--no-resolve-image", "--mode", "replicated-job"];
        [&job[..], &["--replicas", "3", "--max-concurrent", "2", EXIT, "0", "0"]].concat()
    };
    let ours = cluster.swarm(1, &line("ours"))?.ok()?;
    ensure!(ours.contains("job progress: 3 out of 3 complete") && ours.ends_with("job complete"), "{ours}");
    let dockers = cluster.docker(1, &line("dockers"))?.ok()?;
    ensure!(dockers.ends_with("job complete"), "{dockers}");
    let everywhere = ["service", "create", "--name", "spread", "--no-resolve-image", "--mode", "global-job", EXIT, "0", "0"];
    ensure!(cluster.docker(1, &everywhere)?.ok()?.contains("job complete"));
    let table =
        "dockers replicated job 0/2 (3/3 completed)\nours replicated job 0/2 (3/3 completed)\nspread global job 0/0 (3/3 completed)";
    let list = ["service", "ls", "--format", "{{.Name}} {{.Mode}} {{.Replicas}}"];
    prints(cluster.swarm(1, &list)?, table)?;
    prints(cluster.docker(1, &list)?, table)?;
    for client in [
        cluster.swarm(1, &["service", "ps", "--format", "{{.CurrentState}}", "ours"])?,
        cluster.docker(1, &["service", "ps", "--format", "{{.CurrentState}}", "ours"])?,
    ] {
        let states = client.lines()?;
        ensure!(states.len() == 3 && states.iter().all(|state| state.starts_with("Complete ")), "{states:?}");
    }
    remove(cluster, &["dockers", "ours", "spread"])
}

/// Index of the run that a service is in, and the ids of the run's tasks that are complete.
fn complete(cluster: &Cluster, name: &str) -> Result<(serde_json::Value, Vec<String>)> {
    let run = cluster.ask(&Request::get(&format!("/services/{name}")))?["JobStatus"]["JobIteration"]["Index"].take();
    let done = |task: &serde_json::Value| task["Status"]["State"] == "complete" && task["JobIteration"]["Index"] == run;
    let ids = cluster.tasks(name)?.iter().filter(|task| done(task)).filter_map(|task| text_at(task, "/ID")).collect();
    Ok((run, ids))
}

fn a_job_runs_again_by_force_and_fails_as_its_policy_says(cluster: &Cluster) -> Result<()> {
    create(cluster, &format!("--name again --mode replicated-job --replicas 2 {EXIT} 0 0"))?;
    let all = |run: u64| {
        cluster.until("two complete tasks", LATER, || {
            let (index, ids) = complete(cluster, "again")?;
            ensure!(index == json!(run) && ids.len() == 2, "run {index}: {}", task_lines(cluster, "again")?);
            Ok(ids)
        })
    };
    let first = all(0)?;
    update(cluster, "again", "--force")?;
    let second = all(1)?;
    ensure!(first.iter().all(|id| !second.contains(id)), "{first:?} {second:?}");
    let refused = "update and rollback configuration is not supported for jobs";
    says(&swarm(cluster, "service update --update-delay 1s again")?, 1, refused)?;
    create(cluster, &format!("--name bad --mode replicated-job --restart-max-attempts 1 --restart-delay 100ms {EXIT} 0 3"))?;
    cluster.until("a job that is given up", LATER, || {
        let tasks = cluster.tasks("bad")?;
        let over = tasks.iter().all(|task| task["Status"]["State"] == "failed" && task["DesiredState"] == "shutdown");
        ensure!(tasks.len() == 2 && over, "{}", task_lines(cluster, "bad")?);
        Ok(())
    })?;
    shows(cluster, "service ls --filter name=bad --format {{.Replicas}}", &["0/1 (0/1 completed)"])?;
    remove(cluster, &["again", "bad"])
}

fn the_end_of_a_leader_changes_nothing(cluster: &Cluster) -> Result<()> {
    create(cluster, &format!("--name long --mode replicated-job --replicas 6 --max-concurrent 2 {EXIT} 2 0"))?;
    cluster.until("a complete task", LATER, || {
        ensure!(!complete(cluster, "long")?.1.is_empty());
        Ok(())
    })?;
    let nodes = cluster.nodes()?;
    let leads = nodes.iter().find(|node| node["ManagerStatus"]["Leader"] == true).context("nobody leads")?;
    let leads = (1..=3).find(|n| text_at(leads, "/Description/Hostname").is_some_and(|name| name == cluster.host(*n).hostname()));
    let leads = leads.context("the leader is on no host")?;
    cluster.agent(leads).manager().context("the leader has no manager")?.kill()?;
    cluster.until("six complete tasks of one run", LATER, || {
        let (run, ids) = complete(cluster, "long")?;
        let tasks = cluster.tasks("long")?.len();
        ensure!(run == 0 && ids.len() == 6 && tasks == 6, "run {run}: {}", task_lines(cluster, "long")?);
        Ok(())
    })?;
    cluster.wait_ready(3, 0)?;
    remove(cluster, &["long"])
}

fn generic_resources_are_given_while_they_last(cluster: &Cluster) -> Result<()> {
    let host = cluster.host(2);
    host.stop_dockerd()?;
    host.start_dockerd_with(&["--node-generic-resource", "GPU=red", "--node-generic-resource", "GPU=blue"])?;
    create(cluster, &format!("--name painter --replicas 2 --generic-resource GPU=1 {SLEEP}"))?;
    let tasks = cluster.wait_running("painter", 2, LATER)?;
    let mut given = Vec::new();
    for task in &tasks {
        let live = swarm_tests::services::inspect(cluster, task)?;
        ensure!(live.host == 2, "it runs on host {}", live.host);
        given.push(live.exec(cluster, &["sh", "-c", "echo $DOCKER_RESOURCE_GPU"])?);
    }
    given.sort();
    ensure!(given == ["blue", "red"], "{given:?}");
    update(cluster, "painter", "--replicas 3")?;
    waits_because(cluster, "painter", 1, "no suitable node (insufficient resources on 3 nodes)")?;
    let named = "invalid generic-resource request `GPU=red`, Named Generic Resources is not supported for service create or update";
    says(&swarm(cluster, &format!("service create --generic-resource GPU=red {SLEEP}"))?, 1, named)?;
    let spec = said(cluster, "service inspect --format '{{json .Spec.TaskTemplate.Resources.Reservations}}' painter")?;
    ensure!(spec == r#"{"GenericResources":[{"DiscreteResourceSpec":{"Kind":"GPU","Value":1}}]}"#, "{spec}");
    update(cluster, "painter", "--generic-resource-rm GPU")?;
    cluster.wait_running("painter", 3, LATER)?;
    remove(cluster, &["painter"])
}

const CHECKS: &[Check<Cluster>] = &[
    ("waiting", both_clients_wait_until_a_job_is_complete),
    ("again", a_job_runs_again_by_force_and_fails_as_its_policy_says),
    ("leader", the_end_of_a_leader_changes_nothing),
    ("generic resources", generic_resources_are_given_while_they_last),
];

#[test]
fn jobs_are_done_as_often_as_asked() -> Result<()> {
    check_cluster(&Cluster::formed(3, 0)?, CHECKS)
}
