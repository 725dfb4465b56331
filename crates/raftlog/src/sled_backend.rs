//! The log on sled 0.34, with guards around what sled does not promise.
//!
//! - `flush` only starts write-back on Linux (sled issue 1452): [`LogBackend::sync`] adds an
//!   `fdatasync` of the database file.
//! - A page larger than a quarter of a segment goes to a file of its own, without any sync. A leaf
//!   holds up to about 20 values before it is split, so values are [`chunks`] of 16 KiB; the
//!   folder of such files is synced too, should one ever appear.
//! - A segment whose pages were rewritten elsewhere is used again once a later segment is full, which
//!   sled believes durable by then. So that it is, no more than [`UNSYNCED_BYTES_MAX`] of values
//!   change between two syncs: with everything sled writes besides, that stays below one segment.
//! - A small change becomes durable in a [`journal`] of fixed size, at a fraction of what a sync of sled's growing file
//!   costs; sled is synced every few hundred kilobytes.
//! - Damaged pages make sled panic. Panics are caught and end the use of this database.
//! - Damage may also make sled open as it was earlier, without a word. A [`mark`] beside the database
//!   says what must be there at least.

mod chunks;
mod journal;
mod mark;

use std::any::Any;
use std::fs::File;
use std::io::ErrorKind;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::LogError;
use crate::backend::{Budget, LogBackend, MetaKey, PurgeStep, StoredRecord, StoredRecords};
use crate::files;
use chunks::{ReadStep, RecordReader, key};
use journal::{Journal, Op};
use mark::{Mark, MarkFile, fingerprint};

/// sled's unit of allocation and reuse. It cannot change for an existing database.
const SEGMENT_BYTES: usize = 4 * 1024 * 1024;
/// Value bytes that may change between two syncs of sled itself.
const UNSYNCED_BYTES_MAX: usize = 256 * 1024;
/// What a change costs in sled's log besides its value: key, page header, its share of an index.
const CHANGE_OVERHEAD_BYTES: usize = 64;
/// sled's page cache. Its default is 1 GiB; recent entries are cached above it anyway.
const PAGE_CACHE_BYTES: u64 = 16 * 1024 * 1024;
/// How long to wait for a database that is in use. sled's own threads, and a child process between
/// `fork` and `exec`, hold the lock for some milliseconds after it was closed.
const LOCK_WAIT: Duration = Duration::from_secs(1);
const LOCK_RETRY: Duration = Duration::from_millis(10);
/// Room without which the database is not opened. sled writes its recovery snapshot on every start, and one that found no
/// room in the middle of that cannot be opened any more (measured: once in five rounds).
const OPEN_BYTES: usize = 4 * 1024 * 1024;
/// Keys deleted by one step of purging: 2 to 4 ms.
const PURGE_KEYS_PER_STEP: usize = 512;
/// Keys collected at once when the log is cut.
const TRUNCATE_KEYS_PER_STEP: usize = 1024;

/// A single record starts with the number of times it was stored.
const VERSION_BYTES: usize = 8;
/// Under this name sled has the number of the last frame of the journal whose changes it holds.
const FRAME_KEY: &str = "frame";

/// A log in a sled database of its own.
pub struct SledBackend {
    path: PathBuf,
    /// `None` only while dropping.
    database: Option<Database>,
    unsynced_bytes: AtomicUsize,
    /// sled panicked: its locks and buffers are in an unknown state.
    broken: AtomicBool,
    marker: Mutex<Marker>,
    /// `None` only while opening.
    journal: Mutex<Option<Journal>>,
}

/// The mark as it is in its file, and as it will be after the next sync.
struct Marker {
    file: MarkFile,
    pending: Mark,
}

struct Database {
    db: sled::Db,
    log: sled::Tree,
    meta: sled::Tree,
    /// sled's own file, opened a second time for `fdatasync`.
    file: File,
    blobs: PathBuf,
}

impl std::fmt::Debug for SledBackend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SledBackend").field("path", &self.path).finish_non_exhaustive()
    }
}

impl SledBackend {
    /// Opens the database in `path`, or makes one. Blocks on the disk.
    ///
    /// # Errors
    /// [`LogError::Damaged`] if sled cannot make sense of its files, [`LogError::Reverted`] if it
    /// found less than it once had, [`LogError::InUse`] if it stays open elsewhere,
    /// [`LogError::File`] if the disk refuses.
    pub fn open(path: &Path) -> Result<SledBackend, LogError> {
        files::ensure_dir(path)?;
        files::require_room(path, OPEN_BYTES)?;
        let marker = MarkFile::open(&mark_path(path), path.join("db").exists())?;
        let mut backend = SledBackend {
            path: path.to_path_buf(),
            database: None,
            unsynced_bytes: AtomicUsize::new(0),
            broken: AtomicBool::new(false),
            marker: Mutex::new(Marker { pending: *marker.written(), file: marker }),
            journal: Mutex::new(None),
        };
        let database = backend.open_unlocked()?;
        backend.database = Some(database);
        let journal = backend.replay(&path.join("journal"))?;
        backend.check_mark()?;
        *backend.journal() = Some(journal);
        backend.checkpoint()?;
        // sled creates its files, and replaces its recovery snapshot on every start, without syncing
        // the folder. Segments the new snapshot calls free must not be used before it is durable.
        sync_files(path)?;
        Ok(backend)
    }

    /// Opens the database once nobody else has it.
    fn open_unlocked(&self) -> Result<Database, LogError> {
        let deadline = Instant::now() + LOCK_WAIT;
        loop {
            match self.guard("open", || Database::open(&self.path)) {
                Err(LogError::InUse { .. }) if Instant::now() < deadline => {
                    // There is nothing to be woken by: sled can only be asked again.
                    std::thread::sleep(LOCK_RETRY);
                }
                opened => return opened,
            }
        }
    }

    /// Carries out what was acknowledged and sled may not have.
    fn replay(&self, path: &Path) -> Result<Journal, LogError> {
        let last = self.guard("read a record of", || self.database().meta.get(FRAME_KEY))?;
        let last = match last.as_deref().map(<[u8; 8]>::try_from) {
            None => 0,
            Some(Ok(number)) => u64::from_be_bytes(number),
            Some(Err(_)) => return Err(self.damaged("read a record of", "the number of a frame is cut short".to_owned())),
        };
        let (journal, frames) = Journal::open(path, last)?;
        for frame in frames {
            for op in frame.ops {
                match op {
                    Op::Append(record) => self.store(&record)?,
                    Op::Truncate { from } => self.cut(from)?,
                    Op::Meta { key, value } => self.put(key.name(), &value)?,
                }
            }
            self.put(FRAME_KEY, &frame.number.to_be_bytes())?;
        }
        Ok(journal)
    }

    fn journal(&self) -> MutexGuard<'_, Option<Journal>> {
        // Nothing panics while holding it.
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, note: impl FnOnce(&mut Journal)) {
        if let Some(journal) = &mut *self.journal() {
            note(journal);
        }
    }

    /// Syncs sled itself, so that the journal begins anew.
    fn checkpoint(&self) -> Result<(), LogError> {
        let database = self.database();
        self.guard("flush", || database.db.flush())?;
        sync_blobs(&database.blobs)?;
        database.file.sync_data().map_err(files::failed("sync", &self.path.join("db")))?;
        self.unsynced_bytes.store(0, Ordering::Relaxed);
        self.note(Journal::start_over);
        Ok(())
    }

    /// What was written is durable, so it must be there from now on.
    fn raise_mark(&self) -> Result<(), LogError> {
        let mut marker = self.marker();
        let Marker { file, pending } = &mut *marker;
        // Rare, and what elections depend on. Of the entries' mark the last seconds may be lost.
        let durable = pending.without_committed() != file.written().without_committed();
        file.write(pending, durable)
    }

    fn store(&self, record: &StoredRecord) -> Result<(), LogError> {
        chunks::split(record).try_for_each(|(key, value)| self.insert(&key, &value))
    }

    fn put(&self, name: &str, value: &[u8]) -> Result<(), LogError> {
        self.guard("write a record to", || self.database().meta.insert(name, value))?;
        self.changed(value.len())
    }

    fn cut(&self, from: u64) -> Result<(), LogError> {
        let mut unlinked = None;
        loop {
            let keys = self.guard("truncate", || {
                let range = key(from, 0)..;
                let newest_first = self.database().log.range(range).keys().rev();
                newest_first.take(TRUNCATE_KEYS_PER_STEP).collect::<sled::Result<Vec<_>>>()
            })?;
            if keys.is_empty() {
                return Ok(());
            }
            for found in keys {
                let (index, chunk_index) = self.parse_key("truncate", &found)?;
                // The first chunk goes first: without it the record is gone, whatever is left.
                if chunk_index > 0 && unlinked != Some(index) {
                    self.remove("truncate", &key(index, 0))?;
                    unlinked = Some(index);
                }
                self.remove("truncate", &found)?;
            }
        }
    }

    /// Compares what sled found with what must be there.
    fn check_mark(&self) -> Result<(), LogError> {
        let reverted = |lost: String| LogError::Reverted { lost, path: self.path.clone() };
        let must = *self.marker().file.written();
        let mut found = Mark::default();
        for key in MetaKey::ALL {
            let version = self.versioned(key)?.map_or(0, |(version, _)| version);
            if version < must.versions[key as usize] {
                return Err(reverted(format!("record {key}")));
            }
            found.versions[key as usize] = version;
        }
        if let Some((index, wanted)) = must.last {
            let records = self.read(index..index + 1, 0)?.records;
            if records.first().map(fingerprint) != Some(wanted) {
                return Err(reverted(format!("entry {index}")));
            }
            found.last = must.last;
        }
        self.marker().pending = found;
        Ok(())
    }

    fn marker(&self) -> MutexGuard<'_, Marker> {
        // Nothing panics while holding it.
        self.marker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Before records are deleted: the mark must not ask for one of them any more.
    fn lower_mark(&self, goes: impl Fn(u64) -> bool) -> Result<(), LogError> {
        let mut marker = self.marker();
        let Marker { file, pending } = &mut *marker;
        if pending.last.is_some_and(|(index, _)| goes(index)) {
            pending.last = None;
        }
        if file.written().last.is_some_and(|(index, _)| goes(index)) {
            let lowered = Mark { last: None, ..*file.written() };
            file.write(&lowered, true)?;
        }
        Ok(())
    }

    /// A single record and its version.
    fn versioned(&self, key: MetaKey) -> Result<Option<(u64, Vec<u8>)>, LogError> {
        const DOING: &str = "read a record of";
        let value = self.guard(DOING, || self.database().meta.get(key.name()))?;
        let Some(value) = value else {
            return Ok(None);
        };
        match value.split_first_chunk::<VERSION_BYTES>() {
            Some((version, bytes)) => Ok(Some((u64::from_be_bytes(*version), bytes.to_vec()))),
            None => Err(self.damaged(DOING, format!("record {key} is cut short"))),
        }
    }

    fn database(&self) -> &Database {
        self.database.as_ref().expect("the database is taken only by drop")
    }

    /// Runs a sled operation, naming its errors and catching its panics.
    fn guard<T>(&self, doing: &'static str, operation: impl FnOnce() -> sled::Result<T>) -> Result<T, LogError> {
        if self.broken.load(Ordering::Acquire) {
            return Err(self.damaged(doing, "it panicked before".to_owned()));
        }
        match catch_unwind(AssertUnwindSafe(operation)) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(self.named(doing, error)),
            Err(panic) => {
                self.broken.store(true, Ordering::Release);
                let reason = panic_text(panic.as_ref());
                // Some writes of sled's that find no room panic. That is no damage: what was synced before is there.
                if is_about_space(&reason) {
                    let source = std::io::Error::new(ErrorKind::StorageFull, reason);
                    return Err(LogError::File { doing, path: self.path.clone(), source });
                }
                Err(self.damaged(doing, reason))
            }
        }
    }

    fn named(&self, doing: &'static str, error: sled::Error) -> LogError {
        match error {
            // sled has no better name for it.
            sled::Error::Io(source) if source.to_string().starts_with("could not acquire lock") => {
                LogError::InUse { path: self.path.clone() }
            }
            // Reads past the end of the file are pages that should be there.
            sled::Error::Io(source) if !matches!(source.kind(), ErrorKind::UnexpectedEof | ErrorKind::InvalidData) => {
                LogError::File { doing, path: self.path.clone(), source }
            }
            sled::Error::Unsupported(reason) => LogError::Refused { doing, path: self.path.clone(), reason },
            sled::Error::ReportableBug(reason) if is_about_space(&reason) => {
                LogError::File { doing, path: self.path.clone(), source: std::io::Error::new(ErrorKind::StorageFull, reason) }
            }
            sled::Error::Io(_) | sled::Error::Corruption { .. } | sled::Error::ReportableBug(_) | sled::Error::CollectionNotFound(_) => {
                self.damaged(doing, error.to_string())
            }
        }
    }

    fn damaged(&self, doing: &'static str, reason: String) -> LogError {
        LogError::Damaged { doing, path: self.path.clone(), reason }
    }

    fn corrupt(&self, index: u64) -> LogError {
        LogError::Corrupt { index, path: self.path.clone() }
    }

    fn parse_key(&self, doing: &'static str, key: &[u8]) -> Result<(u64, u32), LogError> {
        chunks::parse_key(key).ok_or_else(|| self.damaged(doing, "strange key".to_owned()))
    }

    /// Counts changed bytes, and syncs before they could fill a segment.
    fn changed(&self, value_bytes: usize) -> Result<(), LogError> {
        let bytes = value_bytes + CHANGE_OVERHEAD_BYTES;
        let before = self.unsynced_bytes.fetch_add(bytes, Ordering::Relaxed);
        if before + bytes >= UNSYNCED_BYTES_MAX {
            self.checkpoint()?;
        }
        Ok(())
    }

    fn insert(&self, key: &[u8], value: &[u8]) -> Result<(), LogError> {
        // One by one and not as a `Batch`: a batch keeps sled's write buffer open, and a page that is
        // evicted and needed again within it would wait for that buffer forever. Nothing is lost, as
        // the order of the writes alone makes a record appear at once.
        self.guard("append to", || self.database().log.insert(key, value))?;
        self.changed(value.len())
    }

    fn remove(&self, doing: &'static str, key: &[u8]) -> Result<usize, LogError> {
        let removed = self.guard(doing, || self.database().log.remove(key))?;
        let bytes = removed.map_or(0, |value| value.len());
        self.changed(bytes)?;
        Ok(bytes)
    }
}

impl LogBackend for SledBackend {
    fn path(&self) -> &Path {
        &self.path
    }

    fn append(&self, records: &[StoredRecord]) -> Result<(), LogError> {
        for record in records {
            self.store(record)?;
            self.note(|journal| journal.note_append(record));
            self.marker().pending.last = Some((record.index, fingerprint(record)));
        }
        Ok(())
    }

    fn truncate(&self, from: u64) -> Result<(), LogError> {
        self.lower_mark(|index| index >= from)?;
        self.cut(from)?;
        self.note(|journal| journal.note_truncate(from));
        Ok(())
    }

    fn purge(&self, upto: u64) -> Result<PurgeStep, LogError> {
        self.lower_mark(|index| index <= upto)?;
        let keys = self.guard("purge", || {
            let range = ..=key(upto, u32::MAX);
            let oldest_first = self.database().log.range(range).keys();
            oldest_first.take(PURGE_KEYS_PER_STEP).collect::<sled::Result<Vec<_>>>()
        })?;
        let mut step = if keys.len() < PURGE_KEYS_PER_STEP { PurgeStep::Done } else { PurgeStep::More };
        let mut bytes = 0;
        let mut left = keys.len();
        for key in keys {
            bytes += self.remove("purge", &key)?;
            left -= 1;
            if bytes >= UNSYNCED_BYTES_MAX && left > 0 {
                step = PurgeStep::More;
                break;
            }
        }
        Ok(step)
    }

    fn read(&self, range: Range<u64>, bytes_max: usize) -> Result<StoredRecords, LogError> {
        let mut found = StoredRecords::default();
        let mut reader = RecordReader::default();
        let mut budget = Budget::new(bytes_max);
        let mut chunks = self.database().log.range(key(range.start, 0)..key(range.end, 0));
        while let Some((key, value)) = self.guard("read", || chunks.next().transpose())? {
            let (index, chunk_index) = self.parse_key("read", &key)?;
            let step = reader.take(index, chunk_index, &value, &mut budget).map_err(|index| self.corrupt(index))?;
            match step {
                ReadStep::Goes => {}
                ReadStep::Completes(record) => found.records.push(record),
                ReadStep::Exceeds => {
                    found.more = true;
                    break;
                }
            }
        }
        reader.finish().map_err(|index| self.corrupt(index))?;
        Ok(found)
    }

    fn put_meta(&self, key: MetaKey, bytes: &[u8]) -> Result<(), LogError> {
        let version = self.marker().pending.versions[key as usize] + 1;
        let mut value = version.to_be_bytes().to_vec();
        value.extend_from_slice(bytes);
        self.put(key.name(), &value)?;
        self.note(|journal| journal.note_meta(key, &value));
        self.marker().pending.versions[key as usize] = version;
        Ok(())
    }

    fn get_meta(&self, key: MetaKey) -> Result<Option<Vec<u8>>, LogError> {
        Ok(self.versioned(key)?.map(|(_, bytes)| bytes))
    }

    fn sync(&self) -> Result<(), LogError> {
        let Some(number) = self.journal().as_mut().filter(|journal| journal.is_waiting()).map(Journal::next_number) else {
            return Ok(());
        };
        self.put(FRAME_KEY, &number.to_be_bytes())?;
        let takes_frame = self.journal().as_ref().is_some_and(Journal::takes_frame);
        if takes_frame {
            self.journal().as_mut().map_or(Ok(()), Journal::write)?;
        } else {
            self.checkpoint()?;
            self.note(Journal::forget_waiting);
        }
        self.raise_mark()
    }
}

impl Drop for SledBackend {
    fn drop(&mut self) {
        let Some(database) = self.database.take() else {
            return;
        };
        if self.broken.load(Ordering::Acquire) {
            // Its destructor flushes, taking locks that the panic may have left in any state.
            std::mem::forget(database);
            return;
        }
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(database))) {
            tracing::error!(
                path = %self.path.display(),
                reason = panic_text(panic.as_ref()),
                "log database panicked while closing"
            );
        }
    }
}

impl Database {
    fn open(path: &Path) -> sled::Result<Database> {
        let db = sled::Config::new()
            .path(path)
            .mode(sled::Mode::LowSpace)
            .flush_every_ms(None)
            .segment_size(SEGMENT_BYTES)
            .cache_capacity(PAGE_CACHE_BYTES)
            .open()?;
        Ok(Database {
            log: db.open_tree("log")?,
            meta: db.open_tree("meta")?,
            file: File::open(path.join("db"))?,
            blobs: path.join("blobs"),
            db,
        })
    }
}

/// The mark of a database, beside its folder.
pub(crate) fn mark_path(database: &Path) -> PathBuf {
    database.with_extension("mark")
}

/// Syncs what sled put into files of their own; by the size of our values that is nothing.
fn sync_blobs(dir: &Path) -> Result<(), LogError> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(files::failed("list", dir))?,
    };
    let mut found = false;
    for entry in entries {
        let path = entry.map_err(files::failed("list", dir))?.path();
        File::open(&path).and_then(|file| file.sync_all()).map_err(files::failed("sync", &path))?;
        found = true;
    }
    if found {
        files::sync_dir(dir)?;
    }
    Ok(())
}

/// Syncs all files directly in a folder, then the folder.
fn sync_files(dir: &Path) -> Result<(), LogError> {
    for entry in std::fs::read_dir(dir).map_err(files::failed("list", dir))? {
        let path = entry.map_err(files::failed("list", dir))?.path();
        if path.is_file() {
            File::open(&path).and_then(|file| file.sync_all()).map_err(files::failed("sync", &path))?;
        }
    }
    files::sync_dir(dir)?;
    Ok(())
}

/// Whether a text of sled's tells of a full disk: the system's words, or Rust's names for them.
fn is_about_space(text: &str) -> bool {
    ["No space left on device", "StorageFull", "os error 28", "Disk quota exceeded"].iter().any(|words| text.contains(words))
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "panic without a message".to_owned())
}
