//! Writes: decided on a state, stored only if that state still holds.

use super::ApiError;
use crate::store::{ProposeError, ReadError, Store};
use swarm_state::{Batch, Change, Guard, State};
use swarm_types::Actor;

/// Times that a write is decided anew because something it relies on changed. Each time some other write succeeded.
const ATTEMPTS_MAX: usize = 10;

/// What a write wants to store, and what it answers then.
pub(super) struct Decision<T> {
    /// In whose name.
    pub(super) by: Actor,
    /// What it relies on besides the objects it changes.
    pub(super) guards: Vec<Guard>,
    /// What it changes; nothing at all is stored as nothing.
    pub(super) changes: Vec<Change>,
    /// For the caller.
    pub(super) answer: T,
}

/// Decides and stores, again while others are faster.
///
/// A decision is made on the newest state at hand. Refusals are believed only on a state that holds every acknowledged
/// write: a leader that lost its office without knowing may lack the very object that is asked for.
pub(super) async fn commit<T>(store: &Store, mut decide: impl FnMut(&State) -> Result<Decision<T>, ApiError>) -> Result<T, ApiError> {
    let mut state = store.state();
    for _ in 0..ATTEMPTS_MAX {
        let decision = match decide(&state) {
            Err(_) => decide(&newest(store).await?)?,
            Ok(decision) => decision,
        };
        if decision.changes.is_empty() {
            return Ok(decision.answer);
        }
        let batch = Batch { by: decision.by, guards: decision.guards, changes: decision.changes };
        match store.propose(batch).await {
            Ok(_) => return Ok(decision.answer),
            Err(ProposeError::Conflict(conflict)) => {
                tracing::debug!(%conflict, "a write was overtaken; deciding anew");
                state = store.state();
            }
            Err(ProposeError::NotLeader(_)) => return Err(ApiError::NotLeading),
            Err(ProposeError::NoQuorum) => return Err(ApiError::NoLeader),
            Err(ProposeError::NoRoom(reason)) => return Err(ApiError::NoRoom(reason)),
            Err(ProposeError::Closed(reason)) => return Err(ApiError::Closed(reason)),
        }
    }
    Err(ApiError::OutOfSequence)
}

/// A state that holds every acknowledged write.
pub(super) async fn newest(store: &Store) -> Result<State, ApiError> {
    store.linearizable().await.map_err(|error| match error {
        ReadError::NoLeader => ApiError::NotLeading,
        ReadError::Closed(reason) => ApiError::Closed(reason),
    })
}
