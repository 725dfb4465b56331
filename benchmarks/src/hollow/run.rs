//! One run: nodes join, a service is created, all tasks are reported running, the service is removed.

use super::HollowNodes;
use crate::{api::Api, managers::Managers, usage::Usage};
use anyhow::{Context, Result, ensure};
use http::Method;
use serde_json::{Value, json};
use std::{
    path::Path,
    time::{Duration, Instant},
};

/// Between two questions how many tasks run.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long all tasks may take.
const DEADLINE: Duration = Duration::from_secs(600);
/// How long an idle cluster is watched.
const IDLE: Duration = Duration::from_secs(10);

/// What one run took.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Nodes.
    pub nodes: usize,
    /// Tasks.
    pub tasks: usize,
    /// Until every node had joined and opened its session.
    pub joined: Duration,
    /// From the creation of the service until all tasks were reported running.
    pub running: Duration,
    /// From its removal until no task was left.
    pub gone: Duration,
    /// Of the largest manager, the most that was resident; bytes.
    pub rss_max: u64,
    /// Processor time of all managers between creation and the last task running.
    pub cpu: Duration,
    /// Processor time of the nodes, and of this program, in that time.
    pub cpu_nodes: Duration,
    /// Processor seconds per second of all managers together while nothing happens.
    pub cpu_idle: f64,
}

/// Runs `tasks` tasks on `nodes` hollow nodes with three managers. `progress` is told what happens.
///
/// # Errors
/// When something does not come about in time.
pub async fn run(nodes: usize, tasks: usize, progress: impl Fn(&str)) -> Result<Outcome> {
    let managers = Managers::start(3).await?;
    let begun = Instant::now();
    let hollow = HollowNodes::join(&managers, nodes).await?;
    let joined = begun.elapsed();
    progress(&format!("{nodes} nodes have sessions after {joined:.1?}"));
    let leader = managers.leader().await?.socket();
    let service = json!({
        "Name": "hollow",
        "TaskTemplate": {"ContainerSpec": {"Image": "hollow"}},
        "Mode": {"Replicated": {"Replicas": tasks}},
    });
    let (cpu_before, own_before) = (cpu(&managers)?, Usage::of(std::process::id())?.cpu);
    let begun = Instant::now();
    Api::connect(&leader).await?.post("/services/create", &service).await?;
    until(&leader, &progress, |running, _| running == tasks).await.context("not all tasks run")?;
    let running = begun.elapsed();
    let (cpu_after, own_after) = (cpu(&managers)?, Usage::of(std::process::id())?.cpu);
    progress(&format!("{tasks} tasks run after {running:.1?}"));
    tokio::time::sleep(IDLE).await;
    let cpu_idle = (cpu(&managers)? - cpu_after).as_secs_f64() / IDLE.as_secs_f64();
    ensure!(hollow.open() == nodes, "{} of {nodes} nodes have a session", hollow.open());
    let begun = Instant::now();
    Api::connect(&leader).await?.send(Method::DELETE, "/services/hollow", Vec::new()).await?;
    until_empty(&leader).await?;
    let gone = begun.elapsed();
    progress(&format!("they are gone after {gone:.1?}"));
    let rss = managers.members().iter().map(|m| Ok(Usage::of(m.pid())?.rss_max)).collect::<Result<Vec<_>>>()?;
    Ok(Outcome {
        nodes,
        tasks,
        joined,
        running,
        gone,
        rss_max: rss.into_iter().max().unwrap_or(0),
        cpu: cpu_after - cpu_before,
        cpu_nodes: own_after - own_before,
        cpu_idle,
    })
}

fn cpu(managers: &Managers) -> Result<Duration> {
    managers.members().iter().map(|m| Ok(Usage::of(m.pid())?.cpu)).sum()
}

/// Waits until as many tasks run and are wanted as `done` asks for.
async fn until(socket: &Path, progress: &impl Fn(&str), done: impl Fn(usize, usize) -> bool) -> Result<()> {
    let mut api = Api::connect(socket).await?;
    let begun = Instant::now();
    let mut told = Instant::now();
    loop {
        let services = api.get("/v1.41/services?status=true").await?;
        let status = &services[0]["ServiceStatus"];
        let count = |name: &str| status[name].as_u64().and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
        let (running, desired) = (count("RunningTasks"), count("DesiredTasks"));
        if done(running, desired) {
            return Ok(());
        }
        ensure!(begun.elapsed() < DEADLINE, "{running} of {desired} tasks run after {DEADLINE:?}");
        if told.elapsed() > Duration::from_secs(2) {
            progress(&format!("{running} tasks run after {:.1?}", begun.elapsed()));
            told = Instant::now();
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn until_empty(socket: &Path) -> Result<()> {
    let mut api = Api::connect(socket).await?;
    let begun = Instant::now();
    loop {
        let asked = Instant::now();
        let tasks = api.get("/tasks").await?;
        let left = tasks.as_array().map_or(0, Vec::len);
        if left == 0 {
            return Ok(());
        }
        ensure!(begun.elapsed() < DEADLINE, "{left} tasks are left, as {}", tasks.get(0).unwrap_or(&Value::Null));
        // The whole list of so many tasks is work for the manager, which is to be seen at its own.
        tokio::time::sleep(LOOK_EVERY.max(asked.elapsed() * 10)).await;
    }
}
