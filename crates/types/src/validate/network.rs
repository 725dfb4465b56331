//! Cluster networks as they are asked for.

use super::{InvalidSpec, check_service_name};
use crate::{
    DRIVER_OVERLAY, Ipam, IpamConfig, IpamOptions, LABEL_PREDEFINED, NetworkCreate, NetworkDriver, NetworkSpec, OPTION_MTU,
    OPTION_VXLAN_IDS, SCOPE_SWARM, Subnet,
};
use ipnet::IpNet;
use std::{collections::BTreeMap, net::IpAddr};

/// Names of networks that an engine has by itself.
pub const PREDEFINED_NETWORKS: [&str; 4] = ["bridge", "host", "none", "default"];
/// The only driver of addresses.
const IPAM_DEFAULT: &str = "default";
/// What the kernel carries at least and at most, in bytes.
const MTUS: std::ops::RangeInclusive<u32> = 68..=65_535;
/// VXLAN network identifiers have 24 bits; zero is none.
const VXLAN_IDS: std::ops::RangeInclusive<u32> = 1..=(1 << 24) - 1;
/// Addresses that a subnet has at least: its two ends, the gateway, and one to give.
const HOST_BITS_MIN: u8 = 2;

/// A network that the cluster cannot have.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum InvalidNetwork {
    /// Every engine has one of that name.
    #[error("{0} is a pre-defined network and cannot be created")]
    Predefined(String),
    /// The name cannot be one.
    #[error(transparent)]
    Name(#[from] InvalidSpec),
    /// The mesh is an overlay.
    #[error("only overlay driver is currently supported for ingress network")]
    IngressDriver,
    /// Containers of their own accord are not published.
    #[error("ingress network cannot be attachable")]
    AttachableIngress,
    /// The mesh leads out of the cluster.
    #[error("ingress network cannot be internal")]
    InternalIngress,
    /// A label that is Docker's own.
    #[error("label {LABEL_PREDEFINED} is for internally created predefined networks and cannot be applied by users")]
    PredefinedLabel,
    /// No such driver, of networks or of addresses.
    #[error("error during lookup of plugin {0}")]
    Driver(String),
    /// A network without addresses of this kind.
    #[error("ipam configuration: a cluster network needs IPv4")]
    WithoutIpv4,
    /// Not a subnet.
    #[error("ipam configuration: invalid subnet {0}")]
    Subnet(String),
    /// A subnet with bits set that are not its own.
    #[error("ipam configuration: invalid subnet {given}: it should be {meant}")]
    HostBits {
        /// As given.
        given: String,
        /// Without them.
        meant: IpNet,
    },
    /// Too few addresses.
    #[error("ipam configuration: invalid subnet {0}: it has no room for a gateway and a task")]
    Small(String),
    /// A subnet of a kind that the network is not to have.
    #[error("ipam configuration: invalid subnet {0}: IPv6 is not enabled for the network")]
    Ipv6(String),
    /// Two subnets have addresses in common.
    #[error("invalid pool request: Pool overlaps with other one on this address space")]
    Overlap,
    /// Not a part of a subnet.
    #[error("ipam configuration: invalid range {0}")]
    Range(String),
    /// Not an address.
    #[error("ipam configuration: invalid {what} {given}")]
    Address {
        /// `gateway` or `auxiliary address`.
        what: &'static str,
        /// As given.
        given: String,
    },
    /// A range or an address is elsewhere.
    #[error("ipam configuration: subnet {subnet} does not contain {what} {given}")]
    Outside {
        /// The subnet.
        subnet: String,
        /// `range`, `gateway` or `auxiliary address`.
        what: &'static str,
        /// As given.
        given: String,
    },
    /// Not an MTU.
    #[error("invalid MTU value: {0}")]
    Mtu(String),
    /// Not a VXLAN network identifier. A network needs one, however many subnets it has.
    #[error("invalid value of {OPTION_VXLAN_IDS}: {0:?}: expected one number between 1 and 16777215")]
    VxlanIds(String),
}

/// A network as asked for, read and checked as far as it alone tells.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckedNetwork {
    /// What was asked for.
    pub spec: NetworkSpec,
    /// The subnets that were named; kinds of addresses without one are chosen a subnet.
    pub subnets: Vec<Subnet>,
    /// The VXLAN network identifier that was named.
    pub vni: Option<u32>,
}

/// Checks a network that is to be created in the scope of the cluster.
///
/// # Errors
/// The first fault.
pub fn check_network(create: NetworkCreate) -> Result<CheckedNetwork, InvalidNetwork> {
    if PREDEFINED_NETWORKS.contains(&create.name.as_str()) {
        return Err(InvalidNetwork::Predefined(create.name));
    }
    if create.ingress && !create.driver.is_empty() && create.driver != DRIVER_OVERLAY {
        return Err(InvalidNetwork::IngressDriver);
    }
    if create.ingress && create.attachable {
        return Err(InvalidNetwork::AttachableIngress);
    }
    if create.ingress && create.internal {
        return Err(InvalidNetwork::InternalIngress);
    }
    check_service_name(&create.name)?;
    if create.labels.contains_key(LABEL_PREDEFINED) {
        return Err(InvalidNetwork::PredefinedLabel);
    }
    if !create.driver.is_empty() && create.driver != DRIVER_OVERLAY {
        return Err(InvalidNetwork::Driver(create.driver));
    }
    if create.enable_ipv4 == Some(false) {
        return Err(InvalidNetwork::WithoutIpv4);
    }
    let ipam = create.ipam.unwrap_or_default();
    if !ipam.driver.is_empty() && ipam.driver != IPAM_DEFAULT {
        return Err(InvalidNetwork::Driver(ipam.driver));
    }
    let ipv6 = create.enable_ipv6.unwrap_or_default();
    let subnets = check_subnets(&ipam.config, ipv6)?;
    let vni = check_options(&create.options)?;
    let spec = NetworkSpec {
        name: create.name,
        labels: create.labels,
        driver_configuration: NetworkDriver { name: DRIVER_OVERLAY.to_owned(), options: create.options },
        ipv6_enabled: ipv6,
        internal: create.internal,
        attachable: create.attachable,
        ingress: create.ingress,
        ipam_options: options_of(ipam),
        scope: SCOPE_SWARM.to_owned(),
    };
    Ok(CheckedNetwork { spec, subnets, vni })
}

fn options_of(ipam: Ipam) -> IpamOptions {
    let driver = NetworkDriver { name: IPAM_DEFAULT.to_owned(), options: ipam.options.unwrap_or_default() };
    IpamOptions { driver, configs: ipam.config }
}

/// The VXLAN network identifier that the options name.
fn check_options(options: &BTreeMap<String, String>) -> Result<Option<u32>, InvalidNetwork> {
    if let Some(mtu) = options.get(OPTION_MTU) {
        mtu.parse().ok().filter(|mtu| MTUS.contains(mtu)).ok_or_else(|| InvalidNetwork::Mtu(mtu.clone()))?;
    }
    let read = |list: &String| {
        let id = list.parse().ok().filter(|id| VXLAN_IDS.contains(id));
        id.ok_or_else(|| InvalidNetwork::VxlanIds(list.clone()))
    };
    options.get(OPTION_VXLAN_IDS).map(read).transpose()
}

fn check_subnets(configs: &[IpamConfig], ipv6: bool) -> Result<Vec<Subnet>, InvalidNetwork> {
    let mut subnets: Vec<Subnet> = Vec::with_capacity(configs.len());
    for config in configs {
        let subnet = check_subnet(config)?;
        if !ipv6 && subnet.subnet.addr().is_ipv6() {
            return Err(InvalidNetwork::Ipv6(config.subnet.clone()));
        }
        if subnets.iter().any(|other| overlap(&other.subnet, &subnet.subnet)) {
            return Err(InvalidNetwork::Overlap);
        }
        subnets.push(subnet);
    }
    Ok(subnets)
}

fn check_subnet(config: &IpamConfig) -> Result<Subnet, InvalidNetwork> {
    let invalid = || InvalidNetwork::Subnet(config.subnet.clone());
    let subnet: IpNet = config.subnet.parse().map_err(|_| invalid())?;
    if subnet.addr() != subnet.network() {
        return Err(InvalidNetwork::HostBits { given: config.subnet.clone(), meant: subnet.trunc() });
    }
    if subnet.addr().is_multicast() || subnet.addr().is_loopback() || subnet.prefix_len() == 0 {
        return Err(invalid());
    }
    if subnet.max_prefix_len() - subnet.prefix_len() < HOST_BITS_MIN {
        return Err(InvalidNetwork::Small(config.subnet.clone()));
    }
    let outside = |what, given: &str| InvalidNetwork::Outside { subnet: config.subnet.clone(), what, given: given.to_owned() };
    let range = match config.ip_range.as_str() {
        "" => None,
        given => {
            let range: IpNet = given.parse().map_err(|_| InvalidNetwork::Range(given.to_owned()))?;
            if !subnet.contains(&range.trunc()) {
                return Err(outside("range", given));
            }
            Some(range.trunc())
        }
    };
    let address = |what, given: &str| {
        let address: IpAddr = given.parse().map_err(|_| InvalidNetwork::Address { what, given: given.to_owned() })?;
        if subnet.contains(&address) { Ok(address) } else { Err(outside(what, given)) }
    };
    let gateway = match config.gateway.as_str() {
        "" => first_of(&subnet),
        given => address("gateway", given)?,
    };
    let reserved = config.auxiliary_addresses.iter().map(|(name, given)| Ok((name.clone(), address("auxiliary address", given)?)));
    Ok(Subnet { subnet, gateway, range, reserved: reserved.collect::<Result<_, InvalidNetwork>>()? })
}

/// The first address of a subnet that a host can have: the gateway where none was named.
#[must_use]
pub fn first_of(subnet: &IpNet) -> IpAddr {
    match subnet {
        IpNet::V4(net) => IpAddr::V4(u32::from(net.network()).saturating_add(1).into()),
        IpNet::V6(net) => IpAddr::V6(u128::from(net.network()).saturating_add(1).into()),
    }
}

/// Whether two subnets have addresses in common.
#[must_use]
pub fn overlap(a: &IpNet, b: &IpNet) -> bool {
    a.contains(b) || b.contains(a)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn create(change: impl FnOnce(&mut NetworkCreate)) -> Result<CheckedNetwork, String> {
        let mut create = NetworkCreate { name: "blue".into(), driver: DRIVER_OVERLAY.into(), ..NetworkCreate::default() };
        change(&mut create);
        check_network(create).map_err(|e| e.to_string())
    }

    fn subnet(subnet: &str, range: &str, gateway: &str) -> Result<CheckedNetwork, String> {
        let config = IpamConfig { subnet: subnet.into(), ip_range: range.into(), gateway: gateway.into(), ..IpamConfig::default() };
        create(|c| c.ipam = Some(Ipam { config: vec![config], ..Ipam::default() }))
    }

    #[test]
    fn subnets_are_read() {
        let read = subnet("10.9.0.0/16", "10.9.128.0/17", "").map(|n| n.subnets).expect("is fine");
        assert_eq!(read[0].gateway.to_string(), "10.9.0.1");
        assert_eq!(read[0].range.map(|r| r.to_string()), Some("10.9.128.0/17".into()));
        assert_eq!(subnet("10.9.0.0/16", "", "10.9.3.3").map(|n| n.subnets[0].gateway.to_string()), Ok("10.9.3.3".into()));
        assert_eq!(create(|_| ()).map(|n| n.subnets), Ok(vec![]));
    }

    #[test]
    fn what_is_no_subnet_is_refused_with_dockers_words() {
        let cases = [
            (("", "", ""), "invalid subnet "),
            (("x", "", ""), "invalid subnet x"),
            (("10.0.0.1/24", "", ""), "invalid subnet 10.0.0.1/24: it should be 10.0.0.0/24"),
            (("10.0.0.0/31", "", ""), "invalid subnet 10.0.0.0/31: it has no room for a gateway and a task"),
            (("224.0.0.0/24", "", ""), "invalid subnet 224.0.0.0/24"),
            (("fd00::/64", "", ""), "invalid subnet fd00::/64: IPv6 is not enabled for the network"),
            (("10.0.0.0/24", "y", ""), "invalid range y"),
            (("10.0.0.0/24", "10.0.1.0/25", ""), "subnet 10.0.0.0/24 does not contain range 10.0.1.0/25"),
            (("10.0.0.0/24", "10.0.0.0/16", ""), "subnet 10.0.0.0/24 does not contain range 10.0.0.0/16"),
            (("10.0.0.0/24", "", "z"), "invalid gateway z"),
            (("10.0.0.0/24", "", "10.0.1.1"), "subnet 10.0.0.0/24 does not contain gateway 10.0.1.1"),
        ];
        for ((net, range, gateway), text) in cases {
            assert_eq!(subnet(net, range, gateway).map(|_| ()), Err(format!("ipam configuration: {text}")));
        }
    }

    #[test]
    fn options_and_kinds_are_checked() {
        let option = |key: &str, value: &str| {
            let options = [(key.to_owned(), value.to_owned())].into();
            create(|c| c.options = options).map(|n| n.vni)
        };
        assert_eq!(option(OPTION_VXLAN_IDS, "4711"), Ok(Some(4711)));
        assert_eq!(option(OPTION_MTU, "1400"), Ok(None));
        for bad in ["", "0", "16777216", "1,2", "x"] {
            assert!(option(OPTION_VXLAN_IDS, bad).is_err_and(|e| e.contains("expected one number")), "{bad}");
        }
        assert_eq!(option(OPTION_MTU, "3"), Err("invalid MTU value: 3".into()));
        type Change = fn(&mut NetworkCreate);
        let cases: [(Change, &str); 8] = [
            (|c| c.name = "host".into(), "host is a pre-defined network and cannot be created"),
            (|c| c.name = String::new(), "meta: name must be provided"),
            (|c| c.name = "a b".into(), "name must be valid as a DNS name component"),
            (|c| c.driver = "macvlan".into(), "error during lookup of plugin macvlan"),
            (|c| (c.ingress, c.driver) = (true, "bridge".into()), "only overlay driver is currently supported for ingress network"),
            (|c| (c.ingress, c.attachable) = (true, true), "ingress network cannot be attachable"),
            (|c| c.ipam = Some(Ipam { driver: "x".into(), ..Ipam::default() }), "error during lookup of plugin x"),
            (|c| c.enable_ipv4 = Some(false), "ipam configuration: a cluster network needs IPv4"),
        ];
        for (change, text) in cases {
            assert_eq!(create(change).map(|_| ()), Err(text.to_owned()));
        }
    }
}
