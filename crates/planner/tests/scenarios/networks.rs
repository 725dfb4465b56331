//! Addresses: given at birth, never twice, free again when a task has ended.

use crate::world::World;
use std::{collections::BTreeSet, net::IpAddr, sync::Arc};
use swarm_state::{Change, Network, Object, Table};
use swarm_types::{
    Actor, EndpointSpec, FailureAction, NetworkAttachmentConfig, NetworkId, NetworkSpec, PortConfig, ServiceSpec, Subnet, TaskState,
    UpdateConfig,
};

fn network(world: &mut World, cidr: &str, gateway: &str) -> NetworkId {
    let id = NetworkId::from_random([7; 16]);
    let subnet = Subnet {
        subnet: cidr.parse().expect("a subnet"),
        gateway: gateway.parse().expect("an address"),
        range: None,
        reserved: std::collections::BTreeMap::new(),
    };
    let network = Network {
        id,
        version: swarm_types::Version::default(),
        created_at: world.now,
        spec: NetworkSpec { name: "blue".into(), ..NetworkSpec::default() },
        subnets: vec![subnet],
        vni: 4096,
        cursors: vec![],
        removed_at: None,
    };
    world.commit(Actor::Operator, vec![Change::create(Object::Network(Arc::new(network)))]);
    id
}

fn on(network: NetworkId) -> impl FnOnce(&mut ServiceSpec) {
    move |spec| {
        spec.task_template.networks = vec![NetworkAttachmentConfig { target: network.to_string(), ..NetworkAttachmentConfig::default() }];
    }
}

/// The addresses in use, checked to be those of the live tasks and the services, each once.
fn in_use(world: &World, network: NetworkId) -> usize {
    let mut live: Vec<IpAddr> = Vec::new();
    for task in world.state.tasks().filter(|t| !t.status.state.is_terminal()) {
        live.extend(task.attachments.iter().flat_map(|a| &a.addresses).map(|net| net.addr()));
    }
    live.extend(world.state.services().flat_map(|s| s.virtual_addresses().map(|(_, address)| address).collect::<Vec<_>>()));
    let held: BTreeSet<IpAddr> = world.state.addresses_of(network).map(|(address, _)| address).collect();
    assert_eq!(live.len(), held.len(), "no address is held twice");
    assert_eq!(live.into_iter().collect::<BTreeSet<_>>(), held);
    held.len()
}

#[test]
fn tasks_are_born_with_an_address_and_wait_when_there_is_none() {
    let mut world = World::with_nodes(2);
    // Eight addresses: two ends, the gateway, a virtual one, four for tasks.
    let blue = network(&mut world, "10.0.1.0/29", "10.0.1.1");
    let mut world = world.service_with("web", 6, on(blue)).settled();
    assert_eq!(world.running("web"), 4);
    assert_eq!(in_use(&world, blue), 5);
    let waiting = world.newest("web.6");
    assert_eq!(waiting.status.state, TaskState::Pending);
    assert_eq!(waiting.status.err, "network blue: 0 of 6 addresses free");
    world.scale("web", 3);
    world.settle();
    assert_eq!((world.running("web"), in_use(&world, blue)), (3, 4));
    world.scale("web", 4);
    world.settle();
    assert_eq!((world.running("web"), in_use(&world, blue)), (4, 5));
    world.remove("web");
    world.settle();
    assert_eq!(in_use(&world, blue), 0);
    let numbers: BTreeSet<u32> = world.state.nodes().map(|n| n.data_path_index).collect();
    assert_eq!(numbers, BTreeSet::from([1, 2]));
}

#[test]
fn churn_loses_no_address_and_gives_none_twice() {
    let mut world = World::with_nodes(3);
    let blue = network(&mut world, "10.0.1.0/24", "10.0.1.1");
    let mut world = world.service_with("web", 5, on(blue)).service_with("db", 3, on(blue)).settled();
    for round in 0..30 {
        world.image("web", &format!("image:{round}"));
        world.scale("db", round % 6);
        world.step();
        in_use(&world, blue);
        world.settle();
        assert_eq!(in_use(&world, blue), 2 + 5 + usize::try_from(round % 6).expect("small"));
    }
    world.down("n1");
    world.settle();
    in_use(&world, blue);
    world.remove("web");
    world.remove("db");
    world.settle_for(120);
    let left = in_use(&world, blue);
    let waiting = world.state.tasks().filter(|t| !t.status.state.is_terminal()).count();
    assert_eq!(left, waiting, "only tasks on the lost node keep theirs");
}

fn meshed(port: u32) -> EndpointSpec {
    let port = PortConfig { target_port: 80, published_port: port, ..PortConfig::default() };
    EndpointSpec { mode: None, ports: vec![port] }
}

/// A world with a routing mesh.
fn with_ingress(nodes: usize) -> World {
    let mut world = World::with_nodes(nodes);
    let id = network(&mut world, "10.0.0.0/24", "10.0.0.1");
    let mut ingress = (**world.state.network(id).expect("is stored")).clone();
    ingress.spec.ingress = true;
    world.commit(Actor::Operator, vec![Change::update(Object::Network(Arc::new(ingress)))]);
    world
}

#[test]
fn ports_that_nobody_chose_come_from_the_range_and_stay() {
    let mut world = with_ingress(2).service_with("web", 1, |s| s.endpoint_spec = Some(meshed(0)));
    world.update("web", |_| ());
    let mut world = world.service_with("db", 1, |s| s.endpoint_spec = Some(meshed(0))).settled();
    let port = |world: &World, name: &str| world.get(name).endpoint.ports[0].published_port;
    let ports = BTreeSet::from([port(&world, "web"), port(&world, "db")]);
    assert_eq!(ports, BTreeSet::from([30_000, 30_001]));
    let before = port(&world, "web");
    world.image("web", "image:2");
    world.settle_for(10);
    assert_eq!(port(&world, "web"), before);
}

#[test]
fn going_back_by_itself_to_a_port_that_another_has_waits_for_it() {
    let on_failure = |spec: &mut ServiceSpec| {
        spec.endpoint_spec = Some(meshed(8080));
        spec.update_config =
            Some(UpdateConfig { parallelism: 1, failure_action: Some(FailureAction::Rollback), ..UpdateConfig::default() });
    };
    let mut world = with_ingress(2).service_with("web", 1, on_failure).settled();
    world.update("web", |spec| {
        spec.endpoint_spec = Some(meshed(9090));
        spec.task_template.force_update = 1;
    });
    world.step();
    let mut world = world.service_with("other", 1, |s| s.endpoint_spec = Some(meshed(8080)));
    world.settle();
    world.report("web.1", TaskState::Failed);
    world.settle();
    assert!(world.update_status("web").starts_with("rollback_started"), "{}", world.update_status("web"));
    assert_eq!((world.running("other"), world.running("web")), (1, 0));
    let waits = world.newest("web.1");
    let other = world.get("other").id;
    assert_eq!(waits.status.err, format!("port '8080' is already in use by service 'other' ({other}) as an ingress port"));
    world.remove("other");
    world.settle_for(5);
    assert_eq!((world.running("web"), world.get("web").endpoint.ports[0].published_port), (1, 8080));
}

#[test]
fn a_removed_network_is_kept_until_its_tasks_are_gone_and_some_time_more() {
    let mut world = World::with_nodes(1);
    let blue = network(&mut world, "10.0.1.0/24", "10.0.1.1");
    let mut world = world.service_with("web", 2, on(blue)).settled();
    let removal = |world: &World| swarm_planner::remove_network(&world.state, world.state.network(blue).expect("is there"), world.now);
    assert!(matches!(removal(&world), Err(swarm_planner::NetworkInUse::Service(..))));
    world.remove("web");
    world.step();
    let (_, changes) = removal(&world).expect("only tasks that stop are on it");
    world.commit(Actor::Operator, changes);
    assert!(world.state.live_network(blue).is_none() && world.state.network_named("blue").is_none());
    assert!(in_use(&world, blue) > 0, "tasks that stop keep their addresses");
    world.settle();
    assert_eq!(in_use(&world, blue), 0);
    assert!(world.state.network(blue).is_some());
    world.settle_for(61);
    assert!(world.state.network(blue).is_none());
}

#[test]
fn giving_addresses_is_no_change_of_the_network() {
    let mut world = World::with_nodes(1);
    let blue = network(&mut world, "10.0.1.0/24", "10.0.1.1");
    let (version, changed) = (world.state.network(blue).map(|n| n.version), world.state.changed(Table::Networks));
    let world = world.service_with("web", 3, on(blue)).settled();
    let after = world.state.network(blue).expect("is there");
    assert!(!after.cursors.is_empty());
    assert_eq!((Some(after.version), world.state.changed(Table::Networks)), (version, changed));
}
