//! What each node carries, kept up to date task by task.

use crate::{
    id_map::IdMap,
    restart::is_on_node,
    scheduler::resources::GenericUse,
    template::{HostPort, Templates},
};
use std::{
    collections::{BTreeSet, HashMap},
    ops::Bound,
    sync::Arc,
};
use swarm_state::{Node, Task};
use swarm_types::{GenericResource, NodeId, ServiceId, SpecId, TaskState};

/// What all nodes carry.
#[derive(Debug, Default)]
pub(crate) struct Loads {
    nodes: IdMap<NodeId, NodeLoad>,
    /// Nodes that exist, by how many tasks are there to stay as of [`Loads::sort`].
    by_staying: BTreeSet<Place>,
    /// Nodes whose place there may have changed since.
    unsorted: Vec<NodeId>,
    /// Where each service has wanted tasks, and how many; no zero entries.
    by_service: IdMap<ServiceId, IdMap<NodeId, Wanted>>,
    /// Whether anything changed since [`Loads::take_changed`].
    changed: bool,
}

/// A node in an order of ids. The same order as that of the ids alone, but mostly decided by comparing one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct OrderedNode {
    head: u64,
    pub(crate) id: NodeId,
}

impl From<NodeId> for OrderedNode {
    fn from(id: NodeId) -> Self {
        let head = id.as_str().as_bytes().first_chunk().map_or(0, |head| u64::from_be_bytes(*head));
        Self { head, id }
    }
}

/// A node and how many tasks are there to stay.
pub(crate) type Place = (u32, OrderedNode);

/// A service's tasks on a node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// All that are wanted: what a limit per node counts.
    pub(crate) all: u32,
    /// Those without a successor elsewhere already: what spreading counts.
    pub(crate) staying: u32,
}

/// What one node carries.
#[derive(Debug, Default)]
pub(crate) struct NodeLoad {
    /// The node; absent if it is gone but tasks still name it.
    pub(crate) node: Option<Arc<Node>>,
    /// Reserved, in billionths of a core.
    pub(crate) nano_cpus: i64,
    /// Reserved, in bytes.
    pub(crate) memory_bytes: i64,
    /// Generic resources given out.
    pub(crate) generic: GenericUse,
    /// Fixed host-mode ports in use, and by how many tasks.
    pub(crate) ports: HashMap<HostPort, u32>,
    /// Tasks that are there to stay.
    pub(crate) staying: u32,
    /// Its place in [`Loads::by_staying`], if it has one.
    sorted_as: Option<u32>,
    is_unsorted: bool,
}

/// What a task means to its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Footprint {
    node: NodeId,
    spec: SpecId,
    service: Option<ServiceId>,
    wanted: bool,
    staying: bool,
}

impl Footprint {
    /// `None` if the task is on no node or has ended. What is stopping still holds its resources.
    fn of(task: &Task) -> Option<Self> {
        let node = task.node_id.filter(|_| is_on_node(task))?;
        let wanted = task.desired_state <= TaskState::Complete;
        Some(Self { node, spec: task.spec, service: task.service_id, wanted, staying: wanted && !task.replaced })
    }
}

impl Loads {
    /// What a node carries; `None` for a node that neither exists nor is named by a task.
    pub(crate) fn node(&self, id: NodeId) -> Option<&NodeLoad> {
        self.nodes.get(&id)
    }

    /// Nodes that exist, in no order.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = (NodeId, &NodeLoad)> {
        self.nodes.iter().filter(|(_, load)| load.node.is_some()).map(|(id, load)| (*id, load))
    }

    /// Brings the order of nodes up to date. Most changes of a pass are taken back at its end and come again when its batch
    /// is applied, so the order is made only when somebody asks for it.
    pub(crate) fn sort(&mut self) {
        for id in std::mem::take(&mut self.unsorted) {
            let Some(load) = self.nodes.get_mut(&id) else { continue };
            load.is_unsorted = false;
            let place = load.node.is_some().then_some(load.staying);
            let before = std::mem::replace(&mut load.sorted_as, place);
            if before != place {
                before.map(|staying| self.by_staying.remove(&(staying, id.into())));
                place.map(|staying| self.by_staying.insert((staying, id.into())));
            }
        }
    }

    /// The node after `cursor` in the order of tasks that stay, as of [`Self::sort`].
    pub(crate) fn next_by_staying(&self, cursor: Option<Place>) -> Option<Place> {
        let from = cursor.map_or(Bound::Unbounded, Bound::Excluded);
        self.by_staying.range((from, Bound::Unbounded)).next().copied()
    }

    /// Where a service has wanted tasks, and how many; in no order.
    pub(crate) fn of_service(&self, service: ServiceId) -> impl Iterator<Item = (NodeId, Wanted)> {
        self.by_service.get(&service).into_iter().flatten().map(|(node, tasks)| (*node, *tasks))
    }

    /// How many wanted tasks of a service a node has.
    pub(crate) fn of_service_on(&self, service: ServiceId, node: NodeId) -> Wanted {
        self.by_service.get(&service).and_then(|nodes| nodes.get(&node)).copied().unwrap_or_default()
    }

    /// Whether anything changed since this was asked last.
    pub(crate) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// Whether anything changed since [`Self::take_changed`].
    pub(crate) fn is_changed(&self) -> bool {
        self.changed
    }

    /// Says that everything has to be looked at.
    pub(crate) fn set_changed(&mut self) {
        self.changed = true;
    }

    /// The node appeared, changed or vanished.
    pub(crate) fn set_node(&mut self, id: NodeId, node: Option<Arc<Node>>) {
        self.changed = true;
        let load = self.nodes.entry(id).or_default();
        load.node = node;
        self.set_unsorted(id);
        self.forget_if_empty(id);
    }

    /// Puts the weight of `new` in the place of that of `old`.
    pub(crate) fn replace(&mut self, old: Option<&Task>, new: Option<&Task>, templates: &Templates) {
        let (before, after) = (old.and_then(Footprint::of), new.and_then(Footprint::of));
        if before == after {
            return;
        }
        self.changed = true;
        if let (Some(footprint), Some(task)) = (before, old) {
            self.weigh(footprint, &task.generic_resources, -1, templates);
        }
        if let (Some(footprint), Some(task)) = (after, new) {
            self.weigh(footprint, &task.generic_resources, 1, templates);
        }
    }

    fn weigh(&mut self, task: Footprint, generic: &[GenericResource], sign: i64, templates: &Templates) {
        let load = self.nodes.entry(task.node).or_default();
        if let Some(template) = templates.get(task.spec) {
            load.nano_cpus += sign * template.nano_cpus;
            load.memory_bytes += sign * template.memory_bytes;
            for port in &template.host_ports {
                count(&mut load.ports, *port, sign);
            }
        }
        load.generic.weigh(generic, sign);
        if task.staying {
            load.staying = add(load.staying, sign);
            self.set_unsorted(task.node);
        }
        if let Some(service) = task.service.filter(|_| task.wanted) {
            let nodes = self.by_service.entry(service).or_default();
            let tasks = nodes.entry(task.node).or_default();
            tasks.all = add(tasks.all, sign);
            if task.staying {
                tasks.staying = add(tasks.staying, sign);
            }
            if tasks.all == 0 {
                nodes.remove(&task.node);
            }
            if nodes.is_empty() {
                self.by_service.remove(&service);
            }
        }
        if sign < 0 {
            self.forget_if_empty(task.node);
        }
    }

    fn set_unsorted(&mut self, id: NodeId) {
        if let Some(load) = self.nodes.get_mut(&id).filter(|load| !load.is_unsorted) {
            load.is_unsorted = true;
            self.unsorted.push(id);
        }
    }

    fn forget_if_empty(&mut self, id: NodeId) {
        if let Some(load) = self.nodes.get(&id).filter(|load| load.is_nothing()) {
            load.sorted_as.map(|staying| self.by_staying.remove(&(staying, id.into())));
            self.nodes.remove(&id);
        }
    }
}

impl NodeLoad {
    fn is_nothing(&self) -> bool {
        self.node.is_none()
            && self.staying == 0
            && self.nano_cpus == 0
            && self.memory_bytes == 0
            && self.ports.is_empty()
            && self.generic.is_empty()
    }

    /// Whether more is reserved than the node has.
    pub(crate) fn is_over(&self) -> bool {
        let Some(node) = &self.node else { return false };
        let total = &node.api.description.resources;
        self.nano_cpus > 0 && self.nano_cpus > total.nano_cpus
            || self.memory_bytes > 0 && self.memory_bytes > total.memory_bytes
            || !self.generic.is_within(&total.generic_resources)
    }
}

fn count(ports: &mut HashMap<HostPort, u32>, port: HostPort, sign: i64) {
    let tasks = ports.entry(port).or_default();
    *tasks = add(*tasks, sign);
    if *tasks == 0 {
        ports.remove(&port);
    }
}

fn add(number: u32, sign: i64) -> u32 {
    if sign < 0 { number.checked_sub(1).expect("a task leaves a node as often as it came") } else { number + 1 }
}
