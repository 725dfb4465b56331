//! The link between a container and its network.

use std::net::Ipv4Addr;

use crate::error::Error;
use crate::kernel::{End, Kernel, ensure_setting};
use crate::names::{ROUTER_MAC, task_link};
use crate::netns::Netns;

/// Makes the two ends, one in the network's namespace, one in the host's. Runs in the network's namespace.
pub(crate) fn plug(host: &Netns, address: Ipv4Addr, mac: [u8; 6], name: &str, mtu: u32) -> Result<(), Error> {
    let near = task_link(address);
    Kernel::within(async |kernel| {
        // A link of this address is left of an endpoint that had it before.
        if let Some(old) = kernel.links().await?.get(&near) {
            kernel.delete_link(old.index).await?;
        }
        let (near, far) = (End { name: &near, mac: Some(ROUTER_MAC) }, End { name, mac: Some(mac) });
        kernel.add_pair(near, far, host.fd(), mtu).await?;
        ensure_link_settings(near.name)?;
        let links = kernel.links().await?;
        let index = links.get(near.name).map(|link| link.index).ok_or_else(|| Error::NoNetwork(near.name.into()))?;
        let route = rtnetlink::RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(address, 32)
            .output_interface(index)
            .scope(netlink_packet_route::route::RouteScope::Link)
            .build();
        let what = format!("route {address}");
        kernel.handle.route().add(route).replace().execute().await.map_err(Error::netlink(what))
    })
}

/// The task believes that its network is one wire: its router answers for everybody on it, at once
/// (the kernel's default is a pause of up to 0.8 s).
pub(crate) fn ensure_link_settings(name: &str) -> Result<(), Error> {
    ensure_setting(&format!("ipv4/conf/{name}/proxy_arp"), "1")?;
    ensure_setting(&format!("ipv4/neigh/{name}/proxy_delay"), "0")?;
    Ok(())
}

/// Takes both ends away, if they are there. Runs in the network's namespace.
pub(crate) fn unplug(address: Ipv4Addr) -> Result<(), Error> {
    Kernel::within(async |kernel| match kernel.links().await?.get(&task_link(address)) {
        Some(link) => kernel.delete_link(link.index).await,
        None => Ok(()),
    })
}
