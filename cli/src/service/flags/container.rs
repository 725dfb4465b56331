//! Flags about the container of a service's tasks that create and update share.

use crate::line::values::{self, Words};
use crate::service::flags::parse;
use swarm_types::Nanos;

/// Flags about the container that create and update share.
#[derive(clap::Args, Debug, Clone, Default, PartialEq)]
pub(crate) struct ContainerFlags {
    /// Working directory inside the container
    #[arg(short = 'w', long, value_name = "string")]
    pub(crate) workdir: Option<String>,
    /// Username or UID (format: <name|uid>[:<group|gid>])
    #[arg(short = 'u', long, value_name = "string")]
    pub(crate) user: Option<String>,
    /// Container hostname
    #[arg(long, value_name = "string")]
    pub(crate) hostname: Option<String>,
    /// Overwrite the default ENTRYPOINT of the image
    #[arg(long, value_name = "command", value_parser = values::words)]
    pub(crate) entrypoint: Option<Words>,
    /// Add Linux capabilities
    #[arg(long, value_name = "list")]
    pub(crate) cap_add: Vec<String>,
    /// Drop Linux capabilities
    #[arg(long, value_name = "list")]
    pub(crate) cap_drop: Vec<String>,
    /// Use an init inside each service container to forward signals and reap processes
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = values::switch)]
    pub(crate) init: Option<bool>,
    /// Allocate a pseudo-TTY
    #[arg(short = 't', long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = values::switch)]
    pub(crate) tty: Option<bool>,
    /// Mount the container's root filesystem as read only
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = values::switch)]
    pub(crate) read_only: Option<bool>,
    /// Signal to stop the container
    #[arg(long, value_name = "string")]
    pub(crate) stop_signal: Option<String>,
    /// Time to wait before force killing a container (ns|us|ms|s|m|h) (default 10s)
    #[arg(long, value_name = "duration", value_parser = parse::duration)]
    pub(crate) stop_grace_period: Option<Nanos>,
    /// Service container isolation mode
    #[arg(long, value_name = "string")]
    pub(crate) isolation: Option<String>,
    /// Tune host's OOM preferences (-1000 to 1000)
    #[arg(long, value_name = "int", value_parser = values::int)]
    pub(crate) oom_score_adj: Option<i64>,
    /// Logging driver for service
    #[arg(long, value_name = "string")]
    pub(crate) log_driver: Option<String>,
    /// Logging driver options
    #[arg(long, value_name = "list", value_parser = parse::env)]
    pub(crate) log_opt: Vec<String>,
}

/// Flags about the health check.
#[derive(clap::Args, Debug, Clone, Default, PartialEq)]
pub(crate) struct HealthFlags {
    /// Command to run to check health
    #[arg(long, value_name = "string")]
    pub(crate) health_cmd: Option<String>,
    /// Time between running the check (ms|s|m|h)
    #[arg(long, value_name = "duration", value_parser = parse::positive_duration)]
    pub(crate) health_interval: Option<Nanos>,
    /// Maximum time to allow one check to run (ms|s|m|h)
    #[arg(long, value_name = "duration", value_parser = parse::positive_duration)]
    pub(crate) health_timeout: Option<Nanos>,
    /// Consecutive failures needed to report unhealthy
    #[arg(long, value_name = "int", value_parser = values::int)]
    pub(crate) health_retries: Option<i64>,
    /// Start period for the container to initialize before counting retries towards unstable (ms|s|m|h)
    #[arg(long, value_name = "duration", value_parser = parse::positive_duration)]
    pub(crate) health_start_period: Option<Nanos>,
    /// Time between running the check during the start period (ms|s|m|h)
    #[arg(long, value_name = "duration", value_parser = parse::positive_duration)]
    pub(crate) health_start_interval: Option<Nanos>,
    /// Disable any container-specified HEALTHCHECK
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = values::switch)]
    pub(crate) no_healthcheck: Option<bool>,
}
