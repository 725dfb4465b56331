//! The replicated state as the rooms of the manager see it: read a root, watch changes, propose a batch.

use std::{future::Future, pin::Pin, sync::Arc};
use swarm_state::{Batch, Conflict, Event, State};
use swarm_types::{NodeId, RemoteManager, Version};
use tokio::sync::{broadcast, watch};

/// Committed entries that a slow watcher may lag behind before it is told to read the state again.
const EVENTS_HELD_MAX: usize = 1024;

/// What one committed log entry changed.
#[derive(Debug)]
pub struct Committed {
    /// Its log index.
    pub index: u64,
    /// Every change, in order.
    pub events: Vec<Event>,
    /// The state after it.
    pub state: State,
    /// The whole state was replaced by a leader's snapshot: `events` is empty, and everything may have changed.
    pub replaced: bool,
}

/// Who leads, as this manager knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Leadership {
    /// Nobody, or not known.
    #[default]
    None,
    /// This manager, in this term, and its state holds every entry of earlier terms.
    Own {
        /// The Raft term.
        term: u64,
    },
    /// Another manager.
    Other(RemoteManager),
}

impl Leadership {
    /// Whether this manager leads.
    #[must_use]
    pub fn is_own(&self) -> bool {
        matches!(self, Self::Own { .. })
    }
}

/// A manager and how it stands in Raft, as this manager knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its node.
    pub node_id: NodeId,
    /// Its id in Raft.
    pub raft_id: u64,
    /// `host:port` of its port 2377.
    pub addr: String,
    /// Whether it votes; a learner does not yet.
    pub voter: bool,
    /// Whether it leads.
    pub leader: bool,
    /// Whether it answers, as the leader sees it; `None` when this manager cannot tell.
    pub reachable: Option<bool>,
}

/// Why a proposal was not stored.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ProposeError {
    /// The state changed in between; read it again and decide anew.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// Another manager leads; ask it.
    #[error("this manager does not lead")]
    NotLeader(Option<RemoteManager>),
    /// No majority answered within the bound. The batch may still be stored later.
    #[error("no majority of the managers answered in time")]
    NoQuorum,
    /// The leader's disk has no room for it. Nothing was stored.
    #[error("{0}")]
    NoRoom(String),
    /// The manager stops, or its storage failed.
    #[error("the log is closed: {0}")]
    Closed(String),
}

/// Why a read that must see every acknowledged write cannot be answered.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReadError {
    /// No leader is known or it does not answer.
    #[error("the swarm does not have a leader")]
    NoLeader,
    /// The manager stops, or its storage failed.
    #[error("the log is closed: {0}")]
    Closed(String),
}

/// A future of the [`Log`] trait.
pub type LogFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What stands behind a [`Store`]: Raft, or in tests a log of one's own.
pub trait Log: Send + Sync {
    /// Replicates the batch and returns once it is applied here. Only on the leader.
    fn propose(&self, batch: Batch) -> LogFuture<'_, Result<Version, ProposeError>>;
    /// An index such that a state that has applied it holds every write acknowledged before the call.
    fn read_index(&self) -> LogFuture<'_, Result<u64, ReadError>>;
    /// The managers, by Raft's membership.
    fn peers(&self) -> Vec<Peer>;
}

/// The writing end, held by the state machine: publishes each applied entry.
#[derive(Debug)]
pub struct Publisher {
    state: watch::Sender<State>,
    events: broadcast::Sender<Arc<Committed>>,
}

impl Publisher {
    /// A publisher that starts with `state`.
    #[must_use]
    pub fn new(state: State) -> Self {
        Self { state: watch::Sender::new(state), events: broadcast::Sender::new(EVENTS_HELD_MAX) }
    }

    /// The newest applied state.
    #[must_use]
    pub fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// Publishes the state after an entry, then the entry's changes.
    pub fn publish(&self, index: u64, state: State, events: Vec<Event>) {
        self.state.send_replace(state.clone());
        if !events.is_empty() {
            // Nobody listening is no failure: watchers come and go.
            let _ = self.events.send(Arc::new(Committed { index, events, state, replaced: false }));
        }
    }

    /// Publishes a state that came whole, from a leader's snapshot.
    pub fn publish_all(&self, state: State) {
        self.state.send_replace(state.clone());
        let _ = self.events.send(Arc::new(Committed { index: state.applied(), events: Vec::new(), state, replaced: true }));
    }
}

/// A handle to the replicated state. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    state: watch::Receiver<State>,
    events: broadcast::Sender<Arc<Committed>>,
    leadership: watch::Receiver<Leadership>,
    log: Arc<dyn Log>,
}

impl Store {
    /// A handle over a log and what its state machine publishes.
    #[must_use]
    pub fn new(publisher: &Publisher, leadership: watch::Receiver<Leadership>, log: Arc<dyn Log>) -> Self {
        Self { state: publisher.state.subscribe(), events: publisher.events.clone(), leadership, log }
    }

    /// The same state over another way to the log: a simulation builds its faults in there.
    #[must_use]
    pub fn over(&self, way: impl FnOnce(Arc<dyn Log>) -> Arc<dyn Log>) -> Self {
        Self { log: way(Arc::clone(&self.log)), ..self.clone() }
    }

    /// The newest state applied here. May be behind other managers.
    #[must_use]
    pub fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// Changes whenever an entry was applied; carries the state.
    #[must_use]
    pub fn watch_state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// Every committed entry with changes from now on. A watcher that lags gets `Lagged` and reads the state again.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Committed>> {
        self.events.subscribe()
    }

    /// Who leads.
    #[must_use]
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.leadership.clone()
    }

    /// Replicates the batch and returns once it is applied here.
    ///
    /// Dropping the future leaves it open whether the batch gets stored.
    ///
    /// # Errors
    /// [`ProposeError`]
    pub async fn propose(&self, batch: Batch) -> Result<Version, ProposeError> {
        self.log.propose(batch).await
    }

    /// A state that holds every write acknowledged before the call, on any manager.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn linearizable(&self) -> Result<State, ReadError> {
        let index = self.log.read_index().await?;
        self.applied(index).await
    }

    /// The state once it has applied `index`.
    ///
    /// # Errors
    /// [`ReadError::Closed`] when the manager stops before that.
    pub async fn applied(&self, index: u64) -> Result<State, ReadError> {
        let mut watch = self.state.clone();
        let state = watch.wait_for(|s| s.applied() >= index).await;
        state.map(|s| s.clone()).map_err(|_| ReadError::Closed("the state machine stopped".into()))
    }

    /// The managers, by Raft's membership.
    #[must_use]
    pub fn peers(&self) -> Vec<Peer> {
        self.log.peers()
    }
}

/// A log of one manager without Raft, for tests of the rooms above.
pub mod testing {
    use super::{Batch, Leadership, Log, LogFuture, Peer, ProposeError, Publisher, ReadError, State, Store, Version};
    use std::sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    };
    use tokio::sync::watch;

    /// Applies batches at once and in order.
    pub struct LocalLog {
        state: Mutex<State>,
        publisher: Publisher,
        peers: Mutex<Vec<Peer>>,
        reads_wait: AtomicBool,
    }

    impl LocalLog {
        /// A store over a fresh log that leads.
        #[must_use]
        pub fn store(state: State) -> (Store, Arc<Self>, watch::Sender<Leadership>) {
            let log = Arc::new(Self {
                state: Mutex::new(state.clone()),
                publisher: Publisher::new(state),
                peers: Mutex::default(),
                reads_wait: AtomicBool::new(false),
            });
            let leadership = watch::Sender::new(Leadership::Own { term: 1 });
            let store = Store::new(&log.publisher, leadership.subscribe(), Arc::clone(&log) as Arc<dyn Log>);
            (store, log, leadership)
        }

        /// Whether linearizable reads wait for ever from now on, as they do for long where no leader is known.
        pub fn let_reads_wait(&self, wait: bool) {
            self.reads_wait.store(wait, Ordering::Relaxed);
        }

        /// Sets what [`Store::peers`] answers.
        pub fn set_peers(&self, peers: Vec<Peer>) {
            *self.peers.lock().expect("no test panics while holding it") = peers;
        }
    }

    impl Log for LocalLog {
        fn propose(&self, batch: Batch) -> LogFuture<'_, Result<Version, ProposeError>> {
            Box::pin(async move {
                let mut state = self.state.lock().expect("no test panics while holding it");
                let index = state.applied() + 1;
                let mut applied = state.apply(index, vec![batch]);
                let result = applied.results.pop().expect("one batch, one result");
                self.publisher.publish(index, state.clone(), applied.events);
                result.map_err(ProposeError::Conflict)
            })
        }

        fn read_index(&self) -> LogFuture<'_, Result<u64, ReadError>> {
            Box::pin(async move {
                if self.reads_wait.load(Ordering::Relaxed) {
                    std::future::pending::<()>().await;
                }
                Ok(self.state.lock().expect("no test panics while holding it").applied())
            })
        }

        fn peers(&self) -> Vec<Peer> {
            self.peers.lock().expect("no test panics while holding it").clone()
        }
    }
}
