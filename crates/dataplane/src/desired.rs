//! What the networks of this node shall be.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::Ipv4Addr;

/// Everything that this node's kernel shall hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Desired {
    /// This node's index in the cluster: 1 to 32767, unlike any other node's.
    pub node: u16,
    /// The address other nodes send this node's VXLAN packets to.
    pub vtep: Ipv4Addr,
    /// UDP port of the VXLAN packets, 4789 unless the cluster says otherwise.
    pub data_port: u16,
    /// The other nodes, by index.
    pub nodes: BTreeMap<u16, Peer>,
    /// The networks this node carries, by id.
    pub networks: BTreeMap<String, Network>,
    /// The routing mesh, on nodes that carry an ingress network.
    pub mesh: Option<Mesh>,
}

/// Another node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Where its VXLAN packets go.
    pub vtep: Ipv4Addr,
}

/// One network on this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// VXLAN network id, below 2^24.
    pub vni: u32,
    /// The addresses of the network.
    pub subnet: Subnet,
    /// The address every node answers for: router, and server of names.
    pub gateway: Ipv4Addr,
    /// Bytes of the largest packet.
    pub mtu: u32,
    /// Addresses of the tasks on this node.
    pub local: BTreeSet<Ipv4Addr>,
    /// Addresses of the tasks on other nodes, with the index of their node.
    pub remote: BTreeMap<Ipv4Addr, u16>,
    /// For each virtual address, the tasks that answer for it.
    pub services: BTreeMap<Ipv4Addr, BTreeSet<Ipv4Addr>>,
}

impl Network {
    /// Whether some task has this address, on whichever node.
    pub(crate) fn has_task(&self, address: Ipv4Addr) -> bool {
        self.local.contains(&address) || self.remote.contains_key(&address)
    }
}

/// The ports that every node opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mesh {
    /// Id of the ingress network, one of [`Desired::networks`].
    pub network: String,
    /// The published ports.
    pub ports: BTreeMap<(Protocol, u16), Published>,
    /// Source ports this node gives to connections it passes on: first and last. Nodes have disjoint
    /// ranges, so that a client that uses one port towards two nodes stays two clients.
    pub source_ports: (u16, u16),
}

/// What stands behind a published port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Port of the tasks.
    pub target: u16,
    /// Ingress addresses of the tasks, on whichever node.
    pub backends: BTreeSet<Ipv4Addr>,
}

/// A transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}

/// A range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subnet {
    /// First address.
    pub address: Ipv4Addr,
    /// Leading bits that all addresses share.
    pub bits: u8,
}

impl Subnet {
    /// Whether `address` is one of them.
    #[must_use]
    pub fn contains(self, address: Ipv4Addr) -> bool {
        let mask = u32::MAX.checked_shl(32 - u32::from(self.bits)).unwrap_or(0);
        (u32::from(address) ^ u32::from(self.address)) & mask == 0
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}
