//! The stored objects: what the API shows, and what the managers must remember besides.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};
use swarm_types::{
    ClusterId, Endpoint, GenericResource, JobStatus, NetworkId, NetworkSpec, Node as ApiNode, NodeId, PortConfig, Role, ServiceId,
    ServiceSpec, SpecId, Subnet, Swarm, TaskId, TaskState, TaskStatus, Timestamp, UpdateStatus, Version,
};

/// The cluster: one object. `api.join_tokens` is always set here and left out where the API hides it.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Cluster {
    /// What the API shows.
    pub api: Swarm,
    /// Private key of the root CA, PEM. Never leaves the managers.
    pub ca_key: String,
    /// Removed nodes and until when their certificates could still be valid.
    #[serde(default)]
    pub removed_nodes: BTreeMap<NodeId, Timestamp>,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("api", &self.api).field("removed_nodes", &self.removed_nodes).finish_non_exhaustive()
    }
}

impl Cluster {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> ClusterId {
        self.api.id
    }
}

/// A node. `api.manager_status` is never stored: who leads and who answers is known only when asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// What the API shows; `api.spec.role` is the desired role.
    pub api: ApiNode,
    /// The role of its certificate.
    pub role: Role,
    /// `host:port` of its port 2377, only for managers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manager_addr: Option<String>,
    /// Its id in Raft, only for managers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raft_id: Option<u64>,
    /// When its present certificate ends; for the list of removed nodes.
    #[serde(default)]
    pub certificate_until: Timestamp,
    /// When its state became what it is; the planner's long timers count from here.
    #[serde(default)]
    pub state_since: Timestamp,
    /// Log index of the last change of `api.spec`: what an operator's update has to know of. Statuses raise the version but
    /// not this, so they do not make an update of the spec fail. Whoever changes the spec sets it to zero; applying fills it.
    #[serde(default)]
    pub spec_version: Version,
    /// Names the node in the data path: its VXLAN hardware address and its link addresses are made from it. Unique among
    /// the nodes, from 1; zero until the planner chose one.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub data_path_index: u32,
    /// Where it takes the other nodes' packets; `None` is its address in `api.status`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_path_addr: Option<std::net::IpAddr>,
}

impl Node {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.api.id
    }
}

/// A service spec together with the interned template made from it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredSpec {
    /// What the operator wants.
    pub spec: Arc<ServiceSpec>,
    /// The template that new tasks get. Stays the same when a change does not touch the template, the endpoint or the name.
    pub template: SpecId,
}

/// A service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// Its id.
    pub id: ServiceId,
    /// Log index of the last change.
    pub version: Version,
    /// Log index of the last change of `current`: what an operator's update has to know of. The updater's notes raise the
    /// version but not this, so they do not make such an update fail. Whoever changes `current` sets it to zero; applying
    /// fills it.
    #[serde(default)]
    pub spec_version: Version,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// What is wanted.
    pub current: StoredSpec,
    /// What was wanted before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<StoredSpec>,
    /// Ports and virtual IPs as allocated.
    #[serde(default)]
    pub endpoint: Endpoint,
    /// How the last update goes, for people and for the updater.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update: Option<UpdateStatus>,
    /// The updater's own memory of a running update; absent when none runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
    /// Which run of a job this is; absent for services that run for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobStatus>,
}

impl Service {
    /// Its virtual addresses, read.
    pub fn virtual_addresses(&self) -> impl Iterator<Item = (NetworkId, std::net::IpAddr)> {
        let read = |vip: &swarm_types::VirtualIp| {
            let network = NetworkId::parse(&vip.network_id).ok()?;
            vip.addr.parse::<IpNet>().ok().map(|net| (network, net.addr()))
        };
        self.endpoint.virtual_ips.iter().filter_map(read)
    }
}

/// What the updater must remember across passes and leaders.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Rollout {
    /// When it began; only tasks made since then are watched.
    #[serde(default)]
    pub started: Timestamp,
    /// Slots (or nodes) that were dirty when the update began; the denominator of the failure ratio.
    pub slots_total: u64,
    /// Tasks made by this update that failed.
    #[serde(default)]
    pub failed: Vec<TaskId>,
    /// When the last slot was seen finished; the last monitor counts from here. Unset while slots are left.
    #[serde(default)]
    pub last_slot_done: Timestamp,
}

/// A task: compact, because there are many. The template is named by `spec`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// Its id.
    pub id: TaskId,
    /// Log index of the last change.
    #[serde(default)]
    pub version: Version,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Its service; `None` for attachments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_id: Option<ServiceId>,
    /// 1…N for replicated services, 0 for global ones.
    #[serde(default)]
    pub slot: u64,
    /// Its node, once chosen; preset for global services.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_id: Option<NodeId>,
    /// Its template.
    pub spec: SpecId,
    /// Where it is.
    pub status: TaskStatus,
    /// Where it should be.
    pub desired_state: TaskState,
    /// While desired is `ready`: not wanted running before this time (the restart delay). Unset: no such wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_after: Option<Timestamp>,
    /// While desired is `ready`: the task of the same slot that must have ended first, and until when to wait for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_behind: Option<StartBehind>,
    /// When the slot was restarted under this template, oldest first, this task's own restart included. At most the
    /// policy's attempts are kept, which is all that counting them needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub restarts: Vec<Timestamp>,
    /// Where the slot's tasks failed lately under this template, oldest first: nodes with many failures are tried last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<NodeFailure>,
    /// Whether its slot is free for another task: it was replaced, or stopped by the managers for reasons of their own.
    /// An ended task without this keeps its slot, since the restart policy allows no other.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replaced: bool,
    /// Made by an update of the service (and so watched by it), rather than by scaling or restarting.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_update: bool,
    /// When it was first seen running; an update's monitor counts from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running_since: Option<Timestamp>,
    /// Generic resources it was given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub generic_resources: Vec<GenericResource>,
    /// Only for jobs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_iteration: Option<Version>,
    /// Its addresses, one entry per network. They are its own until it ended; kept after that for people to see.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
}

/// A task's addresses on one network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// The network.
    pub network: NetworkId,
    /// One per kind of address that the network has, with the length of its subnet's prefix.
    pub addresses: Vec<IpNet>,
}

/// A cluster network. What it is never changes; it is only marked as removed, and `cursors` move.
///
/// A removed network is gone for everybody who asks for networks, its name and its subnets by request included. It stays
/// stored until no task has an address on it and some time more, so that nobody gets its VXLAN identifier or, unasked, its
/// subnet while a node may still carry it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Network {
    /// Its id.
    pub id: NetworkId,
    /// Log index of the last change.
    pub version: Version,
    /// When it was created.
    pub created_at: Timestamp,
    /// What was asked for.
    pub spec: NetworkSpec,
    /// Its subnets, chosen or asked for.
    pub subnets: Vec<Subnet>,
    /// Its VXLAN network identifier. Unique among the networks.
    pub vni: u32,
    /// Per subnet the address that was given out last; the search for a free one begins behind it, so that freed ones
    /// are used again late.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cursors: Vec<std::net::IpAddr>,
    /// When it was removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed_at: Option<Timestamp>,
}

impl Network {
    /// Whether two versions are the same to everybody but who gives out addresses.
    #[must_use]
    pub fn is_same_to_nodes(&self, other: &Self) -> bool {
        self.spec == other.spec && self.subnets == other.subnets && self.vni == other.vni
    }

    /// Whether it was removed, and is stored only until nothing of it is left on any node.
    #[must_use]
    pub fn is_removed(&self) -> bool {
        self.removed_at.is_some()
    }

    /// Whether only the cursors differ: a hint to who gives out addresses, and no change that a version would tell of.
    pub(crate) fn differs_in_cursors_only(&self, other: &Self) -> bool {
        self.is_same_to_nodes(other) && self.created_at == other.created_at && self.removed_at == other.removed_at
    }
}

/// A task of the slot failed on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeFailure {
    /// Where.
    pub node: NodeId,
    /// When the managers heard of it.
    pub at: Timestamp,
}

/// What a task waits for before it is wanted running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartBehind {
    /// The task that must have ended.
    pub task: TaskId,
    /// Not waited for longer than this.
    pub until: Timestamp,
}

impl Task {
    /// Whether it uses its node: it has one and has not ended.
    #[must_use]
    pub fn is_placed(&self) -> bool {
        self.node_id.is_some() && !self.status.state.is_terminal()
    }

    /// Host-mode ports it holds on its node once known, else those its template asks for are meant.
    #[must_use]
    pub fn open_ports(&self) -> &[PortConfig] {
        &self.status.port_status.ports
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}
