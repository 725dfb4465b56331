//! The identity a process presents, replaceable while connections are open.

use std::sync::{Arc, PoisonError, RwLock};

use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::credentials::Credentials;

/// The credentials that TLS configurations present. Configurations hold it shared: after
/// [`LiveIdentity::replace`] every new handshake, as server or as client, uses the new ones;
/// connections that are open keep what they were made with.
#[derive(Debug)]
pub struct LiveIdentity(RwLock<Arc<Credentials>>);

impl LiveIdentity {
    /// Starts with these credentials.
    pub fn new(credentials: Credentials) -> Self {
        Self(RwLock::new(Arc::new(credentials)))
    }

    /// Presents these credentials from now on.
    pub fn replace(&self, credentials: Credentials) {
        // A poisoned lock still holds whole credentials: they are swapped in one assignment.
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(credentials);
    }

    /// The credentials presented now.
    pub fn current(&self) -> Arc<Credentials> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ResolvesServerCert for LiveIdentity {
    fn resolve(&self, _client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current().certified())
    }
}

impl ResolvesClientCert for LiveIdentity {
    fn resolve(&self, _root_hint_subjects: &[&[u8]], _sigschemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        // Always offered: a peer that cannot verify it says so more clearly than one that
        // sees no certificate.
        Some(self.current().certified())
    }

    fn has_certs(&self) -> bool {
        true
    }
}
