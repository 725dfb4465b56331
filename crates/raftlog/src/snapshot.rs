//! Snapshots as plain files, sealed in chunks, written and read as streams.
//!
//! ```text
//! magic (8) | file id (16) | key id (16) | record: meta | record: chunk 0 | … | record: last chunk
//! record = length (4, big-endian) | sealed bytes
//! ```
//!
//! The label of every record holds the file id and the chunk number, and the last chunk has a kind
//! of its own: chunks cannot be reordered, exchanged between files or cut off unnoticed.

mod error;
mod reader;
mod sink;
mod store;
mod writer;

pub use error::SnapshotError;
pub use reader::SnapshotReader;
pub use sink::SnapshotSink;
pub use store::{SnapshotStore, StoredSnapshot};
pub use writer::SnapshotWriter;

use crate::seal::{KeyId, Kind, Label};

/// Folder of the snapshots within the state directory.
pub(crate) const SNAPSHOT_DIR: &str = "snapshots";

const MAGIC: &[u8; 8] = b"SWRMSNP1";
/// Bytes of content in one record. A reader and a writer hold one or two of them.
const CHUNK_BYTES: usize = 1024 * 1024;
/// Largest description that is read back: log id and membership, some kilobytes in fact.
const META_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes sealed and not yet handed to a reader or writer on the other side of a channel.
const CHUNKS_QUEUED_MAX: usize = 4;

/// Tells snapshot files apart, so that chunks of one are no chunks of another.
type FileId = [u8; 16];

fn meta_label(file_id: &FileId) -> Label<'_> {
    Label { kind: Kind::SnapshotHead, number: 0, owner: file_id }
}

fn chunk_label(file_id: &FileId, number: u64, last: bool) -> Label<'_> {
    Label { kind: if last { Kind::SnapshotLastChunk } else { Kind::SnapshotChunk }, number, owner: file_id }
}

/// Bytes before the first record.
const PREAMBLE_BYTES: usize = MAGIC.len() + size_of::<FileId>() + size_of::<KeyId>();
