//! openraft's own tests of a log store, with a state machine in memory beside it.

use std::io::Cursor;
use std::sync::{Arc, Mutex};

use crate::common::{Log, Types, open};
use openraft::storage::{RaftStateMachine, Snapshot};
use openraft::testing::{StoreBuilder, Suite};
use openraft::{
    BasicNode, Entry, EntryPayload, LogId, OptionalSend, RaftSnapshotBuilder, SnapshotMeta,
    StorageError, StoredMembership,
};
use tempfile::TempDir;

#[derive(Debug, Clone, Default)]
struct StateMachine {
    applied: Option<LogId<u64>>,
    membership: StoredMembership<u64, BasicNode>,
    /// Shared with the builder.
    snapshot: Arc<Mutex<Option<SnapshotMeta<u64, BasicNode>>>>,
}

fn snapshot(meta: SnapshotMeta<u64, BasicNode>) -> Snapshot<Types> {
    Snapshot {
        meta,
        snapshot: Box::new(Cursor::new(Vec::new())),
    }
}

impl RaftSnapshotBuilder<Types> for StateMachine {
    async fn build_snapshot(&mut self) -> Result<Snapshot<Types>, StorageError<u64>> {
        let meta = SnapshotMeta {
            last_log_id: self.applied,
            last_membership: self.membership.clone(),
            snapshot_id: "built".to_owned(),
        };
        *self.snapshot.lock().unwrap() = Some(meta.clone());
        Ok(snapshot(meta))
    }
}

impl RaftStateMachine<Types> for StateMachine {
    type SnapshotBuilder = Self;

    async fn applied_state(
        &mut self,
    ) -> Result<(Option<LogId<u64>>, StoredMembership<u64, BasicNode>), StorageError<u64>> {
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

    async fn begin_receiving_snapshot(
        &mut self,
    ) -> Result<Box<Cursor<Vec<u8>>>, StorageError<u64>> {
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
