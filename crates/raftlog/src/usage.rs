//! How much the log holds.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Encoded bytes of every entry in the log; cheap to clone. Follows the log while that is open.
#[derive(Debug, Clone, Default)]
pub struct LogUsage(Arc<Mutex<Sizes>>);

#[derive(Debug, Default)]
struct Sizes {
    /// Index of the first of them.
    first: u64,
    bytes: VecDeque<u32>,
}

impl LogUsage {
    /// Bytes of the entries of `range` that are in the log.
    pub fn bytes(&self, range: Range<u64>) -> u64 {
        let sizes = self.sizes();
        let (start, end) = (sizes.position(range.start), sizes.position(range.end));
        sizes.bytes.range(start..end.max(start)).map(|bytes| u64::from(*bytes)).sum()
    }

    /// The first index from which on the entries before `end` are no more than `bytes_max` together.
    pub fn start_of_last(&self, bytes_max: u64, end: u64) -> u64 {
        let sizes = self.sizes();
        let mut position = sizes.position(end);
        let mut left = bytes_max;
        while position > 0 {
            match left.checked_sub(u64::from(sizes.bytes[position - 1])) {
                Some(rest) => left = rest,
                None => break,
            }
            position -= 1;
        }
        sizes.first + position as u64
    }

    pub(crate) fn appended(&self, index: u64, bytes: usize) {
        let mut sizes = self.sizes();
        if sizes.bytes.is_empty() {
            sizes.first = index;
        }
        sizes.bytes.push_back(u32::try_from(bytes).unwrap_or(u32::MAX));
    }

    pub(crate) fn truncated(&self, from: u64) {
        let mut sizes = self.sizes();
        let kept = sizes.position(from);
        sizes.bytes.truncate(kept);
    }

    pub(crate) fn purged(&self, upto: u64) {
        let mut sizes = self.sizes();
        let gone = sizes.position(upto.saturating_add(1));
        drop(sizes.bytes.drain(..gone));
        sizes.first = sizes.first.max(upto.saturating_add(1));
    }

    fn sizes(&self) -> MutexGuard<'_, Sizes> {
        // Nothing panics while holding it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sizes {
    /// Where an index is, or would be, among the entries.
    fn position(&self, index: u64) -> usize {
        usize::try_from(index.saturating_sub(self.first)).unwrap_or(usize::MAX).min(self.bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_follow_appends_cuts_and_purges() {
        let usage = LogUsage::default();
        for index in 5..15 {
            usage.appended(index, 10);
        }
        assert_eq!((usage.bytes(0..u64::MAX), usage.bytes(7..9), usage.bytes(20..30)), (100, 20, 0));
        assert_eq!((usage.start_of_last(30, 15), usage.start_of_last(35, 15), usage.start_of_last(30, 10)), (12, 12, 7));
        assert_eq!((usage.start_of_last(u64::MAX, 15), usage.start_of_last(0, 15)), (5, 15));
        usage.truncated(12);
        usage.purged(6);
        assert_eq!((usage.bytes(0..u64::MAX), usage.bytes(0..8)), (50, 10));
        // As when a snapshot replaces the log.
        usage.purged(100);
        usage.appended(101, 3);
        assert_eq!((usage.bytes(0..u64::MAX), usage.start_of_last(3, 102)), (3, 101));
    }
}
