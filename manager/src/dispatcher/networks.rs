//! What a node is told of cluster networks.
//!
//! Every manager keeps a short log of what changed on networks ([`Journal`]), derived from the committed entries. A session
//! that was told everything up to some log index looks up only what changed since then; one that is older than the log
//! starts anew with everything. So a task's change costs a session a few look-ups, however many endpoints there are.

use crate::store::Committed;
use std::{
    collections::{BTreeSet, VecDeque},
    net::IpAddr,
};
use swarm_session::{DataPathNode, NetworkEndpoint, NetworkOrders, NetworkService, NodeNetwork, TaskAttachment};
use swarm_state::{Event, Key, Network, Node, Object, Service, State, Task};
use swarm_types::{
    EndpointMode, NetworkAttachmentConfig, NetworkId, NodeId, OPTION_ENCRYPTED, OPTION_MTU, PublishMode, ServiceId, SharedSpec, TaskId,
    TaskState,
};

/// Entries that the journal holds. A session that is further behind is told everything again.
const ENTRIES_MAX: usize = 4096;

/// What one committed entry changed on networks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Touched {
    pub(super) networks: BTreeSet<NetworkId>,
    pub(super) endpoints: BTreeSet<(NetworkId, TaskId)>,
    pub(super) services: BTreeSet<(NetworkId, ServiceId)>,
    pub(super) nodes: BTreeSet<NodeId>,
}

impl Touched {
    /// What an entry changed, statuses that tell no other node anything left out.
    pub(super) fn of(committed: &Committed) -> Self {
        let mut touched = Self::default();
        for event in &committed.events {
            touched.take(event, &committed.state);
        }
        touched
    }

    fn take(&mut self, event: &Event, state: &State) {
        match (&event.key, &event.old, &event.new) {
            (Key::Task(id), old, new) => {
                let (old, new) = (as_task(old.as_ref()), as_task(new.as_ref()));
                if old.map(visible) != new.map(visible) {
                    let attachments = old.into_iter().chain(new).flat_map(|t| &t.attachments);
                    self.endpoints.extend(attachments.map(|a| (a.network, *id)));
                    let service = old.or(new).and_then(|t| t.service_id);
                    // A service without virtual addresses is on a network as long as its tasks are.
                    let on = self.endpoints.iter().filter(|(_, task)| task == id).map(|(network, _)| *network);
                    self.services.extend(on.filter_map(|network| Some((network, service?))).collect::<Vec<_>>());
                }
            }
            (Key::Service(id), old, new) => {
                let of = |o: &Option<Object>| match o {
                    Some(Object::Service(s)) => Some((s.current.clone(), s.endpoint.clone())),
                    _ => None,
                };
                if of(old) != of(new) {
                    for object in old.iter().chain(new) {
                        if let Object::Service(service) = object {
                            self.services.extend(networks_of_service(service).map(|network| (network, *id)));
                        }
                    }
                    if let (None, Some(ingress)) = (new, state.ingress()) {
                        self.services.insert((ingress.id, *id));
                    }
                }
            }
            (Key::Network(id), old, new) => {
                let same = matches!((old, new), (Some(Object::Network(a)), Some(Object::Network(b))) if a.is_same_to_nodes(b));
                if !same {
                    self.networks.insert(*id);
                }
            }
            (Key::Node(id), old, new) => {
                let place = |o: &Option<Object>| match o {
                    Some(Object::Node(node)) => data_path(node),
                    _ => None,
                };
                if place(old) != place(new) {
                    self.nodes.insert(*id);
                }
            }
            (Key::Cluster | Key::Spec(_) | Key::Secret(_) | Key::Config(_), ..) => {}
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The networks on which something changed.
    pub(super) fn on(&self) -> BTreeSet<NetworkId> {
        let endpoints = self.endpoints.iter().map(|(network, _)| *network);
        endpoints.chain(self.services.iter().map(|(network, _)| *network)).chain(self.networks.iter().copied()).collect()
    }
}

/// What changed lately, by log index.
#[derive(Debug, Default)]
pub(super) struct Journal {
    /// Everything after this index is in the entries.
    since: u64,
    /// Everything up to this index is in the entries.
    until: u64,
    entries: VecDeque<(u64, Touched)>,
}

impl Journal {
    /// A journal that begins with this state.
    pub(super) fn new(applied: u64) -> Self {
        Self { since: applied, until: applied, entries: VecDeque::new() }
    }

    /// Adds what an entry changed.
    pub(super) fn push(&mut self, index: u64, touched: Touched) {
        self.until = self.until.max(index);
        if touched.is_empty() {
            return;
        }
        self.entries.push_back((index, touched));
        if self.entries.len() > ENTRIES_MAX
            && let Some((index, _)) = self.entries.pop_front()
        {
            self.since = index;
        }
    }

    /// Up to where the journal knows. A state read after this holds at least as much.
    pub(super) fn until(&self) -> u64 {
        self.until
    }

    /// Everything that changed after `index`; `None` if that is not known any more.
    pub(super) fn after(&self, index: u64) -> Option<Touched> {
        if index < self.since {
            return None;
        }
        let mut all = Touched::default();
        for (_, touched) in self.entries.iter().rev().take_while(|(at, _)| *at > index) {
            all.networks.extend(&touched.networks);
            all.endpoints.extend(&touched.endpoints);
            all.services.extend(&touched.services);
            all.nodes.extend(&touched.nodes);
        }
        Some(all)
    }
}

/// The networks a node needs: those of its tasks that have not ended, and the ingress network.
pub(super) fn needed(state: &State, node: NodeId) -> BTreeSet<NetworkId> {
    let tasks = state.tasks_of_node(node).filter(|t| !t.status.state.is_terminal());
    let of_tasks = tasks.flat_map(|t| &t.attachments).map(|a| a.network);
    of_tasks.chain(state.ingress().map(|n| n.id)).filter(|id| state.network(*id).is_some()).collect()
}

/// All that a node which needs these networks is to know. Without a network that is its own place alone: it sends to nobody,
/// and in a large cluster everybody's place is much to tell.
pub(super) fn everything(state: &State, node: NodeId, needed: &BTreeSet<NetworkId>) -> NetworkOrders {
    let mut orders = NetworkOrders {
        nodes: match needed.is_empty() {
            true => state.node(node).and_then(|n| data_path(n)).into_iter().collect(),
            false => state.nodes().filter_map(|n| data_path(n)).collect(),
        },
        data_path_port: state.cluster().map_or(0, |c| c.api.data_path_port),
        ..NetworkOrders::default()
    };
    for id in needed {
        whole_network(state, *id, &mut orders);
    }
    orders
}

/// What a node that was told of `told` is to know besides, now that it needs `needed` and this changed.
pub(super) fn changes(
    state: &State,
    node: NodeId,
    told: &BTreeSet<NetworkId>,
    needed: &BTreeSet<NetworkId>,
    touched: &Touched,
) -> NetworkOrders {
    let mut orders = NetworkOrders { networks_removed: told.difference(needed).copied().collect(), ..NetworkOrders::default() };
    for id in needed.difference(told) {
        whole_network(state, *id, &mut orders);
    }
    let known = |network: &NetworkId| told.contains(network) && needed.contains(network);
    for id in touched.networks.iter().filter(|id| known(id)) {
        orders.networks.extend(state.network(*id).map(|n| node_network(n)));
    }
    for (network, task) in touched.endpoints.iter().filter(|(network, _)| known(network)) {
        match state.task(*task).and_then(|t| endpoint(state, *network, t)) {
            Some(endpoint) => orders.endpoints.push(endpoint),
            None => orders.endpoints_removed.push((*network, *task)),
        }
    }
    for (network, id) in touched.services.iter().filter(|(network, _)| known(network)) {
        match state.service(*id).and_then(|s| service_on(state, *network, s)) {
            Some(service) => orders.services.push(service),
            None => orders.services_removed.push((*network, *id)),
        }
    }
    for id in touched.nodes.iter().filter(|id| !needed.is_empty() || **id == node) {
        match state.node(*id).and_then(|n| data_path(n)) {
            Some(node) => orders.nodes.push(node),
            None => orders.nodes_removed.push(*id),
        }
    }
    orders
}

/// A task's places on cluster networks.
pub(super) fn attachments(state: &State, task: &Task) -> Vec<TaskAttachment> {
    let spec = state.spec(task.spec);
    let attached = task.attachments.iter().map(|a| {
        let config = spec.and_then(|s| config_of(s, a.network));
        TaskAttachment {
            network: a.network,
            addresses: a.addresses.clone(),
            aliases: config.map(|c| c.aliases.clone()).unwrap_or_default(),
            driver_opts: config.map(|c| c.driver_opts.clone()).unwrap_or_default(),
        }
    });
    attached.collect()
}

fn whole_network(state: &State, id: NetworkId, orders: &mut NetworkOrders) {
    let Some(network) = state.network(id) else { return };
    orders.networks.push(node_network(network));
    let mut tasks = BTreeSet::new();
    let mut services = BTreeSet::new();
    for (_, holder) in state.addresses_of(id) {
        match holder {
            Key::Task(task) => drop(tasks.insert(task)),
            Key::Service(service) => drop(services.insert(service)),
            _ => {}
        }
    }
    for task in tasks.iter().filter_map(|t| state.task(*t)) {
        services.extend(task.service_id);
        orders.endpoints.extend(endpoint(state, id, task));
    }
    let on_it = services.iter().filter_map(|s| service_on(state, id, state.service(*s)?));
    orders.services.extend(on_it);
}

pub(super) fn node_network(network: &Network) -> NodeNetwork {
    let spec = &network.spec;
    let options = &spec.driver_configuration.options;
    NodeNetwork {
        id: network.id,
        name: spec.name.clone(),
        subnets: network.subnets.clone(),
        vni: network.vni,
        mtu: options.get(OPTION_MTU).and_then(|mtu| mtu.parse().ok()),
        internal: spec.internal,
        ingress: spec.ingress,
        attachable: spec.attachable,
        encrypted: options.contains_key(OPTION_ENCRYPTED),
        options: options.clone(),
    }
}

/// What other nodes see of a task; equal values tell them nothing new.
fn visible(task: &std::sync::Arc<Task>) -> (bool, bool, Option<NodeId>, &[swarm_state::Attachment]) {
    (is_endpoint(task), in_service(task), task.node_id, &task.attachments)
}

fn is_endpoint(task: &Task) -> bool {
    task.node_id.is_some() && task.status.state >= TaskState::Assigned && !task.status.state.is_terminal()
}

fn in_service(task: &Task) -> bool {
    task.status.state == TaskState::Running && task.desired_state <= TaskState::Complete
}

fn endpoint(state: &State, network: NetworkId, task: &Task) -> Option<NetworkEndpoint> {
    let attachment = task.attachments.iter().find(|a| a.network == network)?;
    let node = task.node_id.filter(|_| is_endpoint(task))?;
    let spec = state.spec(task.spec)?;
    Some(NetworkEndpoint {
        network,
        task: task.id,
        addresses: attachment.addresses.iter().map(|net| net.addr()).collect(),
        node,
        service: task.service_id,
        service_name: spec.service_name.clone(),
        name: task.full_name(spec),
        aliases: config_of(spec, network).map(|c| c.aliases.clone()).unwrap_or_default(),
        in_service: in_service(task),
    })
}

fn config_of(spec: &SharedSpec, network: NetworkId) -> Option<&NetworkAttachmentConfig> {
    spec.template.networks.iter().find(|n| n.target == network.as_str())
}

/// The service as it is on a network; `None` if it is not there, neither by an address of its own nor by a task.
fn service_on(state: &State, network: NetworkId, service: &Service) -> Option<NetworkService> {
    let vips: Vec<IpAddr> = service.virtual_addresses().filter(|(id, _)| *id == network).map(|(_, address)| address).collect();
    let spec = &service.current.spec;
    let config = spec.task_template.networks.iter().find(|n| n.target == network.as_str());
    let is_ingress = state.network(network).is_some_and(|n| n.spec.ingress);
    let has_task = || state.tasks_of_service(service.id).any(|t| is_endpoint(t) && t.attachments.iter().any(|a| a.network == network));
    if vips.is_empty() && config.is_none() && !has_task() {
        return None;
    }
    let ports = service.endpoint.ports.iter().filter(|p| is_ingress && p.publish_mode == PublishMode::Ingress && p.published_port != 0);
    Some(NetworkService {
        network,
        service: service.id,
        name: spec.name.clone(),
        aliases: config.map(|c| c.aliases.clone()).unwrap_or_default(),
        mode: spec.endpoint_spec.as_ref().and_then(|e| e.mode).unwrap_or(EndpointMode::Vip),
        vips,
        ports: ports.cloned().collect(),
    })
}

/// Every network that a service is or may be on.
fn networks_of_service(service: &Service) -> impl Iterator<Item = NetworkId> {
    let named = service.current.spec.task_template.networks.iter().filter_map(|n| NetworkId::parse(&n.target).ok());
    named.chain(service.virtual_addresses().map(|(network, _)| network))
}

/// Where a node takes packets; `None` as long as it has no number or no address.
fn data_path(node: &Node) -> Option<DataPathNode> {
    let vtep = node.data_path_addr.or_else(|| node.api.status.addr.parse().ok())?;
    (node.data_path_index != 0).then_some(DataPathNode { node: node.id(), index: node.data_path_index, vtep })
}

fn as_task(object: Option<&Object>) -> Option<&std::sync::Arc<Task>> {
    match object? {
        Object::Task(task) => Some(task),
        _ => None,
    }
}
