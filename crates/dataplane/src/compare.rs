//! What the kernel holds, beside what it should hold, without changing anything.

use std::collections::BTreeMap;
use std::fmt;

use crate::dataplane::{Dataplane, Loaded, MESH, wanted};
use crate::desired::{Desired, Network};
use crate::error::{Error, chain};
use crate::kernel::{Kernel, Link, Vxlan};
use crate::names::{VXLAN, node_mac};
use crate::netns::Netns;
use crate::nft;
use crate::routes::{Entries, Key, MAIN, Value, observe_entries};
use crate::rules::TABLE;

/// Kind of the entries that say who has an address of the network.
const ADDRESSES: &str = "addresses";
/// Kind of the devices.
const DEVICES: &str = "devices";
/// Kind of the chains of virtual addresses and published ports.
const RULES: &str = "nftables";
/// All kinds, so that those without entries are shown, too.
const KINDS: [&str; 7] = [ADDRESSES, DEVICES, "forwarding", "neighbours", RULES, "marks", "routes"];

/// The entries of one kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compared {
    /// How many there should be.
    pub desired: usize,
    /// How many there are.
    pub actual: usize,
    /// Those that should be there and are not, or differ, as text.
    pub missing: Vec<String>,
    /// Those that are there and should not be, or differ, as text.
    pub unexpected: Vec<String>,
}

/// A network's entries, by kind; or why they cannot be told.
pub type Comparison = Result<BTreeMap<&'static str, Compared>, String>;

impl Dataplane {
    /// Compares the kernel with what is desired, network by network, and leaves it as it is. What is found wrong here is put
    /// right by the next [`Self::ensure`].
    #[must_use]
    pub fn compare(&self, desired: &Desired) -> BTreeMap<String, Comparison> {
        let compare = |(id, network): (&String, &Network)| {
            let compared = self.compare_network(desired, id, network);
            (id.clone(), compared.map_err(|error| chain("cannot look at the kernel", &error)))
        };
        desired.networks.iter().map(compare).collect()
    }

    fn compare_network(&self, desired: &Desired, id: &str, network: &Network) -> Result<BTreeMap<&'static str, Compared>, Error> {
        let mut kinds: BTreeMap<_, _> = KINDS.iter().map(|kind| (*kind, Compared::default())).collect();
        let Some(namespace) = Netns::of_network(self.prefix, id)? else {
            let devices = kinds.entry(DEVICES).or_default();
            devices.desired += 1;
            devices.missing.push(format!("namespace {}", self.prefix.namespace(id)));
            return Ok(kinds);
        };
        let is_ingress = desired.mesh.as_ref().is_some_and(|mesh| mesh.network == id);
        let uplink = (is_ingress && self.has_uplink).then(|| self.prefix.uplink_addresses().0);
        let (links, actual, table) = namespace.enter(|| {
            let (links, actual) = Kernel::within(async |kernel| {
                let links = kernel.links().await?;
                let actual = observe_entries(kernel, &links).await?;
                Ok((links, actual))
            })?;
            Ok((links, actual, nft::list(TABLE)?))
        })?;
        entries(&mut kinds, &links, &wanted(desired, network, &links, uplink), &actual);
        device(kinds.entry(DEVICES).or_default(), desired, network, links.get(VXLAN));
        let rules = kinds.entry(RULES).or_default();
        self.rules(rules, id, TABLE, table.as_ref());
        if is_ingress && self.has_uplink {
            let name = self.prefix.to_string();
            let table = self.host.enter(|| nft::list(&name))?;
            self.rules(rules, MESH, &name, table.as_ref());
        }
        Ok(kinds)
    }

    /// The chains of a table count as one each. How the kernel shows them is known from when they were loaded only, so a table
    /// is right or wrong as a whole.
    fn rules(&self, compared: &mut Compared, id: &str, name: &str, shown: Option<&String>) {
        let loaded = self.tables.get(id);
        let desired = loaded.map_or(1, |Loaded { table, .. }| table.chains());
        compared.desired += desired;
        if shown.is_some() && loaded.is_some_and(|loaded| loaded.shown.as_ref() == shown) {
            compared.actual += desired;
            return;
        }
        compared.missing.push(format!("table ip {name}"));
        if shown.is_some() {
            compared.unexpected.push(format!("table ip {name} as others changed it"));
        }
    }
}

fn entries(kinds: &mut BTreeMap<&'static str, Compared>, links: &BTreeMap<String, Link>, wanted: &Entries, actual: &Entries) {
    for (key, value) in wanted {
        let compared = kinds.entry(kind(*key)).or_default();
        compared.desired += 1;
        if actual.get(key) != Some(value) {
            compared.missing.push(text(links, *key, *value));
        }
    }
    for (key, value) in actual {
        let compared = kinds.entry(kind(*key)).or_default();
        compared.actual += 1;
        if wanted.get(key) != Some(value) {
            compared.unexpected.push(text(links, *key, *value));
        }
    }
}

fn device(compared: &mut Compared, desired: &Desired, network: &Network, link: Option<&Link>) {
    let right = Vxlan { vni: network.vni, port: desired.data_port, local: Some(desired.vtep) };
    let shown = |vxlan: Vxlan, mtu: u32, mac: &[u8]| {
        let local = vxlan.local.map(|local| format!(" local {local}")).unwrap_or_default();
        format!("{VXLAN} vxlan id {}{local} port {} mtu {mtu} address {}", vxlan.vni, vxlan.port, Mac(mac))
    };
    let wanted = shown(right, network.mtu, &node_mac(desired.node));
    let found = link.map(|link| link.vxlan.map_or_else(|| VXLAN.to_owned(), |vxlan| shown(vxlan, link.mtu, &link.mac)));
    compared.desired += 1;
    compared.actual += usize::from(found.is_some());
    if found.as_ref() != Some(&wanted) {
        compared.missing.push(wanted);
        compared.unexpected.extend(found);
    }
}

fn kind(key: Key) -> &'static str {
    match key {
        Key::Address(_) => ADDRESSES,
        Key::Neighbour(_) => "neighbours",
        Key::Forwarding(_) => "forwarding",
        Key::Rule(_) => "marks",
        Key::Route(..) => "routes",
    }
}

/// An entry as `ip` and `bridge` write it.
fn text(links: &BTreeMap<String, Link>, key: Key, value: Value) -> String {
    let device =
        |index: u32| links.iter().find(|(_, link)| link.index == index).map_or_else(|| format!("if{index}"), |(name, _)| name.clone());
    let subject = match key {
        Key::Address(address) => format!("{address}/32 dev lo"),
        Key::Neighbour(hop) => format!("{hop} dev {VXLAN}"),
        Key::Forwarding(mac) => format!("{} dev {VXLAN}", Mac(&mac)),
        Key::Rule(mark) => format!("fwmark {mark:#x} lookup {mark}"),
        Key::Route(_, destination, 0) if destination.is_unspecified() => "default".to_owned(),
        Key::Route(_, destination, bits) => format!("{destination}/{bits}"),
    };
    let says = match value {
        Value::Present => String::new(),
        Value::Mac(mac) => format!(" lladdr {}", Mac(&mac)),
        Value::Vtep(vtep) => format!(" dst {vtep}"),
        Value::Unreachable => return format!("unreachable {subject}"),
        Value::Link(index) => format!(" dev {}", device(index)),
        Value::Via(hop, index) => format!(" via {hop} dev {}", device(index)),
    };
    let table = match key {
        Key::Route(table, ..) if table != MAIN => format!(" table {table}"),
        _ => String::new(),
    };
    format!("{subject}{says}{table}")
}

struct Mac<'a>(&'a [u8]);

impl fmt::Display for Mac<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, byte) in self.0.iter().enumerate() {
            write!(f, "{}{byte:02x}", if position == 0 { "" } else { ":" })?;
        }
        Ok(())
    }
}
