//! Cluster networks: the engine's JSON of `/networks`, and the form in which tasks name them.

use crate::{Labels, NetworkId, Timestamp, Version, is_default};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Option of a network that asks for sealed traffic between hosts; present without regard to its value.
pub const OPTION_ENCRYPTED: &str = "encrypted";
/// Option of a network that sets the MTU of the underlay's packets, in bytes.
pub const OPTION_MTU: &str = "com.docker.network.driver.mtu";
/// Option of a network that fixes its VXLAN network identifiers: numbers with commas between.
pub const OPTION_VXLAN_IDS: &str = "com.docker.network.driver.overlay.vxlanid_list";
/// Label of networks that the engine has by itself; refused on others.
pub const LABEL_PREDEFINED: &str = "com.docker.swarm.predefined";
/// The one driver of cluster networks.
pub const DRIVER_OVERLAY: &str = "overlay";
/// Scope of cluster networks.
pub const SCOPE_SWARM: &str = "swarm";

/// A network as `GET /networks/{id}` shows it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Network {
    /// Unique among cluster networks, ignoring case.
    pub name: String,
    /// A [`NetworkId`] for cluster networks, 64 hexadecimal digits for those of one host.
    pub id: String,
    /// When it was made.
    pub created: Timestamp,
    /// `swarm`, `local` or `global`.
    pub scope: String,
    /// Such as `overlay`.
    pub driver: String,
    /// Whether it has IPv4 subnets.
    #[serde(rename = "EnableIPv4")]
    pub enable_ipv4: bool,
    /// Whether it has IPv6 subnets.
    #[serde(rename = "EnableIPv6")]
    pub enable_ipv6: bool,
    /// Its subnets.
    #[serde(rename = "IPAM")]
    pub ipam: Ipam,
    /// Without a way out of the cluster.
    pub internal: bool,
    /// Containers that are no tasks may attach.
    pub attachable: bool,
    /// It carries the routing mesh.
    pub ingress: bool,
    /// Always empty for cluster networks.
    pub config_from: ConfigSource,
    /// Always false for cluster networks.
    pub config_only: bool,
    /// Containers of this host on it, by id; null for cluster networks.
    pub containers: Option<BTreeMap<String, serde_json::Value>>,
    /// Options of the driver.
    #[serde(deserialize_with = "null_is_empty")]
    pub options: BTreeMap<String, String>,
    /// Its labels.
    #[serde(deserialize_with = "null_is_empty")]
    pub labels: Labels,
}

/// A network to take the configuration from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ConfigSource {
    /// Its name.
    pub network: String,
}

/// Subnets and who gives out their addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Ipam {
    /// `default`.
    pub driver: String,
    /// Options of that driver.
    pub options: Option<BTreeMap<String, String>>,
    /// The subnets.
    pub config: Vec<IpamConfig>,
}

/// One subnet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct IpamConfig {
    /// In CIDR form; empty is chosen.
    #[serde(rename = "Subnet", skip_serializing_if = "String::is_empty")]
    pub subnet: String,
    /// The part of the subnet that tasks get addresses from, in CIDR form; empty is all of it.
    #[serde(rename = "IPRange", skip_serializing_if = "String::is_empty")]
    pub ip_range: String,
    /// Address of the gateway; empty is the first of the subnet.
    #[serde(rename = "Gateway", skip_serializing_if = "String::is_empty")]
    pub gateway: String,
    /// Addresses that are never given out, by the name of who has them.
    #[serde(rename = "AuxiliaryAddresses", skip_serializing_if = "BTreeMap::is_empty")]
    pub auxiliary_addresses: BTreeMap<String, String>,
}

/// Body of `POST /networks/create`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworkCreate {
    /// Its name.
    pub name: String,
    /// An old question; names are always unique.
    #[serde(skip_serializing_if = "is_default")]
    pub check_duplicate: bool,
    /// Empty is `bridge`.
    pub driver: String,
    /// Empty follows the driver.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub scope: String,
    /// `None` is true.
    #[serde(rename = "EnableIPv4", skip_serializing_if = "Option::is_none")]
    pub enable_ipv4: Option<bool>,
    /// `None` is false.
    #[serde(rename = "EnableIPv6", skip_serializing_if = "Option::is_none")]
    pub enable_ipv6: Option<bool>,
    /// Its subnets; `None` lets the cluster choose.
    #[serde(rename = "IPAM", skip_serializing_if = "Option::is_none")]
    pub ipam: Option<Ipam>,
    /// Without a way out of the cluster.
    pub internal: bool,
    /// Containers that are no tasks may attach.
    pub attachable: bool,
    /// It carries the routing mesh.
    pub ingress: bool,
    /// Only for networks of one host.
    pub config_only: bool,
    /// Only for networks of one host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_from: Option<ConfigSource>,
    /// Options of the driver.
    #[serde(deserialize_with = "null_is_empty")]
    pub options: BTreeMap<String, String>,
    /// Its labels.
    #[serde(deserialize_with = "null_is_empty")]
    pub labels: Labels,
}

/// Answer to `POST /networks/create`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworkCreated {
    /// The new network's id.
    pub id: String,
    /// For people; usually empty.
    pub warning: String,
}

/// A cluster network as a task's attachment shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AttachedNetwork {
    /// Its id.
    #[serde(rename = "ID")]
    pub id: NetworkId,
    /// Log index of the last change.
    pub version: Version,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// What was asked for.
    pub spec: NetworkSpec,
    /// What the driver was given.
    pub driver_state: NetworkDriver,
    /// Its subnets.
    #[serde(rename = "IPAMOptions")]
    pub ipam_options: IpamOptions,
}

/// What was asked for, in the cluster's own form.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworkSpec {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: Labels,
    /// The driver and its options.
    pub driver_configuration: NetworkDriver,
    /// Whether it has IPv6 subnets.
    #[serde(rename = "IPv6Enabled", skip_serializing_if = "is_default")]
    pub ipv6_enabled: bool,
    /// Without a way out of the cluster.
    #[serde(skip_serializing_if = "is_default")]
    pub internal: bool,
    /// Containers that are no tasks may attach.
    #[serde(skip_serializing_if = "is_default")]
    pub attachable: bool,
    /// It carries the routing mesh.
    #[serde(skip_serializing_if = "is_default")]
    pub ingress: bool,
    /// Subnets as asked for.
    #[serde(rename = "IPAMOptions")]
    pub ipam_options: IpamOptions,
    /// `swarm`.
    pub scope: String,
}

/// A driver and its options.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworkDriver {
    /// `overlay`.
    pub name: String,
    /// Its options.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
}

/// Subnets in the cluster's own form.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct IpamOptions {
    /// `default`.
    pub driver: NetworkDriver,
    /// The subnets.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub configs: Vec<IpamConfig>,
}

/// One subnet of a cluster network, read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    /// The addresses of the network; host bits are zero.
    pub subnet: ipnet::IpNet,
    /// The address that stands for the way out and answers names, the same on every node.
    pub gateway: std::net::IpAddr,
    /// The part that addresses are given from; `None` is all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<ipnet::IpNet>,
    /// Never given out, by the name of who has them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub reserved: BTreeMap<String, std::net::IpAddr>,
}

impl Subnet {
    /// As the API shows it.
    #[must_use]
    pub fn to_api(&self) -> IpamConfig {
        IpamConfig {
            subnet: self.subnet.to_string(),
            ip_range: self.range.map(|r| r.to_string()).unwrap_or_default(),
            gateway: self.gateway.to_string(),
            auxiliary_addresses: self.reserved.iter().map(|(name, ip)| (name.clone(), ip.to_string())).collect(),
        }
    }
}

fn null_is_empty<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}
