//! Modes, restart policies and update settings.

use super::{InvalidSpec, MalformedSpec};
use crate::{RestartPolicy, ServiceMode, ServiceSpec, UpdateConfig};

/// Replicas of one service at most. The planner is made for hundreds of thousands of tasks in all; a typing error such as
/// a byte count for `--replicas` must not fill the memory of every manager.
pub(super) const REPLICAS_MAX: u64 = 1_000_000;

/// Checks that at most one mode is set.
///
/// # Errors
/// [`MalformedSpec::SeveralModes`]
pub fn check_mode_form(mode: &ServiceMode) -> Result<(), MalformedSpec> {
    let set = [mode.replicated.is_some(), mode.global.is_some(), mode.replicated_job.is_some(), mode.global_job.is_some()];
    if set.iter().filter(|set| **set).count() > 1 { Err(MalformedSpec::SeveralModes) } else { Ok(()) }
}

/// Checks the numbers of the mode, and that jobs have no update settings.
///
/// # Errors
/// [`InvalidSpec`]
pub fn check_mode(spec: &ServiceSpec) -> Result<(), InvalidSpec> {
    let negative = |number: Option<u64>| number.is_some_and(|n| i64::try_from(n).is_err());
    let mode = &spec.mode;
    let replicas = mode.replicated.as_ref().and_then(|r| r.replicas);
    if negative(replicas) {
        return Err(InvalidSpec::Replicas);
    }
    if replicas.is_some_and(|n| n > REPLICAS_MAX) {
        return Err(InvalidSpec::TooManyReplicas);
    }
    if let Some(job) = &mode.replicated_job {
        if negative(job.max_concurrent) {
            return Err(InvalidSpec::MaxConcurrent);
        }
        if negative(job.total_completions) {
            return Err(InvalidSpec::TotalCompletions);
        }
        if job.total_completions.is_some_and(|n| n > REPLICAS_MAX) {
            return Err(InvalidSpec::TooManyReplicas);
        }
    }
    let job = mode.replicated_job.is_some() || mode.global_job.is_some();
    if job && spec.update_config.is_some() { Err(InvalidSpec::JobWithUpdate) } else { Ok(()) }
}

/// Checks the spans of a restart policy.
///
/// # Errors
/// [`InvalidSpec::Negative`]
pub fn check_restart(policy: &RestartPolicy) -> Result<(), InvalidSpec> {
    for (name, span) in [("restart-delay", policy.delay), ("restart-window", policy.window)] {
        if span.is_some_and(|s| s < 0) {
            return Err(InvalidSpec::Negative(name));
        }
    }
    Ok(())
}

/// Checks the spans and the ratio of update or rollback settings.
///
/// # Errors
/// [`InvalidSpec::Negative`] or [`InvalidSpec::FailureRatio`]
pub fn check_update(config: &UpdateConfig) -> Result<(), InvalidSpec> {
    for (name, span) in [("update-delay", config.delay), ("update-monitor", config.monitor.unwrap_or(0))] {
        if span < 0 {
            return Err(InvalidSpec::Negative(name));
        }
    }
    // Written so that "not a number" is outside too.
    if (0.0..=1.0).contains(&config.max_failure_ratio) { Ok(()) } else { Err(InvalidSpec::FailureRatio) }
}
