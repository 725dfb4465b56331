//! Consensus: openraft over the sealed log, the replicated state as its state machine, and HTTP/2 between managers.
//!
//! What always holds:
//! - Every proposal of this manager goes through one [`proposer`], which packs waiting batches into one log entry: openraft
//!   0.9 pays one fsync per entry whatever the concurrency.
//! - The state lives in memory; it is rebuilt from the newest snapshot and the log after it.
//! - A snapshot on the wire is a stream of objects, so neither side holds it twice.
//! - A raft id is never used again: each time a node becomes a manager it gets a new one.

mod compaction;
pub mod membership;
pub mod network;
pub mod node;
pub mod proposer;
mod roles;
pub mod routes;
pub mod state_machine;
mod step_aside;

pub use membership::{JoinRequest, MembershipError};
pub use node::{OpenError, RaftNode, Tuning};

use serde::{Deserialize, Serialize};
use swarm_state::{Batch, Conflict, State};
use swarm_types::{NodeId, Version};

/// One log entry's content: the batches of several proposers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Proposal(pub Vec<Batch>);

/// One result per batch of a [`Proposal`]; empty for entries without batches.
pub type Outcome = Vec<Result<Version, Conflict>>;

/// A manager in Raft's membership.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its node.
    pub node_id: NodeId,
    /// `host:port` of its port 2377.
    pub addr: String,
}

/// openraft asks for a default; it never meets a real member.
impl Default for Member {
    fn default() -> Self {
        Self { node_id: NodeId::from_random([0; 16]), addr: String::new() }
    }
}

/// A whole state in transit: what openraft calls snapshot data.
#[derive(Debug, Clone)]
pub struct StateSnapshot(pub State);

openraft::declare_raft_types!(
    /// The types that openraft is made of here.
    pub TypeConfig:
        D = Proposal,
        R = Outcome,
        NodeId = u64,
        Node = Member,
        SnapshotData = StateSnapshot,
);

/// The consensus handle.
pub type Raft = openraft::Raft<TypeConfig>;
