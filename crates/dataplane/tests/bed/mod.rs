//! Hosts and containers made of namespaces, with plain sockets in place of an engine.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use swarm_dataplane::{Dataplane, Desired, Netns, Network, Peer, Prefix, Subnet};

const LIMIT: Duration = Duration::from_secs(10);

/// Id of the one network.
pub const NET: &str = "net0123456789";

static BEDS: AtomicU32 = AtomicU32::new(0);

/// Two hosts on one wire, and the containers in them. Everything vanishes with it.
pub struct Bed {
    name: String,
    pub planes: Vec<Dataplane>,
    pinned: Vec<String>,
}

impl Bed {
    pub fn new() -> Self {
        let name = format!("dp{}x{}", std::process::id(), BEDS.fetch_add(1, Ordering::Relaxed));
        let mut bed = Self { name, planes: Vec::new(), pinned: Vec::new() };
        for host in [1, 2] {
            let namespace = bed.pin(&format!("h{host}"));
            bed.planes.push(Dataplane::new(Prefix::of(&format!("{}{host}", bed.name)), namespace));
        }
        let (one, two) = (bed.full("h1"), bed.full("h2"));
        ip(&format!("-n {one} link add wire type veth peer name wire netns {two}"));
        for (host, address) in [(&one, "192.0.2.1/24"), (&two, "192.0.2.2/24")] {
            ip(&format!("-n {host} addr add {address} dev wire"));
            ip(&format!("-n {host} link set wire up"));
        }
        bed
    }

    /// Full name of a namespace of the bed.
    pub fn full(&self, name: &str) -> String {
        format!("{}-{name}", self.name)
    }

    /// A namespace of that name, made if need be.
    pub fn pin(&mut self, name: &str) -> Netns {
        let full = self.full(name);
        let (namespace, _) = Netns::ensure(&full).expect("a namespace (these tests need root)");
        ip(&format!("-n {full} link set lo up"));
        self.pinned.push(full);
        namespace
    }

    /// A container with one address of the network on host 1 or 2.
    pub fn container(&mut self, host: usize, address: Ipv4Addr) -> Netns {
        let name = format!("c{}", address.octets()[3]);
        let namespace = self.pin(&name);
        let (host_name, full) = (self.full(&format!("h{host}")), self.full(&name));
        let link = self.planes[host - 1].plug(NET, address, &full, None, 1450).expect("a link");
        ip(&format!("-n {host_name} link set {link} netns {full}"));
        ip(&format!("-n {full} link set {link} name eth0"));
        ip(&format!("-n {full} addr add {address}/24 dev eth0"));
        ip(&format!("-n {full} link set eth0 up"));
        namespace
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        for plane in &mut self.planes {
            plane.clear().expect("an empty host");
        }
        for name in &self.pinned {
            Netns::remove(name).expect("a namespace that can go");
        }
    }
}

/// Runs `ip` and expects it to succeed.
pub fn ip(arguments: &str) {
    let output = Command::new("ip").args(arguments.split_whitespace()).output().expect("ip");
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// What node 1 or 2 shall hold when `tasks` says which node has which address.
pub fn desired(node: u16, tasks: &[(u16, Ipv4Addr)], services: &[(Ipv4Addr, &[Ipv4Addr])]) -> Desired {
    let vtep = |node: u16| Ipv4Addr::from(u32::from(Ipv4Addr::new(192, 0, 2, 0)) + u32::from(node));
    let other = 3 - node;
    let network = Network {
        vni: 4100,
        subnet: Subnet { address: Ipv4Addr::new(10, 0, 1, 0), bits: 24 },
        gateway: Ipv4Addr::new(10, 0, 1, 1),
        mtu: 1450,
        local: tasks.iter().filter(|(on, _)| *on == node).map(|(_, task)| *task).collect(),
        remote: tasks.iter().filter(|(on, _)| *on != node).map(|(on, task)| (*task, *on)).collect(),
        services: services.iter().map(|(vip, tasks)| (*vip, tasks.iter().copied().collect::<BTreeSet<_>>())).collect(),
    };
    Desired {
        node,
        vtep: vtep(node),
        data_port: 4789,
        nodes: BTreeMap::from([(other, Peer { vtep: vtep(other) })]),
        networks: BTreeMap::from([(NET.to_owned(), network)]),
        mesh: None,
    }
}

/// A server in `namespace` that tells `count` clients its own name and the client's address.
pub fn serve(namespace: &Netns, name: &'static str, port: u16, count: usize) -> std::thread::JoinHandle<()> {
    let listener = namespace.enter(|| Ok(TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).expect("a free port"))).expect("a listener");
    std::thread::spawn(move || {
        for _ in 0..count {
            let (mut client, from) = listener.accept().expect("a client");
            write!(client, "{name} {}", from.ip()).expect("an answer");
        }
    })
}

/// What the server at `to` says to a client in `namespace`.
pub fn ask(namespace: &Netns, to: (Ipv4Addr, u16)) -> String {
    let result = namespace.enter(|| {
        let mut answer = String::new();
        let mut stream = TcpStream::connect_timeout(&SocketAddr::from(to), LIMIT).expect("a connection");
        stream.set_read_timeout(Some(LIMIT)).expect("a limit");
        stream.read_to_string(&mut answer).expect("an answer");
        Ok(answer)
    });
    result.expect("a namespace to ask from")
}
