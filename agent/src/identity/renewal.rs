//! Replacing the certificate in time, and when the cluster gives the node another role.

use super::{
    ca_calls::{self, Renewed},
    role_of,
};
use crate::cluster_port::CallError;
use http::StatusCode;
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};
use swarm_pki::{CertStore, Credentials, LiveIdentity, NodeKey, RootBundle, StoreError};
use swarm_types::{RemoteManager, Role};
use tokio::{sync::watch, time::Instant};

/// A change of role reaches managers one after the other; the first request waits so long for it to arrive.
const ROLE_SETTLE: Duration = Duration::from_millis(500);
/// Pauses between attempts for another role: the first, and the longest.
const ROLE_PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// Pauses between attempts because the certificate ages: Docker's numbers.
const AGE_PAUSES: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(3600));
/// Between two looks at the system's clock, which may be set while we wait.
const CLOCK_LOOK: Duration = Duration::from_secs(600);

/// Why the certificate should be replaced now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wish {
    /// The role the cluster wants; `None` as long as it has said nothing.
    pub role: Option<Role>,
    /// Raised to ask for a renewal whatever the role is.
    pub forced: u64,
}

/// How the last attempt went.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum RenewalState {
    /// None was needed yet.
    #[default]
    Quiet,
    /// The certificate was replaced.
    Renewed {
        /// Its role.
        role: Role,
        /// How many there have been, so that equal ones are told apart.
        count: u64,
    },
    /// It failed and will be repeated.
    Failing {
        /// What happened.
        error: String,
        /// Whether the certificate has ended meanwhile.
        is_expired: bool,
    },
    /// The cluster does not know the node any more.
    Removed(String),
}

/// Keeps the certificate fresh.
#[derive(Debug)]
pub struct Renewal {
    /// Where the certificate is kept.
    pub certificates: CertStore,
    /// What connections present.
    pub identity: Arc<LiveIdentity>,
    /// The roots in use; replaced when a renewal brings others.
    pub roots: Arc<watch::Sender<RootBundle>>,
    /// Who to ask.
    pub managers: watch::Receiver<Vec<RemoteManager>>,
    /// Why to ask.
    pub wish: watch::Receiver<Wish>,
    /// How it goes.
    pub state: Arc<watch::Sender<RenewalState>>,
}

/// A renewal failed.
#[derive(Debug, thiserror::Error)]
enum RenewError {
    #[error("no manager is known")]
    NoManager,
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("could not make a key: {0}")]
    Key(#[from] swarm_pki::KeyError),
    #[error("the new certificate cannot be used: {0}")]
    Unusable(String),
    #[error("the new certificate could not be saved: {0}")]
    Save(#[from] StoreError),
}

impl RenewError {
    /// Whether the cluster says that the node is gone from it.
    fn is_removed(&self) -> bool {
        match self {
            Self::Call(CallError::Refused { status, message }) => {
                *status == StatusCode::NOT_FOUND
                    || (*status == StatusCode::FORBIDDEN
                        && (message.contains("not found when attempting to renew") || message.contains("was removed from swarm")))
            }
            _ => false,
        }
    }
}

impl Renewal {
    /// Runs until dropped.
    pub async fn run(mut self) {
        let mut count = 0;
        let mut forced_done = self.wish.borrow().forced;
        let mut failures = 0u32;
        let mut age_due = self.age_due();
        loop {
            let wish = self.wish.borrow_and_update().clone();
            let is_wished = wish.forced > forced_done || wish.role.is_some_and(|role| role != self.role());
            let now = SystemTime::now();
            let is_aged = age_due <= now;
            if !is_wished && !is_aged {
                failures = 0;
                let wait = age_due.duration_since(now).unwrap_or_default().min(CLOCK_LOOK);
                self.pause(wait).await;
                continue;
            }
            let wait = match failures {
                0 if is_wished => ROLE_SETTLE,
                0 => Duration::ZERO,
                _ if self.is_removed() => AGE_PAUSES.1,
                _ => pause_after(failures, if is_wished { ROLE_PAUSES } else { AGE_PAUSES }, rand::random()),
            };
            if self.pause(wait).await {
                // Another wish: start its attempts afresh, but never without a pause.
                failures = failures.min(1);
                continue;
            }
            match self.renew().await {
                Ok(role) => {
                    count += 1;
                    forced_done = wish.forced;
                    age_due = self.age_due();
                    // The old role again: the change has not reached the manager that was asked.
                    failures = if wish.role.is_some_and(|wanted| wanted != role) { failures + 1 } else { 0 };
                    tracing::info!(%role, "the certificate was renewed");
                    self.state.send_replace(RenewalState::Renewed { role, count });
                }
                Err(error) => {
                    failures += 1;
                    tracing::warn!(%error, "the certificate could not be renewed");
                    self.state.send_replace(self.failed(&error));
                }
            }
        }
    }

    /// Waits; whether another wish ended it early.
    async fn pause(&mut self, wait: Duration) -> bool {
        // Both are cancel-safe. Without anyone left to wish, the time alone counts.
        tokio::select! {
            () = tokio::time::sleep_until(Instant::now() + wait) => false,
            Ok(()) = self.wish.changed() => true,
        }
    }

    fn role(&self) -> Role {
        role_of(self.identity.current().identity().role)
    }

    fn age_due(&self) -> SystemTime {
        self.identity.current().identity().renew_at(SystemTime::now(), rand::random())
    }

    fn is_removed(&self) -> bool {
        matches!(*self.state.borrow(), RenewalState::Removed(_))
    }

    fn failed(&self, error: &RenewError) -> RenewalState {
        if error.is_removed() {
            return RenewalState::Removed(error.to_string());
        }
        let is_expired = self.identity.current().identity().not_after < SystemTime::now();
        RenewalState::Failing { error: error.to_string(), is_expired }
    }

    /// Asks managers, in random order, until one answers.
    async fn renew(&self) -> Result<Role, RenewError> {
        let key = NodeKey::generate()?;
        let csr = key.csr_pem()?;
        let mut managers = self.managers.borrow().clone();
        let mut last = RenewError::NoManager;
        while !managers.is_empty() {
            let manager = managers.swap_remove(rand::random_range(0..managers.len()));
            let roots = self.roots.borrow().clone();
            match ca_calls::renew(&manager.addr, Arc::clone(&self.identity), &roots, csr.clone()).await {
                Ok(renewed) => return self.take(&renewed, key),
                Err(error) => {
                    let error = RenewError::Call(error);
                    if error.is_removed() {
                        return Err(error);
                    }
                    last = error;
                }
            }
        }
        Err(last)
    }

    /// Checks and saves a new certificate, then presents it.
    fn take(&self, renewed: &Renewed, key: NodeKey) -> Result<Role, RenewError> {
        let unusable = |what: String| RenewError::Unusable(what);
        let roots = RootBundle::from_pem(&renewed.root_ca).map_err(|e| unusable(e.to_string()))?;
        let credentials = Credentials::new(&renewed.certificate, key).map_err(|e| unusable(e.to_string()))?;
        roots.check_chain(credentials.chain(), SystemTime::now()).map_err(|e| unusable(e.to_string()))?;
        let (old, new) = (self.identity.current(), credentials.identity().clone());
        if old.identity().node_id != new.node_id || old.identity().cluster_id != new.cluster_id {
            return Err(unusable("it is for another node".to_owned()));
        }
        if roots.pem() != self.roots.borrow().pem() {
            self.certificates.save_roots(&roots)?;
            self.roots.send_replace(roots);
        }
        self.certificates.save(&credentials)?;
        self.identity.replace(credentials);
        Ok(role_of(new.role))
    }
}

/// Doubling pauses, with up to half of each taken off by `fraction` (0 to 1) so that nodes do not ask together.
fn pause_after(failures: u32, (first, longest): (Duration, Duration), fraction: f64) -> Duration {
    let doubled = first.saturating_mul(1 << failures.saturating_sub(1).min(20)).min(longest);
    doubled.mul_f64(1.0 - fraction.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_their_longest() {
        let pauses: Vec<u64> = (1..=12).map(|n| pause_after(n, AGE_PAUSES, 0.0).as_secs()).collect();
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600]);
        assert_eq!(pause_after(1, AGE_PAUSES, 1.0), Duration::from_millis(2500));
        assert_eq!(pause_after(u32::MAX, ROLE_PAUSES, 0.0), ROLE_PAUSES.1);
    }
}
