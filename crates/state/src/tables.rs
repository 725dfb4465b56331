//! The tables and their indexes.

use crate::{Cluster, Key, Network, Node, Object, Service, Table, Task, holds};
use imbl::{OrdMap, OrdSet};
use std::{net::IpAddr, sync::Arc};
use swarm_types::{
    Config, ConfigId, NetworkId, NodeId, PayloadObject, PortProtocol, Secret, SecretId, ServiceId, SharedSpec, SpecId, TaskId, Version,
};

/// The whole replicated state at one log index. A value: cloning costs a few reference counts.
///
/// Invariants: the indexes say exactly what the tables say; every task's and service's template is stored.
#[derive(Debug, Clone, Default)]
pub struct State {
    pub(crate) applied: u64,
    pub(crate) cluster: Option<Arc<Cluster>>,
    pub(crate) nodes: OrdMap<NodeId, Arc<Node>>,
    /// The nodes that have a manager's address: few of many.
    pub(crate) managers: OrdSet<NodeId>,
    pub(crate) services: OrdMap<ServiceId, Arc<Service>>,
    pub(crate) tasks: OrdMap<TaskId, Arc<Task>>,
    pub(crate) specs: OrdMap<SpecId, Arc<SharedSpec>>,
    pub(crate) secrets: OrdMap<SecretId, Arc<Secret>>,
    pub(crate) configs: OrdMap<ConfigId, Arc<Config>>,
    /// Lower-case name to service: names are unique ignoring case. Shared text, since a change of the map copies some keys.
    pub(crate) services_by_name: OrdMap<Arc<str>, ServiceId>,
    pub(crate) networks: OrdMap<NetworkId, Arc<Network>>,
    /// Lower-case name to network: names are unique ignoring case.
    pub(crate) networks_by_name: OrdMap<Arc<str>, NetworkId>,
    /// Published ports of the routing mesh, by who has them.
    pub(crate) ports: OrdMap<(PortProtocol, u32), ServiceId>,
    /// Addresses that are in use, by who has them.
    pub(crate) addresses: OrdMap<(NetworkId, IpAddr), Key>,
    pub(crate) secrets_by_name: OrdMap<Arc<str>, SecretId>,
    pub(crate) configs_by_name: OrdMap<Arc<str>, ConfigId>,
    pub(crate) tasks_by_service: OrdMap<ServiceId, OrdSet<TaskId>>,
    pub(crate) tasks_by_node: OrdMap<NodeId, OrdSet<TaskId>>,
    /// How many tasks and services name a template; zero entries are kept until the template is deleted.
    pub(crate) spec_uses: OrdMap<SpecId, u64>,
    /// Log index of the last change of each table.
    pub(crate) changed: OrdMap<Table, u64>,
}

impl State {
    /// The log index of the last applied entry.
    #[must_use]
    pub fn applied(&self) -> u64 {
        self.applied
    }

    /// The log index of the last change in a table; zero if there was none.
    #[must_use]
    pub fn changed(&self, table: Table) -> u64 {
        self.changed.get(&table).copied().unwrap_or(0)
    }

    /// The cluster, once it was made.
    #[must_use]
    pub fn cluster(&self) -> Option<&Arc<Cluster>> {
        self.cluster.as_ref()
    }

    /// A node.
    #[must_use]
    pub fn node(&self, id: NodeId) -> Option<&Arc<Node>> {
        self.nodes.get(&id)
    }

    /// All nodes by id.
    pub fn nodes(&self) -> impl DoubleEndedIterator<Item = &Arc<Node>> {
        self.nodes.values()
    }

    /// The nodes that have a manager's address, by id.
    pub fn managers(&self) -> impl Iterator<Item = &Arc<Node>> {
        self.managers.iter().filter_map(|id| self.nodes.get(id))
    }

    /// How many nodes there are.
    #[must_use]
    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// A service.
    #[must_use]
    pub fn service(&self, id: ServiceId) -> Option<&Arc<Service>> {
        self.services.get(&id)
    }

    /// The service that has this name, ignoring case.
    #[must_use]
    pub fn service_named(&self, name: &str) -> Option<&Arc<Service>> {
        self.services.get(self.services_by_name.get(name.to_lowercase().as_str())?)
    }

    /// All services by id.
    pub fn services(&self) -> impl DoubleEndedIterator<Item = &Arc<Service>> {
        self.services.values()
    }

    /// A task.
    #[must_use]
    pub fn task(&self, id: TaskId) -> Option<&Arc<Task>> {
        self.tasks.get(&id)
    }

    /// All tasks by id.
    pub fn tasks(&self) -> impl DoubleEndedIterator<Item = &Arc<Task>> {
        self.tasks.values()
    }

    /// How many tasks there are.
    #[must_use]
    pub fn task_count(&self) -> usize {
        self.tasks.len()
    }

    /// The tasks of a service by id. The service itself may be gone already.
    pub fn tasks_of_service(&self, id: ServiceId) -> impl Iterator<Item = &Arc<Task>> {
        self.tasks_by_service.get(&id).into_iter().flatten().filter_map(|t| self.tasks.get(t))
    }

    /// Services that have tasks, those that are gone included.
    pub fn services_with_tasks(&self) -> impl Iterator<Item = ServiceId> {
        self.tasks_by_service.keys().copied()
    }

    /// The tasks that name a node, ended ones included.
    pub fn tasks_of_node(&self, id: NodeId) -> impl Iterator<Item = &Arc<Task>> {
        self.tasks_by_node.get(&id).into_iter().flatten().filter_map(|t| self.tasks.get(t))
    }

    /// A cluster network.
    #[must_use]
    pub fn network(&self, id: NetworkId) -> Option<&Arc<Network>> {
        self.networks.get(&id)
    }

    /// The cluster network that has this name, ignoring case; none that was removed.
    #[must_use]
    pub fn network_named(&self, name: &str) -> Option<&Arc<Network>> {
        self.networks.get(self.networks_by_name.get(name.to_lowercase().as_str())?)
    }

    /// All cluster networks by id, removed ones included.
    pub fn networks(&self) -> impl DoubleEndedIterator<Item = &Arc<Network>> {
        self.networks.values()
    }

    /// A cluster network that was not removed.
    #[must_use]
    pub fn live_network(&self, id: NetworkId) -> Option<&Arc<Network>> {
        self.networks.get(&id).filter(|n| !n.is_removed())
    }

    /// The cluster networks that were not removed, by id.
    pub fn live_networks(&self) -> impl DoubleEndedIterator<Item = &Arc<Network>> {
        self.networks.values().filter(|n| !n.is_removed())
    }

    /// The network that carries the routing mesh.
    #[must_use]
    pub fn ingress(&self) -> Option<&Arc<Network>> {
        self.live_networks().find(|n| n.spec.ingress)
    }

    /// Who has a port of the routing mesh.
    #[must_use]
    pub fn port_holder(&self, protocol: PortProtocol, port: u32) -> Option<ServiceId> {
        self.ports.get(&(protocol, port)).copied()
    }

    /// Who has an address.
    #[must_use]
    pub fn address_holder(&self, network: NetworkId, address: IpAddr) -> Option<Key> {
        self.addresses.get(&(network, address)).copied()
    }

    /// The addresses in use on a network, in order, and who has them: services their virtual ones, tasks that have not
    /// ended their own.
    pub fn addresses_of(&self, network: NetworkId) -> impl Iterator<Item = (IpAddr, Key)> {
        let lowest = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);
        let held = self.addresses.range((network, lowest)..).take_while(move |((id, _), _)| *id == network);
        held.map(|((_, address), holder)| (*address, *holder))
    }

    /// A task template.
    #[must_use]
    pub fn spec(&self, id: SpecId) -> Option<&Arc<SharedSpec>> {
        self.specs.get(&id)
    }

    /// All templates by id.
    pub fn specs(&self) -> impl DoubleEndedIterator<Item = &Arc<SharedSpec>> {
        self.specs.values()
    }

    /// How many tasks and services name a template.
    #[must_use]
    pub fn spec_uses(&self, id: SpecId) -> u64 {
        self.spec_uses.get(&id).copied().unwrap_or(0)
    }

    /// Templates that nothing names any more.
    pub fn unused_specs(&self) -> impl Iterator<Item = SpecId> {
        self.specs.keys().copied().filter(|id| self.spec_uses.get(id).copied().unwrap_or(0) == 0)
    }

    /// A secret.
    #[must_use]
    pub fn secret(&self, id: SecretId) -> Option<&Arc<Secret>> {
        self.secrets.get(&id)
    }

    /// The secret that has this name, ignoring case.
    #[must_use]
    pub fn secret_named(&self, name: &str) -> Option<&Arc<Secret>> {
        self.secrets.get(self.secrets_by_name.get(name.to_lowercase().as_str())?)
    }

    /// All secrets by id.
    pub fn secrets(&self) -> impl DoubleEndedIterator<Item = &Arc<Secret>> {
        self.secrets.values()
    }

    /// A config.
    #[must_use]
    pub fn config(&self, id: ConfigId) -> Option<&Arc<Config>> {
        self.configs.get(&id)
    }

    /// The config that has this name, ignoring case.
    #[must_use]
    pub fn config_named(&self, name: &str) -> Option<&Arc<Config>> {
        self.configs.get(self.configs_by_name.get(name.to_lowercase().as_str())?)
    }

    /// All configs by id.
    pub fn configs(&self) -> impl DoubleEndedIterator<Item = &Arc<Config>> {
        self.configs.values()
    }

    /// An object of any kind.
    #[must_use]
    pub fn get(&self, key: Key) -> Option<Object> {
        match key {
            Key::Cluster => self.cluster.clone().map(Object::Cluster),
            Key::Node(id) => self.nodes.get(&id).cloned().map(Object::Node),
            Key::Service(id) => self.services.get(&id).cloned().map(Object::Service),
            Key::Task(id) => self.tasks.get(&id).cloned().map(Object::Task),
            Key::Spec(id) => self.specs.get(&id).cloned().map(Object::Spec),
            Key::Network(id) => self.networks.get(&id).cloned().map(Object::Network),
            Key::Secret(id) => self.secrets.get(&id).cloned().map(Object::Secret),
            Key::Config(id) => self.configs.get(&id).cloned().map(Object::Config),
        }
    }

    /// The stored version of an object; `None` if there is none. Templates are at zero.
    #[must_use]
    pub fn version(&self, key: Key) -> Option<Version> {
        match key {
            Key::Cluster => self.cluster.as_ref().map(|c| c.api.version),
            Key::Node(id) => self.nodes.get(&id).map(|n| n.api.version),
            Key::Service(id) => self.services.get(&id).map(|s| s.version),
            Key::Task(id) => self.tasks.get(&id).map(|t| t.version),
            Key::Spec(id) => self.specs.get(&id).map(|_| Version::default()),
            Key::Network(id) => self.networks.get(&id).map(|n| n.version),
            Key::Secret(id) => self.secrets.get(&id).map(|s| s.version),
            Key::Config(id) => self.configs.get(&id).map(|c| c.version),
        }
    }

    /// Stores an object and returns what it replaces, indexes included. The caller has checked everything.
    pub(crate) fn put(&mut self, object: Object) -> Option<Object> {
        match object {
            Object::Cluster(new) => self.cluster.replace(new).map(Object::Cluster),
            Object::Node(new) => {
                match new.manager_addr {
                    Some(_) => drop(self.managers.insert(new.api.id)),
                    None => drop(self.managers.remove(&new.api.id)),
                }
                self.nodes.insert(new.api.id, new).map(Object::Node)
            }
            Object::Spec(new) => self.specs.insert(new.id, new).map(Object::Spec),
            Object::Network(new) => {
                let old = self.networks.insert(new.id, Arc::clone(&new));
                if let Some(old) = &old {
                    self.forget_network_name(old);
                }
                if !new.is_removed() {
                    self.networks_by_name.insert(new.spec.name.to_lowercase().into(), new.id);
                }
                old.map(Object::Network)
            }
            Object::Secret(new) => put_named(&mut self.secrets, &mut self.secrets_by_name, new).map(Object::Secret),
            Object::Config(new) => put_named(&mut self.configs, &mut self.configs_by_name, new).map(Object::Config),
            Object::Service(new) => {
                let old = self.services.insert(new.id, Arc::clone(&new));
                self.use_service_specs(&new, 1);
                if let Some(old) = &old {
                    self.use_service_specs(old, -1);
                    self.services_by_name.remove(old.current.spec.name.to_lowercase().as_str());
                }
                self.services_by_name.insert(new.current.spec.name.to_lowercase().into(), new.id);
                if old.as_ref().is_none_or(|old| old.endpoint != new.endpoint) {
                    if let Some(old) = &old {
                        self.release_endpoint(old);
                    }
                    self.hold_endpoint(&new);
                }
                old.map(Object::Service)
            }
            Object::Task(new) => {
                let old = self.tasks.insert(new.id, Arc::clone(&new));
                self.move_addresses(old.as_deref(), Some(&new));
                if old.as_ref().map(|o| (o.spec, o.service_id, o.node_id)) != Some((new.spec, new.service_id, new.node_id)) {
                    self.index_task(&new);
                    if let Some(old) = &old {
                        self.unindex_task(old, Some(&new));
                    }
                }
                old.map(Object::Task)
            }
        }
    }

    /// Forgets an object and returns it. The caller has checked everything.
    pub(crate) fn take(&mut self, key: Key) -> Option<Object> {
        match key {
            Key::Cluster => self.cluster.take().map(Object::Cluster),
            Key::Node(id) => {
                self.managers.remove(&id);
                self.nodes.remove(&id).map(Object::Node)
            }
            Key::Spec(id) => {
                self.spec_uses.remove(&id);
                self.specs.remove(&id).map(Object::Spec)
            }
            Key::Secret(id) => take_named(&mut self.secrets, &mut self.secrets_by_name, id).map(Object::Secret),
            Key::Config(id) => take_named(&mut self.configs, &mut self.configs_by_name, id).map(Object::Config),
            Key::Service(id) => {
                let old = self.services.remove(&id)?;
                self.use_service_specs(&old, -1);
                self.services_by_name.remove(old.current.spec.name.to_lowercase().as_str());
                self.release_endpoint(&old);
                Some(Object::Service(old))
            }
            Key::Task(id) => {
                let old = self.tasks.remove(&id)?;
                self.move_addresses(Some(&old), None);
                self.unindex_task(&old, None);
                Some(Object::Task(old))
            }
            Key::Network(id) => {
                let old = self.networks.remove(&id)?;
                self.forget_network_name(&old);
                Some(Object::Network(old))
            }
        }
    }

    /// The name of a removed network may be another's already.
    fn forget_network_name(&mut self, network: &Network) {
        if !network.is_removed() {
            self.networks_by_name.remove(network.spec.name.to_lowercase().as_str());
        }
    }

    fn hold_endpoint(&mut self, service: &Service) {
        for (protocol, port) in holds::ports(service) {
            self.ports.insert((protocol, port), service.id);
        }
        for address in holds::virtual_addresses(service) {
            self.addresses.insert(address, Key::Service(service.id));
        }
    }

    fn release_endpoint(&mut self, service: &Service) {
        for port in holds::ports(service) {
            self.ports.remove(&port);
        }
        for address in holds::virtual_addresses(service) {
            self.addresses.remove(&address);
        }
    }

    fn move_addresses(&mut self, old: Option<&Task>, new: Option<&Task>) {
        let held = |task: Option<&Task>| task.is_some_and(holds::is_holding);
        if held(old) == held(new) && old.map(|t| &t.attachments) == new.map(|t| &t.attachments) {
            return;
        }
        for address in old.into_iter().flat_map(holds::addresses) {
            self.addresses.remove(&address);
        }
        if let Some(task) = new {
            for address in holds::addresses(task) {
                self.addresses.insert(address, Key::Task(task.id));
            }
        }
    }

    fn use_service_specs(&mut self, service: &Service, by: i64) {
        for stored in std::iter::once(&service.current).chain(&service.previous) {
            self.use_spec(stored.template, by);
        }
    }

    fn use_spec(&mut self, id: SpecId, by: i64) {
        let uses = self.spec_uses.entry(id).or_insert(0);
        *uses = uses.checked_add_signed(by).expect("a template is given up as often as it was taken");
    }

    fn index_task(&mut self, task: &Task) {
        self.use_spec(task.spec, 1);
        if let Some(service) = task.service_id {
            self.tasks_by_service.entry(service).or_default().insert(task.id);
        }
        if let Some(node) = task.node_id {
            self.tasks_by_node.entry(node).or_default().insert(task.id);
        }
    }

    /// Takes `old` out of the indexes, but for the places that `new` shares with it.
    fn unindex_task(&mut self, old: &Task, new: Option<&Task>) {
        self.use_spec(old.spec, -1);
        if let Some(service) = old.service_id.filter(|s| new.is_none_or(|n| n.service_id != Some(*s))) {
            remove_member(&mut self.tasks_by_service, service, old.id);
        }
        if let Some(node) = old.node_id.filter(|n| new.is_none_or(|t| t.node_id != Some(*n))) {
            remove_member(&mut self.tasks_by_node, node, old.id);
        }
    }
}

/// Stores a secret or config with its name.
fn put_named<Id: Ord + Copy>(
    objects: &mut OrdMap<Id, Arc<PayloadObject<Id>>>,
    names: &mut OrdMap<Arc<str>, Id>,
    new: Arc<PayloadObject<Id>>,
) -> Option<Arc<PayloadObject<Id>>> {
    let (id, name) = (new.id, Arc::from(new.spec.name.to_lowercase()));
    let old = objects.insert(id, new);
    if let Some(old) = &old {
        names.remove(old.spec.name.to_lowercase().as_str());
    }
    names.insert(name, id);
    old
}

/// Forgets a secret or config and its name.
fn take_named<Id: Ord + Copy>(
    objects: &mut OrdMap<Id, Arc<PayloadObject<Id>>>,
    names: &mut OrdMap<Arc<str>, Id>,
    id: Id,
) -> Option<Arc<PayloadObject<Id>>> {
    let old = objects.remove(&id)?;
    names.remove(old.spec.name.to_lowercase().as_str());
    Some(old)
}

fn remove_member<K: Ord + Copy>(index: &mut OrdMap<K, OrdSet<TaskId>>, key: K, member: TaskId) {
    if let Some(set) = index.get_mut(&key) {
        set.remove(&member);
        if set.is_empty() {
            index.remove(&key);
        }
    }
}
