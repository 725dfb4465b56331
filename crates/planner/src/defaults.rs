//! What an absent field means, and the specs that say it aloud.

use std::time::Duration;
use swarm_types::{FailureAction, Nanos, RestartPolicy, ServiceSpec, UpdateConfig, UpdateOrder};

/// Between a stop signal and SIGKILL.
pub const STOP_GRACE: Duration = Duration::from_secs(10);
/// Before a replacement starts.
pub const RESTART_DELAY: Duration = Duration::from_secs(5);
/// How long an update watches each new task.
pub const UPDATE_MONITOR: Duration = Duration::from_secs(5);
/// Slots replaced at a time.
pub const UPDATE_PARALLELISM: u64 = 1;
/// How long an update waits for a new task to run, besides the spans that its spec names, before the task counts as
/// failed. Docker waits for ever. Long enough for a big image over a slow line.
pub const PROGRESS_DEADLINE: Duration = Duration::from_secs(600);
/// Tasks kept per slot, the running one included.
pub const TASK_HISTORY_LIMIT: i64 = 5;

/// A span from the API; `None` or a negative one is not set.
#[must_use]
pub fn duration(nanos: Option<Nanos>) -> Option<Duration> {
    nanos.and_then(|n| u64::try_from(n).ok()).map(Duration::from_nanos)
}

/// The spec with every default written out, as `inspect` shows it.
#[must_use]
pub fn insert_defaults(spec: &ServiceSpec) -> ServiceSpec {
    let mut spec = spec.clone();
    if let Some(container) = &mut spec.task_template.container_spec {
        container.stop_grace_period.get_or_insert(nanos(STOP_GRACE));
        container.dns_config.get_or_insert_default();
    }
    spec.task_template.resources.get_or_insert_default();
    spec.task_template.placement.get_or_insert_default();
    let restart = spec.task_template.restart_policy.get_or_insert_with(RestartPolicy::default);
    restart.delay.get_or_insert(nanos(RESTART_DELAY));
    restart.max_attempts.get_or_insert(0);
    let is_job = spec.mode.replicated_job.is_some() || spec.mode.global_job.is_some();
    if !is_job {
        for config in [&mut spec.update_config, &mut spec.rollback_config] {
            let config = config.get_or_insert_with(|| UpdateConfig { parallelism: UPDATE_PARALLELISM, ..UpdateConfig::default() });
            config.failure_action.get_or_insert(FailureAction::Pause);
            config.monitor.get_or_insert(nanos(UPDATE_MONITOR));
            config.order.get_or_insert(UpdateOrder::StopFirst);
        }
    }
    spec
}

fn nanos(span: Duration) -> Nanos {
    Nanos::try_from(span.as_nanos()).expect("the defaults are a few seconds")
}

#[cfg(test)]
mod tests {
    use super::*;
    use swarm_types::{ContainerSpec, RestartCondition, TaskSpec};

    #[test]
    fn absent_fields_get_dockers_defaults_and_present_ones_stay() {
        let spec = ServiceSpec {
            task_template: TaskSpec { container_spec: Some(ContainerSpec::default()), ..TaskSpec::default() },
            update_config: Some(UpdateConfig { parallelism: 0, monitor: Some(7), ..UpdateConfig::default() }),
            ..ServiceSpec::default()
        };
        let full = insert_defaults(&spec);
        assert_eq!(full.task_template.container_spec.expect("kept").stop_grace_period, Some(10_000_000_000));
        let restart = full.task_template.restart_policy.expect("inserted");
        assert_eq!(
            (restart.condition, restart.delay, restart.max_attempts, restart.window),
            (RestartCondition::Any, Some(5_000_000_000), Some(0), None)
        );
        let update = full.update_config.expect("kept");
        assert_eq!((update.parallelism, update.monitor, update.failure_action), (0, Some(7), Some(FailureAction::Pause)));
        let rollback = full.rollback_config.expect("inserted");
        assert_eq!((rollback.parallelism, rollback.monitor, rollback.order), (1, Some(5_000_000_000), Some(UpdateOrder::StopFirst)));
    }
}
