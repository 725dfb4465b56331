//! Agents: their sessions, the orders they get, what they report, and whether they live.
//!
//! Any manager holds sessions and streams orders from its own applied state; only the leader writes. So a leader change
//! leaves sessions alone: a follower hands reports and a digest of who is connected to whoever leads.
//!
//! What always holds:
//! - A node speaks only for itself: the node of a session is the one in its certificate.
//! - Heartbeats and sessions stay out of the log; only their verdicts go in.
//! - A manager that has applied less than an agent already knows catches up before it speaks.
//! - A new leader declares no node down before the node had its whole grace to speak.

mod attachments;
mod draining;
mod hosts;
mod leader;
mod liveness;
mod networks;
mod node_writes;
mod orders;
mod outbox;
mod session;
mod statuses;

pub use draining::Left;
pub use leader::Timing;

use crate::store::{Committed, Leadership, Store};
use axum::{body::Body, response::Response};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeSet, HashMap},
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};
use swarm_pki::NodeIdentity;
use swarm_session::{AttachAnswer, AttachRequest, CloseReason, DetachRequest, StatusReport};
use swarm_state::{Key, Object};
use swarm_types::{NetworkId, NodeDescription, NodeId, SessionId};
use tokio::{
    sync::{Notify, broadcast, watch},
    time::Instant,
};

/// Every manager tells the leader this often who is connected to it; at once when a session ends or the leader changes.
const DIGEST_EVERY: Duration = Duration::from_secs(1);
/// A node's new place in the data path is told to the others after this time, together with those of all that came meanwhile:
/// otherwise a thousand nodes that join at once would wake a thousand sessions each. Who shares a network with a task of the
/// node is told with that.
const PLACES_TOLD_EVERY: Duration = Duration::from_millis(200);
/// A manager that reaches no leader for this time sends its agents elsewhere: another manager may, and the leader must hear of
/// them within two heartbeat periods. Much longer than an election.
const LEADERLESS_MAX: Duration = Duration::from_secs(5);

/// What a manager hands to the leader about its agents.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum LeaderMessage {
    /// A node opened a session.
    Register {
        /// The node.
        node_id: NodeId,
        /// The session.
        session_id: SessionId,
        /// What the host says of itself.
        description: Box<NodeDescription>,
        /// Its address as the manager sees it.
        addr: String,
        /// Where it says that it takes packets of cluster networks.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        data_path_addr: Option<std::net::IpAddr>,
    },
    /// A host's description changed.
    Description {
        /// The node.
        node_id: NodeId,
        /// What the host says of itself.
        description: Box<NodeDescription>,
    },
    /// Task statuses of one node.
    Statuses {
        /// The node; only its own tasks count.
        node_id: NodeId,
        /// The statuses.
        reports: Vec<StatusReport>,
    },
    /// Who is connected to the manager, and which sessions ended since its last digest.
    Digest {
        /// All sessions.
        connected: Vec<(NodeId, SessionId)>,
        /// Sessions that ended.
        closed: Vec<Closed>,
    },
    /// A container of a node is to be on a network.
    Attach {
        /// The node.
        node_id: NodeId,
        /// The container and the network.
        request: AttachRequest,
    },
    /// Containers of a node are on networks no more.
    Detach {
        /// The node.
        node_id: NodeId,
        /// Which.
        request: DetachRequest,
    },
    /// A node left by itself.
    Left {
        /// The node.
        node_id: NodeId,
    },
}

/// A session that ended.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Closed {
    /// The node.
    pub node_id: NodeId,
    /// The session.
    pub session_id: SessionId,
    /// Whether the agent said that it ends on purpose (a restart, or moving to another manager).
    pub announced: bool,
}

/// What the leader answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum LeaderAnswer {
    /// Done; what had to be written is in the replicated state.
    Done,
    /// What became of a container that was to be on a network.
    Attached(Box<AttachAnswer>),
    /// The session must end for this reason.
    Refused(CloseReason),
    /// The manager that was asked does not lead.
    NotLeader,
    /// It could not be written; try again.
    Failed(String),
}

/// Why a message did not get to the leader.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LinkError {
    /// Nobody leads.
    #[error("the swarm does not have a leader")]
    NoLeader,
    /// The leader did not answer.
    #[error("the leader did not answer: {0}")]
    Failed(String),
}

/// A future of [`LeaderLink`].
pub type LinkFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The way to the leader, over the network or back into this dispatcher, and to the hosts of other managers.
pub trait LeaderLink: Send + Sync {
    /// Sends one message.
    fn send(&self, message: LeaderMessage) -> LinkFuture<'_, Result<LeaderAnswer, LinkError>>;

    /// Whether the host of another manager takes or refuses a connection; `false` after some seconds in which it does neither.
    fn host_answers<'a>(&'a self, addr: &'a str) -> LinkFuture<'a, bool>;

    /// Ends when the nodes with sessions on the other managers know that something left; at once without other managers.
    fn left_elsewhere<'a>(&'a self, _left: &'a Left) -> LinkFuture<'a, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// The room's handle. Cheap to clone.
#[derive(Clone)]
pub struct Dispatcher {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) store: Store,
    pub(crate) link: Arc<dyn LeaderLink>,
    pub(crate) timing: Timing,
    sessions: Mutex<HashMap<NodeId, Entry>>,
    /// What changed on networks lately.
    journal: Mutex<networks::Journal>,
    /// Changes when the journal grew, and when a session told or heard something of networks, or ended.
    progress: watch::Sender<()>,
    /// A node's place in the data path changed.
    moved: Notify,
    closed: Mutex<Vec<Closed>>,
    digest_now: Notify,
    leader: leader::LeaderHandle,
    /// Since when this manager has known no leader.
    leaderless_since: watch::Sender<Option<Instant>>,
    stopping: watch::Sender<bool>,
}

/// A session that runs here.
struct Entry {
    session_id: SessionId,
    /// Something that concerns the node changed.
    wake: Arc<Notify>,
    /// Set to end the session from outside.
    close: watch::Sender<Option<CloseReason>>,
    /// What the node knows of networks.
    carried: draining::Carried,
}

impl Dispatcher {
    /// Starts the room's loops.
    #[must_use]
    pub fn start(store: Store, link: Arc<dyn LeaderLink>, timing: Timing) -> Self {
        let leader = leader::LeaderHandle::start(store.clone(), timing, Arc::clone(&link));
        // Subscribed before the state is read: no entry is in neither.
        let changes = store.subscribe();
        let journal = networks::Journal::new(store.state().applied());
        let inner = Inner {
            store,
            link,
            timing,
            sessions: Mutex::default(),
            journal: Mutex::new(journal),
            progress: watch::Sender::new(()),
            moved: Notify::new(),
            closed: Mutex::default(),
            digest_now: Notify::new(),
            leader,
            leaderless_since: watch::Sender::new(Some(Instant::now())),
            stopping: watch::Sender::new(false),
        };
        let dispatcher = Self { inner: Arc::new(inner) };
        tokio::spawn(wake_sessions(Arc::clone(&dispatcher.inner), changes));
        tokio::spawn(tell_places(Arc::clone(&dispatcher.inner)));
        tokio::spawn(send_digests(Arc::clone(&dispatcher.inner)));
        tokio::spawn(watch_leadership(Arc::clone(&dispatcher.inner)));
        dispatcher
    }

    /// Answers `POST /session`: the request body is the agent's side, the response body ours.
    pub async fn session(&self, peer: NodeIdentity, from: SocketAddr, body: Body) -> Response {
        session::open(Arc::clone(&self.inner), peer, from, body)
    }

    /// Takes a message for the leader, from this manager or another one.
    pub async fn take(&self, from: NodeId, message: LeaderMessage) -> LeaderAnswer {
        tracing::trace!(%from, ?message, "message for the leader");
        self.inner.leader.take(message).await
    }

    /// Ends when the nodes with sessions here know that something left names and load balancing, or after some seconds.
    pub async fn left(&self, left: &Left) {
        // Whoever asks waits no longer either.
        let _ = tokio::time::timeout(draining::DRAIN_MAX, draining::left_here(&self.inner, left)).await;
    }

    /// Attaches a container of a node, wherever the leader is.
    pub async fn attach(&self, node_id: NodeId, request: AttachRequest) -> AttachAnswer {
        match self.inner.link.send(LeaderMessage::Attach { node_id, request }).await {
            Ok(LeaderAnswer::Attached(answer)) => *answer,
            Ok(other) => AttachAnswer::Unavailable(format!("the leader did not decide: {other:?}")),
            Err(error) => AttachAnswer::Unavailable(error.to_string()),
        }
    }

    /// Notes that containers of a node are on networks no more, wherever the leader is.
    ///
    /// # Errors
    /// Why it is not noted yet.
    pub async fn detach(&self, node_id: NodeId, request: DetachRequest) -> Result<(), LinkError> {
        match self.inner.link.send(LeaderMessage::Detach { node_id, request }).await? {
            LeaderAnswer::Done => Ok(()),
            LeaderAnswer::NotLeader => Err(LinkError::NoLeader),
            other => Err(LinkError::Failed(format!("{other:?}"))),
        }
    }

    /// A node said that it leaves the swarm. Best effort: an unreachable leader finds out by the missing session.
    pub async fn node_left(&self, node_id: NodeId) {
        if let Err(error) = self.inner.link.send(LeaderMessage::Left { node_id }).await {
            tracing::debug!(%node_id, %error, "could not tell the leader that a node left");
        }
    }

    /// Ends every session, telling the agents to go elsewhere; no new one is taken.
    pub fn stop(&self) {
        self.inner.stopping.send_replace(true);
        self.inner.send_elsewhere("this manager stops");
    }
}

impl Inner {
    /// Notes a session that runs here from now on; an older one of the node ends.
    fn enter(&self, node_id: NodeId, session_id: SessionId) -> (Arc<Notify>, watch::Receiver<Option<CloseReason>>) {
        let wake = Arc::new(Notify::new());
        let close = watch::Sender::new(None);
        let closing = close.subscribe();
        let entry = Entry { session_id, wake: Arc::clone(&wake), close, carried: draining::Carried::default() };
        let old = self.sessions.lock().expect("nothing panics while holding it").insert(node_id, entry);
        if let Some(old) = old {
            old.close.send_replace(Some(CloseReason::Replaced));
        }
        (wake, closing)
    }

    /// Notes that a session ended, unless a newer one of the node took its place, and tells the leader soon.
    fn exit(&self, closed: Closed) {
        let mut sessions = self.sessions.lock().expect("nothing panics while holding it");
        if sessions.get(&closed.node_id).is_some_and(|e| e.session_id == closed.session_id) {
            sessions.remove(&closed.node_id);
            drop(sessions);
            self.progress.send_replace(());
            self.closed.lock().expect("nothing panics while holding it").push(closed);
            self.digest_now.notify_one();
        }
    }

    /// Ends every session.
    fn send_elsewhere(&self, reason: &str) {
        let sessions = self.sessions.lock().expect("nothing panics while holding it");
        for entry in sessions.values() {
            entry.close.send_replace(Some(CloseReason::Elsewhere(reason.into())));
        }
    }

    /// Notes which networks a session tells of, so that it is woken when something changes on them, and how far it looked.
    /// `told` is the generation of an assignment that says something of networks.
    fn note_networks(&self, node_id: NodeId, session_id: SessionId, networks: &BTreeSet<NetworkId>, seen: u64, told: Option<u64>) {
        let mut sessions = self.sessions.lock().expect("nothing panics while holding it");
        if let Some(entry) = sessions.get_mut(&node_id).filter(|e| e.session_id == session_id) {
            let carried = &mut entry.carried;
            carried.seen = carried.seen.max(seen);
            carried.told = told.unwrap_or(carried.told);
            if carried.networks != *networks {
                carried.networks.clone_from(networks);
                // What changed on them before they were noted woke nobody.
                entry.wake.notify_one();
            }
        }
        drop(sessions);
        self.progress.send_replace(());
    }

    /// Notes what the node of a session confirmed.
    fn note_applied(&self, node_id: NodeId, session_id: SessionId, generation: u64) {
        let mut sessions = self.sessions.lock().expect("nothing panics while holding it");
        if let Some(entry) = sessions.get_mut(&node_id).filter(|e| e.session_id == session_id) {
            entry.carried.applied = entry.carried.applied.max(Some(generation));
        }
        drop(sessions);
        self.progress.send_replace(());
    }

    /// Wakes the sessions that tell of one of the networks.
    fn wake_on(&self, networks: &BTreeSet<NetworkId>) {
        let sessions = self.sessions.lock().expect("nothing panics while holding it");
        sessions.values().filter(|e| !e.carried.networks.is_disjoint(networks)).for_each(|e| e.wake.notify_one());
    }

    fn wake(&self, nodes: Option<&BTreeSet<NodeId>>) {
        let sessions = self.sessions.lock().expect("nothing panics while holding it");
        match nodes {
            None => sessions.values().for_each(|e| e.wake.notify_one()),
            Some(nodes) => nodes.iter().filter_map(|n| sessions.get(n)).for_each(|e| e.wake.notify_one()),
        }
    }
}

/// Wakes the sessions that a committed entry concerns, and no others.
async fn wake_sessions(inner: Arc<Inner>, mut changes: broadcast::Receiver<Arc<Committed>>) {
    loop {
        match changes.recv().await {
            Ok(committed) => {
                let touched = networks::Touched::of(&committed);
                let (on, moved) = (touched.on(), !touched.nodes.is_empty());
                let mut journal = inner.journal.lock().expect("nothing panics while holding it");
                if committed.replaced {
                    *journal = networks::Journal::new(committed.index);
                } else {
                    journal.push(committed.index, touched);
                }
                drop(journal);
                inner.progress.send_replace(());
                inner.wake(concerned(&committed).as_ref());
                inner.wake_on(&on);
                if moved {
                    inner.moved.notify_one();
                }
            }
            Err(broadcast::error::RecvError::Lagged(_)) => {
                *inner.journal.lock().expect("nothing panics while holding it") = networks::Journal::new(inner.store.state().applied());
                inner.progress.send_replace(());
                inner.wake(None);
            }
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}

/// Wakes the sessions that tell of networks when nodes have new places in the data path, every so often.
async fn tell_places(inner: Arc<Inner>) {
    loop {
        inner.moved.notified().await;
        tokio::time::sleep(PLACES_TOLD_EVERY).await;
        let sessions = inner.sessions.lock().expect("nothing panics while holding it");
        sessions.values().filter(|e| !e.carried.networks.is_empty()).for_each(|e| e.wake.notify_one());
    }
}

/// The nodes that an entry concerns; `None` for all.
fn concerned(committed: &Committed) -> Option<BTreeSet<NodeId>> {
    if committed.replaced {
        return None;
    }
    let mut nodes = BTreeSet::new();
    for event in &committed.events {
        match event.key {
            Key::Cluster => return None,
            Key::Node(id) => {
                let addr = |o: &Option<Object>| match o {
                    Some(Object::Node(n)) => n.manager_addr.clone(),
                    _ => None,
                };
                // The list of managers goes to everybody.
                if addr(&event.old) != addr(&event.new) {
                    return None;
                }
                nodes.insert(id);
            }
            Key::Task(_) => match (&event.old, &event.new) {
                (Some(Object::Task(old)), Some(Object::Task(new))) if !orders::is_news(old, new) => {}
                (old, new) => {
                    for object in old.iter().chain(new) {
                        if let Object::Task(task) = object {
                            nodes.extend(task.node_id);
                        }
                    }
                }
            },
            // Their bytes never change, and they come and go with the tasks that use them.
            Key::Secret(_) | Key::Config(_) => {}
            Key::Service(_) | Key::Spec(_) | Key::Network(_) => {}
        }
    }
    Some(nodes)
}

/// Notes since when no leader is known.
async fn watch_leadership(inner: Arc<Inner>) {
    let mut leadership = inner.store.leadership();
    loop {
        let led = *leadership.borrow_and_update() != Leadership::None;
        inner.leaderless_since.send_if_modified(|since| {
            let changed = since.is_none() != led;
            if changed {
                *since = (!led).then(Instant::now);
            }
            changed
        });
        if leadership.changed().await.is_err() {
            return;
        }
    }
}

/// Keeps the leader informed of who is connected here.
async fn send_digests(inner: Arc<Inner>) {
    let mut leadership = inner.store.leadership();
    let mut reached = Instant::now();
    loop {
        let closed = std::mem::take(&mut *inner.closed.lock().expect("nothing panics while holding it"));
        let connected = {
            let sessions = inner.sessions.lock().expect("nothing panics while holding it");
            sessions.iter().map(|(n, e)| (*n, e.session_id)).collect()
        };
        let led = *leadership.borrow_and_update() != Leadership::None;
        let sent = async {
            let digest = LeaderMessage::Digest { connected, closed: closed.clone() };
            led && matches!(inner.link.send(digest).await, Ok(LeaderAnswer::Done))
        };
        // A leader that fell silent must not keep its successor waiting for this digest.
        let sent = tokio::select! {
            sent = tokio::time::timeout(LEADERLESS_MAX, sent) => sent.unwrap_or(false),
            changed = leadership.changed() => if changed.is_err() { return } else { false },
        };
        if sent {
            reached = Instant::now();
        } else {
            // The next digest says it again.
            inner.closed.lock().expect("nothing panics while holding it").extend(closed);
        }
        if reached.elapsed() >= LEADERLESS_MAX {
            inner.send_elsewhere("this manager reaches no leader");
            // Their ends matter to nobody who could not be told; a new leader starts from who is connected.
            inner.closed.lock().expect("nothing panics while holding it").clear();
        }
        if !sent && leadership.has_changed().unwrap_or(true) {
            continue;
        }
        tokio::select! {
            () = tokio::time::sleep(DIGEST_EVERY) => {}
            () = inner.digest_now.notified() => {}
            changed = leadership.changed() => if changed.is_err() { return },
        }
    }
}
