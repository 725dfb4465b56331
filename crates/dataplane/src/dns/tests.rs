//! Decisions, on tables as agents make them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RData, RecordType};
use proptest::prelude::*;

use super::answer::{Decision, Transport, decide};
use super::{Client, Forward, Tables, Zone};

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn ips(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| ip(text)).collect()
}

/// Two networks: `front` with a virtual address for `web`, and `back`, where `db` has none. 10.0.1.9 is
/// a task of both; 10.0.2.8 is one of `back` alone.
fn tables() -> Tables {
    let mut front = Zone::new("Front", vec!["10.0.1.0/24".parse().expect("a subnet")]);
    front.add_service(["Web", "www"], &ips(&["10.0.1.2"]), &ips(&["10.0.1.3", "10.0.1.4"]));
    front.add_task(["Web.1.abc"], &ips(&["10.0.1.3"]), true);
    front.add_task(["web.2.def"], &ips(&["10.0.1.4"]), true);
    front.add_task(["web.3.ghi"], &ips(&["10.0.1.5"]), false);
    let subnets = ["10.0.2.0/24", "fd00:2::/64"].map(|subnet| subnet.parse().expect("a subnet"));
    let mut back = Zone::new("back.end", subnets.to_vec());
    back.add_service(["db"], &[], &ips(&["10.0.2.3", "fd00:2::3", "10.0.2.4"]));
    back.add_service(["web"], &ips(&["10.0.2.2"]), &ips(&["10.0.2.9"]));
    back.add_service(["empty"], &[], &[]);
    back.add_task(["db.1.jkl"], &ips(&["10.0.2.3", "fd00:2::3"]), true);
    let client = |networks: &[&str], forward| Arc::new(Client { networks: networks.iter().map(|id| (*id).into()).collect(), forward });
    let both = client(&["n1", "n2"], Forward::Host);
    let servers = Forward::Servers(vec!["192.0.2.53:53".parse().expect("an address"), "10.0.2.77:53".parse().expect("an address")]);
    Tables {
        zones: HashMap::from([("n1".into(), Arc::new(front)), ("n2".into(), Arc::new(back))]),
        clients: HashMap::from([
            ("n1".into(), HashMap::from([(ip("10.0.1.9"), both.clone()), (ip("10.0.1.8"), client(&["n1"], servers.clone()))])),
            ("n2".into(), HashMap::from([(ip("10.0.2.9"), both), (ip("10.0.2.8"), client(&["n2"], servers))])),
        ]),
    }
}

fn question(name: &str, kind: RecordType) -> Message {
    let mut message = Message::new(4711, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    let name = Name::from_labels(name.split('.').filter(|label| !label.is_empty()).map(str::as_bytes)).expect("a name");
    message.add_query(Query::query(name, kind));
    message
}

fn ask(network: &str, from: &str, message: &Message, transport: Transport) -> Decision {
    decide(&tables(), network, ip(from), &message.to_vec().expect("a message"), transport, 7)
}

/// What a client hears: the code and the data of the answers, sorted.
fn hear(network: &str, from: &str, name: &str, kind: RecordType) -> String {
    match ask(network, from, &question(name, kind), Transport::Udp) {
        Decision::Reply(bytes) | Decision::Refuse(bytes) => {
            let reply = Message::from_vec(&bytes).expect("a reply");
            assert_eq!((reply.metadata.id, reply.metadata.message_type), (4711, MessageType::Response));
            assert_eq!(reply.queries, question(name, kind).queries);
            let mut data: Vec<_> = reply.answers.iter().map(|record| record.data.to_string()).collect();
            data.sort();
            format!("{:?} {}", reply.metadata.response_code, data.join(" "))
        }
        Decision::Ask(servers) => format!("ask {}", servers.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")),
        other => format!("{other:?}"),
    }
}

#[test]
fn names_lead_to_virtual_addresses_or_to_the_tasks_in_service() {
    let hear = |name| hear("n1", "10.0.1.9", name, RecordType::A);
    for name in ["web", "WEB", "www", "web.front", "wWw.FRONT"] {
        assert_eq!(hear(name), "NoError 10.0.1.2", "{name}");
    }
    assert_eq!(hear("web.back.end"), "NoError 10.0.2.2");
    assert_eq!(hear("tasks.web"), "NoError 10.0.1.3 10.0.1.4");
    assert_eq!(hear("tasks.www.front"), "NoError 10.0.1.3 10.0.1.4");
    assert_eq!(hear("db"), "NoError 10.0.2.3 10.0.2.4");
    assert_eq!(hear("web.1.ABC"), "NoError 10.0.1.3");
    // Known, but not in service: nobody else is asked about it.
    assert_eq!(hear("web.3.ghi"), "NoError ");
    assert_eq!(hear("empty"), "NoError ");
    for name in ["nobody", "web.nowhere", "db.front", "tasks", "example.com", "front", ""] {
        assert_eq!(hear(name), "AskHost", "{name}");
    }
}

#[test]
fn only_the_networks_of_the_client_are_seen() {
    assert_eq!(hear("n2", "10.0.2.9", "www", RecordType::A), "NoError 10.0.1.2");
    assert_eq!(hear("n2", "10.0.2.9", "web", RecordType::A), "NoError 10.0.1.2");
    assert_eq!(hear("n2", "10.0.2.8", "web", RecordType::A), "NoError 10.0.2.2");
    assert_eq!(hear("n2", "10.0.2.8", "www", RecordType::A), "ask 192.0.2.53:53");
    // A server on a network of the client is asked by the client's own resolver alone.
    assert_eq!(hear("n1", "10.0.1.8", "db", RecordType::A), "ask 192.0.2.53:53 10.0.2.77:53");
    for (network, from) in [("n1", "10.0.2.9"), ("n1", "10.0.1.77"), ("n3", "10.0.1.9")] {
        assert_eq!(hear(network, from, "web", RecordType::A), "Refused ");
    }
}

#[test]
fn other_kinds_of_known_names_are_empty() {
    let hear = |name, kind| hear("n1", "10.0.1.9", name, kind);
    assert_eq!(hear("web", RecordType::AAAA), "NoError ");
    assert_eq!(hear("db", RecordType::AAAA), "NoError fd00:2::3");
    assert_eq!(hear("db", RecordType::ANY), "NoError 10.0.2.3 10.0.2.4 fd00:2::3");
    assert_eq!(hear("web", RecordType::MX), "NoError ");
    assert_eq!(hear("web", RecordType::HTTPS), "NoError ");
    assert_eq!(hear("example.com", RecordType::AAAA), "AskHost");
}

#[test]
fn addresses_lead_back_to_names() {
    let hear = |name| hear("n1", "10.0.1.9", name, RecordType::PTR);
    assert_eq!(hear("2.1.0.10.in-addr.arpa"), "NoError Web.front.");
    assert_eq!(hear("3.1.0.10.IN-ADDR.arpa"), "NoError Web.1.abc.front.");
    assert_eq!(hear("5.1.0.10.in-addr.arpa"), "NoError web.3.ghi.front.");
    let ten = "3.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.2.0.0.0.0.0.d.f.ip6.arpa";
    assert_eq!(hear(ten), "NoError db.1.jkl.back.end.");
    // An address of ours that nobody has is nobody else's business; others are.
    assert_eq!(hear("200.1.0.10.in-addr.arpa"), "NXDomain ");
    assert_eq!(hear("1.2.0.192.in-addr.arpa"), "AskHost");
    assert_eq!(hear("1.0.10.in-addr.arpa"), "AskHost");
}

#[test]
fn a_client_without_a_way_out_gets_no_name_from_outside() {
    for (go_on, expected) in [(false, "NXDomain"), (true, "ServFail")] {
        let mut tables = tables();
        let client = Arc::new(Client { networks: vec!["n1".into()], forward: Forward::Nowhere(go_on) });
        tables.clients.insert("n1".into(), HashMap::from([(ip("10.0.1.9"), client)]));
        let query = question("example.com", RecordType::A).to_vec().expect("a message");
        let Decision::Reply(reply) = decide(&tables, "n1", ip("10.0.1.9"), &query, Transport::Udp, 0) else { panic!("no reply") };
        let code = Message::from_vec(&reply).expect("a reply").metadata.response_code;
        assert_eq!(format!("{code:?}"), expected);
    }
}

#[test]
fn what_is_no_question_gets_no_answer_or_a_reason() {
    let send = |bytes: &[u8]| decide(&tables(), "n1", ip("10.0.1.9"), bytes, Transport::Udp, 0);
    let good = question("web", RecordType::A).to_vec().expect("a message");
    let code = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        match send(&bytes) {
            Decision::Reply(reply) => {
                assert_eq!(reply[..2], bytes[..2]);
                format!("{:?}", ResponseCode::from_low(reply[3] & 15))
            }
            other => format!("{other:?}"),
        }
    };
    assert_eq!(send(&good[..11]), Decision::Ignore);
    assert_eq!(code(&|bytes| bytes[2] |= 0x80), "Ignore");
    assert_eq!(code(&|bytes| bytes[2] |= 5 << 3), "NotImp");
    assert_eq!(code(&|bytes| bytes[5] = 2), "FormErr");
    assert_eq!(code(&|bytes| bytes[5] = 0), "FormErr");
    assert_eq!(code(&|bytes| bytes[7] = 1), "FormErr");
    assert_eq!(code(&|bytes| bytes.truncate(20)), "FormErr");
    let mut chaos = question("web", RecordType::A);
    chaos.queries[0].set_query_class(DNSClass::CH);
    assert_eq!(ask("n1", "10.0.1.9", &chaos, Transport::Udp), Decision::AskHost);
    let mut future = question("web", RecordType::A);
    let mut edns = Edns::new();
    edns.set_version(1);
    future.set_edns(edns);
    let Decision::Reply(reply) = ask("n1", "10.0.1.9", &future, Transport::Udp) else { panic!("no reply") };
    assert_eq!(Message::from_vec(&reply).expect("a reply").metadata.response_code.high(), 1);
}

/// Tables with one name of so many addresses.
fn crowd(count: u32) -> Tables {
    let mut zone = Zone::new("crowd", vec!["10.0.0.0/8".parse().expect("a subnet")]);
    let addresses: Vec<_> = (1..=count).map(|n| IpAddr::V4((0x0a00_0000 + n).into())).collect();
    zone.add_service(["many"], &[], &addresses);
    let client = Arc::new(Client { networks: vec!["n".into()], forward: Forward::Host });
    Tables {
        zones: HashMap::from([("n".into(), Arc::new(zone))]),
        clients: HashMap::from([("n".into(), HashMap::from([(ip("10.0.0.1"), client)]))]),
    }
}

#[test]
fn large_answers_are_cut_to_what_the_client_takes() {
    let tables = crowd(5000);
    let answers = |payload: Option<u16>, transport| {
        let mut message = question("many", RecordType::A);
        if let Some(payload) = payload {
            let mut edns = Edns::new();
            edns.set_max_payload(payload);
            message.set_edns(edns);
        }
        let bytes = message.to_vec().expect("a message");
        let Decision::Reply(reply) = decide(&tables, "n", ip("10.0.0.1"), &bytes, transport, 1) else { panic!("no reply") };
        let message = Message::from_vec(&reply).expect("a reply");
        assert_eq!(message.edns.is_some(), payload.is_some());
        assert!(message.metadata.truncation);
        (reply.len(), message.answers.len())
    };
    let (bytes, count) = answers(None, Transport::Udp);
    assert!(bytes <= 512 && count >= 29, "{count} answers in {bytes} bytes");
    let (bytes, count) = answers(Some(1232), Transport::Udp);
    assert!(bytes <= 1232 && count >= 74, "{count} answers in {bytes} bytes");
    let (bytes, count) = answers(Some(65_535), Transport::Udp);
    assert!(bytes <= 1232 && count >= 74, "{count} answers in {bytes} bytes");
    let (_, count) = answers(Some(1232), Transport::Tcp);
    assert!(count >= 3000, "{count} answers");
}

#[test]
fn every_address_comes_first_now_and_then() {
    let tables = crowd(5);
    let query = question("many", RecordType::A).to_vec().expect("a message");
    let mut first = BTreeMap::<String, u32>::new();
    for seed in 0..1000_u64 {
        let seed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let Decision::Reply(reply) = decide(&tables, "n", ip("10.0.0.1"), &query, Transport::Udp, seed) else { panic!("no reply") };
        let reply = Message::from_vec(&reply).expect("a reply");
        assert!(!reply.metadata.truncation && reply.answers.iter().all(|record| record.ttl == 0));
        *first.entry(reply.answers[0].data.to_string()).or_default() += 1;
    }
    assert!(first.len() == 5 && first.values().all(|count| (120..280).contains(count)), "{first:?}");
}

#[test]
fn five_thousand_endpoints_become_a_zone_quickly() {
    let began = std::time::Instant::now();
    let mut zone = Zone::new("large", Vec::new());
    for service in 0..500_u32 {
        let tasks: Vec<_> = (0..10).map(|task| IpAddr::V4((0x0a00_0000 + service * 16 + task).into())).collect();
        for (slot, task) in tasks.iter().enumerate() {
            zone.add_task([format!("service{service}.{slot}.abcdefghijklmnopqrstuvwxy").as_str()], &[*task], true);
        }
        zone.add_service([format!("service{service}").as_str(), "alias"], &[IpAddr::V4((0x0b00_0000 + service).into())], &tasks);
    }
    // Some tens of times what it takes, for a machine that is busy with other things.
    assert!(began.elapsed() < std::time::Duration::from_millis(1000), "{:?}", began.elapsed());
    assert_eq!(zone.entries().len(), 5000 + 1000 + 2);
}

/// A task: network, service, whether it is in service.
type Task = (usize, usize, bool);

fn address(index: usize, network: usize) -> IpAddr {
    IpAddr::from([10, 0, u8::try_from(network).expect("few networks"), u8::try_from(index).expect("few tasks") + 10])
}

/// Tables of random tasks, with a client on networks 0 and 1 of three.
fn random_tables(tasks: &[Task], dnsrr: bool) -> Tables {
    let mut zones = HashMap::new();
    for network in 0..3 {
        let mut zone = Zone::new(&format!("net{network}"), vec![format!("10.0.{network}.0/24").parse().expect("a subnet")]);
        let mut services = BTreeMap::<usize, Vec<IpAddr>>::new();
        for (index, (_, service, in_service)) in tasks.iter().enumerate().filter(|(_, task)| task.0 == network) {
            zone.add_task([format!("s{service}.{index}.t").as_str()], &[address(index, network)], *in_service);
            let healthy = services.entry(*service).or_default();
            if *in_service {
                healthy.push(address(index, network));
            }
        }
        for (service, healthy) in services {
            let vip = IpAddr::from([10, 0, u8::try_from(network).expect("few networks"), 2]);
            zone.add_service([format!("s{service}").as_str()], if dnsrr { &[] } else { std::slice::from_ref(&vip) }, &healthy);
        }
        zones.insert(network.to_string(), Arc::new(zone));
    }
    let client = Arc::new(Client { networks: vec!["0".into(), "1".into()], forward: Forward::Host });
    Tables { zones, clients: HashMap::from([("0".into(), HashMap::from([(ip("10.0.0.1"), client)]))]) }
}

fn addresses_in(decision: &Decision) -> BTreeSet<IpAddr> {
    let Decision::Reply(bytes) = decision else { return BTreeSet::new() };
    let reply = Message::from_vec(bytes).expect("a reply");
    let address = |record: &hickory_proto::rr::Record| match &record.data {
        RData::A(address) => Some(IpAddr::V4(address.0)),
        RData::AAAA(address) => Some(IpAddr::V6(address.0)),
        _ => None,
    };
    reply.answers.iter().filter_map(address).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_survived_and_answers_fit(bytes in proptest::collection::vec(any::<u8>(), 0..600), udp: bool) {
        let transport = if udp { Transport::Udp } else { Transport::Tcp };
        match decide(&tables(), "n1", ip("10.0.1.9"), &bytes, transport, 1) {
            Decision::Reply(reply) => {
                prop_assert_eq!(&reply[..2], &bytes[..2]);
                prop_assert!(reply[2] & 0x80 != 0);
                prop_assert!(!udp || reply.len() <= 1232);
            }
            Decision::Refuse(_) => prop_assert!(false, "a client was refused"),
            _ => {}
        }
    }

    #[test]
    fn a_broken_question_is_survived(at in 0_usize..60, byte: u8, cut in 12_usize..60) {
        let mut message = question("web.back.end", RecordType::A);
        message.set_edns(Edns::new());
        let mut bytes = message.to_vec().expect("a message");
        let last = bytes.len() - 1;
        bytes[at.min(last)] = byte;
        bytes.truncate(cut);
        for source in ["10.0.1.9", "10.0.1.77"] {
            if let Decision::Reply(reply) | Decision::Refuse(reply) = decide(&tables(), "n1", ip(source), &bytes, Transport::Udp, 1) {
                prop_assert_eq!(&reply[..2], &bytes[..2]);
                prop_assert!(reply.len() <= 1232 && Message::from_vec(&reply).is_ok());
            }
        }
    }

    #[test]
    fn names_lead_only_to_tasks_in_service_on_networks_of_the_client(
        tasks in proptest::collection::vec((0_usize..3, 0_usize..4, any::<bool>()), 0..40),
        dnsrr: bool,
        service in 0_usize..5,
        seed: u64,
    ) {
        let tables = random_tables(&tasks, dnsrr);
        let healthy = |network: usize| -> BTreeSet<IpAddr> {
            let those = tasks.iter().enumerate().filter(|(_, task)| **task == (network, service, true));
            those.map(|(index, _)| address(index, network)).collect()
        };
        let send = |name: &str| {
            let query = question(name, RecordType::A).to_vec().expect("a message");
            decide(&tables, "0", ip("10.0.0.1"), &query, Transport::Tcp, seed)
        };
        // The first network that has the service at all answers.
        let first = (0..2).find(|network| tasks.iter().any(|task| task.0 == *network && task.1 == service));
        match first {
            None => prop_assert_eq!(send(&format!("tasks.s{service}")), Decision::AskHost),
            Some(network) => {
                prop_assert_eq!(addresses_in(&send(&format!("tasks.s{service}"))), healthy(network));
                if dnsrr {
                    prop_assert_eq!(addresses_in(&send(&format!("s{service}"))), healthy(network));
                }
            }
        }
        for (index, (network, of, in_service)) in tasks.iter().enumerate() {
            let found = addresses_in(&send(&format!("s{of}.{index}.t")));
            let expected = BTreeSet::from_iter((*network < 2 && *in_service).then(|| address(index, *network)));
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn forwards_never_lead_into_a_network_of_the_client(last in any::<[u8; 4]>()) {
        let mut tables = tables();
        let server = SocketAddr::from((last, 53));
        let inside = SocketAddr::from(([10, 0, 1, last[3]], 53));
        let client = Client { networks: vec!["n1".into()], forward: Forward::Servers(vec![inside, server]) };
        tables.clients.insert("n1".into(), HashMap::from([(ip("10.0.1.9"), Arc::new(client))]));
        let query = question("example.com", RecordType::A).to_vec().expect("a message");
        if let Decision::Ask(servers) = decide(&tables, "n1", ip("10.0.1.9"), &query, Transport::Udp, 0) {
            prop_assert_eq!(servers, vec![server]);
        }
    }
}
