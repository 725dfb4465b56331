//! The agent of one host: its socket, its identity in a swarm, its tasks, and its manager process.
//!
//! What always holds: trouble of the control plane stops no container. Without managers the worker goes on with what it
//! was told last; a restart of the agent, also after a crash, adopts what runs.
//!
//! Rooms meet in the types of [`membership`] and in watches; only [`daemon`] reads the configuration, wires the rooms
//! and spawns their loops.

pub mod config;
pub mod membership;

mod backend;
mod cluster_port;
mod error_chain;

pub use backend::{Endpoint, InvalidEndpoint};
pub use error_chain::chain;

pub mod executor;
pub mod gateway;
pub mod identity;
pub mod network;
pub mod session;
pub mod supervisor;
pub mod worker;

pub mod daemon;
