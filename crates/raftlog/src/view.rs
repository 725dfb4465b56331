//! The log as readers see it: its bounds, and its most recent entries in memory.

use std::collections::VecDeque;
use std::ops::Range;

use openraft::{LogId, RaftLogId};

use crate::LogUsage;
use crate::backend::Budget;

/// Encoded bytes of entries kept in memory. Entries not yet written are kept beyond it.
const TAIL_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Number of entries kept in memory, for logs of tiny entries.
const TAIL_ENTRIES_MAX: usize = 4096;

/// Bounds and tail of the log, including what is handed to the writer but not written yet.
///
/// The tail is contiguous and ends with the last entry of the log. An entry leaves it only after the
/// writer has stored it, so every entry of the log is in the tail or in the backend.
#[derive(Debug)]
pub(crate) struct LogView<E> {
    purged: Option<LogId<u64>>,
    /// Index of the first entry and id of the last one; `None` if there are none.
    entries: Option<(u64, LogId<u64>)>,
    tail: VecDeque<TailEntry<E>>,
    tail_bytes: usize,
    usage: LogUsage,
}

#[derive(Debug)]
pub(crate) struct TailEntry<E> {
    pub(crate) entry: E,
    pub(crate) encoded_bytes: usize,
    /// The write that stores it, in the order in which writes are handed over.
    pub(crate) write: u64,
}

impl<E: RaftLogId<u64>> TailEntry<E> {
    fn index(&self) -> u64 {
        self.entry.get_log_id().index
    }
}

impl<E: RaftLogId<u64>> LogView<E> {
    pub(crate) fn new(purged: Option<LogId<u64>>) -> Self {
        LogView { purged, entries: None, tail: VecDeque::new(), tail_bytes: 0, usage: LogUsage::default() }
    }

    pub(crate) fn purged(&self) -> Option<LogId<u64>> {
        self.purged
    }

    pub(crate) fn usage(&self) -> &LogUsage {
        &self.usage
    }

    /// Id of the last entry, or of the last purged one if there are no entries.
    pub(crate) fn last(&self) -> Option<LogId<u64>> {
        self.entries.map(|(_, last)| last).or(self.purged)
    }

    /// Index the next entry must have; `None` if any will do, because the log never had one.
    pub(crate) fn next_index(&self) -> Option<u64> {
        self.last().map(|last| last.index + 1)
    }

    /// Adds entries that continue the log, and forgets old ones that `written` writes have stored.
    pub(crate) fn append(&mut self, entries: impl IntoIterator<Item = TailEntry<E>>, written: u64) {
        for added in entries {
            let log_id = *added.entry.get_log_id();
            let first = self.entries.map_or(log_id.index, |(first, _)| first);
            self.entries = Some((first, log_id));
            self.tail_bytes += added.encoded_bytes;
            self.usage.appended(log_id.index, added.encoded_bytes);
            self.tail.push_back(added);
        }
        while (self.tail_bytes > TAIL_BYTES_MAX || self.tail.len() > TAIL_ENTRIES_MAX)
            && self.tail.front().is_some_and(|oldest| oldest.write <= written)
        {
            self.forget_oldest();
        }
    }

    /// Drops the entries from `from` on. `before` is the id of the entry before it, if there is one.
    pub(crate) fn truncate(&mut self, from: u64, before: Option<LogId<u64>>) {
        let Some((first, last)) = self.entries else {
            return;
        };
        if from > last.index {
            return;
        }
        self.usage.truncated(from);
        self.entries = before.filter(|_| first < from).map(|last| (first, last));
        while self.tail.back().is_some_and(|newest| newest.index() >= from) {
            let newest = self.tail.pop_back();
            self.tail_bytes -= newest.map_or(0, |newest| newest.encoded_bytes);
        }
    }

    /// Drops the entries up to and including `upto`, which may be beyond the last one.
    pub(crate) fn purge(&mut self, upto: LogId<u64>) {
        self.purged = self.purged.max(Some(upto));
        self.usage.purged(upto.index);
        self.entries = self.entries.filter(|(_, last)| last.index > upto.index).map(|(first, last)| (first.max(upto.index + 1), last));
        while self.tail.front().is_some_and(|oldest| oldest.index() <= upto.index) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let oldest = self.tail.pop_front();
        self.tail_bytes -= oldest.map_or(0, |oldest| oldest.encoded_bytes);
    }

    /// The part of `range` that is in the log.
    pub(crate) fn clamp(&self, range: &Range<u64>) -> Range<u64> {
        match self.entries {
            Some((first, last)) => range.start.max(first)..range.end.min(last.index + 1),
            None => 0..0,
        }
    }

    /// Index of the first entry in memory, or of the next entry if none is.
    pub(crate) fn tail_start(&self) -> u64 {
        match self.tail.front() {
            Some(oldest) => oldest.index(),
            None => self.next_index().unwrap_or(0),
        }
    }
}

impl<E: RaftLogId<u64> + Clone> LogView<E> {
    /// Copies the entries of `range`, all of which are in memory, with their encoded lengths; as many
    /// as the bound allows.
    pub(crate) fn copy(&self, range: Range<u64>, bytes_max: usize) -> Vec<(usize, E)> {
        let skip = usize::try_from(range.start - self.tail_start()).unwrap_or(usize::MAX);
        let count = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let mut budget = Budget::new(bytes_max);
        self.tail
            .iter()
            .skip(skip)
            .take(count)
            .take_while(|cached| budget.admits(cached.encoded_bytes))
            .map(|cached| (cached.encoded_bytes, cached.entry.clone()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use openraft::CommittedLeaderId;

    use super::*;

    #[derive(Debug, Clone, PartialEq)]
    struct Entry(LogId<u64>);

    impl RaftLogId<u64> for Entry {
        fn get_log_id(&self) -> &LogId<u64> {
            &self.0
        }

        fn set_log_id(&mut self, log_id: &LogId<u64>) {
            self.0 = *log_id;
        }
    }

    fn log_id(index: u64) -> LogId<u64> {
        LogId::new(CommittedLeaderId::new(1, 1), index)
    }

    fn entries(indexes: Range<u64>, encoded_bytes: usize, write: u64) -> Vec<TailEntry<Entry>> {
        indexes.map(|index| TailEntry { entry: Entry(log_id(index)), encoded_bytes, write }).collect()
    }

    #[test]
    fn only_written_entries_leave_the_memory() {
        let mut view = LogView::new(None);
        let third = TAIL_BYTES_MAX / 3;
        view.append(entries(0..3, third, 1), 0);
        view.append(entries(3..6, third, 2), 0);
        assert_eq!(view.tail_start(), 0, "nothing is written yet");
        view.append(entries(6..7, third, 3), 1);
        assert_eq!(view.tail_start(), 3, "only the first write is stored");
        view.append(entries(7..8, third, 4), 3);
        assert_eq!(view.tail_start(), 5);
        assert_eq!(view.clamp(&(0..100)), 0..8);
        assert_eq!(view.copy(6..8, usize::MAX).len(), 2);
        assert_eq!(view.copy(6..8, 1).len(), 1, "the first one passes whatever its size");
    }

    #[test]
    fn a_cut_below_the_memory_keeps_the_rest_of_the_log() {
        let mut view = LogView::new(Some(log_id(9)));
        view.append(entries(10..20, TAIL_BYTES_MAX, 1), 1);
        assert_eq!(view.tail_start(), 19);
        view.truncate(15, Some(log_id(14)));
        assert_eq!(view.clamp(&(0..100)), 10..15);
        assert_eq!((view.next_index(), view.tail_start()), (Some(15), 15));
        view.truncate(10, Some(log_id(9)));
        assert!(view.clamp(&(0..100)).is_empty());
        assert_eq!(view.last(), Some(log_id(9)));
    }

    #[test]
    fn a_purge_moves_the_start_and_never_back() {
        let mut view = LogView::new(None);
        view.append(entries(0..10, 1, 1), 0);
        view.purge(log_id(3));
        view.purge(log_id(2));
        assert_eq!(view.clamp(&(0..100)), 4..10);
        assert_eq!(view.tail_start(), 4);
        view.purge(log_id(50));
        assert_eq!(view.next_index().unwrap(), 51);
        assert!(view.clamp(&(0..100)).is_empty());
    }
}
