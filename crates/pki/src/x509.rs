//! Reading of PEM and X.509 that several files here need.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::{self, PemObject, SectionKind};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::time::ASN1Time;

/// Text that should hold PEM certificates does not.
#[derive(Debug, thiserror::Error)]
pub enum PemError {
    /// The text is not well-formed PEM.
    #[error("not well-formed PEM")]
    Malformed(#[source] pem::Error),
    /// The text holds no certificate.
    #[error("no certificate found in PEM text")]
    Empty,
    /// The text holds something besides certificates, for instance a private key.
    #[error("PEM text holds something besides certificates")]
    NotOnlyCertificates,
}

/// Bytes that should be one DER-encoded X.509 certificate are not.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("not a readable X.509 certificate")]
pub(crate) struct Unreadable;

/// All certificates of `pem`, in order; at least one.
///
/// Any other kind of section is refused, so that a private key pasted along with a certificate
/// is never passed on to other nodes.
pub(crate) fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let mut certificates = Vec::new();
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(pem.as_bytes()) {
        match section.map_err(PemError::Malformed)? {
            (SectionKind::Certificate, der) => certificates.push(CertificateDer::from(der)),
            _ => return Err(PemError::NotOnlyCertificates),
        }
    }
    if certificates.is_empty() { Err(PemError::Empty) } else { Ok(certificates) }
}

/// Reads one certificate; bytes after it are refused.
pub(crate) fn parse(der: &[u8]) -> Result<X509Certificate<'_>, Unreadable> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        Ok(_) | Err(_) => Err(Unreadable),
    }
}

/// A certificate's time as system time; times before 1970 become 1970.
pub(crate) fn system_time(time: ASN1Time) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(u64::try_from(time.timestamp()).unwrap_or(0))
}
