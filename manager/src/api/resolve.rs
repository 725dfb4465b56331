//! Which object a user means: by its id, else by its name, else by the beginning of its id.

use super::payloads::Kind;
use std::sync::Arc;
use swarm_state::{Network, Node, Service, State, Task};
use swarm_types::{NetworkId, NodeId, PayloadObject, ServiceId, TaskId};

/// No object or several fit what the user wrote.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// None.
    #[error("{kind} {input} not found")]
    NotFound {
        /// Such as `service`.
        kind: &'static str,
        /// What the user wrote.
        input: String,
    },
    /// Several.
    #[error("{kind} {input} is ambiguous ({found} matches found)")]
    Ambiguous {
        /// Such as `service`.
        kind: &'static str,
        /// What the user wrote.
        input: String,
        /// How many.
        found: usize,
    },
}

/// The service a user means.
pub(super) fn service<'a>(state: &'a State, input: &str) -> Result<&'a Arc<Service>, ResolveError> {
    let exact = ServiceId::parse(input).ok().and_then(|id| state.service(id));
    // Names are unique ignoring case but found only as they are written.
    let named = || state.service_named(input).filter(|s| s.current.spec.name == input);
    match exact.or_else(named) {
        Some(service) => Ok(service),
        None => only("service", input, state.services().filter(|s| s.id.as_str().starts_with(input))),
    }
}

/// The node a user means. Its name is its hostname, which need not be unique.
pub(super) fn node<'a>(state: &'a State, input: &str) -> Result<&'a Arc<Node>, ResolveError> {
    if let Some(node) = NodeId::parse(input).ok().and_then(|id| state.node(id)) {
        return Ok(node);
    }
    let mut named = state.nodes().filter(|n| n.api.description.hostname == input).peekable();
    match named.peek() {
        Some(_) => only("node", input, named),
        None => only("node", input, state.nodes().filter(|n| n.id().as_str().starts_with(input))),
    }
}

/// The task a user means. Its name is `service.slot.id` in full.
pub(super) fn task<'a>(state: &'a State, input: &str) -> Result<&'a Arc<Task>, ResolveError> {
    let exact = TaskId::parse(input).ok().and_then(|id| state.task(id));
    let named = || {
        let id = TaskId::parse(input.rsplit('.').next()?).ok()?;
        state.task(id).filter(|t| name(state, t).as_deref() == Some(input))
    };
    match exact.or_else(named) {
        Some(task) => Ok(task),
        None => only("task", input, state.tasks().filter(|t| t.id.as_str().starts_with(input))),
    }
}

/// The cluster network a user means.
pub(super) fn network<'a>(state: &'a State, input: &str) -> Result<&'a Arc<Network>, ResolveError> {
    let exact = NetworkId::parse(input).ok().and_then(|id| state.live_network(id));
    let named = || state.network_named(input).filter(|n| n.spec.name == input);
    match exact.or_else(named) {
        Some(network) => Ok(network),
        None => only("network", input, state.live_networks().filter(|n| n.id.as_str().starts_with(input))),
    }
}

/// The secret or config a user means.
pub(super) fn payload<'a, K: Kind>(state: &'a State, input: &str) -> Result<&'a Arc<PayloadObject<K>>, ResolveError> {
    let exact = K::parse(input).and_then(|id| K::get(state, id));
    let named = || K::named(state, input).filter(|object| object.spec.name == input);
    match exact.or_else(named) {
        Some(object) => Ok(object),
        None => only(K::WORD, input, K::all(state).filter(|object| object.id.to_string().starts_with(input))),
    }
}

/// The name of a task.
pub(super) fn name(state: &State, task: &Task) -> Option<String> {
    state.spec(task.spec).map(|spec| task.full_name(spec))
}

fn only<'a, T>(kind: &'static str, input: &str, mut found: impl Iterator<Item = &'a Arc<T>>) -> Result<&'a Arc<T>, ResolveError> {
    let input = || input.to_owned();
    let first = found.next().ok_or_else(|| ResolveError::NotFound { kind, input: input() })?;
    match found.count() {
        0 => Ok(first),
        more => Err(ResolveError::Ambiguous { kind, input: input(), found: more + 1 }),
    }
}
