//! From a question to what is done about it.

use std::net::{IpAddr, SocketAddr};

use hickory_proto::op::{Edns, Message, MessageType, Metadata, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, PTR};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::{BinEncodable as _, BinEncoder};

use super::zone::{Client, Forward, Tables, Zone};

/// Answers count for one question: an address may stop being in service at any time.
const TTL: u32 = 0;
/// What we take by UDP, in bytes, and the most we send: one packet on any usual network.
const UDP_BYTES_MAX: u16 = 1232;
/// What every resolver takes by UDP (RFC 1035 §4.2.1), in bytes.
const UDP_BYTES_MIN: u16 = 512;
/// Length of a message's header, in bytes.
pub(crate) const HEADER_BYTES: usize = 12;
/// Length of the additional record of EDNS without options, in bytes.
const EDNS_BYTES: u16 = 11;

/// How a question came, and its answer goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    /// In one packet.
    Udp,
    /// In a stream.
    Tcp,
}

/// What is done about a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Nothing: it is no question.
    Ignore,
    /// This is sent back.
    Reply(Vec<u8>),
    /// Nobody may ask that from there: this is sent back.
    Refuse(Vec<u8>),
    /// The servers of the host are asked.
    AskHost,
    /// These servers are asked.
    Ask(Vec<SocketAddr>),
}

/// Decides about a message that came in at the gateway of `network`. `seed` shuffles the addresses.
pub(crate) fn decide(tables: &Tables, network: &str, source: IpAddr, bytes: &[u8], transport: Transport, seed: u64) -> Decision {
    let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else { return Decision::Ignore };
    if header[2] & 0x80 != 0 {
        return Decision::Ignore;
    }
    let Some(client) = tables.client(network, source) else {
        return Decision::Refuse(failure(bytes, ResponseCode::Refused));
    };
    if header[2] & 0x78 != 0 {
        return Decision::Reply(failure(bytes, ResponseCode::NotImp));
    }
    // One question and nothing besides, before anything is set aside for what the counts promise.
    if header[4..10] != [0, 1, 0, 0, 0, 0] {
        return Decision::Reply(failure(bytes, ResponseCode::FormErr));
    }
    let Ok(request) = Message::from_vec(bytes) else {
        return Decision::Reply(failure(bytes, ResponseCode::FormErr));
    };
    let Some(query) = request.queries.first() else {
        return Decision::Reply(failure(bytes, ResponseCode::FormErr));
    };
    if request.edns.as_ref().is_some_and(|edns| edns.version() > 0) {
        return Decision::Reply(reply(&request, ResponseCode::BADVERS, Vec::new(), transport));
    }
    // A record takes sixteen bytes at least; one more than could fit shows that something was left out.
    let records_max = usize::from(bytes_max(&request, transport)) / 16 + 1;
    match known(tables, client, query, records_max, seed) {
        Some(Known::Records(records)) => Decision::Reply(reply(&request, ResponseCode::NoError, records, transport)),
        Some(Known::Nobody) => Decision::Reply(reply(&request, ResponseCode::NXDomain, Vec::new(), transport)),
        None => elsewhere(tables, client, &request, transport),
    }
}

/// The shortest answer to a message of which little may be understood: its id, and why not.
pub(crate) fn failure(request: &[u8], code: ResponseCode) -> Vec<u8> {
    let mut reply = vec![0; HEADER_BYTES];
    let length = request.len().min(4);
    reply[..length].copy_from_slice(&request[..length]);
    // An answer, with the kind of question and the wish for recursion as they were.
    reply[2] = reply[2] & 0x79 | 0x80;
    reply[3] = 0x80 | code.low();
    // The question goes along where it is whole, since resolvers compare it.
    if let Some(end) = question_end(request) {
        reply[5] = 1;
        reply.extend_from_slice(&request[HEADER_BYTES..end]);
    }
    reply
}

/// Where the only question of a message ends, if it is whole.
pub(crate) fn question_end(message: &[u8]) -> Option<usize> {
    if message.get(4..6)? != [0, 1] {
        return None;
    }
    let mut at = HEADER_BYTES;
    loop {
        match usize::from(*message.get(at)?) {
            0 => break,
            length @ 1..64 => at += length + 1,
            // A first question has nothing to point back to.
            _ => return None,
        }
    }
    let end = at + 5;
    (end <= message.len() && end - HEADER_BYTES <= 255 + 4).then_some(end)
}

enum Known {
    Records(Vec<Record>),
    Nobody,
}

/// What the client's networks say, or `None` when the question is not about them.
fn known(tables: &Tables, client: &Client, query: &Query, records_max: usize, seed: u64) -> Option<Known> {
    if query.query_class() != DNSClass::IN {
        return None;
    }
    if query.query_type() == RecordType::PTR
        && let Some(address) = reverse(query.name())
    {
        let zone = tables.zones_of(client).find(|zone| zone.contains(address))?;
        let owner = zone.owner(address).and_then(|owner| name(&owner));
        return Some(owner.map_or(Known::Nobody, |owner| Known::Records(vec![record(query, RData::PTR(PTR(owner)))])));
    }
    let name = text(query.name())?;
    let mut addresses = find(tables.zones_of(client), &name)?.to_vec();
    let kind = query.query_type();
    addresses.retain(|address| match address {
        IpAddr::V4(_) => matches!(kind, RecordType::A | RecordType::ANY),
        IpAddr::V6(_) => matches!(kind, RecordType::AAAA | RecordType::ANY),
    });
    choose(&mut addresses, records_max, seed);
    let data = addresses.into_iter().map(|address| match address {
        IpAddr::V4(address) => RData::A(A(address)),
        IpAddr::V6(address) => RData::AAAA(AAAA(address)),
    });
    Some(Known::Records(data.map(|data| record(query, data)).collect()))
}

/// The whole name on each network first, then what is left of it on the network that it ends with.
fn find<'a>(zones: impl Iterator<Item = &'a Zone> + Clone, name: &str) -> Option<&'a [IpAddr]> {
    zones.clone().find_map(|zone| zone.find(name)).or_else(|| zones.clone().find_map(|zone| zone.find(zone.within(name)?)))
}

/// About a name of nobody here.
fn elsewhere(tables: &Tables, client: &Client, request: &Message, transport: Transport) -> Decision {
    let fail = |code| Decision::Reply(reply(request, code, Vec::new(), transport));
    match &client.forward {
        Forward::Host => Decision::AskHost,
        Forward::Nowhere(false) => fail(ResponseCode::NXDomain),
        Forward::Nowhere(true) => fail(ResponseCode::ServFail),
        Forward::Servers(servers) => {
            let inside = |address| tables.zones_of(client).any(|zone| zone.contains(address));
            let servers: Vec<_> = servers.iter().filter(|server| !inside(server.ip())).copied().collect();
            if servers.is_empty() { fail(ResponseCode::ServFail) } else { Decision::Ask(servers) }
        }
    }
}

/// A name in lower case without the last dot, if it could be one of ours: printable, and without dots
/// inside of a label.
fn text(name: &Name) -> Option<String> {
    let mut text = String::with_capacity(name.len());
    for label in name.iter() {
        if label.iter().any(|byte| !byte.is_ascii_graphic() || *byte == b'.') {
            return None;
        }
        if !text.is_empty() {
            text.push('.');
        }
        text.extend(label.iter().map(|byte| char::from(byte.to_ascii_lowercase())));
    }
    Some(text)
}

/// The address that a name under `arpa` asks about.
fn reverse(name: &Name) -> Option<IpAddr> {
    let net = name.parse_arpa_name().ok()?;
    (net.prefix_len() == net.max_prefix_len()).then(|| net.addr())
}

fn name(text: &str) -> Option<Name> {
    Name::from_labels(text.split('.').map(str::as_bytes)).ok()
}

fn record(query: &Query, data: RData) -> Record {
    Record::from_rdata(query.name().clone(), TTL, data)
}

/// An answer that fits its transport: what does not is left out, and said to be.
fn reply(request: &Message, code: ResponseCode, records: Vec<Record>, transport: Transport) -> Vec<u8> {
    let asked = &request.metadata;
    let mut metadata = Metadata::new(asked.id, MessageType::Response, OpCode::Query);
    metadata.authoritative = matches!(code, ResponseCode::NoError | ResponseCode::NXDomain);
    metadata.recursion_desired = asked.recursion_desired;
    metadata.checking_disabled = asked.checking_disabled;
    metadata.recursion_available = true;
    metadata.response_code = code;
    let mut message = Message::new(asked.id, MessageType::Response, OpCode::Query);
    message.metadata = metadata;
    message.queries.clone_from(&request.queries);
    message.answers = records;
    let edns = request.edns.as_ref().map(|asked| {
        let mut edns = Edns::new();
        edns.set_max_payload(UDP_BYTES_MAX).set_version(0).set_dnssec_ok(asked.flags().dnssec_ok);
        edns
    });
    // The room for EDNS is kept free while the records are fitted in, which an encoder would not do.
    let room = bytes_max(request, transport) - if edns.is_some() { EDNS_BYTES } else { 0 };
    let fitting = fitting(&message, room);
    if fitting < message.answers.len() {
        message.answers.truncate(fitting);
        message.metadata.truncation = true;
    }
    message.edns = edns;
    message.to_vec().unwrap_or_else(|_| failure_of(asked.id))
}

/// How long the answer may be.
fn bytes_max(request: &Message, transport: Transport) -> u16 {
    let offered = request.edns.as_ref().map_or(UDP_BYTES_MIN, Edns::max_payload);
    match transport {
        Transport::Udp => offered.clamp(UDP_BYTES_MIN, UDP_BYTES_MAX),
        Transport::Tcp => u16::MAX,
    }
}

/// How many of a message's answers fit in so many bytes.
fn fitting(message: &Message, bytes_max: u16) -> usize {
    let mut buffer = Vec::with_capacity(usize::from(UDP_BYTES_MIN));
    let mut encoder = BinEncoder::new(&mut buffer);
    encoder.set_max_size(bytes_max);
    match message.emit(&mut encoder) {
        Ok(()) => usize::from(u16::from_be_bytes([buffer[6], buffer[7]])),
        Err(_) => 0,
    }
}

/// For a question that can be read but not written, which no sane resolver sends.
fn failure_of(id: u16) -> Vec<u8> {
    failure(&id.to_be_bytes(), ResponseCode::ServFail)
}

/// Leaves so many addresses at most, any of them in any order: Fisher and Yates, on a generator that is
/// good enough to spread load.
fn choose(addresses: &mut Vec<IpAddr>, count_max: usize, seed: u64) {
    // Zero is the one state from which the generator does not move.
    let mut state = seed | 1;
    for first in 0..addresses.len().min(count_max) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let rest = (addresses.len() - first) as u64;
        let offset = usize::try_from((state >> 16) % rest).expect("less than a length");
        addresses.swap(first, first + offset);
    }
    addresses.truncate(count_max);
}
