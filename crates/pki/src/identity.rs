//! Who a node is, as its certificate says.

use std::fmt;
use std::time::SystemTime;

use rustls_pki_types::CertificateDer;
use x509_parser::x509::AttributeTypeAndValue;

use crate::ca::NODE_BACKDATE;
use crate::x509;

/// What a node is in its swarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Runs tasks.
    Worker,
    /// Runs tasks and decides about the cluster.
    Manager,
}

impl Role {
    /// The organisational unit of certificates of this role.
    pub fn organizational_unit(self) -> &'static str {
        match self {
            Self::Worker => "swarm-worker",
            Self::Manager => "swarm-manager",
        }
    }

    fn from_organizational_unit(unit: &str) -> Option<Self> {
        [Self::Worker, Self::Manager].into_iter().find(|role| role.organizational_unit() == unit)
    }
}

/// The word the Docker API uses: `worker` or `manager`.
impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Worker => "worker",
            Self::Manager => "manager",
        })
    }
}

/// A certificate does not tell who its node is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// There is no certificate.
    #[error("no certificate given")]
    NoCertificate,
    /// The text or bytes are not a certificate.
    #[error("the node certificate is unreadable")]
    Unreadable,
    /// The subject lacks the named part, or has it more than once.
    #[error("the node certificate must have exactly one {part}")]
    Subject {
        /// Which part of the subject is at fault.
        part: &'static str,
    },
    /// The organisational unit is not a role of a swarm.
    #[error("the node certificate has the unknown role {unit:?}")]
    Role {
        /// The organisational unit found.
        unit: String,
    },
}

/// What a node's certificate says about it.
///
/// Reading a certificate proves nothing: that a trusted root signed it is checked by the TLS
/// handshake, or by [`crate::RootBundle::check_chain`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeIdentity {
    /// The node's id: the common name.
    pub node_id: String,
    /// The node's role: the organisational unit.
    pub role: Role,
    /// The cluster the node belongs to: the organisation.
    pub cluster_id: String,
    /// Start of validity; an hour before the certificate was signed.
    pub not_before: SystemTime,
    /// Last moment of validity.
    pub not_after: SystemTime,
    /// Subject name of the certificate that signed this one, DER.
    pub issuer: Vec<u8>,
}

impl NodeIdentity {
    /// Reads a DER-encoded certificate.
    ///
    /// # Errors
    /// [`IdentityError`]; final.
    pub fn from_der(der: &CertificateDer<'_>) -> Result<Self, IdentityError> {
        let certificate = x509::parse(der).map_err(|_| IdentityError::Unreadable)?;
        let subject = certificate.subject();
        let unit = only(subject.iter_organizational_unit(), "organizational unit")?;
        Ok(Self {
            node_id: only(subject.iter_common_name(), "common name")?,
            role: Role::from_organizational_unit(&unit).ok_or(IdentityError::Role { unit })?,
            cluster_id: only(subject.iter_organization(), "organization")?,
            not_before: x509::system_time(certificate.validity().not_before),
            not_after: x509::system_time(certificate.validity().not_after),
            issuer: certificate.issuer().as_raw().to_vec(),
        })
    }

    /// Reads the first certificate of a PEM text, which is the leaf of a chain.
    ///
    /// # Errors
    /// [`IdentityError`]; final.
    pub fn from_pem(pem: &str) -> Result<Self, IdentityError> {
        let chain = x509::certificates(pem).map_err(|_| IdentityError::Unreadable)?;
        peer_identity(&chain)
    }

    /// Whether the certificate is within its validity at `now`.
    pub fn is_valid_at(&self, now: SystemTime) -> bool {
        self.not_before <= now && now <= self.not_after
    }

    /// When the certificate should be renewed: a point between 50 and 80 % of its life, so that
    /// nodes that joined together do not renew together. `fraction` (0 to 1, clamped) picks the
    /// point; the result is never before `now`.
    ///
    /// Life is counted from the signing: the backdated hour before it is left out, or short-lived
    /// certificates would be due as soon as they are issued.
    pub fn renew_at(&self, now: SystemTime, fraction: f64) -> SystemTime {
        let signed_at = self.not_before + NODE_BACKDATE;
        let start = if signed_at < self.not_after { signed_at } else { self.not_before };
        let life = self.not_after.duration_since(start).unwrap_or_default();
        // NaN falls to the lower bound.
        let fraction = if fraction > 0.0 { fraction.min(1.0) } else { 0.0 };
        (start + life.mul_f64(0.5 + 0.3 * fraction)).max(now)
    }
}

/// Who is at the other end of a connection, from the chain (leaf first) TLS verified.
///
/// # Errors
/// [`IdentityError`] if the leaf is not a node certificate; the peer must be refused then.
pub fn peer_identity(chain: &[CertificateDer<'_>]) -> Result<NodeIdentity, IdentityError> {
    NodeIdentity::from_der(chain.first().ok_or(IdentityError::NoCertificate)?)
}

/// The single value of one kind of subject attribute. Two values are refused, since it would
/// not be clear which of them the signer meant.
fn only<'a>(mut values: impl Iterator<Item = &'a AttributeTypeAndValue<'a>>, part: &'static str) -> Result<String, IdentityError> {
    match (values.next(), values.next()) {
        (Some(value), None) => match value.as_str() {
            Ok(text) if !text.is_empty() => Ok(text.to_owned()),
            Ok(_) | Err(_) => Err(IdentityError::Subject { part }),
        },
        _ => Err(IdentityError::Subject { part }),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use proptest::prelude::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn identity(issued: SystemTime, validity: Duration) -> NodeIdentity {
        NodeIdentity {
            node_id: "n".into(),
            role: Role::Worker,
            cluster_id: "c".into(),
            not_before: issued - NODE_BACKDATE,
            not_after: issued + validity,
            issuer: Vec::new(),
        }
    }

    #[test]
    fn renewal_falls_between_half_and_four_fifths() {
        let issued = UNIX_EPOCH + 1000 * DAY;
        let node = identity(issued, 90 * DAY);
        let hundredth_of_a_second = Duration::from_millis(10);
        let near =
            |a: SystemTime, b: SystemTime| a.duration_since(b).or_else(|e| Ok::<_, ()>(e.duration())).unwrap() < hundredth_of_a_second;
        assert!(near(node.renew_at(issued, 0.0), issued + 45 * DAY));
        assert!(near(node.renew_at(issued, 1.0), issued + 72 * DAY));
        assert!(near(node.renew_at(issued, f64::NAN), issued + 45 * DAY));
        assert!(near(node.renew_at(issued, 7.0), issued + 72 * DAY));
        // A certificate of seconds is not due at once although it is backdated by an hour.
        let short = identity(issued, Duration::from_secs(30));
        assert!(near(short.renew_at(issued, 0.0), issued + Duration::from_secs(15)));
    }

    #[test]
    fn overdue_renewal_is_now() {
        let issued = UNIX_EPOCH + 1000 * DAY;
        let late = issued + 100 * DAY;
        assert_eq!(identity(issued, 90 * DAY).renew_at(late, 0.5), late);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>, text in ".*") {
            let _ = NodeIdentity::from_der(&CertificateDer::from(bytes));
            let _ = NodeIdentity::from_pem(&text);
        }

        #[test]
        fn renewal_is_within_life(validity in 1u64..10_000_000, fraction in 0.0f64..1.0) {
            let issued = UNIX_EPOCH + 1000 * DAY;
            let node = identity(issued, Duration::from_secs(validity));
            let at = node.renew_at(issued, fraction);
            prop_assert!(issued <= at && at < node.not_after);
        }
    }
}
