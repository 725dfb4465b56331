//! A node's certificate together with its key.

use std::sync::Arc;

use rustls::sign::CertifiedKey;
use rustls_pki_types::CertificateDer;

use crate::identity::{IdentityError, NodeIdentity, peer_identity};
use crate::key::NodeKey;
use crate::tls::provider;
use crate::x509::{self, PemError};

/// A certificate and a key do not make credentials.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// The chain is not a list of PEM certificates.
    #[error("could not read the certificate chain")]
    Pem(#[from] PemError),
    /// The leaf is not a node certificate.
    #[error("the certificate is not a node certificate")]
    Identity(#[from] IdentityError),
    /// The key is not the one the leaf certifies.
    #[error("the private key does not belong to the certificate")]
    KeyMismatch,
    /// The TLS library refuses the key.
    #[error("the private key cannot be used for TLS")]
    Key(#[source] rustls::Error),
}

/// A certificate chain and the private key of its leaf; they match.
#[derive(Debug, Clone)]
pub struct Credentials {
    chain_pem: Arc<str>,
    key: NodeKey,
    identity: NodeIdentity,
    certified: Arc<CertifiedKey>,
}

impl Credentials {
    /// Joins a chain (PEM, leaf first) with the key of its leaf.
    ///
    /// That a trusted root signed the chain is not checked here: see
    /// [`crate::RootBundle::check_chain`].
    ///
    /// # Errors
    /// [`CredentialsError`]; final.
    pub fn new(chain_pem: &str, key: NodeKey) -> Result<Self, CredentialsError> {
        let chain = x509::certificates(chain_pem)?;
        let identity = peer_identity(&chain)?;
        let leaf = x509::parse(&chain[0]).map_err(|_| IdentityError::Unreadable)?;
        if leaf.public_key().raw != key.public_key() {
            return Err(CredentialsError::KeyMismatch);
        }
        let signer = provider().key_provider.load_private_key(key.to_der()).map_err(CredentialsError::Key)?;
        let certified = Arc::new(CertifiedKey::new(chain, signer));
        Ok(Self { chain_pem: chain_pem.into(), key, identity, certified })
    }

    /// The chain's PEM text, leaf first.
    pub fn chain_pem(&self) -> &str {
        &self.chain_pem
    }

    /// The chain, leaf first.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.certified.cert
    }

    /// The leaf's key.
    pub fn key(&self) -> &NodeKey {
        &self.key
    }

    /// What the leaf says about the node.
    pub fn identity(&self) -> &NodeIdentity {
        &self.identity
    }

    /// Chain and key as rustls wants them.
    pub(crate) fn certified(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.certified)
    }
}
