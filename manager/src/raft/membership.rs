//! Adding managers to the consensus group and taking them out, on the leader.
//!
//! A manager joins as a learner and becomes a voter when it has caught up, so a slow newcomer never weakens the quorum. Every
//! step can be repeated: a joiner that was interrupted asks again and the leader goes on where it was.

use super::{Member, Raft, RaftNode};
use crate::store::{ProposeError, Store};
use openraft::{ChangeMembers, error::ClientWriteError, error::RaftError};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use swarm_state::{Batch, Change, Object};
use swarm_types::{Actor, NodeId, RemoteManager, Role, Timestamp};
use tokio::sync::Mutex;

/// A learner that has not caught up by then is left a learner; it asks again.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(60);
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
        let learner = self.node.raft.add_learner(request.raft_id, member, true);
        match tokio::time::timeout(CATCH_UP_TIMEOUT, learner).await {
            Err(_) => return Err(MembershipError::Slow),
            Ok(result) => result.map_err(raft_error)?,
        };
        let voter = ChangeMembers::AddVoterIds(BTreeSet::from([request.raft_id]));
        self.node.raft.change_membership(voter, true).await.map_err(raft_error)?;
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
            let others = peers.iter().filter(|p| p.voter && p.node_id != node_id).count();
            if others == 0 {
                return Err(MembershipError::LastManager);
            }
            let answering = peers.iter().filter(|p| p.voter && p.node_id != node_id && p.reachable == Some(true)).count();
            if answering < others / 2 + 1 {
                return Err(MembershipError::LosesQuorum);
            }
            // Recorded first: after a leader took itself out it can record nothing any more.
            self.record(node_id, None, now).await?;
            self.remove(ids).await?;
        }
        Ok(())
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
        let former = |p: &crate::store::Peer| p.node_id == request.node_id && p.raft_id != request.raft_id;
        let ids: BTreeSet<u64> = self.store.peers().iter().filter(|p| former(p)).map(|p| p.raft_id).collect();
        if ids.is_empty() { Ok(()) } else { self.remove(ids).await }
    }

    async fn remove(&self, ids: BTreeSet<u64>) -> Result<(), MembershipError> {
        let raft: &Raft = &self.node.raft;
        let voters: BTreeSet<u64> = raft.metrics().borrow().membership_config.membership().voter_ids().filter(|v| ids.contains(v)).collect();
        if voters.is_empty() {
            raft.change_membership(ChangeMembers::RemoveNodes(ids), false).await.map_err(raft_error)?;
        } else {
            raft.change_membership(ChangeMembers::RemoveVoters(voters), false).await.map_err(raft_error)?;
        }
        Ok(())
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
