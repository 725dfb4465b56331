//! Forgetting the connections whose far end is gone, over ctnetlink.
//!
//! A translated flow stays with its backend as long as the kernel tracks it. For a UDP client that keeps
//! its source port that is for ever, even when the backend's route is gone.

use std::io;
use std::net::Ipv4Addr;

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};

use crate::error::Error;

/// `NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET` and the same for `IPCTNL_MSG_CT_DELETE`
/// (linux/netfilter/nfnetlink.h, nfnetlink_conntrack.h).
const GET: u16 = 0x0101;
const DELETE: u16 = 0x0102;
const REQUEST_DUMP: u16 = 0x0301;
const REQUEST_ACK: u16 = 0x0005;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// Bytes of `nlmsghdr` and of `nfgenmsg`.
const HEADERS: usize = 20;
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
const CTA_TUPLE_IP: u16 = 1;
const CTA_IP_V4_SRC: u16 = 1;
const CTA_IP_V4_DST: u16 = 2;
/// The bits of an attribute's kind that say what it is, without those for nesting and byte order.
const KIND: u16 = 0x3fff;

/// A flow as it was asked for, and who answers it.
struct Flow {
    /// The attribute that names it, as the kernel wrote it.
    tuple: Vec<u8>,
    /// Where the client sent its packets.
    asked: Ipv4Addr,
    /// Who answers.
    answers: Ipv4Addr,
}

/// Forgets the translated flows of the calling thread's namespace whose answering end is `gone`.
/// Returns how many.
pub(crate) fn purge(gone: impl Fn(Ipv4Addr) -> bool) -> Result<usize, Error> {
    let failed = |action| move |source| Error::Conntrack { action, source };
    let mut socket = Socket::new(NETLINK_NETFILTER).map_err(failed("open"))?;
    socket.bind_auto().map_err(failed("open"))?;
    let flows = dump(&socket).map_err(failed("list"))?;
    let mut purged = 0;
    for flow in flows.iter().filter(|flow| flow.asked != flow.answers && gone(flow.answers)) {
        purged += usize::from(delete(&socket, &flow.tuple).map_err(failed("delete"))?);
    }
    Ok(purged)
}

fn dump(socket: &Socket) -> io::Result<Vec<Flow>> {
    send(socket, GET, REQUEST_DUMP, &[])?;
    let mut flows = Vec::new();
    loop {
        let (packet, _) = socket.recv_from_full()?;
        for (kind, body) in messages(&packet) {
            match kind {
                NLMSG_DONE => return Ok(flows),
                NLMSG_ERROR => check(body)?,
                _ => flows.extend(body.get(4..).and_then(read_flow)),
            }
        }
    }
}

/// Whether the flow was still there.
fn delete(socket: &Socket, tuple: &[u8]) -> io::Result<bool> {
    send(socket, DELETE, REQUEST_ACK, tuple)?;
    let (packet, _) = socket.recv_from_full()?;
    for (kind, body) in messages(&packet) {
        if kind == NLMSG_ERROR {
            match check(body) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                other => other?,
            }
        }
    }
    Ok(true)
}

fn send(socket: &Socket, kind: u16, flags: u16, attributes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(HEADERS + attributes.len()).map_err(io::Error::other)?;
    let mut message = length.to_ne_bytes().to_vec();
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    // Sequence and port numbers stay zero: one request is under way at a time.
    message.extend([0; 8]);
    message.extend([nix::libc::AF_INET as u8, 0, 0, 0]);
    message.extend(attributes);
    socket.send_to(&message, &SocketAddr::new(0, 0), 0).map(drop)
}

/// The error of an NLMSG_ERROR message; zero is an acknowledgement.
fn check(body: &[u8]) -> io::Result<()> {
    match body.first_chunk::<4>().map(|bytes| i32::from_ne_bytes(*bytes)) {
        Some(0) => Ok(()),
        Some(code) => Err(io::Error::from_raw_os_error(-code)),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// The kinds and bodies of a packet's messages.
fn messages(mut packet: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::try_from(u32::from_ne_bytes(*packet.first_chunk()?)).ok()?;
        let kind = u16::from_ne_bytes(packet.get(4..6)?.try_into().ok()?);
        let body = packet.get(16..length)?;
        packet = packet.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, body))
    })
}

/// The attributes of a message: kind, whole attribute with its header, value.
fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8], &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(*bytes.first_chunk()?));
        let kind = u16::from_ne_bytes(bytes.get(2..4)?.try_into().ok()?) & KIND;
        let padded = length.next_multiple_of(4).min(bytes.len());
        let (whole, value) = (bytes.get(..padded)?, bytes.get(4..length)?);
        bytes = bytes.get(padded..)?;
        Some((kind, whole, value))
    })
}

fn read_flow(bytes: &[u8]) -> Option<Flow> {
    let find = |bytes, wanted| attributes(bytes).find(move |(kind, ..)| *kind == wanted);
    let address = |tuple, wanted| {
        let (_, _, ip) = find(tuple, CTA_TUPLE_IP)?;
        let (_, _, value) = find(ip, wanted)?;
        Some(Ipv4Addr::from(<[u8; 4]>::try_from(value).ok()?))
    };
    let (_, whole, original) = find(bytes, CTA_TUPLE_ORIG)?;
    let (_, _, reply) = find(bytes, CTA_TUPLE_REPLY)?;
    let (asked, answers) = (address(original, CTA_IP_V4_DST)?, address(reply, CTA_IP_V4_SRC)?);
    Some(Flow { tuple: whole.to_vec(), asked, answers })
}
