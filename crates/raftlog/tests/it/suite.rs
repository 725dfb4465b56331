//! openraft's own tests of a log store, and openraft running on it, with a state machine in memory.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::common::{Command, Log, Types, open};
use openraft::error::{Fatal, RPCError, RaftError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::RPCOption;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse};
use openraft::storage::{RaftStateMachine, Snapshot};
use openraft::testing::{StoreBuilder, Suite};
use openraft::{
    BasicNode, Config, Entry, EntryPayload, LogId, OptionalSend, Raft, RaftNetwork, RaftNetworkFactory, RaftSnapshotBuilder, SnapshotMeta,
    StorageError, StoredMembership, Vote,
};
use swarm_raftlog::LogStatus;
use tempfile::TempDir;

#[derive(Debug, Clone, Default)]
struct StateMachine {
    applied: Option<LogId<u64>>,
    membership: StoredMembership<u64, BasicNode>,
    /// Shared with the builder.
    snapshot: Arc<Mutex<Option<SnapshotMeta<u64, BasicNode>>>>,
}

fn snapshot(meta: SnapshotMeta<u64, BasicNode>) -> Snapshot<Types> {
    Snapshot { meta, snapshot: Box::new(Cursor::new(Vec::new())) }
}

impl RaftSnapshotBuilder<Types> for StateMachine {
    async fn build_snapshot(&mut self) -> Result<Snapshot<Types>, StorageError<u64>> {
        let meta = SnapshotMeta { last_log_id: self.applied, last_membership: self.membership.clone(), snapshot_id: "built".to_owned() };
        *self.snapshot.lock().unwrap() = Some(meta.clone());
        Ok(snapshot(meta))
    }
}

impl RaftStateMachine<Types> for StateMachine {
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> Result<(Option<LogId<u64>>, StoredMembership<u64, BasicNode>), StorageError<u64>> {
        Ok((self.applied, self.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<()>, StorageError<u64>>
    where
        I: IntoIterator<Item = Entry<Types>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut results = Vec::new();
        for entry in entries {
            self.applied = Some(entry.log_id);
            if let EntryPayload::Membership(membership) = entry.payload {
                self.membership = StoredMembership::new(Some(entry.log_id), membership);
            }
            results.push(());
        }
        Ok(results)
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<Cursor<Vec<u8>>>, StorageError<u64>> {
        Ok(Box::new(Cursor::new(Vec::new())))
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta<u64, BasicNode>,
        _snapshot: Box<Cursor<Vec<u8>>>,
    ) -> Result<(), StorageError<u64>> {
        self.applied = meta.last_log_id;
        self.membership = meta.last_membership.clone();
        *self.snapshot.lock().unwrap() = Some(meta.clone());
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<Types>>, StorageError<u64>> {
        Ok(self.snapshot.lock().unwrap().clone().map(snapshot))
    }
}

struct Builder;

impl StoreBuilder<Types, Log, StateMachine, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, Log, StateMachine), StorageError<u64>> {
        let dir = tempfile::tempdir().unwrap();
        let log = open(dir.path()).await;
        Ok((dir, log, StateMachine::default()))
    }
}

#[test]
fn the_log_passes_the_suite_of_openraft() {
    Suite::test_all(Builder).unwrap();
}

/// There is nobody else.
struct Alone;

impl RaftNetworkFactory<Types> for Alone {
    type Network = Alone;

    async fn new_client(&mut self, _target: u64, _node: &BasicNode) -> Alone {
        Alone
    }
}

fn nobody<E: std::error::Error>() -> RPCError<u64, BasicNode, E> {
    RPCError::Unreachable(Unreachable::new(&std::io::Error::other("there is nobody else")))
}

impl RaftNetwork<Types> for Alone {
    async fn append_entries(
        &mut self,
        _request: AppendEntriesRequest<Types>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<u64>, RPCError<u64, BasicNode, RaftError<u64>>> {
        Err(nobody())
    }

    async fn vote(
        &mut self,
        _request: VoteRequest<u64>,
        _option: RPCOption,
    ) -> Result<VoteResponse<u64>, RPCError<u64, BasicNode, RaftError<u64>>> {
        Err(nobody())
    }

    async fn full_snapshot(
        &mut self,
        _vote: Vote<u64>,
        _snapshot: Snapshot<Types>,
        _cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<u64>, StreamingError<Types, Fatal<u64>>> {
        let reason = std::io::Error::other("there is nobody else");
        Err(StreamingError::Unreachable(Unreachable::new(&reason)))
    }
}

/// Runs a member on `dir` for some writes, stops it, and waits for its database to be closed.
async fn run_member(dir: &Path, writes: u64) -> Option<LogId<u64>> {
    let log = open(dir).await;
    let mut status = log.status();
    let config = Arc::new(Config::default().validate().unwrap());
    let raft = Raft::new(1, config, Alone, log, StateMachine::default()).await.unwrap();
    if !raft.is_initialized().await.unwrap() {
        raft.initialize(BTreeMap::from([(1, BasicNode::default())])).await.unwrap();
    }
    let deadline = Some(Duration::from_secs(10));
    let wait = raft.wait(deadline);
    wait.current_leader(1, "alone").await.unwrap();
    for _ in 0..writes {
        let bytes = vec![7; 300];
        raft.client_write(Command { bytes }).await.unwrap();
    }
    let last = raft.metrics().borrow().last_applied;
    raft.shutdown().await.unwrap();
    drop(raft);
    let closed = |status: &LogStatus| matches!(status, LogStatus::Closed(None));
    drop(status.wait_for(closed).await.unwrap());
    last
}

#[tokio::test]
async fn a_member_finds_its_log_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let first = run_member(dir.path(), 100).await.unwrap();
    assert!(first.index > 100);
    let second = run_member(dir.path(), 10).await.unwrap();
    assert!(second.index >= first.index + 10, "{second} continues {first}");
}
