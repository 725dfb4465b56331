//! The dispatcher's part of port 2377.

use crate::{
    dispatcher::{Dispatcher, LeaderAnswer, LeaderMessage, Left},
    server::{CallError, Msgpack, PeerAddr},
};
use axum::{Extension, body::Body, extract::State as Held, response::Response};
use http::StatusCode;
use swarm_pki::{NodeIdentity, Peer};
use swarm_session::{AttachAnswer, AttachRequest, DetachRequest};
use swarm_types::NodeId;

/// What the handlers hold.
#[derive(Clone)]
pub struct DispatcherRoutes {
    /// Sessions of agents.
    pub dispatcher: Dispatcher,
}

/// `POST /session`: an agent's session, frames both ways.
///
/// # Errors
/// 403 without a certificate.
pub async fn session(
    Held(held): Held<DispatcherRoutes>,
    Extension(peer): Extension<Peer>,
    Extension(PeerAddr(from)): Extension<PeerAddr>,
    body: Body,
) -> Result<Response, CallError> {
    Ok(held.dispatcher.session(caller(&peer)?.clone(), from, body).await)
}

/// `POST /leave`: a node leaves by itself; it is down from now on.
///
/// # Errors
/// 403 without a certificate.
pub async fn leave(Held(held): Held<DispatcherRoutes>, Extension(peer): Extension<Peer>) -> Result<(), CallError> {
    held.dispatcher.node_left(node_of(caller(&peer)?)?).await;
    Ok(())
}

/// `POST /dispatch/take`: what another manager hands to the leader about its agents.
///
/// # Errors
/// 403 without a certificate.
pub async fn take(
    Held(held): Held<DispatcherRoutes>,
    Extension(peer): Extension<Peer>,
    Msgpack(message): Msgpack<LeaderMessage>,
) -> Result<Msgpack<LeaderAnswer>, CallError> {
    let from = node_of(caller(&peer)?)?;
    Ok(Msgpack(held.dispatcher.take(from, message).await))
}

/// `POST /networks/attach`: a container of the calling node is to be on a network.
///
/// # Errors
/// 403 without a certificate.
pub async fn attach(
    Held(held): Held<DispatcherRoutes>,
    Extension(peer): Extension<Peer>,
    Msgpack(request): Msgpack<AttachRequest>,
) -> Result<Msgpack<AttachAnswer>, CallError> {
    let node = node_of(caller(&peer)?)?;
    Ok(Msgpack(held.dispatcher.attach(node, request).await))
}

/// `POST /networks/detach`: containers of the calling node are on networks no more.
///
/// # Errors
/// 403 without a certificate, 503 when it is not noted yet.
pub async fn detach(
    Held(held): Held<DispatcherRoutes>,
    Extension(peer): Extension<Peer>,
    Msgpack(request): Msgpack<DetachRequest>,
) -> Result<Msgpack<()>, CallError> {
    let noted = held.dispatcher.detach(node_of(caller(&peer)?)?, request).await;
    noted.map(Msgpack).map_err(|error| CallError::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()))
}

/// `POST /dispatch/left`: answers when the nodes with sessions here know that something left the load balancing.
///
/// # Errors
/// 403 without a certificate.
pub async fn left(
    Held(held): Held<DispatcherRoutes>,
    Extension(peer): Extension<Peer>,
    Msgpack(left): Msgpack<Left>,
) -> Result<Msgpack<()>, CallError> {
    caller(&peer)?;
    held.dispatcher.left(&left).await;
    Ok(Msgpack(()))
}

fn caller(peer: &Peer) -> Result<&NodeIdentity, CallError> {
    peer.identity().ok_or_else(|| CallError::new(StatusCode::FORBIDDEN, "a certificate is needed"))
}

fn node_of(identity: &NodeIdentity) -> Result<NodeId, CallError> {
    NodeId::parse(&identity.node_id).map_err(|e| CallError::new(StatusCode::FORBIDDEN, e.to_string()))
}
