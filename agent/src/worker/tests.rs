//! The worker against an engine in memory. Time is virtual: waits end when nothing else can happen.

use super::{fake::FakeEngine, *};
use crate::executor::{ContainerEventKind, Ended, Health, Phase, Running};
use std::time::Duration;
use swarm_session::{AssignedTask, PayloadOrders, SharedSpec};
use swarm_types::{ContainerSpec, EndpointSpec, PortConfig, PublishMode, SpecId, TaskId, TaskSpec, TaskState, TaskStatus};
use tempfile::TempDir;

/// Virtual time in which everything that can happen has happened.
const SETTLED: Duration = Duration::from_secs(120);

struct Bed {
    engine: Arc<FakeEngine>,
    dir: TempDir,
    worker: WorkerHandle,
    generation: u64,
}

impl Bed {
    async fn new() -> Self {
        let engine = Arc::new(FakeEngine::new());
        let dir = tempfile::tempdir().expect("a folder");
        let worker = open(&engine, &dir).await;
        Self { engine, dir, worker, generation: 0 }
    }

    /// A complete set of orders.
    async fn assign(&mut self, tasks: &[AssignedTask]) {
        self.generation += 1;
        let assign = Assign {
            from: None,
            generation: Generation(self.generation),
            specs: vec![spec(1, 0), spec(2, 8080)],
            tasks: tasks.to_vec(),
            removed: vec![],
            specs_removed: vec![],
            networks: swarm_session::NetworkOrders::default(),
            payloads: PayloadOrders::default(),
        };
        self.worker.assign(assign).await.expect("taken");
    }

    /// Waits until the task's newest status is this.
    async fn reaches(&self, task: TaskId, state: TaskState) -> TaskStatus {
        let mut changed = self.worker.reports_changed();
        let waited = tokio::time::timeout(SETTLED, async {
            loop {
                changed.mark_unchanged();
                let reports = self.worker.unreported().await;
                let found = reports.into_iter().find(|r| r.task_id == task && r.status.state == state);
                if let Some(report) = found {
                    return report.status;
                }
                changed.changed().await.expect("the worker lives");
            }
        });
        let Ok(status) = waited.await else { panic!("{task} does not reach {state}; told: {:?}", self.worker.unreported().await) };
        status
    }

    /// Waits until `is_so`.
    async fn until(&self, what: &str, is_so: impl Fn(&FakeEngine) -> bool) {
        let waited = tokio::time::timeout(SETTLED, async {
            while !is_so(&self.engine) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        waited.await.unwrap_or_else(|_| panic!("never: {what}"));
    }

    /// Lets everything happen that still can.
    async fn settle(&self) {
        tokio::time::sleep(SETTLED).await;
    }

    /// A new life of the agent. Without records it knows nothing of the old one.
    async fn restart(&mut self, keep_records: bool) {
        self.worker.shutdown().await;
        if !keep_records {
            self.dir = tempfile::tempdir().expect("a folder");
        }
        self.worker = open(&self.engine, &self.dir).await;
    }
}

async fn open(engine: &Arc<FakeEngine>, dir: &TempDir) -> WorkerHandle {
    let config = WorkerConfig {
        dir: Some(dir.path().join("worker")),
        node_id: swarm_types::NodeId::from_random([7; 16]),
        hostname: "alpha".into(),
        prefer_offline_images: false,
        networks: Arc::default(),
    };
    WorkerHandle::open(config, Arc::clone(engine) as Arc<dyn Executor>).await.expect("opens")
}

fn spec(n: u8, published_port: u32) -> SharedSpec {
    let port = PortConfig { target_port: 80, published_port, publish_mode: PublishMode::Host, ..PortConfig::default() };
    let container = ContainerSpec { image: "busybox".into(), ..ContainerSpec::default() };
    SharedSpec {
        id: SpecId::from_random([n; 16]),
        service_id: None,
        service_name: "web".into(),
        service_labels: Default::default(),
        template: TaskSpec { container_spec: Some(container), ..TaskSpec::default() },
        endpoint: (published_port != 0).then(|| EndpointSpec { mode: None, ports: vec![port] }),
    }
}

fn task(n: u8) -> AssignedTask {
    AssignedTask {
        id: TaskId::from_random([n; 16]),
        spec: SpecId::from_random([1; 16]),
        slot: n.into(),
        desired_state: TaskState::Running,
        recorded_state: TaskState::Assigned,
        attachments: vec![],
        generic_resources: vec![],
    }
}

fn desired(desired_state: TaskState, task: &AssignedTask) -> AssignedTask {
    AssignedTask { desired_state, ..task.clone() }
}

fn running() -> Phase {
    Phase::Running(Running { health: Health::Unchecked, pid: 1, ports: vec![] })
}

fn verbs(done: &[String]) -> Vec<&str> {
    done.iter().filter_map(|line| line.split(' ').next()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_task_runs_stops_and_is_forgotten() {
    let mut bed = Bed::new().await;
    let one = task(1);
    bed.assign(&[task(1)]).await;
    let status = bed.reaches(one.id, TaskState::Running).await;
    assert_eq!((status.message.as_str(), status.err.as_str()), ("started", ""));
    assert_eq!(status.container_status.map(|c| (c.container_id.len(), c.pid)), Some((64, 1)));
    assert_eq!(verbs(&bed.engine.done()), ["create", "start"]);
    bed.assign(&[desired(TaskState::Shutdown, &one)]).await;
    let status = bed.reaches(one.id, TaskState::Shutdown).await;
    assert_eq!(status.message, "shutdown");
    assert_eq!(status.container_status.map(|c| c.exit_code), Some(143));
    bed.assign(&[]).await;
    bed.until("the container is removed", |engine| engine.containers() == 0).await;
    assert_eq!(verbs(&bed.engine.done()), ["stop", "remove"]);
    assert_eq!(bed.worker.unreported().await, []);
}

#[tokio::test(start_paused = true)]
async fn a_prepared_task_waits_for_its_start() {
    let mut bed = Bed::new().await;
    let one = task(1);
    bed.assign(&[desired(TaskState::Ready, &one)]).await;
    bed.reaches(one.id, TaskState::Ready).await;
    bed.settle().await;
    assert_eq!(bed.engine.phase(one.id), Some(Phase::Created));
    bed.assign(&[task(1)]).await;
    bed.reaches(one.id, TaskState::Running).await;
}

#[tokio::test(start_paused = true)]
async fn refusals_of_the_engine_end_a_task() {
    let mut bed = Bed::new().await;
    bed.engine.refuse_start("port is already allocated");
    bed.assign(&[task(1)]).await;
    let status = bed.reaches(task(1).id, TaskState::Failed).await;
    assert_eq!(status.message, "starting");
    assert_eq!(status.err, "starting container failed: port is already allocated");
    bed.engine.refuse_create("No such image: busybox:latest");
    bed.assign(&[task(1), task(2)]).await;
    let status = bed.reaches(task(2).id, TaskState::Rejected).await;
    assert_eq!((status.message.as_str(), status.err.as_str()), ("preparing", "No such image: busybox:latest"));
}

#[tokio::test(start_paused = true)]
async fn a_bad_template_rejects_the_task() {
    let mut bed = Bed::new().await;
    bed.generation += 1;
    let mut bad = spec(1, 0);
    bad.template.container_spec.as_mut().expect("there").hostname = "{{.Nope}}".into();
    let assign = Assign {
        from: None,
        generation: Generation(1),
        specs: vec![bad],
        tasks: vec![task(1)],
        removed: vec![],
        specs_removed: vec![],
        networks: swarm_session::NetworkOrders::default(),
        payloads: PayloadOrders::default(),
    };
    bed.worker.assign(assign).await.expect("taken");
    let status = bed.reaches(task(1).id, TaskState::Rejected).await;
    assert_eq!(status.message, "resolving controller failed");
    assert!(status.err.starts_with("expanding hostname failed: "), "{}", status.err);
}

#[tokio::test(start_paused = true)]
async fn ends_and_vanishings_are_failures() {
    let mut bed = Bed::new().await;
    bed.assign(&[task(1), task(2), task(3)]).await;
    for n in 1..=3 {
        bed.reaches(task(n).id, TaskState::Running).await;
    }
    bed.engine.die(task(1).id, 3);
    assert_eq!(bed.reaches(task(1).id, TaskState::Failed).await.err, "task: non-zero exit (3)");
    bed.engine.die(task(2).id, 0);
    assert_eq!(bed.reaches(task(2).id, TaskState::Complete).await.message, "finished");
    bed.engine.change(task(3).id, None, ContainerEventKind::Removed);
    let status = bed.reaches(task(3).id, TaskState::Failed).await;
    assert_eq!(status.err, format!("No such container: web.3.{}", task(3).id));
    assert_eq!(status.message, "started");
}

#[tokio::test(start_paused = true)]
async fn health_decides_when_a_task_runs_and_whether_it_goes_on() {
    let mut bed = Bed::new().await;
    bed.engine.start_with_health(Health::Starting);
    let one = task(1);
    bed.assign(&[task(1)]).await;
    bed.reaches(one.id, TaskState::Starting).await;
    bed.settle().await;
    bed.engine.set_health(one.id, Health::Healthy);
    bed.reaches(one.id, TaskState::Running).await;
    bed.engine.set_health(one.id, Health::Unhealthy);
    let status = bed.reaches(one.id, TaskState::Failed).await;
    assert_eq!(status.err, "task: non-zero exit (143): dockerexec: unhealthy container");
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_is_away_fails_no_task() {
    let mut bed = Bed::new().await;
    bed.assign(&[task(1), task(2)]).await;
    bed.reaches(task(1).id, TaskState::Running).await;
    bed.reaches(task(2).id, TaskState::Running).await;
    bed.engine.go_down();
    bed.assign(&[task(1), task(2), task(3)]).await;
    bed.settle().await;
    let states: Vec<_> = bed.worker.unreported().await.iter().map(|r| r.status.state).collect();
    assert_eq!(states.iter().filter(|state| **state == TaskState::Running).count(), 2);
    let waiting = bed.reaches(task(3).id, TaskState::Preparing).await;
    assert_eq!(waiting.err, "cannot reach the container engine at fake");
    // While it is away one of the containers ends.
    let ended = Ended { exit_code: 137, error: String::new() };
    bed.engine.change(task(2).id, Some(Phase::Ended(ended)), ContainerEventKind::Health);
    bed.engine.come_back();
    assert_eq!(bed.reaches(task(3).id, TaskState::Running).await.err, "");
    assert_eq!(bed.reaches(task(2).id, TaskState::Failed).await.err, "task: non-zero exit (137)");
    assert_eq!(bed.engine.phase(task(1).id), Some(running()));
}

#[tokio::test(start_paused = true)]
async fn a_lost_event_is_made_good_by_the_next_list() {
    let mut bed = Bed::new().await;
    bed.assign(&[task(1), task(2)]).await;
    bed.reaches(task(1).id, TaskState::Running).await;
    bed.reaches(task(2).id, TaskState::Running).await;
    // Removing and putting tells nobody.
    let silent = |task: &AssignedTask, phase| {
        bed.engine.change(task.id, phase, ContainerEventKind::Started);
    };
    silent(&task(1), Some(Phase::Ended(Ended { exit_code: 9, error: String::new() })));
    silent(&task(2), None);
    bed.reaches(task(1).id, TaskState::Failed).await;
    bed.reaches(task(2).id, TaskState::Failed).await;
}

#[tokio::test(start_paused = true)]
async fn a_restarted_agent_adopts_with_and_without_its_records() {
    for keep_records in [true, false] {
        let mut bed = Bed::new().await;
        bed.assign(&[task(1), task(2), desired(TaskState::Ready, &task(3))]).await;
        bed.reaches(task(1).id, TaskState::Running).await;
        bed.reaches(task(2).id, TaskState::Running).await;
        bed.reaches(task(3).id, TaskState::Ready).await;
        bed.restart(keep_records).await;
        bed.engine.done();
        if keep_records {
            // Without a word from any manager: what runs goes on, and its end is noticed.
            bed.settle().await;
            assert_eq!(bed.worker.generation(), Generation(1));
        }
        let recorded = |task: AssignedTask, recorded_state| AssignedTask { recorded_state, ..task };
        bed.assign(&[
            recorded(task(1), TaskState::Running),
            recorded(task(2), TaskState::Assigned), // The managers had not heard yet.
            recorded(task(3), TaskState::Ready),
        ])
        .await;
        for n in 1..=3 {
            bed.reaches(task(n).id, TaskState::Running).await;
        }
        assert_eq!(verbs(&bed.engine.done()), ["start"], "only the prepared task is started");
        assert_eq!(bed.engine.containers(), 3);
        bed.engine.die(task(1).id, 1);
        bed.reaches(task(1).id, TaskState::Failed).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_without_records_does_not_run_a_task_twice() {
    let mut bed = Bed::new().await;
    // The managers know it as running, and no container is left of it.
    bed.assign(&[AssignedTask { recorded_state: TaskState::Running, ..task(1) }]).await;
    bed.reaches(task(1).id, TaskState::Failed).await;
    assert_eq!(bed.engine.done(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn what_the_managers_gave_up_is_stopped() {
    let mut bed = Bed::new().await;
    bed.assign(&[task(1)]).await;
    bed.reaches(task(1).id, TaskState::Running).await;
    bed.assign(&[AssignedTask { recorded_state: TaskState::Rejected, ..task(1) }]).await;
    bed.until("the container is stopped", |engine| engine.done().contains(&format!("stop {}", &task(1).id.as_str()[..4]))).await;
    assert_eq!(bed.worker.unreported().await, [], "they know better than this node");
}

#[tokio::test(start_paused = true)]
async fn a_container_of_an_ended_task_that_somebody_starts_is_stopped() {
    let mut bed = Bed::new().await;
    bed.assign(&[task(1)]).await;
    bed.reaches(task(1).id, TaskState::Running).await;
    bed.engine.die(task(1).id, 1);
    bed.reaches(task(1).id, TaskState::Failed).await;
    bed.engine.change(task(1).id, Some(running()), ContainerEventKind::Started);
    bed.until("it is stopped", |engine| matches!(engine.phase(task(1).id), Some(Phase::Ended(_)))).await;
}

#[tokio::test(start_paused = true)]
async fn containers_of_unknown_tasks_go_only_after_a_complete_set() {
    let mut bed = Bed::new().await;
    bed.engine.put(task(9).id, running());
    bed.settle().await;
    assert_eq!(bed.engine.containers(), 1);
    bed.assign(&[]).await;
    bed.until("the container is removed", |engine| engine.containers() == 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_removal_goes_on_after_a_restart() {
    let mut bed = Bed::new().await;
    bed.assign(&[task(1)]).await;
    bed.reaches(task(1).id, TaskState::Running).await;
    bed.engine.go_down();
    bed.assign(&[]).await;
    bed.settle().await;
    bed.restart(true).await;
    bed.engine.come_back();
    bed.until("the container is removed", |engine| engine.containers() == 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_new_task_waits_for_the_port_of_one_that_stops() {
    let mut bed = Bed::new().await;
    let on_port = |n| AssignedTask { spec: SpecId::from_random([2; 16]), ..task(n) };
    bed.assign(&[on_port(1)]).await;
    bed.reaches(task(1).id, TaskState::Running).await;
    bed.engine.set_stuck(true);
    bed.assign(&[desired(TaskState::Shutdown, &on_port(1)), on_port(2)]).await;
    bed.reaches(task(2).id, TaskState::Ready).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(bed.engine.phase(task(2).id), Some(Phase::Created));
    bed.engine.set_stuck(false);
    bed.reaches(task(2).id, TaskState::Running).await;
    let done = bed.engine.done();
    assert_eq!(verbs(&done), ["create", "start", "create", "stop", "start"]);
}

#[tokio::test(start_paused = true)]
async fn only_the_newest_status_is_reported_until_it_is_taken() {
    let mut bed = Bed::new().await;
    bed.assign(&[task(1)]).await;
    bed.reaches(task(1).id, TaskState::Running).await;
    let reports = bed.worker.unreported().await;
    assert_eq!(reports.len(), 1);
    bed.engine.die(task(1).id, 1);
    bed.reaches(task(1).id, TaskState::Failed).await;
    bed.worker.taken(&reports).await;
    let newer = bed.worker.unreported().await;
    assert_eq!(newer.len(), 1, "an older status was taken");
    bed.worker.taken(&newer).await;
    assert_eq!(bed.worker.unreported().await, []);
    bed.worker.report_all_again().await;
    assert_eq!(bed.worker.unreported().await, newer);
}

#[tokio::test(start_paused = true)]
async fn assignments_that_do_not_fit_change_nothing() {
    let mut bed = Bed::new().await;
    bed.assign(&[task(1)]).await;
    let gap = Assign {
        from: Some(Generation(7)),
        generation: Generation(8),
        specs: vec![],
        tasks: vec![],
        removed: vec![task(1).id],
        specs_removed: vec![],
        networks: swarm_session::NetworkOrders::default(),
        payloads: PayloadOrders::default(),
    };
    assert!(matches!(bed.worker.assign(gap).await, Err(AssignError::Refused(AssignmentError::Gap { .. }))));
    assert_eq!(bed.worker.generation(), Generation(1));
    bed.reaches(task(1).id, TaskState::Running).await;
}

#[tokio::test(start_paused = true)]
async fn clearing_removes_all_containers_or_goes_on() {
    let mut bed = Bed::new().await;
    bed.assign(&[task(1), task(2)]).await;
    bed.reaches(task(1).id, TaskState::Running).await;
    bed.reaches(task(2).id, TaskState::Running).await;
    bed.engine.go_down();
    assert!(matches!(bed.worker.clear().await, Err(WorkerError::Engine(_))));
    bed.engine.come_back();
    bed.engine.die(task(1).id, 1);
    bed.reaches(task(1).id, TaskState::Failed).await;
    bed.worker.clear().await.expect("the engine is there");
    assert_eq!(bed.engine.containers(), 0);
    assert_eq!(bed.worker.generation(), Generation(0));
    assert_eq!(bed.worker.unreported().await, []);
    bed.worker.shutdown().await;
    assert!(matches!(bed.worker.clear().await, Err(WorkerError::Stopped)));
    bed.worker.shutdown().await;
}
