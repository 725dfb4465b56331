//! Nodes that come, go, and change.

use crate::world::{GIB, World, constrain, reserve_memory};
use swarm_types::{Availability, NodeState, RestartCondition, TaskState};

#[test]
fn draining_stops_the_old_task_and_prepares_its_replacement() {
    let mut world = World::with_nodes(3).service("web", 3).settled();
    world.drain("n2");
    assert_eq!(world.step(), "stop web.2 on n2\nprepare web.2 on n1\n");
    // The image can be fetched meanwhile, but nothing starts before the old one has ended.
    assert_eq!(world.step(), "");
    world.agents_work();
    assert_eq!(world.step(), "start web.2 on n1\n");
    world.settle();
    assert_eq!(world.tasks("web").lines().nth(1), Some("web.2 on n2 shutdown, wanted shutdown"));
    world.activate("n2");
    assert_eq!(world.step(), "", "nothing moves back");
}

#[test]
fn a_task_that_does_not_stop_holds_its_successor_for_a_minute_only() {
    let mut world = World::with_nodes(2).service("web", 1).settled();
    world.node_state("n1", NodeState::Disconnected);
    world.drain("n1");
    assert_eq!(world.step(), "stop web.1 on n1\nprepare web.1 on n2\n");
    world.advance(59);
    assert_eq!(world.step(), "");
    assert_eq!(world.plan().plan.look_again_in, Some(std::time::Duration::from_secs(1)));
    world.advance(1);
    assert_eq!(world.step(), "start web.1 on n2\n");
}

#[test]
fn a_long_stop_grace_is_waited_for() {
    let mut world = World::with_nodes(2)
        .service_with("db", 1, |spec| {
            spec.task_template.container_spec.get_or_insert_default().stop_grace_period = Some(300_000_000_000);
        })
        .settled();
    world.drain("n1");
    world.step();
    world.advance(300);
    assert_eq!(world.step(), "");
    world.advance(10);
    assert_eq!(world.step(), "start db.1 on n2\n");
}

#[test]
fn a_dead_node_is_not_waited_for() {
    let mut world = World::with_nodes(3).service("web", 3).settled();
    world.down("n3");
    assert_eq!(world.step(), "stop web.3 on n3\ncreate web.3 on n1\n");
    world.settle();
    assert_eq!(world.running("web"), 3);
    // The node is back with its old task, which is told to stop and then only history.
    world.node_state("n3", NodeState::Ready);
    world.settle();
    assert_eq!(world.spread("web"), [2, 1, 0]);
    assert!(world.tasks("web").contains("web.3 on n3 shutdown, wanted shutdown\n"));
}

#[test]
fn a_node_that_is_not_heard_of_keeps_its_tasks_and_gets_no_new_ones() {
    for state in [NodeState::Unknown, NodeState::Disconnected] {
        let mut world = World::with_nodes(2).service("web", 2).settled();
        world.node_state("n1", state);
        assert_eq!(world.step(), "");
        world.scale("web", 4);
        assert_eq!(world.step(), "create web.3 on n2\ncreate web.4 on n2\n");
    }
}

#[test]
fn a_paused_node_keeps_its_tasks_and_gets_no_new_ones() {
    let mut world = World::with_nodes(2).service("web", 2).settled();
    world.availability("n1", Availability::Pause);
    assert_eq!(world.step(), "");
    world.scale("web", 3);
    assert_eq!(world.step(), "create web.3 on n2\n");
    world.report("web.1", TaskState::Failed);
    assert_eq!(world.step(), "stop web.1 on n1\nprepare web.1 on n2\n");
}

#[test]
fn without_a_node_tasks_wait_and_say_why() {
    let mut world = World::with_nodes(0).service("web", 1);
    assert_eq!(world.step(), "create web.1: no suitable node\n");
    world.add_node("n1");
    world.drain("n1");
    // Reasons are written at most once a second.
    assert_eq!(world.step(), "");
    world.advance(1);
    assert_eq!(world.step(), "wait web.1: no suitable node (1 node not available for new tasks)\n");
    world.activate("n1");
    assert_eq!(world.step(), "assign web.1 to n1\n");
    assert_eq!(world.newest("web.1").status.err, "");
}

#[test]
fn a_removed_nodes_tasks_are_orphaned_and_replaced() {
    let mut world = World::with_nodes(2).service("web", 2).settled();
    world.down("n2");
    world.remove_node("n2");
    assert_eq!(world.step(), "stop web.2 on n2\ncreate web.2 on n1\n");
    assert!(world.tasks("web").contains("web.2 on n2 orphaned, wanted shutdown\n"));
    let orphan = world.state.tasks().find(|t| t.status.state == TaskState::Orphaned).expect("there is one");
    assert_eq!(orphan.status.message, "Task belonged to a node that has been deleted");
}

#[test]
fn a_task_planned_for_a_node_that_was_just_removed_is_orphaned() {
    let mut world = World::with_nodes(2).service("web", 2);
    let plan = world.plan().plan;
    world.remove_node("n2");
    world.commit(swarm_types::Actor::Planner, plan.changes);
    world.ids.0 += 10;
    assert_eq!(world.step(), "orphan web.2 on n2: Task belonged to a node that has been deleted\ncreate web.2 on n1\n");
}

#[test]
fn after_a_day_the_tasks_of_a_dead_node_are_given_up() {
    let mut world = World::with_nodes(2).service("web", 2).settled();
    world.down("n2");
    world.settle();
    world.advance(24 * 3600 - 1);
    assert_eq!(world.plan().plan.look_again_in, Some(std::time::Duration::from_secs(1)));
    assert_eq!(world.step(), "");
    world.advance(1);
    assert_eq!(world.step(), "orphan web.2 on n2: node has been down for 24 hours\n");
    assert_eq!(world.step(), "");
    // A service's tasks on a dead node are forgotten only then.
    let mut world = World::with_nodes(1).service("web", 1).settled();
    world.remove("web");
    world.step();
    world.down("n1");
    world.settle();
    assert_eq!(world.tasks("web"), "web.1 on n1 running, wanted remove\n");
    world.advance(24 * 3600);
    world.settle();
    assert_eq!(world.state.task_count(), 0);
}

#[test]
fn a_task_that_may_never_run_twice_does_not_move() {
    let policy = crate::world::restart(RestartCondition::None, std::time::Duration::ZERO, 0);
    let mut world = World::with_nodes(2).service_with("once", 1, policy).settled();
    world.drain("n1");
    assert_eq!(world.step(), "stop once.1 on n1\n");
    world.settle();
    world.activate("n1");
    world.settle_for(10);
    assert_eq!(world.running("once"), 0);
}

#[test]
fn losing_nodes_uses_up_no_attempts() {
    let policy = crate::world::restart(RestartCondition::Any, std::time::Duration::ZERO, 1);
    let mut world = World::with_nodes(2).service_with("web", 1, policy).settled();
    for _ in 0..3 {
        for node in ["n1", "n2"] {
            world.drain(node);
            world.settle();
            world.activate(node);
        }
    }
    assert_eq!(world.running("web"), 1);
    world.report("web.1", TaskState::Failed);
    world.settle();
    assert_eq!(world.running("web"), 1);
    world.report("web.1", TaskState::Failed);
    world.settle();
    assert_eq!(world.running("web"), 0);
}

#[test]
fn a_node_that_loses_a_label_loses_the_tasks_that_ask_for_it() {
    let mut world = World::with_nodes(3).service_with("web", 1, constrain(&["node.labels.ssd==yes"]));
    world.label("n2", "ssd", "yes");
    world.label("n3", "ssd", "yes");
    world.settle();
    assert_eq!(world.tasks("web"), "web.1 on n2 running, wanted running\n");
    world.label("n2", "ssd", "no");
    assert_eq!(world.step(), "reject web.1 on n2: assigned node no longer meets constraints\nprepare web.1 on n3\n");
    let rejected = world.state.tasks().find(|t| t.status.state == TaskState::Rejected).expect("there is one");
    assert_eq!(rejected.status.message, "task rejected by constraint enforcer");
    world.settle_for(6);
    assert_eq!(world.running("web"), 1);
}

#[test]
fn a_paused_node_is_left_alone_whatever_its_labels() {
    let mut world = World::with_nodes(2).service_with("web", 1, constrain(&["node.labels.ssd!=no"])).settled();
    world.availability("n1", Availability::Pause);
    world.label("n1", "ssd", "no");
    assert_eq!(world.step(), "");
    world.activate("n1");
    assert!(world.step().starts_with("reject web.1 on n1"));
}

#[test]
fn a_node_that_shrinks_gives_up_its_youngest_tasks() {
    let mut world = World::with_nodes(2).service_with("web", 1, reserve_memory(3 * GIB)).settled();
    world.advance(1);
    let mut world = world.service_with("api", 1, reserve_memory(5 * GIB)).settled();
    world.drain("n2");
    world.settle();
    assert_eq!((world.spread("web"), world.spread("api")), (vec![1, 0], vec![1, 0]));
    world.activate("n2");
    world.edit_node("n1", |n| n.api.description.resources.memory_bytes = 7 * GIB);
    assert_eq!(world.step(), "reject api.1 on n1: assigned node no longer meets constraints\nprepare api.1 on n2\n");
}
