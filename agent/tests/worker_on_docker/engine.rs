//! An engine that is stopped and started. Runs only where `SWARM_TEST_DOCKER_STOP` and `SWARM_TEST_DOCKER_START` are
//! shell commands that do that and return when it is done.

use crate::bed::{Bed, spec, task};
use std::{process::Command, time::Instant};
use swarm_types::TaskState;

fn shell(variable: &str) -> Option<String> {
    let command = std::env::var(variable).ok();
    if command.is_none() {
        eprintln!("skipped: {variable} is not set");
    }
    command
}

async fn run(command: String) {
    let ran = tokio::task::spawn_blocking(move || Command::new("sh").args(["-c", &command]).status());
    assert!(ran.await.expect("no panic").expect("sh runs").success());
}

#[tokio::test]
async fn an_engine_that_was_away_tells_what_became_of_its_containers() {
    let commands = (shell("SWARM_TEST_DOCKER_STOP"), shell("SWARM_TEST_DOCKER_START"));
    let (Some(stop), Some(start)) = commands else {
        return;
    };
    let Some(mut bed) = Bed::new(140).await else {
        return;
    };
    let spec = spec(140, "exec sleep 600");
    let tasks: Vec<_> = (1..=3).map(|n| task(&spec, n)).collect();
    bed.assign(vec![spec.clone()], tasks[..2].to_vec()).await;
    for task in &tasks[..2] {
        bed.reaches(task.id, TaskState::Running).await;
    }
    run(stop).await;
    bed.assign(vec![spec], tasks.clone()).await;
    let waiting = bed.reaches(tasks[2].id, TaskState::Preparing).await;
    eprintln!("while it is away: {:?}", waiting.err);
    run(start).await;
    let began = Instant::now();
    bed.reaches(tasks[2].id, TaskState::Running).await;
    eprintln!("the waiting task runs {:?} after the engine is back", began.elapsed());
    for task in &tasks[..2] {
        let failed = bed.reaches(task.id, TaskState::Failed).await;
        eprintln!("the others: {:?}", failed.err);
    }
    bed.close().await;
}
