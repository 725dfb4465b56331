//! Containers that are no tasks on cluster networks. Each is a task without a service, running from the start on the node that
//! asked; it is deleted when the container goes, or with its node (see [`crate::loose`]).

use crate::addresses;
use std::{collections::BTreeSet, net::IpAddr, sync::Arc};
use swarm_state::{Attachment, Change, Guard, Key, Network, Object, State, Task};
use swarm_types::{
    ContainerStatus, IdSource, NetworkAttachmentConfig, NetworkId, NodeId, SharedSpec, SpecId, TaskId, TaskSpec, TaskState, TaskStatus,
    Timestamp, Version,
};

/// Runtime of such tasks, as Docker has it.
const RUNTIME: &str = "attachment";

/// A container that a node wants on a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Its id in the engine.
    pub container: String,
    /// Its name.
    pub name: String,
    /// The network's id or name.
    pub network: String,
    /// Addresses it is to have.
    pub addresses: Vec<IpAddr>,
    /// Further names.
    pub aliases: Vec<String>,
}

/// The container cannot be on the network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttachRefused {
    /// No such network.
    #[error("network {0} not found")]
    NotFound(String),
    /// It is for tasks only.
    #[error("network {0} not manually attachable")]
    NotAttachable(String),
    /// The node was removed.
    #[error("node {0} not found")]
    NoNode(NodeId),
    /// No address is free, or the one asked for is not.
    #[error("{0}")]
    Address(String),
}

/// A container as it is attached.
#[derive(Debug, Clone, PartialEq)]
pub struct AttachPlan {
    /// What stands for it in the cluster.
    pub task: TaskId,
    /// The network.
    pub network: Arc<Network>,
    /// Its addresses.
    pub attachment: Attachment,
    /// What this relies on.
    pub guards: Vec<Guard>,
    /// To be proposed as `Actor::Planner`; empty if it is attached already.
    pub changes: Vec<Change>,
}

/// Attaches a container of a node.
///
/// # Errors
/// [`AttachRefused`]
pub fn attach_container(
    state: &State,
    node: NodeId,
    asked: &Asked,
    now: Timestamp,
    ids: &mut dyn IdSource,
) -> Result<AttachPlan, AttachRefused> {
    if state.node(node).is_none() {
        return Err(AttachRefused::NoNode(node));
    }
    let by_id = NetworkId::parse(&asked.network).ok().and_then(|id| state.live_network(id));
    let network = by_id.or_else(|| state.network_named(&asked.network)).cloned();
    let network = network.ok_or_else(|| AttachRefused::NotFound(asked.network.clone()))?;
    if !network.spec.attachable {
        return Err(AttachRefused::NotAttachable(network.spec.name.clone()));
    }
    if let Some(task) = attachments_of(state, node).find(|t| is_for(t, &asked.container, network.id)) {
        let attachment = task.attachments[0].clone();
        return Ok(AttachPlan { task: task.id, network, attachment, guards: Vec::new(), changes: Vec::new() });
    }
    let addresses = addresses::choose(state, &network, &asked.addresses).map_err(AttachRefused::Address)?;
    let spec = spec_of(asked, network.id, ids);
    let attachment = Attachment { network: network.id, addresses };
    let task = task_of(asked, spec.id, node, attachment.clone(), now, ids);
    let guards = vec![Guard::At(Key::Network(network.id), network.version)];
    let id = task.id;
    let changes = vec![Change::create(Object::Spec(Arc::new(spec))), Change::create(Object::Task(Arc::new(task)))];
    Ok(AttachPlan { task: id, network, attachment, guards, changes })
}

/// Forgets attachments of a node: those for which `goes` is true. Propose as `Actor::Planner`.
#[must_use]
pub fn detach_containers(state: &State, node: NodeId, goes: impl Fn(TaskId) -> bool) -> Vec<Change> {
    attachments_of(state, node).filter(|t| goes(t.id)).map(|t| Change::delete(&Object::Task(Arc::clone(t)))).collect()
}

fn attachments_of(state: &State, node: NodeId) -> impl Iterator<Item = &Arc<Task>> {
    let is_attachment = |t: &Task| state.spec(t.spec).is_some_and(|spec| spec.template.network_attachment_spec.is_some());
    state.tasks_of_node(node).filter(move |t| is_attachment(t) && !t.attachments.is_empty() && !t.status.state.is_terminal())
}

fn is_for(task: &Task, container: &str, network: NetworkId) -> bool {
    let id = task.status.container_status.as_ref().map(|c| c.container_id.as_str());
    id == Some(container) && task.attachments.iter().any(|a| a.network == network)
}

fn spec_of(asked: &Asked, network: NetworkId, ids: &mut dyn IdSource) -> SharedSpec {
    let aliases: BTreeSet<String> = asked.aliases.iter().chain([&asked.name]).filter(|a| !a.is_empty()).cloned().collect();
    let on = NetworkAttachmentConfig { target: network.to_string(), aliases: aliases.into_iter().collect(), ..Default::default() };
    let template = TaskSpec {
        network_attachment_spec: Some(serde_json::json!({ "ContainerID": asked.container })),
        runtime: RUNTIME.to_owned(),
        networks: vec![on],
        ..TaskSpec::default()
    };
    SharedSpec {
        id: SpecId::from_random(ids.random()),
        service_id: None,
        service_name: asked.name.clone(),
        service_labels: Default::default(),
        template,
        endpoint: None,
    }
}

fn task_of(asked: &Asked, spec: SpecId, node: NodeId, attachment: Attachment, now: Timestamp, ids: &mut dyn IdSource) -> Task {
    let container = ContainerStatus { container_id: asked.container.clone(), ..ContainerStatus::default() };
    Task {
        id: TaskId::from_random(ids.random()),
        version: Version::default(),
        created_at: now,
        updated_at: now,
        service_id: None,
        slot: 0,
        node_id: Some(node),
        spec,
        status: TaskStatus {
            timestamp: now,
            state: TaskState::Running,
            message: "attached".to_owned(),
            container_status: Some(container),
            ..TaskStatus::default()
        },
        desired_state: TaskState::Running,
        start_after: None,
        start_behind: None,
        restarts: Vec::new(),
        failures: Vec::new(),
        replaced: false,
        by_update: false,
        running_since: Some(now),
        generic_resources: Vec::new(),
        job_iteration: None,
        attachments: vec![attachment],
    }
}
