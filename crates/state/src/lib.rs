//! The replicated state of a cluster: tables of objects, the changes that a log entry is made of, and how they apply.
//!
//! What always holds:
//! - A [`State`] is a value. Cloning it is one reference count per table, so readers, the planner and the snapshot writer
//!   each hold a root of their own and never lock.
//! - A log entry is a list of [`Batch`]es; a batch applies whole or not at all and says why not ([`Conflict`]).
//! - Applying decides nothing: it checks the versions, guards, names and task moves that a batch claims, and stores.
//!   So every manager reaches the same state from the same log.
//! - [`swarm_types::Version`] of an object is the log index of its last change.
//! - A task names its template by [`swarm_types::SpecId`]; the template is stored once.
//!
//! Deliberately absent: clocks, randomness, I/O and any opinion on what should run where.

pub mod apply;
pub mod change;
mod holds;
pub mod objects;
pub mod snapshot;
pub mod tables;
pub mod view;

pub use apply::{Applied, Event};
pub use change::{Batch, Change, Conflict, Entry, Guard, Key, Object, Table};
pub use objects::*;
pub use tables::State;
