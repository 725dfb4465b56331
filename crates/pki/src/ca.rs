//! The cluster's certificate authority.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType, SerialNumber, SubjectPublicKeyInfo,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateSigningRequestDer};
use time::OffsetDateTime;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;
use zeroize::Zeroizing;

use crate::identity::Role;
use crate::key::forget;
use crate::random::{RandomError, random_bytes};
use crate::roots::{RootBundle, RootsError};
use crate::x509;

/// Common name of a swarm's root, and the server name under which managers answer certificate
/// requests.
pub const ROOT_NAME: &str = "swarm-ca";

/// Life of a root: 20 years of 365 days, as Swarm counts them.
pub const ROOT_VALIDITY: Duration = Duration::from_secs(630_720_000);

/// How far a node certificate starts before it is signed, so that nodes whose clocks are behind
/// accept it.
pub const NODE_BACKDATE: Duration = Duration::from_secs(3600);

/// Life of a node certificate when nothing else is asked for: 90 days.
pub const NODE_VALIDITY_DEFAULT: Duration = Duration::from_secs(90 * 86_400);

/// Shortest life of a node certificate a cluster may ask for.
pub const NODE_VALIDITY_MIN: Duration = Duration::from_secs(3600);

/// Longest text of a common name, organisation or unit that X.509 allows.
const NAME_CHARS_MAX: usize = 64;

/// The life of node certificates for the `NodeCertExpiry` of a cluster: values below the minimum,
/// zero among them, mean the default.
pub fn node_validity(node_cert_expiry: Duration) -> Duration {
    if node_cert_expiry < NODE_VALIDITY_MIN { NODE_VALIDITY_DEFAULT } else { node_cert_expiry }
}

/// A root authority cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// The key could not be generated, or the root not signed with it.
    #[error("could not make the root certificate")]
    Create(#[source] rcgen::Error),
    /// No randomness for the serial number.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// The time given cannot be written into a certificate.
    #[error("the time is outside the range of certificates")]
    Time,
    /// The certificate is unfit for a root.
    #[error("could not use the root certificate")]
    Roots(#[from] RootsError),
    /// The private key cannot be read: PKCS#8 PEM is expected.
    #[error("could not read the root key")]
    Key(#[source] rcgen::Error),
    /// The key belongs to none of the certificates.
    #[error("the root key belongs to none of the root certificates")]
    KeyMismatch,
    /// The certificate's name or extensions are of a kind this authority cannot sign under.
    #[error("could not sign with the root certificate")]
    Issuer(#[source] rcgen::Error),
}

/// A node certificate cannot be signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The text is not a PEM signing request.
    #[error("the certificate signing request is unreadable")]
    Unreadable,
    /// The request is not signed by the key it names.
    #[error("the certificate signing request has an invalid signature")]
    Signature,
    /// The request is for a key nodes do not use.
    #[error("the certificate signing request is not for an ECDSA P-256 key")]
    NotP256,
    /// A name is empty, too long, or holds characters that are not letters, digits, `-` or `.`.
    #[error("{name:?} cannot be written into a certificate")]
    Name {
        /// The name at fault.
        name: String,
    },
    /// The time given, or the end of validity, cannot be written into a certificate.
    #[error("the time is outside the range of certificates")]
    Time,
    /// The root has ended, so nothing it signs would be valid.
    #[error("the root certificate has expired")]
    RootExpired,
    /// No randomness for the serial number.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// Signing itself failed.
    #[error("could not sign the node certificate")]
    Sign(#[source] rcgen::Error),
    /// The name of the root cannot be reproduced in what it signs (several values of one kind).
    #[error("the name of the root certificate is not supported")]
    IssuerName,
}

impl SignError {
    /// Whether the request itself is at fault, so that the same request fails again anywhere.
    pub fn is_bad_request(&self) -> bool {
        match self {
            Self::Unreadable | Self::Signature | Self::NotP256 | Self::Name { .. } => true,
            Self::Time | Self::RootExpired | Self::Random(_) | Self::Sign(_) | Self::IssuerName => false,
        }
    }
}

/// Whom a node certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeSubject<'a> {
    /// The node's id.
    pub node_id: &'a str,
    /// The node's role.
    pub role: Role,
    /// The cluster's id.
    pub cluster_id: &'a str,
}

/// A root certificate with its key: it signs the certificates of nodes.
///
/// The key matches one certificate of the bundle. `Debug` does not show it.
pub struct RootCa {
    roots: RootBundle,
    issuer: Issuer<'static, KeyPair>,
    /// Subject name of the signing root, DER.
    subject: Vec<u8>,
    not_after: SystemTime,
    key_pem: Zeroizing<String>,
}

impl RootCa {
    /// A new self-signed root: CN `swarm-ca`, ECDSA P-256, valid for [`ROOT_VALIDITY`] from an
    /// hour before `now`.
    ///
    /// # Errors
    /// [`CaError`]; for lack of randomness, may be retried.
    pub fn create(now: SystemTime) -> Result<Self, CaError> {
        let start = now.checked_sub(NODE_BACKDATE).ok_or(CaError::Time)?;
        let mut params = CertificateParams::default();
        params.not_before = certificate_time(start).ok_or(CaError::Time)?;
        params.not_after = certificate_time(start + ROOT_VALIDITY).ok_or(CaError::Time)?;
        params.serial_number = Some(serial_number()?);
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, ROOT_NAME);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(CaError::Create)?;
        let certificate = params.self_signed(&pair).map_err(CaError::Create)?;
        let key_pem = Zeroizing::new(pair.serialize_pem());
        forget(pair);
        Self::from_pem(&certificate.pem(), &key_pem)
    }

    /// Reads a root bundle and the PKCS#8 key of one of its certificates, which will be the
    /// signer.
    ///
    /// # Errors
    /// [`CaError`]; final.
    pub fn from_pem(bundle_pem: &str, key_pem: &str) -> Result<Self, CaError> {
        let roots = RootBundle::from_pem(bundle_pem)?;
        let pair = KeyPair::from_pem(key_pem).map_err(CaError::Key)?;
        let public_key = pair.subject_public_key_info();
        let (der, subject, not_after) = roots
            .certificates()
            .iter()
            .find_map(|der| {
                let root = x509::parse(der).ok()?;
                let subject = root.subject().as_raw().to_vec();
                let not_after = x509::system_time(root.validity().not_after);
                (root.public_key().raw == public_key).then(|| (der.clone(), subject, not_after))
            })
            .ok_or(CaError::KeyMismatch)?;
        let key_pem = Zeroizing::new(pair.serialize_pem());
        let issuer = Issuer::from_ca_cert_der(&der, pair).map_err(CaError::Issuer)?;
        Ok(Self { roots, issuer, subject, not_after, key_pem })
    }

    /// The bundle nodes trust.
    pub fn roots(&self) -> &RootBundle {
        &self.roots
    }

    /// The bundle's PEM text.
    pub fn cert_pem(&self) -> &str {
        self.roots.pem()
    }

    /// The signing key, PKCS#8 PEM.
    pub fn key_pem(&self) -> &Zeroizing<String> {
        &self.key_pem
    }

    /// Signs a node certificate and returns its chain, PEM, leaf first.
    ///
    /// It is valid from [`NODE_BACKDATE`] before `now` to `validity` after, and never longer
    /// than the root. Of the request only the public key is used.
    ///
    /// # Errors
    /// [`SignError`]; [`SignError::is_bad_request`] tells whose fault it is.
    pub fn sign_csr(&self, csr_pem: &str, subject: NodeSubject<'_>, validity: Duration, now: SystemTime) -> Result<String, SignError> {
        let public_key = requested_key(csr_pem)?;
        if self.not_after <= now {
            return Err(SignError::RootExpired);
        }
        let start = now.checked_sub(NODE_BACKDATE).ok_or(SignError::Time)?;
        let end = now.checked_add(validity).ok_or(SignError::Time)?.min(self.not_after);
        let mut params = node_params(subject)?;
        params.not_before = certificate_time(start).ok_or(SignError::Time)?;
        params.not_after = certificate_time(end).ok_or(SignError::Time)?;
        params.serial_number = Some(serial_number()?);
        let certificate = params.signed_by(&public_key, &self.issuer).map_err(SignError::Sign)?;
        self.check_issuer_name(certificate.der())?;
        Ok(certificate.pem())
    }

    /// rcgen keeps one value per kind of name part, so a foreign root with several would sign
    /// certificates that name no root at all.
    fn check_issuer_name(&self, der: &CertificateDer<'_>) -> Result<(), SignError> {
        match x509::parse(der) {
            Ok(leaf) if leaf.issuer().as_raw() == self.subject => Ok(()),
            Ok(_) | Err(_) => Err(SignError::IssuerName),
        }
    }
}

impl fmt::Debug for RootCa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RootCa").field("digest", &self.roots.digest()).finish_non_exhaustive()
    }
}

/// Everything of a node certificate that follows from its subject.
fn node_params(subject: NodeSubject<'_>) -> Result<CertificateParams, SignError> {
    let unit = subject.role.organizational_unit();
    let mut names = vec![unit, subject.node_id];
    match subject.role {
        Role::Manager => names.push(ROOT_NAME),
        Role::Worker => {}
    }
    check_name(subject.cluster_id)?;
    check_name(subject.node_id)?;

    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, subject.cluster_id);
    params.distinguished_name.push(DnType::OrganizationalUnitName, unit);
    params.distinguished_name.push(DnType::CommonName, subject.node_id);
    params.subject_alt_names =
        names.into_iter().map(|name| Ia5String::try_from(name).map(SanType::DnsName).map_err(SignError::Sign)).collect::<Result<_, _>>()?;
    params.is_ca = IsCa::ExplicitNoCa;
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    Ok(params)
}

/// Names end up in DNS names too, so the alphabet is narrow. Ids of nodes and clusters are
/// 25 base-36 characters; a mandatory-FIPS cluster of Docker has `FIPS.` before them.
///
/// The names with a meaning are refused: a node called `swarm-ca` could pose as the authority.
fn check_name(name: &str) -> Result<(), SignError> {
    let fits = (1..=NAME_CHARS_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
        && !name.to_ascii_lowercase().starts_with("swarm-");
    if fits { Ok(()) } else { Err(SignError::Name { name: name.to_owned() }) }
}

/// The public key of a signing request, after checking that the requester holds its other half.
fn requested_key(csr_pem: &str) -> Result<SubjectPublicKeyInfo, SignError> {
    let der = CertificateSigningRequestDer::from_pem_slice(csr_pem.as_bytes()).map_err(|_| SignError::Unreadable)?;
    let Ok(([], request)) = X509CertificationRequest::from_der(&der) else {
        return Err(SignError::Unreadable);
    };
    request.verify_signature().map_err(|_| SignError::Signature)?;
    let public_key = SubjectPublicKeyInfo::from_der(request.certification_request_info.subject_pki.raw).map_err(|_| SignError::NotP256)?;
    if public_key.algorithm() == &PKCS_ECDSA_P256_SHA256 { Ok(public_key) } else { Err(SignError::NotP256) }
}

/// A positive serial number of 126 random bits: no two certificates share one, also when they
/// certify the same key.
fn serial_number() -> Result<SerialNumber, RandomError> {
    let mut bytes = random_bytes::<16>()?;
    // The first bit is the sign; the second, always set, keeps the length fixed.
    bytes[0] = bytes[0] & 0x7f | 0x40;
    Ok(SerialNumber::from(bytes.to_vec()))
}

/// Whole seconds, as certificates hold them; `None` before 1970 or after the year 9999.
fn certificate_time(time: SystemTime) -> Option<OffsetDateTime> {
    let seconds = time.duration_since(UNIX_EPOCH).ok()?.as_secs();
    OffsetDateTime::from_unix_timestamp(i64::try_from(seconds).ok()?).ok()
}
