//! The one thread that writes.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, watch};

use crate::LogError;
use crate::backend::{LogBackend, MetaKey, PurgeStep, StoredRecord};
use crate::log::LogStatus;
use crate::seal::{Label, Sealer};

/// Writes waiting for the thread. openraft waits for most of them, so few are ever used; whoever
/// finds the queue full waits.
pub(crate) const WRITES_QUEUED_MAX: usize = 64;
/// Entry bytes joined under one sync at most: beyond it the first of them would wait too long.
const GROUP_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Called on the writer thread once the write is durable, or failed.
pub(crate) type Done = Box<dyn FnOnce(Result<(), Arc<LogError>>) + Send>;

/// One write, and who waits for it.
pub(crate) struct Request {
    pub(crate) write: Write,
    /// Whether the write must be durable before `done` is called.
    pub(crate) durable: bool,
    pub(crate) done: Option<Done>,
}

pub(crate) enum Write {
    /// Entries, encoded but not sealed: sealing is work for this thread.
    Append {
        /// Rising number of the write, published once it is stored.
        number: u64,
        records: Vec<StoredRecord>,
    },
    Truncate {
        from: u64,
    },
    Purge {
        upto: u64,
        sealed: Vec<u8>,
    },
    Meta {
        key: MetaKey,
        sealed: Vec<u8>,
    },
}

impl Write {
    fn entry_bytes(&self) -> usize {
        match self {
            Write::Append { records, .. } => records.iter().map(|record| record.bytes.len()).sum(),
            Write::Truncate { .. } | Write::Purge { .. } | Write::Meta { .. } => 0,
        }
    }
}

/// The backend as writer and readers share it; `None` once the log is closed.
///
/// Deletions take the lock exclusively. A reader that took it may rely on the bounds of the log it
/// looks up next, until it is done.
pub(crate) type SharedBackend = Arc<RwLock<Option<Box<dyn LogBackend>>>>;

/// Runs a read or an append on the backend.
pub(crate) fn with_backend<T>(
    backend: &SharedBackend,
    operation: impl FnOnce(&dyn LogBackend) -> Result<T, LogError>,
    closed: impl FnOnce() -> LogError,
) -> Result<T, LogError> {
    // A poisoned lock means that decoding an entry panicked; the backend itself is whole.
    let guard = backend.read().unwrap_or_else(PoisonError::into_inner);
    match guard.as_deref() {
        Some(backend) => operation(backend),
        None => Err(closed()),
    }
}

/// Owns the order of writes. Runs until every sender of requests is gone.
pub(crate) struct Writer {
    pub(crate) backend: SharedBackend,
    pub(crate) sealer: Sealer,
    pub(crate) requests: mpsc::Receiver<Request>,
    /// Number of the last append that is stored.
    pub(crate) written: Arc<AtomicU64>,
    pub(crate) status: watch::Sender<LogStatus>,
    /// Entries up to here are purged, durably, and not all deleted yet.
    pub(crate) purge_upto: Option<u64>,
    /// The failure after which nothing is written.
    pub(crate) failed: Option<Arc<LogError>>,
    pub(crate) path: PathBuf,
}

impl Writer {
    pub(crate) fn run(mut self) {
        while let Some(first) = self.next() {
            let group = self.join(first);
            self.perform(group);
        }
        self.close();
    }

    /// Like [`run`](Self::run), on the runtime of the caller. `latency` says how long the next write takes.
    pub(crate) async fn run_in_place(mut self, mut latency: impl FnMut() -> std::time::Duration) {
        loop {
            while let Some(upto) = self.purge_upto {
                self.purge_step(upto);
            }
            let Some(first) = self.requests.recv().await else { break };
            tokio::time::sleep(latency()).await;
            let group = self.join(first);
            self.perform(group);
        }
        self.close();
    }

    /// Waits for the next request, deleting purged entries meanwhile.
    fn next(&mut self) -> Option<Request> {
        while let Some(upto) = self.purge_upto {
            match self.requests.try_recv() {
                Ok(request) => return Some(request),
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) => self.purge_step(upto),
            }
        }
        self.requests.blocking_recv()
    }

    /// Adds the requests that wait already, as far as one sync should carry them.
    fn join(&mut self, first: Request) -> Vec<Request> {
        let mut bytes = first.write.entry_bytes();
        let mut group = vec![first];
        while bytes < GROUP_BYTES_MAX && group.len() < WRITES_QUEUED_MAX {
            match self.requests.try_recv() {
                Ok(request) => {
                    bytes += request.write.entry_bytes();
                    group.push(request);
                }
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
        }
        group
    }

    fn perform(&mut self, group: Vec<Request>) {
        let mut waiting = Vec::with_capacity(group.len());
        let mut written = None;
        let mut purged = None;
        let mut result = Ok(());
        let mut durable = false;
        for Request { write, durable: needs_sync, done } in group {
            waiting.extend(done);
            durable |= needs_sync;
            match &write {
                Write::Append { number, .. } => written = Some(*number),
                Write::Purge { upto, .. } => purged = Some(*upto),
                Write::Truncate { .. } | Write::Meta { .. } => {}
            }
            if result.is_ok() {
                result = self.store(write);
            }
        }
        if durable && result.is_ok() {
            result = self.sync();
        }
        match result {
            Ok(()) => {
                if let Some(number) = written {
                    self.written.store(number, Ordering::Release);
                }
                self.purge_upto = self.purge_upto.max(purged);
                for done in waiting {
                    done(Ok(()));
                }
            }
            Err(error) => {
                let error = self.fail(error);
                for done in waiting {
                    done(Err(Arc::clone(&error)));
                }
            }
        }
    }

    fn store(&self, write: Write) -> Result<(), LogError> {
        match write {
            Write::Append { mut records, .. } => {
                for record in &mut records {
                    record.bytes = self.sealer.seal(Label::entry(record.index), &record.bytes);
                }
                self.write(|backend| backend.append(&records))
            }
            Write::Truncate { from } => self.delete(|backend| backend.truncate(from)),
            Write::Purge { sealed, .. } => self.write(|backend| backend.put_meta(MetaKey::Purged, &sealed)),
            Write::Meta { key, sealed } => self.write(|backend| backend.put_meta(key, &sealed)),
        }
    }

    fn sync(&self) -> Result<(), LogError> {
        self.write(|backend| backend.sync())
    }

    fn purge_step(&mut self, upto: u64) {
        match self.delete(|backend| backend.purge(upto)) {
            Ok(PurgeStep::More) => {}
            Ok(PurgeStep::Done) => self.purge_upto = None,
            Err(error) => {
                self.fail(error);
            }
        }
    }

    /// Runs a write beside which reads may go on.
    fn write<T>(&self, operation: impl FnOnce(&dyn LogBackend) -> Result<T, LogError>) -> Result<T, LogError> {
        self.check()?;
        with_backend(&self.backend, operation, || self.stopped())
    }

    /// Runs a deletion, beside which nothing may be read.
    fn delete<T>(&self, operation: impl FnOnce(&dyn LogBackend) -> Result<T, LogError>) -> Result<T, LogError> {
        self.check()?;
        let guard = self.backend.write().unwrap_or_else(PoisonError::into_inner);
        match guard.as_deref() {
            Some(backend) => operation(backend),
            None => Err(self.stopped()),
        }
    }

    /// After a failed write or sync the disk may hold anything since the last sync that worked, and
    /// the kernel reports a lost page only once. So nothing is tried again.
    fn check(&self) -> Result<(), LogError> {
        match &self.failed {
            None => Ok(()),
            Some(_) => Err(self.stopped()),
        }
    }

    fn stopped(&self) -> LogError {
        LogError::Stopped { path: self.path.clone(), source: self.failed.clone() }
    }

    fn fail(&mut self, error: LogError) -> Arc<LogError> {
        let error = Arc::new(error);
        if self.failed.is_none() {
            tracing::error!(
                path = %self.path.display(),
                error = &*error as &(dyn std::error::Error + 'static),
                "log stops writing"
            );
            self.failed = Some(Arc::clone(&error));
            self.purge_upto = None;
            self.status.send_replace(LogStatus::Failed(Arc::clone(&error)));
        }
        error
    }

    /// Stores what did not need a sync of its own, and gives the database back.
    fn close(mut self) {
        if self.failed.is_none()
            && let Err(error) = self.sync()
        {
            self.fail(error);
        }
        let backend = self.backend.write().unwrap_or_else(PoisonError::into_inner).take();
        drop(backend);
        self.status.send_replace(LogStatus::Closed(self.failed));
    }
}

#[cfg(test)]
mod tests;
