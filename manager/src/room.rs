//! Room on the disk of the state folder.
//!
//! A log that finds no room in the middle of a write must stop: what reached the disk is not known then. So writes are refused
//! while there is still some room left, for what is under way, for votes and for the database's own needs.

use nix::sys::statvfs::statvfs;
use std::{path::Path, sync::Arc, time::Duration};

/// Bytes kept free at most: a few entries of the largest size, and the segments that the database takes for them.
const RESERVE_BYTES_MAX: u64 = 64 << 20;
/// The part of a small disk that is kept free.
const RESERVE_PART: u64 = 8;
/// A log is not opened with less than this part of the reserve: recovery writes a little.
const OPEN_PART: u64 = 4;
/// Between two looks for room. Nothing tells when files are removed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// There is too little room for a write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no space left on the disk of the manager's state folder {dir}: {free} bytes are free, {reserve} are kept free")]
pub struct NoRoom {
    /// The folder.
    pub dir: String,
    /// Bytes that are free.
    pub free: u64,
    /// Bytes that must stay free.
    pub reserve: u64,
}

/// Watches the disk of one folder. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Room {
    dir: Arc<Path>,
}

impl Room {
    /// Of this folder, which must exist.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.into() }
    }

    /// Whether `bytes` more can be written. A question to the kernel, answered from memory in about a microsecond.
    ///
    /// # Errors
    /// [`NoRoom`]
    pub fn check(&self, bytes: u64) -> Result<(), NoRoom> {
        self.check_beside(bytes, 1)
    }

    fn check_beside(&self, bytes: u64, part: u64) -> Result<(), NoRoom> {
        let disk = match statvfs(&*self.dir) {
            Ok(disk) => disk,
            Err(error) => {
                // Whatever is wrong with the folder, the write itself tells it better.
                tracing::debug!(%error, dir = %self.dir.display(), "could not ask for the room on the disk");
                return Ok(());
            }
        };
        let unit = disk.fragment_size();
        let (free, total) = (disk.blocks_available() * unit, disk.blocks() * unit);
        let reserve = RESERVE_BYTES_MAX.min(total / RESERVE_PART) / part;
        if free >= reserve.saturating_add(bytes) { Ok(()) } else { Err(NoRoom { dir: self.dir.display().to_string(), free, reserve }) }
    }

    /// Waits until `bytes` more can be written.
    pub async fn until_enough(&self, bytes: u64) {
        while self.check(bytes).is_err() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until a log can be opened. Starting on a disk without room would end at once, again and again.
    pub async fn until_open(&self) {
        let mut is_told = false;
        while let Err(error) = self.check_beside(0, OPEN_PART) {
            if !is_told {
                tracing::error!(%error, "this manager starts when there is room");
                is_told = true;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// Whether an error, or what caused it, is a disk without room.
#[must_use]
pub fn is_full(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            if matches!(io.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded) {
                return true;
            }
            // An error of one's own in an I/O error is not its source.
            if let Some(inner) = io.get_ref()
                && is_full(inner)
            {
                return true;
            }
        }
        cause = error.source();
    }
    false
}

/// A writer that stops before it takes the room that the log needs.
pub struct WithinRoom<'a, W> {
    inner: &'a mut W,
    room: &'a Room,
    unchecked: usize,
}

/// Bytes written between two looks.
const UNCHECKED_BYTES_MAX: usize = 1 << 20;

impl<'a, W: std::io::Write> WithinRoom<'a, W> {
    /// Writes to `inner`.
    pub fn new(inner: &'a mut W, room: &'a Room) -> Self {
        Self { inner, room, unchecked: UNCHECKED_BYTES_MAX }
    }
}

impl<W: std::io::Write> std::io::Write for WithinRoom<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.unchecked >= UNCHECKED_BYTES_MAX {
            self.room.check(UNCHECKED_BYTES_MAX as u64).map_err(|error| std::io::Error::new(std::io::ErrorKind::StorageFull, error))?;
            self.unchecked = 0;
        }
        let count = self.inner.write(bytes)?;
        self.unchecked += count;
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Error, ErrorKind, Write};

    #[test]
    fn a_full_disk_is_known_however_deep_it_is_buried() {
        let full = || Error::new(ErrorKind::StorageFull, "x");
        assert!(is_full(&full()));
        assert!(is_full(&Error::other(Error::other(full()))));
        assert!(is_full(&crate::raft::OpenError::Log(swarm_raftlog::LogError::File {
            doing: "sync",
            path: "/x".into(),
            source: Error::from_raw_os_error(28),
        })));
        assert!(!is_full(&Error::other("no space left")));
    }

    #[test]
    fn what_does_not_fit_is_refused_and_what_fits_is_written() {
        let dir = tempfile::tempdir().expect("a folder");
        let room = Room::new(dir.path());
        assert_eq!(room.check(0), Ok(()), "the test itself needs some room");
        let error = room.check(u64::MAX / 2).expect_err("nobody has as much");
        assert!(error.to_string().starts_with("no space left on the disk of the manager's state folder"));
        let mut out = Vec::new();
        WithinRoom::new(&mut out, &room).write_all(&[7; 3 << 20]).expect("there is room");
        assert_eq!(out.len(), 3 << 20);
    }
}
