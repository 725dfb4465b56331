//! Admitting a node: from a join token to a node object and a certificate.

use super::{IssueRequest, Issued, sign};
use crate::{
    server::CallError,
    store::{ProposeError, Store},
};
use std::{net::IpAddr, sync::Arc, time::Duration};
use swarm_pki::JoinToken;
use swarm_state::{Batch, Change, Node, Object};
use swarm_types::{
    Actor, Availability, Labels, Node as ApiNode, NodeDescription, NodeId, NodeSpec, NodeState, NodeStatus, RemoteManager, Role, Timestamp,
    Version,
};

/// Why a node was not admitted.
#[derive(Debug, thiserror::Error)]
pub enum AdmitError {
    /// The token is malformed, of another cluster, or not one of the two present ones.
    #[error("rpc error: code = InvalidArgument desc = A valid join token is necessary to join this cluster")]
    Token,
    /// The certificate request is at fault, or signing failed.
    #[error("could not sign the certificate")]
    Sign(CallError),
    /// There is no cluster yet.
    #[error("there is no cluster yet")]
    NoCluster,
    /// The node object could not be stored.
    #[error("could not record the node")]
    Record(#[from] ProposeError),
}

/// Admits a node, on the leader: checks the token, signs, and stores the node object before the certificate is given out.
///
/// # Errors
/// [`AdmitError`]
pub async fn admit(store: &Store, request: IssueRequest, from: IpAddr, now: Timestamp) -> Result<Issued, AdmitError> {
    let state = store.state();
    let cluster = state.cluster().ok_or(AdmitError::NoCluster)?;
    let role = role_of(&request.token, cluster.api.join_tokens.as_ref().ok_or(AdmitError::NoCluster)?)?;
    let node_id = NodeId::from_random(rand::random());
    let signed_at = std::time::UNIX_EPOCH + Duration::from_nanos(u64::try_from(now.as_nanos()).unwrap_or(0));
    let certificate = sign(&state, &request.csr, node_id, role, signed_at).map_err(AdmitError::Sign)?;
    let mut node = new_node(node_id, role, request.availability, now);
    node.api.status.addr = from.to_string();
    node.certificate_until = now.after(super::validity(&state));
    let change = Change::create(Object::Node(Arc::new(node)));
    store.propose(Batch { by: Actor::Operator, guards: vec![], changes: vec![change] }).await?;
    let managers = state.managers().filter_map(|n| n.manager_addr.clone().map(|addr| RemoteManager { node_id: n.id(), addr })).collect();
    Ok(Issued {
        node_id,
        cluster_id: cluster.id().to_string(),
        role,
        certificate,
        root_ca: cluster.api.tls_info.trust_root.clone(),
        managers,
    })
}

/// Which role the token grants.
fn role_of(text: &str, tokens: &swarm_types::JoinTokens) -> Result<Role, AdmitError> {
    let given: JoinToken = text.parse().map_err(|_| AdmitError::Token)?;
    let is = |stored: &str| stored.parse::<JoinToken>().is_ok_and(|stored| stored.matches(&given));
    // Both are compared, so that the time taken does not tell which one is close.
    match (is(&tokens.manager), is(&tokens.worker)) {
        (true, _) => Ok(Role::Manager),
        (_, true) => Ok(Role::Worker),
        _ => Err(AdmitError::Token),
    }
}

/// The node that makes the cluster: a manager from the start.
#[must_use]
pub fn first_node(node_id: NodeId, raft_id: u64, addr: &str, availability: Availability, now: Timestamp) -> Node {
    Node { manager_addr: Some(addr.to_owned()), raft_id: Some(raft_id), ..new_node(node_id, Role::Manager, availability, now) }
}

fn new_node(id: NodeId, role: Role, availability: Availability, now: Timestamp) -> Node {
    let api = ApiNode {
        id,
        version: Version::default(),
        created_at: now,
        updated_at: now,
        spec: NodeSpec { name: String::new(), labels: Labels::new(), role, availability },
        description: NodeDescription::default(),
        status: NodeStatus { state: NodeState::Unknown, ..NodeStatus::default() },
        manager_status: None,
    };
    Node {
        api,
        role,
        manager_addr: None,
        raft_id: None,
        certificate_until: Timestamp::default(),
        state_since: now,
        spec_version: Version::default(),
        data_path_index: 0,
        data_path_addr: None,
    }
}
