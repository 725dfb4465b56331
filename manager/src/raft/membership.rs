//! Adding managers to the consensus group and taking them out, on the leader.
//!
//! A manager joins as a learner and becomes a voter when it has caught up, so a slow newcomer never weakens the quorum. Every
//! step can be repeated: a joiner that was interrupted asks again and the leader goes on where it was.

use super::{Member, RaftNode};
use crate::store::{Peer, ProposeError, Store};
use openraft::{ChangeMembers, error::ClientWriteError, error::RaftError};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use swarm_state::{Batch, Change, Object};
use swarm_types::{Actor, NodeId, RemoteManager, Role, Timestamp};
use tokio::sync::Mutex;

/// A learner that has not caught up by then is left a learner; it asks again.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(60);
/// A change of the members that no majority confirms fails after this time. It may still happen; asking again goes on from there.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(8);
/// Between two looks of the leader at whether Raft's members are those that the state names.
const REPAIR_EVERY: Duration = Duration::from_secs(5);
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
        let _turn = self.one_at_a_time.lock().await;
        self.require_leadership()?;
        if self.store.state().node(request.node_id).is_none() {
            return Err(MembershipError::UnknownNode(request.node_id));
        }
        self.check_answers(request).await?;
        self.forget_former_selves(request).await?;
        let member = Member { node_id: request.node_id, addr: request.addr.clone() };
        let known = self.store.peers().into_iter().find(|p| p.raft_id == request.raft_id);
        if known.as_ref().is_some_and(|p| p.addr != request.addr) {
            // It was interrupted and came back elsewhere; that it is the same one was checked.
            let moved = BTreeMap::from([(request.raft_id, member.clone())]);
            self.change(ChangeMembers::SetNodes(moved), true).await?;
        }
        if !known.is_some_and(|p| p.voter) {
            let learner = self.node.raft.add_learner(request.raft_id, member, true);
            match tokio::time::timeout(CATCH_UP_TIMEOUT, learner).await {
                Err(_) => return Err(MembershipError::Slow),
                Ok(result) => result.map_err(raft_error)?,
            };
            self.change(ChangeMembers::AddVoterIds(BTreeSet::from([request.raft_id])), true).await?;
        }
        self.record(request.node_id, Some((request.raft_id, &request.addr)), now).await
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
            self.record(node_id, None, now).await?;
            self.remove(ids).await?;
        }
        Ok(())
    }

    /// While this member leads: takes out members whose node is gone or recorded as a worker, which is what a leave that was
    /// interrupted leaves behind. Runs until consensus stops.
    pub async fn keep_in_step(self) {
        let mut leadership = self.store.leadership();
        loop {
            if leadership.wait_for(crate::store::Leadership::is_own).await.is_err() {
                return;
            }
            if let Err(error) = self.repair().await {
                tracing::warn!(error = crate::chain(&error), "could not take out a manager that left");
            }
            tokio::time::sleep(REPAIR_EVERY).await;
        }
    }

    async fn repair(&self) -> Result<(), MembershipError> {
        let _turn = self.one_at_a_time.lock().await;
        if self.require_leadership().is_err() {
            return Ok(());
        }
        let (peers, state) = (self.store.peers(), self.store.state());
        let stale = |p: &&Peer| match state.node(p.node_id) {
            None => state.cluster().is_some(),
            Some(node) => node.role == Role::Worker && node.api.spec.role == Role::Worker,
        };
        let ids: BTreeSet<u64> = peers.iter().filter(stale).map(|p| p.raft_id).collect();
        if ids.is_empty() {
            return Ok(());
        }
        check_rest(&peers, &ids)?;
        tracing::info!(?ids, "taking out managers that left");
        self.remove(ids).await
    }

    fn require_leadership(&self) -> Result<(), MembershipError> {
        match &*self.store.leadership().borrow() {
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

    /// Writes into the node object whether and where it is a manager.
    async fn record(&self, node_id: NodeId, manager: Option<(u64, &str)>, now: Timestamp) -> Result<(), MembershipError> {
        for _ in 0..RECORD_TRIES_MAX {
            let state = self.store.state();
            let Some(node) = state.node(node_id) else { return Err(MembershipError::UnknownNode(node_id)) };
            let mut node = (**node).clone();
            node.raft_id = manager.map(|(id, _)| id);
            node.manager_addr = manager.map(|(_, addr)| addr.to_owned());
            node.role = if manager.is_some() { Role::Manager } else { Role::Worker };
            node.api.spec.role = node.role;
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
}

fn raft_error(error: RaftError<u64, ClientWriteError<u64, Member>>) -> MembershipError {
    match error {
        RaftError::APIError(ClientWriteError::ForwardToLeader(to)) => {
            MembershipError::NotLeader(to.leader_node.map(|m| RemoteManager { node_id: m.node_id, addr: m.addr }))
        }
        other => MembershipError::Raft(other.to_string()),
    }
}
