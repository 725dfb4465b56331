//! What the worker knows of one task: what it told the managers, and what it needs for ending the task's container even
//! when the task's template is gone.

use crate::executor::{Container, ContainerId, Phase, order};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use swarm_session::{AssignedTask, SharedSpec};
use swarm_types::{ContainerStatus, NodeId, PortProtocol, PortStatus, TaskId, TaskState, TaskStatus, Timestamp};

/// A fixed port that a task opens on its host.
pub(crate) type HostPort = (PortProtocol, u32);

/// The record of one task; kept on disk.
///
/// Invariant: the state never goes back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TaskRecord {
    /// The newest status. Its timestamp is unset as long as this agent has not seen anything itself.
    pub(crate) status: TaskStatus,
    /// The task's container, once known.
    #[serde(default)]
    pub(crate) container: Option<ContainerId>,
    /// Whether the container is being ended because its health check failed.
    #[serde(default)]
    pub(crate) unhealthy: bool,
    /// Name of the container.
    pub(crate) name: String,
    /// Time between the stop signal and SIGKILL.
    pub(crate) grace: Duration,
    /// Fixed ports that the container is to have.
    #[serde(default)]
    pub(crate) host_ports: Vec<HostPort>,
}

/// A step of a task's status. Absent parts stay as they are.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Move {
    pub(crate) state: TaskState,
    /// What is being done, for people.
    pub(crate) message: Option<&'static str>,
    /// Why it failed, or what stands in the way.
    pub(crate) err: String,
}

impl Move {
    /// On to `state` without trouble.
    pub(crate) fn on(state: TaskState, message: &'static str) -> Self {
        Self { state, message: Some(message), err: String::new() }
    }
}

impl TaskRecord {
    /// The record of a task that this agent knows nothing of but what the managers say.
    pub(crate) fn new(task: &AssignedTask, shared: &SharedSpec, node_id: NodeId) -> Self {
        let spec = shared.template.container_spec.as_ref();
        let ports = order::host_ports(shared);
        Self {
            status: TaskStatus { state: task.recorded_state, ..TaskStatus::default() },
            container: None,
            unhealthy: false,
            name: order::container_name(task, shared, node_id),
            grace: spec.map(order::stop_grace).unwrap_or_default(),
            host_ports: ports.iter().filter(|port| port.published_port != 0).map(|port| (port.protocol, port.published_port)).collect(),
        }
    }

    /// Whether the agent itself has seen what the status says, so that managers may want to hear it.
    pub(crate) fn is_reportable(&self) -> bool {
        !self.status.timestamp.is_zero()
    }

    /// The ports of the host that the container has or is about to have, chosen ones too.
    pub(crate) fn held_ports(&self) -> impl Iterator<Item = HostPort> {
        let open = self.status.port_status.ports.iter();
        let open = open.map(|port| (port.protocol, port.published_port));
        self.host_ports.iter().copied().chain(open)
    }

    /// Takes what the managers have recorded, if that is further on. Tells whether it was.
    pub(crate) fn catch_up(&mut self, recorded: TaskState) -> bool {
        let behind = recorded > self.status.state;
        if behind {
            self.status = TaskStatus { state: recorded, ..TaskStatus::default() };
        }
        behind
    }

    /// Notes the container that `seen` shows.
    pub(crate) fn note_container(&mut self, seen: Option<&Container>) {
        if let Some(container) = seen {
            self.container = Some(container.id.clone());
        }
    }

    /// Moves on at `now`, with `seen` as the container's last known condition.
    pub(crate) fn apply(&mut self, step: Move, seen: Option<&Container>, now: Timestamp) {
        debug_assert!(step.state >= self.status.state, "states only go forward");
        self.status.timestamp = now;
        self.status.state = step.state;
        if let Some(message) = step.message {
            self.status.message = message.to_owned();
        }
        self.status.err = step.err;
        // As in Docker, a container is told of once it is to run.
        if step.state >= TaskState::Starting {
            self.tell_container(seen);
        }
    }

    fn tell_container(&mut self, seen: Option<&Container>) {
        let Some(id) = &self.container else { return };
        let mut told = ContainerStatus { container_id: id.as_str().to_owned(), pid: 0, exit_code: 0 };
        self.status.port_status = PortStatus::default();
        match seen.map(|container| &container.phase) {
            Some(Phase::Running(running)) => {
                told.pid = running.pid;
                self.status.port_status.ports = running.ports.clone();
            }
            Some(Phase::Ended(ended)) => told.exit_code = ended.exit_code,
            Some(Phase::Created) | None => {}
        }
        self.status.container_status = Some(told);
    }
}

/// The tasks and records that a restarted agent finds.
pub(crate) type RecordsById = std::collections::BTreeMap<TaskId, TaskRecord>;
