//! The host's side of the routing mesh: the uplink to the ingress network, reserved ports, rules.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd as _, OwnedFd};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, socket};

use crate::dataplane::Report;
use crate::desired::{Mesh, Network, Protocol};
use crate::error::Error;
use crate::kernel::{End, Kernel, ensure_setting};
use crate::names::{Prefix, UPLINK};
use crate::netns::Netns;
use crate::nft;

/// The published ports of this host that are held, each by a socket that keeps others from taking it. SCTP ports are not
/// guarded: few kernels have it, and hosts hardly use it.
#[derive(Debug, Default)]
pub(crate) struct Ports(BTreeMap<(Protocol, u16), Option<OwnedFd>>);

impl Ports {
    /// Holds exactly the ports that are published, and returns those that could be had. Runs in the
    /// host's namespace. A port somebody else has is a fault that names it; the others work.
    pub(crate) fn ensure(&mut self, mesh: &Mesh, report: &mut Report) -> BTreeSet<(Protocol, u16)> {
        self.0.retain(|port, _| mesh.ports.contains_key(port));
        for &(protocol, port) in mesh.ports.keys() {
            if self.0.contains_key(&(protocol, port)) {
                continue;
            }
            let held = match protocol {
                Protocol::Tcp => hold(SockType::Stream, port).map(Some),
                Protocol::Udp => hold(SockType::Datagram, port).map(Some),
                Protocol::Sctp => Ok(None),
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

/// Binds a port and does not listen: as long as no task is behind it, clients are refused and do not hang.
fn hold(kind: SockType, port: u16) -> io::Result<OwnedFd> {
    let held = socket(AddressFamily::Inet, kind, SockFlag::SOCK_CLOEXEC, None)?;
    bind(held.as_raw_fd(), &SockaddrIn::new(0, 0, 0, 0, port))?;
    Ok(held)
}

/// Links the ingress network's namespace with the host. Runs in the host's namespace.
pub(crate) fn ensure_uplink(prefix: Prefix, ingress: &Network, namespace: &Netns, report: &mut Report) -> Result<(), Error> {
    let name = prefix.uplink();
    let (here, there) = prefix.uplink_addresses();
    Kernel::within(async |kernel| {
        let mut links = kernel.links().await?;
        // Two agents would lead the same addresses two ways. Of two that come at once, one stays.
        let other =
            links.keys().find(|link| Prefix::is_uplink(link) && **link < name || !links.contains_key(&name) && Prefix::is_uplink(link));
        if let Some(other) = other {
            return Err(Error::MeshTaken(other.clone()));
        }
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
    // The device is made first and goes last: without it there is nothing else.
    let Some(link) = Kernel::within(async |kernel| Ok(kernel.links().await?.remove(&name)))? else { return Ok(()) };
    nft::delete(&prefix.to_string())?;
    for direction in ["-i", "-o"] {
        nft::remove_docker_user(&[direction, &name, "-j", "ACCEPT"])?;
    }
    Kernel::within(async |kernel| kernel.delete_link(link.index).await)
}
