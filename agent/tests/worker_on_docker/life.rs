//! The ways of tasks.

use crate::bed::{Bed, IMAGE, desired, spec, spec_of, task, with_ports};
use std::time::{Duration, Instant};
use swarm_types::{ContainerSpec, HealthConfig, Mount, MountType, PortConfig, PublishMode, TaskState};

const SLEEP: &str = "trap 'exit 0' TERM; while :; do sleep 0.1; done";

#[tokio::test]
async fn a_task_runs_stops_and_is_forgotten() {
    let Some(mut bed) = Bed::new(101).await else {
        return;
    };
    let spec = spec(101, SLEEP);
    let one = task(&spec, 1);
    bed.assign(vec![spec.clone()], vec![desired(TaskState::Ready, &one)]).await;
    let prepared = bed.reaches(one.id, TaskState::Ready).await;
    assert_eq!((prepared.message.as_str(), prepared.container_status), ("prepared", None));
    bed.assign(vec![spec.clone()], vec![one.clone()]).await;
    let running = bed.reaches(one.id, TaskState::Running).await;
    let container = running.container_status.clone().expect("told");
    assert_eq!(container.container_id.len(), 64);
    let state = bed.inspect(&running).await.state.expect("a state");
    assert_eq!((state.running, state.pid), (Some(true), Some(container.pid)));
    bed.assign(vec![spec.clone()], vec![desired(TaskState::Shutdown, &one)]).await;
    let stopped = bed.reaches(one.id, TaskState::Shutdown).await;
    assert_eq!((stopped.message.as_str(), stopped.err.as_str()), ("shutdown", ""));
    assert_eq!(bed.containers().await, 1, "kept for its logs");
    bed.assign(vec![], vec![]).await;
    while bed.containers().await > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    bed.close().await;
}

#[tokio::test]
async fn exits_and_kills_have_dockers_texts() {
    let Some(mut bed) = Bed::new(102).await else {
        return;
    };
    let (zero, three, long) = (spec(102, "exit 0"), spec(103, "exit 3"), spec(104, SLEEP));
    let tasks = [task(&zero, 1), task(&three, 2), task(&long, 3), task(&long, 4)];
    bed.assign(vec![zero, three, long], tasks.to_vec()).await;
    assert_eq!(bed.reaches(tasks[0].id, TaskState::Complete).await.message, "finished");
    let failed = bed.reaches(tasks[1].id, TaskState::Failed).await;
    assert_eq!((failed.message.as_str(), failed.err.as_str()), ("started", "task: non-zero exit (3)"));
    assert_eq!(failed.container_status.expect("told").exit_code, 3);
    for (n, remove) in [(2, false), (3, true)] {
        let running = bed.reaches(tasks[n].id, TaskState::Running).await;
        let id = running.container_status.expect("told").container_id;
        if remove {
            let options = bollard::query_parameters::RemoveContainerOptionsBuilder::new().force(true).build();
            bed.docker.remove_container(&id, Some(options)).await.expect("removes");
        } else {
            bed.docker.kill_container(&id, None).await.expect("kills");
        }
        let failed = bed.reaches(tasks[n].id, TaskState::Failed).await;
        assert_eq!(failed.err, "task: non-zero exit (137)");
    }
    bed.close().await;
}

#[tokio::test]
async fn health_checks_hold_back_and_end_tasks() {
    let Some(mut bed) = Bed::new(105).await else {
        return;
    };
    let second = 1_000_000_000;
    let check = HealthConfig {
        test: ["CMD-SHELL", "test -e /ok"].map(str::to_owned).into(),
        interval: second / 2,
        timeout: second * 5,
        retries: 2,
        start_period: second * 30,
        ..HealthConfig::default()
    };
    let container = |script: &str| ContainerSpec {
        args: crate::bed::shell(script),
        healthcheck: Some(check.clone()),
        stop_grace_period: Some(second),
        ..ContainerSpec::default()
    };
    // Passes once, then fails, and ignores the request to stop.
    let spec =
        spec_of(105, container("trap '' TERM; sleep 2; touch /ok; sleep 3; rm /ok || /bin/busybox rm /ok; while :; do sleep 1; done"));
    let one = task(&spec, 1);
    bed.assign(vec![spec], vec![one.clone()]).await;
    bed.reaches(one.id, TaskState::Starting).await;
    let began = Instant::now();
    bed.reaches(one.id, TaskState::Running).await;
    assert!(began.elapsed() > Duration::from_secs(1), "it ran before it was healthy");
    let failed = bed.reaches(one.id, TaskState::Failed).await;
    assert_eq!(failed.err, "task: non-zero exit (137): dockerexec: unhealthy container");
    bed.close().await;
}

#[tokio::test]
async fn host_ports_are_reported_and_conflicts_fail_the_task() {
    let Some(mut bed) = Bed::new(106).await else {
        return;
    };
    let port =
        |target_port, published_port| PortConfig { target_port, published_port, publish_mode: PublishMode::Host, ..PortConfig::default() };
    let chosen = with_ports(spec(106, SLEEP), vec![port(80, 0)]);
    let one = task(&chosen, 1);
    bed.assign(vec![chosen.clone()], vec![one.clone()]).await;
    let running = bed.reaches(one.id, TaskState::Running).await;
    let told = &running.port_status.ports;
    assert_eq!((told.len(), told[0].target_port, told[0].publish_mode), (1, 80, PublishMode::Host));
    assert!(told[0].published_port >= 1024, "{told:?}");
    let taken = with_ports(spec(107, SLEEP), vec![port(80, told[0].published_port)]);
    let two = task(&taken, 2);
    bed.assign(vec![chosen.clone(), taken.clone()], vec![one.clone(), two.clone()]).await;
    let failed = bed.reaches(two.id, TaskState::Failed).await;
    assert!(failed.err.starts_with("starting container failed: "), "{}", failed.err);
    assert!(failed.err.contains("port is already allocated"), "{}", failed.err);
    // A task that stops gives its port to the next one.
    let three = task(&taken, 3);
    let orders = [desired(TaskState::Shutdown, &one), desired(TaskState::Shutdown, &two), three.clone()];
    bed.assign(vec![chosen, taken], orders.to_vec()).await;
    bed.reaches(three.id, TaskState::Running).await;
    bed.close().await;
}

#[tokio::test]
async fn what_cannot_be_made_is_rejected() {
    let Some(mut bed) = Bed::new(108).await else {
        return;
    };
    let image = spec_of(108, ContainerSpec { image: "swarm-test-no-such-image".into(), ..ContainerSpec::default() });
    let mount = Mount { kind: MountType::Bind, source: "/nonexistent/x".into(), target: "/x".into(), ..Mount::default() };
    let bind = spec_of(109, ContainerSpec { mounts: vec![mount], ..ContainerSpec::default() });
    let command = spec_of(110, ContainerSpec { command: vec!["/nonexistent".into()], ..ContainerSpec::default() });
    let tasks = [task(&image, 1), task(&bind, 2), task(&command, 3)];
    bed.assign(vec![image, bind, command], tasks.to_vec()).await;
    let status = bed.reaches(tasks[0].id, TaskState::Rejected).await;
    assert_eq!(status.err, "No such image: swarm-test-no-such-image:latest");
    assert_eq!(status.message, "preparing");
    let status = bed.reaches(tasks[1].id, TaskState::Rejected).await;
    assert_eq!(status.err, "invalid bind mount source, source path not found: /nonexistent/x");
    let status = bed.reaches(tasks[2].id, TaskState::Failed).await;
    assert!(status.err.starts_with("starting container failed: "), "{}", status.err);
    assert!(status.err.contains("no such file or directory"), "{}", status.err);
    bed.close().await;
}

#[tokio::test]
async fn ten_tasks_run_soon() {
    let Some(mut bed) = Bed::new(111).await else {
        return;
    };
    // Nothing that would compete with the engine for the processor.
    let spec = spec(111, "exec sleep 600");
    let tasks: Vec<_> = (1..=10).map(|n| task(&spec, n)).collect();
    let began = Instant::now();
    bed.assign(vec![spec], tasks.clone()).await;
    for task in &tasks {
        bed.reaches(task.id, TaskState::Running).await;
    }
    eprintln!("ten tasks run after {:?}", began.elapsed());
    bed.close().await;
}

#[tokio::test]
async fn an_image_on_the_host_needs_no_registry() {
    let Some(mut bed) = Bed::new(112).await else {
        return;
    };
    bed.restart_with(false).await;
    // Addresses for documentation: nobody answers there, and on some hosts not even with a refusal.
    let options = bollard::query_parameters::TagImageOptionsBuilder::new().repo("192.0.2.1:5000/app").tag("1").build();
    bed.docker.tag_image(IMAGE, Some(options)).await.expect("tags");
    let container =
        ContainerSpec { image: "192.0.2.1:5000/app:1".into(), args: crate::bed::shell("exec sleep 600"), ..ContainerSpec::default() };
    let spec = spec_of(112, container);
    let tasks: Vec<_> = (1..=4).map(|n| task(&spec, n)).collect();
    let began = Instant::now();
    bed.assign(vec![spec], tasks.clone()).await;
    for task in &tasks {
        bed.reaches(task.id, TaskState::Running).await;
    }
    eprintln!("four tasks run without their registry after {:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(20));
    bed.close().await;
}
