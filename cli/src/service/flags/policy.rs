//! Flags about how updates and rollbacks go, that create and update share.

use crate::line::values;
use crate::service::flags::parse;
use swarm_types::{FailureAction, Nanos, UpdateConfig, UpdateOrder};

/// How long new tasks are watched unless a flag says otherwise, as Docker's client writes it.
const MONITOR: Nanos = 5_000_000_000;

/// How an update goes.
#[derive(clap::Args, Debug, Clone, Default, PartialEq)]
pub(crate) struct UpdatePolicyFlags {
    /// Maximum number of tasks updated simultaneously (0 to update all at once) (default 1)
    #[arg(long, value_name = "uint", value_parser = values::uint)]
    update_parallelism: Option<u64>,
    /// Delay between updates (ns|us|ms|s|m|h) (default 0s)
    #[arg(long, value_name = "duration", value_parser = parse::duration)]
    update_delay: Option<Nanos>,
    /// Duration after each task update to monitor for failure (ns|us|ms|s|m|h) (default 5s)
    #[arg(long, value_name = "duration", value_parser = parse::duration)]
    update_monitor: Option<Nanos>,
    /// Action on update failure ("pause", "continue", "rollback") (default "pause")
    #[arg(long, value_name = "string", value_parser = parse::word::<FailureAction>)]
    update_failure_action: Option<FailureAction>,
    /// Failure rate to tolerate during an update (default 0)
    #[arg(long, value_name = "float", value_parser = values::float)]
    update_max_failure_ratio: Option<f32>,
    /// Update order ("start-first", "stop-first") (default "stop-first")
    #[arg(long, value_name = "string", value_parser = parse::word::<UpdateOrder>)]
    update_order: Option<UpdateOrder>,
}

/// How a rollback goes.
#[derive(clap::Args, Debug, Clone, Default, PartialEq)]
pub(crate) struct RollbackPolicyFlags {
    /// Maximum number of tasks rolled back simultaneously (0 to roll back all at once) (default 1)
    #[arg(long, value_name = "uint", value_parser = values::uint)]
    rollback_parallelism: Option<u64>,
    /// Delay between task rollbacks (ns|us|ms|s|m|h) (default 0s)
    #[arg(long, value_name = "duration", value_parser = parse::duration)]
    rollback_delay: Option<Nanos>,
    /// Duration after each task rollback to monitor for failure (ns|us|ms|s|m|h) (default 5s)
    #[arg(long, value_name = "duration", value_parser = parse::duration)]
    rollback_monitor: Option<Nanos>,
    /// Action on rollback failure ("pause", "continue") (default "pause")
    #[arg(long, value_name = "string", value_parser = parse::rollback_action)]
    rollback_failure_action: Option<FailureAction>,
    /// Failure rate to tolerate during a rollback (default 0)
    #[arg(long, value_name = "float", value_parser = values::float)]
    rollback_max_failure_ratio: Option<f32>,
    /// Rollback order ("start-first", "stop-first") (default "stop-first")
    #[arg(long, value_name = "string", value_parser = parse::word::<UpdateOrder>)]
    rollback_order: Option<UpdateOrder>,
}

/// What was given of either group.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Policy {
    parallelism: Option<u64>,
    delay: Option<Nanos>,
    monitor: Option<Nanos>,
    failure_action: Option<FailureAction>,
    max_failure_ratio: Option<f32>,
    order: Option<UpdateOrder>,
}

impl From<&UpdatePolicyFlags> for Policy {
    fn from(flags: &UpdatePolicyFlags) -> Self {
        Self {
            parallelism: flags.update_parallelism,
            delay: flags.update_delay,
            monitor: flags.update_monitor,
            failure_action: flags.update_failure_action,
            max_failure_ratio: flags.update_max_failure_ratio,
            order: flags.update_order,
        }
    }
}

impl From<&RollbackPolicyFlags> for Policy {
    fn from(flags: &RollbackPolicyFlags) -> Self {
        Self {
            parallelism: flags.rollback_parallelism,
            delay: flags.rollback_delay,
            monitor: flags.rollback_monitor,
            failure_action: flags.rollback_failure_action,
            max_failure_ratio: flags.rollback_max_failure_ratio,
            order: flags.rollback_order,
        }
    }
}

impl Policy {
    /// Whether a flag of the group was given.
    pub(crate) fn is_given(&self) -> bool {
        *self != Self::default()
    }

    /// Changes what was given, beginning with Docker's defaults where the spec says nothing. Without flags of the group the
    /// spec stays as it is.
    pub(crate) fn merge(self, config: &mut Option<UpdateConfig>) {
        if !self.is_given() {
            return;
        }
        let config = config.get_or_insert_with(|| UpdateConfig {
            parallelism: 1,
            monitor: Some(MONITOR),
            failure_action: Some(FailureAction::Pause),
            order: Some(UpdateOrder::StopFirst),
            ..UpdateConfig::default()
        });
        config.parallelism = self.parallelism.unwrap_or(config.parallelism);
        config.delay = self.delay.unwrap_or(config.delay);
        config.monitor = self.monitor.or(config.monitor);
        config.failure_action = self.failure_action.or(config.failure_action);
        config.max_failure_ratio = self.max_failure_ratio.unwrap_or(config.max_failure_ratio);
        config.order = self.order.or(config.order);
    }
}
