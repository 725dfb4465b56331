//! A type configuration, and shorthands for what the tests do over and over.

pub(crate) mod disk;
pub(crate) mod workload;

use std::io::Cursor;
use std::path::Path;

use openraft::storage::{RaftLogStorage, RaftLogStorageExt};
use openraft::{BasicNode, CommittedLeaderId, Entry, EntryPayload, LogId, RaftLogReader, SnapshotMeta, StoredMembership};
use serde::{Deserialize, Serialize};
use swarm_raftlog::{Keys, LogError, LogStatus, RaftLog};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Command {
    #[serde(with = "serde_bytes")]
    pub(crate) bytes: Vec<u8>,
}

openraft::declare_raft_types!(
    pub(crate) Types:
        D = Command,
        R = (),
        NodeId = u64,
        Node = BasicNode,
        SnapshotData = Cursor<Vec<u8>>,
);

pub(crate) type Log = RaftLog<Types>;

pub(crate) fn log_id(term: u64, index: u64) -> LogId<u64> {
    LogId::new(CommittedLeaderId::new(term, 1), index)
}

pub(crate) fn entry(term: u64, index: u64, bytes: Vec<u8>) -> Entry<Types> {
    Entry { log_id: log_id(term, index), payload: EntryPayload::Normal(Command { bytes }) }
}

/// A small entry that tells its term and index.
pub(crate) fn small(term: u64, index: u64) -> Entry<Types> {
    entry(term, index, format!("{term}.{index}").into_bytes())
}

pub(crate) fn smalls(term: u64, indexes: std::ops::Range<u64>) -> Vec<Entry<Types>> {
    indexes.map(|index| small(term, index)).collect()
}

pub(crate) fn bytes_of(entry: &Entry<Types>) -> &[u8] {
    match &entry.payload {
        EntryPayload::Normal(command) => &command.bytes,
        other => panic!("not a command: {other:?}"),
    }
}

pub(crate) fn texts(entries: &[Entry<Types>]) -> String {
    entries.iter().map(|entry| String::from_utf8_lossy(bytes_of(entry)).into_owned()).collect::<Vec<_>>().join(" ")
}

pub(crate) fn meta(index: u64, id: &str) -> SnapshotMeta<u64, BasicNode> {
    SnapshotMeta { last_log_id: Some(log_id(1, index)), last_membership: StoredMembership::default(), snapshot_id: id.to_owned() }
}

pub(crate) async fn open(dir: &Path) -> Log {
    try_open(dir).await.unwrap()
}

pub(crate) async fn try_open(dir: &Path) -> Result<Log, LogError> {
    let keys = Keys::open(dir, None).unwrap();
    Log::open(dir, &keys).await
}

/// Closes a log and waits until its database may be opened again.
pub(crate) async fn close(log: Log) {
    let mut status = log.status();
    drop(log);
    let closed = |status: &LogStatus| matches!(status, LogStatus::Closed(_));
    drop(status.wait_for(closed).await.unwrap());
}

pub(crate) async fn reopen(log: Log, dir: &Path) -> Log {
    close(log).await;
    open(dir).await
}

pub(crate) async fn append(log: &mut Log, entries: Vec<Entry<Types>>) {
    log.blocking_append(entries).await.unwrap();
}

pub(crate) async fn read_all(log: &mut Log) -> Vec<Entry<Types>> {
    log.try_get_log_entries(..).await.unwrap()
}

/// First and last index, as `first..=last`; empty if there are no entries.
pub(crate) async fn bounds(log: &mut Log) -> String {
    let entries = read_all(log).await;
    match (entries.first(), entries.last()) {
        (Some(first), Some(last)) => {
            let count = last.log_id.index - first.log_id.index + 1;
            assert_eq!(entries.len() as u64, count, "no holes");
            format!("{}..={}", first.log_id.index, last.log_id.index)
        }
        _ => String::new(),
    }
}

pub(crate) async fn last_log_id(log: &mut Log) -> Option<LogId<u64>> {
    log.get_log_state().await.unwrap().last_log_id
}

/// Why a log cannot be opened.
pub(crate) async fn refusal(dir: &Path) -> LogError {
    match try_open(dir).await {
        Ok(_) => panic!("a damaged log was opened"),
        Err(error) => error,
    }
}
