//! The server of names on the gateway of a network that two hosts carry, asked from containers.
#![allow(missing_docs, unreachable_pub, reason = "tests are not an interface")]

#[allow(dead_code, reason = "this file needs a part of it")]
mod bed;

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bed::{Bed, NET, desired};
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use swarm_dataplane::Netns;
use swarm_dataplane::dns::{Client, Forward, Server, Tables, Zone};

const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 1);
const VIP: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 2);
const ONE: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 3);
const LIMIT: Duration = Duration::from_secs(10);

/// One host with one network and one container, whose names are served.
struct Names {
    bed: Bed,
    server: Server,
    one: Netns,
    folder: tempfile::TempDir,
    _entered: tokio::runtime::EnterGuard<'static>,
}

impl Names {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        // Lives as long as the test's process.
        let entered = Box::leak(Box::new(runtime)).enter();
        let mut bed = Bed::new();
        let folder = tempfile::tempdir().expect("a folder");
        let server = Server::new(folder.path().join("resolv.conf"));
        assert_eq!(bed.planes[0].ensure(&desired(1, &[(1, ONE)], &[])).faults, Vec::<String>::new());
        let namespace = bed.planes[0].namespace(NET).expect("the network's namespace");
        server.listen(NET, &namespace, &[GATEWAY.into()]).expect("a free port");
        let one = bed.container(1, ONE);
        Self { bed, server, one, folder, _entered: entered }
    }

    /// Makes `web` lead to so many tasks besides its virtual address, and lets the container ask.
    fn publish(&self, count: u32, forward: Forward) {
        let mut zone = Zone::new("front", vec!["10.0.0.0/16".parse().expect("a subnet")]);
        let tasks: Vec<_> = (0..count).map(|task| IpAddr::V4(Ipv4Addr::from(u32::from(ONE) + task))).collect();
        zone.add_service(["web"], &[VIP.into()], &tasks);
        let client = Arc::new(Client { networks: vec![NET.into()], forward });
        self.server.publish(Tables {
            zones: HashMap::from([(NET.into(), Arc::new(zone))]),
            clients: HashMap::from([(NET.into(), HashMap::from([(ONE.into(), client)]))]),
        });
    }

    fn ask(&self, name: &str) -> Message {
        ask_in(&self.one, &question(name, None))
    }
}

fn question(name: &str, payload: Option<u16>) -> Message {
    let mut message = Message::new(rand::random(), MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(format!("{name}.")).expect("a name"), RecordType::A));
    if let Some(payload) = payload {
        let mut edns = Edns::new();
        edns.set_max_payload(payload);
        message.set_edns(edns);
    }
    message
}

fn ask_in(namespace: &Netns, message: &Message) -> Message {
    let result = namespace.enter(|| {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a socket");
        socket.connect((GATEWAY, 53)).expect("a route");
        Ok(exchange(&socket, message))
    });
    result.expect("a namespace to ask from")
}

fn exchange(socket: &UdpSocket, message: &Message) -> Message {
    socket.set_read_timeout(Some(LIMIT)).expect("a limit");
    socket.send(&message.to_vec().expect("a message")).expect("a question sent");
    let mut buffer = [0; 65_535];
    let length = socket.recv(&mut buffer).expect("an answer");
    let answer = Message::from_vec(&buffer[..length]).expect("a message");
    assert_eq!((answer.metadata.id, &answer.queries), (message.metadata.id, &message.queries));
    answer
}

fn ask_by_tcp(namespace: &Netns, message: &Message) -> Message {
    let result = namespace.enter(|| {
        let mut stream = TcpStream::connect_timeout(&SocketAddr::from((GATEWAY, 53)), LIMIT).expect("a connection");
        stream.set_read_timeout(Some(LIMIT)).expect("a limit");
        let bytes = message.to_vec().expect("a message");
        stream.write_all(&u16::try_from(bytes.len()).expect("short").to_be_bytes()).expect("a length sent");
        stream.write_all(&bytes).expect("a question sent");
        Ok(Message::from_vec(&read_framed(&mut stream)).expect("a message"))
    });
    result.expect("a namespace to ask from")
}

fn read_framed(stream: &mut TcpStream) -> Vec<u8> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).expect("a length");
    let mut bytes = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut bytes).expect("a message");
    bytes
}

fn addresses(answer: &Message) -> Vec<String> {
    answer.answers.iter().map(|record| record.data.to_string()).collect()
}

/// What another server answers to each question, by transport.
type Behaviour = fn(&mut Message, is_udp: bool);

/// Another server, on a loopback address of its own. It counts what it is asked.
fn upstream(last: u8, behaviour: Option<Behaviour>) -> (SocketAddr, Arc<AtomicUsize>) {
    let socket = UdpSocket::bind((Ipv4Addr::new(127, 0, 77, last), 0)).expect("a socket");
    let address = socket.local_addr().expect("an address");
    let listener = TcpListener::bind(address).expect("the same port");
    let asked = Arc::new(AtomicUsize::new(0));
    let reply = move |bytes: &[u8], is_udp: bool| {
        let mut message = Message::from_vec(bytes).expect("a question").into_response();
        behaviour.map(|behaviour| {
            behaviour(&mut message, is_udp);
            message.to_vec().expect("a message")
        })
    };
    let count = asked.clone();
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            count.fetch_add(1, Ordering::Relaxed);
            if let Some(bytes) = reply(&buffer[..length], true) {
                socket.send_to(&bytes, from).expect("an answer sent");
            }
        }
    });
    thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            if let Some(bytes) = reply(&read_framed(&mut stream), false) {
                stream.write_all(&u16::try_from(bytes.len()).expect("fits").to_be_bytes()).expect("a length sent");
                stream.write_all(&bytes).expect("an answer sent");
            }
        }
    });
    (address, asked)
}

fn answer_with(message: &mut Message, address: [u8; 4]) {
    let name = message.queries[0].name().clone();
    message.add_answer(Record::from_rdata(name, 60, RData::A(Ipv4Addr::from(address).into())));
}

fn knows(message: &mut Message, _is_udp: bool) {
    answer_with(message, [192, 0, 2, 80]);
}

fn fails(message: &mut Message, _is_udp: bool) {
    message.metadata.response_code = ResponseCode::ServFail;
}

fn is_long(message: &mut Message, is_udp: bool) {
    if is_udp {
        message.metadata.truncation = true;
    } else {
        (0..200).for_each(|last| answer_with(message, [192, 0, 2, last]));
    }
}

#[test]
fn containers_ask_by_udp_and_tcp_and_changes_count_at_once() {
    let names = Names::new();
    names.publish(600, Forward::Host);
    assert_eq!(addresses(&names.ask("WEB")), ["10.0.1.2"]);
    let cut = names.ask("tasks.web");
    assert!(cut.metadata.truncation && cut.answers.len() >= 29, "{} answers", cut.answers.len());
    let more = ask_in(&names.one, &question("tasks.web", Some(1232)));
    assert!(more.metadata.truncation && more.answers.len() >= 74, "{} answers", more.answers.len());
    let whole = ask_by_tcp(&names.one, &question("tasks.web", None));
    assert_eq!((whole.metadata.truncation, whole.answers.len()), (false, 600));
    names.publish(1, Forward::Host);
    assert_eq!(addresses(&names.ask("tasks.web.front")), ["10.0.1.3"]);
}

#[test]
fn nobody_but_the_tasks_is_answered() {
    let mut names = Names::new();
    names.publish(1, Forward::Host);
    let two = Ipv4Addr::new(10, 0, 1, 4);
    assert_eq!(names.bed.planes[0].ensure(&desired(1, &[(1, ONE), (1, two)], &[])).faults, Vec::<String>::new());
    let stranger = names.bed.container(1, two);
    let answer = ask_in(&stranger, &question("web", None));
    assert_eq!((answer.metadata.response_code, answer.answers.len()), (ResponseCode::Refused, 0));
    let answer = ask_by_tcp(&stranger, &question("example.com", None));
    assert_eq!(answer.metadata.response_code, ResponseCode::Refused);
    assert_eq!(names.server.counters().refused, 2);
}

#[test]
fn other_names_are_asked_of_others_until_one_knows() {
    let names = Names::new();
    let (knowing, asked) = upstream(1, Some(knows));
    let (failing, failed) = upstream(2, Some(fails));
    let (silent, _) = upstream(3, None);
    let closed = SocketAddr::from(([127, 0, 77, 4], 9));
    // A server that fails or is not there costs no time.
    names.publish(1, Forward::Servers(vec![failing, closed, knowing]));
    let began = Instant::now();
    assert_eq!(addresses(&names.ask("example.com")), ["192.0.2.80"]);
    assert!(began.elapsed() < Duration::from_millis(900), "{:?}", began.elapsed());
    assert_eq!((failed.load(Ordering::Relaxed), asked.load(Ordering::Relaxed)), (1, 1));
    // One that is silent costs a second, once.
    names.publish(1, Forward::Servers(vec![silent, knowing]));
    assert_eq!(addresses(&names.ask("example.com")), ["192.0.2.80"]);
    let began = Instant::now();
    assert_eq!(addresses(&ask_by_tcp(&names.one, &question("example.com", None))), ["192.0.2.80"]);
    assert!(began.elapsed() < Duration::from_millis(900), "{:?}", began.elapsed());
    // When nobody knows, the client hears so before its resolver gives up after four seconds.
    names.publish(1, Forward::Servers(vec![failing]));
    assert_eq!(names.ask("example.com").metadata.response_code, ResponseCode::ServFail);
    names.publish(1, Forward::Servers(vec![silent]));
    assert_eq!(names.ask("example.com").metadata.response_code, ResponseCode::ServFail);
    let counters = names.server.counters();
    assert_eq!((counters.forwarded, counters.failed), (5, 1));
}

#[test]
fn long_answers_of_others_come_by_tcp() {
    let names = Names::new();
    let (server, _) = upstream(5, Some(is_long));
    names.publish(1, Forward::Servers(vec![server]));
    assert!(names.ask("example.com").metadata.truncation);
    let whole = ask_by_tcp(&names.one, &question("example.com", None));
    assert_eq!((whole.metadata.truncation, whole.answers.len()), (false, 200));
}

#[test]
fn the_servers_of_the_host_are_asked_as_its_file_says_now() {
    let names = Names::new();
    names.publish(1, Forward::Host);
    assert_eq!(names.ask("example.com").metadata.response_code, ResponseCode::ServFail);
    // Port 53 of a loopback address that nobody else would use.
    let socket = UdpSocket::bind("127.0.78.1:53").expect("a free port");
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let mut message = Message::from_vec(&buffer[..length]).expect("a question").into_response();
            knows(&mut message, true);
            socket.send_to(&message.to_vec().expect("a message"), from).expect("an answer sent");
        }
    });
    std::fs::write(names.folder.path().join("resolv.conf"), "nameserver 127.0.78.1\n").expect("a file");
    assert_eq!(addresses(&names.ask("example.com")), ["192.0.2.80"]);
}

#[test]
fn it_listens_again_in_a_new_namespace() {
    let mut names = Names::new();
    names.publish(1, Forward::Host);
    let mut empty = desired(1, &[], &[]);
    empty.networks.clear();
    let wanted = desired(1, &[(1, ONE)], &[]);
    for desired in [&empty, &wanted] {
        assert_eq!(names.bed.planes[0].ensure(desired).faults, Vec::<String>::new());
    }
    let namespace = names.bed.planes[0].namespace(NET).expect("the network's namespace");
    names.server.listen(NET, &namespace, &[GATEWAY.into()]).expect("a free port");
    let link = names.bed.planes[0].plug(NET, ONE, "again", None, 1450).expect("a link");
    let (host, container) = (names.bed.full("h1"), names.bed.full("c3"));
    bed::ip(&format!("-n {host} link set {link} netns {container}"));
    for command in ["link set LINK name eth1", "addr add 10.0.1.3/24 dev eth1", "link set eth1 up"] {
        bed::ip(&format!("-n {container} {}", command.replace("LINK", &link)));
    }
    assert_eq!(addresses(&names.ask("web")), ["10.0.1.2"]);
    names.server.close(NET);
    assert!(names.server.listening().is_empty());
}

#[test]
fn a_lookup_is_quick() {
    let names = Names::new();
    names.publish(10, Forward::Host);
    let mut times = names
        .one
        .enter(|| {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a socket");
            socket.connect((GATEWAY, 53)).expect("a route");
            let message = question("web", None);
            let time = |_| {
                let began = Instant::now();
                exchange(&socket, &message);
                began.elapsed()
            };
            Ok((0..2000).map(time).collect::<Vec<_>>())
        })
        .expect("a namespace to ask from");
    times.sort();
    println!("lookups: p50 {:?}, p99 {:?}", times[1000], times[1980]);
    // A busy machine and code without optimization are a good deal slower than what is promised.
    assert!(times[1000] < Duration::from_millis(5), "{:?}", times[1000]);
}
