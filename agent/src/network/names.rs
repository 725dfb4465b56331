//! Names on cluster networks: what the managers told, for the server of names.
//!
//! What is told reaches the server before the kernel is changed by it, and does not wait for the kernel: a task that is no
//! longer in service loses its names at once. A task is answered from the moment that it is told of, so a container that
//! starts finds its names with its first instruction.

use super::told::{Member, Told};
use crate::error_chain::chain;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};
use swarm_dataplane::{
    Netns, Prefix,
    dns::{Client, Forward, Server, Tables, Zone},
};
use swarm_session::{NetworkTable, NetworkView};
use swarm_types::{NetworkId, NodeId, ServiceId, TaskId};
use tokio::sync::watch;

/// Where servers of names listen.
const DNS_PORT: u16 = 53;

/// The names of this host's networks.
#[derive(Debug)]
pub struct Names {
    server: Server,
    prefix: Prefix,
    zones: Mutex<Zones>,
}

/// Zones as they were made, with the tables that they were made of.
type Zones = HashMap<NetworkId, (Arc<NetworkTable>, Arc<Zone>)>;

impl Names {
    /// Nothing is known and nobody answered yet. `resolv_conf` is the host's.
    pub(super) fn new(prefix: Prefix, resolv_conf: PathBuf) -> Self {
        Self { server: Server::new(resolv_conf), prefix, zones: Mutex::default() }
    }

    /// The server of names.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Answers by what was told last from now on.
    pub(super) fn publish(&self, told: &watch::Receiver<Told>) {
        let mut zones = self.zones.lock().unwrap_or_else(PoisonError::into_inner);
        // Looked at under the lock, so that of two callers the later one has the newer.
        let told = told.borrow().clone();
        let tables = match &told {
            // What the server knew before is nothing, too.
            Told::Unknown => return,
            Told::Outside => {
                zones.clear();
                Tables::default()
            }
            Told::Member(member) => {
                renew(&mut zones, &member.view);
                tables(member, &zones)
            }
        };
        self.server.publish(tables);
    }

    /// Listens on the gateways of all networks that have a namespace by now, and on no others. Returns what could not be
    /// done. Must be called from within a runtime, and blocks shortly.
    pub(super) fn listen(&self, view: &NetworkView) -> Vec<String> {
        let mut faults = Vec::new();
        let wanted: BTreeSet<String> = view.tables.keys().map(ToString::to_string).collect();
        for id in self.server.listening().into_iter().filter(|id| !wanted.contains(id)) {
            self.server.close(&id);
        }
        for (id, table) in &view.tables {
            let id = id.to_string();
            let listened = Netns::of_network(self.prefix, &id).and_then(|namespace| match namespace {
                Some(namespace) => self.server.listen(&id, &namespace, &gateways(table)),
                None => {
                    self.server.close(&id);
                    Ok(())
                }
            });
            if let Err(error) = listened {
                faults.push(format!("names of network {}: {}", table.network.name, chain(&error)));
            }
        }
        faults
    }

    /// Listens nowhere.
    pub(super) fn close(&self) {
        self.listen(&NetworkView::default());
    }
}

/// Publishes what is told as soon as it is, until nobody can tell any more.
pub(super) async fn follow(names: Arc<Names>, mut told: watch::Receiver<Told>) {
    loop {
        told.borrow_and_update();
        names.publish(&told);
        if told.changed().await.is_err() {
            return;
        }
    }
}

/// The addresses that names are asked at.
fn gateways(table: &NetworkTable) -> Vec<IpAddr> {
    table.network.subnets.iter().map(|subnet| subnet.gateway).filter(IpAddr::is_ipv4).collect()
}

/// Makes the zones of tables that changed, and keeps the others.
fn renew(zones: &mut Zones, view: &NetworkView) {
    zones.retain(|id, _| view.tables.contains_key(id));
    for (id, table) in &view.tables {
        if !zones.get(id).is_some_and(|(of, _)| Arc::ptr_eq(of, table)) {
            zones.insert(*id, (Arc::clone(table), Arc::new(zone(table))));
        }
    }
}

fn zone(table: &NetworkTable) -> Zone {
    let subnets = table.network.subnets.iter().map(|subnet| subnet.subnet).collect();
    let mut zone = Zone::new(&table.network.name, subnets);
    let mut in_service = HashMap::<ServiceId, Vec<IpAddr>>::new();
    for endpoint in table.endpoints.values() {
        match endpoint.service {
            Some(service) => {
                zone.add_task([endpoint.name.as_str()], &endpoint.addresses, endpoint.in_service);
                if endpoint.in_service {
                    in_service.entry(service).or_default().extend(&endpoint.addresses);
                }
            }
            None => {
                let names = std::iter::once(&endpoint.name).chain(&endpoint.aliases).map(String::as_str);
                zone.add_task(names, &endpoint.addresses, endpoint.in_service);
            }
        }
    }
    for service in table.services.values() {
        let names = std::iter::once(&service.name).chain(&service.aliases).map(String::as_str);
        zone.add_service(names, &service.vips, in_service.get(&service.service).map_or(&[][..], Vec::as_slice));
    }
    zone
}

fn tables(member: &Member, zones: &Zones) -> Tables {
    let mut clients = HashMap::<String, HashMap<IpAddr, Arc<Client>>>::new();
    for (task, places) in local_tasks(member.node, &member.view) {
        let forward = forward(&places, member.name_servers.get(&task));
        let networks = places.iter().map(|place| place.table.network.id.to_string()).collect();
        let client = Arc::new(Client { networks, forward });
        for place in places {
            let clients = clients.entry(place.table.network.id.to_string()).or_default();
            clients.extend(place.addresses.iter().map(|address| (*address, Arc::clone(&client))));
        }
    }
    Tables { zones: zones.iter().map(|(id, (_, zone))| (id.to_string(), Arc::clone(zone))).collect(), clients }
}

/// A task's place on a network.
struct Place<'a> {
    table: &'a NetworkTable,
    addresses: &'a [IpAddr],
}

/// The tasks of this node with their networks, in the order in which names are looked for: the ingress network last, the
/// others by name.
fn local_tasks(node: NodeId, view: &NetworkView) -> BTreeMap<TaskId, Vec<Place<'_>>> {
    let mut tables: Vec<_> = view.tables.values().collect();
    tables.sort_by_key(|table| (table.network.ingress, &table.network.name));
    let mut tasks = BTreeMap::<TaskId, Vec<Place<'_>>>::new();
    for table in tables {
        for endpoint in table.endpoints.values().filter(|endpoint| endpoint.node == node) {
            tasks.entry(endpoint.task).or_default().push(Place { table, addresses: &endpoint.addresses });
        }
    }
    tasks
}

/// Where a task's other questions go. On internal networks alone there is no way out of the cluster, for names neither.
fn forward(places: &[Place<'_>], servers: Option<&Vec<IpAddr>>) -> Forward {
    let servers = servers.filter(|servers| !servers.is_empty());
    if places.iter().all(|place| place.table.network.internal) {
        return Forward::Nowhere(servers.is_some());
    }
    match servers {
        Some(servers) => Forward::Servers(servers.iter().map(|server| SocketAddr::new(*server, DNS_PORT)).collect()),
        None => Forward::Host,
    }
}

#[cfg(test)]
#[path = "names/tests.rs"]
mod tests;
