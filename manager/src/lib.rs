//! The manager daemon: keeps the cluster state on Raft, is the cluster's certificate authority, plans and schedules
//! services, and hands tasks to agents.
//!
//! Rooms meet in the [`store`] and never call a sibling; [`daemon`] alone reads configuration, spawns loops and wires them.

pub mod api;
pub mod blocking;
pub mod ca;
pub mod config;
pub mod control;
pub mod daemon;
pub mod dispatcher;
pub mod dispatcher_routes;
pub mod events;
pub mod known_managers;
pub mod links;
pub mod member;
pub mod peer;
pub mod planner_loop;
pub mod raft;
pub mod rebuild;
pub mod room;
pub mod server;
pub mod store;

/// Docker's words for a swarm without a leader.
pub const NO_LEADER: &str = "rpc error: code = Unknown desc = The swarm does not have a leader. It's possible that too few managers are online. Make sure more than half of the managers are online.";

/// An error and its causes in one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
