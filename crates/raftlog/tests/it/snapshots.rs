//! Snapshots: whole or not at all.

use std::io::{Read, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use swarm_raftlog::{Keys, SnapshotError, SnapshotStore, StoredSnapshot};

use crate::common::workload::Dice;
use crate::common::{Types, meta};

type Store = SnapshotStore<Types>;

const CHUNK: usize = 1024 * 1024;
/// A member whose log holds nothing that could make up for a snapshot.
const NO_LOG: std::ops::Range<u64> = u64::MAX..u64::MAX;

fn store(dir: &Path) -> Store {
    let keys = Keys::open(dir, None).unwrap();
    let keep = NonZeroUsize::new(2).unwrap();
    Store::open(dir, &keys, keep).unwrap()
}

fn noise(len: usize) -> Vec<u8> {
    let mut dice = Dice(len as u64);
    (0..len).map(|_| dice.below(256) as u8).collect()
}

fn written(store: &Store, index: u64, content: &[u8]) -> StoredSnapshot<Types> {
    let mut writer = store.create(meta(index, "s")).unwrap();
    writer.write_all(content).unwrap();
    writer.commit().unwrap()
}

fn content(stored: &StoredSnapshot<Types>) -> Result<Vec<u8>, std::io::Error> {
    let mut content = Vec::new();
    stored.reader().read_to_end(&mut content)?;
    Ok(content)
}

fn files(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        std::fs::read_dir(dir.join("snapshots")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn content_of_any_length_comes_back_with_its_description() {
    let dir = tempfile::tempdir().unwrap();
    for (index, len) in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK].into_iter().enumerate() {
        let content_written = noise(len);
        let stored = written(&store(dir.path()), index as u64, &content_written);
        assert_eq!(content(&stored).unwrap(), content_written, "{len} bytes");
        // As after a restart: nothing is known of the file, so all of it is checked.
        let found = store(dir.path()).newest(&NO_LOG).unwrap().unwrap();
        assert_eq!(found.meta(), &meta(index as u64, "s"));
        assert_eq!(content(&found).unwrap(), content_written, "{len} bytes");
        let bytes = std::fs::read(found.path()).unwrap();
        assert_eq!(bytes.len() as u64, found.file_bytes());
        if len > 100 {
            let part = &content_written[..32];
            assert!(!bytes.windows(32).any(|window| window == part));
        }
    }
}

#[test]
fn the_highest_index_counts_as_newest_and_only_some_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    assert!(store.newest(&NO_LOG).unwrap().is_none());
    for index in [5, 900, 1000, 30] {
        written(&store, index, &index.to_be_bytes());
    }
    let newest = store.newest(&NO_LOG).unwrap().unwrap();
    assert_eq!(content(&newest).unwrap(), 1000_u64.to_be_bytes());
    assert_eq!(files(dir.path()).len(), 2);
    // Built again at the same index: the later one counts.
    written(&store, 1000, b"again");
    let newest = store.newest(&NO_LOG).unwrap().unwrap();
    assert_eq!(content(&newest).unwrap(), b"again");
}

#[test]
fn a_snapshot_being_read_stays_readable_when_it_is_dropped_for_newer_ones() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let old = written(&store, 1, b"old");
    for index in 2..5 {
        written(&store, index, b"new");
    }
    assert!(!old.path().exists());
    assert_eq!(content(&old).unwrap(), b"old");
}

#[test]
fn what_is_not_committed_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let first = store(dir.path());
    let mut writer = first.create(meta(1, "s")).unwrap();
    writer.append(&noise(2 * CHUNK)).unwrap();
    assert_eq!(files(dir.path()), ["0000000000.tmp"]);
    drop(writer);
    assert!(files(dir.path()).is_empty());

    // After a crash the destructor did not run.
    std::mem::forget(first.create(meta(1, "s")).unwrap());
    assert_eq!(files(dir.path()).len(), 1);
    assert!(store(dir.path()).newest(&NO_LOG).unwrap().is_none());
    assert!(files(dir.path()).is_empty());
}

/// Changes the only snapshot file, and returns what a restarted member says to it.
fn after(dir: &Path, change: impl FnOnce(&mut Vec<u8>)) -> SnapshotError {
    let path: PathBuf = dir.join("snapshots").join(&files(dir)[0]);
    let original = std::fs::read(&path).unwrap();
    let mut changed = original.clone();
    change(&mut changed);
    assert_ne!(original, changed);
    std::fs::write(&path, changed).unwrap();
    let error = store(dir).newest(&NO_LOG).unwrap_err();
    std::fs::write(&path, original).unwrap();
    assert!(store(dir).newest(&NO_LOG).unwrap().is_some(), "the change was undone");
    error
}

#[test]
fn every_kind_of_damage_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    written(&store(dir.path()), 1, &noise(2 * CHUNK + 5));
    let sealed_chunk = 4 + CHUNK + 41;
    let last_chunk = 4 + 5 + 41;

    let cut_within = after(dir.path(), |bytes| bytes.truncate(bytes.len() - 3));
    assert!(matches!(cut_within, SnapshotError::WrongLength { .. }), "{cut_within}");
    let cut_between = after(dir.path(), |bytes| bytes.truncate(bytes.len() - last_chunk));
    assert!(matches!(cut_between, SnapshotError::WrongLength { .. }), "{cut_between}");
    let longer = after(dir.path(), |bytes| bytes.push(0));
    assert!(matches!(longer, SnapshotError::WrongLength { .. }), "{longer}");
    let empty = after(dir.path(), Vec::clear);
    assert!(matches!(empty, SnapshotError::NotASnapshot { .. }), "{empty}");

    let altered = after(dir.path(), |bytes| {
        let position = bytes.len() - last_chunk - 1000;
        bytes[position] ^= 0x10;
    });
    assert!(matches!(altered, SnapshotError::Corrupt { chunk_index: 1, .. }), "{altered}");
    let exchanged = after(dir.path(), |bytes| {
        let second = bytes.len() - last_chunk - sealed_chunk;
        let (before, after) = bytes.split_at_mut(second);
        let first = before.len() - sealed_chunk;
        before[first..].swap_with_slice(&mut after[..sealed_chunk]);
    });
    assert!(matches!(exchanged, SnapshotError::Corrupt { chunk_index: 0, .. }), "{exchanged}");
    let description = after(dir.path(), |bytes| bytes[80] ^= 1);
    assert!(matches!(description, SnapshotError::CorruptMeta { .. }), "{description}");
    let key = after(dir.path(), |bytes| bytes[30] ^= 1);
    assert!(matches!(key, SnapshotError::WrongKey { .. }), "{key}");
    assert!(!key.needs_rebuild() && altered.needs_rebuild());
}

#[test]
fn a_damaged_snapshot_is_passed_over_only_if_the_log_holds_what_was_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let first = store(dir.path());
    written(&first, 10, b"old");
    let newest = written(&first, 20, b"new");
    let mut bytes = std::fs::read(newest.path()).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(newest.path(), bytes).unwrap();
    // Entry 11 is not in the log any more, or entry 20 not yet: going back to entry 10 would forget something.
    for log in [12..30, 11..20, 0..0] {
        let error = store(dir.path()).newest(&log).unwrap_err();
        assert!(matches!(error, SnapshotError::Corrupt { chunk_index: 0, .. }), "{error}");
        assert!(error.to_string().contains(newest.path().to_str().unwrap()), "{error}");
        assert_eq!(files(dir.path()).len(), 2, "nothing is thrown away");
    }
    let found = store(dir.path()).newest(&(11..21)).unwrap().unwrap();
    assert_eq!(content(&found).unwrap(), b"old");
    assert_eq!(files(dir.path()).len(), 1, "the damaged one must not hide later ones");

    let old = dir.path().join("snapshots").join(&files(dir.path())[0]);
    std::fs::write(&old, b"").unwrap();
    assert!(store(dir.path()).newest(&(1..21)).is_err());
    assert!(store(dir.path()).newest(&(0..11)).unwrap().is_none(), "the log alone holds everything");
}

#[test]
fn a_store_knows_whether_it_holds_a_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    let first = store(dir.path());
    assert!(!first.holds(&meta(10, "s")).unwrap());
    written(&first, 10, b"content");
    assert!(first.holds(&meta(10, "s")).unwrap());
    assert!(!first.holds(&meta(11, "s")).unwrap());
    assert!(first.newest_bytes().unwrap() > 7);
    // Not read since the restart, so perhaps damaged.
    assert!(!store(dir.path()).holds(&meta(10, "s")).unwrap());
}

#[test]
fn no_byte_of_a_damaged_chunk_is_given_out() {
    let dir = tempfile::tempdir().unwrap();
    let stored = written(&store(dir.path()), 1, &noise(2 * CHUNK));
    let mut bytes = std::fs::read(stored.path()).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(stored.path(), bytes).unwrap();
    let mut reader = stored.reader();
    let mut read = Vec::new();
    let error = reader.read_to_end(&mut read).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
    assert_eq!(read, &noise(2 * CHUNK)[..CHUNK]);
    assert!(reader.next_chunk().is_err(), "it stays an error");
}

#[tokio::test]
async fn chunks_are_received_and_streamed_in_the_background() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let whole = noise(5 * CHUNK + 77);
    let mut sink = store.receive(meta(9, "sent"));
    for part in whole.chunks(300_000) {
        sink.push(Bytes::copy_from_slice(part)).await.unwrap();
    }
    let stored = sink.commit().await.unwrap();

    let mut stream = stored.stream();
    let mut streamed = Vec::new();
    while let Some(chunk) = stream.recv().await {
        streamed.extend_from_slice(&chunk.unwrap());
    }
    assert!(streamed == whole);
    assert_eq!(files(dir.path()).len(), 1);
}

#[tokio::test]
async fn a_failure_in_the_background_is_told_to_the_sender() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    std::fs::remove_dir(dir.path().join("snapshots")).unwrap();
    let mut sink = store.receive(meta(1, "s"));
    let error = loop {
        if let Err(error) = sink.push(Bytes::from_static(b"x")).await {
            break error;
        }
    };
    assert!(matches!(error, SnapshotError::File { .. }), "{error}");
    assert!(sink.commit().await.is_err());
}
