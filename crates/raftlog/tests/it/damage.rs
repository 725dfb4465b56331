//! Whatever is damaged on disk is named, and never read as if it were whole.

use std::path::Path;

use crate::common::*;
use openraft::Vote;
use openraft::storage::RaftLogStorage;
use swarm_raftlog::{Keys, LogBackend, LogError, MetaKey, PurgeStep, SledBackend, StoredRecord, Wipe, set_aside, wipe};

/// Changes the database behind the log's back.
fn tamper(dir: &Path, change: impl FnOnce(&SledBackend)) {
    let backend = SledBackend::open(&dir.join("log")).unwrap();
    change(&backend);
    backend.sync().unwrap();
}

fn record(backend: &SledBackend, index: u64) -> StoredRecord {
    backend.read(index..index + 1, usize::MAX).unwrap().records.remove(0)
}

async fn log_of_ten(dir: &Path) {
    let mut log = open(dir).await;
    append(&mut log, smalls(1, 0..10)).await;
    log.save_vote(&Vote::new(1, 1)).await.unwrap();
    log.save_committed(Some(log_id(1, 5))).await.unwrap();
    close(log).await;
}

#[tokio::test]
async fn an_altered_entry_is_named() {
    let dir = tempfile::tempdir().unwrap();
    log_of_ten(dir.path()).await;
    tamper(dir.path(), |backend| {
        let mut altered = record(backend, 6);
        *altered.bytes.last_mut().unwrap() ^= 1;
        let rest: Vec<_> = (7..10).map(|index| record(backend, index)).collect();
        backend.truncate(6).unwrap();
        backend.append(&[altered]).unwrap();
        backend.append(&rest).unwrap();
    });
    let error = refusal(dir.path()).await;
    assert!(matches!(error, LogError::Corrupt { index: 6, .. }), "{error}");
    assert!(error.needs_rebuild());
    assert!(error.to_string().contains("log entry 6 in "), "{error}");
}

#[tokio::test]
async fn exchanged_entries_are_named() {
    let dir = tempfile::tempdir().unwrap();
    log_of_ten(dir.path()).await;
    tamper(dir.path(), |backend| {
        let mut eight = record(backend, 8);
        let mut nine = record(backend, 9);
        std::mem::swap(&mut eight.bytes, &mut nine.bytes);
        backend.truncate(8).unwrap();
        backend.append(&[eight, nine]).unwrap();
    });
    let error = refusal(dir.path()).await;
    assert!(matches!(error, LogError::Corrupt { index: 8, .. }), "{error}");
}

#[tokio::test]
async fn an_exchanged_or_altered_vote_is_named() {
    let dir = tempfile::tempdir().unwrap();
    log_of_ten(dir.path()).await;
    tamper(dir.path(), |backend| {
        let committed = backend.get_meta(MetaKey::Committed).unwrap().unwrap();
        backend.put_meta(MetaKey::Vote, &committed).unwrap();
    });
    let error = refusal(dir.path()).await;
    let named = matches!(error, LogError::CorruptMeta { record: MetaKey::Vote, .. });
    assert!(named, "{error}");
}

#[tokio::test]
async fn holes_are_named() {
    let dir = tempfile::tempdir().unwrap();
    log_of_ten(dir.path()).await;
    tamper(dir.path(), |backend| {
        let rest: Vec<_> = (5..10).map(|index| record(backend, index)).collect();
        backend.truncate(4).unwrap();
        backend.append(&rest).unwrap();
    });
    let error = refusal(dir.path()).await;
    let named = matches!(error, LogError::Hole { expected: 4, found: Some(5), .. });
    assert!(named, "{error}");
    assert!(error.needs_rebuild());

    let dir = tempfile::tempdir().unwrap();
    log_of_ten(dir.path()).await;
    tamper(dir.path(), |backend| {
        backend.purge(2).unwrap();
    });
    let error = refusal(dir.path()).await;
    let named = matches!(error, LogError::Hole { expected: 0, found: Some(3), .. });
    assert!(named, "{error}");
}

#[tokio::test]
async fn another_key_is_told_from_damage_and_a_wiped_member_starts_anew() {
    let dir = tempfile::tempdir().unwrap();
    log_of_ten(dir.path()).await;
    std::fs::remove_file(dir.path().join("dek.json")).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let keys = Keys::open(elsewhere.path(), None).unwrap();
    let Err(error) = Log::open(dir.path(), &keys).await else {
        panic!("opened with another key");
    };
    assert!(matches!(error, LogError::WrongKey { .. }), "{error}");
    assert!(!error.needs_rebuild());

    wipe(dir.path(), Wipe::StateAndKeys).unwrap();
    wipe(dir.path(), Wipe::StateAndKeys).unwrap();
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    let mut log = open(dir.path()).await;
    assert_eq!(last_log_id(&mut log).await, None);
    assert_eq!(log.read_vote().await.unwrap(), None);
}

#[tokio::test]
async fn what_is_set_aside_is_kept_and_the_member_starts_anew() {
    let dir = tempfile::tempdir().unwrap();
    log_of_ten(dir.path()).await;
    let key = std::fs::read(dir.path().join("dek.json")).unwrap();
    // Interrupted after the first step, and after the last one.
    std::fs::create_dir(dir.path().join("old")).unwrap();
    std::fs::rename(dir.path().join("log"), dir.path().join("old/log")).unwrap();
    set_aside(dir.path(), "old").unwrap();
    set_aside(dir.path(), "old").unwrap();
    let mut names: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["dek.json", "old"]);
    let mut log = open(dir.path()).await;
    assert_eq!((last_log_id(&mut log).await, log.read_vote().await.unwrap()), (None, None));
    close(log).await;
    assert_eq!(std::fs::read(dir.path().join("dek.json")).unwrap(), key);

    // The data is whole where it is now.
    std::fs::copy(dir.path().join("dek.json"), dir.path().join("old/dek.json")).unwrap();
    let mut log = open(&dir.path().join("old")).await;
    assert_eq!(bounds(&mut log).await, "0..=9");
    close(log).await;

    // A key that cannot be read goes too.
    std::fs::write(dir.path().join("dek.json"), &key[..key.len() / 2]).unwrap();
    assert!(Keys::open(dir.path(), None).unwrap_err().needs_rebuild());
    set_aside(dir.path(), "older").unwrap();
    assert!(dir.path().join("older/dek.json").exists());
    let mut log = open(dir.path()).await;
    append(&mut log, smalls(1, 0..1)).await;
}

#[tokio::test]
async fn a_database_of_noise_is_an_error_and_not_a_panic() {
    let dir = tempfile::tempdir().unwrap();
    log_of_ten(dir.path()).await;
    // Until now the journal alone could restore everything.
    let mut log = open(dir.path()).await;
    append(&mut log, smalls(1, 10..11)).await;
    close(log).await;
    let file = dir.path().join("log/db");
    let mut bytes = std::fs::read(&file).unwrap();
    for (position, byte) in bytes.iter_mut().enumerate() {
        *byte ^= (position % 251) as u8;
    }
    std::fs::write(&file, bytes).unwrap();
    let error = refusal(dir.path()).await;
    assert!(error.needs_rebuild(), "{error}");

    wipe(dir.path(), Wipe::State).unwrap();
    let mut log = open(dir.path()).await;
    append(&mut log, smalls(1, 0..1)).await;
}

/// sled alone takes many a flipped bit for the torn end of its file and opens as it was earlier.
#[test]
fn a_flipped_bit_is_noticed_or_does_no_harm() {
    const ENTRIES: u64 = 6000;
    const FLIPS: usize = 40;
    let dir = tempfile::tempdir().unwrap();
    let original = dir.path().join("original");
    let backend = SledBackend::open(&original).unwrap();
    for index in 0..ENTRIES {
        let bytes = index.to_be_bytes().repeat(50);
        backend.append(&[StoredRecord { index, bytes }]).unwrap();
        if index % 500 == 0 {
            backend.put_meta(MetaKey::Vote, &index.to_be_bytes()).unwrap();
            backend.sync().unwrap();
        }
    }
    while backend.purge(ENTRIES / 2).unwrap() == PurgeStep::More {}
    backend.sync().unwrap();
    drop(backend);

    let database = std::fs::read(original.join("db")).unwrap();
    let mut noticed = 0;
    for flip in 0..FLIPS {
        let copy = dir.path().join("copy");
        std::fs::create_dir_all(copy.join("blobs")).unwrap();
        std::fs::copy(original.with_extension("mark"), copy.with_extension("mark")).unwrap();
        std::fs::copy(original.join("conf"), copy.join("conf")).unwrap();
        std::fs::copy(original.join("journal"), copy.join("journal")).unwrap();
        let mut flipped = database.clone();
        flipped[database.len() / FLIPS * flip + 77] ^= 0x10;
        std::fs::write(copy.join("db"), flipped).unwrap();
        let found = SledBackend::open(&copy).and_then(|backend| {
            let entries = backend.read(ENTRIES / 2 + 1..u64::MAX, usize::MAX)?;
            Ok((entries.records, backend.get_meta(MetaKey::Vote)?))
        });
        match found {
            Err(error) => {
                assert!(error.needs_rebuild(), "{error}");
                noticed += 1;
            }
            Ok((records, vote)) => {
                let indexes: Vec<_> = records.iter().map(|record| record.index).collect();
                assert_eq!(indexes, (ENTRIES / 2 + 1..ENTRIES).collect::<Vec<_>>());
                assert_eq!(vote, Some(5500_u64.to_be_bytes().to_vec()));
            }
        }
        std::fs::remove_dir_all(&copy).unwrap();
    }
    assert!(noticed > 0, "some flips must do harm, or the test shows nothing");
}
