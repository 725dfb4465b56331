//! The log and the vote as openraft wants them.

mod open;
mod storage;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openraft::{LogId, RaftTypeConfig, Vote};
use tokio::sync::{mpsc, oneshot, watch};

use crate::backend::{Budget, MetaKey, StoredRecord, StoredRecords};
use crate::codec;
use crate::seal::{Kind, Label, Sealer};
use crate::view::LogView;
use crate::writer::{Request, SharedBackend, with_backend};
use crate::{LogError, LogUsage};

/// Folder of the database within the state directory.
pub(crate) const LOG_DIR: &str = "log";

/// Largest entry that is taken, encoded. Far above what the API lets through, and small enough to be
/// held in memory a few times over on the way to all members.
pub const ENTRY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Entry bytes that go to a follower in one message at most, unless one entry is larger. openraft
/// gives such a message one heartbeat interval to be answered.
const REPLICATION_BYTES_MAX: usize = 1024 * 1024;

/// The condition of a log.
#[derive(Debug, Clone)]
pub enum LogStatus {
    /// It reads and writes.
    Open,
    /// A write failed; nothing is written any more, so the member must stop.
    Failed(Arc<LogError>),
    /// The database is closed and may be opened again or wiped. With the failure, if there was one.
    Closed(Option<Arc<LogError>>),
}

/// The sealed log of one Raft member; see the crate's documentation for what it guarantees.
///
/// There is one per open database. Dropping it lets what was handed over be written and then closes
/// the database, which [`status`](Self::status) tells.
pub struct RaftLog<C: RaftTypeConfig<NodeId = u64>> {
    reader: LogReader<C>,
    requests: mpsc::Sender<Request>,
    status: watch::Receiver<LogStatus>,
    /// Number of the last append handed to the writer.
    appends: u64,
    written: Arc<AtomicU64>,
    vote: Option<Vote<u64>>,
    committed: Option<LogId<u64>>,
}

/// Reads a log; cheap to clone. Keeps working until the log is closed.
pub struct LogReader<C: RaftTypeConfig<NodeId = u64>> {
    shared: Arc<Shared<C>>,
}

impl<C: RaftTypeConfig<NodeId = u64>> Clone for LogReader<C> {
    fn clone(&self) -> Self {
        LogReader { shared: Arc::clone(&self.shared) }
    }
}

/// What the log and its readers share.
struct Shared<C: RaftTypeConfig<NodeId = u64>> {
    backend: SharedBackend,
    sealer: Sealer,
    path: PathBuf,
    view: Mutex<LogView<C::Entry>>,
    /// Reads block the caller instead of a thread of their own.
    in_place: bool,
}

impl<C: RaftTypeConfig<NodeId = u64>> RaftLog<C> {
    /// The condition of the log, for whoever must stop the member when the log fails, or wait for
    /// the database to be closed before opening it again.
    pub fn status(&self) -> watch::Receiver<LogStatus> {
        self.status.clone()
    }

    /// The last purged log id. If it is beyond the newest snapshot, the member cannot be restored
    /// from its own disk and must be rebuilt from its peers.
    pub fn last_purged(&self) -> Option<LogId<u64>> {
        self.reader.shared.view().purged()
    }

    /// Indexes of the entries in the log, those handed over but not written included.
    pub fn held(&self) -> Range<u64> {
        let view = self.reader.shared.view();
        let start = view.purged().map_or(0, |purged| purged.index + 1);
        start..view.next_index().unwrap_or(start)
    }

    /// Tells how much the log holds, also after the log was handed to consensus.
    pub fn usage(&self) -> LogUsage {
        self.reader.shared.view().usage().clone()
    }

    /// Waits for room in the writer's queue. What is sent through the permit cannot fail, so bounds
    /// in memory and what is handed over change together even if the caller is dropped.
    async fn reserve(&self) -> Result<mpsc::Permit<'_, Request>, LogError> {
        let permit = self.requests.reserve().await;
        permit.map_err(|_| self.reader.shared.stopped(&self.status))
    }

    /// Waits until a write that was handed over is durable.
    async fn wait(&self, outcome: oneshot::Receiver<Result<(), Arc<LogError>>>) -> Result<(), LogError> {
        match outcome.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(LogError::Stopped { path: self.reader.shared.path.clone(), source: Some(error) }),
            Err(_) => Err(self.reader.shared.stopped(&self.status)),
        }
    }

    fn seal_meta<T: serde::Serialize>(&self, key: MetaKey, value: &T) -> Vec<u8> {
        let plain = codec::encode(value).expect("votes and log ids are plain numbers");
        self.reader.shared.sealer.seal(Label::single(kind_of(key)), &plain)
    }
}

impl<C: RaftTypeConfig<NodeId = u64>> LogReader<C>
where
    C::Entry: Clone,
{
    /// Reads the entries of `range` that are in the log, stopping before one that would exceed
    /// `bytes_max` encoded bytes; at least one entry if there is any.
    async fn read(&self, range: Range<u64>, bytes_max: usize) -> Result<Vec<C::Entry>, LogError> {
        {
            let view = self.shared.view();
            let wanted = view.clamp(&range);
            if wanted.is_empty() {
                return Ok(Vec::new());
            }
            if wanted.start >= view.tail_start() {
                let copied = view.copy(wanted, bytes_max).into_iter();
                return Ok(copied.map(|(_, entry)| entry).collect());
            }
        }
        if self.shared.in_place {
            return self.shared.read(&range, bytes_max);
        }
        let shared = Arc::clone(&self.shared);
        match tokio::task::spawn_blocking(move || shared.read(&range, bytes_max)).await {
            Ok(result) => result,
            Err(failed) if failed.is_panic() => std::panic::resume_unwind(failed.into_panic()),
            // The runtime is shutting down.
            Err(_) => Err(LogError::Stopped { path: self.shared.path.clone(), source: None }),
        }
    }
}

impl<C: RaftTypeConfig<NodeId = u64>> Shared<C> {
    fn view(&self) -> MutexGuard<'_, LogView<C::Entry>> {
        // Poisoned only if an entry's own `clone` panicked, which leaves the view as it was.
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stopped(&self, status: &watch::Receiver<LogStatus>) -> LogError {
        let source = match &*status.borrow() {
            LogStatus::Open => None,
            LogStatus::Failed(error) => Some(Arc::clone(error)),
            LogStatus::Closed(error) => error.clone(),
        };
        LogError::Stopped { path: self.path.clone(), source }
    }
}

impl<C: RaftTypeConfig<NodeId = u64>> Shared<C>
where
    C::Entry: Clone,
{
    /// Reads from the backend what is not in memory, and the rest from memory. Blocks on the disk.
    fn read(&self, range: &Range<u64>, bytes_max: usize) -> Result<Vec<C::Entry>, LogError> {
        let closed = || LogError::Stopped { path: self.path.clone(), source: None };
        with_backend(
            &self.backend,
            |backend| {
                // Within the backend's lock, so that nothing in these bounds is deleted meanwhile.
                let (stored, recent) = {
                    let view = self.view();
                    let wanted = view.clamp(range);
                    let split = view.tail_start().clamp(wanted.start, wanted.end.max(wanted.start));
                    let recent = if split < wanted.end { view.copy(split..wanted.end, bytes_max) } else { Vec::new() };
                    (wanted.start..split, recent)
                };
                let StoredRecords { records, more } = match stored.is_empty() {
                    true => StoredRecords::default(),
                    false => backend.read(stored.clone(), bytes_max)?,
                };
                let mut budget = Budget::new(bytes_max);
                let mut expected = stored.start;
                let mut entries = Vec::with_capacity(records.len() + recent.len());
                for record in &records {
                    if record.index != expected {
                        return Err(hole(expected, Some(record.index), &self.path));
                    }
                    expected += 1;
                    budget.admits(record.bytes.len());
                    entries.push(open_entry::<C>(&self.sealer, record, &self.path)?);
                }
                if more {
                    return Ok(entries);
                }
                if expected < stored.end {
                    return Err(hole(expected, None, &self.path));
                }
                let fitting = recent.into_iter().take_while(|(bytes, _)| budget.admits(*bytes));
                entries.extend(fitting.map(|(_, entry)| entry));
                Ok(entries)
            },
            closed,
        )
    }
}

/// Opens and decodes a stored entry.
fn open_entry<C: RaftTypeConfig<NodeId = u64>>(sealer: &Sealer, record: &StoredRecord, path: &Path) -> Result<C::Entry, LogError> {
    use openraft::RaftLogId;

    let index = record.index;
    let corrupt = || LogError::Corrupt { index, path: path.to_path_buf() };
    let plain = sealer.open(Label::entry(index), &record.bytes).map_err(|_| corrupt())?;
    let entry: C::Entry = codec::decode(&plain).map_err(|source| LogError::Decode { index, path: path.to_path_buf(), source })?;
    if entry.get_log_id().index == index { Ok(entry) } else { Err(corrupt()) }
}

fn hole(expected: u64, found: Option<u64>, path: &Path) -> LogError {
    LogError::Hole { expected, found, path: path.to_path_buf() }
}

/// The kind under which a single record is sealed.
fn kind_of(key: MetaKey) -> Kind {
    match key {
        MetaKey::Vote => Kind::Vote,
        MetaKey::Purged => Kind::Purged,
        MetaKey::Committed => Kind::Committed,
        MetaKey::Layout => unreachable!("the layout is read before there is a key, so not sealed"),
    }
}
