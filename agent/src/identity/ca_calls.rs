//! The calls of the cluster port that are about certificates.

use crate::cluster_port::{CallError, ClusterPort};
use bytes::Bytes;
use http::Method;
use http_body_util::Full;
use serde::{Deserialize, Serialize};
use std::{net::SocketAddr, sync::Arc};
use swarm_pki::{LiveIdentity, RootBundle};
use swarm_types::{Availability, ClusterId, NodeId, RemoteManager, Role};

/// A request for a first certificate.
#[derive(Serialize)]
pub struct IssueRequest {
    /// PKCS#10, PEM.
    pub csr: String,
    /// Decides the role.
    pub token: String,
    /// What the node is to take at first.
    pub availability: Availability,
}

/// A first certificate, and what the node is by it.
#[derive(Debug, Clone, Deserialize)]
pub struct Issued {
    /// The new node.
    pub node_id: NodeId,
    /// Its cluster.
    pub cluster_id: ClusterId,
    /// Its role.
    pub role: Role,
    /// Chain, PEM, leaf first.
    pub certificate: String,
    /// Root bundle, PEM.
    pub root_ca: String,
    /// Every manager.
    #[serde(default)]
    pub managers: Vec<RemoteManager>,
}

#[derive(Serialize)]
struct RenewRequest {
    csr: String,
}

/// A new certificate.
#[derive(Debug, Clone, Deserialize)]
pub struct Renewed {
    /// The role it is for.
    pub role: Role,
    /// Chain, PEM, leaf first.
    pub certificate: String,
    /// Root bundle, PEM.
    pub root_ca: String,
}

type Port = ClusterPort<Full<Bytes>>;

/// The root bundle that `addr` presents, over a connection that proves nothing: not to be used before its digest was
/// compared. Nothing but the question is sent.
///
/// # Errors
/// [`CallError`].
pub async fn fetch_roots(addr: &str) -> Result<Bytes, CallError> {
    let mut port = Port::connect(addr, swarm_pki::client_config_unverified(), swarm_pki::ca_server_name()).await?;
    port.call::<()>(Method::GET, "/ca/root", None).await
}

/// Asks for a first certificate; also gives this host's address on the way to the manager.
///
/// # Errors
/// [`CallError`].
pub async fn issue(addr: &str, roots: &RootBundle, request: &IssueRequest) -> Result<(Issued, SocketAddr), CallError> {
    let mut port = Port::connect(addr, swarm_pki::client_config_ca(roots), swarm_pki::ca_server_name()).await?;
    let issued = port.call_json("/ca/issue", request).await?;
    Ok((issued, port.local()))
}

/// Asks for a new certificate in exchange for the current one.
///
/// # Errors
/// [`CallError`].
pub async fn renew(addr: &str, identity: Arc<LiveIdentity>, roots: &RootBundle, csr: String) -> Result<Renewed, CallError> {
    let mut port = Port::connect(addr, swarm_pki::client_config(identity, roots), swarm_pki::ca_server_name()).await?;
    port.call_json("/ca/renew", &RenewRequest { csr }).await
}

/// Tells a manager that this node leaves.
///
/// # Errors
/// [`CallError`].
pub async fn leave(addr: &str, identity: Arc<LiveIdentity>, roots: &RootBundle) -> Result<(), CallError> {
    let mut port = Port::connect(addr, swarm_pki::client_config(identity, roots), swarm_pki::manager_server_name()).await?;
    port.call::<()>(Method::POST, "/leave", None).await.map(|_| ())
}

/// Asks to be taken out of the group of managers. Only the manager that leads can do it.
///
/// # Errors
/// [`CallError`].
pub async fn leave_group(addr: &str, identity: Arc<LiveIdentity>, roots: &RootBundle, own: NodeId) -> Result<(), CallError> {
    let mut port = Port::connect(addr, swarm_pki::client_config(identity, roots), swarm_pki::manager_server_name()).await?;
    port.call_msgpack("/raft/leave", &own).await
}
