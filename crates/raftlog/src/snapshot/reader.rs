//! Reading a snapshot chunk by chunk.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::{CHUNK_BYTES, FileId, MAGIC, META_BYTES_MAX, PREAMBLE_BYTES, SnapshotError, chunk_label, meta_label};
use crate::codec;
use crate::files;
use crate::seal::{KeyId, SEAL_OVERHEAD_BYTES, Sealer};

/// The content of a snapshot, authenticated chunk by chunk. Blocks on the disk; holds 2 MiB.
///
/// Ends only after the chunk that is marked as the last one, so who reads to the end has read what
/// was written. An error comes before any byte of the chunk at fault, and comes again on every
/// further read.
#[derive(Debug)]
pub struct SnapshotReader {
    records: Records,
    file_id: FileId,
    sealer: Sealer,
    chunk_index: u64,
    /// The current chunk, and how much of it was read.
    chunk: Vec<u8>,
    position: usize,
    ended: bool,
}

impl SnapshotReader {
    /// Takes the next chunk (up to 1 MiB, not empty), or `None` at the end. What
    /// [`Read`] left of the current chunk comes first.
    ///
    /// # Errors
    /// See [`SnapshotError`].
    pub fn next_chunk(&mut self) -> Result<Option<Vec<u8>>, SnapshotError> {
        if self.position == self.chunk.len() && !self.advance()? {
            return Ok(None);
        }
        let mut chunk = std::mem::take(&mut self.chunk);
        if self.position > 0 {
            chunk.drain(..self.position);
        }
        self.position = 0;
        Ok(Some(chunk))
    }

    /// Makes the next chunk that is not empty the current one; `false` at the end.
    fn advance(&mut self) -> Result<bool, SnapshotError> {
        while !self.ended {
            let sealed = self.records.next(CHUNK_BYTES + SEAL_OVERHEAD_BYTES)?;
            let last = self.records.at_end()?;
            let label = chunk_label(&self.file_id, self.chunk_index, last);
            self.chunk = match self.sealer.open(label, &sealed) {
                Ok(chunk) => chunk,
                Err(_) => return Err(self.not_authentic(&sealed, last)),
            };
            self.position = 0;
            self.ended = last;
            self.chunk_index += 1;
            if !self.chunk.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Tells a file of the wrong length from a damaged chunk.
    fn not_authentic(&mut self, sealed: &[u8], last: bool) -> SnapshotError {
        // So that reading on finds the same chunk again and not the one after it.
        self.records.step_back(sealed.len());
        let opposite = chunk_label(&self.file_id, self.chunk_index, !last);
        match self.sealer.open(opposite, sealed) {
            Ok(_) => SnapshotError::WrongLength { path: self.records.path.clone() },
            Err(_) => SnapshotError::Corrupt { chunk_index: self.chunk_index, path: self.records.path.clone() },
        }
    }
}

impl Read for SnapshotReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() || (self.position == self.chunk.len() && !self.advance()?) {
            return Ok(0);
        }
        let left = &self.chunk[self.position..];
        let count = left.len().min(buffer.len());
        buffer[..count].copy_from_slice(&left[..count]);
        self.position += count;
        Ok(count)
    }
}

/// A snapshot file whose description was read and found authentic.
#[derive(Debug, Clone)]
pub(super) struct Opened {
    file: Arc<File>,
    pub(super) path: PathBuf,
    file_id: FileId,
    first_chunk: u64,
    size: u64,
    sealer: Sealer,
}

impl Opened {
    /// Opens a file and reads its description.
    pub(super) fn open<M: DeserializeOwned>(path: &Path, sealer: &Sealer) -> Result<(Opened, M), SnapshotError> {
        let file = File::open(path).map_err(files::failed("open", path))?;
        let size = file.metadata().map_err(files::failed("read the size of", path))?.len();
        let mut records = Records { file: Arc::new(file), path: path.to_path_buf(), position: 0, size };
        let not_a_snapshot = || SnapshotError::NotASnapshot { path: path.to_path_buf() };
        let mut preamble = [0; PREAMBLE_BYTES];
        if size < PREAMBLE_BYTES as u64 {
            return Err(not_a_snapshot());
        }
        records.fill(&mut preamble)?;
        let (magic, ids) = preamble.split_at(MAGIC.len());
        let (file_id, key_id) = ids.split_at(size_of::<FileId>());
        if magic != MAGIC {
            return Err(not_a_snapshot());
        }
        if key_id != sealer.key_id() as &KeyId {
            return Err(SnapshotError::WrongKey { path: path.to_path_buf() });
        }
        let file_id = FileId::try_from(file_id).map_err(|_| not_a_snapshot())?;
        let sealed = records.next(META_BYTES_MAX)?;
        let plain = sealer.open(meta_label(&file_id), &sealed).map_err(|_| SnapshotError::CorruptMeta { path: path.to_path_buf() })?;
        let meta = codec::decode(&plain).map_err(|source| SnapshotError::DecodeMeta { path: path.to_path_buf(), source })?;
        let opened =
            Opened { file: records.file, path: records.path, file_id, first_chunk: records.position, size, sealer: sealer.clone() };
        Ok((opened, meta))
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Reads from the first chunk on, independently of other readers.
    pub(super) fn reader(&self) -> SnapshotReader {
        SnapshotReader {
            records: Records { file: Arc::clone(&self.file), path: self.path.clone(), position: self.first_chunk, size: self.size },
            file_id: self.file_id,
            sealer: self.sealer.clone(),
            chunk_index: 0,
            chunk: Vec::new(),
            position: 0,
            ended: false,
        }
    }
}

/// Length-prefixed records of a file, read at positions of our own: the file stays readable after it
/// was removed, and by several readers.
#[derive(Debug)]
struct Records {
    file: Arc<File>,
    path: PathBuf,
    position: u64,
    size: u64,
}

/// Length prefix of a record.
const LENGTH_BYTES: usize = 4;

impl Records {
    /// Reads the next record, whose length is checked before memory is taken for it.
    fn next(&mut self, bytes_max: usize) -> Result<Vec<u8>, SnapshotError> {
        let start = self.position;
        let mut length = [0; LENGTH_BYTES];
        let record = self.fill(&mut length).and_then(|()| {
            let bytes = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
            if bytes > bytes_max {
                return Err(self.wrong_length());
            }
            let mut record = vec![0; bytes];
            self.fill(&mut record)?;
            Ok(record)
        });
        if record.is_err() {
            self.position = start;
        }
        record
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), SnapshotError> {
        match self.file.read_exact_at(buffer, self.position) {
            Ok(()) => {
                self.position += buffer.len() as u64;
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(self.wrong_length()),
            Err(error) => Err(files::failed("read", &self.path)(error).into()),
        }
    }

    fn at_end(&self) -> Result<bool, SnapshotError> {
        if self.position > self.size {
            return Err(self.wrong_length());
        }
        Ok(self.position == self.size)
    }

    fn step_back(&mut self, record_bytes: usize) {
        self.position -= (LENGTH_BYTES + record_bytes) as u64;
    }

    fn wrong_length(&self) -> SnapshotError {
        SnapshotError::WrongLength { path: self.path.clone() }
    }
}
