//! Counts that lists of services show, and commands without a plan.

use crate::world::{World, reserve_memory};
use swarm_planner::{remove_node, rollback_service, service_status, update_service};
use swarm_state::{Change, Object};
use swarm_types::{ServiceStatus, TaskState};

fn counts(world: &World, service: &str) -> (u64, u64) {
    let ServiceStatus { running_tasks, desired_tasks, completed_tasks } = service_status(&world.state, world.get(service));
    assert_eq!(completed_tasks, 0);
    (running_tasks, desired_tasks)
}

#[test]
fn replicated_services_want_their_replicas_and_global_ones_their_tasks() {
    let mut world = World::with_nodes(3).service_with("web", 4, reserve_memory(5 << 30)).global("agent");
    assert_eq!((counts(&world, "web"), counts(&world, "agent")), ((0, 4), (0, 0)));
    world.settle();
    assert_eq!((counts(&world, "web"), counts(&world, "agent")), ((3, 4), (3, 3)));
    world.report("web.1", TaskState::Failed);
    world.step();
    assert_eq!(counts(&world, "web"), (2, 4));
    world.drain("n1");
    world.settle();
    assert_eq!(counts(&world, "agent"), (2, 2));
}

fn touches_template(changes: &[Change]) -> bool {
    changes.iter().any(|c| matches!(c, Change::Put { object: Object::Spec(_), .. }))
}

#[test]
fn a_new_template_is_stored_only_when_tasks_would_differ() {
    let mut world = World::with_nodes(1).service("web", 1);
    let service = world.get("web").clone();
    let mut ids = world.ids.clone();
    let mut spec = (*service.current.spec).clone();
    spec.mode.replicated = Some(swarm_types::ReplicatedService { replicas: Some(7) });
    assert!(!touches_template(&update_service(&service, spec.clone(), world.now, &mut ids)));
    spec.task_template.force_update = 1;
    assert!(touches_template(&update_service(&service, spec, world.now, &mut ids)));
    // Going back by an update finds the previous template again.
    let first = service.current.template;
    world.image("web", "image:2");
    world.image("web", "image:1");
    assert_eq!(world.get("web").current.template, first);
    assert_eq!(world.state.specs().count(), 2);
}

#[test]
fn a_rollback_needs_a_previous_spec() {
    let world = World::with_nodes(1).service("web", 1);
    let error = rollback_service(world.get("web"), world.now).expect_err("there is none");
    assert_eq!(error.to_string(), "service web does not have a previous spec");
}

#[test]
fn a_removed_node_is_remembered_as_long_as_its_certificate_could_be_shown() {
    let mut world = World::with_nodes(2);
    world.history_limit(5); // Makes the cluster object.
    world.edit_node("n1", |n| n.certificate_until = swarm_types::Timestamp::from_nanos(1_700_000_100_000_000_000));
    let (n1, n2) = (world.node_id("n1"), world.node_id("n2"));
    world.remove_node("n1");
    world.remove_node("n2");
    let removed = &world.state.cluster().expect("made above").removed_nodes;
    assert_eq!(removed[&n1].to_string(), "2023-11-21T22:15:00Z");
    assert_eq!(removed[&n2].since(world.now).as_secs(), 97 * 24 * 3600);
    world.advance(8 * 24 * 3600);
    world.add_node("n3");
    world.remove_node("n3");
    let removed = &world.state.cluster().expect("made above").removed_nodes;
    assert!(!removed.contains_key(&n1) && removed.contains_key(&n2));
    assert_eq!(remove_node(&world.state, n1, world.now), []);
}
