//! openraft's traits.

use std::fmt::Debug;
use std::ops::{Bound, Range, RangeBounds};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use openraft::storage::{LogFlushed, RaftLogStorage};
use openraft::{
    AnyError, ErrorSubject, ErrorVerb, LogId, LogState, OptionalSend, RaftLogId, RaftLogReader, RaftTypeConfig, StorageError,
    StorageIOError, Vote,
};
use tokio::sync::{mpsc, oneshot};

use super::{ENTRY_BYTES_MAX, LogReader, REPLICATION_BYTES_MAX, RaftLog};
use crate::backend::{MetaKey, StoredRecord};
use crate::view::TailEntry;
use crate::writer::{Request, Write};
use crate::{LogError, codec};

impl<C> RaftLogReader<C> for LogReader<C>
where
    C: RaftTypeConfig<NodeId = u64>,
    C::Entry: Clone,
{
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<C::Entry>, StorageError<u64>> {
        self.read(half_open(&range), usize::MAX).await.map_err(|error| storage_error(ErrorSubject::Logs, ErrorVerb::Read, &error))
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<C::Entry>, StorageError<u64>> {
        self.read(start..end, REPLICATION_BYTES_MAX).await.map_err(|error| storage_error(ErrorSubject::Logs, ErrorVerb::Read, &error))
    }
}

impl<C> RaftLogReader<C> for RaftLog<C>
where
    C: RaftTypeConfig<NodeId = u64>,
    C::Entry: Clone,
{
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<C::Entry>, StorageError<u64>> {
        self.reader.try_get_log_entries(range).await
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<C::Entry>, StorageError<u64>> {
        self.reader.limited_get_log_entries(start, end).await
    }
}

impl<C> RaftLogStorage<C> for RaftLog<C>
where
    C: RaftTypeConfig<NodeId = u64>,
    C::Entry: Clone,
{
    type LogReader = LogReader<C>;

    async fn get_log_state(&mut self) -> Result<LogState<C>, StorageError<u64>> {
        let view = self.reader.shared.view();
        Ok(LogState { last_purged_log_id: view.purged(), last_log_id: view.last() })
    }

    async fn get_log_reader(&mut self) -> Self::LogReader {
        self.reader.clone()
    }

    async fn save_vote(&mut self, vote: &Vote<u64>) -> Result<(), StorageError<u64>> {
        self.write_vote(vote).await.map_err(|error| storage_error(ErrorSubject::Vote, ErrorVerb::Write, &error))?;
        self.vote = Some(*vote);
        Ok(())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote<u64>>, StorageError<u64>> {
        Ok(self.vote)
    }

    /// Travels with the next sync: after a crash an older one is read back, and the entries between
    /// are applied once the leader says again that they are committed.
    async fn save_committed(&mut self, committed: Option<LogId<u64>>) -> Result<(), StorageError<u64>> {
        if let Some(log_id) = committed {
            let write = Write::Meta { key: MetaKey::Committed, sealed: self.seal_meta(MetaKey::Committed, &log_id) };
            let permit = self.reserve().await.map_err(|error| storage_error(ErrorSubject::Store, ErrorVerb::Write, &error))?;
            permit.send(Request { write, durable: false, done: None });
            self.committed = committed;
        }
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId<u64>>, StorageError<u64>> {
        Ok(self.committed)
    }

    async fn append<I>(&mut self, entries: I, callback: LogFlushed<C>) -> Result<(), StorageError<u64>>
    where
        I: IntoIterator<Item = C::Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        // What is purged is applied and in a snapshot; being given it again changes nothing.
        let purged = self.reader.shared.view().purged();
        let entries = entries.into_iter().filter(|entry| Some(entry.get_log_id().index) > purged.map(|purged| purged.index)).collect();
        self.append_entries(entries, callback).await.map_err(|error| storage_error(ErrorSubject::Logs, ErrorVerb::Write, &error))
    }

    async fn truncate(&mut self, log_id: LogId<u64>) -> Result<(), StorageError<u64>> {
        self.truncate_from(log_id.index).await.map_err(|error| storage_error(ErrorSubject::Log(log_id), ErrorVerb::Delete, &error))
    }

    async fn purge(&mut self, log_id: LogId<u64>) -> Result<(), StorageError<u64>> {
        if self.reader.shared.view().purged() >= Some(log_id) {
            return Ok(());
        }
        let write = Write::Purge { upto: log_id.index, sealed: self.seal_meta(MetaKey::Purged, &log_id) };
        let permit = self.reserve().await.map_err(|error| storage_error(ErrorSubject::Log(log_id), ErrorVerb::Delete, &error))?;
        // Hidden before it is deleted. Not waited for: a crash that loses the purge loses no entry
        // either, as the writer deletes after the purge is durable.
        self.reader.shared.view().purge(log_id);
        permit.send(Request { write, durable: true, done: None });
        Ok(())
    }
}

impl<C> RaftLog<C>
where
    C: RaftTypeConfig<NodeId = u64>,
    C::Entry: Clone,
{
    /// Makes the entries readable at once, and calls back when they are durable.
    async fn append_entries(&mut self, entries: Vec<C::Entry>, callback: LogFlushed<C>) -> Result<(), LogError> {
        let records = self.encode(&entries)?;
        if records.is_empty() {
            callback.log_io_completed(Ok(()));
            return Ok(());
        }
        let number = self.appends + 1;
        let permit = self.reserve().await?;
        let tail =
            entries.into_iter().zip(&records).map(|(entry, record)| TailEntry { entry, encoded_bytes: record.bytes.len(), write: number });
        let written = self.written.load(Ordering::Acquire);
        self.reader.shared.view().append(tail, written);
        permit.send(Request {
            write: Write::Append { number, records },
            durable: true,
            done: Some(Box::new(move |result| {
                let result = result.map_err(|error| std::io::Error::other(AnyError::new(&*error)));
                callback.log_io_completed(result);
            })),
        });
        self.appends = number;
        Ok(())
    }

    /// Encodes entries, which must continue the log without a gap.
    fn encode(&self, entries: &[C::Entry]) -> Result<Vec<StoredRecord>, LogError> {
        let mut expected = self.reader.shared.view().next_index();
        let mut records = Vec::with_capacity(entries.len());
        for entry in entries {
            let index = entry.get_log_id().index;
            match expected {
                Some(expected) if expected != index => {
                    return Err(LogError::NotConsecutive { expected, given: index, path: self.reader.shared.path.clone() });
                }
                _ => expected = Some(index + 1),
            }
            let bytes = codec::encode(entry).map_err(|source| LogError::Encode { index, source })?;
            if bytes.len() > ENTRY_BYTES_MAX {
                return Err(LogError::TooLarge { index, bytes: bytes.len(), bytes_max: ENTRY_BYTES_MAX });
            }
            records.push(StoredRecord { index, bytes });
        }
        Ok(records)
    }

    async fn truncate_from(&mut self, from: u64) -> Result<(), LogError> {
        let before = match from.checked_sub(1) {
            Some(index) => self.log_id_at(index).await?,
            None => None,
        };
        let permit = self.reserve().await?;
        self.reader.shared.view().truncate(from, before);
        let outcome = send(permit, Write::Truncate { from });
        self.wait(outcome).await
    }

    async fn write_vote(&self, vote: &Vote<u64>) -> Result<(), LogError> {
        let write = Write::Meta { key: MetaKey::Vote, sealed: self.seal_meta(MetaKey::Vote, vote) };
        let outcome = send(self.reserve().await?, write);
        self.wait(outcome).await
    }

    /// The id of the entry at `index`, or `None` if it is not in the log.
    async fn log_id_at(&self, index: u64) -> Result<Option<LogId<u64>>, LogError> {
        let entries = self.reader.read(index..index + 1, usize::MAX).await?;
        Ok(entries.first().map(|entry| *entry.get_log_id()))
    }
}

/// Hands a write over that must be durable; the receiver tells when it is.
fn send(permit: mpsc::Permit<'_, Request>, write: Write) -> oneshot::Receiver<Result<(), Arc<LogError>>> {
    let (done, outcome) = oneshot::channel();
    permit.send(Request {
        write,
        durable: true,
        // Nobody listens if the caller was dropped; the write counts all the same.
        done: Some(Box::new(move |result| drop(done.send(result)))),
    });
    outcome
}

fn half_open(range: &impl RangeBounds<u64>) -> Range<u64> {
    let start = match range.start_bound() {
        Bound::Included(&start) => start,
        Bound::Excluded(&start) => start.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(&end) => end.saturating_add(1),
        Bound::Excluded(&end) => end,
        Bound::Unbounded => u64::MAX,
    };
    start..end
}

fn storage_error(subject: ErrorSubject<u64>, verb: ErrorVerb, error: &LogError) -> StorageError<u64> {
    StorageIOError::new(subject, verb, AnyError::new(error)).into()
}
