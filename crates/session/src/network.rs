//! What a node is told of cluster networks: which it needs, who is on them, and which ports the mesh publishes.
//!
//! A node gets the table of each network that one of its tasks is on, of every attachable network only once something of
//! the node attaches, and of the ingress network always. A table is complete when a network is told first, and changes
//! after that, under the generation of the [`Assign`](crate::Assign) that carries it.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};
use swarm_types::{EndpointMode, NetworkId, NodeId, PortConfig, ServiceId, Subnet, TaskId};

/// A network as a node needs it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeNetwork {
    /// Its id.
    pub id: NetworkId,
    /// Its name.
    pub name: String,
    /// Its subnets with their gateways.
    pub subnets: Vec<Subnet>,
    /// Its VXLAN network identifier.
    pub vni: u32,
    /// What the operator wants the underlay's packets to be at most, in bytes; `None` follows the host's device.
    #[serde(default)]
    pub mtu: Option<u32>,
    /// Without a way out of the cluster.
    #[serde(default)]
    pub internal: bool,
    /// It carries the routing mesh.
    #[serde(default)]
    pub ingress: bool,
    /// Containers that are no tasks may attach.
    #[serde(default)]
    pub attachable: bool,
    /// Packets between hosts are to be sealed; never plain.
    #[serde(default)]
    pub encrypted: bool,
    /// The driver's options as given, those above included.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
}

/// A task's place on one network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskAttachment {
    /// The network; its table is told before or with the task.
    pub network: NetworkId,
    /// One per kind of address, with the length of the subnet's prefix.
    pub addresses: Vec<IpNet>,
    /// Further names of the service there.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// The operator's options for this attachment.
    #[serde(default)]
    pub driver_opts: BTreeMap<String, String>,
}

/// A task on a network, seen from any node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NetworkEndpoint {
    /// The network.
    pub network: NetworkId,
    /// The task.
    pub task: TaskId,
    /// Its addresses there.
    pub addresses: Vec<IpAddr>,
    /// Its node; where that takes packets is in [`DataPathNode`].
    pub node: NodeId,
    /// Its service; `None` for containers that attached by themselves.
    #[serde(default)]
    pub service: Option<ServiceId>,
    /// The service's name; answered by [`NetworkService`], but for those without one.
    #[serde(default)]
    pub service_name: String,
    /// Name of the task's container: `service.slot.task`.
    pub name: String,
    /// Further names of the service there.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// Whether names and virtual addresses lead to it: it runs, is healthy, and is to go on. Its address is reachable
    /// before and after that.
    pub in_service: bool,
}

/// A service on a network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NetworkService {
    /// The network.
    pub network: NetworkId,
    /// The service.
    pub service: ServiceId,
    /// Its name.
    pub name: String,
    /// Its further names there.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// Whether names lead to the virtual addresses or to those of the tasks.
    pub mode: EndpointMode,
    /// Its virtual addresses there; empty with [`EndpointMode::Dnsrr`].
    #[serde(default)]
    pub vips: Vec<IpAddr>,
    /// Ports that every node opens for it; only on the ingress network.
    #[serde(default)]
    pub ports: Vec<PortConfig>,
}

/// Where a node takes packets of cluster networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataPathNode {
    /// The node.
    pub node: NodeId,
    /// Unique among the nodes, from 1: hardware and link addresses are made from it.
    pub index: u32,
    /// Where it takes VXLAN packets.
    pub vtep: IpAddr,
}

/// Changes of the networks that a node needs. Part of an [`Assign`](crate::Assign): with a complete one, all there is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkOrders {
    /// Networks that the node needs from now on, or that differ.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<NodeNetwork>,
    /// Networks that the node does not need any more; their endpoints and services are forgotten with them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub networks_removed: Vec<NetworkId>,
    /// Endpoints that are new or differ.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<NetworkEndpoint>,
    /// Endpoints that are gone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub endpoints_removed: Vec<(NetworkId, TaskId)>,
    /// Services that are new or differ.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<NetworkService>,
    /// Services that are gone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub services_removed: Vec<(NetworkId, ServiceId)>,
    /// Nodes that are new or differ.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<DataPathNode>,
    /// Nodes that are gone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nodes_removed: Vec<NodeId>,
    /// UDP port of VXLAN; zero is unchanged, and at first 4789.
    #[serde(skip_serializing_if = "is_zero")]
    pub data_path_port: u32,
}

impl NetworkOrders {
    /// Whether nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// One network with everything on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NetworkTable {
    /// The network.
    pub network: NodeNetwork,
    /// The tasks on it.
    pub endpoints: BTreeMap<TaskId, NetworkEndpoint>,
    /// The services on it.
    pub services: BTreeMap<ServiceId, NetworkService>,
}

/// Everything a node was told about networks.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkView {
    /// The networks it needs. A table that did not change stays the same allocation.
    pub tables: BTreeMap<NetworkId, Arc<NetworkTable>>,
    /// Where nodes take packets, this one included.
    pub nodes: Arc<BTreeMap<NodeId, DataPathNode>>,
    /// UDP port of VXLAN; zero is 4789.
    pub data_path_port: u32,
}

/// What of the networks changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetworksApplied {
    /// Networks that are new, or with a change on them.
    pub changed: BTreeSet<NetworkId>,
    /// Networks that the node does not need any more.
    pub removed: BTreeSet<NetworkId>,
    /// Whether a node's place, or the port, changed.
    pub nodes_changed: bool,
}

impl NetworkView {
    /// The first network that `orders` speak of and that is not known after them.
    pub(crate) fn unknown_network(&self, orders: &NetworkOrders, complete: bool) -> Option<NetworkId> {
        let told: BTreeSet<NetworkId> = orders.networks.iter().map(|n| n.id).collect();
        let named = orders.endpoints.iter().map(|e| e.network).chain(orders.services.iter().map(|s| s.network));
        named.into_iter().find(|id| !told.contains(id) && (complete || !self.tables.contains_key(id)))
    }

    /// Takes orders; those that are complete replace everything. The caller has looked for unknown networks.
    pub(crate) fn apply(&mut self, orders: NetworkOrders, complete: bool) -> NetworksApplied {
        let before = self.clone();
        if complete {
            *self = Self::default();
        }
        if orders.data_path_port != 0 {
            self.data_path_port = orders.data_path_port;
        }
        if !orders.nodes.is_empty() || !orders.nodes_removed.is_empty() {
            let nodes = Arc::make_mut(&mut self.nodes);
            nodes.retain(|id, _| !orders.nodes_removed.contains(id));
            nodes.extend(orders.nodes.into_iter().map(|n| (n.node, n)));
        }
        for id in &orders.networks_removed {
            self.tables.remove(id);
        }
        for network in orders.networks {
            match self.tables.get_mut(&network.id) {
                Some(table) => Arc::make_mut(table).network = network,
                None => {
                    let table = NetworkTable { endpoints: BTreeMap::new(), services: BTreeMap::new(), network };
                    self.tables.insert(table.network.id, Arc::new(table));
                }
            }
        }
        self.apply_endpoints(orders.endpoints, &orders.endpoints_removed);
        self.apply_services(orders.services, &orders.services_removed);
        self.difference(&before)
    }

    fn table(&mut self, id: NetworkId) -> Option<&mut NetworkTable> {
        self.tables.get_mut(&id).map(Arc::make_mut)
    }

    fn apply_endpoints(&mut self, changed: Vec<NetworkEndpoint>, removed: &[(NetworkId, TaskId)]) {
        for (network, task) in removed {
            if let Some(table) = self.table(*network) {
                table.endpoints.remove(task);
            }
        }
        for endpoint in changed {
            if let Some(table) = self.table(endpoint.network) {
                table.endpoints.insert(endpoint.task, endpoint);
            }
        }
    }

    fn apply_services(&mut self, changed: Vec<NetworkService>, removed: &[(NetworkId, ServiceId)]) {
        for (network, service) in removed {
            if let Some(table) = self.table(*network) {
                table.services.remove(service);
            }
        }
        for service in changed {
            if let Some(table) = self.table(service.network) {
                table.services.insert(service.service, service);
            }
        }
    }

    fn difference(&self, before: &Self) -> NetworksApplied {
        let same =
            |id: &NetworkId, table: &Arc<NetworkTable>| before.tables.get(id).is_some_and(|old| Arc::ptr_eq(old, table) || old == table);
        NetworksApplied {
            changed: self.tables.iter().filter(|(id, table)| !same(id, table)).map(|(id, _)| *id).collect(),
            removed: before.tables.keys().filter(|id| !self.tables.contains_key(id)).copied().collect(),
            nodes_changed: self.nodes != before.nodes || self.data_path_port != before.data_path_port,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}
