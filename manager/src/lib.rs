//! The manager daemon: keeps the cluster state on Raft, is the cluster's certificate authority, plans and schedules
//! services, and hands tasks to agents.
//!
//! Rooms meet in the [`store`] and never call a sibling; `daemon` alone reads configuration, spawns loops and wires them.

pub mod store;
