use super::*;
use crate::executor::{ContainerId, Ended, Running};
use std::time::Duration;
use swarm_types::{ContainerStatus, PortProtocol, TaskStatus, Timestamp};

fn record(state: TaskState) -> TaskRecord {
    let container_status = ContainerStatus { container_id: "c0ffee".into(), pid: 7, exit_code: 0 };
    TaskRecord {
        status: TaskStatus { state, container_status: (state == TaskState::Running).then_some(container_status), ..TaskStatus::default() },
        container: None,
        unhealthy: false,
        name: "web.1.id".into(),
        grace: Duration::from_secs(10),
        host_ports: vec![(PortProtocol::Tcp, 80)],
    }
}

fn present(phase: Phase) -> Seen {
    Seen::Present(Container { id: ContainerId::new("c0ffee"), phase })
}

fn running(health: Health) -> Seen {
    present(Phase::Running(Running { health, pid: 7, ports: vec![] }))
}

fn ended(exit_code: i64) -> Seen {
    present(Phase::Ended(Ended { exit_code, error: String::new() }))
}

fn facts(wanted: Wanted, seen: &Seen) -> Facts<'_> {
    Facts { wanted, seen, died: None, image_ready: false, port_held: false }
}

fn next(state: TaskState, wanted: Wanted, seen: &Seen) -> Action {
    step(&record(state), &facts(wanted, seen))
}

fn moves(state: TaskState, message: &'static str) -> Action {
    Action::Move(Move::on(state, message))
}

fn fails_after_start(err: &str) -> Action {
    Action::Move(Move { state: TaskState::Failed, message: Some("started"), err: err.into() })
}

fn fails(err: &str) -> Action {
    Action::Move(Move { state: TaskState::Failed, message: None, err: err.into() })
}

#[test]
fn the_way_of_a_task_from_assigned_to_complete() {
    use TaskState::{Accepted, Assigned, Complete, Preparing, Ready, Running as Up, Starting};
    let wanted = Wanted::Running;
    assert_eq!(next(Assigned, wanted, &Seen::Missing), moves(Accepted, "accepted"));
    assert_eq!(next(Accepted, wanted, &Seen::Missing), moves(Preparing, "preparing"));
    assert_eq!(next(Preparing, wanted, &Seen::Missing), Action::EnsureImage);
    let with_image = Facts { image_ready: true, ..facts(wanted, &Seen::Missing) };
    assert_eq!(step(&record(Preparing), &with_image), Action::Create);
    let created = present(Phase::Created);
    assert_eq!(next(Preparing, wanted, &created), moves(Ready, "prepared"));
    assert_eq!(next(Ready, wanted, &created), moves(Starting, "starting"));
    assert_eq!(next(Starting, wanted, &created), Action::Start);
    assert_eq!(next(Starting, wanted, &Seen::Stale), Action::Look);
    assert_eq!(next(Starting, wanted, &running(Health::Unchecked)), moves(Up, "started"));
    assert_eq!(next(Up, wanted, &running(Health::Unchecked)), Action::Rest);
    assert_eq!(next(Up, wanted, &ended(0)), moves(Complete, "finished"));
    assert_eq!(next(Complete, wanted, &ended(0)), Action::Rest);
}

#[test]
fn a_prepared_task_waits_until_it_is_wanted_running() {
    let created = present(Phase::Created);
    assert_eq!(next(TaskState::Ready, Wanted::Ready, &created), Action::Rest);
    assert_eq!(next(TaskState::Preparing, Wanted::Ready, &created), moves(TaskState::Ready, "prepared"));
}

#[test]
fn nothing_starts_while_a_task_that_stops_holds_the_port() {
    let created = present(Phase::Created);
    for state in [TaskState::Ready, TaskState::Starting] {
        let held = Facts { port_held: true, ..facts(Wanted::Running, &created) };
        assert_eq!(step(&record(state), &held), Action::Rest);
    }
}

#[test]
fn a_health_check_has_to_pass_before_a_task_runs() {
    let starting = TaskState::Starting;
    assert_eq!(next(starting, Wanted::Running, &running(Health::Starting)), Action::Rest);
    assert_eq!(next(starting, Wanted::Running, &running(Health::Healthy)), moves(TaskState::Running, "started"));
    // A running task whose container was restarted by somebody keeps its state.
    assert_eq!(next(TaskState::Running, Wanted::Running, &running(Health::Starting)), Action::Rest);
}

#[test]
fn an_unhealthy_container_is_put_down_and_its_task_fails() {
    for state in [TaskState::Starting, TaskState::Running] {
        let mut record = record(state);
        assert_eq!(step(&record, &facts(Wanted::Running, &running(Health::Unhealthy))), Action::Condemn);
        record.unhealthy = true;
        for health in [Health::Unhealthy, Health::Healthy, Health::Starting] {
            assert_eq!(step(&record, &facts(Wanted::Running, &running(health))), Action::Stop);
        }
        let text = "task: non-zero exit (137): dockerexec: unhealthy container";
        assert_eq!(step(&record, &facts(Wanted::Running, &ended(137))), fails_after_start(text));
        // Docker calls this one complete, and does not replace it where only failures are replaced.
        assert_eq!(step(&record, &facts(Wanted::Running, &ended(0))), fails_after_start("dockerexec: unhealthy container"));
    }
}

#[test]
fn a_container_that_ended_or_vanished_fails_its_task() {
    for state in [TaskState::Starting, TaskState::Running] {
        assert_eq!(next(state, Wanted::Running, &ended(3)), fails_after_start("task: non-zero exit (3)"));
        assert_eq!(next(state, Wanted::Running, &Seen::Missing), fails("No such container: web.1.id"));
        let died = Facts { died: Some(137), ..facts(Wanted::Running, &Seen::Missing) };
        assert_eq!(step(&record(state), &died), fails("task: non-zero exit (137)"));
        let end = Ended { exit_code: 128, error: "no space left".into() };
        let seen = present(Phase::Ended(end));
        assert_eq!(next(state, Wanted::Running, &seen), fails_after_start("task: non-zero exit (128): no space left"));
    }
}

#[test]
fn a_task_that_is_not_wanted_stops_and_keeps_its_container() {
    for state in [TaskState::Assigned, TaskState::Preparing, TaskState::Ready, TaskState::Starting, TaskState::Running] {
        assert_eq!(next(state, Wanted::Stopped, &Seen::Unknown), Action::Look);
        assert_eq!(next(state, Wanted::Stopped, &running(Health::Healthy)), Action::Stop);
        for over in [Seen::Missing, present(Phase::Created), ended(143)] {
            assert_eq!(next(state, Wanted::Stopped, &over), moves(TaskState::Shutdown, "shutdown"));
        }
    }
}

#[test]
fn a_forgotten_task_leaves_nothing() {
    for state in [TaskState::Assigned, TaskState::Running, TaskState::Failed, TaskState::Orphaned] {
        assert_eq!(next(state, Wanted::Gone, &Seen::Unknown), Action::Look);
        assert_eq!(next(state, Wanted::Gone, &running(Health::Healthy)), Action::Stop);
        assert_eq!(next(state, Wanted::Gone, &ended(0)), Action::Remove);
        assert_eq!(next(state, Wanted::Gone, &present(Phase::Created)), Action::Remove);
        assert_eq!(next(state, Wanted::Gone, &Seen::Missing), Action::Forget);
    }
}

#[test]
fn a_task_that_is_over_is_left_alone_unless_its_container_runs() {
    for state in [TaskState::Complete, TaskState::Failed, TaskState::Rejected, TaskState::Orphaned] {
        assert_eq!(next(state, Wanted::Running, &Seen::Unknown), Action::Rest);
        assert_eq!(next(state, Wanted::Running, &Seen::Stale), Action::Look);
        assert_eq!(next(state, Wanted::Running, &Seen::Missing), Action::Rest);
        assert_eq!(next(state, Wanted::Running, &running(Health::Unchecked)), Action::Stop);
    }
}

#[test]
fn an_agent_without_records_adopts_what_it_finds() {
    // The managers know the task as running, the agent knows nothing but that.
    let mut lost = record(TaskState::Running);
    lost.status.container_status = None;
    let seen = running(Health::Unchecked);
    assert_eq!(step(&lost, &facts(Wanted::Running, &seen)), moves(TaskState::Running, "started"));
    // Neither do the managers: the container was found when it was to be created.
    for (state, seen) in [(TaskState::Preparing, running(Health::Unchecked)), (TaskState::Ready, ended(1))] {
        assert_eq!(next(state, Wanted::Running, &seen), moves(TaskState::Starting, "starting"));
    }
    // It cannot have been started twice: the task has had its run.
    assert_eq!(next(TaskState::Running, Wanted::Running, &present(Phase::Created)), fails("No such container: web.1.id"));
}

#[test]
fn refusals_reject_before_the_start_and_fail_after() {
    let text = || "No such image: x:latest".to_owned();
    assert_eq!(refused(&record(TaskState::Preparing), None, text()).state, TaskState::Rejected);
    assert_eq!(refused(&record(TaskState::Starting), None, text()).state, TaskState::Failed);
}

#[test]
fn desired_states_of_the_managers() {
    for state in TaskState::ALL {
        let wanted = match state {
            state if *state <= TaskState::Ready => Wanted::Ready,
            state if *state <= TaskState::Complete => Wanted::Running,
            _ => Wanted::Stopped,
        };
        assert_eq!(Wanted::from_desired(*state), wanted, "{state}");
    }
}

/// A world with one task, in which anything may happen at any time. See `any_history_ends_well`.
struct World {
    record: TaskRecord,
    wanted: Wanted,
    seen: Seen,
    image_ready: bool,
    /// What the engine really has.
    truth: Option<Phase>,
    starts: u32,
    seed: u64,
}

impl World {
    fn chance(&mut self, one_in: u64) -> bool {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) % one_in == 0
    }

    fn disturb(&mut self) {
        if self.chance(6) {
            self.truth = match self.truth.take() {
                Some(Phase::Running(_)) if self.chance(2) => Some(Phase::Ended(Ended { exit_code: 1, error: String::new() })),
                Some(Phase::Running(running)) => {
                    let health = if self.chance(3) { Health::Unhealthy } else { Health::Healthy };
                    Some(Phase::Running(Running { health, ..running }))
                }
                Some(_) if self.chance(4) => None,
                other => other,
            };
            self.seen = Seen::Stale;
        }
        if self.chance(10) {
            self.wanted = match self.wanted {
                Wanted::Ready => Wanted::Running,
                Wanted::Running => Wanted::Stopped,
                Wanted::Stopped | Wanted::Gone => Wanted::Gone,
            };
        }
        if self.chance(15) {
            (self.seen, self.image_ready) = (Seen::Unknown, false); // The agent was restarted.
        }
    }

    /// False when the task is forgotten.
    fn advance(&mut self) -> bool {
        let before = self.record.status.state;
        let fails = self.chance(8); // The engine does not answer.
        let facts = Facts { image_ready: self.image_ready, ..facts(self.wanted, &self.seen) };
        match step(&self.record, &facts) {
            Action::Move(step) => {
                assert!(step.state >= before, "{before} -> {}", step.state);
                assert!(!before.is_terminal(), "{before} is an end");
                self.record.apply(step, self.seen.container(), Timestamp::from_nanos(1));
            }
            Action::Condemn => self.record.unhealthy = true,
            Action::Forget => return false,
            Action::Rest => {}
            _ if fails => self.seen = Seen::Stale,
            Action::Look => {
                self.seen = self.truth.clone().map_or(Seen::Missing, present);
                self.record.note_container(self.seen.container());
            }
            Action::EnsureImage => self.image_ready = true,
            Action::Create => {
                assert!(before < TaskState::Starting, "a task that ran gets no second container");
                let phase = self.truth.get_or_insert(Phase::Created).clone();
                self.seen = present(phase);
                self.record.note_container(self.seen.container());
            }
            Action::Start => {
                assert_eq!(before, TaskState::Starting);
                if self.truth == Some(Phase::Created) {
                    self.starts += 1;
                    self.truth = Some(Phase::Running(Running { pid: 7, ..Running::default() }));
                }
                self.seen = Seen::Stale;
            }
            Action::Stop => {
                if matches!(self.truth, Some(Phase::Running(_))) {
                    self.truth = Some(Phase::Ended(Ended { exit_code: 143, error: String::new() }));
                }
                self.seen = Seen::Stale;
            }
            Action::Remove => {
                assert_eq!(self.wanted, Wanted::Gone);
                (self.truth, self.seen) = (None, Seen::Missing);
            }
        }
        true
    }
}

#[test]
fn any_history_ends_well() {
    for seed in 0..3_000 {
        let mut world = World {
            record: record(TaskState::Assigned),
            wanted: if seed % 2 == 0 { Wanted::Ready } else { Wanted::Running },
            seen: Seen::Missing,
            image_ready: false,
            truth: None,
            starts: 0,
            seed,
        };
        let mut known = true;
        for _ in 0..60 {
            world.disturb();
            known = known && world.advance();
        }
        assert!(world.starts <= 1, "seed {seed}: started {} times", world.starts);
        // Then it is quiet, and the task is to go.
        world.wanted = Wanted::Gone;
        for _ in 0..60 {
            known = known && world.advance();
        }
        assert!(!known && world.truth.is_none(), "seed {seed}: something is left");
    }
}
