//! The leader's side: liveness verdicts, and the ways of what agents say into the replicated state.

use super::{
    LeaderAnswer, LeaderLink, LeaderMessage, attachments,
    hosts::find_dead,
    liveness::{Liveness, Verdict},
    node_writes::{NodeWrites, Wish},
    statuses::{StatusRequest, commit_statuses},
};
use crate::store::{Leadership, Store};
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};
use swarm_session::CloseReason;
use swarm_state::{Key, State};
use swarm_types::{NodeId, NodeState, Timestamp};
use tokio::{
    sync::{broadcast, mpsc, oneshot},
    time::Instant,
};

/// Messages that may wait for the leader's loop; more make their senders wait.
const MESSAGES_WAITING_MAX: usize = 4096;
/// Tries at a write when others get in between.
pub(super) const TRIES_MAX: usize = 20;
/// Without anything due, liveness is looked at this often.
const TICK_MAX: Duration = Duration::from_secs(1);
/// A loop that comes round so much later than it should have stood still, and with it the reading of what agents say.
const STOOD_STILL: Duration = Duration::from_secs(2);
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

    /// How long a session may be silent before it counts as broken. With the grace of a broken session it makes the whole.
    #[must_use]
    pub fn silence(&self, state: &State) -> Duration {
        let grace = self.grace(state);
        grace - Liveness::broken_grace(grace)
    }
}

struct Request {
    message: LeaderMessage,
    answer: oneshot::Sender<LeaderAnswer>,
}

/// Hands messages to the leader's loop.
#[derive(Clone)]
pub(super) struct LeaderHandle {
    requests: mpsc::Sender<Request>,
}

impl LeaderHandle {
    /// Starts the loops.
    pub(super) fn start(store: Store, timing: Timing, link: Arc<dyn LeaderLink>) -> Self {
        let (requests, queue) = mpsc::channel(MESSAGES_WAITING_MAX);
        let (statuses, status_queue) = mpsc::channel(MESSAGES_WAITING_MAX);
        tokio::spawn(run(store.clone(), timing, link, queue, statuses));
        tokio::spawn(commit_statuses(store, status_queue));
        Self { requests }
    }

    /// Handles one message.
    pub(super) async fn take(&self, message: LeaderMessage) -> LeaderAnswer {
        let (answer, answered) = oneshot::channel();
        let stopped = || LeaderAnswer::Failed("the dispatcher stopped".into());
        if self.requests.send(Request { message, answer }).await.is_err() {
            return stopped();
        }
        // The loop drops what waits when it ceases to lead.
        answered.await.unwrap_or(LeaderAnswer::NotLeader)
    }
}

pub(super) fn now() -> Timestamp {
    Timestamp::from_system(SystemTime::now())
}

async fn run(
    store: Store,
    timing: Timing,
    link: Arc<dyn LeaderLink>,
    mut queue: mpsc::Receiver<Request>,
    statuses: mpsc::Sender<StatusRequest>,
) {
    let mut leadership = store.leadership();
    loop {
        let led: Leadership = leadership.borrow_and_update().clone();
        if !led.is_own() {
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
        let mut changes = store.subscribe();
        let mut term = Term::new(&store, timing, &link, statuses.clone());
        // Another term of our own is another view: between the two, agents spoke to somebody else.
        while *leadership.borrow_and_update() == led {
            term.writes.start(&store, &term.liveness);
            let pause = term.pause();
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
                stored = term.writes.done() => if !stored { term.judge_again() },
                Some(node) = term.dead_hosts.recv() => term.host_is_dead(node),
                () = tokio::time::sleep(pause) => {}
            }
            term.tick();
        }
    }
}

/// The leader's own clock: starts at the time of day, but no setting of the host's clock moves it.
struct Clock {
    base: Timestamp,
    started: Instant,
}

impl Clock {
    fn start() -> Self {
        Self { base: now(), started: Instant::now() }
    }

    fn now(&self) -> Timestamp {
        self.base.after(self.started.elapsed())
    }
}

/// What one leader knows; dropped with its leadership.
struct Term {
    store: Store,
    timing: Timing,
    clock: Clock,
    began: Timestamp,
    ticked: Timestamp,
    liveness: Liveness,
    /// Hosts of managers that this leader found dead.
    dead_hosts: mpsc::Receiver<NodeId>,
    writes: NodeWrites,
    statuses: mpsc::Sender<StatusRequest>,
}

impl Term {
    fn new(store: &Store, timing: Timing, link: &Arc<dyn LeaderLink>, statuses: mpsc::Sender<StatusRequest>) -> Self {
        let state = store.state();
        let clock = Clock::start();
        let nodes = state.nodes().map(|n| (n.id(), n.api.status.state == NodeState::Down));
        let liveness = Liveness::of_new_leader(nodes, timing.grace(&state), clock.now());
        let (began, dead_hosts, writes) = (clock.now(), find_dead(store, link), NodeWrites::default());
        Self { store: store.clone(), timing, began, ticked: began, clock, liveness, dead_hosts, writes, statuses }
    }

    fn grace(&self) -> Duration {
        self.timing.grace(&self.store.state())
    }

    fn catch_up(&mut self) {
        let state = self.store.state();
        self.liveness.retain(|id| state.node(id).is_some());
        for node in state.nodes() {
            self.liveness.added(node.id(), self.timing.grace(&state), self.clock.now());
        }
    }

    fn follow(&mut self, events: &[swarm_state::Event]) {
        for event in events {
            if let Key::Node(id) = event.key {
                match (&event.old, &event.new) {
                    (None, Some(_)) => self.liveness.added(id, self.grace(), self.clock.now()),
                    (_, None) => self.liveness.removed(id),
                    _ => {}
                }
            }
        }
    }

    fn pause(&self) -> Duration {
        self.liveness.next_due().map_or(TICK_MAX, |due| due.since(self.clock.now()).min(TICK_MAX))
    }

    fn tick(&mut self) {
        let now = self.clock.now();
        let gap = now.since(self.ticked);
        self.ticked = now;
        if gap > TICK_MAX + STOOD_STILL {
            tracing::warn!(?gap, "this manager stood still; nodes get that much more time to be heard of");
            self.liveness.stood_still(gap);
        }
        let verdicts = self.liveness.tick(self.grace(), now);
        self.record(verdicts);
    }

    fn record(&mut self, verdicts: Vec<Verdict>) {
        for verdict in verdicts {
            tracing::info!(?verdict, "node changed");
            match verdict {
                Verdict::Down(id, why) => self.writes.judge(id, Wish::Down(why)),
                Verdict::Ready(id) => self.writes.judge(id, Wish::Ready),
            }
        }
    }

    /// Nothing else would have told that the host is dead. An agent that lives, and has only lost its manager, has found another
    /// manager by then.
    fn host_is_dead(&mut self, node: NodeId) {
        tracing::info!(%node, "the host of another manager does not answer");
        let silence = self.timing.silence(&self.store.state());
        self.liveness.host_is_silent(node, self.began.after(silence));
    }

    /// After a write that failed: whatever the state says otherwise than liveness is written again.
    fn judge_again(&mut self) {
        let state = self.store.state();
        for node in state.nodes() {
            let recorded = node.api.status.state;
            match self.liveness.is_down(node.id()) {
                Some(true) if recorded != NodeState::Down => self.writes.judge(node.id(), Wish::Down(super::liveness::HEARTBEAT_FAILURE)),
                Some(false) if recorded != NodeState::Ready => self.writes.judge(node.id(), Wish::Ready),
                _ => {}
            }
        }
    }

    fn take(&mut self, Request { message, answer }: Request) {
        let (grace, at) = (self.grace(), self.clock.now());
        match message {
            LeaderMessage::Register { node_id, session_id, description, addr, data_path_addr } => {
                if self.store.state().node(node_id).is_none() {
                    return drop(answer.send(LeaderAnswer::Refused(CloseReason::Removed)));
                }
                self.liveness.registered(node_id, session_id, grace, at);
                self.writes.ask(node_id, Wish::Register { description, addr, data_path_addr }, answer);
            }
            LeaderMessage::Description { node_id, description } => self.writes.ask(node_id, Wish::Describe(description), answer),
            LeaderMessage::Statuses { node_id, reports } => {
                let request = StatusRequest { node_id, reports, answer };
                if let Err(mpsc::error::TrySendError::Full(request) | mpsc::error::TrySendError::Closed(request)) =
                    self.statuses.try_send(request)
                {
                    drop(request.answer.send(LeaderAnswer::Failed("too many statuses wait".into())));
                }
            }
            LeaderMessage::Digest { connected, closed } => {
                let verdicts = self.liveness.digest(&connected, grace, at);
                self.record(verdicts);
                for ended in closed {
                    self.liveness.closed(ended.node_id, ended.session_id, ended.announced, grace, at);
                }
                drop(answer.send(LeaderAnswer::Done));
            }
            LeaderMessage::Attach { node_id, request } => attachments::attach(self.store.clone(), node_id, request, answer),
            LeaderMessage::Detach { node_id, request } => attachments::detach(self.store.clone(), node_id, request, answer),
            LeaderMessage::Left { node_id } => {
                let verdicts = self.liveness.left(node_id);
                self.record(verdicts);
                drop(answer.send(LeaderAnswer::Done));
            }
        }
    }
}
