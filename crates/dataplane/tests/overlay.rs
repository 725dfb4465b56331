//! Two hosts made of namespaces carry one network.
#![allow(missing_docs, unreachable_pub, reason = "tests are not an interface")]

mod bed;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use bed::{Bed, NET, ask, desired, ip, serve};
use swarm_dataplane::{Mesh, Protocol, Published, Report};

const VIP: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 2);
const ONE: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 3);
const TWO: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 4);

fn ensure(bed: &mut Bed, tasks: &[(u16, Ipv4Addr)], services: &[(Ipv4Addr, &[Ipv4Addr])]) -> Vec<Report> {
    let reports: Vec<_> = (1..).zip(&mut bed.planes).map(|(node, plane)| plane.ensure(&desired(node, tasks, services))).collect();
    for report in &reports {
        assert_eq!(report.faults, Vec::<String>::new());
    }
    reports
}

#[test]
fn tasks_reach_each_other_and_a_virtual_address_spreads() {
    let mut bed = Bed::new();
    let tasks = [(1, ONE), (2, TWO)];
    let services: [(_, &[_]); 1] = [(VIP, &[ONE, TWO])];
    ensure(&mut bed, &tasks, &services);
    let (one, two) = (bed.container(1, ONE), bed.container(2, TWO));

    let servers = [serve(&one, "one", 80, 6), serve(&two, "two", 80, 6)];
    assert_eq!(ask(&one, (TWO, 80)), "two 10.0.1.3");
    assert_eq!(ask(&two, (ONE, 80)), "one 10.0.1.4");
    // Each backend gets every other connection; a client that is its own backend is seen as the router.
    let answers: Vec<_> = (0..10).map(|_| ask(&one, (VIP, 80))).collect();
    let count = |wanted: &str| answers.iter().filter(|answer| *answer == wanted).count();
    assert_eq!((count("one 10.0.1.1"), count("two 10.0.1.3")), (5, 5), "{answers:?}");
    for server in servers {
        server.join().expect("a server without complaint");
    }
}

#[test]
fn ensuring_twice_changes_nothing_and_what_others_break_is_repaired() {
    let mut bed = Bed::new();
    let tasks = [(1, ONE), (2, TWO)];
    let services: [(_, &[_]); 1] = [(VIP, &[ONE, TWO])];
    ensure(&mut bed, &tasks, &services);
    assert_eq!(ensure(&mut bed, &tasks, &services), vec![Report::default(); 2]);

    let namespace = bed.planes[0].namespace(NET).expect("the network's namespace");
    let run = |command: &str| {
        let words: Vec<_> = command.split_whitespace().collect();
        let status = namespace.enter(|| Ok(std::process::Command::new(words[0]).args(&words[1..]).status()));
        assert!(status.expect("a namespace").expect("a program").success(), "{command}");
    };
    run("ip route del 10.0.1.4/32");
    run("ip route add 10.0.1.77/32 dev lo");
    run("ip neigh flush dev vx0 nud permanent");
    run("nft flush chain ip swarm vip_0a000102");
    let wanted = desired(1, &tasks, &services);
    let compared = bed.planes[0].compare(&wanted).remove(NET).expect("the network").expect("a kernel that can be looked at");
    let wrong = |kind: &str| (compared[kind].missing.join(", "), compared[kind].unexpected.join(", "));
    let text = |missing: &str, unexpected: &str| (missing.to_owned(), unexpected.to_owned());
    assert_eq!(wrong("routes"), text("10.0.1.4/32 via 169.254.0.2 dev vx0", "10.0.1.77/32 dev lo"));
    assert_eq!(wrong("neighbours"), text("169.254.0.2 dev vx0 lladdr 02:fe:00:00:00:02", ""));
    assert_eq!(wrong("nftables"), text("table ip swarm", "table ip swarm as others changed it"));
    assert_eq!((wrong("devices"), wrong("forwarding"), wrong("addresses")), (text("", ""), text("", ""), text("", "")));
    let report = ensure(&mut bed, &tasks, &services).remove(0);
    assert_eq!((report.added, report.removed, report.repaired), (3, 1, 4), "{report:?}");
    assert_eq!(ensure(&mut bed, &tasks, &services), vec![Report::default(); 2]);
    let compared = bed.planes[0].compare(&wanted).remove(NET).expect("the network").expect("a kernel that can be looked at");
    assert!(compared.values().all(|it| it.desired == it.actual && it.missing.is_empty() && it.unexpected.is_empty()), "{compared:?}");
    assert_eq!((compared["addresses"].desired, compared["routes"].desired), (2, 2));
}

#[test]
fn a_service_changes_in_place_and_networks_that_are_gone_leave_nothing() {
    let mut bed = Bed::new();
    let tasks = [(1, ONE), (2, TWO)];
    ensure(&mut bed, &tasks, &[(VIP, &[ONE, TWO])]);
    let (one, two) = (bed.container(1, ONE), bed.container(2, TWO));
    ensure(&mut bed, &tasks, &[(VIP, &[TWO])]);
    let server = serve(&two, "two", 80, 4);
    for _ in 0..4 {
        assert_eq!(ask(&one, (VIP, 80)), "two 10.0.1.3");
    }
    server.join().expect("a server without complaint");
    // The flows to a task that is gone are forgotten, so that their clients find another.
    let reports = ensure(&mut bed, &[(1, ONE)], &[(VIP, &[ONE])]);
    assert!(reports[0].purged >= 4, "{reports:?}");

    let mut empty = desired(1, &[], &[]);
    empty.networks.clear();
    assert_eq!(bed.planes[0].ensure(&empty).faults, Vec::<String>::new());
    assert!(bed.planes[0].namespace(NET).is_err(), "the namespace is still there");
}

#[test]
fn a_published_port_shows_the_client_to_tasks_of_either_node() {
    let mut bed = Bed::new();
    let client = bed.pin("client");
    let (entry, outside) = (bed.full("h1"), bed.full("client"));
    ip(&format!("-n {outside} link add eth0 type veth peer name out netns {entry}"));
    ip(&format!("-n {outside} addr add 198.51.100.2/24 dev eth0"));
    ip(&format!("-n {outside} link set eth0 up"));
    ip(&format!("-n {entry} addr add 198.51.100.1/24 dev out"));
    ip(&format!("-n {entry} link set out up"));

    let tasks = [(1, ONE), (2, TWO)];
    for (node, plane) in (1..).zip(&mut bed.planes) {
        let mut wanted = desired(node, &tasks, &[]);
        let published = Published { target: 80, backends: BTreeSet::from([ONE, TWO]) };
        let ports = BTreeMap::from([((Protocol::Tcp, 8080), published)]);
        let first = 10_000 * node;
        wanted.mesh = Some(Mesh { network: NET.into(), ports, source_ports: (first, first + 9_999) });
        assert_eq!(plane.ensure(&wanted).faults, Vec::<String>::new());
        assert_eq!(plane.ensure(&wanted), Report::default(), "a second pass changed something");
    }
    let (one, two) = (bed.container(1, ONE), bed.container(2, TWO));
    for name in ["c3", "c4"] {
        ip(&format!("-n {} route add default via 10.0.1.1", bed.full(name)));
    }
    let servers = [serve(&one, "one", 80, 2), serve(&two, "two", 80, 2)];
    let mut answers: Vec<_> = (0..4).map(|_| ask(&client, (Ipv4Addr::new(198, 51, 100, 1), 8080))).collect();
    answers.sort();
    assert_eq!(answers, ["one 198.51.100.2", "one 198.51.100.2", "two 198.51.100.2", "two 198.51.100.2"]);
    for server in servers {
        server.join().expect("a server without complaint");
    }
}
