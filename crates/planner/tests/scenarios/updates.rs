//! Updates and rollbacks.

use crate::world::{World, constrain, host_port, restart};
use std::time::Duration;
use swarm_types::*;

fn configure(edit: impl FnOnce(&mut UpdateConfig)) -> impl FnOnce(&mut ServiceSpec) {
    move |spec| edit(spec.update_config.get_or_insert_with(|| UpdateConfig { parallelism: 1, ..UpdateConfig::default() }))
}

fn seconds(seconds: i64) -> Nanos {
    seconds * 1_000_000_000
}

/// How many of the wanted tasks have the service's present image.
fn updated(world: &World, service: &str) -> usize {
    let current = world.get(service).current.template;
    let tasks = world.state.tasks_of_service(world.get(service).id);
    tasks.filter(|t| t.desired_state <= TaskState::Running && t.spec == current).count()
}

#[test]
fn slots_are_replaced_one_after_the_other() {
    let mut world = World::with_nodes(3).service("web", 3).settled();
    world.image("web", "image:2");
    assert_eq!(world.update_status("web"), "none");
    assert_eq!(world.step(), "stop web.1 on n1\nprepare web.1 on n1\nservice web: update in progress\n");
    assert_eq!(world.step(), "");
    world.agents_work();
    assert_eq!(world.step(), "start web.1 on n1\n");
    assert_eq!(world.running("web"), 2);
    assert_eq!(world.step(), "");
    world.agents_work();
    assert_eq!(world.step(), "stop web.2 on n2\nprepare web.2 on n2\n");
    world.settle();
    assert_eq!(updated(&world, "web"), 3);
    assert_eq!(world.spread("web"), [1, 1, 1]);
    // The last task is watched before the update counts as done.
    assert_eq!(world.update_status("web"), "updating: update in progress");
    assert_eq!(world.plan().plan.look_again_in, Some(Duration::from_secs(5)));
    world.advance(5);
    assert_eq!(world.step(), "service web: update completed\n");
    let status = world.get("web").update.clone().expect("there is one");
    assert_eq!((status.state, status.completed_at), (UpdateState::Completed, Some(world.now)));
    assert_eq!(world.step(), "");
}

#[test]
fn never_fewer_run_than_the_parallelism_allows() {
    for (parallelism, allowed) in [(1, 1), (2, 2), (0, 5)] {
        let mut world = World::with_nodes(2).service_with("web", 5, configure(|c| c.parallelism = parallelism)).settled();
        world.image("web", "image:2");
        let mut fewest = 5;
        for _ in 0..50 {
            world.step();
            fewest = fewest.min(world.running("web"));
            world.agents_work();
        }
        assert_eq!((5 - fewest, updated(&world, "web")), (allowed, 5));
    }
}

#[test]
fn between_two_slots_a_worker_rests() {
    let mut world = World::with_nodes(2).service_with("web", 4, configure(|c| (c.delay, c.parallelism) = (seconds(10), 2))).settled();
    world.image("web", "image:2");
    world.settle();
    assert_eq!(updated(&world, "web"), 2);
    world.settle_for(9);
    assert_eq!(updated(&world, "web"), 2);
    world.settle_for(1);
    assert_eq!(updated(&world, "web"), 4);
    // With a delay as long as the monitor the last watch outlasts the delay.
    world.settle_for(10);
    assert_eq!(world.update_status("web"), "updating: update in progress");
    world.settle_for(1);
    assert_eq!(world.update_status("web"), "completed: update completed");
}

#[test]
fn start_first_stops_the_old_task_when_the_new_one_runs() {
    let mut world = World::with_nodes(2).service_with("web", 2, configure(|c| c.order = Some(UpdateOrder::StartFirst))).settled();
    world.image("web", "image:2");
    assert_eq!(world.step(), "supersede web.1\ncreate web.1 on n1\nservice web: update in progress\n");
    world.agents_work();
    assert_eq!(world.running("web"), 3);
    assert_eq!(world.step(), "stop web.1 on n1\nsupersede web.2\ncreate web.2 on n2\n");
    world.settle();
    assert_eq!((world.running("web"), updated(&world, "web")), (2, 2));
    world.settle_for(6);
    assert_eq!(world.update_status("web"), "completed: update completed");
}

#[test]
fn start_first_keeps_the_old_task_when_the_new_one_fails() {
    let mut world = World::with_nodes(2).service_with("web", 2, configure(|c| c.order = Some(UpdateOrder::StartFirst))).settled();
    world.image("web", "broken");
    world.step();
    let task = world.newest("web.1").id;
    world.report("web.1", TaskState::Rejected);
    let text = world.step();
    assert!(text.ends_with(&format!("service web: update paused due to failure or early termination of task {task}\n")), "{text}");
    assert_eq!(world.running("web"), 2);
    // Going back by hand finds the old task as it was, and it is there to stay.
    world.rollback("web");
    world.settle_for(6);
    assert_eq!(world.update_status("web"), "rollback_completed: rollback completed");
    assert_eq!((world.running("web"), updated(&world, "web")), (2, 2));
    assert!(!world.newest("web.1").replaced);
}

#[test]
fn start_first_taken_over_by_another_update_keeps_what_runs_and_drops_what_does_not() {
    let mut world = World::with_nodes(2).service_with("web", 1, configure(|c| c.order = Some(UpdateOrder::StartFirst))).settled();
    world.image("web", "image:2");
    world.step();
    world.image("web", "image:3");
    assert_eq!(world.step(), "stop web.1 on n1\nprepare web.1 on n1\nservice web: update in progress\n");
    world.settle_for(6);
    assert_eq!((world.running("web"), updated(&world, "web")), (1, 1));
}

#[test]
fn what_is_no_change_of_the_tasks_touches_none() {
    let mut world = World::with_nodes(2).service("web", 2).settled();
    world.update("web", |spec| {
        spec.labels.insert("team".into(), "a".into());
        spec.update_config = Some(UpdateConfig::default());
        spec.rollback_config = Some(UpdateConfig::default());
        // Saying the default aloud is none either.
        spec.endpoint_spec = Some(EndpointSpec::default());
    });
    assert_eq!(world.step(), "");
    assert_eq!(world.update_status("web"), "none");
    world.scale("web", 3);
    world.settle_for(10);
    assert_eq!(world.update_status("web"), "none");
    // New tasks have the new labels, though old ones stay.
    let task = world.newest("web.3");
    assert_eq!(world.state.spec(task.spec).expect("stored").service_labels["team"], "a");
    world.update("web", |spec| spec.task_template.force_update = 1);
    assert!(world.step().starts_with("stop web.1 on n1\nprepare web.1"));
}

#[test]
fn a_new_placement_moves_only_what_does_not_fit_it() {
    let mut world = World::with_nodes(3).service("web", 3);
    world.label("n3", "old", "yes");
    world.settle();
    world.update("web", constrain(&["node.labels.old!=yes"]));
    assert_eq!(world.step(), "stop web.3 on n3\nprepare web.3 on n1\nservice web: update in progress\n");
    world.settle_for(10);
    assert_eq!(world.spread("web"), [2, 1, 0]);
    assert_eq!(updated(&world, "web"), 1);
    // Tasks that stayed are held to what they were made with; what only the new placement forbids is moved as an update.
    world.label("n2", "old", "yes");
    assert_eq!(world.step(), "stop web.2 on n2\nprepare web.2 on n1\nservice web: update in progress\n");
}

#[test]
fn a_published_port_is_part_of_the_tasks() {
    let mut world = World::with_nodes(1).service("web", 1).settled();
    world.update("web", host_port(80));
    assert!(world.step().starts_with("stop web.1 on n1\n"));
}

#[test]
fn too_many_failures_pause_the_update_by_default() {
    let mut world = World::with_nodes(3).service("web", 3).settled();
    world.image("web", "broken");
    world.step();
    let task = world.newest("web.1").id;
    world.report("web.1", TaskState::Rejected);
    world.agents_work();
    let text = world.step();
    let message = format!("update paused due to failure or early termination of task {task}");
    assert_eq!(text, format!("stop web.1 on n1\nprepare web.1 on n1\nservice web: {message}\n"));
    world.settle_for(20);
    assert_eq!(world.update_status("web"), format!("paused: {message}"));
    assert_eq!(updated(&world, "web"), 1, "other slots are left alone, the failed one is tried again");
    // The next update goes on, with the slot that does not run anyway first.
    world.report("web.1", TaskState::Failed);
    world.step();
    world.image("web", "image:3");
    let text = world.step();
    assert!(text.starts_with("stop web.1 on n1\nprepare web.1 on n1\n") && text.ends_with("update in progress\n"), "{text}");
    world.settle_for(10);
    assert_eq!((world.running("web"), updated(&world, "web")), (3, 3));
}

#[test]
fn an_early_end_counts_only_within_the_monitor() {
    let mut world = World::with_nodes(1).service_with("web", 3, configure(|c| c.monitor = Some(seconds(8)))).settled();
    world.image("web", "image:2");
    world.settle();
    world.advance(9);
    world.report("web.1", TaskState::Failed);
    world.settle();
    assert_eq!(world.update_status("web"), "completed: update completed");
    world.settle_for(10);
    world.image("web", "image:3");
    world.settle();
    world.advance(7);
    world.report("web.1", TaskState::Complete);
    world.settle();
    assert!(world.update_status("web").starts_with("paused"));
}

#[test]
fn failures_up_to_the_ratio_are_tolerated_and_with_continue_all_are() {
    let mut world = World::with_nodes(1).service_with("web", 4, configure(|c| c.max_failure_ratio = 0.25)).settled();
    world.image("web", "image:2");
    world.step();
    world.report("web.1", TaskState::Failed);
    world.settle();
    assert_eq!(updated(&world, "web"), 4, "one of four may fail");
    world.report("web.3", TaskState::Failed);
    world.step();
    assert!(world.update_status("web").starts_with("paused"));

    let mut world = World::with_nodes(1).service_with("web", 3, configure(|c| c.failure_action = Some(FailureAction::Continue))).settled();
    world.image("web", "broken");
    for slot in ["web.1", "web.2", "web.3"] {
        world.step();
        world.agents_work();
        world.step();
        world.report(slot, TaskState::Failed);
    }
    world.settle_for(6);
    assert_eq!(world.update_status("web"), "completed: update completed");
    assert_eq!(world.running("web"), 3, "each was tried again and runs at last");
}

#[test]
fn the_action_rollback_goes_back_and_leaves_untouched_tasks_alone() {
    let mut world = World::with_nodes(3).service_with("web", 3, configure(|c| c.failure_action = Some(FailureAction::Rollback))).settled();
    let untouched = world.newest("web.3").id;
    world.image("web", "broken");
    world.step();
    let task = world.newest("web.1").id;
    world.report("web.1", TaskState::Failed);
    world.agents_work();
    let text = world.step();
    let message = format!("update rolled back due to failure or early termination of task {task}");
    assert_eq!(text, format!("stop web.1 on n1\ncreate web.1 on n1\nservice web: {message}\n"));
    assert_eq!(world.get("web").previous, None);
    world.settle_for(12);
    assert_eq!(world.update_status("web"), "rollback_completed: rollback completed");
    assert_eq!((world.running("web"), updated(&world, "web")), (3, 3));
    assert_eq!(world.newest("web.3").id, untouched);
    assert_eq!(world.state.specs().count(), 2, "history still names the broken one");
}

#[test]
fn a_rollback_that_fails_pauses() {
    let mut world = World::with_nodes(1).service_with("web", 2, configure(|c| c.failure_action = Some(FailureAction::Rollback))).settled();
    world.image("web", "broken");
    world.settle();
    for prefix in ["rollback_started: update rolled back", "rollback_paused: rollback paused"] {
        world.report("web.2", TaskState::Failed);
        world.step();
        assert!(world.update_status("web").starts_with(prefix), "{}", world.update_status("web"));
        world.settle();
    }
}

#[test]
fn the_action_rollback_without_a_previous_spec_pauses() {
    let mut world = World::with_nodes(1).service_with("web", 1, configure(|c| c.failure_action = Some(FailureAction::Rollback))).settled();
    world.image("web", "broken");
    world.step();
    world.report("web.1", TaskState::Failed);
    world.settle_for(10);
    assert!(world.update_status("web").starts_with("rollback_completed"));
    // A node's label makes a task dirty without an update, and there is nothing to go back to.
    world.update("web", constrain(&["node.hostname!=n1"]));
    world.step();
    assert!(world.update_status("web").starts_with("updating"));
}

#[test]
fn an_operator_goes_back_and_forth() {
    let mut world = World::with_nodes(2).service("web", 2).settled();
    world.image("web", "image:2");
    world.settle_for(6);
    world.rollback("web");
    assert_eq!(world.update_status("web"), "rollback_started: manually requested rollback");
    world.settle_for(6);
    assert_eq!(world.update_status("web"), "rollback_completed: rollback completed");
    assert_eq!(updated(&world, "web"), 2);
    let image = |world: &World| world.get("web").current.spec.task_template.container_spec.clone().expect("set").image;
    assert_eq!(image(&world), "image:1");
    world.rollback("web");
    world.settle_for(6);
    assert_eq!((image(&world).as_str(), updated(&world, "web")), ("image:2", 2));
}

#[test]
fn a_rollback_that_changes_no_task_is_done_at_once() {
    let mut world = World::with_nodes(2).service("web", 2).settled();
    world.scale("web", 3);
    world.settle();
    world.rollback("web");
    let text = world.step();
    assert!(text.ends_with("service web: rollback completed\n"), "{text}");
}

#[test]
fn a_second_update_takes_over_from_the_first() {
    let mut world = World::with_nodes(3).service("web", 3).settled();
    world.image("web", "image:2");
    world.step();
    world.agents_work();
    world.step();
    world.image("web", "image:3");
    // Slot 1 does not run: it is the first again, and nothing else stops meanwhile.
    let text = world.step();
    assert!(text.starts_with("stop web.1 on n1\nprepare web.1 on n1\n"), "{text}");
    assert_eq!(world.running("web"), 2);
    world.settle_for(6);
    assert_eq!((updated(&world, "web"), world.running("web")), (3, 3));
}

#[test]
fn an_update_waits_for_a_task_whose_node_was_lost() {
    let mut world = World::with_nodes(3).service("web", 3).settled();
    world.image("web", "image:2");
    world.step();
    world.down("n1");
    let text = world.step();
    assert_eq!(text, "stop web.1 on n1\ncreate web.1 on n2\n");
    assert_eq!(world.step(), "", "slot 2 has to wait for slot 1");
    world.agents_work();
    assert!(world.step().starts_with("stop web.2 on n2\n"));
}

#[test]
fn an_update_under_way_goes_on_under_a_new_leader() {
    let mut world = World::with_nodes(2).service_with("web", 3, configure(|c| c.delay = seconds(3))).settled();
    world.image("web", "image:2");
    for _ in 0..20 {
        world.planner = swarm_planner::Planner::new(&world.state);
        world.settle();
        world.advance(1);
    }
    assert_eq!(world.update_status("web"), "completed: update completed");
    assert_eq!(updated(&world, "web"), 3);
}

#[test]
fn an_exhausted_slot_is_updated_too() {
    let policy = restart(RestartCondition::Any, Duration::ZERO, 1);
    let mut world = World::with_nodes(1).service_with("web", 2, policy).settled();
    for _ in 0..2 {
        world.report("web.1", TaskState::Failed);
        world.settle();
    }
    assert_eq!(world.running("web"), 1);
    world.image("web", "image:2");
    assert!(world.step().contains("create web.1 on n1\n"), "what does not run goes first");
    world.settle_for(6);
    assert_eq!(world.running("web"), 2);
}

#[test]
fn scaling_during_an_update_gives_new_slots_the_new_template() {
    let mut world = World::with_nodes(2).service("web", 2).settled();
    world.image("web", "image:2");
    world.step();
    world.scale("web", 4);
    world.settle_for(6);
    assert_eq!((updated(&world, "web"), world.running("web")), (4, 4));
    assert_eq!(world.update_status("web"), "completed: update completed");
    world.image("web", "image:3");
    world.step();
    world.scale("web", 0);
    world.settle_for(6);
    assert_eq!(world.tasks("web"), "");
}

#[test]
fn a_task_that_cannot_start_does_not_hang_the_update() {
    let stuck = |action: FailureAction| {
        let mut world = World::with_nodes(2).service_with("web", 2, configure(|c| c.failure_action = Some(action))).settled();
        world.update("web", constrain(&["node.labels.disk==ssd"]));
        world.settle_for(600);
        assert_eq!(world.update_status("web"), "updating: update in progress");
        let late = world.newest("web.1").id;
        world.settle_for(20);
        (world, late)
    };
    let (world, late) = stuck(FailureAction::Pause);
    let why = "it is pending: no suitable node (scheduling constraints not satisfied on 2 nodes)";
    assert_eq!(world.update_status("web"), format!("paused: update paused because task {late} did not run within 610 s; {why}"));
    assert_eq!(world.running("web"), 1);

    let (world, late) = stuck(FailureAction::Rollback);
    assert_eq!(world.update_status("web"), "rollback_completed: rollback completed");
    assert!(world.state.task(late).is_none_or(|t| t.desired_state > TaskState::Running));
    assert_eq!((world.running("web"), updated(&world, "web")), (2, 2));

    // Failures do not count, but the other slots do not wait for ever either.
    let (mut world, _) = stuck(FailureAction::Continue);
    assert_eq!(updated(&world, "web"), 2);
    world.settle_for(620);
    assert_eq!(world.update_status("web"), "completed: update completed");
}

#[test]
fn an_old_task_that_waits_for_a_stuck_one_leaves_the_update_paused() {
    let edit = configure(|c| (c.order, c.failure_action) = (Some(UpdateOrder::StartFirst), Some(FailureAction::Continue)));
    let mut world = World::with_nodes(2).service_with("web", 1, edit).settled();
    world.update("web", constrain(&["node.labels.disk==ssd"]));
    world.settle_for(620);
    assert!(world.update_status("web").starts_with("paused: update paused because task "), "{}", world.update_status("web"));
    assert_eq!(world.running("web"), 1);
}

#[test]
fn the_default_monitor_covers_the_health_check() {
    let mut world = World::with_nodes(1).service_with("web", 1, configure(|c| c.monitor = Some(seconds(5)))).settled();
    world.update("web", |spec| {
        let health =
            HealthConfig { interval: seconds(10), timeout: seconds(1), start_period: seconds(20), retries: 2, ..HealthConfig::default() };
        spec.task_template.container_spec.get_or_insert_default().healthcheck = Some(health);
    });
    world.settle_for(40);
    assert_eq!(world.update_status("web"), "updating: update in progress");
    world.settle_for(2);
    assert_eq!(world.update_status("web"), "completed: update completed");
}
