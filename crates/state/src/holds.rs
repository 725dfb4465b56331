//! What objects hold that only one may have: ports of the routing mesh, and addresses.

use crate::{Service, Task};
use std::net::IpAddr;
use swarm_types::{NetworkId, PortProtocol, PublishMode};

/// Ports of the routing mesh that the service has; not those that are still to be chosen.
pub(crate) fn ports(service: &Service) -> impl Iterator<Item = (PortProtocol, u32)> {
    let meshed = service.endpoint.ports.iter().filter(|p| p.publish_mode == PublishMode::Ingress && p.published_port != 0);
    meshed.map(|p| (p.protocol, p.published_port))
}

/// The service's virtual addresses.
pub(crate) fn virtual_addresses(service: &Service) -> impl Iterator<Item = (NetworkId, IpAddr)> {
    service.virtual_addresses()
}

/// Whether the task keeps its addresses: until it ended.
pub(crate) fn is_holding(task: &Task) -> bool {
    !task.attachments.is_empty() && !task.status.state.is_terminal()
}

/// The task's addresses, as long as it keeps them.
pub(crate) fn addresses(task: &Task) -> impl Iterator<Item = (NetworkId, IpAddr)> {
    let held = if is_holding(task) { task.attachments.as_slice() } else { &[] };
    held.iter().flat_map(|a| a.addresses.iter().map(|net| (a.network, net.addr())))
}
