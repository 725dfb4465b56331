//! Which nodes tasks go to, and why not to others.

use crate::world::{GIB, World, constrain, host_port, reserve_memory};
use swarm_types::*;

fn reason(world: &mut World) -> String {
    let planned = world.plan();
    let refusal = planned.plan.refusals.first().expect("something is refused");
    refusal.reason.clone()
}

#[test]
fn reservations_are_what_counts() {
    let mut world = World::with_nodes(2).service_with("web", 5, reserve_memory(3 * GIB));
    world.step();
    world.settle();
    assert_eq!(world.spread("web"), [2, 2]);
    assert_eq!(world.newest("web.5").status.err, "no suitable node (insufficient resources on 2 nodes)");
    assert_eq!(world.newest("web.5").status.message, "pending task scheduling");
    // Room is used as soon as there is some.
    world.scale("web", 4);
    world.settle();
    world.update("web", |spec| {
        let mode = ReplicatedService { replicas: Some(5) };
        spec.mode.replicated = Some(mode);
    });
    world.settle();
    world.add_node("n3");
    assert_eq!(world.step(), "assign web.5 to n3\n");
}

#[test]
fn cpus_are_counted_in_billionths() {
    let mut world = World::with_nodes(1).service_with("web", 3, |spec| {
        let reservations = Some(Resources { nano_cpus: 1_500_000_000, ..Resources::default() });
        spec.task_template.resources = Some(ResourceRequirements { reservations, ..ResourceRequirements::default() });
    });
    world.settle();
    assert_eq!(world.running("web"), 2);
}

#[test]
fn limits_reserve_nothing() {
    let mut world = World::with_nodes(1).service_with("web", 3, |spec| {
        let limits = Some(Limits { memory_bytes: 100 * GIB, ..Limits::default() });
        spec.task_template.resources = Some(ResourceRequirements { limits, ..ResourceRequirements::default() });
    });
    world.settle();
    assert_eq!(world.running("web"), 3);
}

#[test]
fn a_stopping_task_still_holds_what_it_has() {
    let mut world = World::with_nodes(1).service_with("web", 1, reserve_memory(5 * GIB)).settled();
    world.image("web", "image:2");
    let text = world.step();
    assert_eq!(
        text,
        "stop web.1 on n1\nprepare web.1: no suitable node (insufficient resources on 1 node)\nservice web: update in progress\n"
    );
    world.agents_work();
    assert_eq!(world.step(), "assign web.1 to n1 and start it\n");
}

#[test]
fn constraints_must_all_hold() {
    let mut world = World::with_nodes(3).service_with("web", 2, constrain(&["node.labels.zone == east", "node.hostname != n1"]));
    world.label("n1", "zone", "east");
    world.label("n3", "zone", "East");
    world.settle();
    assert_eq!(world.spread("web"), [0, 0, 2]);
    let mut world = world.service_with("none", 1, constrain(&["node.role==manager"]));
    assert_eq!(reason(&mut world), "no suitable node (scheduling constraints not satisfied on 3 nodes)");
}

#[test]
fn nodes_are_charged_to_the_first_filter_that_fails_and_reasons_come_most_frequent_first() {
    let mut world = World::with_nodes(4).service_with("web", 1, |spec| {
        constrain(&["node.labels.zone==east"])(spec);
        reserve_memory(9 * GIB)(spec);
    });
    for node in ["n1", "n2"] {
        world.edit_node(node, |n| n.api.description.resources.memory_bytes = 16 * GIB);
    }
    world.drain("n4");
    assert_eq!(
        reason(&mut world),
        "no suitable node (scheduling constraints not satisfied on 2 nodes; 1 node not available for new tasks; insufficient resources on 1 node)"
    );
}

#[test]
fn a_fixed_host_port_is_given_once_per_node_and_protocol() {
    let world = World::with_nodes(2).service_with("web", 3, host_port(80)).settled();
    assert_eq!(world.spread("web"), [1, 1]);
    assert_eq!(world.newest("web.3").status.err, "no suitable node (host-mode port already in use on 2 nodes)");
    let mut world = world
        .service_with("dns", 2, |spec| {
            host_port(80)(spec);
            spec.endpoint_spec.get_or_insert_default().ports[0].protocol = PortProtocol::Udp;
        })
        .service_with("any", 4, host_port(0))
        .settled();
    assert_eq!((world.running("dns"), world.running("any")), (2, 4));
    world.report("web.1", TaskState::Failed);
    world.settle();
    assert_eq!(world.spread("web"), [1, 1]);
}

#[test]
fn no_more_than_max_replicas_per_node() {
    let mut world = World::with_nodes(2).service_with("web", 5, |spec| {
        spec.task_template.placement.get_or_insert_default().max_replicas = 2;
    });
    world.settle();
    assert_eq!(world.spread("web"), [2, 2]);
    assert_eq!(world.newest("web.5").status.err, "no suitable node (max replicas per node limit exceed)");
}

#[test]
fn the_platform_must_be_one_of_the_images() {
    let platform = |architecture: &str| Platform { os: "linux".into(), architecture: architecture.into() };
    let mut world = World::with_nodes(2).service_with("web", 2, |spec| {
        spec.task_template.placement.get_or_insert_default().platforms = vec![platform("arm64")];
    });
    assert_eq!(reason(&mut world), "no suitable node (unsupported platform on 2 nodes)");
    world.edit_node("n2", |n| n.api.description.platform = platform("aarch64"));
    world.settle();
    assert_eq!(world.spread("web"), [0, 2]);
}

#[test]
fn plugins_must_be_there() {
    let plugin = |kind: &str, name: &str| PluginDescription { kind: kind.into(), name: name.into() };
    let mut world = World::with_nodes(2).service_with("web", 1, |spec| {
        let driver_config = Some(Driver { name: "nfs".into(), ..Driver::default() });
        let volume_options = Some(VolumeOptions { driver_config, ..VolumeOptions::default() });
        let mount = Mount { target: "/data".into(), volume_options, ..Mount::default() };
        spec.task_template.container_spec.get_or_insert_default().mounts.push(mount);
        spec.task_template.log_driver = Some(Driver { name: "fluentd".into(), ..Driver::default() });
    });
    assert_eq!(reason(&mut world), "no suitable node (missing plugin on 2 nodes)");
    // Listing log drivers without this one rules the node out; listing none does not.
    world.edit_node("n1", |n| n.api.description.engine.plugins = vec![plugin("Volume", "nfs"), plugin("Log", "json-file")]);
    assert_eq!(reason(&mut world), "no suitable node (missing plugin on 2 nodes)");
    world.edit_node("n2", |n| n.api.description.engine.plugins = vec![plugin("Volume", "nfs:latest")]);
    world.settle();
    assert_eq!(world.spread("web"), [0, 1]);
}

#[test]
fn generic_resources_are_handed_out() {
    let gpu = |value: &str| GenericResource::Named { kind: "GPU".into(), value: value.into() };
    let mut world = World::with_nodes(2);
    world.edit_node("n1", |n| n.api.description.resources.generic_resources = vec![gpu("a"), gpu("b"), gpu("c")]);
    let mut world = world
        .service_with("train", 2, |spec| {
            let generic_resources = vec![GenericResource::Discrete { kind: "GPU".into(), value: 2 }];
            let reservations = Some(Resources { generic_resources, ..Resources::default() });
            spec.task_template.resources = Some(ResourceRequirements { reservations, ..ResourceRequirements::default() });
        })
        .settled();
    assert_eq!(world.newest("train.1").generic_resources, [gpu("a"), gpu("b")]);
    assert_eq!(world.newest("train.2").status.err, "no suitable node (insufficient resources on 2 nodes)");
    world.report("train.1", TaskState::Failed);
    world.step();
    // What an ended task gives back is there for the next, lower slots first.
    assert_eq!(world.newest("train.1").generic_resources, [gpu("a"), gpu("b")]);
    world.scale("train", 1);
    world.settle_for(6);
    world.scale("train", 2);
    world.edit_node("n2", |n| {
        n.api.description.resources.generic_resources = vec![GenericResource::Discrete { kind: "GPU".into(), value: 2 }]
    });
    world.settle();
    assert_eq!(world.newest("train.2").generic_resources, [GenericResource::Discrete { kind: "GPU".into(), value: 2 }]);
}

#[test]
fn few_tasks_of_the_service_count_before_few_tasks_in_all() {
    let mut world = World::with_nodes(3).service_with("big", 6, constrain(&["node.hostname!=n3"])).settled();
    world = world.service("web", 1).settled();
    assert_eq!(world.spread("web"), [0, 0, 1]);
    world.scale("web", 3);
    world.settle();
    assert_eq!(world.spread("web"), [1, 1, 1]);
    world.scale("web", 4);
    world.settle();
    assert_eq!(world.spread("web"), [1, 1, 2]);
}

fn spread_over(labels: &[&str]) -> impl FnOnce(&mut ServiceSpec) {
    let preferences =
        labels.iter().map(|label| PlacementPreference { spread: Some(SpreadOver { spread_descriptor: (*label).to_owned() }) });
    let preferences = preferences.collect();
    move |spec| spec.task_template.placement.get_or_insert_default().preferences = preferences
}

#[test]
fn preferences_share_tasks_out_over_label_values_first() {
    // One node in the west, three in the east, one without a zone.
    let mut world = World::with_nodes(5);
    for (node, zone) in [("n1", "west"), ("n2", "east"), ("n3", "east"), ("n4", "east")] {
        world.label(node, "zone", zone);
    }
    let mut world = world.service_with("web", 9, spread_over(&["node.labels.zone"])).settled();
    assert_eq!(world.spread("web"), [3, 1, 1, 1, 3]);
    // What a branch cannot take goes to the others.
    world.availability("n1", Availability::Pause);
    world.scale("web", 15);
    world.settle();
    assert_eq!(world.spread("web"), [3, 2, 2, 2, 6]);
}

#[test]
fn preferences_nest_in_the_order_given() {
    let mut world = World::with_nodes(6);
    for (node, zone, rack) in [("n1", "a", "1"), ("n2", "a", "1"), ("n3", "a", "2"), ("n4", "b", "1"), ("n5", "b", "1"), ("n6", "b", "1")] {
        world.label(node, "zone", zone);
        world.label(node, "rack", rack);
    }
    let world = world.service_with("web", 12, spread_over(&["node.labels.zone", "node.labels.rack"])).settled();
    assert_eq!(world.spread("web"), [2, 1, 3, 2, 2, 2]);
}

#[test]
fn a_full_branch_passes_its_share_on() {
    let mut world = World::with_nodes(2);
    world.label("n1", "zone", "a");
    world.label("n2", "zone", "b");
    let world = world
        .service_with("web", 6, |spec| {
            spread_over(&["node.labels.zone"])(spec);
            reserve_memory(GIB)(spec);
        })
        .service_with("small", 1, reserve_memory(GIB));
    let mut world = world;
    world.edit_node("n1", |n| n.api.description.resources.memory_bytes = 2 * GIB);
    world.settle();
    assert_eq!(world.spread("web"), [2, 4]);
}
