//! A small file of fixed size in which changes become durable before sled has them so.
//!
//! Making sled durable costs a growing file, and with it several writes of the disk per sync. This file is written over and
//! over in place, so its `fdatasync` is one. A sync puts the changes since the last one into a *frame*; when enough has
//! changed, sled itself is synced and the frames begin again at the start of the file.
//!
//! - sled holds the number of the last frame whose changes it has. So on opening, the frames after it are carried out again.
//!   A crash may have left some changes of the next frame in sled; changes say what to store or to delete whatever was there
//!   before, so carrying all of them out again makes the same.
//! - Frames are numbered without gaps. The first one in the file can only follow what sled was synced with: if sled is older
//!   than that, it went back in time.
//! - A frame counts if it is whole. One that is torn was never acknowledged; one that was damaged later is missed by the
//!   [`mark`](super::mark).

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::LogError;
use crate::backend::{MetaKey, StoredRecord};
use crate::files;

/// Size of the file. Far more than all frames between two syncs of sled.
const FILE_BYTES: usize = 1024 * 1024;
/// A frame with more is not worth being written twice: sled is synced instead.
pub(super) const FRAME_BYTES_MAX: usize = 96 * 1024;
/// Length of the body, number, checksum of these and the body.
const HEAD_BYTES: usize = 4 + 8 + CHECKSUM_BYTES;
const CHECKSUM_BYTES: usize = 16;

/// A change as it is carried out again.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Op {
    Append(StoredRecord),
    Truncate { from: u64 },
    Meta { key: MetaKey, value: Vec<u8> },
}

const TAG_APPEND: u8 = 1;
const TAG_TRUNCATE: u8 = 2;
const TAG_META: u8 = 3;

/// The file, and the changes that wait for the next frame.
#[derive(Debug)]
pub(super) struct Journal {
    file: File,
    path: PathBuf,
    /// Number of the last frame.
    last: u64,
    /// Where the next frame goes.
    position: usize,
    /// Head and body of the next frame, the head not filled in.
    frame: Vec<u8>,
}

/// A frame as it was found.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) number: u64,
    pub(super) ops: Vec<Op>,
}

impl Journal {
    /// Opens the file, or makes one if sled knows of none, which is so if `last` is zero. `last` is the number of the last
    /// frame that sled has. Gives the frames to carry out.
    pub(super) fn open(path: &Path, last: u64) -> Result<(Journal, Vec<Frame>), LogError> {
        let file = match File::options().read(true).write(true).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound && last == 0 => create(path)?,
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(damaged(path, "it is missing")),
            Err(error) => return Err(files::failed("open", path)(error).into()),
        };
        let mut bytes = vec![0; FILE_BYTES];
        match file.read_exact_at(&mut bytes, 0) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Err(damaged(path, "it is cut short")),
            Err(error) => return Err(files::failed("read", path)(error).into()),
        }
        let mut frames = Vec::new();
        let mut rest = bytes.as_slice();
        let mut expected = None;
        while let Some((number, body, after)) = next_frame(rest).filter(|(number, ..)| expected.is_none_or(|e| e == *number)) {
            let ops = decode(body).ok_or_else(|| damaged(path, "a frame of it is not understood"))?;
            frames.push(Frame { number, ops });
            expected = Some(number + 1);
            rest = after;
        }
        if frames.first().is_some_and(|first| first.number > last + 1) {
            return Err(LogError::Reverted { lost: format!("frame {} of the journal", last + 1), path: path.to_path_buf() });
        }
        frames.retain(|frame| frame.number > last);
        let last = frames.last().map_or(last, |frame| frame.number);
        // Nothing is written before sled was synced with these frames, and then from the start.
        Ok((Journal { file, path: path.to_path_buf(), last, position: FILE_BYTES, frame: Vec::new() }, frames))
    }

    /// Notes a change for the next frame.
    pub(super) fn note_append(&mut self, record: &StoredRecord) {
        self.note(TAG_APPEND, record.index, &record.bytes);
    }

    /// As [`note_append`](Self::note_append).
    pub(super) fn note_truncate(&mut self, from: u64) {
        self.note(TAG_TRUNCATE, from, &[]);
    }

    /// As [`note_append`](Self::note_append).
    pub(super) fn note_meta(&mut self, key: MetaKey, value: &[u8]) {
        self.note(TAG_META, key as u64, value);
    }

    fn note(&mut self, tag: u8, number: u64, bytes: &[u8]) {
        if self.frame.is_empty() {
            self.frame.resize(HEAD_BYTES, 0);
        }
        if self.frame.len() + bytes.len() > FRAME_BYTES_MAX {
            // It will not be written; its length alone counts.
            self.frame.resize(FRAME_BYTES_MAX + 1, 0);
            return;
        }
        self.frame.push(tag);
        self.frame.extend_from_slice(&number.to_be_bytes());
        self.frame.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
        self.frame.extend_from_slice(bytes);
    }

    /// Whether changes wait for a frame.
    pub(super) fn is_waiting(&self) -> bool {
        !self.frame.is_empty()
    }

    /// Whether the next frame is worth writing, and has room.
    pub(super) fn takes_frame(&self) -> bool {
        self.frame.len() <= FRAME_BYTES_MAX && self.position + self.frame.len() <= FILE_BYTES
    }

    /// Begins the next frame's number; sled must be given it, after the frame's changes.
    pub(super) fn next_number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Makes the changes that wait durable here, as the frame that was numbered last.
    pub(super) fn write(&mut self) -> Result<(), LogError> {
        let (head, body) = self.frame.split_at_mut(HEAD_BYTES);
        let length = u32::try_from(body.len()).map_err(|_| damaged(&self.path, "a frame is too long"))?;
        head[..4].copy_from_slice(&length.to_be_bytes());
        head[4..12].copy_from_slice(&self.last.to_be_bytes());
        let checksum = checksum(length, self.last, body);
        head[12..].copy_from_slice(&checksum);
        let written = self.file.write_all_at(&self.frame, self.position as u64).and_then(|()| self.file.sync_data());
        written.map_err(files::failed("write", &self.path))?;
        self.position += self.frame.len();
        self.forget_waiting();
        Ok(())
    }

    /// sled was synced with all frames, so they are of no more use.
    pub(super) fn start_over(&mut self) {
        self.position = 0;
    }

    /// sled was synced with the changes that wait, too.
    pub(super) fn forget_waiting(&mut self) {
        self.frame.clear();
    }
}

/// Makes the file in full length, so that writing to it never changes anything but its content.
fn create(path: &Path) -> Result<File, LogError> {
    let temporary = path.with_extension("tmp");
    let file = files::create_private(&temporary)?;
    file.write_all_at(&vec![0; FILE_BYTES], 0).and_then(|()| file.sync_all()).map_err(files::failed("write", &temporary))?;
    files::publish(&temporary, path)?;
    Ok(file)
}

/// Number and body of the frame that the bytes start with, and what follows it; `None` if there is no whole one.
fn next_frame(bytes: &[u8]) -> Option<(u64, &[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (number, rest) = rest.split_first_chunk::<8>()?;
    let (found, rest) = rest.split_first_chunk::<CHECKSUM_BYTES>()?;
    let (length, number) = (u32::from_be_bytes(*length), u64::from_be_bytes(*number));
    let (body, after) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    (checksum(length, number, body) == *found).then_some((number, body, after))
}

/// Against torn writes and decay; what is in the records is sealed.
fn checksum(length: u32, number: u64, body: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let digest = Sha256::new_with_prefix(length.to_be_bytes()).chain_update(number.to_be_bytes()).chain_update(body).finalize();
    let mut checksum = [0; CHECKSUM_BYTES];
    checksum.copy_from_slice(&digest[..CHECKSUM_BYTES]);
    checksum
}

fn decode(mut body: &[u8]) -> Option<Vec<Op>> {
    let mut ops = Vec::new();
    while let Some((tag, rest)) = body.split_first() {
        let (number, rest) = rest.split_first_chunk::<8>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let number = u64::from_be_bytes(*number);
        let (bytes, after) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        ops.push(match *tag {
            TAG_APPEND => Op::Append(StoredRecord { index: number, bytes: bytes.to_vec() }),
            TAG_TRUNCATE => Op::Truncate { from: number },
            TAG_META => Op::Meta { key: MetaKey::ALL.into_iter().find(|key| *key as u64 == number)?, value: bytes.to_vec() },
            _ => return None,
        });
        body = after;
    }
    Some(ops)
}

fn damaged(path: &Path, reason: &str) -> LogError {
    LogError::Damaged { doing: "read the journal of", path: path.to_path_buf(), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(index: u64) -> StoredRecord {
        StoredRecord { index, bytes: vec![index as u8; 1000] }
    }

    fn write(journal: &mut Journal, index: u64) {
        journal.note_append(&record(index));
        assert!(journal.takes_frame());
        journal.next_number();
        journal.write().unwrap();
    }

    fn found(path: &Path, last: u64) -> Vec<u64> {
        let (_, frames) = Journal::open(path, last).unwrap();
        frames.iter().map(|frame| frame.number).collect()
    }

    #[test]
    fn what_sled_may_lack_is_given_back_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let (mut journal, frames) = Journal::open(&path, 0).unwrap();
        assert!(frames.is_empty() && !journal.is_waiting());
        journal.start_over();
        journal.note_append(&record(7));
        journal.note_truncate(3);
        journal.note_meta(MetaKey::Vote, b"vote");
        journal.next_number();
        journal.write().unwrap();
        write(&mut journal, 8);
        let (_, frames) = Journal::open(&path, 0).unwrap();
        let vote = Op::Meta { key: MetaKey::Vote, value: b"vote".to_vec() };
        assert_eq!(frames[0].ops, [Op::Append(record(7)), Op::Truncate { from: 3 }, vote]);
        assert_eq!(found(&path, 0), [1, 2]);
        assert_eq!(found(&path, 1), [2]);
        assert!(found(&path, 5).is_empty(), "sled was synced later");
        // The frames that are written over are no part of the new ones.
        journal.start_over();
        write(&mut journal, 9);
        assert_eq!(found(&path, 2), [3]);
        let reverted = Journal::open(&path, 1);
        assert!(matches!(reverted, Err(LogError::Reverted { .. })), "frame 2 is gone for good");
    }

    #[test]
    fn a_torn_frame_ends_the_journal() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let (mut journal, _) = Journal::open(&path, 0).unwrap();
        journal.start_over();
        for index in 0..3 {
            write(&mut journal, index);
        }
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[HEAD_BYTES + 1013 + HEAD_BYTES + 500] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(found(&path, 0), [1]);
        std::fs::write(&path, &bytes[..1000]).unwrap();
        assert!(matches!(Journal::open(&path, 0), Err(LogError::Damaged { .. })));
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(Journal::open(&path, 1), Err(LogError::Damaged { .. })));
    }

    #[test]
    fn large_groups_of_changes_are_left_to_sled() {
        let dir = tempfile::tempdir().unwrap();
        let (mut journal, _) = Journal::open(&dir.path().join("journal"), 0).unwrap();
        journal.start_over();
        for index in 0..200 {
            journal.note_append(&record(index));
        }
        assert!(!journal.takes_frame());
        journal.next_number();
        journal.forget_waiting();
        journal.start_over();
        let mut filled = 0;
        journal.note_append(&record(filled));
        while journal.takes_frame() {
            journal.next_number();
            journal.write().unwrap();
            filled += 1;
            journal.note_append(&record(filled));
        }
        assert!(filled > 900);
        assert_eq!(found(&dir.path().join("journal"), 1).len() as u64, filled);
    }
}
