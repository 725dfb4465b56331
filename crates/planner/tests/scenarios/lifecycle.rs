//! Creating, scaling, removing and forgetting.

use crate::world::{World, reserve_memory};
use swarm_types::{RestartCondition, TaskState};

#[test]
fn tasks_are_born_assigned_and_spread() {
    let mut world = World::with_nodes(3).service("web", 4);
    assert_eq!(world.step(), "create web.1 on n1\ncreate web.2 on n2\ncreate web.3 on n3\ncreate web.4 on n1\n");
    assert_eq!(world.step(), "");
    let task = world.newest("web.1");
    assert_eq!((task.status.state, task.status.message.as_str()), (TaskState::Assigned, "scheduler assigned task to node"));
    world.settle();
    assert_eq!(world.running("web"), 4);
}

#[test]
fn new_slots_take_the_lowest_free_numbers() {
    let mut world = World::with_nodes(1).service("web", 3).settled();
    // Slot 2 loses its task for good, so that its number is free.
    world.update("web", |spec| spec.labels.clear());
    world.scale("web", 2);
    assert_eq!(world.step(), "remove web.3 on n1\n");
    world.settle();
    world.scale("web", 4);
    assert_eq!(world.step(), "create web.3 on n1\ncreate web.4 on n1\n");
}

#[test]
fn a_number_taken_again_waits_for_the_task_that_still_stops() {
    let mut world = World::with_nodes(2).service("web", 2).settled();
    world.scale("web", 1);
    assert_eq!(world.step(), "remove web.2 on n2\n");
    world.scale("web", 2);
    assert_eq!(world.step(), "prepare web.2 on n2\n");
    world.agents_work();
    assert_eq!(world.step(), "forget web.2\nstart web.2 on n2\n");
}

#[test]
fn scaling_down_takes_from_the_fullest_node_and_keeps_what_runs() {
    let mut world = World::with_nodes(2).service("web", 2).settled();
    world.drain("n2");
    world.settle();
    world.scale("web", 4);
    world.settle();
    world.activate("n2");
    world.scale("web", 6);
    world.settle();
    assert_eq!(world.spread("web"), [4, 2]);
    world.scale("web", 4);
    // The third and fourth copies on n1 go, not the highest numbers.
    assert_eq!(world.step(), "remove web.3 on n1\nremove web.4 on n1\n");
    world.settle();
    assert_eq!(world.spread("web"), [2, 2]);
}

#[test]
fn scaling_down_takes_waiting_tasks_first() {
    let mut world = World::with_nodes(1).service_with("web", 4, reserve_memory(3 << 30)).settled();
    assert_eq!(world.running("web"), 2);
    world.scale("web", 3);
    assert_eq!(world.step(), "forget web.4\n");
    world.scale("web", 1);
    assert_eq!(world.step(), "remove web.2 on n1\nforget web.3\n");
}

#[test]
fn scaling_to_none_and_back() {
    let mut world = World::with_nodes(2).service("web", 2).settled();
    world.scale("web", 0);
    world.settle();
    assert_eq!(world.tasks("web"), "");
    world.scale("web", 1);
    world.settle();
    assert_eq!(world.tasks("web"), "web.1 on n1 running, wanted running\n");
}

#[test]
fn tasks_of_a_removed_service_stop_and_are_forgotten_with_its_templates() {
    let mut world = World::with_nodes(2).service_with("web", 3, reserve_memory(6 << 30)).settled();
    world.image("web", "image:2");
    world.step();
    world.remove("web");
    // The one that never found a node is forgotten at once.
    let text = world.step();
    assert!(text.contains("remove web.1 on n1\n") && text.contains("forget web.3\n"), "{text}");
    world.settle();
    assert_eq!(world.state.task_count(), 0);
    assert_eq!(world.state.specs().count(), 0);
}

#[test]
fn ended_tasks_are_kept_to_the_limit_with_the_running_one_counted_in() {
    let mut world = World::with_nodes(1).service("web", 1).settled();
    for _ in 0..8 {
        world.report("web.1", TaskState::Failed);
        world.settle_for(6);
    }
    assert_eq!(world.tasks("web").lines().count(), 5);
    assert_eq!(world.running("web"), 1);
    world.history_limit(2);
    assert_eq!(world.step(), "forget web.1\nforget web.1\nforget web.1\n");
    world.history_limit(0);
    assert_eq!(world.step(), "forget web.1\n");
    assert_eq!(world.tasks("web"), "web.1 on n1 running, wanted running\n");
    world.history_limit(-1);
    for _ in 0..8 {
        world.report("web.1", TaskState::Failed);
        world.settle_for(6);
    }
    assert_eq!(world.tasks("web").lines().count(), 9);
}

#[test]
fn limited_attempts_keep_a_place_for_each() {
    let policy = crate::world::restart(RestartCondition::Any, std::time::Duration::ZERO, 7);
    let mut world = World::with_nodes(1).service_with("web", 1, policy).settled();
    for _ in 0..8 {
        world.report("web.1", TaskState::Failed);
        world.settle();
    }
    assert_eq!(world.tasks("web").lines().count(), 8);
    assert_eq!(world.running("web"), 0);
}

#[test]
fn the_last_task_of_a_slot_is_never_forgotten() {
    let policy = crate::world::restart(RestartCondition::None, std::time::Duration::ZERO, 0);
    let mut world = World::with_nodes(1).service_with("once", 1, policy).settled();
    world.history_limit(0);
    world.report("once.1", TaskState::Complete);
    world.settle_for(10);
    assert_eq!(world.tasks("once"), "once.1 on n1 complete, wanted shutdown\n");
}

#[test]
fn a_large_service_comes_in_several_passes_without_a_gap() {
    let mut world = World::with_nodes(5).service("web", 2500);
    let mut passes = 0;
    loop {
        let planned = world.plan();
        if planned.plan.changes.is_empty() {
            assert_ne!(planned.plan.look_again_in, Some(std::time::Duration::ZERO));
            break;
        }
        assert!(planned.plan.changes.len() <= swarm_planner::CHANGES_PER_PASS_MAX);
        world.step();
        passes += 1;
    }
    assert_eq!(passes, 3);
    assert_eq!(world.spread("web"), [500; 5]);
    world.scale("web", 0);
    assert_eq!(world.plan().plan.changes.len(), swarm_planner::CHANGES_PER_PASS_MAX);
    world.settle();
    assert_eq!(world.state.task_count(), 0);
}

#[test]
fn large_changes_take_several_passes_and_lose_nothing() {
    let all_at_once = |spec: &mut swarm_types::ServiceSpec| {
        spec.update_config = Some(swarm_types::UpdateConfig::default());
    };
    let mut world = World::with_nodes(4).service_with("web", 1200, all_at_once).service("api", 300).settled();
    world.history_limit(1);
    world.drain("n1");
    world.image("web", "image:2");
    world.scale("api", 100);
    let mut passes = 0;
    while !world.step().is_empty() {
        passes += 1;
    }
    assert!(passes >= 3, "{passes} passes");
    world.settle_for(6);
    assert_eq!((world.running("web"), world.running("api")), (1200, 100));
    assert_eq!((world.spread("web"), world.state.task_count()), (vec![0, 400, 400, 400], 1300));
    assert_eq!(world.update_status("web"), "completed: update completed");
    world.down("n2");
    world.remove("web");
    world.settle();
    world.remove_node("n2");
    world.settle();
    assert_eq!((world.running("api"), world.state.task_count(), world.state.specs().count()), (100, 100, 1));
}
