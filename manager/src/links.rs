//! How the rooms of this manager reach the leader: directly when it is this one, else over port 2377.

use crate::{
    api,
    dispatcher::{Dispatcher, LeaderAnswer, LeaderLink, LeaderMessage, Left, LinkError, LinkFuture},
    peer::{PeerError, Peers},
    raft::membership::{Membership, MembershipError},
    server::FORWARD_PREFIX,
    store::{Leadership, Store},
};
use axum::body::Body;
use http::Request;
use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};
use swarm_types::{NodeId, RemoteManager, Timestamp};

/// A manager that leads no more may answer for so long, to say that it does not; then it counts as gone.
const DEPOSED_GRACE: Duration = Duration::from_millis(300);
/// A message to the leader takes no longer; the sender tries again.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// Connections to the leader, for every room.
pub struct Links {
    store: Store,
    peers: Arc<Peers>,
    node_id: NodeId,
    membership: Membership,
    /// Set once, right after the dispatcher was made over these links.
    dispatcher: OnceLock<Dispatcher>,
}

impl Links {
    /// Links of this manager.
    #[must_use]
    pub fn new(store: Store, peers: Arc<Peers>, node_id: NodeId, membership: Membership) -> Self {
        Self { store, peers, node_id, membership, dispatcher: OnceLock::new() }
    }

    /// Messages for the leader go here when this manager leads.
    pub fn set_dispatcher(&self, dispatcher: Dispatcher) {
        if self.dispatcher.set(dispatcher).is_err() {
            tracing::error!("the dispatcher was set twice");
        }
    }

    /// Takes a manager out of the group, wherever the leader is.
    ///
    /// # Errors
    /// [`MembershipError`]
    pub async fn leave_group(&self, node_id: NodeId) -> Result<(), MembershipError> {
        let leadership = self.store.leadership().borrow().clone();
        match leadership {
            Leadership::Own { .. } => {
                let now = Timestamp::from_system(std::time::SystemTime::now());
                self.membership.leave(node_id, now).await
            }
            Leadership::Other(leader) => {
                let answer = self.peers.call::<_, ()>(&leader.addr, "/raft/leave", &node_id).await;
                answer.map_err(|error| match error {
                    PeerError::Status { message, .. } if message.contains("last manager") => MembershipError::LastManager,
                    PeerError::Status { message, .. } if message.contains("loss of quorum") => MembershipError::LosesQuorum,
                    error => MembershipError::Raft(crate::chain(&error)),
                })
            }
            Leadership::None => Err(MembershipError::NotLeader(None)),
        }
    }

    /// Ends some time after the manager has ceased to lead, as far as this one knows: one that fell silent is replaced long
    /// before its connection breaks.
    async fn deposed(&self, leader: &RemoteManager) {
        let mut leadership = self.store.leadership();
        let still = |l: &Leadership| matches!(l, Leadership::Other(other) if other.node_id == leader.node_id);
        // With consensus gone nobody leads either.
        let _ = leadership.wait_for(|l| !still(l)).await;
        tokio::time::sleep(DEPOSED_GRACE).await;
    }

    async fn send_to_leader(&self, message: LeaderMessage) -> Result<LeaderAnswer, LinkError> {
        let leadership = self.store.leadership().borrow().clone();
        match leadership {
            Leadership::None => Err(LinkError::NoLeader),
            Leadership::Own { .. } => {
                let dispatcher = self.dispatcher.get().ok_or(LinkError::NoLeader)?;
                Ok(dispatcher.take(self.node_id, message).await)
            }
            Leadership::Other(leader) => {
                let call = self.peers.call::<_, LeaderAnswer>(&leader.addr, "/dispatch/take", &message);
                match tokio::time::timeout(SEND_TIMEOUT, call).await {
                    Ok(Ok(answer)) => Ok(answer),
                    Ok(Err(error)) => Err(LinkError::Failed(crate::chain(&error))),
                    Err(_) => Err(LinkError::Failed(format!("{} did not answer in time", leader.addr))),
                }
            }
        }
    }
}

impl LeaderLink for Links {
    fn send(&self, message: LeaderMessage) -> LinkFuture<'_, Result<LeaderAnswer, LinkError>> {
        Box::pin(self.send_to_leader(message))
    }

    fn host_answers<'a>(&'a self, addr: &'a str) -> LinkFuture<'a, bool> {
        Box::pin(self.peers.host_answers(addr))
    }

    fn left_elsewhere<'a>(&'a self, left: &'a Left) -> LinkFuture<'a, ()> {
        let others = self.store.peers().into_iter().filter(|p| p.node_id != self.node_id);
        let asked = others.map(|other| async move {
            if let Err(error) = self.peers.call::<_, ()>(&other.addr, "/dispatch/left", left).await {
                // Its agents are looking for another manager, and cannot be told anything meanwhile.
                tracing::debug!(manager = %other.node_id, error = crate::chain(&error), "could not ask what the nodes of another manager know");
            }
        });
        let asked: Vec<_> = asked.collect();
        Box::pin(async { drop(futures_util::future::join_all(asked).await) })
    }
}

impl api::Forward for Links {
    fn forward<'a>(&'a self, to: &'a RemoteManager, mut request: Request<Body>) -> api::ForwardFuture<'a> {
        Box::pin(async move {
            let path = request.uri().path_and_query().map_or("/", |p| p.as_str());
            let failed = |reason: String, sent: bool| api::ForwardError { to: to.clone(), reason, sent };
            let uri = format!("{FORWARD_PREFIX}{path}").parse().map_err(|e: http::uri::InvalidUri| failed(e.to_string(), false))?;
            *request.uri_mut() = uri;
            *request.version_mut() = http::Version::HTTP_2;
            for hop in [http::header::HOST, http::header::CONNECTION, http::header::TRANSFER_ENCODING, http::header::UPGRADE] {
                request.headers_mut().remove(hop);
            }
            let response = tokio::select! {
                response = self.peers.send(&to.addr, request) => response.map_err(|e| failed(crate::chain(&e), !e.is_unreachable()))?,
                () = self.deposed(to) => return Err(failed("it does not lead any more and did not answer".into(), true)),
            };
            Ok(response.map(Body::new))
        })
    }
}
