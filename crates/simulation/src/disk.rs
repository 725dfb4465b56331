//! A disk in memory. What was not synced is lost when the power goes.

use crate::system::Dice;
use std::{
    collections::BTreeMap,
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};
use swarm_raftlog::{LogBackend, LogError, MetaKey, PurgeStep, StoredRecord, StoredRecords};

/// A disk that lies really syncs once in so many times.
const TRUE_SYNC_OF: usize = 25;

#[derive(Debug, Clone, Default)]
struct Image {
    records: BTreeMap<u64, Arc<[u8]>>,
    meta: BTreeMap<&'static str, Arc<[u8]>>,
}

#[derive(Debug, Clone)]
enum Change {
    Put(u64, Arc<[u8]>),
    Truncate(u64),
    Purge(u64),
    Meta(&'static str, Arc<[u8]>),
}

impl Image {
    fn apply(&mut self, change: Change) {
        match change {
            Change::Put(index, bytes) => drop(self.records.insert(index, bytes)),
            Change::Truncate(from) => drop(self.records.split_off(&from)),
            Change::Purge(upto) => self.records = self.records.split_off(&(upto + 1)),
            Change::Meta(key, bytes) => drop(self.meta.insert(key, bytes)),
        }
    }
}

#[derive(Debug, Default)]
struct Platters {
    written: Image,
    synced: Image,
    /// What `written` has and `synced` has not.
    unsynced: Vec<Change>,
    /// Of a disk that says it has synced and mostly has not.
    lies: Option<Dice>,
}

/// A disk that outlives its manager.
#[derive(Debug, Clone)]
pub(crate) struct Disk {
    platters: Arc<Mutex<Platters>>,
    path: PathBuf,
}

impl Disk {
    /// `lies`: the dice of a disk that does not keep what it promises.
    pub(crate) fn new(name: &str, lies: Option<Dice>) -> Self {
        Self { platters: Arc::new(Mutex::new(Platters { lies, ..Platters::default() })), path: PathBuf::from(name) }
    }

    /// The power goes.
    pub(crate) fn lose_power(&self) {
        self.with(|p| {
            p.written = p.synced.clone();
            p.unsynced.clear();
        });
    }

    /// Nothing is on it any more.
    pub(crate) fn wipe(&self) {
        self.with(|p| {
            (p.written, p.synced) = (Image::default(), Image::default());
            p.unsynced.clear();
        });
    }

    fn with<T>(&self, work: impl FnOnce(&mut Platters) -> T) -> T {
        work(&mut self.platters.lock().expect("nothing panics while holding it"))
    }

    fn write(&self, changes: impl IntoIterator<Item = Change>) {
        self.with(|p| {
            for change in changes {
                p.written.apply(change.clone());
                p.unsynced.push(change);
            }
        });
    }
}

impl LogBackend for Disk {
    fn path(&self) -> &Path {
        &self.path
    }

    fn append(&self, records: &[StoredRecord]) -> Result<(), LogError> {
        self.write(records.iter().map(|r| Change::Put(r.index, r.bytes.as_slice().into())));
        Ok(())
    }

    fn truncate(&self, from: u64) -> Result<(), LogError> {
        self.write([Change::Truncate(from)]);
        Ok(())
    }

    fn purge(&self, upto: u64) -> Result<PurgeStep, LogError> {
        self.write([Change::Purge(upto)]);
        Ok(PurgeStep::Done)
    }

    fn read(&self, range: Range<u64>, bytes_max: usize) -> Result<StoredRecords, LogError> {
        let mut found = StoredRecords::default();
        let mut bytes_read = 0;
        self.with(|p| {
            for (index, bytes) in p.written.records.range(range) {
                if !found.records.is_empty() && bytes_read + bytes.len() > bytes_max {
                    found.more = true;
                    break;
                }
                bytes_read += bytes.len();
                found.records.push(StoredRecord { index: *index, bytes: bytes.to_vec() });
            }
        });
        Ok(found)
    }

    fn put_meta(&self, key: MetaKey, bytes: &[u8]) -> Result<(), LogError> {
        self.write([Change::Meta(key.name(), bytes.into())]);
        Ok(())
    }

    fn get_meta(&self, key: MetaKey) -> Result<Option<Vec<u8>>, LogError> {
        Ok(self.with(|p| p.written.meta.get(key.name()).map(|bytes| bytes.to_vec())))
    }

    fn sync(&self) -> Result<(), LogError> {
        self.with(|p| {
            if p.lies.as_mut().is_some_and(|dice| dice.below(TRUE_SYNC_OF) != 0) {
                return;
            }
            for change in std::mem::take(&mut p.unsynced) {
                p.synced.apply(change);
            }
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(index: u64) -> StoredRecord {
        StoredRecord { index, bytes: vec![index as u8] }
    }

    fn indexes(disk: &Disk) -> Vec<u64> {
        disk.read(0..u64::MAX, usize::MAX).expect("reads").records.iter().map(|r| r.index).collect()
    }

    #[test]
    fn the_power_takes_what_was_not_synced_and_nothing_else() {
        let disk = Disk::new("d", None);
        disk.append(&[record(1), record(2), record(3)]).expect("writes");
        disk.purge(1).expect("purges");
        disk.sync().expect("syncs");
        disk.truncate(3).expect("truncates");
        disk.append(&[record(3), record(4)]).expect("writes");
        assert_eq!(indexes(&disk), [2, 3, 4]);
        disk.lose_power();
        assert_eq!(indexes(&disk), [2, 3]);
        disk.append(&[record(4)]).expect("writes");
        disk.sync().expect("syncs");
        disk.lose_power();
        assert_eq!(indexes(&disk), [2, 3, 4]);
    }
}
