//! What the leader writes into node objects: registrations, descriptions and verdicts, in the order they were decided.
//!
//! One write is under way at a time and takes all that waits, so a verdict never overtakes a registration that came after it,
//! and a thousand nodes that come back at once cost a few commits.

use super::{LeaderAnswer, leader::TRIES_MAX, leader::now, liveness::Liveness};
use crate::store::{ProposeError, Store};
use futures_util::future::BoxFuture;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use swarm_session::CloseReason;
use swarm_state::{Batch, Change, Node, Object};
use swarm_types::{Actor, NodeDescription, NodeId, NodeState, Timestamp};
use tokio::sync::oneshot;

/// Nodes written in one commit at most.
const WRITES_PER_COMMIT_MAX: usize = 500;
/// Writes that may wait; more are refused and asked for again.
const WRITES_WAITING_MAX: usize = 16_384;
/// Pause after a commit that failed.
const RETRY_AFTER: Duration = Duration::from_millis(200);

/// What to write into a node.
#[derive(Debug)]
pub(super) enum Wish {
    /// It opened a session.
    Register {
        /// What the host says of itself.
        description: Box<NodeDescription>,
        /// Its address as the manager sees it.
        addr: String,
        /// Where it takes packets of cluster networks; `None` is `addr`.
        data_path_addr: Option<std::net::IpAddr>,
    },
    /// Its description changed.
    Describe(Box<NodeDescription>),
    /// It is down, and why.
    Down(&'static str),
    /// It was heard of again.
    Ready,
}

impl Wish {
    fn apply(&self, node: &mut Node, at: Timestamp) {
        match self {
            Self::Register { description, addr, data_path_addr } => {
                node.data_path_addr = *data_path_addr;
                node.api.description = with_tls_info(description, &node.api.description);
                node.api.status.addr.clone_from(addr);
                set_state(node, NodeState::Ready, "", at);
            }
            Self::Describe(description) => node.api.description = with_tls_info(description, &node.api.description),
            Self::Down(why) => set_state(node, NodeState::Down, why, at),
            Self::Ready => set_state(node, NodeState::Ready, "", at),
        }
    }

    /// Whether what liveness knows by now still asks for it.
    fn still_holds(&self, node: NodeId, liveness: &Liveness) -> bool {
        match self {
            Self::Register { .. } | Self::Describe(_) => true,
            Self::Down(_) => liveness.is_down(node) == Some(true),
            Self::Ready => liveness.is_down(node) == Some(false),
        }
    }
}

/// The agent does not repeat its TLS information in every description.
fn with_tls_info(new: &NodeDescription, old: &NodeDescription) -> NodeDescription {
    let mut description = new.clone();
    if description.tls_info == swarm_types::TlsInfo::default() {
        description.tls_info = old.tls_info.clone();
    }
    description
}

fn set_state(node: &mut Node, state: NodeState, message: &str, at: Timestamp) {
    if node.api.status.state != state {
        node.state_since = at;
    }
    node.api.status.state = state;
    message.clone_into(&mut node.api.status.message);
}

#[derive(Debug)]
struct NodeWrite {
    id: NodeId,
    wish: Wish,
    /// Nobody waits for a verdict.
    answer: Option<oneshot::Sender<LeaderAnswer>>,
}

/// Writes that wait, and the one under way. Dropped with leadership; whoever waits for an answer then gets none.
#[derive(Default)]
pub(super) struct NodeWrites {
    waiting: Vec<NodeWrite>,
    under_way: Option<BoxFuture<'static, bool>>,
}

impl NodeWrites {
    /// Writes what a node asked for; the answer is sent when it is stored.
    pub(super) fn ask(&mut self, id: NodeId, wish: Wish, answer: oneshot::Sender<LeaderAnswer>) {
        if self.waiting.len() < WRITES_WAITING_MAX {
            self.waiting.push(NodeWrite { id, wish, answer: Some(answer) });
        } else {
            // The asker may be gone; it asks again anyway.
            drop(answer.send(LeaderAnswer::Failed("too many writes wait".into())));
        }
    }

    /// Writes a verdict: at most one waits per node, the newest.
    pub(super) fn judge(&mut self, id: NodeId, wish: Wish) {
        self.waiting.retain(|w| w.id != id || !matches!(w.wish, Wish::Down(_) | Wish::Ready));
        self.waiting.push(NodeWrite { id, wish, answer: None });
    }

    /// Starts on what waits, unless a write is under way. Verdicts that liveness has revised are dropped.
    pub(super) fn start(&mut self, store: &Store, liveness: &Liveness) {
        if self.under_way.is_some() || self.waiting.is_empty() {
            return;
        }
        let count = self.waiting.len().min(WRITES_PER_COMMIT_MAX);
        let writes: Vec<NodeWrite> = self.waiting.drain(..count).filter(|w| w.wish.still_holds(w.id, liveness)).collect();
        if !writes.is_empty() {
            self.under_way = Some(Box::pin(commit(store.clone(), writes)));
        }
    }

    /// Waits for the write under way; whether it was stored. Never ends without one. Dropping it leaves the write under way.
    pub(super) async fn done(&mut self) -> bool {
        let Some(under_way) = &mut self.under_way else { return std::future::pending().await };
        let stored = under_way.await;
        self.under_way = None;
        stored
    }
}

/// Stores all writes in one batch, again when others get in between, and answers those who wait.
async fn commit(store: Store, writes: Vec<NodeWrite>) -> bool {
    let (outcome, gone) = propose(&store, &writes).await;
    let stored = outcome == LeaderAnswer::Done;
    for NodeWrite { id, answer, .. } in writes {
        let Some(answer) = answer else { continue };
        let said = if gone.contains(&id) { LeaderAnswer::Refused(CloseReason::Removed) } else { outcome.clone() };
        drop(answer.send(said));
    }
    if !stored {
        tracing::warn!(?outcome, "could not record what became of nodes");
        tokio::time::sleep(RETRY_AFTER).await;
    }
    stored
}

/// The outcome for nodes that exist, and the nodes that do not.
async fn propose(store: &Store, writes: &[NodeWrite]) -> (LeaderAnswer, BTreeSet<NodeId>) {
    let mut gone = BTreeSet::new();
    // A leader that has lost the others does not know it at once, and what it wrote then would be stored when they are back: nodes
    // would be down that had nobody to speak to.
    if writes.iter().any(|write| matches!(write.wish, Wish::Down(_)))
        && let Err(error) = store.linearizable().await
    {
        return (LeaderAnswer::Failed(error.to_string()), gone);
    }
    for _ in 0..TRIES_MAX {
        let (state, at) = (store.state(), now());
        let mut nodes: BTreeMap<NodeId, Node> = BTreeMap::new();
        gone.clear();
        for write in writes {
            let Some(stored) = state.node(write.id) else {
                gone.insert(write.id);
                continue;
            };
            write.wish.apply(nodes.entry(write.id).or_insert_with(|| (**stored).clone()), at);
        }
        nodes.retain(|id, node| state.node(*id).is_none_or(|stored| **stored != *node));
        if nodes.is_empty() {
            return (LeaderAnswer::Done, gone);
        }
        let update = |mut node: Node| {
            node.api.updated_at = at;
            Change::update(Object::Node(Arc::new(node)))
        };
        let batch = Batch { by: Actor::Operator, guards: vec![], changes: nodes.into_values().map(update).collect() };
        match store.propose(batch).await {
            Ok(_) => return (LeaderAnswer::Done, gone),
            Err(ProposeError::Conflict(_)) => {}
            Err(ProposeError::NotLeader(_)) => return (LeaderAnswer::NotLeader, gone),
            Err(error) => return (LeaderAnswer::Failed(error.to_string()), gone),
        }
    }
    (LeaderAnswer::Failed("the nodes kept changing".into()), gone)
}
