//! What one pass decides.

use std::time::Duration;
use swarm_state::{Batch, Change};
use swarm_types::{Actor, ServiceId};

/// Changes of one pass at most, give or take the last slot: an entry of the log stays small enough to reach a follower
/// well within a heartbeat. What is left over is planned in the next pass, at once.
pub const CHANGES_PER_PASS_MAX: usize = 1000;

/// What one pass decides. Applying it chooses nothing more.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// To propose as one batch by `Actor::Planner`; empty when nothing is to be done.
    pub changes: Vec<Change>,
    /// When the next pass is due though nothing changes until then; zero if this pass reached its bound.
    pub look_again_in: Option<Duration>,
    /// Tasks that this pass looked at and could not place, and why.
    pub refusals: Vec<Refusal>,
}

/// Tasks of one service that no node can take. Each task has the reason in its status too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The service.
    pub service: ServiceId,
    /// How many of its tasks.
    pub tasks: usize,
    /// Such as `no suitable node (insufficient resources on 2 nodes)`.
    pub reason: String,
}

impl Plan {
    /// The changes as a batch, if there are any.
    #[must_use]
    pub fn into_batch(self) -> Option<Batch> {
        (!self.changes.is_empty()).then_some(Batch { by: Actor::Planner, guards: Vec::new(), changes: self.changes })
    }
}
