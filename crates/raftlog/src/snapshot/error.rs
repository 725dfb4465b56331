//! What can go wrong with a snapshot.

use std::io;
use std::path::{Path, PathBuf};

use crate::codec::DecodeError;
use crate::files::FileError;

/// Why a snapshot could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The operating system refused an operation on a file.
    #[error("could not {doing} {path}")]
    File {
        /// The operation.
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// A chunk fails authentication: it was altered or moved.
    #[error("chunk {chunk_index} of snapshot {path} fails authentication")]
    Corrupt {
        /// Number of the chunk, from zero.
        chunk_index: u64,
        /// The file.
        path: PathBuf,
    },
    /// The record that describes the snapshot fails authentication.
    #[error("description of snapshot {path} fails authentication")]
    CorruptMeta {
        /// The file.
        path: PathBuf,
    },
    /// The file ends before its last chunk, or goes on after it.
    #[error("snapshot {path} does not end with its last chunk")]
    WrongLength {
        /// The file.
        path: PathBuf,
    },
    /// The file does not start like a snapshot of this version.
    #[error("{path} is not a snapshot of a known version")]
    NotASnapshot {
        /// The file.
        path: PathBuf,
    },
    /// The snapshot was sealed with another data key than the one in `dek.json`.
    #[error("snapshot {path} was sealed with another data key")]
    WrongKey {
        /// The file.
        path: PathBuf,
    },
    /// The description is authentic but not understood by this version.
    #[error("description of snapshot {path} cannot be decoded")]
    DecodeMeta {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: DecodeError,
    },
    /// The description cannot be written as MessagePack.
    #[error("description of snapshot {path} cannot be encoded")]
    EncodeMeta {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: rmp_serde::encode::Error,
    },
    /// The thread that writes or reads is gone, because the runtime is shutting down.
    #[error("work on snapshots in {path} was stopped")]
    Stopped {
        /// The directory or file.
        path: PathBuf,
    },
}

impl SnapshotError {
    /// Whether the file is lost for good: rebuilding this member from its peers helps, waiting or
    /// another key does not.
    pub fn needs_rebuild(&self) -> bool {
        match self {
            SnapshotError::Corrupt { .. }
            | SnapshotError::CorruptMeta { .. }
            | SnapshotError::WrongLength { .. }
            | SnapshotError::NotASnapshot { .. } => true,
            SnapshotError::File { .. }
            | SnapshotError::WrongKey { .. }
            | SnapshotError::DecodeMeta { .. }
            | SnapshotError::EncodeMeta { .. }
            | SnapshotError::Stopped { .. } => false,
        }
    }

    pub(super) fn stopped(path: &Path) -> Self {
        SnapshotError::Stopped { path: path.to_path_buf() }
    }
}

impl From<FileError> for SnapshotError {
    fn from(error: FileError) -> Self {
        SnapshotError::File { doing: error.doing, path: error.path, source: error.source }
    }
}

/// For `std::io::Read` and `Write`; the snapshot error is the source.
impl From<SnapshotError> for io::Error {
    fn from(error: SnapshotError) -> Self {
        let kind = match &error {
            SnapshotError::File { source, .. } => source.kind(),
            SnapshotError::Stopped { .. } => io::ErrorKind::BrokenPipe,
            _ => io::ErrorKind::InvalidData,
        };
        io::Error::new(kind, error)
    }
}
