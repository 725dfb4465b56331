//! What the managers said of cluster networks, as it goes from the worker to whoever acts on it.

use swarm_session::{Generation, NetworkView};
use swarm_types::NodeId;

/// What this host knows of cluster networks.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Told {
    /// Nothing yet: the agent has just begun. What is there stays as it is.
    #[default]
    Unknown,
    /// The host is in no cluster, so it carries no network.
    Outside,
    /// The host is a node.
    Member(Member),
}

/// What a node was told.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// This node.
    pub node: NodeId,
    /// The state that `view` is derived from.
    pub generation: Generation,
    /// The networks it needs.
    pub view: NetworkView,
}

impl Told {
    /// What was told, if the host is a node.
    #[must_use]
    pub fn member(&self) -> Option<&Member> {
        match self {
            Self::Member(member) => Some(member),
            Self::Unknown | Self::Outside => None,
        }
    }
}
