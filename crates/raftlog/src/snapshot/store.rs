//! The folder of snapshots.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::ErrorKind;
use std::marker::PhantomData;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use openraft::{RaftTypeConfig, SnapshotMeta};
use tokio::sync::mpsc;

use super::reader::Opened;
use super::sink::SnapshotSink;
use super::{CHUNKS_QUEUED_MAX, SNAPSHOT_DIR, SnapshotError, SnapshotReader, SnapshotWriter};
use crate::files;
use crate::seal::Sealer;
use crate::{Keys, wipe};

const SUFFIX: &str = "snap";
const TEMPORARY_SUFFIX: &str = "tmp";

/// The snapshots of one member; cheap to clone.
///
/// The newest is the one with the highest log index, and of those the one committed last: a snapshot
/// built slowly here must not hide a later one that the leader sent meanwhile.
#[derive(Debug)]
pub struct SnapshotStore<C> {
    shared: Arc<Shared>,
    config: PhantomData<fn() -> C>,
}

impl<C> Clone for SnapshotStore<C> {
    fn clone(&self) -> Self {
        SnapshotStore { shared: Arc::clone(&self.shared), config: PhantomData }
    }
}

#[derive(Debug)]
struct Shared {
    dir: PathBuf,
    sealer: Sealer,
    keep: NonZeroUsize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Number of the next file, rising over the life of the folder.
    next_number: u64,
    /// Files that were written by this process or read to the end once.
    verified: BTreeSet<PathBuf>,
}

/// A finished snapshot; cheap to clone. Stays readable when the store drops it for newer ones.
#[derive(Debug, Clone)]
pub struct StoredSnapshot<C: RaftTypeConfig<NodeId = u64>> {
    meta: SnapshotMeta<u64, C::Node>,
    opened: Opened,
}

impl<C: RaftTypeConfig<NodeId = u64>> SnapshotStore<C> {
    /// Opens the folder in the state directory `dir`, or makes it, and removes what earlier runs left
    /// unfinished. `keep` finished snapshots are kept. Blocks on the disk.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn open(dir: &Path, keys: &Keys, keep: NonZeroUsize) -> Result<Self, SnapshotError> {
        wipe::sweep(dir, SNAPSHOT_DIR)?;
        let dir = dir.join(SNAPSHOT_DIR);
        files::ensure_dir(&dir)?;
        for path in list(&dir, TEMPORARY_SUFFIX)? {
            std::fs::remove_file(&path).map_err(files::failed("remove", &path))?;
        }
        let numbers = list(&dir, SUFFIX)?;
        let last_number = numbers.iter().filter_map(|path| number_of(path)).max();
        Ok(SnapshotStore {
            shared: Arc::new(Shared {
                dir,
                sealer: keys.sealer(),
                keep,
                state: Mutex::new(State { next_number: last_number.map_or(0, |number| number + 1), verified: BTreeSet::new() }),
            }),
            config: PhantomData,
        })
    }

    /// Starts a snapshot that is written by the caller's thread. Several may be written at once.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn create(&self, meta: SnapshotMeta<u64, C::Node>) -> Result<SnapshotWriter<C>, SnapshotError> {
        let number = self.take_number();
        let path = self.shared.dir.join(format!("{number:010}.{TEMPORARY_SUFFIX}"));
        SnapshotWriter::create(self.clone(), meta, path)
    }

    /// Starts a snapshot that is written by a background thread from chunks pushed to it.
    ///
    /// Must be called within a tokio runtime.
    pub fn receive(&self, meta: SnapshotMeta<u64, C::Node>) -> SnapshotSink<C> {
        SnapshotSink::start(self.clone(), meta)
    }

    /// Finds the newest snapshot, reading it to the end unless that was done before. `log` is the range
    /// of entries in the log. `None` if there is none at all. Blocks on the disk.
    ///
    /// A damaged one is passed over, and removed, only if nothing is lost by it: the log holds every
    /// entry from the end of the next older one (or from its own beginning) to the end of the damaged
    /// one. Otherwise the member would forget what it acknowledged.
    ///
    /// # Errors
    /// That of the newest snapshot if it is damaged and the log does not make up for it.
    pub fn newest(&self, log: &Range<u64>) -> Result<Option<StoredSnapshot<C>>, SnapshotError> {
        let mut damaged: Vec<PathBuf> = Vec::new();
        let mut first_error = None;
        let mut whole = None;
        for path in self.newest_first()? {
            match self.open_verified(&path) {
                Ok(stored) => {
                    whole = Some(stored);
                    break;
                }
                // Dropped for newer ones since the folder was listed.
                Err(SnapshotError::File { source, .. }) if source.kind() == ErrorKind::NotFound => {}
                Err(error) if error.needs_rebuild() => {
                    first_error.get_or_insert(error);
                    damaged.push(path);
                }
                Err(error) => return Err(error),
            }
        }
        let Some(error) = first_error else { return Ok(whole) };
        let begin = whole.as_ref().map_or(0, |stored| stored.meta.last_log_id.map_or(0, |last| last.index + 1));
        // A name that says nothing could mean any index.
        let end = damaged.iter().map(|path| next_index_of(path).unwrap_or(u64::MAX)).max().unwrap_or(u64::MAX);
        if log.start > begin || log.end < end {
            return Err(error);
        }
        for path in &damaged {
            tracing::warn!(
                path = %path.display(),
                error = &error as &(dyn std::error::Error + 'static),
                "removed a damaged snapshot: the log holds everything that is in it"
            );
            std::fs::remove_file(path).map_err(files::failed("remove", path))?;
        }
        files::sync_dir(&self.shared.dir)?;
        Ok(whole)
    }

    /// Whether the newest snapshot is this one, whole. Blocks on the disk.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn holds(&self, meta: &SnapshotMeta<u64, C::Node>) -> Result<bool, SnapshotError>
    where
        C::Node: PartialEq,
    {
        let Some(path) = self.newest_first()?.into_iter().next() else { return Ok(false) };
        if !self.state().verified.contains(&path) {
            return Ok(false);
        }
        match self.open_file(&path) {
            Ok(stored) => Ok(stored.meta == *meta),
            Err(error) if error.needs_rebuild() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Bytes of the newest snapshot's file; zero if there is none. Blocks on the disk.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn newest_bytes(&self) -> Result<u64, SnapshotError> {
        match self.newest_first()?.first() {
            None => Ok(0),
            Some(path) => match std::fs::metadata(path) {
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(0),
                found => Ok(found.map_err(files::failed("read the size of", path))?.len()),
            },
        }
    }

    pub(super) fn sealer(&self) -> &Sealer {
        &self.shared.sealer
    }

    pub(super) fn dir(&self) -> &Path {
        &self.shared.dir
    }

    /// Gives a finished and synced file its final name, and drops the oldest ones.
    pub(super) fn publish(&self, temporary: &Path, meta: &SnapshotMeta<u64, C::Node>) -> Result<StoredSnapshot<C>, SnapshotError> {
        // The index after the last one it covers, so that an empty snapshot sorts first.
        let next_index = meta.last_log_id.map_or(0, |last| last.index + 1);
        let number = self.take_number();
        let name = format!("{next_index:020}-{number:010}.{SUFFIX}");
        let path = self.shared.dir.join(name);
        files::publish(temporary, &path)?;
        let stored = self.open_file(&path)?;
        self.state().verified.insert(path);
        self.drop_oldest()?;
        Ok(stored)
    }

    fn open_verified(&self, path: &Path) -> Result<StoredSnapshot<C>, SnapshotError> {
        let stored = self.open_file(path)?;
        if !self.state().verified.contains(path) {
            let mut reader = stored.reader();
            while reader.next_chunk()?.is_some() {}
            self.state().verified.insert(path.to_path_buf());
        }
        Ok(stored)
    }

    fn open_file(&self, path: &Path) -> Result<StoredSnapshot<C>, SnapshotError> {
        let (opened, meta) = Opened::open(path, &self.shared.sealer)?;
        Ok(StoredSnapshot { meta, opened })
    }

    fn drop_oldest(&self) -> Result<(), SnapshotError> {
        let dropped = self.beyond_kept()?;
        for path in &dropped {
            match std::fs::remove_file(path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(files::failed("remove", path)(error).into());
                }
                _ => self.state().verified.remove(path),
            };
        }
        if !dropped.is_empty() {
            files::sync_dir(&self.shared.dir)?;
        }
        Ok(())
    }

    fn beyond_kept(&self) -> Result<Vec<PathBuf>, SnapshotError> {
        let paths = self.newest_first()?;
        Ok(paths.into_iter().skip(self.shared.keep.get()).collect())
    }

    fn newest_first(&self) -> Result<Vec<PathBuf>, SnapshotError> {
        let mut paths = list(&self.shared.dir, SUFFIX)?;
        paths.sort_unstable_by(|a, b| b.cmp(a));
        Ok(paths)
    }

    fn take_number(&self) -> u64 {
        let mut state = self.state();
        let number = state.next_number;
        state.next_number += 1;
        number
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while holding it.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C: RaftTypeConfig<NodeId = u64>> StoredSnapshot<C> {
    /// What openraft knows about it.
    pub fn meta(&self) -> &SnapshotMeta<u64, C::Node> {
        &self.meta
    }

    /// Size of the file in bytes; its content is a little less.
    pub fn file_bytes(&self) -> u64 {
        self.opened.size()
    }

    /// The file, for messages.
    pub fn path(&self) -> &Path {
        &self.opened.path
    }

    /// Reads the content from its start, on the caller's thread.
    pub fn reader(&self) -> SnapshotReader {
        self.opened.reader()
    }

    /// Reads the content on a background thread, in chunks of up to 1 MiB, ahead by a few of them.
    /// Ends after the last chunk or with an error. Dropping the receiver stops the thread.
    ///
    /// Must be called within a tokio runtime.
    pub fn stream(&self) -> mpsc::Receiver<Result<Bytes, SnapshotError>> {
        let (chunks, received) = mpsc::channel(CHUNKS_QUEUED_MAX);
        let mut reader = self.reader();
        tokio::task::spawn_blocking(move || {
            while let Some(chunk) = reader.next_chunk().transpose() {
                let failed = chunk.is_err();
                if chunks.blocking_send(chunk.map(Bytes::from)).is_err() || failed {
                    break;
                }
            }
        });
        received
    }
}

/// Files of a suffix.
fn list(dir: &Path, suffix: &str) -> Result<Vec<PathBuf>, SnapshotError> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(files::failed("list", dir))? {
        let path = entry.map_err(files::failed("list", dir))?.path();
        if path.extension() == Some(OsStr::new(suffix)) {
            paths.push(path);
        }
    }
    Ok(paths)
}

/// The number in a file's name, after the log index.
fn number_of(path: &Path) -> Option<u64> {
    let (_, number) = path.file_stem()?.to_str()?.split_once('-')?;
    number.parse().ok()
}

/// The index after the last one a snapshot covers, by its file's name.
fn next_index_of(path: &Path) -> Option<u64> {
    let (index, _) = path.file_stem()?.to_str()?.split_once('-')?;
    index.parse().ok()
}
