//! What the log needs from a database.

use std::fmt;
use std::ops::Range;
use std::path::Path;

use crate::LogError;

/// Records beside the entries, one of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetaKey {
    /// Layout version and id of the data key; the only record that is not sealed.
    Layout,
    /// The vote.
    Vote,
    /// The last purged log id.
    Purged,
    /// The last committed log id.
    Committed,
}

impl MetaKey {
    /// All of them.
    pub const ALL: [MetaKey; 4] = [MetaKey::Layout, MetaKey::Vote, MetaKey::Purged, MetaKey::Committed];

    /// The name under which the record is stored.
    pub fn name(self) -> &'static str {
        match self {
            MetaKey::Layout => "layout",
            MetaKey::Vote => "vote",
            MetaKey::Purged => "purged",
            MetaKey::Committed => "committed",
        }
    }
}

impl fmt::Display for MetaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An entry as it is stored: its index, and bytes the backend does not look into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRecord {
    /// Log index.
    pub index: u64,
    /// The sealed entry.
    pub bytes: Vec<u8>,
}

/// What a read found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredRecords {
    /// The records, in order.
    pub records: Vec<StoredRecord>,
    /// Whether the bound on bytes ended the read, so that there are more.
    pub more: bool,
}

/// Counts bytes against a bound. The first record passes whatever its size, so that nothing is too
/// large to be read at all.
#[derive(Debug)]
pub(crate) struct Budget {
    left: usize,
    first: bool,
}

impl Budget {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Budget { left: bytes_max, first: true }
    }

    /// Whether a record of this size still fits; it is counted if so.
    pub(crate) fn admits(&mut self, bytes: usize) -> bool {
        let fits = self.first || bytes <= self.left;
        if fits {
            self.first = false;
            self.left = self.left.saturating_sub(bytes);
        }
        fits
    }
}

/// How far a step of purging came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PurgeStep {
    /// Nothing is left to delete.
    Done,
    /// More steps are needed.
    More,
}

/// An ordered store of log records and a few single records. Calls block.
///
/// Promises the log relies on:
///
/// - What was written is visible to reads at once, and durable when the next [`sync`](Self::sync)
///   returns. Until then a crash may lose it, but only from the end: if a write survived, all
///   earlier ones did.
/// - A record is there completely or not at all.
/// - After an error nothing may be assumed about writes since the last sync; the caller stops.
///
/// One thread calls the writing methods; `read` and `get_meta` may be called from others meanwhile.
pub trait LogBackend: Send + Sync + 'static {
    /// Where the data is, for error messages.
    fn path(&self) -> &Path;

    /// Adds records, whose indexes are consecutive and not in the log yet.
    ///
    /// # Errors
    /// See [`LogError`]; also for the methods below.
    fn append(&self, records: &[StoredRecord]) -> Result<(), LogError>;

    /// Deletes all records from `from` on, the last one first, so that no crash leaves a hole.
    fn truncate(&self, from: u64) -> Result<(), LogError>;

    /// Deletes some records up to and including `upto`, the first one first. The work of one call is
    /// bounded (a few milliseconds), because it holds up appends.
    fn purge(&self, upto: u64) -> Result<PurgeStep, LogError>;

    /// Reads the records in `range` in order, stopping before one that would exceed `bytes_max`; at
    /// least one if there is any. Missing records are left out, the caller looks for gaps. A record
    /// of which only parts are there is [`LogError::Corrupt`].
    fn read(&self, range: Range<u64>, bytes_max: usize) -> Result<StoredRecords, LogError>;

    /// Stores a single record, replacing the one before.
    fn put_meta(&self, key: MetaKey, bytes: &[u8]) -> Result<(), LogError>;

    /// Reads a single record.
    fn get_meta(&self, key: MetaKey) -> Result<Option<Vec<u8>>, LogError>;

    /// Makes everything written so far survive a power cut.
    fn sync(&self) -> Result<(), LogError>;
}
