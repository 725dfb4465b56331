//! The replicated state as openraft's state machine.

use super::{Outcome, StateSnapshot, TypeConfig};
use crate::{
    blocking,
    room::{self, Room, WithinRoom},
    store::Publisher,
};
use openraft::{
    EntryPayload, LogId, OptionalSend, RaftSnapshotBuilder, Snapshot, SnapshotMeta, StorageError, StorageIOError, StoredMembership,
    storage::RaftStateMachine,
};
use std::{ops::Range, sync::Arc, time::Duration};
use swarm_raftlog::{SnapshotError, SnapshotStore};
use swarm_state::State;

use super::Member;

type Meta = SnapshotMeta<u64, Member>;

/// A snapshot that found no room is tried again after this time at the earliest.
const SNAPSHOT_RETRY: Duration = Duration::from_secs(2);

/// Applies committed entries to the state and publishes each.
pub struct StateMachine {
    state: State,
    last_applied: Option<LogId<u64>>,
    membership: StoredMembership<u64, Member>,
    publisher: Arc<Publisher>,
    snapshots: Arc<SnapshotStore<TypeConfig>>,
    room: Room,
}

/// Why the newest snapshot could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The snapshot files.
    #[error("could not read the newest snapshot")]
    Snapshot(#[from] SnapshotError),
    /// The state in it.
    #[error("could not read the state in the newest snapshot")]
    State(#[from] swarm_state::snapshot::SnapshotError),
}

impl StateMachine {
    /// Starts from the newest snapshot, or empty. `log` is the range of entries in the log. Blocks on the disk.
    ///
    /// # Errors
    /// [`LoadError`]: the files are damaged; nothing was taken from them.
    pub fn load(snapshots: Arc<SnapshotStore<TypeConfig>>, room: Room, log: &Range<u64>) -> Result<Self, LoadError> {
        let (state, last_applied, membership) = match snapshots.newest(log)? {
            None => (State::default(), None, StoredMembership::default()),
            Some(stored) => {
                let meta = stored.meta().clone();
                let state = State::read_from(&mut stored.reader())?;
                (state, meta.last_log_id, meta.last_membership)
            }
        };
        let publisher = Arc::new(Publisher::new(state.clone()));
        Ok(Self { state, last_applied, membership, publisher, snapshots, room })
    }

    /// Where applied entries are published.
    #[must_use]
    pub fn publisher(&self) -> Arc<Publisher> {
        Arc::clone(&self.publisher)
    }

    fn meta(&self) -> Meta {
        let id = self.last_applied.map_or_else(|| "0-0".to_owned(), |l| format!("{}-{}", l.leader_id.term, l.index));
        SnapshotMeta { last_log_id: self.last_applied, last_membership: self.membership.clone(), snapshot_id: id }
    }
}

/// Writes one snapshot of a state that was cloned when the builder was made.
pub struct Builder {
    state: State,
    meta: Meta,
    snapshots: Arc<SnapshotStore<TypeConfig>>,
    room: Room,
}

impl RaftSnapshotBuilder<TypeConfig> for Builder {
    async fn build_snapshot(&mut self) -> Result<Snapshot<TypeConfig>, StorageError<u64>> {
        save_when_there_is_room(&self.snapshots, &self.meta, &self.state, &self.room).await?;
        Ok(Snapshot { meta: self.meta.clone(), snapshot: Box::new(StateSnapshot(self.state.clone())) })
    }
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<LogId<u64>>, StoredMembership<u64, Member>), StorageError<u64>> {
        Ok((self.last_applied, self.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Outcome>, StorageError<u64>>
    where
        I: IntoIterator<Item = openraft::Entry<TypeConfig>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut outcomes = Vec::new();
        for entry in entries {
            let index = entry.log_id.index;
            self.last_applied = Some(entry.log_id);
            let (outcome, events) = match entry.payload {
                EntryPayload::Blank => (Outcome::new(), Vec::new()),
                EntryPayload::Membership(membership) => {
                    self.membership = StoredMembership::new(Some(entry.log_id), membership);
                    (Outcome::new(), Vec::new())
                }
                EntryPayload::Normal(proposal) => {
                    let applied = self.state.apply(index, proposal.0);
                    (applied.results, applied.events)
                }
            };
            self.state.skip(index);
            self.publisher.publish(index, self.state.clone(), events);
            outcomes.push(outcome);
        }
        Ok(outcomes)
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder { state: self.state.clone(), meta: self.meta(), snapshots: Arc::clone(&self.snapshots), room: self.room.clone() }
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<StateSnapshot>, StorageError<u64>> {
        Ok(Box::new(StateSnapshot(State::default())))
    }

    async fn install_snapshot(&mut self, meta: &Meta, snapshot: Box<StateSnapshot>) -> Result<(), StorageError<u64>> {
        save_when_there_is_room(&self.snapshots, meta, &snapshot.0, &self.room).await?;
        self.state = snapshot.0;
        self.last_applied = meta.last_log_id;
        self.membership = meta.last_membership.clone();
        if let Some(last) = meta.last_log_id {
            self.state.skip(last.index);
        }
        self.publisher.publish_all(self.state.clone());
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<TypeConfig>>, StorageError<u64>> {
        // The state in memory is always at least as new as any file, and as good a snapshot.
        if self.last_applied.is_none() {
            return Ok(None);
        }
        Ok(Some(Snapshot { meta: self.meta(), snapshot: Box::new(StateSnapshot(self.state.clone())) }))
    }
}

type SaveError = Box<dyn std::error::Error + Send + Sync>;

/// Writes a snapshot, unless it is the newest one on disk already.
pub(super) async fn save(
    snapshots: &Arc<SnapshotStore<TypeConfig>>,
    meta: &Meta,
    state: &State,
    room: &Room,
) -> Result<(), StorageError<u64>> {
    try_save(snapshots, meta, state, room).await.map_err(|error| snapshot_error(meta, error))
}

/// As [`save`], but waits for room: to openraft a failure would be the end. Until then nothing is purged, and the log takes no
/// more than what is left of the disk.
async fn save_when_there_is_room(
    snapshots: &Arc<SnapshotStore<TypeConfig>>,
    meta: &Meta,
    state: &State,
    room: &Room,
) -> Result<(), StorageError<u64>> {
    loop {
        match try_save(snapshots, meta, state, room).await {
            Err(error) if room::is_full(&*error) => {
                tracing::warn!(error = crate::chain(&*error), "a snapshot waits for room on the disk");
                tokio::time::sleep(SNAPSHOT_RETRY).await;
                room.until_enough(0).await;
            }
            saved => return saved.map_err(|error| snapshot_error(meta, error)),
        }
    }
}

async fn try_save(snapshots: &Arc<SnapshotStore<TypeConfig>>, meta: &Meta, state: &State, room: &Room) -> Result<(), SaveError> {
    let (snapshots, meta, state, room) = (Arc::clone(snapshots), meta.clone(), state.clone(), room.clone());
    let written = blocking::run(move || -> Result<(), SaveError> {
        if snapshots.holds(&meta)? {
            return Ok(());
        }
        let mut writer = snapshots.create(meta)?;
        state.write_to(&mut WithinRoom::new(&mut writer, &room))?;
        writer.commit()?;
        Ok(())
    });
    written.await?
}

fn snapshot_error(meta: &Meta, error: SaveError) -> StorageError<u64> {
    StorageIOError::write_snapshot(Some(meta.signature()), &as_io_error(error)).into()
}

/// openraft wants a sized error type; the chain of a boxed one is kept as text.
fn as_io_error(error: Box<dyn std::error::Error + Send + Sync>) -> std::io::Error {
    std::io::Error::other(error)
}
