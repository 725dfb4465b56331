//! The roots a node trusts, and their digest, by which a join token names them.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{CertificateError, RootCertStore};
use rustls_pki_types::{CertificateDer, UnixTime};
use sha2::{Digest as _, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::oid_registry::{
    OID_PKCS1_SHA256WITHRSA, OID_PKCS1_SHA384WITHRSA, OID_PKCS1_SHA512WITHRSA, OID_SIG_ECDSA_WITH_SHA256, OID_SIG_ECDSA_WITH_SHA384,
};
use x509_parser::public_key::PublicKey;

use crate::base36;
use crate::tls::provider;
use crate::x509::{self, PemError};

/// Smallest RSA key of a root; smaller ones are within reach of attackers.
const RSA_BITS_MIN: usize = 2048;

/// SHA-256 of a root bundle, over the exact bytes of its PEM text as Docker does.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RootDigest([u8; 32]);

impl RootDigest {
    /// Characters of the base-36 form.
    pub(crate) const CHARS: usize = 50;

    /// Digest of a bundle's exact PEM bytes.
    pub fn of(pem: &[u8]) -> Self {
        Self(Sha256::digest(pem).into())
    }

    /// Lower-case hexadecimal form, 64 characters.
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Reads the form of join tokens: 50 characters of `0-9a-z`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.len() == Self::CHARS { base36::decode(text).map(Self) } else { None }
    }
}

/// The form of join tokens: 50 base-36 characters, padded on the left with zeros.
impl fmt::Display for RootDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base36::text(&base36::encode::<32, { Self::CHARS }>(self.0)))
    }
}

impl fmt::Debug for RootDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RootDigest({})", self.hex())
    }
}

/// The root bundle a manager presented is not the one the join token names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("remote CA does not match fingerprint. Expected: {expected}")]
pub struct DigestMismatch {
    /// The digest the token names, in hexadecimal.
    pub expected: String,
}

/// A root bundle cannot be trusted.
#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    /// The text is not a list of PEM certificates.
    #[error("could not read the root bundle")]
    Pem(#[from] PemError),
    /// A certificate of the bundle (`index` counts from 0) cannot be parsed.
    #[error("root certificate {index} is unreadable")]
    Unreadable {
        /// Position in the bundle, from 0.
        index: usize,
    },
    /// The certificate may not sign others.
    #[error("root certificate {index} is not a certificate authority")]
    NotAuthority {
        /// Position in the bundle, from 0.
        index: usize,
    },
    /// The certificate is not signed by its own key.
    #[error("root certificate {index} is not self-signed")]
    NotSelfSigned {
        /// Position in the bundle, from 0.
        index: usize,
    },
    /// The certificate's key or signature is too weak, or of a kind that is not supported:
    /// accepted are RSA keys of at least 2048 bits and ECDSA P-256 and P-384, with SHA-256 or
    /// better.
    #[error("root certificate {index} has an unsupported key or signature algorithm")]
    Unsupported {
        /// Position in the bundle, from 0.
        index: usize,
    },
}

/// A certificate chain does not lead to a trusted root.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// There is no certificate to check.
    #[error("the certificate chain is empty")]
    Empty,
    /// A certificate of the chain is past its end.
    #[error("the certificate has expired")]
    Expired,
    /// A certificate of the chain is before its start; the clocks of the nodes differ.
    #[error("the certificate is not valid yet")]
    NotYetValid,
    /// No trusted root signed the chain: a foreign cluster, or a rotated root.
    #[error("the certificate is signed by an unknown authority")]
    UnknownAuthority,
    /// Anything else that makes the chain unusable.
    #[error("the certificate is refused")]
    Refused(#[source] rustls::Error),
}

/// What the API shows of a node's or cluster's TLS: `TLSInfo` of the Docker API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsInfo {
    /// The trusted root bundle, PEM (`TrustRoot`).
    pub trust_root: String,
    /// DER of the issuer's subject name, standard base64 (`CertIssuerSubject`).
    pub cert_issuer_subject: String,
    /// DER of the issuer's SubjectPublicKeyInfo, standard base64 (`CertIssuerPublicKey`).
    pub cert_issuer_public_key: String,
}

/// The root certificates a cluster trusts: one, or two while its root is being rotated.
///
/// Holds at least one certificate; each is a self-signed authority with a strong key. The text
/// it was read from is kept byte for byte, since the digest covers exactly those bytes.
#[derive(Debug, Clone)]
pub struct RootBundle {
    pem: Arc<str>,
    certificates: Arc<[CertificateDer<'static>]>,
    digest: RootDigest,
    trust: Arc<RootCertStore>,
}

impl RootBundle {
    /// Reads and checks a bundle of PEM certificates.
    ///
    /// Start and end of the roots are not checked: a cluster whose root has ended has to be
    /// able to start and renew it.
    ///
    /// # Errors
    /// [`RootsError`]; final.
    pub fn from_pem(pem: &str) -> Result<Self, RootsError> {
        let certificates = x509::certificates(pem)?;
        let mut trust = RootCertStore::empty();
        for (index, der) in certificates.iter().enumerate() {
            check_root(index, der)?;
            trust.add(der.clone()).map_err(|_| RootsError::Unsupported { index })?;
        }
        Ok(Self { pem: pem.into(), certificates: certificates.into(), digest: RootDigest::of(pem.as_bytes()), trust: Arc::new(trust) })
    }

    /// The bundle's text exactly as it was read.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The certificates, in the order of the text.
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.certificates
    }

    /// SHA-256 of the bundle's text.
    pub fn digest(&self) -> RootDigest {
        self.digest
    }

    /// The certificates as rustls wants them.
    pub fn trust(&self) -> Arc<RootCertStore> {
        Arc::clone(&self.trust)
    }

    /// Whether this is the bundle a join token names.
    ///
    /// # Errors
    /// [`DigestMismatch`] if it is another one. Nothing may be sent to that manager then.
    pub fn check_digest(&self, expected: RootDigest) -> Result<(), DigestMismatch> {
        if self.digest == expected { Ok(()) } else { Err(DigestMismatch { expected: expected.hex() }) }
    }

    /// Whether `chain` (leaf first) leads to one of the roots at time `now`.
    ///
    /// The leaf must be allowed for client use, which all node certificates are.
    ///
    /// # Errors
    /// [`ChainError`]; [`ChainError::UnknownAuthority`] may go away with a fresh bundle.
    pub fn check_chain(&self, chain: &[CertificateDer<'_>], now: SystemTime) -> Result<(), ChainError> {
        let (leaf, intermediates) = chain.split_first().ok_or(ChainError::Empty)?;
        let since_epoch = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        self.client_verifier(Anonymous::Refused)
            .verify_client_cert(leaf, intermediates, UnixTime::since_unix_epoch(since_epoch))
            .map(|_verified| ())
            .map_err(ChainError::from_rustls)
    }

    /// `TLSInfo` of the cluster: issuer is the first root.
    pub fn tls_info(&self) -> TlsInfo {
        let root = x509::parse(&self.certificates[0]).expect("checked when the bundle was read");
        self.tls_info_with(&root)
    }

    /// `TLSInfo` of a node with this certificate chain (leaf first): issuer is the certificate
    /// that signed the leaf, from the chain itself or from the roots.
    ///
    /// # Errors
    /// [`ChainError::Empty`], or [`ChainError::UnknownAuthority`] if neither holds the issuer.
    pub fn tls_info_of(&self, chain: &[CertificateDer<'_>]) -> Result<TlsInfo, ChainError> {
        let (leaf, intermediates) = chain.split_first().ok_or(ChainError::Empty)?;
        let leaf = x509::parse(leaf).map_err(|_| ChainError::Refused(rustls::Error::InvalidCertificate(CertificateError::BadEncoding)))?;
        intermediates
            .iter()
            .chain(self.certificates.iter())
            .filter_map(|der| x509::parse(der).ok())
            .find(|issuer| signed_by(&leaf, issuer))
            .map(|issuer| self.tls_info_with(&issuer))
            .ok_or(ChainError::UnknownAuthority)
    }

    /// The verifier of peers that act as TLS clients.
    pub(crate) fn client_verifier(&self, anonymous: Anonymous) -> Arc<dyn ClientCertVerifier> {
        let builder = WebPkiClientVerifier::builder_with_provider(self.trust(), provider());
        match anonymous {
            Anonymous::Allowed => builder.allow_unauthenticated(),
            Anonymous::Refused => builder,
        }
        .build()
        .expect("a bundle holds at least one root, and no revocation list is given")
    }

    fn tls_info_with(&self, issuer: &X509Certificate<'_>) -> TlsInfo {
        TlsInfo {
            trust_root: self.pem.to_string(),
            cert_issuer_subject: BASE64.encode(issuer.subject().as_raw()),
            cert_issuer_public_key: BASE64.encode(issuer.public_key().raw),
        }
    }
}

/// Whether a TLS client may come without a certificate.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Anonymous {
    Allowed,
    Refused,
}

impl ChainError {
    fn from_rustls(error: rustls::Error) -> Self {
        match error {
            rustls::Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => Self::Expired,
            rustls::Error::InvalidCertificate(CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }) => {
                Self::NotYetValid
            }
            // A foreign root of the same name shows as a bad signature.
            rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => Self::UnknownAuthority,
            other => Self::Refused(other),
        }
    }
}

/// Whether the certificate at `index` is fit to be a root.
fn check_root(index: usize, der: &CertificateDer<'_>) -> Result<(), RootsError> {
    let root = x509::parse(der).map_err(|_| RootsError::Unreadable { index })?;
    if !root.is_ca() {
        return Err(RootsError::NotAuthority { index });
    }
    if !has_strong_key(&root) || !has_strong_signature(&root) {
        return Err(RootsError::Unsupported { index });
    }
    if !signed_by(&root, &root) {
        return Err(RootsError::NotSelfSigned { index });
    }
    Ok(())
}

fn signed_by(certificate: &X509Certificate<'_>, issuer: &X509Certificate<'_>) -> bool {
    certificate.issuer().as_raw() == issuer.subject().as_raw() && certificate.verify_signature(Some(issuer.public_key())).is_ok()
}

fn has_strong_key(certificate: &X509Certificate<'_>) -> bool {
    match certificate.public_key().parsed() {
        Ok(PublicKey::RSA(key)) => key.key_size() >= RSA_BITS_MIN,
        // Which curves are possible is decided by the signature check: P-256 and P-384.
        Ok(PublicKey::EC(_)) => true,
        _ => false,
    }
}

fn has_strong_signature(certificate: &X509Certificate<'_>) -> bool {
    [OID_SIG_ECDSA_WITH_SHA256, OID_SIG_ECDSA_WITH_SHA384, OID_PKCS1_SHA256WITHRSA, OID_PKCS1_SHA384WITHRSA, OID_PKCS1_SHA512WITHRSA]
        .contains(&certificate.signature_algorithm.algorithm)
}
