//! Adding managers to the consensus group and taking them out, on the leader.
//!
//! A manager joins as a learner and becomes a voter when it has caught up, so a slow newcomer never weakens the quorum. Every
//! step can be repeated: a joiner that was interrupted asks again and the leader goes on where it was. What the operator wants
//! of the nodes' roles is followed by [`Membership::keep_in_step`].

use super::{
    Member, RaftNode,
    roles::{self, Step},
};
use crate::store::{Committed, Peer, ProposeError, Store};
use openraft::{ChangeMembers, ServerState, error::ClientWriteError, error::RaftError};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use swarm_state::{Batch, Change, Event, Key, Node, Object};
use swarm_types::{Actor, NodeId, RemoteManager, Role, Timestamp, Version};
use tokio::sync::{Mutex, broadcast};

/// A learner that has not caught up by then is left a learner; it asks again.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(60);
/// A learner that lags by no more entries than this is made a voter.
const CATCH_UP_LAG_MAX: u64 = 100;
/// A change of the members that no majority confirms fails after this time. It may still happen; asking again goes on from there.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(8);
/// Between two looks of the leader at whether Raft's members are those that the state names, if no role changes before.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// After a look at which something could not be done.
const RETRY_EVERY: Duration = Duration::from_secs(1);
/// A member that was taken out may take this long to hear of it.
const TELL_TIMEOUT: Duration = Duration::from_secs(5);
/// Tries at recording a manager's address in its node when other writes get in between.
const RECORD_TRIES_MAX: usize = 10;

/// Body of `POST /raft/join`: who wants to be a manager, and where it answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct JoinRequest {
    /// Its node: must be the CN of its certificate.
    pub node_id: NodeId,
    /// Its new id in Raft.
    pub raft_id: u64,
    /// `host:port` of its port 2377; an empty or unspecified host is replaced by the connection's.
    pub addr: String,
}

/// Why a manager was not added or taken out.
#[derive(Debug, thiserror::Error)]
pub enum MembershipError {
    /// Another manager leads.
    #[error("this manager does not lead")]
    NotLeader(Option<RemoteManager>),
    /// The newcomer does not answer at the address it gave.
    #[error("the new manager does not answer at {addr}: {reason}")]
    NoAnswer {
        /// Where it was tried.
        addr: String,
        /// What happened.
        reason: String,
    },
    /// The node is not in the cluster.
    #[error("node {0} not found")]
    UnknownNode(NodeId),
    /// It is to be a worker: whoever was told so while it was on its way to being a manager asks again until it is told so too.
    #[error("node {0} is to be a worker")]
    NotWanted(NodeId),
    /// It is the only manager.
    #[error("attempting to demote the last manager of the swarm")]
    LastManager,
    /// Without it the others would be no majority.
    #[error("can't remove member from the raft: this would result in a loss of quorum")]
    LosesQuorum,
    /// No majority confirmed the change in time; it may still happen.
    #[error("no majority of the managers confirmed the change in time")]
    NoQuorum,
    /// It did not catch up in time; it may ask again.
    #[error("the new manager did not catch up in time")]
    Slow,
    /// Consensus refused or failed.
    #[error("could not change the managers: {0}")]
    Raft(String),
    /// The node could not be recorded as a manager.
    #[error("could not record the manager")]
    Record(#[from] ProposeError),
}

/// Membership changes on the leader, one at a time.
#[derive(Clone)]
pub struct Membership {
    node: RaftNode,
    store: Store,
    one_at_a_time: Arc<Mutex<()>>,
}

impl Membership {
    /// For this member.
    #[must_use]
    pub fn new(node: RaftNode) -> Self {
        let store = node.store();
        Self { node, store, one_at_a_time: Arc::default() }
    }

    /// Makes the node a voter: learner first, voter when caught up, then recorded in its node object.
    ///
    /// # Errors
    /// [`MembershipError`]; whatever was reached stays, and asking again goes on from there.
    pub async fn join(&self, request: &JoinRequest, now: Timestamp) -> Result<(), MembershipError> {
        let member = Member { node_id: request.node_id, addr: request.addr.clone() };
        let known = {
            let _turn = self.one_at_a_time.lock().await;
            self.check_wanted(request.node_id)?;
            self.check_answers(request).await?;
            self.forget_former_selves(request).await?;
            let known = self.store.peers().into_iter().find(|p| p.raft_id == request.raft_id);
            match &known {
                // It was interrupted and came back elsewhere; that it is the same one was checked.
                Some(peer) if peer.addr != request.addr => {
                    let moved = BTreeMap::from([(request.raft_id, member)]);
                    self.change(ChangeMembers::SetNodes(moved), true).await?;
                }
                Some(_) => {}
                None => {
                    let learner = self.node.raft.add_learner(request.raft_id, member, false);
                    let added = tokio::time::timeout(CHANGE_TIMEOUT, learner).await.map_err(|_| MembershipError::NoQuorum)?;
                    added.map_err(raft_error)?;
                }
            }
            known
        };
        // Not in turn: one that is slow, or died on its way, must not hold up the others.
        if !known.is_some_and(|p| p.voter) {
            self.until_caught_up(request.raft_id).await?;
        }
        let _turn = self.one_at_a_time.lock().await;
        self.check_wanted(request.node_id)?;
        if !self.store.peers().iter().any(|p| p.raft_id == request.raft_id && p.voter) {
            self.change(ChangeMembers::AddVoterIds(BTreeSet::from([request.raft_id])), true).await?;
        }
        let (id, addr) = (request.raft_id, &request.addr);
        self.record(request.node_id, now, |node| {
            node.raft_id = Some(id);
            node.manager_addr = Some(addr.clone());
            node.role = Role::Manager;
        })
        .await
    }

    /// This member leads, and the node is in the cluster and is to be a manager.
    fn check_wanted(&self, node_id: NodeId) -> Result<(), MembershipError> {
        self.require_leadership()?;
        match self.store.state().node(node_id) {
            None => Err(MembershipError::UnknownNode(node_id)),
            Some(node) if node.api.spec.role == Role::Worker => Err(MembershipError::NotWanted(node_id)),
            Some(_) => Ok(()),
        }
    }

    /// Waits until the learner lags by little.
    async fn until_caught_up(&self, raft_id: u64) -> Result<(), MembershipError> {
        let mut metrics = self.node.raft.metrics();
        let known = metrics.wait_for(|m| {
            let has = m.replication.as_ref().and_then(|all| all.get(&raft_id)).copied().flatten().map_or(0, |log| log.index);
            m.state != ServerState::Leader || (has > 0 && has + CATCH_UP_LAG_MAX >= m.last_log_index.unwrap_or(0))
        });
        match tokio::time::timeout(CATCH_UP_TIMEOUT, known).await {
            Err(_) => Err(MembershipError::Slow),
            Ok(Err(_)) => Err(MembershipError::Raft("consensus stopped".into())),
            Ok(Ok(metrics)) if metrics.state != ServerState::Leader => Err(MembershipError::NotLeader(None)),
            Ok(Ok(_)) => Ok(()),
        }
    }

    /// Takes a manager out of the group. The node stays in the cluster, as a worker as far as Raft is concerned.
    ///
    /// # Errors
    /// [`MembershipError`]; the last manager cannot leave.
    pub async fn leave(&self, node_id: NodeId, now: Timestamp) -> Result<(), MembershipError> {
        let _turn = self.one_at_a_time.lock().await;
        self.require_leadership()?;
        let peers = self.store.peers();
        let ids: BTreeSet<u64> = peers.iter().filter(|p| p.node_id == node_id).map(|p| p.raft_id).collect();
        if !ids.is_empty() {
            check_rest(&peers, &ids)?;
            // Recorded first: after a leader took itself out it can record nothing any more. If this ends between the two, the
            // next leader goes on from the record.
            self.record(node_id, now, |node| {
                (node.raft_id, node.manager_addr) = (None, None);
                (node.role, node.api.spec.role) = (Role::Worker, Role::Worker);
            })
            .await?;
            self.remove(ids).await?;
        }
        Ok(())
    }

    /// While this member leads: follows what the operator wants of the nodes' roles, and takes out members whose node is gone or
    /// left. Goes on with whatever an earlier leader was interrupted in. Runs until consensus stops.
    pub async fn keep_in_step(self) {
        let mut leadership = self.store.leadership();
        loop {
            if leadership.wait_for(crate::store::Leadership::is_own).await.is_err() {
                return;
            }
            // Before the look, so that no change falls between.
            let mut events = self.store.subscribe();
            let pause = if self.follow_roles().await { LOOK_EVERY } else { RETRY_EVERY };
            // Both are cancel-safe. After a failure the pause is kept: whatever was in the way needs time.
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = role_changed(&mut events), if pause == LOOK_EVERY => {}
            }
        }
    }

    /// Does what [`roles::plan`] says. Whether all of it was done.
    async fn follow_roles(&self) -> bool {
        let mut all_done = true;
        for step in roles::plan(&self.store.state(), &self.store.peers()) {
            let _turn = self.one_at_a_time.lock().await;
            if self.require_leadership().is_err() {
                return false;
            }
            // Others had their turn meanwhile: only what is still to be done is.
            if !roles::plan(&self.store.state(), &self.store.peers()).contains(&step) {
                continue;
            }
            tracing::info!(?step, "bringing the managers in step with the roles");
            if let Err(error) = self.take_step(&step).await {
                tracing::warn!(?step, error = crate::chain(&error), "could not bring the managers in step with the roles yet");
                all_done = false;
            }
        }
        all_done && self.settle_voters().await
    }

    /// Finishes a change of the voters that an earlier leader, or one without a majority for a while, left half done. Whoever is
    /// to go was taken out by a step: who is left among the old ones and the new ones is to stay. Whether nothing is half done.
    async fn settle_voters(&self) -> bool {
        let _turn = self.one_at_a_time.lock().await;
        let Some(voters) = self.node.half_changed_voters() else { return true };
        tracing::info!(?voters, "finishing a change of the managers that was left half done");
        match self.change(ChangeMembers::ReplaceAllVoters(voters), false).await {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(error = crate::chain(&error), "could not finish a change of the managers yet");
                false
            }
        }
    }

    async fn take_step(&self, step: &Step) -> Result<(), MembershipError> {
        let now = Timestamp::from_system(std::time::SystemTime::now());
        let demote = |node: &mut Node| {
            (node.raft_id, node.manager_addr) = (None, None);
            node.role = Role::Worker;
        };
        match step {
            Step::Promote(node) => self.record(*node, now, |node| node.role = Role::Manager).await,
            Step::Demote(node) => self.record(*node, now, demote).await,
            Step::TakeOut { node, ids } => {
                let peers = self.store.peers();
                check_rest(&peers, ids)?;
                self.remove(ids.clone()).await?;
                peers.into_iter().filter(|p| ids.contains(&p.raft_id)).for_each(|p| self.tell_taken_out(p));
                // One that took itself out can record nothing any more; the next leader does.
                let is_manager = self.store.state().node(*node).is_some_and(|n| n.role == Role::Manager);
                if is_manager && !ids.contains(&self.node.raft_id) { self.record(*node, now, demote).await } else { Ok(()) }
            }
        }
    }

    /// Tells a member of its end, beside: it may be gone, and one that does not hear of it asks by itself.
    fn tell_taken_out(&self, peer: Peer) {
        let peers = Arc::clone(&self.node.peers);
        tokio::spawn(async move {
            let told = peers.call::<_, ()>(&peer.addr, "/raft/taken-out", &peer.raft_id);
            match tokio::time::timeout(TELL_TIMEOUT, told).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%error, "a manager could not be told that it was taken out"),
                Err(_) => tracing::debug!(addr = peer.addr, "a manager could not be told in time that it was taken out"),
            }
        });
    }

    fn require_leadership(&self) -> Result<(), MembershipError> {
        match &*self.store.leadership().borrow() {
            // One that has just taken itself out may not have heard of it on this way yet, and must change nothing any more.
            crate::store::Leadership::Own { .. } if !self.node.is_leading_member() => Err(MembershipError::NotLeader(None)),
            crate::store::Leadership::Own { .. } => Ok(()),
            crate::store::Leadership::Other(leader) => Err(MembershipError::NotLeader(Some(leader.clone()))),
            crate::store::Leadership::None => Err(MembershipError::NotLeader(None)),
        }
    }

    /// A manager that cannot be reached back must not become a voter.
    async fn check_answers(&self, request: &JoinRequest) -> Result<(), MembershipError> {
        let no_answer = |reason: String| MembershipError::NoAnswer { addr: request.addr.clone(), reason };
        let answer = self.node.peers.call::<_, Hello>(&request.addr, "/raft/hello", &()).await;
        let hello = answer.map_err(|e| no_answer(crate::chain(&e)))?;
        if hello.node_id == request.node_id && hello.raft_id == request.raft_id {
            Ok(())
        } else {
            Err(no_answer(format!("node {} is there instead", hello.node_id)))
        }
    }

    /// A node that lost its Raft state comes back under a new id; the old one can never answer again.
    async fn forget_former_selves(&self, request: &JoinRequest) -> Result<(), MembershipError> {
        let former = |p: &Peer| p.node_id == request.node_id && p.raft_id != request.raft_id;
        let ids: BTreeSet<u64> = self.store.peers().iter().filter(|p| former(p)).map(|p| p.raft_id).collect();
        if ids.is_empty() { Ok(()) } else { self.remove(ids).await }
    }

    async fn remove(&self, ids: BTreeSet<u64>) -> Result<(), MembershipError> {
        let is_voter = |id: &u64| self.store.peers().iter().any(|p| p.raft_id == *id && p.voter);
        let (voters, learners): (BTreeSet<u64>, BTreeSet<u64>) = ids.into_iter().partition(is_voter);
        if !learners.is_empty() {
            self.change(ChangeMembers::RemoveNodes(learners), false).await?;
        }
        if !voters.is_empty() {
            self.change(ChangeMembers::RemoveVoters(voters), false).await?;
        }
        Ok(())
    }

    async fn change(&self, change: ChangeMembers<u64, Member>, retain: bool) -> Result<(), MembershipError> {
        let changed = self.node.raft.change_membership(change, retain);
        let changed = tokio::time::timeout(CHANGE_TIMEOUT, changed).await.map_err(|_| MembershipError::NoQuorum)?;
        changed.map(|_| ()).map_err(raft_error)
    }

    /// Writes into the node object what it is as a manager.
    async fn record(&self, node_id: NodeId, now: Timestamp, change: impl Fn(&mut Node)) -> Result<(), MembershipError> {
        for _ in 0..RECORD_TRIES_MAX {
            let state = self.store.state();
            let Some(stored) = state.node(node_id) else { return Err(MembershipError::UnknownNode(node_id)) };
            let mut node = (**stored).clone();
            change(&mut node);
            if node == **stored {
                return Ok(());
            }
            if node.api.spec != stored.api.spec {
                node.spec_version = Version::default();
            }
            node.api.updated_at = now;
            let change = Change::update(Object::Node(Arc::new(node)));
            match self.store.propose(Batch { by: Actor::Operator, guards: vec![], changes: vec![change] }).await {
                Ok(_) => return Ok(()),
                Err(ProposeError::Conflict(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(MembershipError::Raft(format!("node {node_id} kept changing")))
    }
}

/// Ends when a node appears, vanishes, or has another role, wanted or actual; also when changes were missed.
async fn role_changed(events: &mut broadcast::Receiver<Arc<Committed>>) {
    let roles = |object: &Option<Object>| match object {
        Some(Object::Node(node)) => Some((node.api.spec.role, node.role)),
        _ => None,
    };
    let is_news = |event: &Event| matches!(event.key, Key::Node(_)) && roles(&event.old) != roles(&event.new);
    loop {
        match events.recv().await {
            Ok(committed) if !committed.replaced && !committed.events.iter().any(is_news) => {}
            Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => return,
            // Consensus stops; whoever waits for leadership is told.
            Err(broadcast::error::RecvError::Closed) => return std::future::pending().await,
        }
    }
}

/// Without `leaving`, a majority of the voters that stay must answer.
fn check_rest(peers: &[Peer], leaving: &BTreeSet<u64>) -> Result<(), MembershipError> {
    let rest = || peers.iter().filter(|p| p.voter && !leaving.contains(&p.raft_id));
    let (others, answering) = (rest().count(), rest().filter(|p| p.reachable == Some(true)).count());
    match others {
        0 => Err(MembershipError::LastManager),
        _ if answering < others / 2 + 1 => Err(MembershipError::LosesQuorum),
        _ => Ok(()),
    }
}

/// Answer of `POST /raft/hello`: who answers here.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Hello {
    /// Its node.
    pub node_id: NodeId,
    /// Its id in Raft.
    pub raft_id: u64,
    /// Whether there is room on its disk for more writes.
    #[serde(default)]
    pub has_room: bool,
}

fn raft_error(error: RaftError<u64, ClientWriteError<u64, Member>>) -> MembershipError {
    match error {
        RaftError::APIError(ClientWriteError::ForwardToLeader(to)) => {
            MembershipError::NotLeader(to.leader_node.map(|m| RemoteManager { node_id: m.node_id, addr: m.addr }))
        }
        other => MembershipError::Raft(other.to_string()),
    }
}
