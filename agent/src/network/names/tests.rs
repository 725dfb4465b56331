use super::*;
use swarm_session::{Generation, NetworkEndpoint, NetworkService, NodeNetwork};
use swarm_types::{EndpointMode, Subnet};

fn node(n: u8) -> NodeId {
    NodeId::from_random([n; 16])
}

fn task(n: u8) -> TaskId {
    TaskId::from_random([n; 16])
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// A network with so many tasks of one service, the first on node 1 and the others on node 2; the last is not in service.
fn table(number: u8, name: &str, count: u8, edit: impl FnOnce(&mut NetworkTable)) -> NetworkTable {
    let (id, service) = (NetworkId::from_random([100 + number; 16]), ServiceId::from_random([200 + number; 16]));
    let endpoint = |n: u8| NetworkEndpoint {
        network: id,
        task: task(n),
        addresses: vec![address(&format!("10.0.{number}.{}", n + 10))],
        node: node(if n == 1 { 1 } else { 2 }),
        service: Some(service),
        service_name: "web".into(),
        name: format!("web.{n}.x"),
        aliases: vec!["www".into()],
        in_service: n < count,
    };
    let subnet = Subnet {
        subnet: format!("10.0.{number}.0/24").parse().expect("a subnet"),
        gateway: address("10.0.1.1"),
        range: None,
        reserved: BTreeMap::new(),
    };
    let network = NodeNetwork {
        id,
        name: name.into(),
        subnets: vec![subnet],
        vni: 4097,
        mtu: None,
        internal: false,
        ingress: false,
        attachable: false,
        encrypted: false,
        options: BTreeMap::new(),
    };
    let of_service = NetworkService {
        network: id,
        service,
        name: "web".into(),
        aliases: vec!["www".into()],
        mode: EndpointMode::Dnsrr,
        vips: vec![],
        ports: vec![],
    };
    let endpoints = (1..=count).map(endpoint).map(|endpoint| (endpoint.task, endpoint)).collect();
    let mut table = NetworkTable { network, endpoints, services: BTreeMap::from([(service, of_service)]) };
    edit(&mut table);
    table
}

fn member(tables: Vec<NetworkTable>, name_servers: &[(u8, &str)]) -> Member {
    let tables = tables.into_iter().map(|table| (table.network.id, Arc::new(table))).collect();
    Member {
        node: node(1),
        generation: Generation(1),
        view: NetworkView { tables, ..NetworkView::default() },
        name_servers: name_servers.iter().map(|(n, server)| (task(*n), vec![address(server)])).collect(),
    }
}

fn made(member: &Member) -> Tables {
    let mut zones = Zones::new();
    renew(&mut zones, &member.view);
    tables(member, &zones)
}

/// The only client on a network.
fn client(tables: &Tables, number: u8) -> Client {
    let clients = &tables.clients[&NetworkId::from_random([100 + number; 16]).to_string()];
    let [client] = clients.values().collect::<Vec<_>>()[..] else { panic!("one task is on this node, not {clients:?}") };
    client.as_ref().clone()
}

#[test]
fn names_are_those_of_the_table_and_only_tasks_of_this_node_ask() {
    let tables = made(&member(vec![table(1, "net", 3, |_| ())], &[]));
    let [zone] = tables.zones.values().collect::<Vec<_>>()[..] else { panic!("one zone") };
    let entries: Vec<_> = zone.entries().into_iter().map(|(name, addresses)| (name, addresses.len())).collect();
    let expected = [("tasks.web", 2), ("tasks.www", 2), ("web", 2), ("web.1.x", 1), ("web.2.x", 1), ("web.3.x", 0), ("www", 2)];
    assert_eq!(entries, expected.map(|(name, count)| (name.to_owned(), count)));
    let clients: Vec<_> = tables.clients.values().flat_map(HashMap::keys).collect();
    assert_eq!(clients, [&address("10.0.1.11")]);
}

#[test]
fn a_virtual_address_stands_for_its_tasks() {
    let with_vip = |table: &mut NetworkTable| {
        table.services.values_mut().for_each(|service| {
            service.mode = EndpointMode::Vip;
            service.vips = vec![address("10.0.1.2")];
        });
    };
    let tables = made(&member(vec![table(1, "net", 3, with_vip)], &[]));
    let entries: BTreeMap<_, _> = tables.zones.values().flat_map(|zone| zone.entries()).collect();
    assert_eq!(entries["web"], [address("10.0.1.2")]);
    assert_eq!(entries["tasks.web"].len(), 2);
}

#[test]
fn names_are_looked_for_on_the_ingress_network_last() {
    let ingress = table(1, "a", 2, |table| table.network.ingress = true);
    let (second, third) = (table(2, "c", 2, |_| ()), table(3, "b", 2, |_| ()));
    let order = [&third, &second, &ingress].map(|table| table.network.id.to_string());
    let tables = made(&member(vec![ingress, second, third], &[]));
    assert_eq!(client(&tables, 2).networks, order);
    assert_eq!(client(&tables, 1), client(&tables, 3));
}

#[test]
fn other_questions_go_where_the_template_says_and_nowhere_from_inside() {
    let internal = |table: &mut NetworkTable| table.network.internal = true;
    let forward = |tables, servers: &[(u8, &str)]| client(&made(&member(tables, servers)), 1).forward;
    let given = Forward::Servers(vec!["192.0.2.1:53".parse().expect("an address")]);
    assert_eq!(forward(vec![table(1, "net", 2, |_| ())], &[]), Forward::Host);
    assert_eq!(forward(vec![table(1, "net", 2, |_| ())], &[(1, "192.0.2.1")]), given);
    assert_eq!(forward(vec![table(1, "net", 2, internal)], &[]), Forward::Nowhere(false));
    assert_eq!(forward(vec![table(1, "net", 2, internal)], &[(1, "192.0.2.1")]), Forward::Nowhere(true));
    assert_eq!(forward(vec![table(1, "net", 2, internal), table(2, "out", 2, |_| ())], &[]), Forward::Host);
}

#[test]
fn what_is_told_is_answered_and_zones_of_unchanged_tables_are_kept() {
    let names = Names::new(Prefix::of("names"), PathBuf::from("/nonexistent"));
    let (teller, told) = watch::channel(Told::Unknown);
    names.publish(&told);
    assert!(names.server().tables().zones.is_empty());
    let mut member = member(vec![table(1, "one", 2, |_| ()), table(2, "two", 2, |_| ())], &[]);
    teller.send_replace(Told::Member(member.clone()));
    names.publish(&told);
    let before = names.server().tables();
    let changed = table(1, "one", 3, |_| ());
    let (id, kept) = (changed.network.id, NetworkId::from_random([102; 16]).to_string());
    member.view.tables.insert(id, Arc::new(changed));
    teller.send_replace(Told::Member(member));
    names.publish(&told);
    let after = names.server().tables();
    assert!(Arc::ptr_eq(&before.zones[&kept], &after.zones[&kept]));
    assert_ne!(before.zones[&id.to_string()], after.zones[&id.to_string()]);
    teller.send_replace(Told::Outside);
    names.publish(&told);
    assert_eq!(*names.server().tables(), Tables::default());
}
