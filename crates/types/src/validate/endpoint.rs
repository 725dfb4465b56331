//! Published ports: of one service, and against those of others.

use super::{InvalidSpec, published_as};
use crate::{EndpointMode, EndpointSpec, PortConfig, PortProtocol, PublishMode, ServiceId};
use std::collections::BTreeSet;

/// The highest port number.
const PORT_MAX: u32 = 65_535;

/// Another service has a published port.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("port '{port}' is already in use by service '{name}' ({id}) as {}", published_as(*.mode))]
pub struct PortInUse {
    /// The port.
    pub port: u32,
    /// How the other service publishes it.
    pub mode: PublishMode,
    /// Name of the other service.
    pub name: String,
    /// Id of the other service.
    pub id: ServiceId,
}

/// A service and the ports it publishes.
#[derive(Debug, Clone, Copy)]
pub struct PortHolder<'a> {
    /// Its id.
    pub id: ServiceId,
    /// Its name.
    pub name: &'a str,
    /// Ports of its spec and of its endpoint, in any order.
    pub ports: [&'a [PortConfig]; 2],
}

/// Checks one service's ports among themselves.
///
/// # Errors
/// [`InvalidSpec`]
pub fn check_endpoint(endpoint: &EndpointSpec) -> Result<(), InvalidSpec> {
    let mut published = BTreeSet::new();
    for port in &endpoint.ports {
        if endpoint.mode == Some(EndpointMode::Dnsrr) && port.publish_mode == PublishMode::Ingress {
            return Err(InvalidSpec::IngressWithDnsrr);
        }
        if !(1..=PORT_MAX).contains(&port.target_port) {
            return Err(InvalidSpec::Port { which: "target", port: port.target_port });
        }
        // Without a number one is chosen that is free.
        if port.published_port == 0 {
            continue;
        }
        if port.published_port > PORT_MAX {
            return Err(InvalidSpec::Port { which: "published", port: port.published_port });
        }
        if !published.insert((port.published_port, port.protocol)) {
            return Err(InvalidSpec::DuplicatePort);
        }
    }
    Ok(())
}

/// Checks that no other service has a port in a way that excludes this use of it. Two services may publish one port in host
/// mode: they never share a node.
///
/// # Errors
/// [`PortInUse`] names the first service in the way.
pub fn check_ports_free<'a>(wanted: &[PortConfig], others: impl Iterator<Item = PortHolder<'a>>) -> Result<(), PortInUse> {
    let numbered = |mode| move |p: &&PortConfig| p.published_port != 0 && p.publish_mode == mode;
    let key = |p: &PortConfig| (p.published_port, p.protocol);
    let ingress: BTreeSet<(u32, PortProtocol)> = wanted.iter().filter(numbered(PublishMode::Ingress)).map(key).collect();
    let host: BTreeSet<(u32, PortProtocol)> = wanted.iter().filter(numbered(PublishMode::Host)).map(key).collect();
    if ingress.is_empty() && host.is_empty() {
        return Ok(());
    }
    for holder in others {
        for port in holder.ports.into_iter().flatten() {
            let taken = match port.publish_mode {
                PublishMode::Host => ingress.contains(&key(port)),
                PublishMode::Ingress => ingress.contains(&key(port)) || host.contains(&key(port)),
            };
            if taken && port.published_port != 0 {
                let name = holder.name.to_owned();
                return Err(PortInUse { port: port.published_port, mode: port.publish_mode, name, id: holder.id });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(published: u32, protocol: PortProtocol, mode: PublishMode) -> PortConfig {
        PortConfig { target_port: 80, published_port: published, protocol, publish_mode: mode, ..PortConfig::default() }
    }

    #[test]
    fn a_port_is_published_once_per_protocol() {
        use {PortProtocol::*, PublishMode::*};
        let endpoint = |ports| EndpointSpec { mode: None, ports };
        assert_eq!(
            check_endpoint(&endpoint(vec![port(80, Tcp, Host), port(80, Udp, Host), port(0, Tcp, Host), port(0, Tcp, Host)])),
            Ok(())
        );
        assert_eq!(check_endpoint(&endpoint(vec![port(80, Tcp, Host), port(80, Tcp, Ingress)])), Err(InvalidSpec::DuplicatePort));
        assert_eq!(check_endpoint(&endpoint(vec![port(70000, Tcp, Host)])), Err(InvalidSpec::Port { which: "published", port: 70000 }));
        let dnsrr = |mode| EndpointSpec { mode: Some(EndpointMode::Dnsrr), ports: vec![port(80, Tcp, mode)] };
        assert_eq!(check_endpoint(&dnsrr(Ingress)), Err(InvalidSpec::IngressWithDnsrr));
        assert_eq!(check_endpoint(&dnsrr(Host)), Ok(()));
    }

    #[test]
    fn only_host_ports_may_be_shared_between_services() {
        use {PortProtocol::*, PublishMode::*};
        let id = ServiceId::from_random([0; 16]);
        let clash = |wanted: PortConfig, held: PortConfig| {
            let held = [held];
            let other = PortHolder { id, name: "web", ports: [&held, &[]] };
            check_ports_free(&[wanted], std::iter::once(other)).err().map(|e| e.to_string())
        };
        let zeros = "0".repeat(25);
        assert_eq!(clash(port(80, Tcp, Host), port(80, Tcp, Host)), None);
        assert_eq!(clash(port(80, Udp, Ingress), port(80, Tcp, Ingress)), None);
        assert_eq!(clash(port(0, Tcp, Ingress), port(0, Tcp, Ingress)), None);
        let ingress = format!("port '80' is already in use by service 'web' ({zeros}) as an ingress port");
        assert_eq!(clash(port(80, Tcp, Ingress), port(80, Tcp, Ingress)), Some(ingress.clone()));
        assert_eq!(clash(port(80, Tcp, Host), port(80, Tcp, Ingress)), Some(ingress));
        let host = format!("port '80' is already in use by service 'web' ({zeros}) as a host-published port");
        assert_eq!(clash(port(80, Tcp, Ingress), port(80, Tcp, Host)), Some(host));
    }
}
