//! The private unix socket: the cluster's part of the Docker API for this host's agent, and what the agent asks of the
//! manager process itself.

use crate::{
    api,
    raft::{RaftNode, membership::MembershipError},
    store::{Leadership, Store},
};
use axum::{Json, Router, extract::State as Held, routing::get, routing::post};
use http::StatusCode;
use serde::Serialize;
use std::{fs, io, os::unix::fs::PermissionsExt, path::Path, sync::Arc};
use swarm_types::{NodeId, RemoteManager, Swarm};
use tokio::{
    net::UnixListener,
    sync::{Notify, watch},
};

/// How far the manager is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "state", content = "error")]
pub enum Phase {
    /// Opening its state.
    Starting(String),
    /// Becoming a member.
    Joining(String),
    /// A member that answers.
    Ready(String),
    /// Cannot go on.
    Error(String),
}

/// Answer of `GET /internal/status`.
#[derive(Debug, Serialize)]
pub struct Status {
    /// How far the manager is, and why it cannot go on.
    #[serde(flatten)]
    pub phase: Phase,
    /// Own node.
    pub node_id: NodeId,
    /// Own cluster.
    pub cluster_id: String,
    /// Whether this manager leads.
    pub leader: bool,
    /// Whether anybody leads.
    pub has_leader: bool,
    /// Nodes in the cluster.
    pub nodes: u64,
    /// Managers in the cluster.
    pub managers: u64,
    /// Managers that vote and answer, as the leader sees it; on other managers, all voters.
    pub reachable_managers: u64,
    /// The cluster without its tokens.
    pub cluster: Option<Swarm>,
    /// Where managers answer.
    pub remote_managers: Vec<RemoteManager>,
}

/// What the handlers hold.
#[derive(Clone)]
pub struct Control {
    /// How far the manager is.
    pub phase: watch::Receiver<Phase>,
    /// Own node.
    pub node_id: NodeId,
    /// Own cluster.
    pub cluster_id: String,
    /// Set once consensus runs.
    pub raft: watch::Receiver<Option<RaftNode>>,
    /// Asked to stop.
    pub stop: Arc<Notify>,
    /// The certificates on disk changed.
    pub certs_changed: Arc<Notify>,
    /// For leaving the group.
    pub links: Arc<crate::links::Links>,
}

/// The routes of the manager itself.
pub fn router(control: Control) -> Router {
    Router::new()
        .route("/internal/status", get(status))
        .route("/internal/stop", post(stop))
        .route("/internal/certs-changed", post(certs_changed))
        .route("/internal/leave", post(leave))
        .with_state(control)
}

async fn status(Held(control): Held<Control>) -> Json<Status> {
    let phase = control.phase.borrow().clone();
    let raft = control.raft.borrow().clone();
    let store = raft.as_ref().map(RaftNode::store);
    Json(status_of(&control, phase, store.as_ref()))
}

fn status_of(control: &Control, phase: Phase, store: Option<&Store>) -> Status {
    let mut status = Status {
        phase,
        node_id: control.node_id,
        cluster_id: control.cluster_id.clone(),
        leader: false,
        has_leader: false,
        nodes: 0,
        managers: 0,
        reachable_managers: 0,
        cluster: None,
        remote_managers: Vec::new(),
    };
    let Some(store) = store else { return status };
    let state = store.state();
    let peers = store.peers();
    let leadership = store.leadership().borrow().clone();
    let (nodes, managers, cluster) = api::cluster_info(&state, &peers);
    status.leader = leadership.is_own();
    status.has_leader = leadership != Leadership::None;
    status.nodes = nodes;
    status.managers = managers;
    status.reachable_managers = peers.iter().filter(|p| p.voter && p.reachable != Some(false)).count() as u64;
    status.cluster = cluster;
    status.remote_managers = peers.into_iter().map(|p| RemoteManager { node_id: p.node_id, addr: p.addr }).collect();
    status
}

async fn stop(Held(control): Held<Control>) {
    control.stop.notify_one();
}

async fn certs_changed(Held(control): Held<Control>) {
    control.certs_changed.notify_one();
}

/// Takes this manager out of the group, so that the others are no weaker for its absence. The last one cannot leave so.
async fn leave(Held(control): Held<Control>) -> Result<(), (StatusCode, String)> {
    let left = control.links.leave_group(control.node_id).await;
    left.map_err(|error| {
        let status = match &error {
            MembershipError::LastManager | MembershipError::LosesQuorum => StatusCode::CONFLICT,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        (status, crate::chain(&error))
    })
}

/// Listens on the socket, for root alone. A stale socket of a manager that was killed is replaced.
///
/// # Errors
/// When the path cannot be bound.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}
