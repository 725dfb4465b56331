//! A task leaves names and load balancing on every node before it is told to stop.
//!
//! A task that is to stop is out of service with the log entry that says so, and every node that carries one of its networks
//! is told at once. The task's own node is told to stop it only when those nodes have confirmed that ([`FromAgent::Applied`]),
//! on whichever manager their sessions are, or after [`DRAIN_MAX`].
//!
//! Nothing of this is in the log: the manager that holds the node's session asks the other managers, and what it waits for is
//! forgotten with the session. A node that comes back to another manager may then be told to stop a task a moment early.
//!
//! [`FromAgent::Applied`]: swarm_session::FromAgent::Applied

use super::Inner;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use swarm_types::{NetworkId, TaskId};

/// A task is told to stop after this time whoever has not confirmed: Docker waits two seconds for everybody.
pub(super) const DRAIN_MAX: Duration = Duration::from_secs(3);

/// Something left names and load balancing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// On these networks.
    pub networks: BTreeSet<NetworkId>,
    /// With this log entry, or one before it.
    pub index: u64,
}

/// What a session told its node of networks, and what that confirmed.
#[derive(Debug, Default)]
pub(super) struct Carried {
    /// The networks that the node was told of.
    pub(super) networks: BTreeSet<NetworkId>,
    /// Everything that the log has on networks up to here was looked at.
    pub(super) seen: u64,
    /// The generation that told of networks last.
    pub(super) told: u64,
    /// The newest generation that the node confirmed; `None` for one that confirms nothing.
    pub(super) applied: Option<u64>,
}

impl Carried {
    /// Whether the node knows, does not need to know, or will never say.
    fn knows(&self, left: &Left) -> bool {
        let confirmed = |applied: u64| self.seen >= left.index && applied >= self.told;
        self.networks.is_disjoint(&left.networks) || self.applied.is_none_or(confirmed)
    }
}

/// Waits until every node knows, but no longer than [`DRAIN_MAX`]; gives back `tasks`.
pub(super) async fn drained(inner: Arc<Inner>, left: Left, tasks: Vec<TaskId>) -> Vec<TaskId> {
    let everywhere = async { tokio::join!(left_here(&inner, &left), inner.link.left_elsewhere(&left)) };
    if tokio::time::timeout(DRAIN_MAX, everywhere).await.is_err() {
        tracing::warn!(?tasks, networks = ?left.networks, "tasks are stopped before every node confirmed that they left the load balancing");
    }
    tasks
}

/// Waits until the nodes with a session on this manager know. Ends early only when the manager stops.
pub(super) async fn left_here(inner: &Inner, left: &Left) {
    let mut progress = inner.progress.subscribe();
    let journal_has_it = || inner.journal.lock().expect("nothing panics while holding it").until() >= left.index;
    loop {
        progress.borrow_and_update();
        if journal_has_it() {
            break;
        }
        if progress.changed().await.is_err() {
            return;
        }
    }
    // Entries that concern none of them woke nobody, and so were not looked at.
    inner.wake_on(&left.networks);
    loop {
        progress.borrow_and_update();
        let all_know = inner.sessions.lock().expect("nothing panics while holding it").values().all(|e| e.carried.knows(left));
        if all_know || progress.changed().await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_knows_when_it_confirmed_what_it_was_told_of_what_was_looked_at() {
        let (blue, green) = (NetworkId::from_random([1; 16]), NetworkId::from_random([2; 16]));
        let left = Left { networks: [blue].into(), index: 10 };
        let carried =
            |networks: &[NetworkId], seen, told, applied| Carried { networks: networks.iter().copied().collect(), seen, told, applied };
        assert!(carried(&[green], 0, 0, Some(0)).knows(&left), "it does not carry the network");
        assert!(carried(&[blue], 0, 0, None).knows(&left), "it confirms nothing");
        assert!(!carried(&[blue], 9, 9, Some(9)).knows(&left), "the entry was not looked at");
        assert!(!carried(&[blue, green], 10, 10, Some(9)).knows(&left), "it has not confirmed");
        assert!(carried(&[blue], 12, 10, Some(10)).knows(&left));
        assert!(carried(&[blue], 12, 8, Some(8)).knows(&left), "there was nothing to tell");
    }
}
