//! The messages of a session.

use serde::{Deserialize, Serialize};
use std::sync::Arc;
pub use swarm_types::SharedSpec;
use swarm_types::{
    Config, ConfigId, GenericResource, Nanos, NodeDescription, NodeId, RemoteManager, Role, Secret, SecretId, SessionId, SpecId, TaskId,
    TaskState, TaskStatus,
};

/// The version of this protocol that both sides name; a different one is refused with the reason.
pub const PROTOCOL: u32 = 1;

/// Orders what a node is told: the Raft log index of the state that it was derived from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Generation(pub u64);

/// What an agent says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum FromAgent {
    /// First message of a session.
    Hello(Box<Hello>),
    /// The agent lives. Sent every heartbeat period.
    Heartbeat,
    /// Task statuses; each is repeated (in this or a later session) until acknowledged.
    Statuses {
        /// Rises with each batch of a session; named in the acknowledgement.
        seq: u64,
        /// Newest status per task.
        reports: Vec<StatusReport>,
    },
    /// The host's names and load balancing are as the networks of this generation say, or of a newer one: no new connection
    /// goes to an endpoint that was out of service then. Said once right after the hello, about whatever the host has, and
    /// again after each [`Assign`] that says anything of networks. A task that is to stop is told so only when every node
    /// that carries its networks has confirmed that it is out of service, or after some seconds; nodes that never say this
    /// are not waited for.
    Applied {
        /// The generation of the assignment.
        generation: Generation,
    },
    /// The host's description changed.
    Description(Box<NodeDescription>),
    /// The agent ends the session on purpose (shutdown, or moving to another manager).
    Goodbye {
        /// For the log and the node's status message.
        reason: String,
    },
}

/// Who speaks, what the host is, and what the agent already knows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// [`PROTOCOL`].
    pub protocol: u32,
    /// Must be the CN of the connection's certificate.
    pub node_id: NodeId,
    /// What the host says of itself.
    pub description: NodeDescription,
    /// The newest generation the agent has taken; zero at first.
    pub generation: Generation,
    /// Where the host takes VXLAN packets, if that is not the address it connects from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_path_addr: Option<std::net::IpAddr>,
}

/// The newest status of one task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatusReport {
    /// The task.
    pub task_id: TaskId,
    /// Its status.
    pub status: TaskStatus,
}

/// What a manager says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum FromManager {
    /// First message of a session: it is accepted.
    Welcome {
        /// Names this session in logs and liveness digests.
        session_id: SessionId,
        /// How often the agent has to send [`FromAgent::Heartbeat`].
        heartbeat_period: Nanos,
    },
    /// What the node is to the cluster; sent first and on each change.
    Node(NodeOrders),
    /// Orders about tasks.
    Assign(Box<Assign>),
    /// Statuses up to this batch are in the replicated state (or were refused for good).
    StatusesTaken {
        /// Of [`FromAgent::Statuses`].
        seq: u64,
    },
    /// The heartbeat period changed.
    HeartbeatPeriod(Nanos),
    /// The manager ends the session.
    Close(CloseReason),
}

/// Why a manager ends or refuses a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CloseReason {
    /// Connect to another manager (this one stops or has no leader).
    Elsewhere(String),
    /// The node was removed from the cluster; final.
    Removed,
    /// The protocols differ, or the hello is not the certificate's node; final until one side is replaced.
    Refused(String),
    /// A newer session of the same node took over.
    Replaced,
    /// The agent fell too far behind in reading; it may come back at once.
    TooSlow,
}

/// What a node is to the cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeOrders {
    /// State this was derived from.
    pub generation: Generation,
    /// The role the node should have; different from its certificate's means "renew".
    pub role: Role,
    /// Every manager; the agent forgets others.
    pub managers: Vec<RemoteManager>,
    /// Root certificates, PEM.
    pub root_ca: String,
    /// Default log driver and the like for tasks that name none.
    pub task_defaults: swarm_types::TaskDefaults,
}

/// Orders about tasks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Assign {
    /// The generation this applies on: `None` for a complete set that replaces everything.
    pub from: Option<Generation>,
    /// The generation reached by applying it.
    pub generation: Generation,
    /// Task templates that `tasks` name and the agent may not have yet; a complete set holds all.
    pub specs: Vec<SharedSpec>,
    /// Tasks that are new or changed.
    pub tasks: Vec<AssignedTask>,
    /// Tasks to stop and forget: they are gone from the cluster state or left the node.
    pub removed: Vec<TaskId>,
    /// Templates that no task of the node uses any more.
    pub specs_removed: Vec<SpecId>,
    /// What changed on the networks that the node needs.
    #[serde(default, skip_serializing_if = "crate::NetworkOrders::is_empty")]
    pub networks: crate::NetworkOrders,
    /// Secrets and configs of the node's tasks.
    #[serde(default)]
    pub payloads: PayloadOrders,
}

/// Secrets and configs that come to a node with the first task that needs them and leave with the last.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PayloadOrders {
    /// Secrets that the agent may not have yet; a complete set holds all.
    pub secrets: Vec<Arc<Secret>>,
    /// Configs likewise.
    pub configs: Vec<Arc<Config>>,
    /// Secrets that no task needs any more.
    pub secrets_removed: Vec<SecretId>,
    /// Configs likewise.
    pub configs_removed: Vec<ConfigId>,
}

impl PayloadOrders {
    /// Whether they change nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A task as its agent needs it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AssignedTask {
    /// Its id.
    pub id: TaskId,
    /// Its template, among the specs the agent has been given.
    pub spec: SpecId,
    /// 1…N for replicated services, 0 for global ones (container name then has the node id).
    pub slot: u64,
    /// Where it should be.
    pub desired_state: TaskState,
    /// What the cluster has recorded last, so that an agent that lost its records does not go backwards.
    pub recorded_state: TaskState,
    /// Its places on cluster networks, in the order of its template.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<crate::TaskAttachment>,
    /// Generic resources of the node that it was given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub generic_resources: Vec<GenericResource>,
}
