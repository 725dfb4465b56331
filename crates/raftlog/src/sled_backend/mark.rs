//! A small file beside the database that says what the database must hold at least.
//!
//! sled treats whatever it cannot read as the torn end of its log: one flipped bit in the wrong place
//! and it opens, without a word, as it was some time ago (measured: 47 of 120 flips in a 20 MiB file
//! took back entries and the vote). A Raft member must never forget what it acknowledged, so this
//! file, which sled does not know, is written after each sync, and compared on open.
//!
//! The mark is a lower bound: it is written after the database was synced, and lowered before the
//! database is cut. Ordinary writes of it are not synced, because an older mark is still true; it
//! then misses the loss of the last seconds before a power cut, and only if the database is damaged
//! besides.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::LogError;
use crate::backend::{MetaKey, StoredRecord};
use crate::files;

const META_COUNT: usize = MetaKey::ALL.len();
/// Slots are written in turn, each in a block of its own, so that a torn write leaves the other.
const SLOTS: u64 = 2;
const SLOT_DISTANCE: u64 = 4096;
/// Sequence number, last entry (whether, index, fingerprint), versions, checksum.
const BODY_BYTES: usize = 8 + 1 + 8 + 16 + 8 * META_COUNT;
const SLOT_BYTES: usize = BODY_BYTES + 16;

/// Tells a record from another of the same index: the end of its bytes, which for a sealed record is
/// its authentication tag.
pub(super) type Fingerprint = [u8; 16];

pub(super) fn fingerprint(record: &StoredRecord) -> Fingerprint {
    let mut fingerprint = Fingerprint::default();
    let end = record.bytes.len().saturating_sub(fingerprint.len());
    let tail = &record.bytes[end..];
    fingerprint[..tail.len()].copy_from_slice(tail);
    fingerprint
}

/// What the database must hold at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Mark {
    /// An entry that must be there.
    pub(super) last: Option<(u64, Fingerprint)>,
    /// Version of each single record: how often it was stored.
    pub(super) versions: [u64; META_COUNT],
}

impl Mark {
    /// The versions of the records a member must not forget. The committed log id is not one of them.
    pub(super) fn without_committed(&self) -> [u64; META_COUNT] {
        let mut versions = self.versions;
        versions[MetaKey::Committed as usize] = 0;
        versions
    }
}

/// The file, and what it says.
#[derive(Debug)]
pub(super) struct MarkFile {
    file: File,
    path: PathBuf,
    sequence: u64,
    written: Mark,
    /// Whether a power cut could bring an older mark back.
    synced: bool,
}

impl MarkFile {
    /// Opens the mark, or makes an empty one for a database that does not exist yet.
    pub(super) fn open(path: &Path, database_exists: bool) -> Result<MarkFile, LogError> {
        match File::options().read(true).write(true).open(path) {
            Ok(file) => MarkFile::read(file, path),
            Err(error) if error.kind() == ErrorKind::NotFound && !database_exists => {
                files::replace_private(path, &encode(0, &Mark::default()))?;
                let file = File::options().read(true).write(true).open(path);
                MarkFile::read(file.map_err(files::failed("open", path))?, path)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Err(damaged(path, "it is missing")),
            Err(error) => Err(files::failed("open", path)(error).into()),
        }
    }

    fn read(file: File, path: &Path) -> Result<MarkFile, LogError> {
        let mut newest: Option<(u64, Mark)> = None;
        for slot in 0..SLOTS {
            let mut bytes = [0; SLOT_BYTES];
            match file.read_exact_at(&mut bytes, slot * SLOT_DISTANCE) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => continue,
                Err(error) => return Err(files::failed("read", path)(error).into()),
            }
            newest = newest.into_iter().chain(decode(&bytes)).max_by_key(|(sequence, _)| *sequence);
        }
        let (sequence, written) = newest.ok_or_else(|| damaged(path, "it is not readable"))?;
        Ok(MarkFile { file, path: path.to_path_buf(), sequence, written, synced: true })
    }

    pub(super) fn written(&self) -> &Mark {
        &self.written
    }

    /// Writes a mark. Without `durable` it survives a crash of this process, and a power cut some
    /// seconds later.
    pub(super) fn write(&mut self, mark: &Mark, durable: bool) -> Result<(), LogError> {
        if *mark != self.written {
            let sequence = self.sequence + 1;
            let position = sequence % SLOTS * SLOT_DISTANCE;
            self.file.write_all_at(&encode(sequence, mark), position).map_err(files::failed("write", &self.path))?;
            self.sequence = sequence;
            self.written = *mark;
            self.synced = false;
        }
        if durable && !self.synced {
            self.file.sync_data().map_err(files::failed("sync", &self.path))?;
            self.synced = true;
        }
        Ok(())
    }
}

fn encode(sequence: u64, mark: &Mark) -> [u8; SLOT_BYTES] {
    let mut body = Vec::with_capacity(SLOT_BYTES);
    body.extend_from_slice(&sequence.to_be_bytes());
    let (index, fingerprint) = mark.last.unwrap_or_default();
    body.push(u8::from(mark.last.is_some()));
    body.extend_from_slice(&index.to_be_bytes());
    body.extend_from_slice(&fingerprint);
    for version in mark.versions {
        body.extend_from_slice(&version.to_be_bytes());
    }
    let checksum = checksum(&body);
    body.extend_from_slice(&checksum);
    <[u8; SLOT_BYTES]>::try_from(body).expect("the parts add up to the length of a slot")
}

fn decode(slot: &[u8; SLOT_BYTES]) -> Option<(u64, Mark)> {
    let (body, found) = slot.split_at(BODY_BYTES);
    if checksum(body) != *found {
        return None;
    }
    let (sequence, rest) = body.split_first_chunk()?;
    let (has_last, rest) = rest.split_first()?;
    let (index, rest) = rest.split_first_chunk()?;
    let (fingerprint, rest) = rest.split_first_chunk()?;
    let mut versions = [0; META_COUNT];
    for (version, bytes) in versions.iter_mut().zip(rest.chunks_exact(8)) {
        *version = u64::from_be_bytes(bytes.try_into().ok()?);
    }
    let last = (*has_last == 1).then(|| (u64::from_be_bytes(*index), *fingerprint));
    Some((u64::from_be_bytes(*sequence), Mark { last, versions }))
}

/// Against torn writes and decay, not against forgery: who can write here can also put back an old
/// copy of everything.
fn checksum(body: &[u8]) -> [u8; 16] {
    let digest = Sha256::digest(body);
    let mut checksum = [0; 16];
    checksum.copy_from_slice(&digest[..16]);
    checksum
}

fn damaged(path: &Path, reason: &str) -> LogError {
    LogError::Damaged { doing: "read the mark of", path: path.to_path_buf(), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(index: u64) -> Mark {
        Mark { last: Some((index, [index as u8; 16])), versions: [index; META_COUNT] }
    }

    #[test]
    fn the_last_whole_slot_counts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mark");
        let mut file = MarkFile::open(&path, false).unwrap();
        assert_eq!(*file.written(), Mark::default());
        for index in 1..6 {
            file.write(&mark(index), index % 2 == 0).unwrap();
            assert_eq!(*MarkFile::open(&path, true).unwrap().written(), mark(index));
        }
        let mut bytes = std::fs::read(&path).unwrap();
        // Sequence 5 is in the second slot.
        bytes[SLOT_DISTANCE as usize + 20] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(*MarkFile::open(&path, true).unwrap().written(), mark(4));
        bytes[20] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert!(matches!(MarkFile::open(&path, true), Err(LogError::Damaged { .. })));
    }

    #[test]
    fn a_database_without_its_mark_is_not_believed() {
        let dir = tempfile::tempdir().unwrap();
        let missing = MarkFile::open(&dir.path().join("mark"), true);
        assert!(matches!(missing, Err(LogError::Damaged { .. })));
    }
}
