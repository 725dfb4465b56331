//! The network interfaces of this host, with what kind they are.
//!
//! The kind comes from netlink: `/sys` may belong to another network namespace than the process.

use super::address::Interface;
use crate::membership::AddressError;
use nix::{
    ifaddrs::getifaddrs,
    net::if_::InterfaceFlags,
    sys::{
        socket::{AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket},
        time::TimeVal,
    },
};
use std::{
    collections::{BTreeMap, HashMap},
    io,
    net::IpAddr,
    os::fd::AsRawFd as _,
};

/// Bytes of one answer at most; the kernel fills 32 KiB at once at most.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Seconds to wait for the kernel, which answers at once or not at all.
const ANSWER_SECONDS_MAX: i64 = 5;

/// The interfaces, ordered as the kernel lists them.
///
/// # Errors
/// [`AddressError::System`] when the system does not tell.
pub fn interfaces() -> Result<Vec<Interface>, AddressError> {
    let system = |error: io::Error| AddressError::System(error.to_string());
    let kinds = kinds().map_err(system)?;
    let mut order = Vec::new();
    let mut found: HashMap<String, Interface> = HashMap::new();
    for entry in getifaddrs().map_err(|errno| system(errno.into()))? {
        let interface = found.entry(entry.interface_name.clone()).or_insert_with(|| {
            order.push(entry.interface_name.clone());
            Interface {
                is_up: entry.flags.contains(InterfaceFlags::IFF_UP),
                is_loopback: entry.flags.contains(InterfaceFlags::IFF_LOOPBACK),
                kind: kinds.get(&entry.interface_name).cloned(),
                name: entry.interface_name,
                addresses: Vec::new(),
            }
        });
        if let Some(address) = entry.address {
            let v4 = address.as_sockaddr_in().map(|a| IpAddr::V4(a.ip()));
            let v6 = address.as_sockaddr_in6().map(|a| IpAddr::V6(a.ip()));
            interface.addresses.extend(v4.or(v6));
        }
    }
    Ok(order.into_iter().filter_map(|name| found.remove(&name)).collect())
}

/// The kind of every made-up interface, by name.
fn kinds() -> io::Result<BTreeMap<String, String>> {
    let socket = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute)?;
    let wait = TimeVal::new(ANSWER_SECONDS_MAX, 0);
    nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::ReceiveTimeout, &wait)?;
    sendto(socket.as_raw_fd(), &list_links(), &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
    let mut kinds = BTreeMap::new();
    let mut buffer = vec![0; ANSWER_BYTES_MAX];
    loop {
        let length = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
        if read_links(&buffer[..length], &mut kinds)? {
            return Ok(kinds);
        }
    }
}

/// Length of the header of a netlink message, and of what follows it in one about a link (`ifinfomsg`).
const HEADER: usize = 16;
const LINK_HEADER: usize = 16;

/// A request for all links: header, then an empty `ifinfomsg`.
fn list_links() -> [u8; HEADER + LINK_HEADER] {
    const REQUEST_AND_DUMP: u16 = (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16;
    let mut message = [0; HEADER + LINK_HEADER];
    message[..4].copy_from_slice(&32u32.to_ne_bytes());
    message[4..6].copy_from_slice(&libc::RTM_GETLINK.to_ne_bytes());
    message[6..8].copy_from_slice(&REQUEST_AND_DUMP.to_ne_bytes());
    message
}

/// Takes the links out of a datagram; whether it was the last one.
fn read_links(mut datagram: &[u8], kinds: &mut BTreeMap<String, String>) -> io::Result<bool> {
    const DONE: u16 = libc::NLMSG_DONE as u16;
    const ERROR: u16 = libc::NLMSG_ERROR as u16;
    while let Some((kind, message, rest)) = next_message(datagram) {
        match kind {
            DONE => return Ok(true),
            ERROR => return Err(io::Error::other("the kernel refused to list links")),
            libc::RTM_NEWLINK => {
                let attributes = message.get(LINK_HEADER..).unwrap_or_default();
                let name = attribute(attributes, libc::IFLA_IFNAME);
                let link_kind = attribute(attributes, libc::IFLA_LINKINFO).and_then(|info| attribute(info, libc::IFLA_INFO_KIND));
                if let (Some(name), Some(link_kind)) = (name, link_kind) {
                    kinds.insert(text(name), text(link_kind));
                }
            }
            _ => {}
        }
        datagram = rest;
    }
    Ok(false)
}

/// Type and content of the first message, and what follows it.
fn next_message(datagram: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = u32::from_ne_bytes(*datagram.first_chunk::<4>()?) as usize;
    let kind = u16::from_ne_bytes(datagram.get(4..6)?.try_into().ok()?);
    let message = datagram.get(HEADER..length)?;
    Some((kind, message, datagram.get(length.next_multiple_of(4)..).unwrap_or_default()))
}

/// Content of the first attribute of this type.
fn attribute(mut attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    const TYPE_MASK: u16 = 0x3fff;
    loop {
        let length = usize::from(u16::from_ne_bytes(*attributes.first_chunk::<2>()?));
        let kind = u16::from_ne_bytes(attributes.get(2..4)?.try_into().ok()?) & TYPE_MASK;
        let content = attributes.get(4..length)?;
        if kind == wanted {
            return Some(content);
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
}

fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_is_there_and_no_made_up_interface() {
        let interfaces = interfaces().expect("the system tells its interfaces");
        let lo = interfaces.iter().find(|i| i.is_loopback).expect("every host has a loopback");
        assert_eq!(lo.kind, None);
    }

    #[test]
    fn broken_messages_end_the_list() {
        let mut kinds = BTreeMap::new();
        for bytes in [&[][..], &[1], &[255; 16], &[0; 40], &[4, 0, 0, 0, 16, 0]] {
            assert!(!read_links(bytes, &mut kinds).expect("is no refusal"));
        }
        assert_eq!(attribute(&[0; 8], 3), None);
        assert_eq!(attribute(&[255, 255, 3, 0], 3), None);
        assert!(kinds.is_empty());
    }
}
