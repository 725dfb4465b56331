//! What is asked of the kernel over rtnetlink, in the calling thread's namespace.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use futures_util::TryStreamExt as _;
use netlink_packet_route::link::{InfoData, InfoVxlan, LinkAttribute, LinkFlags, LinkInfo, LinkMessage};
use rtnetlink::{Handle, LinkMessageBuilder, LinkUnspec, LinkVeth};

use crate::error::Error;

/// A netlink connection, made in the namespace of the thread that called [`Kernel::within`].
#[derive(Debug)]
pub(crate) struct Kernel {
    pub(crate) handle: Handle,
}

/// A device as the kernel has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) up: bool,
    pub(crate) mtu: u32,
    pub(crate) mac: Vec<u8>,
    pub(crate) vxlan: Option<Vxlan>,
}

/// What a VXLAN device was made with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Vxlan {
    pub(crate) vni: u32,
    pub(crate) port: u16,
    pub(crate) local: Option<Ipv4Addr>,
}

/// One end of a pair of devices.
#[derive(Debug, Clone, Copy)]
pub(crate) struct End<'a> {
    pub(crate) name: &'a str,
    pub(crate) mac: Option<[u8; 6]>,
}

impl Kernel {
    /// Runs `work` with a connection of the calling thread's namespace. Blocks.
    pub(crate) fn within<T>(work: impl AsyncFnOnce(&Self) -> Result<T, Error>) -> Result<T, Error> {
        let failed = |source| Error::Run { program: "netlink", source };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        runtime.block_on(async {
            let (connection, handle, _) = rtnetlink::new_connection().map_err(failed)?;
            let driver = tokio::spawn(connection);
            let result = work(&Self { handle }).await;
            driver.abort();
            result
        })
    }

    /// All devices of the namespace, by name.
    pub(crate) async fn links(&self) -> Result<BTreeMap<String, Link>, Error> {
        let mut links = BTreeMap::new();
        let mut found = self.handle.link().get().execute();
        while let Some(message) = found.try_next().await.map_err(Error::netlink("list devices"))? {
            links.extend(read_link(&message));
        }
        Ok(links)
    }

    /// The MTU of the device that has an address.
    pub(crate) async fn mtu_of(&self, address: Ipv4Addr) -> Result<Option<u32>, Error> {
        let mut found = self.handle.address().get().set_address_filter(IpAddr::V4(address)).execute();
        let Some(message) = found.try_next().await.map_err(Error::netlink("list addresses"))? else { return Ok(None) };
        let index = message.header.index;
        Ok(self.links().await?.values().find(|link| link.index == index).map(|link| link.mtu))
    }

    /// Removes a device. One that is gone already is no error.
    pub(crate) async fn delete_link(&self, index: u32) -> Result<(), Error> {
        ignore(self.handle.link().del(index).execute().await, nix::libc::ENODEV).map_err(Error::netlink(format!("remove device {index}")))
    }

    /// Brings a device up.
    pub(crate) async fn set_up(&self, index: u32) -> Result<(), Error> {
        let message = LinkUnspec::new_with_index(index).up().build();
        self.handle.link().set(message).execute().await.map_err(Error::netlink(format!("bring device {index} up")))
    }

    /// Sets the largest packet of a device, in bytes.
    pub(crate) async fn set_mtu(&self, index: u32, mtu: u32) -> Result<(), Error> {
        let message = LinkUnspec::new_with_index(index).mtu(mtu).build();
        self.handle.link().set(message).execute().await.map_err(Error::netlink(format!("set the MTU of device {index}")))
    }

    /// Makes a pair of devices: `here`, up, and `there` in the namespace of descriptor `namespace`.
    pub(crate) async fn add_pair(&self, here: End<'_>, there: End<'_>, namespace: i32, mtu: u32) -> Result<(), Error> {
        let with_mac = |mac: Option<[u8; 6]>| mac.map(|mac| LinkAttribute::Address(mac.to_vec()));
        let mut peer = LinkMessageBuilder::<LinkUnspec>::new().name(there.name).mtu(mtu).setns_by_fd(namespace).build();
        peer.attributes.extend(with_mac(there.mac));
        let info = InfoData::Veth(netlink_packet_route::link::InfoVeth::Peer(peer));
        let mut pair = LinkMessageBuilder::<LinkVeth>::new(here.name, there.name).set_info_data(info).mtu(mtu).up().build();
        pair.attributes.extend(with_mac(here.mac));
        let what = format!("make the devices {} and {}", here.name, there.name);
        self.handle.link().add(pair).execute().await.map_err(Error::netlink(what))
    }

    /// Gives a device an address, which it may have already.
    pub(crate) async fn add_address(&self, index: u32, address: Ipv4Addr, bits: u8) -> Result<(), Error> {
        let what = format!("add the address {address}/{bits}");
        let request = self.handle.address().add(index, IpAddr::V4(address), bits).replace();
        request.execute().await.map_err(Error::netlink(what))
    }
}

/// Turns the error `code` into success.
pub(crate) fn ignore(result: Result<(), rtnetlink::Error>, code: i32) -> Result<(), rtnetlink::Error> {
    match result {
        Err(rtnetlink::Error::NetlinkError(error)) if error.raw_code().abs() == code => Ok(()),
        other => other,
    }
}

/// Writes a setting under `/proc/sys/net`, of the calling thread's namespace, unless it is so already.
pub(crate) fn ensure_setting(name: &str, value: &str) -> Result<bool, Error> {
    let path = Path::new("/proc/sys/net").join(name);
    let failed = |source| Error::Setting { path: path.clone(), source };
    if fs::read_to_string(&path).map_err(failed)?.trim() == value {
        return Ok(false);
    }
    fs::write(&path, value).map_err(failed)?;
    Ok(true)
}

fn read_link(message: &LinkMessage) -> Option<(String, Link)> {
    let mut name = None;
    let up = message.header.flags.contains(LinkFlags::Up);
    let mut link = Link { index: message.header.index, up, mtu: 0, mac: Vec::new(), vxlan: None };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(text) => name = Some(text.clone()),
            LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
            LinkAttribute::Address(mac) => link.mac.clone_from(mac),
            LinkAttribute::LinkInfo(infos) => link.vxlan = infos.iter().find_map(read_vxlan),
            _ => {}
        }
    }
    Some((name?, link))
}

fn read_vxlan(info: &LinkInfo) -> Option<Vxlan> {
    let LinkInfo::Data(InfoData::Vxlan(infos)) = info else { return None };
    let mut vxlan = Vxlan::default();
    for info in infos {
        match info {
            InfoVxlan::Id(vni) => vxlan.vni = *vni,
            InfoVxlan::Port(port) => vxlan.port = *port,
            InfoVxlan::Local(local) => vxlan.local = Some(*local),
            _ => {}
        }
    }
    Some(vxlan)
}
