//! Addresses, neighbours, forwarding entries, rules and routes of a network's namespace: what is wanted,
//! what is there, and the difference.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use futures_util::TryStreamExt as _;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::AddressAttribute;
use netlink_packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteProtocol, RouteScope, RouteType};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use nix::libc;
use rtnetlink::{AddressMessageBuilder, IpVersion, RouteMessageBuilder};

use crate::dataplane::Report;
use crate::error::Error;
use crate::kernel::{Kernel, Link, ignore};
use crate::names::{VXLAN, task_of};

/// The kernel's main routing table.
pub(crate) const MAIN: u32 = 254;
/// Marks and tables of the way back to a node are this plus the node's index.
pub(crate) const NODE_MARKS: u32 = 0x1_0000;

/// What an entry is about. The order is the one in which they are made: a route needs its neighbour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    /// An address of the loopback device.
    Address(Ipv4Addr),
    /// A neighbour on the VXLAN device.
    Neighbour(Ipv4Addr),
    /// A forwarding entry of the VXLAN device.
    Forwarding([u8; 6]),
    /// Packets with this mark use the table of the same number.
    Rule(u32),
    /// A route: table, destination, leading bits.
    Route(u32, Ipv4Addr, u8),
}

/// What an entry says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value {
    /// That it is there.
    Present,
    /// The MAC of a neighbour.
    Mac([u8; 6]),
    /// The node that has a MAC.
    Vtep(Ipv4Addr),
    /// No way leads there.
    Unreachable,
    /// Straight out of the device of this index.
    Link(u32),
    /// By this hop, out of the device of this index.
    Via(Ipv4Addr, u32),
}

/// Entries by what they are about.
pub(crate) type Entries = BTreeMap<Key, Value>;

/// Makes the namespace's entries what is wanted and counts what had to change.
pub(crate) async fn ensure_entries(
    kernel: &Kernel,
    links: &BTreeMap<String, Link>,
    wanted: &Entries,
    report: &mut Report,
) -> Result<(), Error> {
    let Devices { loopback, vxlan } = Devices::of(links);
    let actual = observe(kernel, loopback, vxlan).await?;
    // Routes go before what they use, and a moved task's route is replaced below, not taken away.
    for (key, value) in actual.iter().rev().filter(|(key, _)| !wanted.contains_key(key)) {
        remove(kernel, loopback, vxlan, *key, *value).await?;
        report.removed += 1;
    }
    for (key, value) in wanted {
        if actual.get(key) != Some(value) {
            add(kernel, loopback, vxlan, *key, *value).await?;
            report.added += 1;
        }
    }
    Ok(())
}

struct Devices {
    loopback: u32,
    vxlan: u32,
}

impl Devices {
    fn of(links: &BTreeMap<String, Link>) -> Self {
        let index = |name: &str| links.get(name).map_or(0, |link| link.index);
        Self { loopback: index("lo"), vxlan: index(VXLAN) }
    }
}

/// The tasks that are plugged in, with the index of their device.
pub(crate) fn plugged(links: &BTreeMap<String, Link>) -> BTreeMap<Ipv4Addr, u32> {
    links.iter().filter_map(|(name, link)| Some((task_of(name)?, link.index))).collect()
}

/// What the namespace holds, of the kinds that are kept here.
pub(crate) async fn observe_entries(kernel: &Kernel, links: &BTreeMap<String, Link>) -> Result<Entries, Error> {
    let Devices { loopback, vxlan } = Devices::of(links);
    observe(kernel, loopback, vxlan).await
}

async fn observe(kernel: &Kernel, loopback: u32, vxlan: u32) -> Result<Entries, Error> {
    let mut entries = Entries::new();
    let mut addresses = kernel.handle.address().get().set_link_index_filter(loopback).execute();
    while let Some(message) = addresses.try_next().await.map_err(Error::netlink("list addresses"))? {
        for attribute in message.attributes {
            if let AddressAttribute::Local(IpAddr::V4(address)) = attribute
                && message.header.index == loopback
                && !address.is_loopback()
            {
                entries.insert(Key::Address(address), Value::Present);
            }
        }
    }
    for family in [AddressFamily::Inet, AddressFamily::Bridge] {
        let mut found = kernel.handle.neighbours().get().set_address_family(family).execute();
        while let Some(message) = found.try_next().await.map_err(Error::netlink("list neighbours"))? {
            if message.header.ifindex == vxlan {
                entries.extend(read_neighbour(&message));
            }
        }
    }
    let mut rules = kernel.handle.rule().get(IpVersion::V4).execute();
    while let Some(message) = rules.try_next().await.map_err(Error::netlink("list rules"))? {
        entries.extend(read_rule(&message));
    }
    let everything = RouteMessageBuilder::<Ipv4Addr>::new().table_id(0).build();
    let mut routes = kernel.handle.route().get(everything).execute();
    while let Some(message) = routes.try_next().await.map_err(Error::netlink("list routes"))? {
        entries.extend(read_route(&message));
    }
    Ok(entries)
}

fn read_neighbour(message: &NeighbourMessage) -> Option<(Key, Value)> {
    let mut mac = None;
    let mut destination = None;
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::LinkLayerAddress(bytes) => mac = <[u8; 6]>::try_from(bytes.as_slice()).ok(),
            NeighbourAttribute::Destination(NeighbourAddress::Inet(address)) => destination = Some(*address),
            NeighbourAttribute::Destination(NeighbourAddress::Other(bytes)) => {
                destination = <[u8; 4]>::try_from(bytes.as_slice()).ok().map(Ipv4Addr::from);
            }
            _ => {}
        }
    }
    if message.header.family == AddressFamily::Bridge {
        return Some((Key::Forwarding(mac?), Value::Vtep(destination?)));
    }
    // What the kernel learned by asking is no entry of ours, and goes by itself.
    let permanent = message.header.state == NeighbourState::Permanent;
    permanent.then_some((Key::Neighbour(destination?), Value::Mac(mac?)))
}

fn read_rule(message: &RuleMessage) -> Option<(Key, Value)> {
    let mark = message.attributes.iter().find_map(|attribute| match attribute {
        RuleAttribute::FwMark(mark) => Some(*mark),
        _ => None,
    })?;
    Some((Key::Rule(mark), Value::Present))
}

fn read_route(message: &RouteMessage) -> Option<(Key, Value)> {
    if message.header.protocol == RouteProtocol::Kernel || message.header.address_family != AddressFamily::Inet {
        return None;
    }
    let mut table = u32::from(message.header.table);
    let (mut destination, mut device, mut gateway) = (Ipv4Addr::UNSPECIFIED, 0, None);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Table(id) => table = *id,
            RouteAttribute::Destination(RouteAddress::Inet(address)) => destination = *address,
            RouteAttribute::Oif(index) => device = *index,
            RouteAttribute::Gateway(RouteAddress::Inet(address)) => gateway = Some(*address),
            _ => {}
        }
    }
    let value = match (message.header.kind, gateway) {
        (RouteType::Unreachable, _) => Value::Unreachable,
        (_, Some(gateway)) => Value::Via(gateway, device),
        (_, None) => Value::Link(device),
    };
    Some((Key::Route(table, destination, message.header.destination_prefix_length), value))
}

async fn add(kernel: &Kernel, loopback: u32, vxlan: u32, key: Key, value: Value) -> Result<(), Error> {
    let what = Error::netlink(format!("add {key:?} {value:?}"));
    let handle = &kernel.handle;
    match (key, value) {
        (Key::Address(address), _) => kernel.add_address(loopback, address, 32).await?,
        (Key::Neighbour(hop), Value::Mac(mac)) => {
            let request = handle.neighbours().add(vxlan, IpAddr::V4(hop)).link_layer_address(&mac);
            request.replace().execute().await.map_err(what)?;
        }
        (Key::Forwarding(mac), Value::Vtep(vtep)) => {
            let request = handle.neighbours().add_bridge(vxlan, &mac).flags(NeighbourFlags::Own);
            request.destination(IpAddr::V4(vtep)).replace().execute().await.map_err(what)?;
        }
        (Key::Rule(mark), _) => {
            let request = handle.rule().add().v4().fw_mark(mark).table_id(mark).action(RuleAction::ToTable);
            ignore(request.execute().await, libc::EEXIST).map_err(what)?;
        }
        (key @ Key::Route(..), value) => {
            handle.route().add(route(key, value)).replace().execute().await.map_err(what)?;
        }
        (Key::Neighbour(_) | Key::Forwarding(_), _) => unreachable!("{key:?} never says {value:?}"),
    }
    Ok(())
}

async fn remove(kernel: &Kernel, loopback: u32, vxlan: u32, key: Key, value: Value) -> Result<(), Error> {
    let handle = &kernel.handle;
    let result = match (key, value) {
        (Key::Address(address), _) => {
            let message = AddressMessageBuilder::<Ipv4Addr>::new().index(loopback).address(address, 32).build();
            handle.address().del(message).execute().await
        }
        (Key::Neighbour(hop), _) => {
            let mut request = handle.neighbours().add(vxlan, IpAddr::V4(hop));
            handle.neighbours().del(request.message_mut().clone()).execute().await
        }
        (Key::Forwarding(mac), _) => {
            let mut request = handle.neighbours().add_bridge(vxlan, &mac).flags(NeighbourFlags::Own);
            handle.neighbours().del(request.message_mut().clone()).execute().await
        }
        (Key::Rule(mark), _) => {
            let mut request = handle.rule().add().v4().fw_mark(mark).table_id(mark).action(RuleAction::ToTable);
            handle.rule().del(request.message_mut().clone()).execute().await
        }
        (key @ Key::Route(..), value) => {
            // Whoever made it, and whatever reach it was given.
            let mut message = route(key, value);
            message.header.protocol = RouteProtocol::Unspec;
            message.header.scope = RouteScope::NoWhere;
            handle.route().del(message).execute().await
        }
    };
    // What vanished between looking and removing is as wanted.
    let result = ignore(ignore(result, libc::ENOENT), libc::ESRCH);
    ignore(result, libc::EADDRNOTAVAIL).map_err(Error::netlink(format!("remove {key:?}")))
}

/// The message of a route. Keys of other kinds have none.
fn route(key: Key, value: Value) -> RouteMessage {
    let Key::Route(table, destination, bits) = key else { unreachable!("{key:?} is no route") };
    let builder = RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(destination, bits).table_id(table);
    match value {
        Value::Via(hop, device) => builder.gateway(hop).output_interface(device).onlink().build(),
        Value::Link(device) => builder.output_interface(device).scope(RouteScope::Link).build(),
        _ => builder.kind(RouteType::Unreachable).build(),
    }
}
