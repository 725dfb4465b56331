//! Faults that are built in on purpose: what the checks of the world are worth shows when they find them.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use swarm_manager::store::{Log, LogFuture, Peer, ProposeError, ReadError, Store};
use swarm_state::Batch;
use swarm_types::Version;

/// What is wrong in a world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Bug {
    /// Disks say that they have synced and often have not, as a drive with a volatile cache.
    LyingDisk,
    /// Some writes are acknowledged and not made.
    DroppedWrites,
    /// Managers answer reads from what they happen to have applied.
    StaleReads,
    /// An agent that loses its session stops a container.
    NervousAgent,
}

impl Bug {
    /// One write of so many is dropped.
    const DROPPED_OF: u64 = 20;

    /// The store as a manager with this fault shows it to its clients.
    pub(crate) fn store(self, store: &Store) -> Store {
        match self {
            Self::DroppedWrites | Self::StaleReads => store.over(|log| Arc::new(Faulty { log, bug: self, writes: AtomicU64::new(0) })),
            Self::LyingDisk | Self::NervousAgent => store.clone(),
        }
    }
}

/// The way to the log, with a fault in it.
struct Faulty {
    log: Arc<dyn Log>,
    bug: Bug,
    writes: AtomicU64,
}

impl Log for Faulty {
    fn propose(&self, batch: Batch) -> LogFuture<'_, Result<Version, ProposeError>> {
        let number = self.writes.fetch_add(1, Ordering::Relaxed);
        if self.bug == Bug::DroppedWrites && number % Bug::DROPPED_OF == Bug::DROPPED_OF - 1 {
            return Box::pin(async { Ok(Version::default()) });
        }
        self.log.propose(batch)
    }

    fn read_index(&self) -> LogFuture<'_, Result<u64, ReadError>> {
        if self.bug == Bug::StaleReads { Box::pin(async { Ok(0) }) } else { self.log.read_index() }
    }

    fn peers(&self) -> Vec<Peer> {
        self.log.peers()
    }
}
