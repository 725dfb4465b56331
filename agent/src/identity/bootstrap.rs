//! Getting a first certificate with a join token.

use super::{
    ca_calls::{self, IssueRequest, Issued},
    record::{NodeRecord, Phase, RecordError, RecordFile},
    request::JoinPlan,
    role_of,
};
use crate::{cluster_port::CallError, membership::JoinError};
use std::{
    net::SocketAddr,
    time::{Duration, SystemTime},
};
use swarm_pki::{CertStore, Credentials, JoinToken, NodeKey, RootBundle, RootDigest, StoreError};

/// How often the root is asked for, and the pause between. Docker's numbers.
const ROOT_ATTEMPTS_MAX: u32 = 5;
const ROOT_PAUSE: Duration = Duration::from_secs(2);

/// Pauses between requests for a certificate while the cluster has no leader: the first, and the longest.
const ISSUE_PAUSE_MIN: Duration = Duration::from_secs(1);
const ISSUE_PAUSE_MAX: Duration = Duration::from_secs(5);

/// A checked first certificate, not saved yet.
#[derive(Debug)]
pub struct Joined {
    /// What the cluster said of the node.
    pub issued: Issued,
    /// Certificate and key.
    pub credentials: Credentials,
    /// Roots to trust from now on.
    pub roots: RootBundle,
    /// This host's address on the way to the manager.
    pub local: SocketAddr,
}

/// Gets a certificate. Ends with success or a final refusal; while the cluster is reachable but cannot answer, it goes on.
/// Nothing is saved; dropping the future leaves nothing here.
///
/// # Errors
/// [`JoinError`].
pub async fn bootstrap(plan: &JoinPlan) -> Result<Joined, JoinError> {
    let roots = trusted_roots(&plan.remote, &plan.token).await?;
    let unusable = |error: swarm_pki::KeyError| JoinError::State(error.to_string());
    let key = NodeKey::generate().map_err(unusable)?;
    let csr = key.csr_pem().map_err(unusable)?;
    let request = IssueRequest { csr, token: plan.token.to_string(), availability: plan.availability };
    let (issued, local) = issue(&plan.remote, &roots, &request).await?;
    check(issued, key, local, SystemTime::now())
}

/// The root bundle of the cluster the token is for.
async fn trusted_roots(remote: &str, token: &JoinToken) -> Result<RootBundle, JoinError> {
    let mut attempt = 1;
    let pem = loop {
        match ca_calls::fetch_roots(remote).await {
            Ok(pem) => break pem,
            Err(error) if attempt == ROOT_ATTEMPTS_MAX => return Err(final_error(error)),
            Err(error) => {
                tracing::warn!(%error, attempt, "could not get the root certificate of the swarm")
            }
        }
        attempt += 1;
        tokio::time::sleep(ROOT_PAUSE).await;
    };
    let expected = token.root_digest();
    if RootDigest::of(&pem) != expected {
        return Err(JoinError::Token(swarm_pki::DigestMismatch { expected: expected.hex() }.to_string()));
    }
    let unreadable = |what: String| JoinError::NotManager(format!("the root certificate of the swarm cannot be used: {what}"));
    let text = std::str::from_utf8(&pem).map_err(|error| unreadable(error.to_string()))?;
    RootBundle::from_pem(text).map_err(|error| unreadable(error.to_string()))
}

async fn issue(remote: &str, roots: &RootBundle, request: &IssueRequest) -> Result<(Issued, SocketAddr), JoinError> {
    let mut pause = ISSUE_PAUSE_MIN;
    loop {
        match ca_calls::issue(remote, roots, request).await {
            Ok(issued) => return Ok(issued),
            Err(error) if is_passing(&error) => {
                tracing::warn!(%error, "the swarm cannot issue a certificate yet");
            }
            Err(error) => return Err(final_error(error)),
        }
        tokio::time::sleep(pause).await;
        pause = (2 * pause).min(ISSUE_PAUSE_MAX);
    }
}

/// Whether the same call may succeed later.
fn is_passing(error: &CallError) -> bool {
    match error {
        CallError::Connect { .. } | CallError::Broken { .. } | CallError::Timeout { .. } => true,
        CallError::Refused { status, .. } => status.is_server_error(),
        CallError::Tls { .. } | CallError::Answer { .. } => false,
    }
}

fn final_error(error: CallError) -> JoinError {
    match error {
        CallError::Refused { status, message } => JoinError::Refused { status: status.as_u16(), message },
        CallError::Connect { .. } | CallError::Timeout { .. } => JoinError::Unavailable(error.to_string()),
        CallError::Tls { .. } | CallError::Broken { .. } | CallError::Answer { .. } => JoinError::NotManager(error.to_string()),
    }
}

/// Whether what came is a certificate for our key, of the node and cluster it is said to be, under roots we now trust.
fn check(issued: Issued, key: NodeKey, local: SocketAddr, now: SystemTime) -> Result<Joined, JoinError> {
    let refused = |what: String| JoinError::NotManager(format!("the swarm issued a certificate that cannot be used: {what}"));
    let roots = RootBundle::from_pem(&issued.root_ca).map_err(|error| refused(error.to_string()))?;
    let credentials = Credentials::new(&issued.certificate, key).map_err(|error| refused(error.to_string()))?;
    roots.check_chain(credentials.chain(), now).map_err(|error| refused(error.to_string()))?;
    let identity = credentials.identity();
    let is_as_said = identity.node_id == issued.node_id.as_str()
        && identity.cluster_id == issued.cluster_id.as_str()
        && role_of(identity.role) == issued.role;
    if !is_as_said {
        return Err(refused("it is for another node".to_owned()));
    }
    Ok(Joined { issued, credentials, roots, local })
}

/// A membership could not be saved.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// The record.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The certificates.
    #[error(transparent)]
    Certificates(#[from] StoreError),
}

/// Saves a joined membership. After a crash at any point the host is a member or was never one: the record names the node
/// first, then the certificate comes, which is what makes the node a member.
///
/// # Errors
/// [`SaveError`]; the membership is to be wiped then.
pub fn save(file: &RecordFile, certificates: &CertStore, plan: &JoinPlan, joined: &Joined) -> Result<NodeRecord, SaveError> {
    let own = || std::net::SocketAddr::new(joined.local.ip(), plan.listen.port).to_string();
    let mut record = NodeRecord {
        phase: Phase::Joining,
        node_id: Some(joined.issued.node_id),
        cluster_id: Some(joined.issued.cluster_id),
        advertise_addr: plan.advertise.as_ref().map_or_else(own, ToString::to_string),
        managers: joined.issued.managers.clone(),
        ..started(plan)
    };
    file.save(&record)?;
    certificates.save_roots(&joined.roots)?;
    certificates.save(&joined.credentials)?;
    record.phase = Phase::Active;
    file.save(&record)?;
    Ok(record)
}

/// The record of a join that was just asked for.
#[must_use]
pub fn started(plan: &JoinPlan) -> NodeRecord {
    NodeRecord {
        phase: Phase::Joining,
        node_id: None,
        cluster_id: None,
        listen_addr: plan.listen.to_string(),
        advertise_addr: plan.advertise.as_ref().map(ToString::to_string).unwrap_or_default(),
        data_path_addr: plan.data_path.map(|ip| ip.to_string()).unwrap_or_default(),
        managers: vec![],
        orders_generation: 0,
    }
}
