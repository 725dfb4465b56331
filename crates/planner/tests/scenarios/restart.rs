//! Ended tasks and their replacements.

use crate::world::{World, restart};
use std::time::Duration;
use swarm_types::{RestartCondition, TaskState};

const FIVE_SECONDS: Duration = Duration::from_secs(5);

#[test]
fn a_failed_task_is_replaced_after_five_seconds_by_one_that_is_prepared_at_once() {
    let mut world = World::with_nodes(2).service("web", 2).settled();
    world.report("web.1", TaskState::Failed);
    let planned = world.plan();
    assert_eq!(planned.text(), "stop web.1 on n1\nprepare web.1 on n1\n");
    world.step();
    world.agents_work();
    assert_eq!(world.tasks("web").lines().nth(1), Some("web.1 on n1 ready, wanted ready"));
    assert_eq!(world.plan().plan.look_again_in, Some(FIVE_SECONDS));
    world.advance(4);
    assert_eq!(world.step(), "");
    world.advance(1);
    assert_eq!(world.step(), "start web.1 on n1\n");
    world.settle();
    assert_eq!(world.running("web"), 2);
}

#[test]
fn a_new_leader_goes_on_where_the_old_one_was() {
    let mut world = World::with_nodes(1).service("web", 1).settled();
    world.report("web.1", TaskState::Failed);
    world.step();
    world.advance(3);
    world.planner = swarm_planner::Planner::new(&world.state);
    assert_eq!(world.plan().plan.look_again_in, Some(Duration::from_secs(2)));
    world.advance(2);
    assert_eq!(world.step(), "start web.1 on n1\n");
}

#[test]
fn services_restart_after_success_too_unless_told_otherwise() {
    let mut world = World::with_nodes(1).service("web", 1).settled();
    world.report("web.1", TaskState::Complete);
    assert_eq!(world.step(), "stop web.1 on n1\nprepare web.1 on n1\n");

    let policy = restart(RestartCondition::OnFailure, Duration::ZERO, 0);
    let mut world = World::with_nodes(1).service_with("web", 1, policy).settled();
    world.report("web.1", TaskState::Failed);
    assert_eq!(world.step(), "stop web.1 on n1\ncreate web.1 on n1\n");
    world.settle();
    world.report("web.1", TaskState::Complete);
    assert_eq!(world.step(), "stop web.1 on n1\n");
    assert_eq!(world.step(), "");

    let policy = restart(RestartCondition::None, Duration::ZERO, 0);
    let mut world = World::with_nodes(1).service_with("web", 1, policy).settled();
    world.report("web.1", TaskState::Failed);
    assert_eq!(world.step(), "stop web.1 on n1\n");
    world.settle_for(10);
    assert_eq!(world.running("web"), 0);
}

#[test]
fn a_task_that_cannot_be_prepared_is_tried_again_every_five_seconds_and_not_faster() {
    let mut world = World::with_nodes(1).service("web", 1);
    world.step();
    world.report("web.1", TaskState::Rejected);
    assert_eq!(world.step(), "stop web.1 on n1\nprepare web.1 on n1\n");
    // It fails again at once, long before it was to start.
    world.advance(1);
    world.report("web.1", TaskState::Rejected);
    assert_eq!(world.step(), "");
    world.advance(3);
    assert_eq!(world.step(), "");
    world.advance(1);
    assert_eq!(world.step(), "stop web.1 on n1\nprepare web.1 on n1\n");
    assert_eq!(world.plan().plan.look_again_in, Some(FIVE_SECONDS));
}

#[test]
fn attempts_are_counted_per_slot_until_the_template_changes() {
    let policy = restart(RestartCondition::Any, Duration::ZERO, 2);
    let mut world = World::with_nodes(1).service_with("web", 2, policy).settled();
    for _ in 0..2 {
        world.report("web.1", TaskState::Failed);
        world.settle();
        assert_eq!(world.running("web"), 2);
    }
    world.report("web.1", TaskState::Failed);
    world.settle_for(10);
    assert_eq!(world.running("web"), 1, "the slot is exhausted");
    // Other slots have their own attempts, and scaling gives the slot no new ones.
    world.report("web.2", TaskState::Failed);
    world.scale("web", 3);
    world.settle_for(10);
    assert_eq!(world.running("web"), 2);
    world.update("web", |spec| spec.task_template.force_update += 1);
    world.settle_for(60);
    assert_eq!(world.running("web"), 3);
    world.report("web.1", TaskState::Failed);
    world.settle();
    assert_eq!(world.running("web"), 3);
}

#[test]
fn attempts_in_a_window_are_forgotten_when_it_passes() {
    let mut world = World::with_nodes(1)
        .service_with("web", 1, |spec| {
            restart(RestartCondition::Any, Duration::ZERO, 2)(spec);
            spec.task_template.restart_policy.get_or_insert_default().window = Some(60_000_000_000);
        })
        .settled();
    for _ in 0..4 {
        world.report("web.1", TaskState::Failed);
        world.settle();
        assert_eq!(world.running("web"), 1);
        world.advance(40);
    }
    world.advance(60);
    for running in [1, 1, 0] {
        world.report("web.1", TaskState::Failed);
        world.settle();
        assert_eq!(world.running("web"), running);
        world.advance(1);
    }
    world.settle_for(120);
    assert_eq!(world.running("web"), 0, "an exhausted slot stays so");
}

#[test]
fn a_replacement_may_go_to_another_node() {
    let mut world = World::with_nodes(3).service("web", 1).settled();
    let mut world = {
        world.scale("web", 2);
        world
    };
    world.settle();
    world.scale("web", 1);
    world.settle();
    let mut world = world.service("other", 1).settled();
    // n1 has web.1, n2 has other.1: n3 has least.
    world.report("web.1", TaskState::Failed);
    let text = world.step();
    assert!(text.starts_with("stop web.1 on n1\nprepare web.1 on n"), "{text}");
    assert_ne!(world.newest("web.1").node_id, Some(world.node_id("n2")));
}

#[test]
fn a_node_where_a_service_fails_again_and_again_is_tried_last() {
    let policy = restart(RestartCondition::Any, Duration::ZERO, 0);
    let mut world = World::with_nodes(2).service("filler", 2).service_with("web", 1, policy).settled();
    // The filler on n2 goes, so that n2 is the emptier node and web goes there.
    world.scale("filler", 1);
    world.settle();
    world.report("web.1", TaskState::Failed);
    world.settle();
    assert_eq!(world.spread("web"), [0, 1]);
    for failures in 1..=5 {
        assert_eq!(world.spread("web"), [0, 1], "after {failures} failures");
        world.advance(10);
        world.report("web.1", TaskState::Failed);
        world.settle();
    }
    assert_eq!(world.spread("web"), [1, 0]);
    // Another version starts with a clean record.
    world.image("web", "image:2");
    world.settle_for(10);
    assert_eq!(world.spread("web"), [0, 1]);
}

#[test]
fn reports_from_the_past_or_from_strangers_change_nothing() {
    use swarm_planner::{ReportError, record_statuses};
    use swarm_types::{TaskId, TaskStatus};
    let mut world = World::with_nodes(2).service("web", 1).settled();
    let task = world.newest("web.1");
    let status = |state| TaskStatus { state, ..TaskStatus::default() };
    let (own, other) = (world.node_id("n1"), world.node_id("n2"));
    let stranger = TaskId::from_random([9; 16]);
    let reports = [(task.id, status(TaskState::Starting)), (stranger, status(TaskState::Failed))];
    let recorded = record_statuses(&world.state, own, &reports, world.now);
    assert_eq!(recorded.changes, []);
    let backward = ReportError::Backward { stored: TaskState::Running, reported: TaskState::Starting };
    let mut refused = recorded.refused;
    refused.sort_by_key(|(id, _)| *id == stranger);
    assert_eq!(refused, [(task.id, backward), (stranger, ReportError::Unknown)]);
    let recorded = record_statuses(&world.state, other, &[(task.id, status(TaskState::Failed))], world.now);
    assert_eq!(recorded.refused, [(task.id, ReportError::ForeignTask)]);
    // The same report twice is one change; the last of several counts.
    let reports = [(task.id, status(TaskState::Complete)), (task.id, task.status.clone())];
    assert_eq!(record_statuses(&world.state, own, &reports, world.now), swarm_planner::Recorded::default());
    world.remove_node("n1");
    let recorded = record_statuses(&world.state, own, &[(task.id, status(TaskState::Failed))], world.now);
    assert_eq!(recorded.refused.len(), 1, "what the managers gave up stays given up");
}
