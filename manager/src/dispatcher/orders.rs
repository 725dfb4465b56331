//! What a node is told: a pure function of the state and of what it was told before.

use super::{
    draining::Left,
    networks::{self, Journal},
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use swarm_session::{Assign, AssignedTask, Generation, NodeOrders, PayloadOrders};
use swarm_state::{State, Task};
use swarm_types::{ConfigId, NetworkId, NodeId, RemoteManager, SecretId, SpecId, TaskId, TaskState};

/// What one session has been told so far.
#[derive(Debug, Default)]
pub(super) struct Told {
    generation: Option<Generation>,
    tasks: BTreeMap<TaskId, AssignedTask>,
    specs: BTreeSet<SpecId>,
    secrets: BTreeSet<SecretId>,
    configs: BTreeSet<ConfigId>,
    node: Option<NodeOrders>,
    networks: BTreeSet<NetworkId>,
    /// The journal's index up to which changes on networks were told.
    networks_at: u64,
    /// What the agent knew when the session began: it was told to stop no task whose end came after that.
    knew: u64,
    /// Tasks that are to stop, which is not told until they have left the load balancing everywhere.
    held: BTreeSet<TaskId>,
    /// Tasks that have left.
    drained: BTreeSet<TaskId>,
    /// Of those held, the ones that nobody waits for yet.
    newly_held: Option<(Left, Vec<TaskId>)>,
}

/// What changed on networks since a session was told last.
#[derive(Debug)]
pub(super) struct NetworkNews {
    touched: Option<networks::Touched>,
    until: u64,
}

impl Told {
    /// Nothing yet, of an agent that knows this generation.
    pub(super) fn nothing_since(knew: Generation) -> Self {
        Self { knew: knew.0, ..Self::default() }
    }

    /// Tasks that [`assign`](Self::assign) held back from being stopped since this was asked last, and what has to be known
    /// everywhere before they may stop.
    pub(super) fn newly_held(&mut self) -> Option<(Left, Vec<TaskId>)> {
        self.newly_held.take()
    }

    /// These tasks may stop.
    pub(super) fn release(&mut self, tasks: &[TaskId]) {
        self.drained.extend(tasks.iter().filter(|id| self.held.remove(id)));
    }

    /// Up to which log index changes on networks were looked at.
    pub(super) fn seen(&self) -> u64 {
        self.networks_at
    }

    /// The node's orders, if they differ from the last ones. `None` also when the node is gone from the state.
    pub(super) fn node_orders(&mut self, state: &State, node_id: NodeId) -> Option<NodeOrders> {
        let orders = node_orders(state, node_id)?;
        if self.node.as_ref().is_some_and(|old| says_the_same(old, &orders)) {
            return None;
        }
        self.node = Some(orders.clone());
        Some(orders)
    }

    /// The networks that the node was told of.
    pub(super) fn networks(&self) -> &BTreeSet<NetworkId> {
        &self.networks
    }

    /// What the journal has for this session. To be read before the state, which then holds at least as much.
    pub(super) fn news(&self, journal: &Journal) -> NetworkNews {
        NetworkNews { touched: journal.after(self.networks_at), until: journal.until() }
    }

    /// The assignment that brings the agent to `state`: complete at first, then what changed; `None` if nothing did.
    pub(super) fn assign(&mut self, state: &State, node_id: NodeId, news: NetworkNews) -> Option<Assign> {
        let mut wanted: BTreeMap<TaskId, AssignedTask> = state
            .tasks_of_node(node_id)
            .filter(|t| t.status.state >= TaskState::Assigned && runs_container(state, t))
            .map(|t| (t.id, assigned(state, t)))
            .collect();
        self.hold(state, &mut wanted);
        let needed = networks::needed(state, node_id);
        // What changed too long ago to be known is told by telling everything. So is the first network of a node, which is told of no other nodes while it has none.
        let is_first_network = self.networks.is_empty() && !needed.is_empty();
        let from = self.generation.filter(|_| news.touched.is_some() && !is_first_network);
        let changed: Vec<AssignedTask> =
            wanted.values().filter(|t| self.tasks.get(&t.id).is_none_or(|old| from.is_none() || !same_order(old, t))).cloned().collect();
        let removed: Vec<TaskId> = self.tasks.keys().filter(|id| !wanted.contains_key(id)).copied().collect();
        let payloads = self.payloads(state, &wanted, from.is_none());
        let networks = match news.touched.filter(|_| from.is_some()) {
            Some(touched) => networks::changes(state, node_id, &self.networks, &needed, &touched),
            None => networks::everything(state, node_id, &needed),
        };
        self.networks_at = news.until;
        if from.is_some() && networks.is_empty() && changed.is_empty() && removed.is_empty() && payloads.is_empty() {
            return None;
        }
        let specs: BTreeSet<SpecId> = wanted.values().map(|t| t.spec).collect();
        let specs_removed = self.specs.difference(&specs).copied().collect();
        let known = if from.is_some() { std::mem::take(&mut self.specs) } else { BTreeSet::new() };
        let specs_new = specs.difference(&known).filter_map(|id| state.spec(*id)).map(|s| (**s).clone()).collect();
        let generation = Generation(state.applied());
        (self.generation, self.tasks, self.specs, self.networks) = (Some(generation), wanted, specs, needed);
        Some(Assign { from, generation, specs: specs_new, tasks: changed, removed, specs_removed, networks, payloads })
    }

    /// What the tasks that are not over need of secrets and configs and the agent does not have, and the reverse. A complete set
    /// has all that they need.
    fn payloads(&mut self, state: &State, wanted: &BTreeMap<TaskId, AssignedTask>, complete: bool) -> PayloadOrders {
        if complete {
            self.secrets.clear();
            self.configs.clear();
        }
        let live: BTreeSet<SpecId> = wanted.values().filter(|t| t.recorded_state <= TaskState::Running).map(|t| t.spec).collect();
        let containers = || live.iter().filter_map(|id| state.spec(*id)?.template.container_spec.as_ref());
        let secrets = containers().flat_map(|c| &c.secrets).filter_map(|r| state.secret(SecretId::parse(&r.secret_id).ok()?));
        let secrets: BTreeMap<SecretId, _> = secrets.map(|secret| (secret.id, secret)).collect();
        let configs = containers().flat_map(|c| &c.configs).filter_map(|r| state.config(ConfigId::parse(&r.config_id).ok()?));
        let configs: BTreeMap<ConfigId, _> = configs.map(|config| (config.id, config)).collect();
        let orders = PayloadOrders {
            secrets: secrets.iter().filter(|(id, _)| !self.secrets.contains(id)).map(|(_, secret)| Arc::clone(secret)).collect(),
            configs: configs.iter().filter(|(id, _)| !self.configs.contains(id)).map(|(_, config)| Arc::clone(config)).collect(),
            secrets_removed: self.secrets.iter().filter(|id| !secrets.contains_key(id)).copied().collect(),
            configs_removed: self.configs.iter().filter(|id| !configs.contains_key(id)).copied().collect(),
        };
        (self.secrets, self.configs) = (secrets.into_keys().collect(), configs.into_keys().collect());
        orders
    }
}

impl Told {
    /// Leaves tasks as they were told that are to stop and may still be sent new connections.
    fn hold(&mut self, state: &State, wanted: &mut BTreeMap<TaskId, AssignedTask>) {
        let mut left = Left { networks: BTreeSet::new(), index: 0 };
        let mut tasks = Vec::new();
        for task in wanted.values_mut() {
            let serves = task.recorded_state == TaskState::Running && !task.attachments.is_empty();
            if !serves || task.desired_state <= TaskState::Complete || self.drained.contains(&task.id) {
                continue;
            }
            let version = state.task(task.id).map_or(0, |t| t.version.index);
            let ran = match self.tasks.get(&task.id) {
                Some(told) => told.desired_state <= TaskState::Complete,
                None => self.generation.is_none() && version > self.knew,
            };
            if !ran {
                continue;
            }
            task.desired_state = TaskState::Running;
            if self.held.insert(task.id) {
                left.networks.extend(task.attachments.iter().map(|a| a.network));
                left.index = left.index.max(version);
                tasks.push(task.id);
            }
        }
        self.held.retain(|id| wanted.contains_key(id));
        self.drained.retain(|id| wanted.contains_key(id));
        if !tasks.is_empty() {
            self.newly_held = Some((left, tasks));
        }
    }
}

/// Whether the agent makes the task's container: not that of an attachment, which is there already.
fn runs_container(state: &State, task: &Task) -> bool {
    state.spec(task.spec).is_none_or(|spec| spec.template.network_attachment_spec.is_none())
}

/// Whether two versions of a task tell the agent the same. Its own reports coming back are no news.
fn same_order(a: &AssignedTask, b: &AssignedTask) -> bool {
    a.desired_state == b.desired_state && a.spec == b.spec && a.slot == b.slot
}

/// Whether two orders differ in nothing but their generation.
fn says_the_same(old: &NodeOrders, new: &NodeOrders) -> bool {
    let NodeOrders { generation: _, role, managers, root_ca, task_defaults } = old;
    *role == new.role && *managers == new.managers && *root_ca == new.root_ca && *task_defaults == new.task_defaults
}

/// Whether a change of a task is news to its node: its own reports coming back are none, unless they begin or end what the
/// task needs.
pub(super) fn is_news(old: &Task, new: &Task) -> bool {
    let told = |t: &Task| (t.node_id, t.desired_state, t.spec, t.slot, t.status.state >= TaskState::Assigned, t.status.state.is_terminal());
    told(old) != told(new) || old.attachments != new.attachments
}

fn assigned(state: &State, task: &Task) -> AssignedTask {
    AssignedTask {
        id: task.id,
        spec: task.spec,
        slot: task.slot,
        desired_state: task.desired_state,
        recorded_state: task.status.state,
        attachments: networks::attachments(state, task),
        generic_resources: task.generic_resources.clone(),
    }
}

fn node_orders(state: &State, node_id: NodeId) -> Option<NodeOrders> {
    let node = state.node(node_id)?;
    let cluster = state.cluster()?;
    let managers = state.managers().filter_map(|n| n.manager_addr.clone().map(|addr| RemoteManager { node_id: n.id(), addr })).collect();
    Some(NodeOrders {
        generation: Generation(state.applied()),
        role: node.role,
        managers,
        root_ca: cluster.api.tls_info.trust_root.clone(),
        task_defaults: cluster.api.spec.task_defaults.clone(),
    })
}

#[cfg(test)]
mod tests;
