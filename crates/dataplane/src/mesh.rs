//! The host's side of the routing mesh: the uplink to the ingress network, reserved ports, rules.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};

use crate::dataplane::Report;
use crate::desired::{Mesh, Network, Protocol};
use crate::error::Error;
use crate::kernel::{End, Kernel, ensure_setting};
use crate::names::{Prefix, UPLINK};
use crate::netns::Netns;
use crate::nft;

/// A socket that keeps others from taking a published port; nothing ever arrives at it.
#[derive(Debug)]
enum Reserved {
    /// A TCP port.
    Tcp(#[expect(dead_code, reason = "held to keep the port")] TcpListener),
    /// A UDP port.
    Udp(#[expect(dead_code, reason = "held to keep the port")] UdpSocket),
    /// The standard library has no SCTP, and hosts hardly use it.
    Unguarded,
}

/// The published ports of this host that are held.
#[derive(Debug, Default)]
pub(crate) struct Ports(BTreeMap<(Protocol, u16), Reserved>);

impl Ports {
    /// Holds exactly the ports that are published, and returns those that could be had. Runs in the
    /// host's namespace. A port somebody else has is a fault that names it; the others work.
    pub(crate) fn ensure(&mut self, mesh: &Mesh, report: &mut Report) -> BTreeSet<(Protocol, u16)> {
        self.0.retain(|port, _| mesh.ports.contains_key(port));
        for &(protocol, port) in mesh.ports.keys() {
            if self.0.contains_key(&(protocol, port)) {
                continue;
            }
            let any = (Ipv4Addr::UNSPECIFIED, port);
            let held = match protocol {
                Protocol::Tcp => TcpListener::bind(any).map(Reserved::Tcp),
                Protocol::Udp => UdpSocket::bind(any).map(Reserved::Udp),
                Protocol::Sctp => Ok(Reserved::Unguarded),
            };
            match held {
                Ok(held) => drop(self.0.insert((protocol, port), held)),
                Err(error) => report.faults.push(format!("published port {port}/{protocol} cannot be opened: {error}")),
            }
        }
        self.0.keys().copied().collect()
    }

    /// Gives all ports back.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

/// Links the ingress network's namespace with the host. Runs in the host's namespace.
pub(crate) fn ensure_uplink(prefix: Prefix, ingress: &Network, namespace: &Netns, report: &mut Report) -> Result<(), Error> {
    let name = prefix.uplink();
    let (here, there) = prefix.uplink_addresses();
    Kernel::within(async |kernel| {
        let mut links = kernel.links().await?;
        if !links.contains_key(&name) {
            let (near, far) = (End { name: &name, mac: None }, End { name: UPLINK, mac: None });
            kernel.add_pair(near, far, namespace.fd(), ingress.mtu).await?;
            report.added += 1;
            links = kernel.links().await?;
        }
        let index = links.get(&name).map(|link| link.index).ok_or_else(|| Error::NoNetwork(name.clone()))?;
        kernel.add_address(index, here, 30).await?;
        namespace.enter(|| ensure_far_end(there))?;
        kernel.set_up(index).await?;
        let route = rtnetlink::RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(ingress.subnet.address, ingress.subnet.bits)
            .gateway(there)
            .output_interface(index)
            .build();
        let what = "route the ingress network";
        kernel.handle.route().add(route).replace().execute().await.map_err(Error::netlink(what))
    })?;
    // So that connections to 127.0.0.1 may leave by the uplink.
    ensure_setting(&format!("ipv4/conf/{name}/route_localnet"), "1")?;
    ensure_setting("ipv4/ip_forward", "1")?;
    for direction in ["-i", "-o"] {
        report.added += usize::from(nft::ensure_docker_user(&[direction, &name, "-j", "ACCEPT"])?);
    }
    Ok(())
}

fn ensure_far_end(address: Ipv4Addr) -> Result<(), Error> {
    Kernel::within(async |kernel| {
        let links = kernel.links().await?;
        let index = links.get(UPLINK).map(|link| link.index).ok_or_else(|| Error::NoNetwork(UPLINK.into()))?;
        kernel.add_address(index, address, 30).await?;
        kernel.set_up(index).await
    })
}

/// Takes the uplink and its rules away. Runs in the host's namespace.
pub(crate) fn remove_uplink(prefix: Prefix) -> Result<(), Error> {
    let name = prefix.uplink();
    nft::delete(&prefix.to_string())?;
    for direction in ["-i", "-o"] {
        nft::remove_docker_user(&[direction, &name, "-j", "ACCEPT"])?;
    }
    Kernel::within(async |kernel| match kernel.links().await?.get(&name) {
        Some(link) => kernel.delete_link(link.index).await,
        None => Ok(()),
    })
}
