//! `service scale`, `update` and `rm`.

use std::collections::BTreeSet;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use swarm_testkit::{Cluster, Request, SLEEP, WEB_1, WEB_2};
use swarm_tests::services::{create, fails, fields, lines, remove, said, service, shows, spread, swarm, task_lines, update};
use swarm_tests::{LATER, SOON, texts_at};

pub(crate) fn scale(cluster: &Cluster) -> Result<()> {
    create(cluster, &format!("--name one {SLEEP}"))?;
    create(cluster, &format!("--name two {SLEEP}"))?;
    cluster.wait_running("one", 1, SOON)?;
    let shown = lines(cluster, "service scale one=4 two=2")?;
    let wanted = ["one scaled to 4", "two scaled to 2", "overall progress: 4 out of 4 tasks", "overall progress: 2 out of 2 tasks"];
    let missing: Vec<_> = wanted.iter().filter(|line| !shown.contains(&(**line).to_owned())).collect();
    ensure!(missing.is_empty(), "{missing:?} not in {shown:?}");
    let before = texts_at(&cluster.wait_running("one", 4, SOON)?, "/ID");
    // Growing touches no task, shrinking only those that go.
    shows(cluster, "service scale --detach one=6", &["one scaled to 6"])?;
    let more = texts_at(&cluster.wait_running("one", 6, SOON)?, "/ID");
    ensure!(more.is_superset(&before), "scaling up replaced tasks");
    said(cluster, "service scale --detach one=2")?;
    let left = texts_at(&cluster.wait_running("one", 2, SOON)?, "/ID");
    ensure!(left.is_subset(&more), "scaling down made new tasks");
    let spread = spread(cluster, "one")?;
    ensure!(spread.len() == 2, "both tasks are on one node: {spread:?}");
    update(cluster, "one", "--replicas 3")?;
    let three = cluster.wait_running("one", 3, SOON)?;
    let slots: BTreeSet<_> = three.iter().filter_map(|task| task["Slot"].as_u64()).collect();
    ensure!(slots.len() == 3, "{slots:?}");
    said(cluster, "service scale --detach one=0")?;
    cluster.wait_running("one", 0, SOON)?;
    // Tasks of slots that were taken away are no history.
    cluster.until("no task", SOON, || {
        let tasks = task_lines(cluster, "one")?;
        ensure!(tasks.is_empty(), "{tasks}");
        Ok(())
    })?;
    remove(cluster, &["one", "two"])
}

pub(crate) fn refused_scale(cluster: &Cluster) -> Result<()> {
    create(cluster, &format!("--name one --replicas 0 {SLEEP}"))?;
    let why = "invalid scale specifier 'one'.";
    fails(cluster, "service scale --detach one", 1, why)?;
    let some = swarm(cluster, "service scale --detach nothing=1 one=x one=1")?;
    ensure!(some.code() == Some(1), "{some}");
    ensure!(some.stderr.contains("one: invalid replicas value x: "), "{some}");
    ensure!(some.stderr.contains("service nothing not found"), "{some}");
    ensure!(some.stdout == "one scaled to 1\n", "the right one counts: {some}");
    remove(cluster, &["one"])
}

fn is_up(task: &Value) -> bool {
    task["DesiredState"] == "running" && task["Status"]["State"] == "running"
}

/// Looks at a service again and again while it is updated, until all slots have a task that is `new`. Never may more than one
/// slot be without a task that runs and is meant to, nor more than one container be missing, nor one be too many. Gives the
/// number of looks.
fn watch_update(cluster: &Cluster, name: &str, slots: usize, is_new: impl Fn(&Value) -> bool) -> Result<usize> {
    let start = Instant::now();
    let mut looks = 0;
    while start.elapsed() < LATER {
        let tasks = cluster.tasks(name)?;
        let containers = cluster.containers(name)?.len();
        let running: Vec<_> = tasks.iter().filter(|task| is_up(task)).collect();
        let up: BTreeSet<_> = running.iter().filter_map(|task| task["Slot"].as_u64()).collect();
        let table = || task_lines(cluster, name).unwrap_or_default();
        ensure!(up.len() + 1 >= slots, "only slots {up:?} are up: {}", table());
        let in_bounds = (slots - 1..=slots).contains(&containers);
        ensure!(in_bounds, "{containers} containers run: {}", table());
        looks += 1;
        if up.len() == slots && running.iter().all(|task| is_new(task)) {
            return Ok(looks);
        }
    }
    bail!("not updated after {looks} looks: {}", task_lines(cluster, name)?)
}

pub(crate) fn update_of_the_image(cluster: &Cluster) -> Result<()> {
    create(cluster, &format!("--name roll --replicas 4 {WEB_1}"))?;
    cluster.wait_running("roll", 4, SOON)?;
    let start = Instant::now();
    update(cluster, "roll", &format!("--image {WEB_2}"))?;
    let is_new = |task: &Value| task["Spec"]["ContainerSpec"]["Image"] == WEB_2;
    let looks = watch_update(cluster, "roll", 4, is_new)?;
    println!("4 tasks replaced in {:?}, seen in {looks} looks", start.elapsed());
    ensure!(looks > 10, "too few looks to tell: {looks}");
    cluster.until("the end of the update", SOON, || {
        let expected = json!({"/State": "completed", "/Message": "update completed"});
        let status = &service(cluster, "roll")?["UpdateStatus"];
        fields(status, &expected)?;
        ensure!(status["CompletedAt"].is_string(), "{status}");
        Ok(())
    })?;
    let previous = "/PreviousSpec/TaskTemplate/ContainerSpec/Image";
    fields(&service(cluster, "roll")?, &json!({previous: WEB_1}))?;
    let pretty = said(cluster, "service inspect --pretty roll")?;
    ensure!(pretty.contains("UpdateStatus:\n State:\t\tcompleted\n"), "{pretty}");
    remove(cluster, &["roll"])
}

/// The command ends when all slots are of the new version, and tells each.
pub(crate) fn progress_of_an_update(cluster: &Cluster) -> Result<()> {
    create(cluster, &format!("--name told --replicas 3 {SLEEP}"))?;
    cluster.wait_running("told", 3, SOON)?;
    let shown = lines(cluster, "service update --no-resolve-image --env-add A=1 told")?;
    let tasks = cluster.running_tasks("told")?;
    let new = tasks.iter().filter(|task| task["Spec"]["ContainerSpec"]["Env"] == json!(["A=1"]));
    ensure!(new.count() == 3, "{}", task_lines(cluster, "told")?);
    ensure!(shown.first().is_some_and(|line| line == "told"), "{shown:?}");
    let last = shown.last().context("no last line")?;
    ensure!(last == "verify: Service told converged", "{shown:?}");
    for done in 1..=3 {
        let line = format!("overall progress: {done} out of 3 tasks");
        ensure!(shown.contains(&line), "{line} is missing: {shown:?}");
    }
    remove(cluster, &["told"])
}

/// The second update takes over where the first one was.
pub(crate) fn update_of_an_update(cluster: &Cluster) -> Result<()> {
    create(cluster, &format!("--name twice --replicas 4 {WEB_1}"))?;
    cluster.wait_running("twice", 4, SOON)?;
    update(cluster, "twice", &format!("--image {WEB_2}"))?;
    let is_web_2 = |task: &Value| task["Spec"]["ContainerSpec"]["Image"] == WEB_2;
    cluster.until("the middle of the update", SOON, || {
        let tasks = cluster.running_tasks("twice")?;
        ensure!(tasks.iter().any(is_web_2), "{}", task_lines(cluster, "twice")?);
        Ok(())
    })?;
    update(cluster, "twice", "--env-add A=1")?;
    let env = json!(["A=1"]);
    let is_new = |task: &Value| is_web_2(task) && task["Spec"]["ContainerSpec"]["Env"] == env;
    watch_update(cluster, "twice", 4, is_new)?;
    let completed = json!({"/UpdateStatus/State": "completed"});
    cluster.until("the end", SOON, || fields(&service(cluster, "twice")?, &completed))?;
    remove(cluster, &["twice"])
}

/// A version that cannot run takes one slot and no more; the next version goes on from there.
pub(crate) fn update_that_fails(cluster: &Cluster) -> Result<()> {
    create(cluster, &format!("--name stops --replicas 3 --restart-delay 1s {WEB_1}"))?;
    let before = texts_at(&cluster.wait_running("stops", 3, SOON)?, "/ID");
    let line = "service update --no-resolve-image --image swarm-test/nowhere:1 stops";
    let why = "service update paused: update paused due to failure or early termination of task ";
    fails(cluster, line, 1, why)?;
    let expected = json!({"/UpdateStatus/State": "paused"});
    fields(&service(cluster, "stops")?, &expected)?;
    let kept = texts_at(&cluster.wait_running("stops", 2, SOON)?, "/ID");
    ensure!(kept.is_subset(&before), "{}", task_lines(cluster, "stops")?);
    let errors = said(cluster, "service ps --no-trunc --format {{.Error}} stops")?;
    ensure!(errors.contains("No such image: swarm-test/nowhere:1"), "{errors}");
    update(cluster, "stops", &format!("--image {WEB_1}"))?;
    let after = texts_at(&cluster.wait_running("stops", 3, SOON)?, "/ID");
    let completed = json!({"/UpdateStatus/State": "completed"});
    cluster.until("the end", SOON, || fields(&service(cluster, "stops")?, &completed))?;
    ensure!(after.len() == 3, "{}", task_lines(cluster, "stops")?);
    remove(cluster, &["stops"])
}

pub(crate) fn force(cluster: &Cluster) -> Result<()> {
    create(cluster, &format!("--name forced --replicas 3 {SLEEP}"))?;
    let before = texts_at(&cluster.wait_running("forced", 3, SOON)?, "/ID");
    // The same once more is no change.
    update(cluster, "forced", &format!("--image {SLEEP}"))?;
    update(cluster, "forced", "--force")?;
    let is_new = |task: &Value| !task["ID"].as_str().is_some_and(|id| before.contains(id));
    watch_update(cluster, "forced", 3, is_new)?;
    let tasks = cluster.tasks("forced")?.len();
    ensure!(tasks == 6, "{}", task_lines(cluster, "forced")?);
    let expected = json!({"/Spec/TaskTemplate/ForceUpdate": 1});
    fields(&service(cluster, "forced")?, &expected)?;
    remove(cluster, &["forced"])
}

pub(crate) fn removal(cluster: &Cluster) -> Result<()> {
    create(cluster, &format!("--name gone --replicas 3 {SLEEP}"))?;
    let tasks = texts_at(&cluster.wait_running("gone", 3, SOON)?, "/ID");
    shows(cluster, "service rm gone", &["gone"])?;
    // The name is free at once, though the old containers may still be stopping.
    create(cluster, &format!("--name gone --replicas 2 {SLEEP}"))?;
    cluster.wait_running("gone", 2, SOON)?;
    let ended = json!({"label": ["com.docker.swarm.task"], "status": ["exited", "created", "dead"]});
    let ended = Request::get("/containers/json?all=1").query("filters", &ended.to_string());
    cluster.until("the end of the old tasks", SOON, || {
        for task in &tasks {
            let found = cluster.api(1, &Request::get(&format!("/tasks/{task}")))?;
            ensure!(found.status == 404, "{found}");
        }
        // Not even an ended container is left of a service that is gone.
        for host in cluster.bed().hosts() {
            let left = host.docker_api(&ended)?.json()?;
            ensure!(left == json!([]), "left on {}: {left}", host.name());
        }
        Ok(())
    })?;
    remove(cluster, &["gone"])
}
