//! The cluster's certificate authority.
//!
//! The root key is part of the replicated state, so any manager signs. Only admitting a node writes: the node object and its
//! certificate come from one decision of the leader, and a node exists before its certificate is given out.

mod admit;

pub use admit::{AdmitError, admit, first_node};

use crate::{
    peer::Peers,
    server::{CallError, PeerAddr},
    store::{Leadership, ProposeError, Store},
};
use axum::{Extension, Json, body::Body, extract::State as Held, response::IntoResponse, response::Response};
use http::{Request, StatusCode, header};
use serde::{Deserialize, Serialize};
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};
use swarm_pki::{NodeSubject, Peer, RootCa, SignError};
use swarm_state::State;
use swarm_types::{Availability, NodeId, RemoteManager, Role, Timestamp};

/// Bytes of a request at most: a certificate request and a token.
const REQUEST_BYTES_MAX: usize = 64 << 10;

/// What the handlers hold.
#[derive(Clone)]
pub struct Authority {
    /// The replicated state.
    pub store: Store,
    /// For asking the leader.
    pub peers: Arc<Peers>,
}

/// Body of `POST /ca/issue`.
#[derive(Clone, Serialize, Deserialize)]
pub struct IssueRequest {
    /// Certificate request, PEM; only its public key counts.
    pub csr: String,
    /// Join token: decides the role.
    pub token: String,
    /// Wish for tasks of the new node.
    #[serde(default)]
    pub availability: Availability,
}

/// A node's new identity.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Issued {
    /// Its id.
    pub node_id: NodeId,
    /// Its cluster.
    pub cluster_id: String,
    /// Its role.
    pub role: Role,
    /// Certificate chain, PEM.
    pub certificate: String,
    /// Root certificates, PEM.
    pub root_ca: String,
    /// Managers to connect to.
    pub managers: Vec<RemoteManager>,
}

/// Body of `POST /ca/renew`.
#[derive(Clone, Serialize, Deserialize)]
pub struct RenewRequest {
    /// Certificate request, PEM; only its public key counts.
    pub csr: String,
}

/// Answer of `POST /ca/renew`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Renewed {
    /// The node's role now.
    pub role: Role,
    /// Certificate chain, PEM.
    pub certificate: String,
    /// Root certificates, PEM.
    pub root_ca: String,
}

/// `GET /ca/root`: the root certificates, for whoever wants to join.
///
/// # Errors
/// 503 while there is no cluster yet.
pub async fn root(Held(held): Held<Authority>) -> Result<Response, CallError> {
    let state = held.store.state();
    let cluster = state.cluster().ok_or_else(no_cluster)?;
    Ok(([(header::CONTENT_TYPE, "application/x-pem-file")], cluster.api.tls_info.trust_root.clone()).into_response())
}

/// `POST /ca/issue`: admits a node. A manager that does not lead passes the request to the one that does.
///
/// # Errors
/// 400 with Docker's text for a wrong token or a bad request; 503 without a leader.
pub async fn issue(Held(held): Held<Authority>, Extension(PeerAddr(from)): Extension<PeerAddr>, request: Request<Body>) -> Response {
    match held.issue(from.ip(), request).await {
        Ok(response) => response,
        Err(error) => error.into_response(),
    }
}

/// `POST /ca/renew`: a new certificate for the node that asks.
///
/// # Errors
/// 403 for a removed node; 400 for a bad request; 503 while the state cannot be read.
pub async fn renew(
    Held(held): Held<Authority>,
    Extension(peer): Extension<Peer>,
    Json(request): Json<RenewRequest>,
) -> Result<Json<Renewed>, CallError> {
    let identity = peer.identity().ok_or_else(|| CallError::new(StatusCode::FORBIDDEN, "a certificate is needed"))?;
    let state = held.store.linearizable().await.map_err(|e| CallError::new(StatusCode::SERVICE_UNAVAILABLE, e.to_string()))?;
    let node = NodeId::parse(&identity.node_id).ok().and_then(|id| state.node(id));
    let node = node.ok_or_else(|| {
        let text = format!("rpc error: code = NotFound desc = node {} not found when attempting to renew certificate", identity.node_id);
        CallError::new(StatusCode::FORBIDDEN, text)
    })?;
    let certificate = sign(&state, &request.csr, node.id(), node.role, SystemTime::now())?;
    let cluster = state.cluster().ok_or_else(no_cluster)?;
    Ok(Json(Renewed { role: node.role, certificate, root_ca: cluster.api.tls_info.trust_root.clone() }))
}

impl Authority {
    async fn issue(&self, from: std::net::IpAddr, request: Request<Body>) -> Result<Response, CallError> {
        let body = axum::body::to_bytes(request.into_body(), REQUEST_BYTES_MAX).await;
        let body = body.map_err(|e| CallError::new(StatusCode::PAYLOAD_TOO_LARGE, e.to_string()))?;
        let leadership = self.store.leadership().borrow().clone();
        match leadership {
            Leadership::Own { .. } => {
                let parsed: IssueRequest =
                    serde_json::from_slice(&body).map_err(|e| CallError::new(StatusCode::BAD_REQUEST, e.to_string()))?;
                let issued = admit(&self.store, parsed, from, Timestamp::from_system(SystemTime::now())).await?;
                Ok(Json(issued).into_response())
            }
            Leadership::Other(leader) => {
                let request = Request::post("/ca/issue").header(header::CONTENT_TYPE, "application/json").body(Body::from(body));
                let request = request.map_err(|e| CallError::new(StatusCode::INTERNAL_SERVER_ERROR, e.to_string()))?;
                let answer = self.peers.send(&leader.addr, request).await;
                let answer = answer.map_err(|e| CallError::new(StatusCode::SERVICE_UNAVAILABLE, crate::chain(&e)))?;
                Ok(answer.map(Body::new).into_response())
            }
            Leadership::None => Err(CallError::new(StatusCode::SERVICE_UNAVAILABLE, crate::NO_LEADER)),
        }
    }
}

/// Signs with the root key in the state.
///
/// # Errors
/// 400 when the request is at fault, else 500.
pub fn sign(state: &State, csr: &str, node_id: NodeId, role: Role, now: SystemTime) -> Result<String, CallError> {
    let cluster = state.cluster().ok_or_else(no_cluster)?;
    let internal = |e: &dyn std::error::Error| CallError::new(StatusCode::INTERNAL_SERVER_ERROR, crate::chain(e));
    let ca = RootCa::from_pem(&cluster.api.tls_info.trust_root, &cluster.ca_key).map_err(|e| internal(&e))?;
    let cluster_id = cluster.id().to_string();
    let subject = NodeSubject { node_id: node_id.as_str(), role: pki_role(role), cluster_id: &cluster_id };
    ca.sign_csr(csr, subject, validity(state), now).map_err(|error: SignError| {
        let status = if error.is_bad_request() { StatusCode::BAD_REQUEST } else { StatusCode::INTERNAL_SERVER_ERROR };
        CallError::new(status, crate::chain(&error))
    })
}

/// Validity of node certificates by the cluster's spec.
#[must_use]
pub fn validity(state: &State) -> Duration {
    let wish = state.cluster().map_or(0, |c| c.api.spec.ca_config.node_cert_expiry);
    swarm_pki::node_validity(Duration::from_nanos(u64::try_from(wish).unwrap_or(0)))
}

/// The certificate's word for a role.
#[must_use]
pub fn pki_role(role: Role) -> swarm_pki::Role {
    match role {
        Role::Worker => swarm_pki::Role::Worker,
        Role::Manager => swarm_pki::Role::Manager,
    }
}

fn no_cluster() -> CallError {
    CallError::new(StatusCode::SERVICE_UNAVAILABLE, "this manager has no cluster state yet")
}

impl From<AdmitError> for CallError {
    fn from(error: AdmitError) -> Self {
        match error {
            AdmitError::Token => Self::new(StatusCode::BAD_REQUEST, error.to_string()),
            AdmitError::Sign(error) => error,
            AdmitError::NoCluster => no_cluster(),
            AdmitError::Record(ProposeError::NotLeader(leader)) => {
                Self { status: StatusCode::MISDIRECTED_REQUEST, message: crate::NO_LEADER.into(), leader: leader.map(|l| l.addr) }
            }
            AdmitError::Record(error) => Self::new(StatusCode::SERVICE_UNAVAILABLE, crate::chain(&error)),
        }
    }
}
