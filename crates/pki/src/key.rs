//! A node's private key and the request to certify it.

use std::fmt;

use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData};
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

/// A node key cannot be made, read or used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// No key could be generated.
    #[error("could not generate a key")]
    Generate(#[source] rcgen::Error),
    /// The text holds no PKCS#8 PEM private key.
    #[error("no PKCS#8 private key found in PEM text")]
    Pem(#[source] pem::Error),
    /// The key is not of the only kind nodes use.
    #[error("the private key is not an ECDSA P-256 key")]
    NotP256(#[source] rcgen::Error),
    /// The signing request could not be made.
    #[error("could not make a certificate signing request")]
    Request(#[source] rcgen::Error),
}

/// An ECDSA P-256 private key. Wiped when dropped; `Debug` shows nothing of it.
pub struct NodeKey {
    pkcs8: Zeroizing<PrivatePkcs8KeyDer<'static>>,
    pem: Zeroizing<String>,
    /// SubjectPublicKeyInfo, DER.
    public_key: Vec<u8>,
}

impl NodeKey {
    /// A fresh key.
    ///
    /// # Errors
    /// [`KeyError::Generate`] if the operating system gives no randomness; may be retried.
    pub fn generate() -> Result<Self, KeyError> {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(KeyError::Generate)?;
        Ok(Self::from_pair(pair))
    }

    /// Reads the first PKCS#8 private key (`BEGIN PRIVATE KEY`) of a PEM text.
    ///
    /// # Errors
    /// [`KeyError::Pem`] and [`KeyError::NotP256`]; final.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(text.as_bytes()).map_err(KeyError::Pem)?;
        let der = Zeroizing::new(der);
        let pair = KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_ECDSA_P256_SHA256).map_err(KeyError::NotP256)?;
        Ok(Self::from_pair(pair))
    }

    /// The key as PKCS#8 PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The public half: SubjectPublicKeyInfo, DER.
    pub fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    /// A PKCS#10 request, PEM, to certify this key. It names no subject: who the node is, is
    /// decided by the signer.
    ///
    /// # Errors
    /// [`KeyError::Request`] if signing fails for lack of randomness; may be retried.
    pub fn csr_pem(&self) -> Result<String, KeyError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let pair = KeyPair::from_pkcs8_der_and_sign_algo(&self.pkcs8, &PKCS_ECDSA_P256_SHA256).map_err(KeyError::Request)?;
        let pem = params.serialize_request(&pair).and_then(|request| request.pem());
        forget(pair);
        pem.map_err(KeyError::Request)
    }

    /// The key as rustls wants it.
    pub(crate) fn to_der(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(self.pkcs8.clone_key())
    }

    fn from_pair(pair: KeyPair) -> Self {
        Self { pem: Zeroizing::new(pair.serialize_pem()), public_key: pair.subject_public_key_info(), pkcs8: forget(pair) }
    }
}

impl Clone for NodeKey {
    fn clone(&self) -> Self {
        Self { pkcs8: Zeroizing::new(self.pkcs8.clone_key()), pem: self.pem.clone(), public_key: self.public_key.clone() }
    }
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeKey(<secret>)")
    }
}

/// Takes the encoded key out of a pair into memory that is wiped; the pair alone does not do so.
pub(crate) fn forget(pair: KeyPair) -> Zeroizing<PrivatePkcs8KeyDer<'static>> {
    Zeroizing::new(PrivatePkcs8KeyDer::from(pair))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn pem_round_trips_and_debug_is_silent() {
        let key = NodeKey::generate().unwrap();
        let read = NodeKey::from_pem(key.pem()).unwrap();
        assert_eq!(read.pem(), key.pem());
        assert_eq!(read.public_key(), key.public_key());
        assert_eq!(format!("{key:?}"), "NodeKey(<secret>)");
        assert_ne!(NodeKey::generate().unwrap().public_key(), key.public_key());
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in ".*") {
            let _ = NodeKey::from_pem(&text);
        }
    }
}
