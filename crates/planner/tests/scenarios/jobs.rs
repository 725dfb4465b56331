//! Jobs: so many runs in all, some at a time, or one on every node.

use crate::world::{World, restart};
use proptest::prelude::*;
use std::time::Duration;
use swarm_planner::{Planner, service_status};
use swarm_types::*;

fn replicated(max_concurrent: u64, total_completions: u64) -> ServiceMode {
    let job = ReplicatedJob { max_concurrent: Some(max_concurrent), total_completions: Some(total_completions) };
    ServiceMode { replicated_job: Some(job), ..ServiceMode::default() }
}

fn world(nodes: usize, mode: ServiceMode) -> World {
    let mut world = World::with_nodes(nodes);
    world.add_service("job", mode, |_| {});
    world
}

fn global(nodes: usize) -> World {
    world(nodes, ServiceMode { global_job: Some(GlobalJob {}), ..ServiceMode::default() })
}

/// Running, desired and completed, as lists of services show them.
fn counts(world: &World) -> (u64, u64, u64) {
    let status = service_status(&world.state, world.get("job"));
    (status.running_tasks, status.desired_tasks, status.completed_tasks)
}

#[test]
fn as_many_run_at_once_as_allowed_until_all_are_complete() {
    let mut world = world(2, replicated(2, 3));
    assert_eq!(world.step(), "create job.1 on n1\ncreate job.2 on n2\n");
    assert!(world.state.tasks().all(|task| task.desired_state == TaskState::Complete && task.job_iteration == Some(Version { index: 0 })));
    world.settle();
    assert_eq!(counts(&world), (2, 2, 0));
    world.report("job.2", TaskState::Complete);
    assert_eq!(world.step(), "create job.3 on n2\n");
    world.settle();
    world.report("job.1", TaskState::Complete);
    assert_eq!(world.step(), "");
    world.report("job.3", TaskState::Complete);
    assert_eq!(world.step(), "");
    assert_eq!(counts(&world), (0, 2, 3));
}

#[test]
fn what_fails_is_tried_again_as_often_as_the_policy_says() {
    for (condition, tries) in [(RestartCondition::Any, 3), (RestartCondition::OnFailure, 3), (RestartCondition::None, 1)] {
        let mut world = World::with_nodes(1);
        world.add_service("job", replicated(1, 2), restart(condition, Duration::from_secs(5), 2));
        let mut tried = 0;
        while world.tasks("job").contains("job.1 on n1 assigned") || tried == 0 {
            world.settle();
            world.report("job.1", TaskState::Failed);
            world.step();
            tried += 1;
            assert_eq!(world.state.tasks().filter(|t| t.desired_state == TaskState::Complete && t.slot == 1).count(), 0);
            world.advance(5);
            world.step();
        }
        assert_eq!(tried, tries, "{condition}");
        // What is given up is not complete, but the others go on.
        world.settle();
        world.report("job.2", TaskState::Complete);
        assert_eq!(world.step(), "");
        assert_eq!(counts(&world), (0, 1, 1));
    }
}

#[test]
fn every_update_is_another_run() {
    let mut world = world(2, replicated(2, 2));
    world.settle();
    world.report("job.1", TaskState::Complete);
    world.step();
    world.update("job", |spec| spec.task_template.force_update += 1);
    assert_eq!(counts(&world), (0, 2, 0));
    // Of the first run one task is complete and forgotten, the other is stopped before the slot is used again.
    assert_eq!(world.step(), "forget job.1\ncreate job.1 on n1\nremove job.2 on n2\nprepare job.2 on n2\n");
    world.planner = Planner::new(&world.state);
    world.settle();
    assert_eq!(counts(&world), (2, 2, 0));
    assert_eq!(world.state.tasks().count(), 2);
    world.report("job.1", TaskState::Complete);
    world.report("job.2", TaskState::Complete);
    assert_eq!((world.step().as_str(), counts(&world)), ("", (0, 2, 2)));
    assert_eq!(world.update_status("job"), "none");
    // Labels do it, too, and so does going back.
    world.update("job", |spec| drop(spec.labels.insert("a".into(), "b".into())));
    world.rollback("job");
    assert_eq!((world.get("job").job.map(|job| job.job_iteration.index), world.update_status("job").as_str()), (Some(3), "none"));
    world.settle();
    assert_eq!(counts(&world), (2, 2, 0));
}

#[test]
fn a_task_leaves_a_node_that_is_drained_or_down() {
    let mut world = world(2, replicated(1, 1));
    world.settle();
    world.drain("n1");
    assert_eq!(world.step(), "stop job.1 on n1\nprepare job.1 on n2\n");
    world.settle();
    world.down("n2");
    world.activate("n1");
    assert_eq!(world.step(), "stop job.1 on n2\ncreate job.1 on n1\n");
}

#[test]
fn a_global_job_runs_once_on_every_node() {
    let mut world = global(2);
    assert_eq!(world.step(), "create job.n1 on n1\ncreate job.n2 on n2\n");
    world.settle();
    world.report("job.n1", TaskState::Complete);
    assert_eq!((world.step().as_str(), counts(&world)), ("", (1, 1, 1)));
    world.drain("n1");
    world.drain("n2");
    assert_eq!(world.step(), "stop job.n2 on n2\n");
    world.settle();
    world.activate("n1");
    world.activate("n2");
    assert_eq!(world.step(), "create job.n2 on n2\n");
    world.add_node("n3");
    assert_eq!(world.step(), "create job.n3 on n3\n");
    world.settle();
    world.report("job.n2", TaskState::Complete);
    world.report("job.n3", TaskState::Complete);
    assert_eq!((world.step().as_str(), counts(&world)), ("", (0, 0, 3)));
}

#[derive(Debug, Clone, Copy)]
enum Event {
    Report(u8, u8),
    Node(u8, u8),
    Force,
    NewLeader,
    LostPass,
    Seconds(u8),
    Agents,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => any::<(u8, u8)>().prop_map(|(a, b)| Event::Report(a, b)),
        3 => any::<(u8, u8)>().prop_map(|(a, b)| Event::Node(a, b)),
        1 => Just(Event::Force),
        1 => Just(Event::NewLeader),
        1 => Just(Event::LostPass),
        4 => (1_u8..9).prop_map(Event::Seconds),
        6 => Just(Event::Agents),
    ]
}

impl Event {
    fn happen(self, world: &mut World) {
        match self {
            Self::Report(which, state) => {
                let tasks: Vec<_> = world.state.tasks().filter(|t| t.status.state == TaskState::Running).cloned().collect();
                let Some(task) = tasks.get(usize::from(which) % tasks.len().max(1)) else { return };
                let state = [TaskState::Complete, TaskState::Complete, TaskState::Failed][usize::from(state % 3)];
                let heard = world.state.node(task.node_id.expect("it runs")).is_some_and(|n| n.api.status.state == NodeState::Ready);
                if heard {
                    world.report_task(task, state);
                }
            }
            Self::Node(which, wish) => {
                let name = format!("n{}", which % 3 + 1);
                match wish % 4 {
                    0 => world.drain(&name),
                    1 => world.down(&name),
                    _ => {
                        world.activate(&name);
                        world.node_state(&name, NodeState::Ready);
                    }
                }
            }
            Self::Force => world.update("job", |spec| spec.task_template.force_update += 1),
            Self::NewLeader => world.planner = Planner::new(&world.state),
            Self::LostPass => drop(world.plan()),
            Self::Seconds(seconds) => world.advance(seconds.into()),
            Self::Agents => drop(world.agents_work()),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn never_more_run_than_allowed_and_all_is_done_in_the_end(
        (concurrent, total) in (1_u64..4, 0_u64..7),
        events in prop::collection::vec(event(), 0..60),
    ) {
        let mut world = world(3, replicated(concurrent, total));
        for event in events {
            event.happen(&mut world);
            world.step();
            let iteration = world.get("job").job.map(|job| job.job_iteration);
            let wanted: Vec<_> = world.state.tasks().filter(|t| t.desired_state <= TaskState::Complete).cloned().collect();
            let live = wanted.iter().filter(|t| !t.status.state.is_terminal()).count() as u64;
            prop_assert!(live <= concurrent, "{live} are live:\n{}", world.tasks("job"));
            prop_assert!(wanted.iter().all(|t| t.job_iteration == iteration && t.slot <= total), "{}", world.tasks("job"));
        }
        for name in ["n1", "n2", "n3"] {
            world.activate(name);
            world.node_state(name, NodeState::Ready);
        }
        for _ in 0..3 * total + 3 {
            world.settle_for(6);
            let running: Vec<_> = world.state.tasks().filter(|t| t.status.state == TaskState::Running).cloned().collect();
            for task in running {
                world.report_task(&task, TaskState::Complete);
            }
        }
        world.settle_for(6);
        prop_assert_eq!(counts(&world), (0, concurrent, total), "{}", world.tasks("job"));
        prop_assert_eq!(world.step(), "");
    }
}
