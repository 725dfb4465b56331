//! The domain objects of Swarm and the words they are written in.
//!
//! The serde form of every API object here **is** the Docker Engine API's JSON; the same form, as MessagePack with field
//! names, goes into the Raft log, snapshots and sessions. So a field that the API does not show never lives in an API object.
//!
//! What always holds: ids, states and enums are parsed once at the edge and typed from there on; durations are integer
//! nanoseconds as in Docker's JSON; maps are ordered, so equal objects have equal bytes.
//!
//! Deliberately absent: clocks, randomness, I/O, and any knowledge of how the state is stored or decided.

pub mod ids;
pub mod text_enum;
pub mod time;

pub mod capabilities;
pub mod container;
pub mod mount;
pub mod network;
pub mod node;
pub mod payload;
pub mod service;
pub mod swarm;
pub mod task;
pub mod task_spec;
pub mod validate;

pub use container::*;
pub use ids::*;
pub use mount::*;
pub use network::*;
pub use node::*;
pub use payload::*;
pub use service::*;
pub use swarm::*;
pub use task::*;
pub use task_spec::*;
pub use text_enum::InvalidWord;
pub use time::{Nanos, Timestamp};

use std::collections::BTreeMap;

/// Labels of an object or a container; ordered so that equal sets have equal bytes.
pub type Labels = BTreeMap<String, String>;

/// The version of a stored object: the Raft log index of its last change.
///
/// A write names the version it read; a different stored one is a conflict ("update out of sequence").
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct Version {
    /// Raft log index; zero means "never stored".
    #[serde(rename = "Index", default)]
    pub index: u64,
}

/// Name and labels, flattened into every spec.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Annotations {
    /// The user's name for the object; empty where the kind allows it.
    #[serde(rename = "Name", default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// User labels; always written, never null.
    #[serde(rename = "Labels", default)]
    pub labels: Labels,
}

pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
