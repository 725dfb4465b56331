//! Who may call what on the cluster port.

use rustls_pki_types::CertificateDer;

use crate::identity::{IdentityError, NodeIdentity, Role, peer_identity};

/// Who is at the other end of a connection, as TLS verified it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    /// Showed no certificate.
    Anonymous,
    /// Showed a worker's certificate.
    Worker(NodeIdentity),
    /// Showed a manager's certificate.
    Manager(NodeIdentity),
}

impl Peer {
    /// From the chain TLS verified (`peer_certificates()` of the connection).
    ///
    /// # Errors
    /// [`IdentityError`] if there is a certificate but not one of a node; such a peer is not
    /// anonymous but refused.
    pub fn from_chain(chain: Option<&[CertificateDer<'_>]>) -> Result<Self, IdentityError> {
        match chain {
            None | Some([]) => Ok(Self::Anonymous),
            Some(chain) => peer_identity(chain).map(Self::from),
        }
    }

    /// The node, if it showed a certificate. A node speaks only for itself: what a call says
    /// about "this node" is compared with the id given here.
    pub fn identity(&self) -> Option<&NodeIdentity> {
        match self {
            Self::Anonymous => None,
            Self::Worker(identity) | Self::Manager(identity) => Some(identity),
        }
    }
}

impl From<NodeIdentity> for Peer {
    fn from(identity: NodeIdentity) -> Self {
        match identity.role {
            Role::Worker => Self::Worker(identity),
            Role::Manager => Self::Manager(identity),
        }
    }
}

/// Which peers a route of the cluster port is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Allow {
    /// Everybody, also without a certificate.
    Anyone,
    /// Workers and managers of the cluster.
    Node,
    /// Managers of the cluster.
    ManagerOnly,
}

/// Why a peer may not call a route. The texts go to the peer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The route needs a certificate.
    #[error("Permission denied: no client certificates in request")]
    NoCertificate,
    /// The certificate is of another cluster.
    #[error("Permission denied: remote certificate not part of organization: {cluster_id}")]
    OtherCluster {
        /// The id of this cluster.
        cluster_id: String,
    },
    /// The node was removed from the cluster; its certificate lives on until it ends.
    #[error("Permission denied: node {node_id} was removed from swarm")]
    Removed {
        /// The node's id.
        node_id: String,
    },
    /// The node's role does not suffice.
    #[error("Permission denied: remote certificate not part of OUs: [swarm-manager]")]
    NotManager,
}

/// Whether `peer` may call a route that is for `allow` in the cluster `cluster_id`.
///
/// `removed` tells whether the node with an id was removed from the cluster. A route for anyone
/// asks nothing: what it does for a node with a certificate it decides with a second call for
/// [`Allow::Node`].
///
/// # Errors
/// [`Denied`], to be told to the peer.
pub fn permits(allow: Allow, peer: &Peer, cluster_id: &str, removed: impl FnOnce(&str) -> bool) -> Result<(), Denied> {
    if allow == Allow::Anyone {
        return Ok(());
    }
    let identity = peer.identity().ok_or(Denied::NoCertificate)?;
    if identity.cluster_id != cluster_id {
        return Err(Denied::OtherCluster { cluster_id: cluster_id.to_owned() });
    }
    if removed(&identity.node_id) {
        return Err(Denied::Removed { node_id: identity.node_id.clone() });
    }
    match (allow, peer) {
        (Allow::ManagerOnly, Peer::Worker(_)) => Err(Denied::NotManager),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn peer(role: Role, cluster_id: &str) -> Peer {
        Peer::from(NodeIdentity {
            node_id: "n1".into(),
            role,
            cluster_id: cluster_id.into(),
            not_before: UNIX_EPOCH,
            not_after: UNIX_EPOCH,
            issuer: Vec::new(),
        })
    }

    #[test]
    fn the_whole_table() {
        let peers = [
            ("none", Peer::Anonymous, false),
            ("worker", peer(Role::Worker, "c1"), false),
            ("manager", peer(Role::Manager, "c1"), false),
            ("removed worker", peer(Role::Worker, "c1"), true),
            ("removed manager", peer(Role::Manager, "c1"), true),
            ("foreign worker", peer(Role::Worker, "c2"), false),
            ("foreign manager", peer(Role::Manager, "c2"), false),
        ];
        let mut table = String::new();
        for allow in [Allow::Anyone, Allow::Node, Allow::ManagerOnly] {
            for (name, peer, is_removed) in &peers {
                let verdict = match permits(allow, peer, "c1", |id| *is_removed && id == "n1") {
                    Ok(()) => "ok".to_owned(),
                    Err(denied) => denied.to_string().replace("Permission denied: ", ""),
                };
                table.push_str(&format!("{allow:?}, {name}: {verdict}\n"));
            }
        }
        assert_eq!(table, TABLE);
    }

    const TABLE: &str = "\
Anyone, none: ok
Anyone, worker: ok
Anyone, manager: ok
Anyone, removed worker: ok
Anyone, removed manager: ok
Anyone, foreign worker: ok
Anyone, foreign manager: ok
Node, none: no client certificates in request
Node, worker: ok
Node, manager: ok
Node, removed worker: node n1 was removed from swarm
Node, removed manager: node n1 was removed from swarm
Node, foreign worker: remote certificate not part of organization: c1
Node, foreign manager: remote certificate not part of organization: c1
ManagerOnly, none: no client certificates in request
ManagerOnly, worker: remote certificate not part of OUs: [swarm-manager]
ManagerOnly, manager: ok
ManagerOnly, removed worker: node n1 was removed from swarm
ManagerOnly, removed manager: node n1 was removed from swarm
ManagerOnly, foreign worker: remote certificate not part of organization: c1
ManagerOnly, foreign manager: remote certificate not part of organization: c1
";
}
