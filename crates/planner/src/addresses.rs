//! Addresses of tasks and services on cluster networks, and ports of the routing mesh that nobody chose.
//!
//! An address is given at a task's birth, together with its node or before, and is free again only when the task has ended
//! or the service is gone. The search for a free one begins behind the address given last, which the network remembers, so
//! that a freed one is used again late. No address is spent on a node.

use crate::draft::Pass;
use ipnet::IpNet;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};
use swarm_state::{Attachment, Change, Network, Node, Object, State};
use swarm_types::{
    Endpoint, EndpointMode, NetworkId, NodeId, PortConfig, PortProtocol, PublishMode, ServiceId, ServiceSpec, SharedSpec, Subnet, TaskSpec,
    VirtualIp, validate::PortInUse,
};

/// Ports of the routing mesh that are chosen where none was named: Docker's range.
const DYNAMIC_PORTS: std::ops::RangeInclusive<u32> = 30_000..=32_767;
/// Addresses looked at for one free one, at most; a larger subnet that is fuller than this holds no cluster we can serve.
const ADDRESSES_TRIED_MAX: u128 = 1 << 20;

/// What this pass has given out, on top of what the state says.
#[derive(Debug, Default)]
pub(crate) struct Given {
    addresses: BTreeSet<(NetworkId, IpAddr)>,
    ports: BTreeSet<(PortProtocol, u32)>,
    cursors: BTreeMap<NetworkId, Vec<IpAddr>>,
    /// Networks without a free address, and how to say so.
    full: BTreeMap<NetworkId, String>,
}

/// The cluster networks that a task of this template is on, in the template's order, the ingress network last. `None` if one
/// of them does not exist.
pub(crate) fn networks_of(state: &State, spec: &SharedSpec) -> Result<Vec<NetworkId>, String> {
    let ports = spec.endpoint.as_ref().map_or(&[][..], |e| &e.ports);
    wanted(state, &spec.template, ports)
}

fn wanted(state: &State, template: &TaskSpec, ports: &[PortConfig]) -> Result<Vec<NetworkId>, String> {
    let mut networks = Vec::new();
    // Names that are no ids mean the engine's own networks.
    for id in template.networks.iter().filter_map(|n| NetworkId::parse(&n.target).ok()) {
        if state.live_network(id).is_none() {
            return Err(format!("network {id} not found"));
        }
        if !networks.contains(&id) {
            networks.push(id);
        }
    }
    if ports.iter().any(is_mesh_port) {
        let ingress = state.ingress().ok_or("service needs ingress network, but no ingress network is present")?;
        networks.push(ingress.id);
    }
    Ok(networks)
}

/// Whether a service publishes ports over the routing mesh.
pub(crate) fn is_meshed(spec: &ServiceSpec) -> bool {
    spec.endpoint_spec.as_ref().is_some_and(|e| e.ports.iter().any(is_mesh_port))
}

fn is_mesh_port(port: &PortConfig) -> bool {
    port.publish_mode == PublishMode::Ingress
}

/// Gives the service the virtual addresses and ports that it lacks, and takes those that it does not need any more.
///
/// # Errors
/// Why one could not be given. What could be is given.
pub(crate) fn settle_service(pass: &mut Pass<'_>, id: ServiceId) -> Result<(), String> {
    let Some(service) = pass.service(id).cloned() else { return Ok(()) };
    let spec: &ServiceSpec = &service.current.spec;
    let mode = spec.endpoint_spec.as_ref().and_then(|e| e.mode).unwrap_or_default();
    let asked = spec.endpoint_spec.as_ref().map_or(&[][..], |e| &e.ports);
    let networks = match mode {
        EndpointMode::Vip => wanted(pass.state, &spec.task_template, asked)?,
        EndpointMode::Dnsrr => Vec::new(),
    };
    let mut endpoint = service.endpoint.clone();
    let mut refused = Ok(());
    endpoint.virtual_ips.retain(|vip| NetworkId::parse(&vip.network_id).is_ok_and(|id| networks.contains(&id)));
    for network in networks {
        if endpoint.virtual_ips.iter().any(|vip| vip.network_id == network.as_str()) {
            continue;
        }
        match give(pass, network) {
            Ok(addresses) => {
                let first = addresses.first().map(ToString::to_string).unwrap_or_default();
                endpoint.virtual_ips.push(VirtualIp { network_id: network.to_string(), addr: first });
            }
            Err(reason) => refused = Err(reason),
        }
    }
    // A service that went back to an older spec by itself may have lost a port meanwhile, and may get it back.
    for port in asked.iter().filter(|p| is_mesh_port(p) && p.published_port != 0) {
        let place = (port.protocol, port.published_port);
        if endpoint.ports.iter().any(|have| is_mesh_port(have) && (have.protocol, have.published_port) == place) {
            continue;
        }
        match pass.state.port_holder(place.0, place.1).filter(|holder| *holder != id) {
            Some(holder) => refused = Err(port_taken(pass.state, port, holder)),
            None if pass.given.ports.insert(place) => endpoint.ports.push(port.clone()),
            None => {}
        }
    }
    for port in endpoint.ports.iter_mut().filter(|p| p.publish_mode == PublishMode::Ingress && p.published_port == 0) {
        let (state, given) = (pass.state, &mut pass.given);
        let free = |number: &u32| state.port_holder(port.protocol, *number).is_none() && !given.ports.contains(&(port.protocol, *number));
        match DYNAMIC_PORTS.clone().find(free) {
            Some(number) => {
                given.ports.insert((port.protocol, number));
                port.published_port = number;
            }
            None => refused = Err("no port of the routing mesh is free".to_owned()),
        }
    }
    if endpoint != service.endpoint {
        pass.edit_service(id, |service| service.endpoint = endpoint);
    }
    refused
}

/// Takes ports out of the service's endpoint that another one got while it did not have them.
pub(crate) fn drop_taken_ports(state: &State, id: ServiceId, endpoint: &mut Endpoint) {
    let is_taken = |p: &PortConfig| state.port_holder(p.protocol, p.published_port).is_some_and(|holder| holder != id);
    endpoint.ports.retain(|p| !is_mesh_port(p) || p.published_port == 0 || !is_taken(p));
}

/// What the API would have said.
fn port_taken(state: &State, port: &PortConfig, holder: ServiceId) -> String {
    let name = state.service(holder).map(|s| s.current.spec.name.clone()).unwrap_or_default();
    PortInUse { port: port.published_port, mode: PublishMode::Ingress, name, id: holder }.to_string()
}

/// How many addresses of one kind a network has, the gateway and those that are never given left out, and how many are free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// For tasks and services.
    pub all: u128,
    /// Of those.
    pub free: u128,
}

impl Room {
    /// The IPv4 addresses of a network: the kind that runs out.
    #[must_use]
    pub fn of(state: &State, network: &Network) -> Self {
        let subnets = network.subnets.iter().filter(|s| s.subnet.addr().is_ipv4());
        let all = subnets.map(|s| {
            let (first, last) = bounds(s);
            let kept: BTreeSet<u128> = std::iter::once(&s.gateway).chain(s.reserved.values()).map(|a| number(*a)).collect();
            capacity(s).saturating_sub(kept.range(first..=last.max(first)).count() as u128)
        });
        let all = all.sum();
        let held = state.addresses_of(network.id).take_while(|(address, _)| address.is_ipv4()).count() as u128;
        Self { all, free: all.saturating_sub(held) }
    }
}

/// The addresses of a new task of this template; those it has already are kept.
///
/// # Errors
/// Why one could not be given; nothing is given then that another task would miss.
pub(crate) fn attach(pass: &mut Pass<'_>, spec: &SharedSpec, held: &[Attachment]) -> Result<Vec<Attachment>, String> {
    let mut attachments = Vec::new();
    for network in networks_of(pass.state, spec)? {
        match held.iter().find(|a| a.network == network) {
            Some(attachment) => attachments.push(attachment.clone()),
            None => attachments.push(Attachment { network, addresses: give(pass, network)? }),
        }
    }
    Ok(attachments)
}

/// One free address of each kind that the network has.
fn give(pass: &mut Pass<'_>, id: NetworkId) -> Result<Vec<IpNet>, String> {
    if let Some(reason) = pass.given.full.get(&id) {
        return Err(reason.clone());
    }
    let network = pass.state.network(id).cloned().ok_or_else(|| format!("network {id} not found"))?;
    let mut cursors = pass.given.cursors.get(&id).cloned().unwrap_or_else(|| cursors_of(&network));
    let mut addresses = Vec::new();
    for is_v4 in [true, false] {
        let mut of_kind = network.subnets.iter().enumerate().filter(|(_, s)| s.subnet.addr().is_ipv4() == is_v4).peekable();
        if of_kind.peek().is_none() {
            continue;
        }
        let found = of_kind.find_map(|(index, subnet)| {
            let free = |address: IpAddr| pass.state.address_holder(id, address).is_none() && !pass.given.addresses.contains(&(id, address));
            next_free(subnet, cursors[index], free).map(|address| (index, address))
        });
        let Some((index, address)) = found else {
            let reason = exhausted(&network, is_v4);
            pass.given.full.insert(id, reason.clone());
            return Err(reason);
        };
        cursors[index] = address;
        addresses.push(IpNet::new(address, network.subnets[index].subnet.prefix_len()).expect("the length is that of a subnet"));
    }
    pass.given.addresses.extend(addresses.iter().map(|net| (id, net.addr())));
    pass.given.cursors.insert(id, cursors);
    Ok(addresses)
}

/// Addresses for a container that attaches by itself: those asked for, and where none of a kind was, the next free one.
///
/// # Errors
/// Why one cannot be had.
pub(crate) fn choose(state: &State, network: &Network, asked: &[IpAddr]) -> Result<Vec<IpNet>, String> {
    let cursors = cursors_of(network);
    let free = |address: IpAddr| state.address_holder(network.id, address).is_none();
    let mut addresses = Vec::new();
    for is_v4 in [true, false] {
        let of_kind: Vec<(usize, &Subnet)> =
            network.subnets.iter().enumerate().filter(|(_, s)| s.subnet.addr().is_ipv4() == is_v4).collect();
        if of_kind.is_empty() {
            continue;
        }
        let found = match asked.iter().find(|a| a.is_ipv4() == is_v4) {
            Some(address) => {
                let subnet = of_kind.iter().map(|(_, s)| *s).find(|s| s.subnet.contains(address) && s.gateway != *address);
                let subnet = subnet.ok_or_else(|| format!("address {address} is none of network {}", network.spec.name))?;
                if !free(*address) {
                    return Err("Address already in use".to_owned());
                }
                Some((subnet, *address))
            }
            None => of_kind.iter().find_map(|(index, subnet)| next_free(subnet, cursors[*index], free).map(|address| (*subnet, address))),
        };
        let (subnet, address) = found.ok_or_else(|| exhausted(network, is_v4))?;
        addresses.push(IpNet::new(address, subnet.subnet.prefix_len()).expect("the length is that of a subnet"));
    }
    match asked.iter().find(|a| !addresses.iter().any(|net| net.addr() == **a)) {
        Some(other) => Err(format!("address {other} is none of network {}", network.spec.name)),
        None => Ok(addresses),
    }
}

/// What the networks of which this pass gave addresses have to remember.
pub(crate) fn remember(state: &State, given: &Given) -> Vec<Change> {
    let moved = given.cursors.iter().filter_map(|(id, cursors)| {
        let network = state.network(*id).filter(|n| n.cursors != *cursors)?;
        Some(Change::update(Object::Network(Arc::new(Network { cursors: cursors.clone(), ..(**network).clone() }))))
    });
    moved.collect()
}

/// Gives nodes their number in the data path: the lowest that no node has. Without networks nobody needs one.
pub(crate) fn number_nodes(state: &State, unnumbered: &BTreeSet<NodeId>, changes: &mut Vec<Change>) {
    if unnumbered.is_empty() || state.networks().next().is_none() {
        return;
    }
    let taken: BTreeSet<u32> = state.nodes().map(|n| n.data_path_index).collect();
    let mut free = (1..).filter(|index| !taken.contains(index));
    for (node, index) in unnumbered.iter().filter_map(|id| state.node(*id)).zip(&mut free) {
        changes.push(Change::update(Object::Node(Arc::new(Node { data_path_index: index, ..(**node).clone() }))));
    }
}

fn cursors_of(network: &Network) -> Vec<IpAddr> {
    if network.cursors.len() == network.subnets.len() {
        network.cursors.clone()
    } else {
        network.subnets.iter().map(|s| s.subnet.network()).collect()
    }
}

fn exhausted(network: &Network, is_v4: bool) -> String {
    let of_kind = network.subnets.iter().filter(|s| s.subnet.addr().is_ipv4() == is_v4);
    let all: u128 = of_kind.map(capacity).sum();
    format!("network {}: 0 of {all} addresses free", network.spec.name)
}

/// How many addresses a subnet has for its gateway, tasks and services.
fn capacity(subnet: &Subnet) -> u128 {
    let (first, last) = bounds(subnet);
    last.saturating_sub(first).saturating_add(1)
}

/// The first and the last address that may be given, as numbers.
fn bounds(subnet: &Subnet) -> (u128, u128) {
    let all = subnet.subnet;
    let (low, high) = (number(all.network()), number(all.broadcast()));
    // The ends of a subnet with room mean all of it.
    let (low, high) = if high - low >= 2 { (low + 1, high - 1) } else { (low, high) };
    match subnet.range {
        Some(range) => (low.max(number(range.network())), high.min(number(range.broadcast()))),
        None => (low, high),
    }
}

/// The first free address behind `cursor`, going round once.
fn next_free(subnet: &Subnet, cursor: IpAddr, free: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
    let (first, last) = bounds(subnet);
    if first > last {
        return None;
    }
    let count = last - first + 1;
    let cursor = number(cursor);
    let start = if (first..last).contains(&cursor) { cursor + 1 } else { first };
    let is_v4 = subnet.subnet.addr().is_ipv4();
    let is_reserved = |address: &IpAddr| *address == subnet.gateway || subnet.reserved.values().any(|r| r == address);
    let round = (0..count.min(ADDRESSES_TRIED_MAX)).map(|step| first + (start - first + step) % count);
    round.map(|n| address(n, is_v4)).find(|a| !is_reserved(a) && free(*a))
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

fn address(number: u128, is_v4: bool) -> IpAddr {
    match u32::try_from(number) {
        Ok(v4) if is_v4 => IpAddr::V4(Ipv4Addr::from(v4)),
        _ => IpAddr::V6(Ipv6Addr::from(number)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(cidr: &str, gateway: &str) -> Subnet {
        Subnet {
            subnet: cidr.parse().expect("a subnet"),
            gateway: gateway.parse().expect("an address"),
            range: None,
            reserved: BTreeMap::new(),
        }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn addresses_are_given_in_turn_and_freed_ones_come_last() {
        let net = subnet("10.0.1.0/29", "10.0.1.1");
        let mut held = BTreeSet::new();
        let mut cursor = ip("10.0.1.0");
        for last in 2..=6 {
            cursor = next_free(&net, cursor, |a| !held.contains(&a)).expect("is free");
            assert_eq!(cursor, ip(&format!("10.0.1.{last}")));
            held.insert(cursor);
        }
        assert_eq!(next_free(&net, cursor, |a| !held.contains(&a)), None);
        held.remove(&ip("10.0.1.2"));
        held.remove(&ip("10.0.1.5"));
        assert_eq!(next_free(&net, ip("10.0.1.4"), |a| !held.contains(&a)), Some(ip("10.0.1.5")));
        assert_eq!(next_free(&net, ip("10.0.1.6"), |a| !held.contains(&a)), Some(ip("10.0.1.2")));
    }

    #[test]
    fn what_is_never_given_is_no_room() {
        let mut net = subnet("10.0.1.0/29", "10.0.1.1");
        net.reserved.insert("router".into(), ip("10.0.1.6"));
        let network = Network {
            id: NetworkId::from_random([1; 16]),
            version: swarm_types::Version::default(),
            created_at: swarm_types::Timestamp::default(),
            spec: swarm_types::NetworkSpec::default(),
            subnets: vec![net],
            vni: 4096,
            cursors: vec![],
            removed_at: None,
        };
        assert_eq!(Room::of(&State::default(), &network), Room { all: 4, free: 4 });
    }

    #[test]
    fn ranges_and_reserved_addresses_are_kept() {
        let mut net = subnet("fd00:1::/64", "fd00:1::1");
        net.range = Some("fd00:1::10/126".parse().expect("a subnet"));
        net.reserved.insert("router".into(), ip("fd00:1::11"));
        let given: Vec<_> =
            std::iter::successors(next_free(&net, ip("fd00:1::"), |_| true), |last| next_free(&net, *last, |_| true)).take(3).collect();
        assert_eq!(given, [ip("fd00:1::10"), ip("fd00:1::12"), ip("fd00:1::13")]);
        assert_eq!(capacity(&net), 4);
    }
}
