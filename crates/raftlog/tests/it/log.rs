//! What a log must do on one machine: keep, cut, purge, find again, and refuse what is damaged.

use crate::common::*;
use openraft::storage::{RaftLogStorage, RaftLogStorageExt};
use openraft::{RaftLogReader, Vote};
use swarm_raftlog::{LogError, LogStatus};

#[tokio::test]
async fn everything_is_found_again_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path()).await;
    append(&mut log, smalls(1, 0..10)).await;
    log.save_vote(&Vote::new_committed(7, 2)).await.unwrap();
    log.save_committed(Some(log_id(1, 8))).await.unwrap();
    log.purge(log_id(1, 3)).await.unwrap();

    let mut log = reopen(log, dir.path()).await;
    assert_eq!(texts(&read_all(&mut log).await), "1.4 1.5 1.6 1.7 1.8 1.9");
    assert_eq!(log.read_vote().await.unwrap(), Some(Vote::new_committed(7, 2)));
    assert_eq!(log.read_committed().await.unwrap(), Some(log_id(1, 8)));
    assert_eq!(log.last_purged(), Some(log_id(1, 3)));
    assert_eq!(last_log_id(&mut log).await, Some(log_id(1, 9)));
}

#[tokio::test]
async fn nothing_is_stored_in_the_clear() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path()).await;
    append(&mut log, vec![entry(1, 0, b"the password is swordfish".to_vec())]).await;
    close(log).await;
    for file in std::fs::read_dir(dir.path().join("log")).unwrap() {
        let path = file.unwrap().path();
        if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            assert!(!bytes.windows(9).any(|window| window == b"swordfish"), "{path:?}");
        }
    }
}

#[tokio::test]
async fn entries_of_any_size_are_kept_whole() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path()).await;
    let sizes = [0, 1, 16_000, 16_384, 16_385, 1_040_000, 7_000_000, 300];
    let entries: Vec<_> = (0..).zip(sizes).map(|(index, size)| entry(1, index, vec![index as u8; size])).collect();
    append(&mut log, entries.clone()).await;
    assert_eq!(read_all(&mut log).await, entries);
    let mut log = reopen(log, dir.path()).await;
    assert_eq!(read_all(&mut log).await, entries);

    // A follower gets them in messages of bounded size, but always at least one.
    let counts = [(0, 5), (5, 1), (6, 1), (7, 1)];
    for (start, count) in counts {
        let got = log.limited_get_log_entries(start, 8).await.unwrap();
        assert_eq!(got, entries[start as usize..][..count], "from {start}");
    }
    log.truncate(log_id(1, 5)).await.unwrap();
    append(&mut log, smalls(2, 5..7)).await;
    let mut log = reopen(log, dir.path()).await;
    assert_eq!(texts(&read_all(&mut log).await[5..]), "2.5 2.6");
    let blobs = std::fs::read_dir(dir.path().join("log/blobs")).unwrap();
    assert_eq!(blobs.count(), 0);
}

#[tokio::test]
async fn an_entry_above_the_bound_is_refused_and_the_log_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path()).await;
    let huge = entry(1, 0, vec![0; swarm_raftlog::ENTRY_BYTES_MAX]);
    let error = log.blocking_append([huge]).await.unwrap_err();
    assert!(error.to_string().contains("log entry 0 is"), "{error}");
    append(&mut log, smalls(1, 0..2)).await;
    assert_eq!(bounds(&mut log).await, "0..=1");
}

#[tokio::test]
async fn a_cut_log_continues_with_other_entries() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path()).await;
    append(&mut log, smalls(1, 0..6)).await;
    log.truncate(log_id(1, 4)).await.unwrap();
    assert_eq!(last_log_id(&mut log).await, Some(log_id(1, 3)));
    append(&mut log, smalls(2, 4..7)).await;
    assert_eq!(texts(&read_all(&mut log).await), "1.0 1.1 1.2 1.3 2.4 2.5 2.6");

    let mut log = reopen(log, dir.path()).await;
    assert_eq!(texts(&read_all(&mut log).await), "1.0 1.1 1.2 1.3 2.4 2.5 2.6");
    log.truncate(log_id(1, 0)).await.unwrap();
    assert_eq!(last_log_id(&mut log).await, None);
    append(&mut log, smalls(3, 0..1)).await;
    let mut log = reopen(log, dir.path()).await;
    assert_eq!(texts(&read_all(&mut log).await), "3.0");
}

#[tokio::test]
async fn entries_that_do_not_continue_the_log_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path()).await;
    append(&mut log, smalls(1, 0..3)).await;
    for wrong in [smalls(1, 2..3), smalls(1, 4..5), vec![small(1, 3), small(1, 5)]] {
        let error = log.blocking_append(wrong).await.unwrap_err();
        assert!(error.to_string().contains("cannot follow"), "{error}");
    }
    append(&mut log, smalls(1, 3..4)).await;
    assert_eq!(bounds(&mut log).await, "0..=3");
}

#[tokio::test]
async fn a_purge_beyond_the_end_empties_the_log_and_it_goes_on_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path()).await;
    append(&mut log, smalls(1, 0..5)).await;
    log.purge(log_id(3, 90)).await.unwrap();
    assert_eq!(last_log_id(&mut log).await, Some(log_id(3, 90)));
    append(&mut log, smalls(3, 91..93)).await;
    let mut log = reopen(log, dir.path()).await;
    assert_eq!(bounds(&mut log).await, "91..=92");
    assert_eq!(log.last_purged(), Some(log_id(3, 90)));
}

/// More than is kept in memory, so reads come from disk, from memory, and from both.
#[tokio::test]
async fn a_long_log_is_read_from_disk_and_memory_alike() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path()).await;
    for start in (0..10_000).step_by(500) {
        append(&mut log, smalls(1, start..start + 500)).await;
    }
    let mut reader = log.get_log_reader().await;
    for range in [0..10, 0..10_000, 5_000..7_000, 9_990..20_000, 4_000..4_001] {
        let entries = reader.try_get_log_entries(range.clone()).await.unwrap();
        assert_eq!(entries, smalls(1, range.start..range.end.min(10_000)));
    }
    log.purge(log_id(1, 8_999)).await.unwrap();
    log.truncate(log_id(1, 9_500)).await.unwrap();
    assert_eq!(bounds(&mut log).await, "9000..=9499");
    let mut log = reopen(log, dir.path()).await;
    assert_eq!(bounds(&mut log).await, "9000..=9499");
    append(&mut log, smalls(2, 9_500..9_501)).await;
}

/// Readers of other threads never see a hole or an old entry while the log is cut and purged.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readers_are_not_disturbed_by_deletions() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path()).await;
    let reading = tokio::spawn({
        let mut reader = log.get_log_reader().await;
        let mut status = log.status();
        async move {
            let mut reads = 0_u64;
            while matches!(*status.borrow_and_update(), LogStatus::Open) {
                let Ok(entries) = reader.try_get_log_entries(..).await else {
                    // The only reason for a read to fail is that the log is closed.
                    drop(status.wait_for(|s| matches!(s, LogStatus::Closed(None))).await);
                    break;
                };
                for pair in entries.windows(2) {
                    assert_eq!(pair[0].log_id.index + 1, pair[1].log_id.index);
                    assert!(pair[0].log_id <= pair[1].log_id);
                }
                reads += 1;
            }
            reads
        }
    });
    let mut next = 0;
    for term in 1..60 {
        let entries = (next..next + 100).map(|index| entry(term, index, vec![0; if index % 40 == 0 { 100_000 } else { 100 }])).collect();
        append(&mut log, entries).await;
        next += 90;
        log.truncate(log_id(term, next)).await.unwrap();
        if next > 300 {
            let entries = log.try_get_log_entries(next - 200..next - 199).await.unwrap();
            log.purge(entries[0].log_id).await.unwrap();
        }
    }
    close(log).await;
    assert!(reading.await.unwrap() > 0);
}

#[tokio::test]
async fn a_log_is_open_once() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path()).await;
    let error = refusal(dir.path()).await;
    assert!(matches!(error, LogError::InUse { .. }), "{error}");
    close(log).await;
    open(dir.path()).await;
}
