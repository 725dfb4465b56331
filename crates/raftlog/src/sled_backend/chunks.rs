//! Records as rows of at most 16 KiB.
//!
//! A record exists once its first chunk does. That one is written last and deleted first, so a crash
//! leaves a record whole or, at worst, orphaned chunks that nobody was told of.

use std::borrow::Cow;

use crate::backend::{Budget, StoredRecord};

/// Largest value given to sled: 20 of them are far below a quarter of a segment.
const CHUNK_BYTES: usize = 16 * 1024;
/// Key of a chunk: index and chunk number, both big-endian so that keys sort in log order.
const KEY_BYTES: usize = 8 + 4;
/// The first chunk of a record starts with the record's length.
const LENGTH_BYTES: usize = 8;

/// The rows of a record, in the order in which they must be written.
pub(super) fn split(record: &StoredRecord) -> impl Iterator<Item = ([u8; KEY_BYTES], Cow<'_, [u8]>)> {
    let first_bytes = record.bytes.len().min(CHUNK_BYTES - LENGTH_BYTES);
    let (first, rest) = record.bytes.split_at(first_bytes);
    let rest = (1_u32..).zip(rest.chunks(CHUNK_BYTES));
    let rest = rest.map(|(chunk_index, chunk)| (key(record.index, chunk_index), chunk.into()));
    let mut value = Vec::with_capacity(LENGTH_BYTES + first.len());
    value.extend_from_slice(&(record.bytes.len() as u64).to_be_bytes());
    value.extend_from_slice(first);
    rest.chain([(key(record.index, 0), value.into())])
}

pub(super) fn key(index: u64, chunk_index: u32) -> [u8; KEY_BYTES] {
    let mut key = [0; KEY_BYTES];
    key[..8].copy_from_slice(&index.to_be_bytes());
    key[8..].copy_from_slice(&chunk_index.to_be_bytes());
    key
}

pub(super) fn parse_key(key: &[u8]) -> Option<(u64, u32)> {
    let (index, chunk_index) = key.split_first_chunk::<8>()?;
    let chunk_index = <[u8; 4]>::try_from(chunk_index).ok()?;
    Some((u64::from_be_bytes(*index), u32::from_be_bytes(chunk_index)))
}

/// Puts records together from their chunks.
#[derive(Default)]
pub(super) struct RecordReader {
    current: Option<Partial>,
    /// Index of chunks that belong to no record: what a crash left of one that was never finished.
    orphan: Option<u64>,
}

struct Partial {
    record: StoredRecord,
    bytes_wanted: usize,
    next_chunk_index: u32,
}

pub(super) enum ReadStep {
    /// More chunks are needed.
    Goes,
    Completes(StoredRecord),
    /// The record that starts here does not fit any more.
    Exceeds,
}

impl RecordReader {
    /// Takes the next chunk. An error is the index of a record of which a part is missing.
    pub(super) fn take(&mut self, index: u64, chunk_index: u32, value: &[u8], budget: &mut Budget) -> Result<ReadStep, u64> {
        if chunk_index == 0 {
            self.finish()?;
            let (length, first) = value.split_first_chunk::<LENGTH_BYTES>().ok_or(index)?;
            let bytes_wanted = usize::try_from(u64::from_be_bytes(*length)).map_err(|_| index)?;
            if !budget.admits(bytes_wanted) {
                return Ok(ReadStep::Exceeds);
            }
            self.current = Some(Partial { record: StoredRecord { index, bytes: first.to_vec() }, bytes_wanted, next_chunk_index: 1 });
        } else {
            match &mut self.current {
                Some(partial) if partial.record.index == index && partial.next_chunk_index == chunk_index => {
                    partial.record.bytes.extend_from_slice(value);
                    partial.next_chunk_index += 1;
                }
                Some(partial) => return Err(partial.record.index),
                None if self.orphan.is_none_or(|orphan| orphan == index) => {
                    self.orphan = Some(index);
                }
                None => return Err(index),
            }
        }
        let complete = |partial: &mut Partial| partial.record.bytes.len() >= partial.bytes_wanted;
        match self.current.take_if(complete) {
            Some(partial) if partial.record.bytes.len() == partial.bytes_wanted => Ok(ReadStep::Completes(partial.record)),
            Some(partial) => Err(partial.record.index),
            None => Ok(ReadStep::Goes),
        }
    }

    /// At the end of a range: no record may be waiting for chunks.
    pub(super) fn finish(&mut self) -> Result<(), u64> {
        match self.current.take() {
            Some(partial) => Err(partial.record.index),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(index: u64, len: usize) -> StoredRecord {
        StoredRecord { index, bytes: vec![index as u8; len] }
    }

    /// Rows as the database would return them.
    fn rows(records: &[StoredRecord]) -> Vec<([u8; KEY_BYTES], Vec<u8>)> {
        let mut rows: Vec<_> = records.iter().flat_map(split).map(|(key, value)| (key, value.into_owned())).collect();
        rows.sort();
        rows
    }

    fn read(rows: &[([u8; KEY_BYTES], Vec<u8>)]) -> Result<Vec<StoredRecord>, u64> {
        let mut reader = RecordReader::default();
        let mut budget = Budget::new(usize::MAX);
        let mut records = Vec::new();
        for (key, value) in rows {
            let (index, chunk_index) = parse_key(key).unwrap();
            if let ReadStep::Completes(record) = reader.take(index, chunk_index, value, &mut budget)? {
                records.push(record);
            }
        }
        reader.finish()?;
        Ok(records)
    }

    #[test]
    fn records_of_any_length_come_together_again() {
        let lengths = [0, 1, CHUNK_BYTES - LENGTH_BYTES, CHUNK_BYTES, 5 * CHUNK_BYTES + 3];
        let records: Vec<_> = (7..).zip(lengths).map(|(i, len)| record(i, len)).collect();
        let rows = rows(&records);
        assert!(rows.iter().all(|(_, value)| value.len() <= CHUNK_BYTES));
        assert_eq!(read(&rows), Ok(records));
    }

    #[test]
    fn a_record_is_there_with_its_first_row_and_damaged_without_another() {
        let records = [record(1, 10), record(2, 3 * CHUNK_BYTES), record(3, 10)];
        let whole = rows(&records);
        for gone in 1..5 {
            let mut rows = whole.clone();
            rows.remove(gone);
            let found = read(&rows);
            match gone {
                1 => assert_eq!(found, Ok(vec![records[0].clone(), records[2].clone()])),
                _ => assert_eq!(found, Err(2), "row {gone}"),
            }
        }
    }
}
