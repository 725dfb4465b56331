//! The leader's side: liveness verdicts, node descriptions, and the statuses of all agents in few commits.

use super::{LeaderAnswer, LeaderMessage, liveness::Liveness, liveness::Verdict};
use crate::store::{ProposeError, Store};
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};
use swarm_session::{CloseReason, StatusReport};
use swarm_state::{Batch, Change, Conflict, Key, Node, Object, State};
use swarm_types::{Actor, NodeDescription, NodeId, NodeState, Timestamp};
use tokio::sync::{broadcast, mpsc, oneshot};

/// Messages that may wait for the leader's loop; more make their senders wait.
const MESSAGES_WAITING_MAX: usize = 4096;
/// Reports of all nodes that come within this time go into one commit.
const STATUS_WINDOW: Duration = Duration::from_millis(20);
/// Reports in one commit at most.
const STATUSES_PER_COMMIT_MAX: usize = 2000;
/// Tries at a write when others get in between.
const TRIES_MAX: usize = 20;
/// Without anything due, liveness is looked at this often.
const TICK_MAX: Duration = Duration::from_secs(1);
/// Docker's default period of heartbeats.
const PERIOD_DEFAULT: Duration = Duration::from_secs(5);
/// Above this many nodes the period is stretched in proportion, so that heartbeats stay a small load.
const NODES_WITHOUT_STRETCH: usize = 2000;

/// How often agents beat and how long they may be silent, by the cluster's spec.
#[derive(Debug, Clone, Copy, Default)]
pub struct Timing {
    /// Replaces the spec's period; for tests.
    pub period: Option<Duration>,
}

impl Timing {
    fn period(&self, state: &State) -> Duration {
        let spec = state.cluster().map_or(0, |c| c.api.spec.dispatcher.heartbeat_period);
        let wish = u64::try_from(spec).ok().filter(|p| *p > 0).map_or(PERIOD_DEFAULT, Duration::from_nanos);
        let stretch = u32::try_from(state.node_count() / NODES_WITHOUT_STRETCH).unwrap_or(u32::MAX).max(1);
        self.period.unwrap_or(wish) * stretch
    }

    /// How often an agent beats: twice in each period, so that one lost beat means nothing.
    #[must_use]
    pub fn beat(&self, state: &State) -> Duration {
        self.period(state) / 2
    }

    /// How long a node may be silent: two periods, which is four beats.
    #[must_use]
    pub fn grace(&self, state: &State) -> Duration {
        self.period(state) * 2
    }
}

struct Request {
    from: NodeId,
    message: LeaderMessage,
    answer: oneshot::Sender<LeaderAnswer>,
}

struct StatusRequest {
    node_id: NodeId,
    reports: Vec<StatusReport>,
    answer: oneshot::Sender<LeaderAnswer>,
}

/// Hands messages to the leader's loop.
#[derive(Clone)]
pub(super) struct LeaderHandle {
    requests: mpsc::Sender<Request>,
}

impl LeaderHandle {
    /// Starts the loops.
    pub(super) fn start(store: Store, timing: Timing) -> Self {
        let (requests, queue) = mpsc::channel(MESSAGES_WAITING_MAX);
        let (statuses, status_queue) = mpsc::channel(MESSAGES_WAITING_MAX);
        tokio::spawn(run(store.clone(), timing, queue, statuses));
        tokio::spawn(commit_statuses(store, status_queue));
        Self { requests }
    }

    /// Handles one message.
    pub(super) async fn take(&self, from: NodeId, message: LeaderMessage) -> LeaderAnswer {
        let (answer, answered) = oneshot::channel();
        let stopped = || LeaderAnswer::Failed("the dispatcher stopped".into());
        if self.requests.send(Request { from, message, answer }).await.is_err() {
            return stopped();
        }
        answered.await.unwrap_or_else(|_| stopped())
    }
}

fn now() -> Timestamp {
    Timestamp::from_system(SystemTime::now())
}

async fn run(store: Store, timing: Timing, mut queue: mpsc::Receiver<Request>, statuses: mpsc::Sender<StatusRequest>) {
    let mut leadership = store.leadership();
    loop {
        if !leadership.borrow_and_update().is_own() {
            tokio::select! {
                changed = leadership.changed() => if changed.is_err() { return },
                request = queue.recv() => match request {
                    // The asker may be gone; it asks again anyway.
                    Some(request) => drop(request.answer.send(LeaderAnswer::NotLeader)),
                    None => return,
                },
            }
            continue;
        }
        let mut term = Term::new(&store, timing, statuses.clone());
        let mut changes = store.subscribe();
        term.catch_up();
        while leadership.borrow_and_update().is_own() {
            tokio::select! {
                changed = leadership.changed() => if changed.is_err() { return },
                request = queue.recv() => match request {
                    Some(request) => term.take(request),
                    None => return,
                },
                committed = changes.recv() => match committed {
                    Ok(committed) if !committed.replaced => term.follow(&committed.events),
                    Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => term.catch_up(),
                    Err(broadcast::error::RecvError::Closed) => return,
                },
                () = tokio::time::sleep(term.pause()) => {}
            }
            term.tick();
        }
    }
}

/// What one leader knows; dropped with its leadership.
struct Term {
    store: Store,
    timing: Timing,
    liveness: Liveness,
    statuses: mpsc::Sender<StatusRequest>,
}

impl Term {
    fn new(store: &Store, timing: Timing, statuses: mpsc::Sender<StatusRequest>) -> Self {
        let state = store.state();
        let nodes = state.nodes().map(|n| (n.id(), n.api.status.state == NodeState::Down));
        let liveness = Liveness::of_new_leader(nodes, timing.grace(&state), now());
        Self { store: store.clone(), timing, liveness, statuses }
    }

    fn grace(&self) -> Duration {
        self.timing.grace(&self.store.state())
    }

    fn catch_up(&mut self) {
        let state = self.store.state();
        for node in state.nodes() {
            self.liveness.added(node.id(), self.timing.grace(&state), now());
        }
    }

    fn follow(&mut self, events: &[swarm_state::Event]) {
        for event in events {
            if let Key::Node(id) = event.key {
                match (&event.old, &event.new) {
                    (None, Some(_)) => self.liveness.added(id, self.grace(), now()),
                    (_, None) => self.liveness.removed(id),
                    _ => {}
                }
            }
        }
    }

    fn pause(&self) -> Duration {
        self.liveness.next_due().map_or(TICK_MAX, |due| due.since(now()).min(TICK_MAX))
    }

    fn tick(&mut self) {
        let verdicts = self.liveness.tick(self.grace(), now());
        self.record(verdicts);
    }

    fn record(&self, verdicts: Vec<Verdict>) {
        for verdict in verdicts {
            tracing::info!(?verdict, "node changed");
            let store = self.store.clone();
            tokio::spawn(async move {
                let (id, state, message) = match &verdict {
                    Verdict::Down(id, why) => (*id, NodeState::Down, *why),
                    Verdict::Ready(id) => (*id, NodeState::Ready, ""),
                };
                let written = update_node(&store, id, |node, at| set_state(node, state, message, at)).await;
                if let Err(error) = written {
                    tracing::warn!(?verdict, ?error, "could not record a node's state");
                }
            });
        }
    }

    fn take(&mut self, Request { from, message, answer }: Request) {
        let (grace, at) = (self.grace(), now());
        match message {
            LeaderMessage::Register { node_id, session_id, description, addr } => {
                self.liveness.registered(node_id, session_id, from, grace, at);
                self.write_node(node_id, answer, move |node, at| {
                    node.api.description = with_tls_info(&description, &node.api.description);
                    node.api.status.addr.clone_from(&addr);
                    set_state(node, NodeState::Ready, "", at);
                });
            }
            LeaderMessage::Description { node_id, description } => {
                self.write_node(node_id, answer, move |node, _| node.api.description = with_tls_info(&description, &node.api.description));
            }
            LeaderMessage::Statuses { node_id, reports } => {
                let request = StatusRequest { node_id, reports, answer };
                if let Err(mpsc::error::TrySendError::Full(request) | mpsc::error::TrySendError::Closed(request)) = self.statuses.try_send(request) {
                    drop(request.answer.send(LeaderAnswer::Failed("too many statuses wait".into())));
                }
            }
            LeaderMessage::Digest { connected, closed } => {
                let verdicts = self.liveness.digest(from, &connected, grace, at);
                self.record(verdicts);
                for ended in closed {
                    self.liveness.closed(ended.node_id, ended.session_id, ended.announced, grace, at);
                }
                drop(answer.send(LeaderAnswer::Done));
            }
            LeaderMessage::Left { node_id } => {
                let verdicts = self.liveness.left(node_id);
                self.record(verdicts);
                drop(answer.send(LeaderAnswer::Done));
            }
        }
    }

    fn write_node(&self, id: NodeId, answer: oneshot::Sender<LeaderAnswer>, change: impl Fn(&mut Node, Timestamp) + Send + Sync + 'static) {
        let store = self.store.clone();
        tokio::spawn(async move {
            let written = update_node(&store, id, change).await;
            drop(answer.send(match written {
                Ok(()) => LeaderAnswer::Done,
                Err(answer) => answer,
            }));
        });
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

/// Changes a node object, again when others get in between. Writes nothing when nothing differs.
async fn update_node(store: &Store, id: NodeId, change: impl Fn(&mut Node, Timestamp)) -> Result<(), LeaderAnswer> {
    for _ in 0..TRIES_MAX {
        let state = store.state();
        let Some(old) = state.node(id) else { return Err(LeaderAnswer::Refused(CloseReason::Removed)) };
        let mut node = (**old).clone();
        change(&mut node, now());
        if node == **old {
            return Ok(());
        }
        node.api.updated_at = now();
        let batch = Batch { by: Actor::Operator, guards: vec![], changes: vec![Change::update(Object::Node(Arc::new(node)))] };
        match store.propose(batch).await {
            Ok(_) => return Ok(()),
            Err(ProposeError::Conflict(_)) => {}
            Err(ProposeError::NotLeader(_)) => return Err(LeaderAnswer::NotLeader),
            Err(error) => return Err(LeaderAnswer::Failed(error.to_string())),
        }
    }
    Err(LeaderAnswer::Failed(format!("node {id} kept changing")))
}

/// Packs the reports of all nodes into few commits.
async fn commit_statuses(store: Store, mut queue: mpsc::Receiver<StatusRequest>) {
    while let Some(first) = queue.recv().await {
        let mut count = first.reports.len();
        let mut requests = vec![first];
        let window = tokio::time::sleep(STATUS_WINDOW);
        tokio::pin!(window);
        while count < STATUSES_PER_COMMIT_MAX {
            tokio::select! {
                () = &mut window => break,
                next = queue.recv() => match next {
                    Some(next) => {
                        count += next.reports.len();
                        requests.push(next);
                    }
                    None => break,
                },
            }
        }
        let store = store.clone();
        // The next window fills while this commit is under way; per node, order is kept by the session.
        tokio::spawn(async move {
            let answer = commit_reports(&store, &requests).await;
            for request in requests {
                drop(request.answer.send(answer.clone()));
            }
        });
    }
}

async fn commit_reports(store: &Store, requests: &[StatusRequest]) -> LeaderAnswer {
    for _ in 0..TRIES_MAX {
        let state = store.state();
        let mut changes = Vec::new();
        for request in requests {
            let reports: Vec<_> = request.reports.iter().map(|r| (r.task_id, r.status.clone())).collect();
            let recorded = swarm_planner::record_statuses(&state, request.node_id, &reports, now());
            for refusal in &recorded.refused {
                tracing::debug!(node = %request.node_id, ?refusal, "status refused");
            }
            changes.extend(recorded.changes);
        }
        if changes.is_empty() {
            return LeaderAnswer::Done;
        }
        match store.propose(Batch { by: Actor::Agent, guards: vec![], changes }).await {
            Ok(_) => return LeaderAnswer::Done,
            Err(ProposeError::Conflict(Conflict::Move { task, from, to })) => {
                tracing::warn!(%task, %from, %to, "a report asked for a move that is not allowed");
            }
            Err(ProposeError::Conflict(_)) => {}
            Err(ProposeError::NotLeader(_)) => return LeaderAnswer::NotLeader,
            Err(error) => return LeaderAnswer::Failed(error.to_string()),
        }
    }
    LeaderAnswer::Failed("the tasks kept changing".into())
}
