//! Global services.

use crate::world::{World, constrain, host_port, restart};
use std::time::Duration;
use swarm_types::{Availability, NodeState, RestartCondition, TaskState};

#[test]
fn each_fitting_node_gets_one_task() {
    let mut world = World::with_nodes(4).global_with("agent", constrain(&["node.labels.skip!=yes"]));
    world.label("n2", "skip", "yes");
    world.availability("n3", Availability::Pause);
    assert_eq!(world.step(), "create agent.n1 on n1\ncreate agent.n4 on n4\n");
    let message = &world.newest("agent.n1").status.message;
    assert_eq!(message, "scheduler confirmed task can run on preassigned node");
    world.settle();
    world.add_node("n5");
    assert_eq!(world.step(), "create agent.n5 on n5\n");
    world.activate("n3");
    assert_eq!(world.step(), "create agent.n3 on n3\n");
    world.label("n2", "skip", "no");
    assert_eq!(world.step(), "create agent.n2 on n2\n");
    world.settle();
    assert_eq!(world.spread("agent"), [1; 5]);
}

#[test]
fn a_node_that_stops_fitting_loses_its_task() {
    let mut world = World::with_nodes(2).global_with("agent", constrain(&["node.labels.skip!=yes"])).settled();
    world.label("n2", "skip", "yes");
    assert_eq!(world.step(), "stop agent.n2 on n2\n");
    world.settle();
    world.label("n2", "skip", "no");
    assert_eq!(world.step(), "create agent.n2 on n2\n");
}

#[test]
fn drained_and_dead_nodes_get_their_task_again_when_they_are_back() {
    let mut world = World::with_nodes(3).global("agent").settled();
    world.drain("n1");
    world.down("n2");
    world.availability("n3", Availability::Pause);
    assert_eq!(world.step(), "stop agent.n1 on n1\nstop agent.n2 on n2\n");
    world.settle();
    world.activate("n1");
    assert_eq!(world.step(), "create agent.n1 on n1\n");
    // On the dead node the old task may still run: it has to stop first.
    world.node_state("n2", NodeState::Ready);
    assert_eq!(world.step(), "prepare agent.n2 on n2\n");
    world.agents_work();
    assert_eq!(world.step(), "start agent.n2 on n2\n");
}

#[test]
fn a_removed_nodes_tasks_are_forgotten() {
    let mut world = World::with_nodes(2).global("agent").settled();
    world.down("n2");
    world.step();
    world.remove_node("n2");
    assert_eq!(world.step(), "forget agent.n2\n");
    assert_eq!(world.tasks("agent"), "agent.n1 on n1 running, wanted running\n");
}

#[test]
fn the_restart_policy_counts_per_node() {
    let policy = restart(RestartCondition::Any, Duration::ZERO, 1);
    let mut world = World::with_nodes(2).global_with("agent", policy).settled();
    for node in ["agent.n1", "agent.n2", "agent.n1"] {
        world.report(node, TaskState::Failed);
        world.settle();
    }
    assert_eq!(world.spread("agent"), [0, 1]);
    // Exhausted stays exhausted, whatever the node does.
    world.drain("n1");
    world.settle();
    world.activate("n1");
    world.settle_for(5);
    assert_eq!(world.spread("agent"), [0, 1]);
}

#[test]
fn a_task_that_its_node_cannot_take_waits_there() {
    let mut world = World::with_nodes(2).service_with("web", 1, host_port(80)).settled();
    let mut world = {
        world.settle();
        world.global_with("proxy", host_port(80))
    };
    let text = world.step();
    assert_eq!(text, "create proxy.n1: no suitable node (host-mode port already in use on 1 node)\ncreate proxy.n2 on n2\n");
    world.settle();
    world.scale("web", 0);
    world.settle();
    assert_eq!(world.running("proxy"), 2);
}

#[test]
fn an_update_goes_node_by_node_and_leaves_paused_ones_out() {
    let mut world = World::with_nodes(3).global("agent").settled();
    world.availability("n2", Availability::Pause);
    world.image("agent", "image:2");
    assert_eq!(world.step(), "stop agent.n1 on n1\nprepare agent.n1 on n1\nservice agent: update in progress\n");
    world.settle();
    assert_eq!(world.running("agent"), 3);
    world.settle_for(6);
    assert_eq!(world.update_status("agent"), "completed: update completed");
    world.activate("n2");
    assert_eq!(world.step(), "stop agent.n2 on n2\nprepare agent.n2 on n2\nservice agent: update in progress\n");
}
