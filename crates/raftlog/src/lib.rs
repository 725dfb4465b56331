//! The durable memory of one Raft member: log, vote, snapshots and the keys they are sealed with.
//!
//! This room decides how what Raft must not forget is laid out on disk, when it may be called
//! durable, and whether what is read back can be believed. It does not know what an entry means: it
//! is generic over openraft's type configuration.
//!
//! ```text
//! <dir>/dek.json      data key; sealed with the key-encryption key when autolock is on
//! <dir>/log/          sled: entries in chunks, vote, last purged and last committed log id
//! <dir>/log/journal   the newest changes, until sled itself is synced
//! <dir>/log.mark      what the database must hold at least
//! <dir>/snapshots/    one plain file per snapshot, sealed in chunks
//! ```
//!
//! Always true:
//!
//! - An entry or a vote is acknowledged after an `fdatasync` of the journal or the database file that
//!   began after it was written. sled's own `flush` is not durable on Linux and is never relied on.
//! - One thread writes. Writes happen in the order in which they were handed over, those that wait
//!   are joined under one sync, and after the first failure nothing is written any more.
//! - Every record is authenticated together with its kind and index. A record that fails is a named
//!   error; it is never skipped, repaired or read in part.
//! - The log on disk has no holes: an entry exists once its first chunk does, which is written last,
//!   and the log shrinks only from its ends.
//! - A database that went back in time is noticed: sled takes damage for a torn end of its file and
//!   opens as it was earlier, but never behind the mark.
//! - Purged entries are deleted only after the purge itself is durable.
//! - The data key never leaves `dek.json` and the memory of this process.
//!
//! What it never does: it does not rebuild itself. A log that cannot be believed stops the member;
//! the manager decides to [`set_aside`] or [`wipe`] it and to join again *as a new member*, because a member that
//! forgot its vote could vote twice.
//!
//! sled reports damaged pages by panicking. Those panics are caught here, which needs the unwinding
//! panic strategy (the default).

mod backend;
mod codec;
mod error;
mod files;
mod keys;
mod log;
mod seal;
mod sled_backend;
mod snapshot;
mod usage;
mod view;
mod wipe;
mod writer;

pub use backend::{LogBackend, MetaKey, PurgeStep, StoredRecord, StoredRecords};
pub use codec::DecodeError;
pub use error::LogError;
pub use keys::{Kek, Keys, KeysError};
pub use log::{ENTRY_BYTES_MAX, LogReader, LogStatus, RaftLog};
pub use sled_backend::SledBackend;
pub use snapshot::{SnapshotError, SnapshotReader, SnapshotSink, SnapshotStore, SnapshotWriter, StoredSnapshot};
pub use usage::LogUsage;
pub use wipe::{Wipe, WipeError, set_aside, wipe};
