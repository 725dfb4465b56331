//! Who is who in a swarm, and who may do what.
//!
//! This room makes and reads the swarm's certificates: the root authority, the certificates and
//! keys of nodes, join tokens, the TLS configurations of the cluster port, and the rule that maps
//! a peer's certificate to what it may call.
//!
//! What always holds:
//! - A node is what its certificate says: CN is its id, OU its role, O its cluster. Nothing else
//!   a peer sends about itself is believed; of a signing request only the public key is used.
//! - A certificate and its key are only ever accepted, stored and served as a matching pair, also
//!   after a crash in the middle of saving ([`CertStore`]).
//! - TLS sessions are never resumed, so every connection shows a certificate that is valid now.
//! - Secrets (keys, token secrets) are wiped from memory when dropped and never shown by `Debug`.
//!
//! It has no network, no runtime and no clock: time is an argument. Randomness for keys and
//! serial numbers comes from the operating system through ring.

mod base36;
mod random;

mod roots;
mod token;

mod identity;
mod key;
mod x509;

mod ca;
mod credentials;
mod store;

mod authority;
mod live;
mod tls;

pub use authority::{Allow, Denied, Peer, permits};
pub use base36::{id25, is_id25};
pub use ca::{CaError, NODE_BACKDATE, NODE_VALIDITY_DEFAULT, NODE_VALIDITY_MIN, NodeSubject};
pub use ca::{ROOT_NAME, ROOT_VALIDITY, RootCa, SignError, node_validity};
pub use credentials::{Credentials, CredentialsError};
pub use identity::{IdentityError, NodeIdentity, Role, peer_identity};
pub use key::{KeyError, NodeKey};
pub use live::LiveIdentity;
pub use random::{RandomError, random_bytes};
pub use roots::{ChainError, DigestMismatch, RootBundle, RootDigest, RootsError, TlsInfo};
pub use store::{CertStore, StoreError, Stored};
pub use tls::{ca_server_name, client_config, client_config_ca, client_config_unverified};
pub use tls::{manager_server_name, server_config};
pub use token::{InvalidJoinToken, JoinToken};
pub use x509::PemError;
