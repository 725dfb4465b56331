//! What can go wrong with a log.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::backend::MetaKey;
use crate::codec::DecodeError;
use crate::files::FileError;

/// Why the log could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The operating system refused an operation on a file.
    #[error("could not {doing} {path}")]
    File {
        /// The operation, as in "could not … the file".
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The database is open elsewhere, in this process or another one.
    #[error("log database in {path} is in use")]
    InUse {
        /// The database's directory.
        path: PathBuf,
    },
    /// The database refused an operation for a reason that is neither I/O nor damage.
    #[error("log database in {path} refused to {doing}: {reason}")]
    Refused {
        /// The operation.
        doing: &'static str,
        /// The database's directory.
        path: PathBuf,
        /// The database's words.
        reason: String,
    },
    /// The database found its pages damaged. sled says so by panicking more often than by an error;
    /// both end up here.
    #[error("log database in {path} is damaged, found when trying to {doing}: {reason}")]
    Damaged {
        /// The operation.
        doing: &'static str,
        /// The database's directory.
        path: PathBuf,
        /// The database's words.
        reason: String,
    },
    /// The database opened, but as it was earlier: something that had been durable is gone.
    #[error("log database in {path} went back in time: {lost} is lost")]
    Reverted {
        /// What is gone.
        lost: String,
        /// The database's directory.
        path: PathBuf,
    },
    /// An entry is incomplete, or fails authentication: it was altered or moved.
    #[error("log entry {index} in {path} is incomplete or fails authentication")]
    Corrupt {
        /// Index of the entry.
        index: u64,
        /// The database's directory.
        path: PathBuf,
    },
    /// A record beside the log (vote, purged, committed) fails authentication.
    #[error("record {record} in {path} fails authentication")]
    CorruptMeta {
        /// The record.
        record: MetaKey,
        /// The database's directory.
        path: PathBuf,
    },
    /// An entry is missing although later ones, or an earlier end of the log, say it must be there.
    #[error("log in {path} has a hole: entry {expected} is missing{}", found_text(*.found))]
    Hole {
        /// Index of the missing entry.
        expected: u64,
        /// Index that was found in its place, if any.
        found: Option<u64>,
        /// The database's directory.
        path: PathBuf,
    },
    /// Entries handed over for appending do not continue the log.
    #[error("entry {given} cannot follow: the log in {path} continues at {expected}")]
    NotConsecutive {
        /// Index at which the log continues.
        expected: u64,
        /// Index that was given.
        given: u64,
        /// The database's directory.
        path: PathBuf,
    },
    /// The log was sealed with another data key than the one in `dek.json`.
    #[error("log in {path} was sealed with another data key")]
    WrongKey {
        /// The database's directory.
        path: PathBuf,
    },
    /// The database was laid out by another version of this program.
    #[error("log in {path} has layout {found}, this version knows {known}")]
    Layout {
        /// The layout found.
        found: u8,
        /// The layout this version writes.
        known: u8,
        /// The database's directory.
        path: PathBuf,
    },
    /// An entry is larger than [`ENTRY_BYTES_MAX`](crate::ENTRY_BYTES_MAX).
    #[error("log entry {index} is {bytes} bytes long, at most {bytes_max} are taken")]
    TooLarge {
        /// Index of the entry.
        index: u64,
        /// Its encoded length.
        bytes: usize,
        /// The bound.
        bytes_max: usize,
    },
    /// An entry cannot be written as MessagePack.
    #[error("log entry {index} cannot be encoded")]
    Encode {
        /// Index of the entry.
        index: u64,
        /// Why not.
        #[source]
        source: rmp_serde::encode::Error,
    },
    /// An entry is authentic but not understood by this version.
    #[error("log entry {index} in {path} cannot be decoded")]
    Decode {
        /// Index of the entry.
        index: u64,
        /// The database's directory.
        path: PathBuf,
        /// Why not.
        #[source]
        source: DecodeError,
    },
    /// A record beside the log is authentic but not understood by this version.
    #[error("record {record} in {path} cannot be decoded")]
    DecodeMeta {
        /// The record.
        record: MetaKey,
        /// The database's directory.
        path: PathBuf,
        /// Why not.
        #[source]
        source: DecodeError,
    },
    /// The log was closed, or stopped writing after an earlier failure.
    #[error("log in {path} is stopped")]
    Stopped {
        /// The database's directory.
        path: PathBuf,
        /// The failure that stopped it; `None` after an orderly close.
        #[source]
        source: Option<Arc<LogError>>,
    },
}

impl LogError {
    /// Whether what is on disk is lost for good, so that only wiping it and rebuilding this member
    /// from its peers helps. Otherwise the operator (disk full, wrong key file, older program) or a
    /// restart can help, and wiping would throw away good data.
    pub fn needs_rebuild(&self) -> bool {
        match self {
            LogError::Damaged { .. }
            | LogError::Reverted { .. }
            | LogError::Corrupt { .. }
            | LogError::CorruptMeta { .. }
            | LogError::Hole { .. } => true,
            LogError::File { .. }
            | LogError::InUse { .. }
            | LogError::Refused { .. }
            | LogError::NotConsecutive { .. }
            | LogError::WrongKey { .. }
            | LogError::Layout { .. }
            | LogError::TooLarge { .. }
            | LogError::Encode { .. }
            | LogError::Decode { .. }
            | LogError::DecodeMeta { .. } => false,
            LogError::Stopped { source, .. } => source.as_ref().is_some_and(|cause| cause.needs_rebuild()),
        }
    }
}

impl From<FileError> for LogError {
    fn from(error: FileError) -> Self {
        LogError::File { doing: error.doing, path: error.path, source: error.source }
    }
}

fn found_text(found: Option<u64>) -> String {
    match found {
        Some(index) => format!(", entry {index} is in its place"),
        None => String::new(),
    }
}
