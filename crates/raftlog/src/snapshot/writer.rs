//! Writing a snapshot chunk by chunk.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

use openraft::{RaftTypeConfig, SnapshotMeta};

use super::{CHUNK_BYTES, FileId, MAGIC, SnapshotError, SnapshotStore, StoredSnapshot, chunk_label, meta_label};
use crate::codec;
use crate::files;
use crate::seal::Label;

/// Bytes written between two syncs. The log shares the disk: one sync of all at the end would hold up
/// its own syncs, and with them heartbeats, for as long as 200 MB take.
const UNSYNCED_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A snapshot being written, under a temporary name. Blocks on the disk; holds 2 MiB.
///
/// It counts only once [`commit`](Self::commit) returned. Dropped before, it is removed.
#[derive(Debug)]
pub struct SnapshotWriter<C: RaftTypeConfig<NodeId = u64>> {
    store: SnapshotStore<C>,
    meta: SnapshotMeta<u64, C::Node>,
    temporary: Temporary,
    file: File,
    file_id: FileId,
    chunk_index: u64,
    chunk: Vec<u8>,
    unsynced_bytes: usize,
}

/// Removes the file unless it was given its final name.
#[derive(Debug)]
struct Temporary {
    path: PathBuf,
    committed: bool,
}

impl<C: RaftTypeConfig<NodeId = u64>> SnapshotWriter<C> {
    pub(super) fn create(store: SnapshotStore<C>, meta: SnapshotMeta<u64, C::Node>, path: PathBuf) -> Result<Self, SnapshotError> {
        let file = files::create_private(&path)?;
        let mut file_id = FileId::default();
        rand::fill(&mut file_id[..]);
        let mut writer = SnapshotWriter {
            store,
            meta,
            temporary: Temporary { path, committed: false },
            file,
            file_id,
            chunk_index: 0,
            chunk: Vec::with_capacity(CHUNK_BYTES),
            unsynced_bytes: 0,
        };
        writer.write_preamble()?;
        Ok(writer)
    }

    fn write_preamble(&mut self) -> Result<(), SnapshotError> {
        let mut preamble = MAGIC.to_vec();
        preamble.extend_from_slice(&self.file_id);
        preamble.extend_from_slice(self.store.sealer().key_id());
        self.put(&preamble)?;
        let path = || self.temporary.path.clone();
        let meta = codec::encode(&self.meta).map_err(|source| SnapshotError::EncodeMeta { path: path(), source })?;
        let file_id = self.file_id;
        self.put_sealed(meta_label(&file_id), &meta)
    }

    /// Adds content, of any length.
    ///
    /// # Errors
    /// After an error the snapshot must be given up.
    pub fn append(&mut self, mut bytes: &[u8]) -> Result<(), SnapshotError> {
        while !bytes.is_empty() {
            let count = self.take(bytes)?;
            bytes = &bytes[count..];
        }
        Ok(())
    }

    /// Finishes the snapshot: durable, under its final name, and one of those that are kept unless
    /// there are enough newer ones.
    ///
    /// # Errors
    /// After an error there is no snapshot.
    pub fn commit(mut self) -> Result<StoredSnapshot<C>, SnapshotError> {
        self.put_chunk(true)?;
        let path = &self.temporary.path;
        self.file.sync_all().map_err(files::failed("sync", path))?;
        let stored = self.store.publish(path, &self.meta)?;
        self.temporary.committed = true;
        Ok(stored)
    }

    fn take(&mut self, bytes: &[u8]) -> Result<usize, SnapshotError> {
        // A full chunk waits until more comes, because the last one is sealed differently.
        if self.chunk.len() == CHUNK_BYTES && !bytes.is_empty() {
            self.put_chunk(false)?;
        }
        let count = bytes.len().min(CHUNK_BYTES - self.chunk.len());
        self.chunk.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn put_chunk(&mut self, last: bool) -> Result<(), SnapshotError> {
        let chunk = std::mem::take(&mut self.chunk);
        let file_id = self.file_id;
        let label = chunk_label(&file_id, self.chunk_index, last);
        self.put_sealed(label, &chunk)?;
        self.chunk_index += 1;
        self.chunk = chunk;
        self.chunk.clear();
        Ok(())
    }

    fn put_sealed(&mut self, label: Label<'_>, plain: &[u8]) -> Result<(), SnapshotError> {
        let sealed = self.store.sealer().seal(label, plain);
        let length = u32::try_from(sealed.len()).expect("records are about a mebibyte");
        self.put(&length.to_be_bytes())?;
        self.put(&sealed)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), SnapshotError> {
        let path = &self.temporary.path;
        self.file.write_all(bytes).map_err(files::failed("write", path))?;
        self.unsynced_bytes += bytes.len();
        if self.unsynced_bytes >= UNSYNCED_BYTES_MAX {
            self.file.sync_data().map_err(files::failed("sync", path))?;
            self.unsynced_bytes = 0;
        }
        Ok(())
    }
}

impl<C: RaftTypeConfig<NodeId = u64>> Write for SnapshotWriter<C> {
    /// Takes what fits into the current chunk. After an error the snapshot must be given up.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(self.take(bytes)?)
    }

    /// Does nothing: only `commit` makes anything durable.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if self.committed {
            return;
        }
        if let Err(error) = std::fs::remove_file(&self.path) {
            // The next start removes it.
            tracing::warn!(path = %self.path.display(), %error, "unfinished snapshot stays");
        }
    }
}
