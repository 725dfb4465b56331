//! Agents that are killed, at moments that a test chooses. The agent is a process of its own: this test binary, started again for one case.

use crate::bed::{Bed, docker_host, spec, task};
use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};
use swarm_types::TaskState;

const SEED: u8 = 130;
const TASKS: u8 = 6;
const SCRIPT: &str = "exec sleep 600";

/// Not a test: the agent that is killed. Does nothing unless it was started as such.
#[tokio::test]
async fn agent_process() {
    let (Ok(dir), Some(host)) = (std::env::var("SWARM_TEST_AGENT_DIR"), docker_host()) else {
        return;
    };
    let mut bed = Bed::at(&host, SEED, Path::new(&dir)).await;
    let spec = spec(SEED, SCRIPT);
    let tasks: Vec<_> = (1..=TASKS).map(|n| task(&spec, n)).collect();
    bed.assign(vec![spec], tasks.clone()).await;
    println!("ASSIGNED");
    for task in &tasks {
        bed.reaches(task.id, TaskState::Running).await;
    }
    println!("RUNNING");
    std::future::pending::<()>().await;
}

fn start_agent(dir: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().expect("known"));
    command.args(["--exact", "crash::agent_process", "--nocapture"]).env("SWARM_TEST_AGENT_DIR", dir);
    command.stdout(Stdio::piped()).spawn().expect("starts")
}

/// Kills the agent as soon as it has said `word` and `later` has passed.
fn kill_after(mut agent: Child, word: &str, later: Duration) {
    // Held until the end: an agent that cannot speak would not end by the kill.
    let mut said = BufReader::new(agent.stdout.take().expect("piped")).lines();
    let heard = said.by_ref().map_while(Result::ok).any(|line| line.ends_with(word));
    assert!(heard, "the agent ended without saying {word}");
    std::thread::sleep(later); // The moment of the crash is what the test chooses.
    agent.kill().expect("SIGKILL");
    let end = agent.wait().expect("ends");
    assert_eq!(end.code(), None, "it ended by itself");
}

#[tokio::test]
async fn a_killed_agent_adopts_what_runs_and_doubles_nothing() {
    let Some(host) = docker_host() else { return };
    if std::env::var("SWARM_TEST_AGENT_DIR").is_ok() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    // Right after the order, while containers are made and started, and when all run.
    let moments = [0, 30, 200, 700, 1_500].map(|ms| ("ASSIGNED", ms));
    for (round, (word, delay_ms)) in moments.into_iter().chain([("RUNNING", 0)]).enumerate() {
        let dir = folder.path().join(format!("worker{round}"));
        let agent = start_agent(&dir);
        let kill = move || kill_after(agent, word, Duration::from_millis(delay_ms));
        tokio::task::spawn_blocking(kill).await.expect("killed");
        let before = started_at(&host).await;
        // Records that were not yet on disk are lost; the order then comes from the managers again.
        let mut bed = Bed::at(&host, SEED, &dir).await;
        let spec = spec(SEED, SCRIPT);
        let tasks: Vec<_> = (1..=TASKS).map(|n| task(&spec, n)).collect();
        bed.assign(vec![spec], tasks.clone()).await;
        for task in &tasks {
            bed.reaches(task.id, TaskState::Running).await;
        }
        assert_eq!(bed.containers().await, usize::from(TASKS), "killed {delay_ms} ms after {word}");
        let after = started_at(&host).await;
        for (name, started) in &before {
            assert_eq!(after.get(name), Some(started), "{name} was started twice, killed {delay_ms} ms after {word}");
        }
        eprintln!("killed {delay_ms} ms after {word} with {} running: adopted", before.len());
        bed.close().await;
    }
}

/// When each running container of the node was started, by name.
async fn started_at(host: &str) -> std::collections::BTreeMap<String, String> {
    let label = format!("label=com.docker.swarm.node.id={}", swarm_types::NodeId::from_random([SEED; 16]));
    let docker = |args: &[&str]| {
        let output = Command::new("docker").args(["-H", host]).args(args).output().expect("docker runs");
        String::from_utf8(output.stdout).expect("text")
    };
    let running = docker(&["ps", "-q", "--no-trunc", "--filter", &label]);
    let started = |id: &str| {
        let line = docker(&["inspect", "--format", "{{.Name}} {{.State.StartedAt}}", id]);
        line.trim().split_once(' ').map(|(name, at)| (name.to_owned(), at.to_owned()))
    };
    running.lines().filter_map(started).collect()
}

#[tokio::test]
async fn an_agent_that_stops_in_order_leaves_its_containers() {
    let Some(mut bed) = Bed::new(131).await else {
        return;
    };
    let spec = spec(131, SCRIPT);
    let one = task(&spec, 1);
    bed.assign(vec![spec.clone()], vec![one.clone()]).await;
    let before = bed.reaches(one.id, TaskState::Running).await;
    bed.restart().await;
    bed.worker.report_all_again().await;
    let after = bed.reaches(one.id, TaskState::Running).await;
    assert_eq!(after, before, "nothing is new, not even the time");
    let id = before.container_status.expect("told").container_id;
    bed.docker.kill_container(&id, None).await.expect("kills");
    assert_eq!(bed.reaches(one.id, TaskState::Failed).await.err, "task: non-zero exit (137)");
    bed.close().await;
}
