//! The changes behind the API's commands on networks, and the end of removed ones.
//!
//! Subnets and VXLAN identifiers that nobody named are chosen here: the next free ones behind those of the newest network,
//! so that what a removed network had is used again late. Networks that were removed and are still stored keep theirs from
//! being chosen, but not from being asked for by name.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::{net::Ipv6Addr, sync::Arc, time::Duration};
use swarm_state::{Change, Guard, Key, Network, Object, State, Table};
use swarm_types::{
    IdSource, NetworkId, ServiceId, Subnet, TaskId, TaskState, Timestamp, Version,
    validate::{CheckedNetwork, first_of, overlap},
};

/// Where subnets are taken from if the cluster says nothing: Docker's pool.
const POOL_DEFAULT: &str = "10.0.0.0/8";
/// Length of the prefixes of chosen subnets if the cluster says nothing: Docker's.
const SUBNET_SIZE_DEFAULT: u8 = 24;
/// Length of the prefixes of chosen IPv6 subnets.
const SUBNET_SIZE_IPV6: u8 = 64;
/// VXLAN identifiers that are chosen: Docker's range.
const VNIS: std::ops::RangeInclusive<u32> = 4096..=(1 << 24) - 1;
/// A removed network is stored at least so long: nodes that cannot be reached may still carry it.
const REMOVED_KEPT: Duration = Duration::from_secs(60);

/// A network that the cluster cannot have besides those it has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkRefused {
    /// Another one has the name.
    #[error("network with name {0} already exists")]
    NameTaken(String),
    /// There is one mesh.
    #[error("ingress network ({0}) is already present")]
    IngressPresent(NetworkId),
    /// Another one has addresses of the subnet.
    #[error("invalid pool request: Pool overlaps with other one on this address space")]
    Overlap,
    /// All of the cluster's pools is taken.
    #[error("could not find an available, non-overlapping {0} address pool among the defaults to assign to the network")]
    NoSubnet(&'static str),
    /// Another one has the identifier.
    #[error("vxlan id {vni} is already in use by network {name}")]
    VniTaken {
        /// The identifier.
        vni: u32,
        /// The other network's name.
        name: String,
    },
    /// All identifiers are taken.
    #[error("no free vxlan id found")]
    NoVni,
}

/// Something needs the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NetworkInUse {
    /// A service names it.
    #[error("network {0} is in use by service {1}")]
    Service(NetworkId, ServiceId),
    /// A task is on it and is to go on.
    #[error("network {0} is in use by task {1}")]
    Task(NetworkId, TaskId),
    /// A service publishes ports over it.
    #[error("ingress network cannot be removed because service {0} depends on it")]
    Ingress(ServiceId),
}

/// A new network, and what this relies on. Propose as `Actor::Operator`.
///
/// # Errors
/// [`NetworkRefused`]
pub fn new_network(
    state: &State,
    checked: &CheckedNetwork,
    now: Timestamp,
    ids: &mut dyn IdSource,
) -> Result<(NetworkId, Vec<Guard>, Vec<Change>), NetworkRefused> {
    let spec = checked.spec.clone();
    if state.network_named(&spec.name).is_some() {
        return Err(NetworkRefused::NameTaken(spec.name));
    }
    if let Some(present) = state.ingress().filter(|_| spec.ingress) {
        return Err(NetworkRefused::IngressPresent(present.id));
    }
    let mut subnets = checked.subnets.clone();
    let taken = |subnet: &Subnet| state.live_networks().flat_map(|n| &n.subnets).any(|other| overlap(&other.subnet, &subnet.subnet));
    if subnets.iter().any(taken) {
        return Err(NetworkRefused::Overlap);
    }
    if !subnets.iter().any(|s| s.subnet.addr().is_ipv4()) {
        subnets.insert(0, chosen(choose(state, &subnets, ipv4_pools(state)).ok_or(NetworkRefused::NoSubnet("IPv4"))?));
    }
    if spec.ipv6_enabled && !subnets.iter().any(|s| s.subnet.addr().is_ipv6()) {
        subnets.push(chosen(choose(state, &subnets, ipv6_pool(state)).ok_or(NetworkRefused::NoSubnet("IPv6"))?));
    }
    let vni = match checked.vni {
        Some(vni) => match state.live_networks().find(|n| n.vni == vni) {
            Some(other) => return Err(NetworkRefused::VniTaken { vni, name: other.spec.name.clone() }),
            None => vni,
        },
        None => choose_vni(state).ok_or(NetworkRefused::NoVni)?,
    };
    let id = NetworkId::from_random(ids.random());
    let network = Network { id, version: Version::default(), created_at: now, spec, subnets, vni, cursors: Vec::new(), removed_at: None };
    // Two that are made at once may have chosen the same.
    let guards = vec![Guard::Unchanged(Table::Networks, state.changed(Table::Networks))];
    Ok((id, guards, vec![Change::create(Object::Network(Arc::new(network)))]))
}

/// The removal of a network, and what this relies on. Propose as `Actor::Operator`.
///
/// Tasks that are being stopped may still be on it; it is forgotten after they are gone.
///
/// # Errors
/// [`NetworkInUse`]
pub fn remove_network(state: &State, network: &Network, now: Timestamp) -> Result<(Vec<Guard>, Vec<Change>), NetworkInUse> {
    let id = network.id;
    if network.spec.ingress {
        if let Some(service) = state.services().find(|s| crate::addresses::is_meshed(&s.current.spec)) {
            return Err(NetworkInUse::Ingress(service.id));
        }
    } else {
        let names = |s: &swarm_state::Service| s.current.spec.task_template.networks.iter().any(|n| n.target == id.as_str());
        if let Some(service) = state.services().find(|s| names(s)) {
            return Err(NetworkInUse::Service(id, service.id));
        }
        let holders = state.addresses_of(id).filter_map(|(_, holder)| match holder {
            Key::Task(task) => state.task(task),
            _ => None,
        });
        let goes_on = |t: &&Arc<swarm_state::Task>| t.desired_state <= TaskState::Running && t.status.state <= TaskState::Running;
        if let Some(task) = holders.into_iter().find(goes_on) {
            return Err(NetworkInUse::Task(id, task.id));
        }
    }
    let removed = Network { removed_at: Some(now), ..network.clone() };
    // A service that comes to use it meanwhile makes this be decided anew; whoever attaches a task relies on its version.
    let guards = vec![Guard::Unchanged(Table::Services, state.changed(Table::Services))];
    Ok((guards, vec![Change::update(Object::Network(Arc::new(removed)))]))
}

/// Forgets removed networks that nobody is on any more, and says when to look again at those that are too young.
pub(crate) fn forget_removed(state: &State, now: Timestamp, changes: &mut Vec<Change>) -> Option<Timestamp> {
    let mut look_again = None;
    for network in state.networks() {
        let Some(removed_at) = network.removed_at else { continue };
        let until = removed_at.after(REMOVED_KEPT);
        if state.addresses_of(network.id).next().is_some() {
            // The last one's end is a change that makes the planner look.
            continue;
        }
        if until > now {
            look_again = Some(look_again.map_or(until, |other: Timestamp| other.min(until)));
        } else {
            changes.push(Change::delete(&Object::Network(Arc::clone(network))));
        }
    }
    look_again
}

fn chosen(subnet: IpNet) -> Subnet {
    Subnet { subnet, gateway: first_of(&subnet), range: None, reserved: std::collections::BTreeMap::new() }
}

/// The first of these subnets, behind the newest network's, that nobody has: no network, and no node for its own address.
fn choose(state: &State, asked: &[Subnet], all: impl Iterator<Item = IpNet> + Clone) -> Option<IpNet> {
    let taken: Vec<IpNet> = state.networks().flat_map(|n| &n.subnets).chain(asked).map(|s| s.subnet).collect();
    let nodes: Vec<std::net::IpAddr> = state.nodes().filter_map(|n| n.data_path_addr.or_else(|| n.api.status.addr.parse().ok())).collect();
    let is_free = |net: &IpNet| !taken.iter().any(|t| overlap(t, net)) && !nodes.iter().any(|node| net.contains(node));
    let pool_of = |net: &IpNet| {
        all.clone().next().is_some_and(|first| first.prefix_len() == net.prefix_len() && first.addr().is_ipv4() == net.addr().is_ipv4())
    };
    let newest_first = {
        let mut networks: Vec<&Arc<Network>> = state.networks().collect();
        networks.sort_by_key(|n| std::cmp::Reverse(n.created_at));
        networks
    };
    let last = newest_first.iter().flat_map(|n| &n.subnets).map(|s| s.subnet).find(pool_of);
    let behind = last.into_iter().flat_map(|last| all.clone().skip_while(move |net| *net != last).skip(1));
    behind.chain(all.clone()).find(is_free)
}

/// The subnets of the cluster's pools, in order.
fn ipv4_pools(state: &State) -> impl Iterator<Item = IpNet> + Clone {
    let cluster = state.cluster();
    let size = cluster.and_then(|c| u8::try_from(c.api.subnet_size).ok()).filter(|size| *size > 0).unwrap_or(SUBNET_SIZE_DEFAULT);
    let named = cluster.map_or(&[][..], |c| &c.api.default_addr_pool);
    let pools: Vec<Ipv4Net> = match named {
        [] => vec![POOL_DEFAULT.parse().expect("a subnet")],
        pools => pools.iter().filter_map(|pool| pool.parse().ok()).collect(),
    };
    pools.into_iter().filter_map(move |pool| pool.trunc().subnets(size).ok()).flatten().map(IpNet::V4)
}

/// Subnets of unique local addresses that are the cluster's own: its id decides the bits that keep clusters apart.
fn ipv6_pool(state: &State) -> impl Iterator<Item = IpNet> + Clone {
    let id = state.cluster().map(|c| c.id().to_string()).unwrap_or_default();
    // FNV-1a: the same on every manager and in every version.
    let hash = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let global = u128::from(hash >> 24);
    (0..=u128::from(u16::MAX)).map(move |subnet| {
        let bits = 0xfd << 120 | global << 80 | subnet << 64;
        IpNet::V6(Ipv6Net::new(Ipv6Addr::from(bits), SUBNET_SIZE_IPV6).expect("a prefix of an address"))
    })
}

/// The first free identifier behind the newest network's.
fn choose_vni(state: &State) -> Option<u32> {
    let is_taken = |vni: &u32| state.networks().any(|n| n.vni == *vni);
    let newest = state.networks().filter(|n| VNIS.contains(&n.vni)).max_by_key(|n| n.created_at).map_or(*VNIS.end(), |n| n.vni);
    (newest + 1..=*VNIS.end()).chain(VNIS).find(|vni| !is_taken(vni))
}
