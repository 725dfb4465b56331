//! What the server of names knows: the names on each network, and who may ask.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;

/// The names on one network. They are case-insensitive.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Zone {
    name: String,
    subnets: Vec<IpNet>,
    /// By name in lower case. A name without addresses is known nevertheless, and nobody else is asked.
    addresses: HashMap<Box<str>, Vec<IpAddr>>,
    /// Who has an address, as it is written.
    owners: HashMap<IpAddr, Box<str>>,
}

impl Zone {
    /// A network of that name without anything on it. `subnets` are the addresses that belong to it,
    /// whether somebody has them or not.
    #[must_use]
    pub fn new(name: &str, subnets: Vec<IpNet>) -> Self {
        Self { name: name.to_ascii_lowercase(), subnets, ..Self::default() }
    }

    /// Adds a service under all its names. They lead to `vips` if there are any, else to `tasks`, the
    /// addresses of the tasks in service; `tasks.NAME` leads to those always.
    pub fn add_service<'a>(&mut self, names: impl IntoIterator<Item = &'a str>, vips: &[IpAddr], tasks: &[IpAddr]) {
        for (position, name) in names.into_iter().enumerate() {
            self.add(name, if vips.is_empty() { tasks } else { vips });
            self.add(&format!("tasks.{name}"), tasks);
            if position == 0 {
                self.own(name, vips);
            }
        }
    }

    /// Adds a task, or a container that is none, under all its names. They lead to it while it is in
    /// service; the way back from its addresses to the first of them is always known.
    pub fn add_task<'a>(&mut self, names: impl IntoIterator<Item = &'a str>, addresses: &[IpAddr], in_service: bool) {
        for (position, name) in names.into_iter().enumerate() {
            self.add(name, if in_service { addresses } else { &[] });
            if position == 0 {
                self.own(name, addresses);
            }
        }
    }

    /// Names that several have lead to all of them.
    fn add(&mut self, name: &str, addresses: &[IpAddr]) {
        let known = self.addresses.entry(name.to_ascii_lowercase().into()).or_default();
        if known.is_empty() {
            known.extend_from_slice(addresses);
            return;
        }
        let new: Vec<_> = addresses.iter().filter(|address| !known.contains(address)).copied().collect();
        known.extend(new);
    }

    fn own(&mut self, name: &str, addresses: &[IpAddr]) {
        self.owners.extend(addresses.iter().map(|address| (*address, name.into())));
    }

    /// The addresses behind a name in lower case, or `None` when nobody has the name.
    pub(crate) fn find(&self, name: &str) -> Option<&[IpAddr]> {
        self.addresses.get(name).map(Vec::as_slice)
    }

    /// The full name of who has an address.
    pub(crate) fn owner(&self, address: IpAddr) -> Option<String> {
        self.owners.get(&address).map(|name| format!("{name}.{}", self.name))
    }

    /// Whether an address belongs to the network.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        self.subnets.iter().any(|subnet| subnet.contains(&address))
    }

    /// What is left of a name in lower case that ends with the network's name.
    pub(crate) fn within<'a>(&self, name: &'a str) -> Option<&'a str> {
        name.strip_suffix(self.name.as_str())?.strip_suffix('.').filter(|rest| !rest.is_empty())
    }

    /// The names with their addresses, sorted, for an operator.
    #[must_use]
    pub fn entries(&self) -> Vec<(String, Vec<IpAddr>)> {
        let mut entries: Vec<_> = self.addresses.iter().map(|(name, addresses)| (name.to_string(), addresses.clone())).collect();
        entries.sort();
        entries
    }
}

/// Where questions about other names go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Forward {
    /// To the servers that the host uses.
    #[default]
    Host,
    /// To these servers, in this order. Those inside a network of the client can only be reached from
    /// its container: the question fails, and the container's resolver asks them itself.
    Servers(Vec<SocketAddr>),
    /// Nowhere: the client has no way out of the cluster, and names are no such way either. With true
    /// the client's resolver has other servers to ask, and is told to go on.
    Nowhere(bool),
}

/// Who may ask.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Client {
    /// Ids of the networks whose names it sees. The first that knows a name answers.
    pub networks: Vec<String>,
    /// Who is asked about all other names.
    pub forward: Forward,
}

/// Everything the server knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tables {
    /// The networks of this node by id.
    pub zones: HashMap<String, Arc<Zone>>,
    /// The clients by id of a network and their address there. Nobody else is answered.
    pub clients: HashMap<String, HashMap<IpAddr, Arc<Client>>>,
}

impl Tables {
    pub(crate) fn client(&self, network: &str, source: IpAddr) -> Option<&Client> {
        self.clients.get(network)?.get(&source).map(Arc::as_ref)
    }

    /// The networks whose names a client sees, in its order.
    pub(crate) fn zones_of<'a>(&'a self, client: &'a Client) -> impl Iterator<Item = &'a Zone> + Clone {
        client.networks.iter().filter_map(|id| self.zones.get(id)).map(Arc::as_ref)
    }
}
