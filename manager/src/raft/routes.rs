//! Raft's part of port 2377. Every route is for managers only; the authority table in [`crate::server`] says so.

use super::{
    JoinRequest, MembershipError, RaftNode, TypeConfig,
    membership::{Hello, Membership},
    network::{Addressee, receive_snapshot},
    node::{ReadIndexRequest, leader_read_index},
};
use crate::{
    room::NoRoom,
    server::{CallError, Msgpack, PeerAddr},
};
use axum::{
    Extension,
    body::Body,
    extract::{Query, State as Held},
};
use http::StatusCode;
use openraft::{
    Snapshot,
    error::{Fatal, RaftError},
    raft::{AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse},
};
use std::net::SocketAddr;
use swarm_pki::Peer;
use swarm_types::{NodeId, Timestamp};

/// What the handlers hold.
#[derive(Clone)]
pub struct RaftRoutes {
    /// The member.
    pub node: RaftNode,
    /// Membership changes.
    pub membership: Membership,
    /// Own node.
    pub node_id: NodeId,
}

type Answer<T, E = openraft::error::Infallible> = Result<Msgpack<Result<T, RaftError<u64, E>>>, CallError>;

/// Refuses what is for a member that was here before.
fn require_addressee(held: &RaftRoutes, to: &Addressee) -> Result<(), CallError> {
    if to.to == held.node.raft_id {
        return Ok(());
    }
    Err(CallError::new(StatusCode::GONE, format!("member {} is not here; this is member {}", to.to, held.node.raft_id)))
}

/// `POST /raft/append`
///
/// # Errors
/// 410 when it is for another member than this one; 507 when there is no room for entries.
pub async fn append(
    Held(held): Held<RaftRoutes>,
    Query(to): Query<Addressee>,
    Msgpack(rpc): Msgpack<AppendEntriesRequest<TypeConfig>>,
) -> Answer<AppendEntriesResponse<u64>> {
    require_addressee(&held, &to)?;
    match held.node.room.check(0) {
        Err(error) if !rpc.entries.is_empty() => Err(append_without_room(&held.node, rpc, &error).await),
        _ => Ok(Msgpack(held.node.raft.append_entries(rpc).await)),
    }
}

/// Takes the message as a heartbeat and none of its entries: a log that finds no room in the middle of a write would have to
/// stop. The leader hears why and tries again after a pause, while this follower goes on knowing that it is led.
async fn append_without_room(node: &RaftNode, rpc: AppendEntriesRequest<TypeConfig>, error: &NoRoom) -> CallError {
    if let Err(stopped) = node.raft.append_entries(AppendEntriesRequest { entries: Vec::new(), ..rpc }).await {
        tracing::debug!(%stopped, "a message without its entries was not taken");
    }
    CallError::new(StatusCode::INSUFFICIENT_STORAGE, error.to_string())
}

/// `POST /raft/vote`
///
/// # Errors
/// As [`append`].
pub async fn vote(
    Held(held): Held<RaftRoutes>,
    Query(to): Query<Addressee>,
    Msgpack(rpc): Msgpack<VoteRequest<u64>>,
) -> Answer<VoteResponse<u64>> {
    require_addressee(&held, &to)?;
    Ok(Msgpack(held.node.raft.vote(rpc).await))
}

/// `POST /raft/snapshot`: the body is a stream.
///
/// # Errors
/// As [`append`], 400 when the stream breaks, and 507 when the disk does not take it.
pub async fn snapshot(
    Held(held): Held<RaftRoutes>,
    Query(to): Query<Addressee>,
    body: Body,
) -> Result<Msgpack<Result<SnapshotResponse<u64>, Fatal<u64>>>, CallError> {
    require_addressee(&held, &to)?;
    let no_room = |e: &dyn std::fmt::Display| CallError::new(StatusCode::INSUFFICIENT_STORAGE, e.to_string());
    held.node.check_room_for_snapshot().map_err(|e| no_room(&e))?;
    let received = receive_snapshot(body).await.map_err(|e| CallError::new(StatusCode::BAD_REQUEST, e.to_string()))?;
    let snapshot = Snapshot { meta: received.head.meta, snapshot: Box::new(received.state) };
    let installed = held.node.install_snapshot(received.head.vote, snapshot).await;
    held.node.snapshot_received(received.bytes, installed.is_ok());
    installed.map(Msgpack).map_err(|e| {
        tracing::warn!(error = crate::chain(&e), "a leader's snapshot could not be stored");
        no_room(&e)
    })
}

/// `POST /raft/read-index`
///
/// # Errors
/// 503 when this manager does not lead; 410 for whoever is no member of its group.
pub async fn read_index(
    Held(held): Held<RaftRoutes>,
    Msgpack(ReadIndexRequest { raft_id }): Msgpack<ReadIndexRequest>,
) -> Result<Msgpack<u64>, CallError> {
    let index = leader_read_index(&held.node.raft, &held.node.store().leadership()).await;
    let is_out = |id: u64| held.node.store().peers().iter().all(|peer| peer.raft_id != id);
    if index.is_ok() && raft_id.is_some_and(is_out) {
        return Err(CallError::new(StatusCode::GONE, "this manager was taken out of the group"));
    }
    index.map(Msgpack).map_err(|e| CallError::new(StatusCode::SERVICE_UNAVAILABLE, e.to_string()))
}

/// `POST /raft/hello`
pub async fn hello(Held(held): Held<RaftRoutes>, Msgpack(()): Msgpack<()>) -> Msgpack<Hello> {
    Msgpack(Hello { node_id: held.node_id, raft_id: held.node.raft_id, has_room: held.node.room.check(0).is_ok() })
}

/// `POST /raft/is-member`: whether the group still has a member of this id. Members that nobody told of their end ask for it.
///
/// # Errors
/// 503 when this manager does not lead, or no majority confirms that it does.
pub async fn is_member(Held(held): Held<RaftRoutes>, Msgpack(raft_id): Msgpack<u64>) -> Result<Msgpack<bool>, CallError> {
    let known = held.node.has_member(raft_id).await;
    known.map(Msgpack).map_err(|e| CallError::new(StatusCode::SERVICE_UNAVAILABLE, e.to_string()))
}

/// `POST /raft/taken-out`: the member of this id was taken out of the group; if that is this one, it asks whether it is so.
pub async fn taken_out(Held(held): Held<RaftRoutes>, Msgpack(raft_id): Msgpack<u64>) -> Msgpack<()> {
    if raft_id == held.node.raft_id {
        held.node.told_out();
    }
    Msgpack(())
}

/// `POST /raft/join`: a node with a manager's certificate asks for itself. Answers with the address it was recorded at.
///
/// # Errors
/// 403 for another node; 421 with the leader's address when this manager does not lead; 400 and 503 otherwise.
pub async fn join(
    Held(held): Held<RaftRoutes>,
    Extension(peer): Extension<Peer>,
    Extension(PeerAddr(from)): Extension<PeerAddr>,
    Msgpack(mut request): Msgpack<JoinRequest>,
) -> Result<Msgpack<String>, CallError> {
    if peer.identity().is_none_or(|i| i.node_id != request.node_id.as_str()) {
        return Err(CallError::new(StatusCode::FORBIDDEN, "a node can join only for itself"));
    }
    request.addr = reachable_addr(&request.addr, from);
    let now = Timestamp::from_system(std::time::SystemTime::now());
    held.membership.join(&request, now).await.map_err(membership_status)?;
    Ok(Msgpack(request.addr))
}

/// `POST /raft/leave`: a manager asks to be taken out of the group.
///
/// # Errors
/// As [`join`].
pub async fn leave(
    Held(held): Held<RaftRoutes>,
    Extension(peer): Extension<Peer>,
    Msgpack(node_id): Msgpack<NodeId>,
) -> Result<Msgpack<()>, CallError> {
    if peer.identity().is_none_or(|i| i.node_id != node_id.as_str()) {
        return Err(CallError::new(StatusCode::FORBIDDEN, "a node can leave only for itself"));
    }
    let now = Timestamp::from_system(std::time::SystemTime::now());
    held.membership.leave(node_id, now).await.map(Msgpack).map_err(membership_status)
}

/// The address others reach the newcomer at: what it says, or the address it called from with its port.
fn reachable_addr(said: &str, from: SocketAddr) -> String {
    match said.parse::<SocketAddr>() {
        Ok(addr) if addr.ip().is_unspecified() => SocketAddr::new(from.ip(), addr.port()).to_string(),
        _ => said.to_owned(),
    }
}

fn membership_status(error: MembershipError) -> CallError {
    let status = match &error {
        MembershipError::NotLeader(_) => StatusCode::MISDIRECTED_REQUEST,
        MembershipError::UnknownNode(_) => StatusCode::NOT_FOUND,
        MembershipError::NoAnswer { .. } | MembershipError::LastManager | MembershipError::LosesQuorum => StatusCode::BAD_REQUEST,
        MembershipError::Slow
        | MembershipError::NotWanted(_)
        | MembershipError::NoQuorum
        | MembershipError::Raft(_)
        | MembershipError::Record(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    let leader = match &error {
        MembershipError::NotLeader(leader) => leader.as_ref().map(|l| l.addr.clone()),
        _ => None,
    };
    CallError { status, message: crate::chain(&error), leader }
}
