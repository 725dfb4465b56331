//! Opening a log: everything is read and checked once, before Raft may believe any of it.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, RwLock};

use openraft::{LogId, RaftTypeConfig};
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, watch};

use super::{LOG_DIR, LogReader, LogStatus, RaftLog, Shared, hole, kind_of, open_entry};
use crate::backend::{LogBackend, MetaKey};
use crate::seal::{KeyId, Label, Sealer};
use crate::view::{LogView, TailEntry};
use crate::writer::{WRITES_QUEUED_MAX, Writer};
use crate::{Keys, LogError, SledBackend, codec, wipe};

/// How entries and records are laid out in the backend.
const LAYOUT: u8 = 1;
/// Bytes read at once while checking the log.
const CHECK_BYTES: usize = 1024 * 1024;

impl<C: RaftTypeConfig<NodeId = u64>> RaftLog<C> {
    /// Opens the log in the state directory `dir`, or makes one, and checks every entry of it.
    /// `keys` must be those of the same directory.
    ///
    /// Must be called within a tokio runtime. Dropping the future leaves the database closed, soon.
    ///
    /// # Errors
    /// [`LogError::needs_rebuild`] tells whether only wiping helps.
    pub async fn open(dir: &Path, keys: &Keys) -> Result<RaftLog<C>, LogError> {
        let dir = dir.to_path_buf();
        let path = dir.join(LOG_DIR);
        Self::open_blocking(path, keys, move |path| {
            wipe::sweep(&dir, LOG_DIR)?;
            Ok(Box::new(SledBackend::open(path)?))
        })
        .await
    }

    /// Like [`open`](Self::open), on a backend of the caller's choice.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub async fn open_with(backend: Box<dyn LogBackend>, keys: &Keys) -> Result<RaftLog<C>, LogError> {
        let path = backend.path().to_path_buf();
        Self::open_blocking(path, keys, move |_| Ok(backend)).await
    }

    /// Like [`open_with`](Self::open_with), without threads: the caller's runtime writes, and reads block it. For simulations,
    /// where everything has to happen in the same order again. `latency` says how long the next write takes; in that time
    /// what was handed over is not in the backend yet.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn open_in_place(
        backend: Box<dyn LogBackend>,
        keys: &Keys,
        latency: impl FnMut() -> std::time::Duration + Send + 'static,
    ) -> Result<RaftLog<C>, LogError> {
        let (log, writer) = prepare(backend, keys.sealer(), true)?;
        tokio::spawn(writer.run_in_place(latency));
        Ok(log)
    }

    async fn open_blocking(
        path: PathBuf,
        keys: &Keys,
        backend: impl FnOnce(&Path) -> Result<Box<dyn LogBackend>, LogError> + Send + 'static,
    ) -> Result<RaftLog<C>, LogError> {
        let sealer = keys.sealer();
        let opening = path.clone();
        let opened = tokio::task::spawn_blocking(move || start(backend(&opening)?, sealer)).await;
        opened.unwrap_or_else(|failed| match failed.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is shutting down.
            Err(_) => Err(LogError::Stopped { path, source: None }),
        })
    }
}

/// Checks the log and starts its writer.
fn start<C: RaftTypeConfig<NodeId = u64>>(backend: Box<dyn LogBackend>, sealer: Sealer) -> Result<RaftLog<C>, LogError> {
    let path = backend.path().to_path_buf();
    let (log, writer) = prepare(backend, sealer, false)?;
    let started = std::thread::Builder::new().name("raftlog-writer".to_owned()).spawn(move || writer.run());
    started.map_err(|source| LogError::File { doing: "start the writer thread of", path, source })?;
    Ok(log)
}

/// Checks the log.
fn prepare<C: RaftTypeConfig<NodeId = u64>>(
    backend: Box<dyn LogBackend>,
    sealer: Sealer,
    in_place: bool,
) -> Result<(RaftLog<C>, Writer), LogError> {
    let path = backend.path().to_path_buf();
    let stored = Stored { backend: backend.as_ref(), sealer: &sealer, path: &path };
    stored.check_layout()?;
    let vote = stored.meta(MetaKey::Vote)?;
    let purged: Option<LogId<u64>> = stored.meta(MetaKey::Purged)?;
    let committed = stored.meta(MetaKey::Committed)?;
    let view = stored.check_entries::<C>(purged)?;

    let (requests, requests_received) = mpsc::channel(WRITES_QUEUED_MAX);
    let (status_sent, status) = watch::channel(LogStatus::Open);
    let backend = Arc::new(RwLock::new(Some(backend)));
    let written = Arc::new(AtomicU64::new(0));
    let writer = Writer {
        backend: Arc::clone(&backend),
        sealer: sealer.clone(),
        requests: requests_received,
        written: Arc::clone(&written),
        status: status_sent,
        // A crash may have come between a purge and its deletions.
        purge_upto: purged.map(|purged| purged.index),
        failed: None,
        path: path.clone(),
    };
    let log = RaftLog {
        reader: LogReader { shared: Arc::new(Shared { backend, sealer, path, view: Mutex::new(view), in_place }) },
        requests,
        status,
        appends: 0,
        written,
        vote,
        committed,
    };
    Ok((log, writer))
}

/// A log as it is found.
struct Stored<'a> {
    backend: &'a dyn LogBackend,
    sealer: &'a Sealer,
    path: &'a Path,
}

impl Stored<'_> {
    /// Compares layout and key with ours, or writes ours to an empty database.
    fn check_layout(&self) -> Result<(), LogError> {
        let path = || self.path.to_path_buf();
        let Some(found) = self.backend.get_meta(MetaKey::Layout)? else {
            // Written first and synced before anything else, so without it there is nothing.
            if self.backend.read(0..u64::MAX, 0)?.records.is_empty() {
                let mut layout = vec![LAYOUT];
                layout.extend_from_slice(self.sealer.key_id());
                self.backend.put_meta(MetaKey::Layout, &layout)?;
                return self.backend.sync();
            }
            return Err(self.corrupt(MetaKey::Layout));
        };
        match found.split_first() {
            Some((&LAYOUT, key_id)) if key_id == self.sealer.key_id() => Ok(()),
            Some((&LAYOUT, key_id)) if key_id.len() == size_of::<KeyId>() => Err(LogError::WrongKey { path: path() }),
            Some((&LAYOUT, _)) | None => Err(self.corrupt(MetaKey::Layout)),
            Some((&found, _)) => Err(LogError::Layout { found, known: LAYOUT, path: path() }),
        }
    }

    fn meta<T: DeserializeOwned>(&self, key: MetaKey) -> Result<Option<T>, LogError> {
        let Some(sealed) = self.backend.get_meta(key)? else {
            return Ok(None);
        };
        let plain = self.sealer.open(Label::single(kind_of(key)), &sealed).map_err(|_| self.corrupt(key))?;
        let value = codec::decode(&plain).map_err(|source| LogError::DecodeMeta { record: key, path: self.path.to_path_buf(), source })?;
        Ok(Some(value))
    }

    /// Reads all entries after the purged ones: they must be without a gap and authentic.
    fn check_entries<C: RaftTypeConfig<NodeId = u64>>(&self, purged: Option<LogId<u64>>) -> Result<LogView<C::Entry>, LogError> {
        let mut view = LogView::new(purged);
        let mut expected = purged.map_or(0, |purged| purged.index + 1);
        let mut more = true;
        while more {
            let found = self.backend.read(expected..u64::MAX, CHECK_BYTES)?;
            more = found.more;
            for record in &found.records {
                if record.index != expected {
                    return Err(hole(expected, Some(record.index), self.path));
                }
                expected += 1;
                let stored =
                    TailEntry { entry: open_entry::<C>(self.sealer, record, self.path)?, encoded_bytes: record.bytes.len(), write: 0 };
                view.append([stored], 0);
            }
        }
        // Chunks of an entry that a crash kept from being finished, which nobody was told of.
        self.backend.truncate(expected)?;
        self.backend.sync()?;
        Ok(view)
    }

    fn corrupt(&self, record: MetaKey) -> LogError {
        LogError::CorruptMeta { record, path: self.path.to_path_buf() }
    }
}
