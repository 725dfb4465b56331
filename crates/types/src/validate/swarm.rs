//! The spec of the cluster.

use crate::{Nanos, SwarmSpec};

/// The only name of a cluster's spec.
const NAME: &str = "default";
/// Ended tasks kept per slot where the spec does not say.
const TASK_HISTORY_DEFAULT: i64 = 5;
/// Log entries between snapshots where the spec does not say.
const SNAPSHOT_INTERVAL_DEFAULT: u64 = 10_000;
/// Log entries kept for slow followers where the spec does not say.
const SLOW_FOLLOWERS_DEFAULT: u64 = 500;
/// What clients expect of elections that have no ticks here.
const ELECTION_TICK_DEFAULT: i64 = 10;
/// As above.
const HEARTBEAT_TICK_DEFAULT: i64 = 1;
/// Between two beats of an agent where the spec does not say.
const HEARTBEAT_DEFAULT: Nanos = 5_000_000_000;
/// Validity of node certificates where the spec does not say: 90 days.
const CERT_EXPIRY_DEFAULT: Nanos = 90 * 24 * 3600 * 1_000_000_000;
/// Certificates that live shorter would be renewed all the time.
const CERT_EXPIRY_MIN: Nanos = 3600 * 1_000_000_000;

/// A spec of the cluster that cannot be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSwarmSpec {
    /// There is one cluster, and one name for it.
    #[error("swarm spec must be named \"default\"")]
    Name,
    /// Certificates would end too soon.
    #[error("minimum certificate expiry time is: 1h0m0s")]
    CertExpiry,
    /// A negative heartbeat period.
    #[error("heartbeat time period cannot be a negative duration")]
    Heartbeat,
}

/// The spec with a default in the place of everything that is unset, as it is stored and shown.
#[must_use]
pub fn complete_swarm(mut spec: SwarmSpec) -> SwarmSpec {
    if spec.name.is_empty() {
        spec.name = NAME.to_owned();
    }
    spec.orchestration.task_history_retention_limit.get_or_insert(TASK_HISTORY_DEFAULT);
    spec.raft.keep_old_snapshots.get_or_insert(0);
    or_default(&mut spec.raft.snapshot_interval, SNAPSHOT_INTERVAL_DEFAULT);
    or_default(&mut spec.raft.log_entries_for_slow_followers, SLOW_FOLLOWERS_DEFAULT);
    or_default(&mut spec.raft.election_tick, ELECTION_TICK_DEFAULT);
    or_default(&mut spec.raft.heartbeat_tick, HEARTBEAT_TICK_DEFAULT);
    or_default(&mut spec.dispatcher.heartbeat_period, HEARTBEAT_DEFAULT);
    or_default(&mut spec.ca_config.node_cert_expiry, CERT_EXPIRY_DEFAULT);
    spec
}

fn or_default<T: Default + PartialEq>(field: &mut T, default: T) {
    if *field == T::default() {
        *field = default;
    }
}

/// Checks a completed spec.
///
/// # Errors
/// [`InvalidSwarmSpec`]
pub fn check_swarm(spec: &SwarmSpec) -> Result<(), InvalidSwarmSpec> {
    if spec.name != NAME {
        return Err(InvalidSwarmSpec::Name);
    }
    if spec.ca_config.node_cert_expiry < CERT_EXPIRY_MIN {
        return Err(InvalidSwarmSpec::CertExpiry);
    }
    if spec.dispatcher.heartbeat_period < 0 {
        return Err(InvalidSwarmSpec::Heartbeat);
    }
    Ok(())
}
