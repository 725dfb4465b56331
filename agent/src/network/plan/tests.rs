use super::*;
use std::sync::Arc;
use swarm_session::{NetworkEndpoint, NetworkService, NodeNetwork};
use swarm_types::{EndpointMode, NetworkId, PortConfig, PublishMode, TaskId};

fn node(n: u8) -> NodeId {
    NodeId::from_random([n; 16])
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// Two nodes and one network with a task on each; the task on the second is not in service.
fn view(edit: impl FnOnce(&mut NetworkTable)) -> NetworkView {
    let id = NetworkId::from_random([9; 16]);
    let service = ServiceId::from_random([8; 16]);
    let endpoint = |n: u8, in_service| NetworkEndpoint {
        network: id,
        task: TaskId::from_random([n; 16]),
        addresses: vec![address(&format!("10.0.1.{}", n + 2))],
        node: node(n),
        service: Some(service),
        service_name: "web".into(),
        name: format!("web.{n}.x"),
        aliases: vec![],
        in_service,
    };
    let mut table = NetworkTable {
        network: NodeNetwork {
            id,
            name: "net".into(),
            subnets: vec![swarm_types::Subnet {
                subnet: "10.0.1.0/24".parse().expect("a subnet"),
                gateway: address("10.0.1.1"),
                range: None,
                reserved: BTreeMap::new(),
            }],
            vni: 4097,
            mtu: None,
            internal: false,
            ingress: false,
            attachable: false,
            encrypted: false,
            options: BTreeMap::new(),
        },
        endpoints: [endpoint(1, true), endpoint(2, false)].map(|e| (e.task, e)).into(),
        services: BTreeMap::from([(
            service,
            NetworkService {
                network: id,
                service,
                name: "web".into(),
                aliases: vec![],
                mode: EndpointMode::Vip,
                vips: vec![address("10.0.1.2")],
                ports: vec![PortConfig {
                    published_port: 8080,
                    target_port: 80,
                    publish_mode: PublishMode::Ingress,
                    ..PortConfig::default()
                }],
            },
        )]),
    };
    edit(&mut table);
    let place = |n: u8| DataPathNode { node: node(n), index: n.into(), vtep: address(&format!("192.0.2.{n}")) };
    NetworkView {
        tables: BTreeMap::from([(id, Arc::new(table))]),
        nodes: Arc::new([place(1), place(2)].map(|p| (p.node, p)).into()),
        data_path_port: 0,
    }
}

fn only(plan: &Plan) -> &Network {
    plan.desired.networks.values().next().expect("a network")
}

#[test]
fn tasks_are_here_or_behind_their_node_and_only_those_in_service_get_connections() {
    let plan = plan(node(1), &view(|_| ()), 1500).expect("plans");
    let v4 = |last| Ipv4Addr::new(10, 0, 1, last);
    let network = only(&plan);
    assert_eq!((network.vni, network.mtu, network.gateway), (4097, 1450, v4(1)));
    assert_eq!(network.local, BTreeSet::from([v4(3)]));
    assert_eq!(network.remote, BTreeMap::from([(v4(4), 2)]));
    assert_eq!(network.services, BTreeMap::from([(v4(2), BTreeSet::from([v4(3)]))]));
    assert_eq!((plan.desired.node, plan.desired.data_port), (1, 4789));
    assert_eq!(plan.desired.nodes.keys().copied().collect::<Vec<_>>(), [2]);
    assert_eq!(plan.desired.mesh, None);
}

#[test]
fn the_ingress_network_publishes_ports_and_nodes_have_source_ports_of_their_own() {
    let ingress = view(|table| table.network.ingress = true);
    let mesh_of = |n| plan(node(n), &ingress, 1500).expect("plans").desired.mesh.expect("a mesh");
    let (one, two) = (mesh_of(1), mesh_of(2));
    let published = &one.ports[&(Protocol::Tcp, 8080)];
    assert_eq!((published.target, published.backends.len()), (80, 1));
    assert!(one.source_ports.1 < two.source_ports.0, "{:?} {:?}", one.source_ports, two.source_ports);
}

#[test]
fn what_cannot_be_kept_secret_is_not_carried() {
    let plan = plan(node(1), &view(|table| table.network.encrypted = true), 1500).expect("plans");
    assert!(plan.desired.networks.is_empty());
    assert_eq!(plan.refused.len(), 1);
}

#[test]
fn the_operators_mtu_wins_over_the_device() {
    let plan = plan(node(1), &view(|table| table.network.mtu = Some(1400)), 9000).expect("plans");
    assert_eq!(only(&plan).mtu, 1350);
}

#[test]
fn a_node_without_a_place_plans_nothing() {
    assert_eq!(plan(node(7), &view(|_| ()), 1500), Err(PlanError::NoPlace));
}
