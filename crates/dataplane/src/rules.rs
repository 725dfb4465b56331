//! The nftables rules of virtual addresses and published ports, as text for `nft`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::Ipv4Addr;

use crate::desired::{Desired, Mesh, Network, Protocol};
use crate::names::{Prefix, VXLAN, node_mac};
use crate::routes::NODE_MARKS;

/// Name of the one table in a network's namespace, which holds nothing of anybody else.
pub(crate) const TABLE: &str = "swarm";

/// A table: one chain per entry of a map, and base chains that look the map up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table {
    name: String,
    /// Name and type of the map, such as `vips` and `ipv4_addr`.
    map: (&'static str, &'static str),
    /// For each key of the map the chain it leads to and the rules there.
    entries: BTreeMap<String, (String, Vec<String>)>,
    /// The tasks of this node, which may come to be their own backend.
    hair: BTreeSet<Ipv4Addr>,
    /// The base chains, which only a full load changes.
    base: String,
}

impl Table {
    /// How many chains it has, for virtual addresses or ports, and at the kernel's hooks.
    pub(crate) fn chains(&self) -> usize {
        self.entries.len() + self.base.matches("chain ").count()
    }

    /// The script that makes the table from nothing, whatever was there before.
    pub(crate) fn full(&self) -> String {
        let Self { name, map: (map, kind), .. } = self;
        let mut text = format!("table ip {name}\ndelete table ip {name}\ntable ip {name} {{\n");
        for (chain, rules) in self.entries.values() {
            block(&mut text, &format!("chain {chain}"), rules);
        }
        let hair: Vec<_> = self.hair.iter().map(|task| format!("{task} . {task}")).collect();
        block(&mut text, "set hair", &with_elements("type ipv4_addr . ipv4_addr", &hair));
        let jumps: Vec<_> = self.entries.iter().map(|(key, (chain, _))| format!("{key} : jump {chain}")).collect();
        block(&mut text, &format!("map {map}"), &with_elements(&format!("type {kind} : verdict"), &jumps));
        text + &self.base + "}\n"
    }

    /// The script that makes `self` from `old`: only what differs, in one transaction.
    pub(crate) fn since(&self, old: &Self) -> String {
        if (&self.name, self.map, &self.base) != (&old.name, old.map, &old.base) {
            return self.full();
        }
        let (name, map) = (&self.name, self.map.0);
        let mut text = String::new();
        let mut line = |what: String| {
            text.push_str(&what);
            text.push('\n');
        };
        for task in old.hair.difference(&self.hair) {
            line(format!("delete element ip {name} hair {{ {task} . {task} }}"));
        }
        for task in self.hair.difference(&old.hair) {
            line(format!("add element ip {name} hair {{ {task} . {task} }}"));
        }
        for (key, (chain, _)) in old.entries.iter().filter(|(key, _)| !self.entries.contains_key(*key)) {
            line(format!("delete element ip {name} {map} {{ {key} : jump {chain} }}"));
            line(format!("flush chain ip {name} {chain}\ndelete chain ip {name} {chain}"));
        }
        for (key, (chain, rules)) in &self.entries {
            let before = old.entries.get(key);
            match before {
                Some((_, before)) if before == rules => continue,
                Some(_) => line(format!("flush chain ip {name} {chain}")),
                None => line(format!("add chain ip {name} {chain}")),
            }
            for rule in rules {
                line(format!("add rule ip {name} {chain} {rule}"));
            }
            if before.is_none() {
                line(format!("add element ip {name} {map} {{ {key} : jump {chain} }}"));
            }
        }
        text
    }
}

/// The table of a network's namespace. `desired` says where the mesh's packets come in.
pub(crate) fn network_table(network: &Network, desired: &Desired, is_ingress: bool) -> Table {
    let entries = network.services.iter().filter(|(_, backends)| !backends.is_empty());
    let entries = entries.map(|(vip, backends)| {
        let chain = format!("vip_{:08x}", u32::from(*vip));
        (vip.to_string(), (chain, vec![spread(backends, None)]))
    });
    let mut base = String::new();
    block(
        &mut base,
        "chain pre",
        &["type nat hook prerouting priority dstnat; policy accept;".into(), "meta l4proto { tcp, udp, sctp } ip daddr vmap @vips".into()],
    );
    block(
        &mut base,
        "chain post",
        &[
            "type nat hook postrouting priority srcnat; policy accept;".into(),
            format!("ct status dnat ip saddr . ip daddr @hair snat to {}", network.gateway),
        ],
    );
    if is_ingress {
        steering(&mut base, desired);
    }
    Table { name: TABLE.into(), map: ("vips", "ipv4_addr"), entries: entries.collect(), hair: network.local.clone(), base }
}

/// Answers go back by the node that the question came in at, since only that one can undo its
/// translation: the mark of a connection is the node whose MAC its first packet carried.
fn steering(base: &mut String, desired: &Desired) {
    let mac = |node: u16| node_mac(node).map(|byte| format!("{byte:02x}")).join(":");
    let marks = desired.nodes.keys().map(|node| format!("{} : {:#x}", mac(*node), NODE_MARKS + u32::from(*node)));
    block(base, "map nodes", &with_elements("type ether_addr : mark", &marks.collect::<Vec<_>>()));
    block(
        base,
        "chain steer",
        &[
            "type filter hook prerouting priority mangle; policy accept;".into(),
            format!("iifname \"{VXLAN}\" ct state new ct mark set ether saddr map @nodes"),
            format!("iifname != \"{VXLAN}\" ct mark != 0 meta mark set ct mark"),
        ],
    );
}

/// The table of the host's namespace: what comes in at a published port goes to a task.
pub(crate) fn mesh_table(prefix: Prefix, mesh: &Mesh, ingress: &Network, open: &BTreeSet<(Protocol, u16)>) -> Table {
    let ports = mesh.ports.iter().filter(|(port, to)| open.contains(port) && !to.backends.is_empty());
    let entries = ports.map(|((protocol, port), to)| {
        let rule = format!("meta l4proto {protocol} {}", spread(&to.backends, Some(to.target)));
        (format!("{protocol} . {port}"), (format!("{protocol}_{port}"), vec![rule]))
    });
    let (uplink, subnet, (low, high)) = (prefix.uplink(), ingress.subnet, mesh.source_ports);
    let lookup = "fib daddr type local meta l4proto . th dport vmap @ports";
    let mut base = String::new();
    block(&mut base, "chain pre", &["type nat hook prerouting priority dstnat - 5; policy accept;".into(), lookup.into()]);
    // Before Docker's own rules at -100.
    block(&mut base, "chain out", &["type nat hook output priority -105; policy accept;".into(), lookup.into()]);
    block(
        &mut base,
        "chain post",
        &[
            "type nat hook postrouting priority srcnat - 5; policy accept;".into(),
            format!("oifname \"{uplink}\" ip saddr 127.0.0.0/8 masquerade"),
            format!("oifname \"{uplink}\" ip saddr {subnet} ct status dnat masquerade"),
            format!("oifname \"{uplink}\" ct status dnat meta l4proto {{ tcp, udp }} snat to :{low}-{high}"),
            format!("oifname != \"{uplink}\" ip saddr {subnet} masquerade"),
        ],
    );
    let map = ("ports", "inet_proto . inet_service");
    Table { name: prefix.to_string(), map, entries: entries.collect(), hair: BTreeSet::new(), base }
}

/// Sends each new connection to the next backend.
fn spread(backends: &BTreeSet<Ipv4Addr>, port: Option<u16>) -> String {
    let choice = backends.iter().enumerate().map(|(index, backend)| format!("{index} : {backend}"));
    let choice: Vec<_> = choice.collect();
    let port = port.map(|port| format!(" : {port}")).unwrap_or_default();
    format!("dnat to numgen inc mod {} map {{ {} }}{port}", choice.len(), choice.join(", "))
}

fn with_elements(kind: &str, elements: &[String]) -> Vec<String> {
    let mut lines = vec![format!("{kind};")];
    if !elements.is_empty() {
        lines.push(format!("elements = {{ {} }}", elements.join(", ")));
    }
    lines
}

/// Older nft wants each statement and each closing brace on a line of its own.
fn block(text: &mut String, head: &str, lines: &[String]) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "\t{head} {{\n\t\t{}\n\t}}", lines.join("\n\t\t"));
}
