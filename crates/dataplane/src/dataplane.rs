//! Making the kernel what is desired, and keeping it so.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use netlink_packet_route::link::LinkAttribute;
use rtnetlink::LinkVxlan;

use crate::desired::{Desired, Network};
use crate::error::{Error, chain};
use crate::kernel::{Kernel, Link, Vxlan, ensure_setting};
use crate::mesh::{self, Ports};
use crate::names::{Prefix, UPLINK, VXLAN, node_hop, node_mac, task_mac};
use crate::netns::Netns;
use crate::routes::{Entries, Key, MAIN, NODE_MARKS, Value, ensure_entries, plugged};
use crate::rules::{TABLE, Table, mesh_table, network_table};
use crate::{conntrack, nft, plug};

/// What a pass found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Entries that were missing or wrong and were made.
    pub added: usize,
    /// Entries that were there and should not be.
    pub removed: usize,
    /// Those among the above that nobody had asked to change since the last pass: somebody else did.
    pub repaired: usize,
    /// Tracked connections forgotten because who answered them is gone.
    pub purged: usize,
    /// What could not be done, as text for an operator. Everything else was done.
    pub faults: Vec<String>,
}

impl Report {
    fn changes(&self) -> usize {
        self.added + self.removed
    }
}

/// Stands for the host's own table among those of the networks; no network has this id.
pub(crate) const MESH: &str = "";

/// A table as it was loaded, and how the kernel shows it.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) table: Table,
    pub(crate) shown: Option<String>,
}

/// The networks of one agent. All methods block; none may be called from an async task.
#[derive(Debug)]
pub struct Dataplane {
    pub(crate) prefix: Prefix,
    pub(crate) host: Netns,
    last: Option<Desired>,
    pub(crate) tables: BTreeMap<String, Loaded>,
    ports: Ports,
    /// The ingress network is linked with the host.
    pub(crate) has_uplink: bool,
}

impl Dataplane {
    /// The networks whose names begin with `prefix`, on the host whose namespace is `host`. Nothing is
    /// touched yet: what an earlier agent left is taken over by the first [`Self::ensure`].
    #[must_use]
    pub fn new(prefix: Prefix, host: Netns) -> Self {
        Self { prefix, host, last: None, tables: BTreeMap::new(), ports: Ports::default(), has_uplink: false }
    }

    /// The namespace of a network of this node.
    ///
    /// # Errors
    /// When the node does not carry it.
    pub fn namespace(&self, network: &str) -> Result<Netns, Error> {
        Netns::find(&self.prefix.namespace(network))?.ok_or_else(|| Error::NoNetwork(network.into()))
    }

    /// Bytes of the largest packet that the device with this address of the host takes, or `None` when no device has it.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn underlay_mtu(&self, address: Ipv4Addr) -> Result<Option<u32>, Error> {
        self.host.enter(|| Kernel::within(async |kernel| kernel.mtu_of(address).await))
    }

    /// Makes the kernel what is desired: adds what is missing, replaces what is wrong, removes what is
    /// too much, and says so. What fails is a fault in the report, and the next pass tries it again.
    pub fn ensure(&mut self, desired: &Desired) -> Report {
        let mut report = Report::default();
        let mut untouched = 0;
        for (id, network) in &desired.networks {
            let before = report.changes();
            if let Err(error) = self.ensure_network(desired, id, network, &mut report) {
                report.faults.push(chain(&format!("network {id}"), &error));
            }
            if self.was(desired, id) {
                untouched += report.changes() - before;
            }
        }
        let before = report.changes();
        if let Err(error) = self.ensure_mesh(desired, &mut report) {
            report.faults.push(chain("routing mesh", &error));
        }
        if self.last.as_ref().is_some_and(|last| last.mesh == desired.mesh && last.networks == desired.networks) {
            untouched += report.changes() - before;
        }
        if let Err(error) = self.remove_leftovers(desired, &mut report) {
            report.faults.push(chain("leftovers", &error));
        }
        report.repaired = untouched;
        self.last = Some(desired.clone());
        report
    }

    /// Makes the link of a task and returns the name of the end that is the container's, which waits in
    /// the host's namespace. `endpoint` tells this link from an earlier one of the same address.
    ///
    /// # Errors
    /// When the node does not carry the network, or the kernel refuses.
    pub fn plug(&self, network: &str, address: Ipv4Addr, endpoint: &str, mac: Option<[u8; 6]>, mtu: u32) -> Result<String, Error> {
        let name = self.prefix.container_link(endpoint);
        let mac = mac.unwrap_or_else(|| task_mac(address));
        self.namespace(network)?.enter(|| plug::plug(&self.host, address, mac, &name, mtu))?;
        Ok(name)
    }

    /// Takes the link of a task away. A network that is gone took it along.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn unplug(&self, network: &str, address: Ipv4Addr) -> Result<(), Error> {
        match Netns::find(&self.prefix.namespace(network))? {
            Some(namespace) => namespace.enter(|| plug::unplug(address)),
            None => Ok(()),
        }
    }

    /// Removes everything that carries this agent's prefix.
    ///
    /// # Errors
    /// The first thing that could not be removed; the others are.
    pub fn clear(&mut self) -> Result<(), Error> {
        self.ports.clear();
        self.tables.clear();
        self.last = None;
        self.has_uplink = false;
        let mut result = self.host.enter(|| mesh::remove_uplink(self.prefix));
        for name in Netns::names(&format!("{}-", self.prefix))? {
            result = result.and(remove_namespace(&name));
        }
        result
    }

    /// Whether the last pass was asked for the same, as far as this network is concerned.
    fn was(&self, desired: &Desired, id: &str) -> bool {
        self.last.as_ref().is_some_and(|last| {
            last.networks.get(id) == desired.networks.get(id) && last.nodes == desired.nodes && last.vtep == desired.vtep
        })
    }

    fn ensure_network(&mut self, desired: &Desired, id: &str, network: &Network, report: &mut Report) -> Result<(), Error> {
        let (namespace, made) = Netns::ensure(&self.prefix.namespace(id))?;
        report.added += usize::from(made);
        let fresh = namespace.enter(|| {
            report.added += ensure_settings()?;
            Kernel::within(async |kernel| prepare(kernel, desired, network, report).await)
        })?;
        if fresh {
            let what = format!("make VXLAN {} on port {}", network.vni, desired.data_port);
            let made = self.host.enter(|| Kernel::within(async |kernel| add_vxlan(kernel, desired, network, &namespace, what).await));
            match made {
                Ok(()) => report.added += 1,
                // Another agent of this host may have it. What needs no other node works all the same.
                Err(error) => report.faults.push(chain(&format!("network {id}"), &error)),
            }
        }
        let is_ingress = desired.mesh.as_ref().is_some_and(|mesh| mesh.network == id);
        if is_ingress {
            let prefix = self.prefix;
            let linked = self.host.enter(|| mesh::ensure_uplink(prefix, network, &namespace, report));
            self.has_uplink = linked.is_ok();
            if let Err(error) = linked {
                report.faults.push(chain("routing mesh", &error));
            }
        }
        let uplink = (is_ingress && self.has_uplink).then(|| self.prefix.uplink_addresses().0);
        let table = network_table(network, desired, is_ingress);
        let loaded = self.tables.remove(id);
        let loaded = namespace.enter(|| {
            Kernel::within(async |kernel| {
                let links = kernel.links().await?;
                for index in links.get(VXLAN).iter().filter(|link| !link.up).map(|link| link.index) {
                    kernel.set_up(index).await?;
                }
                ensure_entries(kernel, &links, &wanted(desired, network, &links, uplink), report).await
            })?;
            let loaded = load(TABLE, table, loaded, report)?;
            report.purged +=
                conntrack::purge(|answers| network.subnet.contains(answers) && !network.has_task(answers) && answers != network.gateway)?;
            Ok(loaded)
        })?;
        self.tables.insert(id.to_owned(), loaded);
        Ok(())
    }

    fn ensure_mesh(&mut self, desired: &Desired, report: &mut Report) -> Result<(), Error> {
        let mesh = desired.mesh.as_ref();
        let mesh = mesh.and_then(|mesh| Some((mesh, desired.networks.get(&mesh.network)?)));
        let Some((mesh, ingress)) = mesh.filter(|_| self.has_uplink) else {
            self.ports.clear();
            self.tables.remove(MESH);
            return self.host.enter(|| mesh::remove_uplink(self.prefix));
        };
        let (prefix, ports, loaded) = (self.prefix, &mut self.ports, self.tables.remove(MESH));
        let loaded = self.host.enter(|| {
            let open = ports.ensure(mesh, report);
            let loaded = load(&prefix.to_string(), mesh_table(prefix, mesh, ingress, &open), loaded, report)?;
            report.purged += conntrack::purge(|answers| ingress.subnet.contains(answers) && !ingress.has_task(answers))?;
            Ok(loaded)
        })?;
        self.tables.insert(MESH.to_owned(), loaded);
        Ok(())
    }

    /// Removes the namespaces of networks this node no longer carries.
    fn remove_leftovers(&mut self, desired: &Desired, report: &mut Report) -> Result<(), Error> {
        let kept: BTreeSet<_> = desired.networks.keys().map(|id| self.prefix.namespace(id)).collect();
        for name in Netns::names(&format!("{}-", self.prefix))? {
            if !kept.contains(&name) {
                remove_namespace(&name)?;
                report.removed += 1;
            }
        }
        self.tables.retain(|id, _| id.is_empty() || desired.networks.contains_key(id));
        Ok(())
    }
}

/// Removes a namespace and its VXLAN device, which would else live, and keep its number taken, for as long
/// as anybody has a socket open in there.
fn remove_namespace(name: &str) -> Result<(), Error> {
    if let Some(namespace) = Netns::find(name)? {
        namespace.enter(|| {
            Kernel::within(async |kernel| match kernel.links().await?.get(VXLAN) {
                Some(link) => kernel.delete_link(link.index).await,
                None => Ok(()),
            })
        })?;
    }
    Netns::remove(name)
}

/// The settings of a namespace that routes. Returns how many were different.
fn ensure_settings() -> Result<usize, Error> {
    const SETTINGS: &[(&str, &str)] = &[
        ("ipv4/ip_forward", "1"),
        ("ipv4/conf/all/rp_filter", "0"),
        ("ipv4/conf/default/rp_filter", "0"),
        ("ipv4/conf/all/send_redirects", "0"),
        ("ipv4/conf/default/send_redirects", "0"),
    ];
    let mut changed = 0;
    for (name, value) in SETTINGS {
        changed += usize::from(ensure_setting(name, value)?);
    }
    // A kernel without IPv6 has no such setting and needs none.
    if std::path::Path::new("/proc/sys/net/ipv6").exists() {
        changed += usize::from(ensure_setting("ipv6/conf/all/disable_ipv6", "1")?);
    }
    Ok(changed)
}

/// Brings the namespace's devices up to what is desired, all but the VXLAN device, which is made from
/// the host's namespace: whether it has to be is returned.
async fn prepare(kernel: &Kernel, desired: &Desired, network: &Network, report: &mut Report) -> Result<bool, Error> {
    let links = kernel.links().await?;
    for link in links.get("lo").iter().filter(|link| !link.up) {
        kernel.set_up(link.index).await?;
        report.added += 1;
    }
    for name in links.keys().filter(|name| crate::names::task_of(name).is_some()) {
        plug::ensure_link_settings(name)?;
    }
    let Some(vxlan) = links.get(VXLAN) else { return Ok(true) };
    let right = Vxlan { vni: network.vni, port: desired.data_port, local: Some(desired.vtep) };
    if vxlan.vxlan != Some(right) || vxlan.mac != node_mac(desired.node) {
        kernel.delete_link(vxlan.index).await?;
        report.removed += 1;
        return Ok(true);
    }
    if vxlan.mtu != network.mtu {
        kernel.set_mtu(vxlan.index, network.mtu).await?;
        report.added += 1;
    }
    Ok(false)
}

/// Makes the device in `namespace` with its UDP socket in the calling thread's: packets between nodes
/// leave by the host's own way.
async fn add_vxlan(kernel: &Kernel, desired: &Desired, network: &Network, namespace: &Netns, what: String) -> Result<(), Error> {
    let mut message = LinkVxlan::new(VXLAN, network.vni)
        .port(desired.data_port)
        .local(desired.vtep)
        .learning(false)
        .mtu(network.mtu)
        .up()
        .setns_by_fd(namespace.fd())
        .build();
    message.attributes.push(LinkAttribute::Address(node_mac(desired.node).to_vec()));
    kernel.handle.link().add(message).execute().await.map_err(Error::netlink(what))
}

/// All entries the namespace of a network shall have. `uplink` is the host's end, on the ingress network.
pub(crate) fn wanted(desired: &Desired, network: &Network, links: &BTreeMap<String, Link>, uplink: Option<Ipv4Addr>) -> Entries {
    let mut entries = Entries::new();
    entries.insert(Key::Address(network.gateway), Value::Present);
    entries.extend(network.services.keys().map(|vip| (Key::Address(*vip), Value::Present)));
    entries.insert(Key::Route(MAIN, network.subnet.address, network.subnet.bits), Value::Unreachable);
    for (task, device) in plugged(links) {
        entries.insert(Key::Route(MAIN, task, 32), Value::Link(device));
    }
    if let (Some(host), Some(device)) = (uplink, links.get(UPLINK)) {
        entries.insert(Key::Route(MAIN, Ipv4Addr::UNSPECIFIED, 0), Value::Via(host, device.index));
    }
    // Without the device no other node can be reached, and nothing may lead to it.
    let Some(vxlan) = links.get(VXLAN).map(|link| link.index) else { return entries };
    for (node, peer) in &desired.nodes {
        entries.insert(Key::Neighbour(node_hop(*node)), Value::Mac(node_mac(*node)));
        entries.insert(Key::Forwarding(node_mac(*node)), Value::Vtep(peer.vtep));
    }
    for (task, node) in network.remote.iter().filter(|(_, node)| desired.nodes.contains_key(node)) {
        entries.insert(Key::Route(MAIN, *task, 32), Value::Via(node_hop(*node), vxlan));
    }
    if uplink.is_some() {
        for node in desired.nodes.keys() {
            let mark = NODE_MARKS + u32::from(*node);
            entries.insert(Key::Rule(mark), Value::Present);
            entries.insert(Key::Route(mark, Ipv4Addr::UNSPECIFIED, 0), Value::Via(node_hop(*node), vxlan));
        }
    }
    entries
}

/// Loads a table unless the kernel shows it as it did when this table was loaded.
fn load(name: &str, table: Table, loaded: Option<Loaded>, report: &mut Report) -> Result<Loaded, Error> {
    let intact = match &loaded {
        Some(loaded) => loaded.shown.is_some() && nft::list(name)? == loaded.shown,
        None => false,
    };
    match loaded {
        Some(loaded) if intact && loaded.table == table => return Ok(loaded),
        Some(loaded) if intact => nft::apply(&table.since(&loaded.table))?,
        _ => nft::apply(&table.full())?,
    }
    report.added += 1;
    Ok(Loaded { shown: nft::list(name)?, table })
}
