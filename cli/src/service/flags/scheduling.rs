//! Flags about where, how many and how often, that create and update share.

use crate::line::values;
use crate::service::flags::parse;
use swarm_types::{EndpointMode, Nanos, RestartCondition};

/// Limits and reservations.
#[derive(clap::Args, Debug, Clone, Default, PartialEq)]
pub(crate) struct ResourceFlags {
    /// Limit CPUs
    #[arg(long, value_name = "decimal", value_parser = parse::cpus)]
    pub(crate) limit_cpu: Option<i64>,
    /// Limit Memory
    #[arg(long, value_name = "bytes", value_parser = parse::bytes)]
    pub(crate) limit_memory: Option<i64>,
    /// Limit maximum number of processes (default 0 = unlimited)
    #[arg(long, value_name = "int", value_parser = values::int)]
    pub(crate) limit_pids: Option<i64>,
    /// Reserve CPUs
    #[arg(long, value_name = "decimal", value_parser = parse::cpus)]
    pub(crate) reserve_cpu: Option<i64>,
    /// Reserve Memory
    #[arg(long, value_name = "bytes", value_parser = parse::bytes)]
    pub(crate) reserve_memory: Option<i64>,
    /// Swap Bytes (-1 for unlimited)
    #[arg(long, value_name = "bytes", value_parser = parse::swap_bytes)]
    pub(crate) memory_swap: Option<i64>,
    /// Tune memory swappiness (0-100), -1 to reset to default
    #[arg(long, value_name = "int", value_parser = values::int)]
    pub(crate) memory_swappiness: Option<i64>,
}

/// What happens when a task's container ends.
#[derive(clap::Args, Debug, Clone, Default, PartialEq)]
pub(crate) struct RestartFlags {
    /// Restart when condition is met ("none", "on-failure", "any") (default "any")
    #[arg(long, value_name = "string", value_parser = parse::word::<RestartCondition>)]
    pub(crate) restart_condition: Option<RestartCondition>,
    /// Delay between restart attempts (ns|us|ms|s|m|h) (default 5s)
    #[arg(long, value_name = "duration", value_parser = parse::duration)]
    pub(crate) restart_delay: Option<Nanos>,
    /// Maximum number of restarts before giving up
    #[arg(long, value_name = "uint", value_parser = values::uint)]
    pub(crate) restart_max_attempts: Option<u64>,
    /// Window used to evaluate the restart policy (ns|us|ms|s|m|h)
    #[arg(long, value_name = "duration", value_parser = parse::duration)]
    pub(crate) restart_window: Option<Nanos>,
}

/// How many tasks there are and how the service is reached.
#[derive(clap::Args, Debug, Clone, Default, PartialEq)]
pub(crate) struct ServiceFlags {
    /// Number of tasks
    #[arg(long, value_name = "uint", value_parser = values::uint)]
    pub(crate) replicas: Option<u64>,
    /// Number of job tasks to run concurrently (default equal to --replicas)
    #[arg(long, value_name = "uint", value_parser = values::uint)]
    pub(crate) max_concurrent: Option<u64>,
    /// Maximum number of tasks per node (default 0 = unlimited)
    #[arg(long, value_name = "uint", value_parser = values::uint)]
    pub(crate) replicas_max_per_node: Option<u64>,
    /// Endpoint mode (vip or dnsrr) (default "vip")
    #[arg(long, value_name = "string", value_parser = parse::word::<EndpointMode>)]
    pub(crate) endpoint_mode: Option<EndpointMode>,
    /// Do not query the registry to resolve image digest and supported platforms
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = values::switch)]
    pub(crate) no_resolve_image: Option<bool>,
    #[command(flatten)]
    pub(crate) wait: WaitFlags,
}

/// Whether to wait for the tasks, and how loudly.
#[derive(clap::Args, Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct WaitFlags {
    #[command(flatten)]
    pub(crate) detach: DetachFlag,
    /// Suppress progress output
    #[arg(short = 'q', long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = values::switch)]
    pub(crate) quiet: Option<bool>,
}

/// Whether to wait for the tasks.
#[derive(clap::Args, Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct DetachFlag {
    /// Exit immediately instead of waiting for the service to converge
    #[arg(short = 'd', long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = values::switch)]
    pub(crate) detach: Option<bool>,
}
