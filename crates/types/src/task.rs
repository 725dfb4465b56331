//! Tasks: single attempts to run a container, and the one table of who may move them.

use crate::{
    GenericResource, Labels, NodeId, PortConfig, ServiceId, TaskId, TaskSpec, Timestamp, Version, is_default, text_enum::text_enum,
};
use serde::{Deserialize, Serialize};

text_enum! {
    /// Where a task is. Observed states only go forward, and so does the desired state.
    #[derive(Default)]
    TaskState as "TaskState" {
        /// Created by the orchestrator.
        #[default] New = "new",
        /// Waits for a node.
        Pending = "pending",
        /// Has a node.
        Assigned = "assigned",
        /// Its agent knows of it.
        Accepted = "accepted",
        /// Image and container are being made.
        Preparing = "preparing",
        /// Made; waits to be wanted running.
        Ready = "ready",
        /// Started; a health check has not passed yet.
        Starting = "starting",
        /// Running, and healthy where it has a health check.
        Running = "running",
        /// Ended with 0.
        Complete = "complete",
        /// Stopped as asked.
        Shutdown = "shutdown",
        /// Ended otherwise.
        Failed = "failed",
        /// Never started.
        Rejected = "rejected",
        /// As a desired state: stop, then forget.
        Remove = "remove",
        /// Its node is gone.
        Orphaned = "orphaned",
    }
}

/// Who moves a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Actor {
    /// The leader's planner.
    Planner,
    /// The agent of the task's node.
    Agent,
    /// An operator, through the API. Operators change specs, never the observed state of a task.
    Operator,
}

impl TaskState {
    /// Whether nothing runs and nothing will: the task ended one way or another.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        self >= Self::Complete
    }

    /// Whether `by` may move a task's observed state from `self` to `next`. States only go forward.
    #[must_use]
    pub fn allows(self, next: Self, by: Actor) -> bool {
        use TaskState::{Assigned, Complete, New, Orphaned, Pending, Rejected, Remove, Running, Shutdown};
        let on_node = Assigned <= self && self <= Running;
        match by {
            // Birth may be at any of the waiting states; enforcement rejects; a lost node orphans; a task that never
            // reached a node is shut down by the planner itself.
            Actor::Planner => match next {
                Pending => self == New,
                Assigned => self <= Pending,
                Shutdown => self <= Pending,
                Rejected | Orphaned => self < Complete,
                _ => false,
            },
            Actor::Agent => on_node && self < next && next < Remove,
            Actor::Operator => false,
        }
    }
}

/// A task as the API shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Task {
    /// Its id.
    #[serde(rename = "ID")]
    pub id: TaskId,
    /// Log index of the last change.
    pub version: Version,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Usually absent.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Usually empty.
    #[serde(default)]
    pub labels: Labels,
    /// What it is made from.
    pub spec: TaskSpec,
    /// Its service; absent for attachments.
    #[serde(rename = "ServiceID", default, skip_serializing_if = "Option::is_none")]
    pub service_id: Option<ServiceId>,
    /// 1…N for replicated services, 0 for global ones.
    #[serde(default, skip_serializing_if = "is_default")]
    pub slot: u64,
    /// Its node, once chosen.
    #[serde(rename = "NodeID", default, skip_serializing_if = "Option::is_none")]
    pub node_id: Option<NodeId>,
    /// Where it is.
    pub status: TaskStatus,
    /// Where it should be.
    pub desired_state: TaskState,
    /// Addresses on its networks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks_attachments: Vec<NetworkAttachment>,
    /// Generic resources it was given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub generic_resources: Vec<GenericResource>,
    /// Only for jobs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_iteration: Option<Version>,
}

/// Where a task is, why, and what is known of its container.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TaskStatus {
    /// When this was seen, by the clock of who saw it.
    pub timestamp: Timestamp,
    /// The observed state.
    pub state: TaskState,
    /// What was being done, for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Why it failed or waits; empty otherwise.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub err: String,
    /// Its container, once there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_status: Option<ContainerStatus>,
    /// Ports open on its node.
    pub port_status: PortStatus,
}

/// What is known of a task's container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerStatus {
    /// Its id in the engine.
    #[serde(rename = "ContainerID")]
    pub container_id: String,
    /// Its first process.
    #[serde(rename = "PID")]
    pub pid: i64,
    /// Its exit code, once ended.
    #[serde(rename = "ExitCode")]
    pub exit_code: i64,
}

/// Ports open on a task's node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PortStatus {
    /// Host-mode ports with their real numbers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<PortConfig>,
}

/// A task's addresses on one network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct NetworkAttachment {
    /// The network, as the API shows it.
    pub network: crate::AttachedNetwork,
    /// In CIDR form.
    #[serde(default)]
    pub addresses: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_only_move_tasks_on_nodes_and_only_forward() {
        assert!(TaskState::Assigned.allows(TaskState::Running, Actor::Agent));
        assert!(!TaskState::Running.allows(TaskState::Starting, Actor::Agent));
        assert!(!TaskState::Pending.allows(TaskState::Running, Actor::Agent));
        assert!(!TaskState::Failed.allows(TaskState::Rejected, Actor::Agent));
        assert!(!TaskState::Running.allows(TaskState::Orphaned, Actor::Agent));
        assert!(TaskState::Running.allows(TaskState::Orphaned, Actor::Planner));
        assert!(TaskState::New.allows(TaskState::Assigned, Actor::Planner));
    }
}
