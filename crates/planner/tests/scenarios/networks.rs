//! Addresses: given at birth, never twice, free again when a task has ended.

use crate::world::World;
use std::{collections::BTreeSet, net::IpAddr, sync::Arc};
use swarm_state::{Change, Network, Object};
use swarm_types::{Actor, NetworkAttachmentConfig, NetworkId, NetworkSpec, ServiceSpec, Subnet, TaskState};

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
