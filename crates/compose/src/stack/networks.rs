//! Networks of the stack and of its services.

use super::{Plan, Result, external, unsupported};
use crate::ComposeError;
use crate::node::Node;
use std::collections::{BTreeMap, BTreeSet};
use swarm_types::{DRIVER_OVERLAY, Ipam, IpamConfig, NetworkAttachmentConfig, NetworkCreate};

/// What a service without networks is on.
const DEFAULT: &str = "default";
/// The engines' own networks, which names of the stack never mean.
const PREDEFINED: [&str; 4] = ["host", "none", "bridge", "default"];
/// Addresses that a service cannot have, as it may have many tasks.
const IGNORED: [&str; 7] = ["ipv4_address", "ipv6_address", "link_local_ips", "mac_address", "priority", "gw_priority", "interface_name"];

/// A network to make.
#[derive(Debug, Clone)]
pub struct StackNetwork {
    /// Its full name.
    pub name: String,
    /// The request that makes it.
    pub create: NetworkCreate,
}

/// The networks of a service by key: their settings. `network_mode` stands for one of the engines' own.
fn used<'a>(service: &Node<'a>) -> Result<BTreeMap<String, Node<'a>>> {
    Ok(service.get("networks").map(|networks| networks.entries()).transpose()?.unwrap_or_default())
}

/// `host` or `none`, if the service is to be on that alone.
fn own_mode(service: &Node<'_>) -> Result<Option<String>> {
    let mode = service.get("network_mode").map(|mode| mode.text()).transpose()?;
    Ok(mode.filter(|mode| mode == "host" || mode == "none"))
}

/// Keys of a service's networks without effect.
///
/// # Errors
/// If there is no map where one belongs.
pub(super) fn ignored(service: &Node<'_>) -> Result<Vec<String>> {
    Ok(used(service)?.values().flat_map(|node| unsupported::named("networks", node, &IGNORED)).collect())
}

/// What a service is attached to, by name.
///
/// # Errors
/// On networks that the files do not have.
pub(super) fn of_service(plan: &Plan<'_>, key: &str, service: &Node<'_>) -> Result<Vec<NetworkAttachmentConfig>> {
    if let Some(target) = own_mode(service)? {
        return Ok(vec![NetworkAttachmentConfig { target, ..NetworkAttachmentConfig::default() }]);
    }
    let used = used(service)?;
    if used.is_empty() {
        let target = plan.object("networks", DEFAULT).map_or_else(|| Ok(plan.scope(DEFAULT)), |node| plan.name_of(DEFAULT, node))?;
        return Ok(vec![attachment(target, Vec::new(), key, BTreeMap::new())]);
    }
    let mut attachments = Vec::new();
    for (name, settings) in used {
        let target = match plan.object("networks", &name) {
            Some(network) => plan.name_of(&name, network)?,
            None if name == DEFAULT => plan.scope(DEFAULT),
            None => return Err(ComposeError::service(key, format!("undefined network {name:?}"))),
        };
        settings.only(&[&IGNORED[..], &["aliases", "driver_opts"]].concat())?;
        let aliases = settings.get("aliases").map_or_else(|| Ok(Vec::new()), |node| node.texts())?;
        let options = settings.get("driver_opts").map_or_else(|| Ok(BTreeMap::new()), |node| node.labels())?;
        attachments.push(attachment(target, aliases, key, options));
    }
    attachments.sort_by(|one, other| one.target.cmp(&other.target));
    Ok(attachments)
}

/// Every service is known on its networks by its short name, too.
fn attachment(target: String, mut aliases: Vec<String>, key: &str, driver_opts: BTreeMap<String, String>) -> NetworkAttachmentConfig {
    if PREDEFINED.contains(&target.as_str()) {
        aliases.clear();
    } else {
        aliases.push(key.to_owned());
    }
    NetworkAttachmentConfig { target, aliases, driver_opts }
}

/// The networks that the services use: those to make, and the names of those that must be there.
///
/// # Errors
/// On settings that are none.
pub(super) fn of_stack(plan: &Plan<'_>) -> Result<(Vec<StackNetwork>, Vec<String>)> {
    let mut names = BTreeSet::new();
    for service in plan.section("services").values() {
        if own_mode(service)?.is_some() {
            continue;
        }
        let used = used(service)?;
        if used.is_empty() {
            names.insert(DEFAULT.to_owned());
        }
        names.extend(used.into_keys());
    }
    let (mut to_make, mut there) = (Vec::new(), Vec::new());
    for key in names {
        let Some(network) = plan.object("networks", &key) else {
            to_make.push(StackNetwork { name: plan.scope(&key), create: plain(plan) });
            continue;
        };
        let name = plan.name_of(&key, network)?;
        network.only(&[
            "name",
            "driver",
            "driver_opts",
            "internal",
            "attachable",
            "labels",
            "external",
            "ipam",
            "enable_ipv4",
            "enable_ipv6",
        ])?;
        if external(network)?.is_some() {
            there.push(name);
        } else {
            to_make.push(StackNetwork { name, create: create(plan, network)? });
        }
    }
    Ok((to_make, there))
}

fn plain(plan: &Plan<'_>) -> NetworkCreate {
    NetworkCreate { driver: DRIVER_OVERLAY.to_owned(), labels: plan.labels(BTreeMap::new()), ..NetworkCreate::default() }
}

fn create(plan: &Plan<'_>, network: &Node<'_>) -> Result<NetworkCreate> {
    let switch = |key: &str| network.get(key).map(|node| node.switch()).transpose();
    let mut create = plain(plan);
    if let Some(driver) = network.get("driver") {
        create.driver = driver.text()?;
    }
    create.options = network.get("driver_opts").map_or_else(|| Ok(BTreeMap::new()), |node| node.labels())?;
    create.labels = plan.labels(network.get("labels").map_or_else(|| Ok(BTreeMap::new()), |node| node.labels())?);
    create.internal = switch("internal")?.unwrap_or_default();
    create.attachable = switch("attachable")?.unwrap_or_default();
    create.enable_ipv4 = switch("enable_ipv4")?;
    create.enable_ipv6 = switch("enable_ipv6")?;
    create.ipam = network.get("ipam").map(|node| ipam(&node)).transpose()?;
    Ok(create)
}

fn ipam(node: &Node<'_>) -> Result<Ipam> {
    node.only(&["driver", "config", "options"])?;
    let mut config = Vec::new();
    for item in node.get("config").map_or_else(|| Ok(Vec::new()), |node| node.items())? {
        item.only(&["subnet", "ip_range", "gateway", "aux_addresses"])?;
        let text = |key: &str| item.get(key).map_or_else(|| Ok(String::new()), |node| node.text());
        let subnet = text("subnet")?;
        if !subnet.is_empty() && subnet.parse::<ipnet::IpNet>().is_err() {
            return Err(item.invalid(format!("invalid CIDR address: {subnet}")));
        }
        config.push(IpamConfig {
            subnet,
            ip_range: text("ip_range")?,
            gateway: text("gateway")?,
            auxiliary_addresses: item.get("aux_addresses").map_or_else(|| Ok(BTreeMap::new()), |node| node.labels())?,
        });
    }
    let driver = node.get("driver").map(|driver| driver.text()).transpose()?.unwrap_or_default();
    let options = node.get("options").map(|options| options.labels()).transpose()?;
    Ok(Ipam { driver, options, config })
}
