//! Which nodes live, as a pure state machine of the leader: what was heard and the time in, verdicts out.
//!
//! Every node has a time by which it must be heard of. A session that broke shortens it to a short grace, one that ended on
//! purpose or a silent one leaves it. When more than half of the nodes are overdue at once, the leader rather suspects itself
//! and waits for several graces before it moves so much.

use std::{collections::BTreeMap, time::Duration};
use swarm_types::{NodeId, SessionId, Timestamp};

/// A broken session makes the node down after this time without a new one: long enough for an agent to be restarted or to
/// find another manager, short enough that a dead host's tasks run elsewhere within six seconds.
pub(super) const BROKEN_GRACE: Duration = Duration::from_secs(3);
/// A session that its manager confirmed within this time wins over another one of the same node: managers confirm once a
/// second. Later the other one counts, because its manager still speaks.
const CONFIRMED_FOR: Duration = Duration::from_secs(3);
/// When most nodes vanish at once, each gets this many graces.
pub(super) const CAUTION_GRACES: u32 = 6;
/// Clusters below this size show no pattern in how many nodes vanish.
const CAUTION_NODES_MIN: usize = 4;

/// How a node stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    /// In a session with this manager; must be heard of by `due`.
    Live {
        /// The session.
        session: SessionId,
        /// When it was confirmed last.
        heard: Timestamp,
        /// When it counts as down.
        due: Timestamp,
    },
    /// Without a session; must open one by `due`.
    Awaited {
        /// When it counts as down.
        due: Timestamp,
        /// Whether the time was stretched because most nodes were gone.
        stretched: bool,
    },
    /// Down. A node that left is not revived by `ended`, the session that it had: its manager may still list it.
    Down {
        /// That session.
        ended: Option<SessionId>,
    },
}

/// What the leader has to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The node is down, and why.
    Down(NodeId, &'static str),
    /// The node was heard of again through a session that this leader did not see begin.
    Ready(NodeId),
}

/// Docker's words for a node that was not heard of.
pub(super) const HEARTBEAT_FAILURE: &str = "heartbeat failure";

/// All nodes.
#[derive(Debug, Default)]
pub(super) struct Liveness {
    nodes: BTreeMap<NodeId, Life>,
    /// No node is due before this: so that nothing needs to be looked through for each of thousands of messages. May be too
    /// early, as a node that was heard of since is due later.
    due_from: Option<Timestamp>,
}

impl Liveness {
    /// How long a broken session may be without a successor.
    #[must_use]
    pub(super) fn broken_grace(grace: Duration) -> Duration {
        BROKEN_GRACE.min(grace / 2)
    }

    /// A new leader's view: nodes that are not down have their whole grace, twice, to be heard of.
    #[must_use]
    pub(super) fn of_new_leader(nodes: impl Iterator<Item = (NodeId, bool)>, grace: Duration, now: Timestamp) -> Self {
        let due = now.after(grace * 2);
        let life = |down| if down { Life::Down { ended: None } } else { Life::Awaited { due, stretched: false } };
        Self { nodes: nodes.map(|(id, down)| (id, life(down))).collect(), due_from: Some(due) }
    }

    /// A node opened a session.
    pub(super) fn registered(&mut self, node: NodeId, session: SessionId, grace: Duration, now: Timestamp) {
        self.set(node, Life::Live { session, heard: now, due: now.after(grace) });
    }

    fn set(&mut self, node: NodeId, life: Life) {
        self.nodes.insert(node, life);
        self.note_due(due_of(&life));
    }

    fn note_due(&mut self, due: Option<Timestamp>) {
        self.due_from = self.due_from.into_iter().chain(due).min();
    }

    /// A manager tells who is connected to it.
    pub(super) fn digest(&mut self, connected: &[(NodeId, SessionId)], grace: Duration, now: Timestamp) -> Vec<Verdict> {
        let mut verdicts = Vec::new();
        for (node, session) in connected {
            let Some(life) = self.nodes.get_mut(node) else { continue };
            match life {
                Life::Live { session: known, heard, .. } if known != session && now.since(*heard) < CONFIRMED_FOR => continue,
                Life::Down { ended: Some(ended) } if ended == session => continue,
                Life::Down { .. } => verdicts.push(Verdict::Ready(*node)),
                Life::Live { .. } | Life::Awaited { .. } => {}
            }
            *life = Life::Live { session: *session, heard: now, due: now.after(grace) };
        }
        self.note_due(Some(now.after(grace)).filter(|_| !connected.is_empty()));
        verdicts
    }

    /// A session ended. `announced`: the agent said so, as before a restart; it gets its whole grace.
    pub(super) fn closed(&mut self, node: NodeId, session: SessionId, announced: bool, grace: Duration, now: Timestamp) {
        if let Some(life @ Life::Live { .. }) = self.nodes.get_mut(&node)
            && matches!(life, Life::Live { session: known, .. } if *known == session)
        {
            let due = now.after(if announced { grace } else { Self::broken_grace(grace) });
            *life = Life::Awaited { due, stretched: false };
            self.note_due(Some(due));
        }
    }

    /// A node left by itself: down at once.
    pub(super) fn left(&mut self, node: NodeId) -> Vec<Verdict> {
        let ended = match self.nodes.get(&node) {
            Some(Life::Live { session, .. }) => Some(*session),
            Some(Life::Down { ended }) => *ended,
            Some(Life::Awaited { .. }) => None,
            // Not in the cluster, or not any more.
            None => return Vec::new(),
        };
        match self.nodes.insert(node, Life::Down { ended }) {
            Some(Life::Down { .. }) => Vec::new(),
            _ => vec![Verdict::Down(node, "node left the swarm")],
        }
    }

    /// The node's host was found dead: without a session it need not be waited for longer than until `due`.
    pub(super) fn host_is_silent(&mut self, node: NodeId, until: Timestamp) {
        if let Some(Life::Awaited { due, stretched: false }) = self.nodes.get_mut(&node) {
            *due = until.min(*due);
            self.note_due(Some(until));
        }
    }

    /// A node appeared in the state.
    pub(super) fn added(&mut self, node: NodeId, grace: Duration, now: Timestamp) {
        let due = now.after(grace * 2);
        self.nodes.entry(node).or_insert(Life::Awaited { due, stretched: false });
        self.note_due(Some(due));
    }

    /// A node is gone from the state.
    pub(super) fn removed(&mut self, node: NodeId) {
        self.nodes.remove(&node);
    }

    /// Only nodes for which this holds are still in the state.
    pub(super) fn retain(&mut self, exists: impl Fn(NodeId) -> bool) {
        self.nodes.retain(|id, _| exists(*id));
    }

    /// Whether the node is down, or `Some(false)` while it has a session. `None`: not known, or awaited.
    #[must_use]
    pub(super) fn is_down(&self, node: NodeId) -> Option<bool> {
        match self.nodes.get(&node)? {
            Life::Down { .. } => Some(true),
            Life::Live { .. } => Some(false),
            Life::Awaited { .. } => None,
        }
    }

    /// The leader itself stood still for `gap`: what came meanwhile is unread, so everybody gets that much more time.
    pub(super) fn stood_still(&mut self, gap: Duration) {
        for life in self.nodes.values_mut() {
            match life {
                Life::Live { heard, due, .. } => (*heard, *due) = (heard.after(gap), due.after(gap)),
                Life::Awaited { due, .. } => *due = due.after(gap),
                Life::Down { .. } => {}
            }
        }
    }

    /// Declares down what is overdue.
    pub(super) fn tick(&mut self, grace: Duration, now: Timestamp) -> Vec<Verdict> {
        if self.due_from.is_none_or(|due| due > now) {
            return Vec::new();
        }
        let verdicts = self.judge(grace, now);
        self.due_from = self.nodes.values().filter_map(due_of).min();
        verdicts
    }

    fn judge(&mut self, grace: Duration, now: Timestamp) -> Vec<Verdict> {
        let overdue: Vec<NodeId> = self.nodes.iter().filter(|(_, l)| due_of(l).is_some_and(|d| d <= now)).map(|(n, _)| *n).collect();
        if overdue.is_empty() {
            return Vec::new();
        }
        let standing = self.nodes.values().filter(|l| !matches!(l, Life::Down { .. })).count();
        let gone = self.nodes.values().filter(|l| matches!(l, Life::Awaited { .. })).count().max(overdue.len());
        let cautious = standing >= CAUTION_NODES_MIN && gone * 2 > standing;
        let mut verdicts = Vec::new();
        for node in overdue {
            let Some(life) = self.nodes.get_mut(&node) else { continue };
            let waited = matches!(life, Life::Awaited { stretched: true, .. });
            if cautious && !waited {
                *life = Life::Awaited { due: now.after(grace * CAUTION_GRACES), stretched: true };
            } else {
                *life = Life::Down { ended: None };
                verdicts.push(Verdict::Down(node, HEARTBEAT_FAILURE));
            }
        }
        verdicts
    }

    /// When [`tick`](Self::tick) is due next, or earlier.
    #[must_use]
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.due_from
    }
}

fn due_of(life: &Life) -> Option<Timestamp> {
    match life {
        Life::Live { due, .. } | Life::Awaited { due, .. } => Some(*due),
        Life::Down { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(10);

    fn node(n: u8) -> NodeId {
        NodeId::from_random([n; 16])
    }

    fn session(n: u8) -> SessionId {
        SessionId::from_random([n; 16])
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_nanos(1).after(Duration::from_secs(seconds))
    }

    fn live(count: u8) -> Liveness {
        let mut liveness = Liveness::default();
        for n in 1..=count {
            liveness.registered(node(n), session(n), GRACE, at(0));
        }
        liveness
    }

    #[test]
    fn a_broken_session_is_down_after_the_short_grace_and_an_announced_one_after_the_whole() {
        let mut liveness = live(3);
        liveness.closed(node(1), session(1), false, GRACE, at(0));
        liveness.closed(node(2), session(2), true, GRACE, at(0));
        assert_eq!(liveness.tick(GRACE, at(2)), []);
        assert_eq!(liveness.tick(GRACE, at(3)), [Verdict::Down(node(1), HEARTBEAT_FAILURE)]);
        liveness.digest(&[(node(3), session(3))], GRACE, at(9));
        assert_eq!(liveness.tick(GRACE, at(10)), [Verdict::Down(node(2), HEARTBEAT_FAILURE)]);
        assert_eq!(liveness.tick(GRACE, at(18)), []);
    }

    #[test]
    fn the_end_of_an_old_session_does_not_touch_a_new_one() {
        let mut liveness = live(1);
        liveness.registered(node(1), session(9), GRACE, at(1));
        liveness.closed(node(1), session(1), false, GRACE, at(1));
        assert_eq!(liveness.tick(GRACE, at(5)), []);
    }

    #[test]
    fn a_new_leader_gives_every_node_its_whole_grace() {
        let nodes = [(node(1), false), (node(2), true)].into_iter();
        let mut liveness = Liveness::of_new_leader(nodes, GRACE, at(0));
        assert_eq!(liveness.tick(GRACE, at(19)), []);
        assert_eq!(liveness.tick(GRACE, at(20)), [Verdict::Down(node(1), HEARTBEAT_FAILURE)]);
        let back = liveness.digest(&[(node(2), session(2))], GRACE, at(21));
        assert_eq!(back, [Verdict::Ready(node(2))]);
    }

    #[test]
    fn a_new_leader_waits_less_for_a_host_that_it_found_dead() {
        let mut liveness = Liveness::of_new_leader((1..=3).map(|n| (node(n), false)), GRACE, at(0));
        liveness.registered(node(2), session(2), GRACE, at(1));
        for dead in [1, 2] {
            liveness.host_is_silent(node(dead), at(7));
        }
        assert_eq!(liveness.tick(GRACE, at(6)), []);
        // The second has a session: its agent lives, whatever became of its manager.
        assert_eq!(liveness.tick(GRACE, at(7)), [Verdict::Down(node(1), HEARTBEAT_FAILURE)]);
        liveness.host_is_silent(node(3), at(30));
        assert_eq!(liveness.tick(GRACE, at(20)).len(), 2, "never longer than without");
    }

    #[test]
    fn when_most_nodes_vanish_at_once_the_leader_waits() {
        let mut liveness = live(5);
        for n in 1..=3 {
            liveness.closed(node(n), session(n), false, GRACE, at(0));
        }
        assert_eq!(liveness.tick(GRACE, at(3)), []);
        let alive = [(node(4), session(4)), (node(5), session(5))];
        liveness.digest(&alive, GRACE, at(60));
        assert_eq!(liveness.tick(GRACE, at(62)), []);
        assert_eq!(liveness.tick(GRACE, at(63)).len(), 3);
    }

    #[test]
    fn of_two_sessions_the_one_that_is_still_confirmed_counts() {
        let mut liveness = live(1);
        liveness.digest(&[(node(1), session(9))], GRACE, at(1));
        liveness.closed(node(1), session(9), false, GRACE, at(1));
        assert_eq!(liveness.is_down(node(1)), Some(false), "an older session's end says nothing");
        // The manager of the first session is gone: the other one takes over before the node is missed.
        for second in 3..20 {
            assert_eq!(liveness.digest(&[(node(1), session(9))], GRACE, at(second)), []);
            assert_eq!(liveness.tick(GRACE, at(second)), []);
        }
    }

    #[test]
    fn a_node_that_left_is_not_revived_by_the_session_it_had() {
        let mut liveness = live(2);
        assert_eq!(liveness.left(node(1)).len(), 1);
        assert_eq!(liveness.digest(&[(node(1), session(1))], GRACE, at(1)), []);
        assert_eq!(liveness.is_down(node(1)), Some(true));
        assert_eq!(liveness.left(node(1)), []);
        assert_eq!(liveness.left(node(7)), [], "not in the cluster");
        let back = liveness.digest(&[(node(1), session(8))], GRACE, at(2));
        assert_eq!(back, [Verdict::Ready(node(1))]);
    }

    #[test]
    fn a_leader_that_stood_still_blames_nobody() {
        let mut liveness = live(2);
        liveness.closed(node(2), session(2), false, GRACE, at(0));
        liveness.stood_still(Duration::from_secs(30));
        assert_eq!(liveness.tick(GRACE, at(30)), []);
        assert_eq!(liveness.tick(GRACE, at(33)), [Verdict::Down(node(2), HEARTBEAT_FAILURE)]);
    }
}
