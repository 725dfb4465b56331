//! From what the managers said to what this node's kernel shall hold. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
};
use swarm_dataplane::{Desired, Mesh, Network, Peer, Protocol, Published, Subnet};
use swarm_session::{DataPathNode, NetworkTable, NetworkView};
use swarm_types::{NodeId, PortProtocol, ServiceId};

/// UDP port of VXLAN where the cluster names none.
const DATA_PATH_PORT: u16 = 4789;
/// Bytes that VXLAN puts before each packet: IPv4, UDP, VXLAN and Ethernet headers.
const VXLAN_BYTES: u32 = 50;
/// Smallest packet that IPv4 requires a link to take, in bytes.
const MTU_MIN: u32 = 68;
/// Source ports that the nodes of the mesh share out.
const SOURCE_PORTS: (u32, u32) = (1024, 65_536);
/// Into how many parts at most: a smaller part would hold too few connections of one client. Nodes beyond this share parts, and
/// only a client that uses one port towards two nodes of the same part can meet itself.
const SOURCE_PARTS: (u32, u32) = (8, 64);

/// Nothing can be planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum PlanError {
    /// The managers have not given this node a number yet.
    #[error("the managers have not told this node's place in the data path yet")]
    NoPlace,
    /// Its address is not IPv4.
    #[error("the data path address {0} is not IPv4, and a data path over IPv6 is not supported by this version of Swarm yet")]
    NotIpv4(IpAddr),
}

/// A plan, and what is left out of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    /// What the kernel shall hold.
    pub(super) desired: Desired,
    /// What cannot be done, by network id, for operators and for tasks that ask for it.
    pub(super) refused: BTreeMap<String, String>,
}

/// Where this node takes packets.
///
/// # Errors
/// [`PlanError`] when that is not known or no IPv4 address.
pub(super) fn place(node: NodeId, view: &NetworkView) -> Result<(u16, Ipv4Addr), PlanError> {
    let own = view.nodes.get(&node).ok_or(PlanError::NoPlace)?;
    match own.vtep {
        IpAddr::V4(vtep) => index(own).map(|index| (index, vtep)).ok_or(PlanError::NoPlace),
        other => Err(PlanError::NotIpv4(other)),
    }
}

/// What `node` shall hold. `underlay_mtu` is the largest packet that its way to the other nodes takes, in bytes.
///
/// # Errors
/// As [`place`].
pub(super) fn plan(node: NodeId, view: &NetworkView, underlay_mtu: u32) -> Result<Plan, PlanError> {
    let (own, vtep) = place(node, view)?;
    let peers = view.nodes.values().filter(|peer| peer.node != node);
    let nodes: BTreeMap<u16, Peer> = peers
        .filter_map(|peer| match peer.vtep {
            IpAddr::V4(vtep) => Some((index(peer)?, Peer { vtep })),
            IpAddr::V6(_) => None,
        })
        .collect();
    let mut networks = BTreeMap::new();
    let mut refused = BTreeMap::new();
    let mut mesh = None;
    for (id, table) in &view.tables {
        match network(node, view, table, underlay_mtu) {
            Ok(network) => {
                if table.network.ingress {
                    mesh = Some(Mesh { network: id.to_string(), ports: ports(table), source_ports: source_ports(own, view) });
                }
                networks.insert(id.to_string(), network);
            }
            Err(why) => {
                refused.insert(id.to_string(), why);
            }
        }
    }
    let data_port = u16::try_from(view.data_path_port).ok().filter(|port| *port != 0).unwrap_or(DATA_PATH_PORT);
    Ok(Plan { desired: Desired { node: own, vtep, data_port, nodes, networks, mesh }, refused })
}

fn index(node: &DataPathNode) -> Option<u16> {
    u16::try_from(node.index).ok().filter(|index| (1..=0x7fff).contains(index))
}

fn network(node: NodeId, view: &NetworkView, table: &NetworkTable, underlay_mtu: u32) -> Result<Network, String> {
    let spec = &table.network;
    let name = &spec.name;
    if spec.encrypted {
        // Never plain: a network that asks for encryption carries nothing without it.
        return Err(format!("network {name} is encrypted, which this version of Swarm does not support yet"));
    }
    let v4 = spec.subnets.iter().find_map(|subnet| match (subnet.subnet, subnet.gateway) {
        (ipnet::IpNet::V4(net), IpAddr::V4(gateway)) => Some((net, gateway)),
        _ => None,
    });
    let (net, gateway) = v4.ok_or_else(|| format!("network {name} has no IPv4 subnet, which this version of Swarm needs"))?;
    let mut local = BTreeSet::new();
    let mut remote = BTreeMap::new();
    for endpoint in table.endpoints.values() {
        for address in endpoint.addresses.iter().filter_map(v4_of) {
            if endpoint.node == node {
                local.insert(address);
            } else if let Some(index) = view.nodes.get(&endpoint.node).and_then(index) {
                remote.insert(address, index);
            }
        }
    }
    let vips = table.services.values().flat_map(|service| service.vips.iter().filter_map(v4_of).map(|vip| (vip, service.service)));
    Ok(Network {
        vni: spec.vni,
        subnet: Subnet { address: net.network(), bits: net.prefix_len() },
        gateway,
        mtu: spec.mtu.unwrap_or(underlay_mtu).saturating_sub(VXLAN_BYTES).max(MTU_MIN),
        local,
        remote,
        services: vips.map(|(vip, service)| (vip, backends(table, service))).collect(),
    })
}

/// Addresses of the tasks of a service that names and virtual addresses may lead to.
fn backends(table: &NetworkTable, service: ServiceId) -> BTreeSet<Ipv4Addr> {
    let tasks = table.endpoints.values().filter(|endpoint| endpoint.in_service && endpoint.service == Some(service));
    tasks.flat_map(|endpoint| endpoint.addresses.iter().filter_map(v4_of)).collect()
}

fn ports(table: &NetworkTable) -> BTreeMap<(Protocol, u16), Published> {
    let ports = table.services.values().flat_map(|service| service.ports.iter().map(|port| (service.service, port)));
    let published = ports.filter_map(|(service, port)| {
        let protocol = match port.protocol {
            PortProtocol::Tcp => Protocol::Tcp,
            PortProtocol::Udp => Protocol::Udp,
            PortProtocol::Sctp => Protocol::Sctp,
        };
        let (published, target) = (u16::try_from(port.published_port).ok()?, u16::try_from(port.target_port).ok()?);
        Some(((protocol, published), Published { target, backends: backends(table, service) }))
    });
    published.collect()
}

/// The part of the source ports that is this node's. All nodes see the same numbers, so they agree on the parts.
fn source_ports(own: u16, view: &NetworkView) -> (u16, u16) {
    let highest = view.nodes.values().map(|node| node.index).max().unwrap_or_default();
    let parts = (highest + 1).next_power_of_two().clamp(SOURCE_PARTS.0, SOURCE_PARTS.1);
    let width = (SOURCE_PORTS.1 - SOURCE_PORTS.0) / parts;
    let first = SOURCE_PORTS.0 + u32::from(own) % parts * width;
    let port = |number: u32| u16::try_from(number).expect("parts end at 65535");
    (port(first), port(first + width - 1))
}

fn v4_of(address: &IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(address) => Some(*address),
        IpAddr::V6(_) => None,
    }
}

#[cfg(test)]
#[path = "plan/tests.rs"]
mod tests;
