//! The flags of `service create`.

use super::{ContainerFlags, HealthFlags, ResourceFlags, RestartFlags, RollbackPolicyFlags, ServiceFlags, UpdatePolicyFlags};
use crate::service::flags::file::{self, FileFlag};
use crate::service::flags::generic;
use crate::service::flags::parse;
use crate::service::flags::port::Ports;
use swarm_types::{Mount, NetworkAttachmentConfig, PlacementPreference, Ulimit};

/// The flags of `service create`.
#[derive(clap::Args, Debug, Clone, Default)]
pub(crate) struct CreateFlags {
    /// Service name
    #[arg(long, value_name = "string")]
    pub(crate) name: Option<String>,
    /// Service mode ("replicated", "global", "replicated-job", "global-job") (default "replicated")
    #[arg(long, value_name = "string")]
    pub(crate) mode: Option<String>,
    /// Service labels
    #[arg(short = 'l', long, value_name = "list", value_parser = parse::label)]
    pub(crate) label: Vec<String>,
    /// Container labels
    #[arg(long, value_name = "list", value_parser = parse::label)]
    pub(crate) container_label: Vec<String>,
    /// Set environment variables
    #[arg(short = 'e', long, value_name = "list", value_parser = parse::env)]
    pub(crate) env: Vec<String>,
    /// Read in a file of environment variables
    #[arg(long, value_name = "list")]
    pub(crate) env_file: Vec<String>,
    /// Attach a filesystem mount to the service
    #[arg(long, value_name = "mount", value_parser = parse::mount)]
    pub(crate) mount: Vec<Mount>,
    /// Publish a port as a node port
    #[arg(short = 'p', long, value_name = "port", value_parser = parse::ports)]
    pub(crate) publish: Vec<Ports>,
    /// Network attachments
    #[arg(long, value_name = "network", value_parser = parse::network)]
    pub(crate) network: Vec<NetworkAttachmentConfig>,
    /// Placement constraints
    #[arg(long, value_name = "list")]
    pub(crate) constraint: Vec<String>,
    /// Add a placement preference
    #[arg(long, value_name = "pref", value_parser = parse::preference)]
    pub(crate) placement_pref: Vec<PlacementPreference>,
    /// Set one or more supplementary user groups for the container
    #[arg(long, value_name = "list")]
    pub(crate) group: Vec<String>,
    /// Set custom DNS servers
    #[arg(long, value_name = "list", value_parser = parse::ip)]
    pub(crate) dns: Vec<String>,
    /// Set DNS options
    #[arg(long, value_name = "list")]
    pub(crate) dns_option: Vec<String>,
    /// Set custom DNS search domains
    #[arg(long, value_name = "list", value_parser = parse::domain)]
    pub(crate) dns_search: Vec<String>,
    /// Set one or more custom host-to-IP mappings (host:ip)
    #[arg(long, value_name = "list", value_parser = parse::extra_host)]
    pub(crate) host: Vec<String>,
    /// Sysctl options
    #[arg(long, value_name = "list")]
    pub(crate) sysctl: Vec<String>,
    /// Ulimit options
    #[arg(long, value_name = "ulimit", value_parser = parse::ulimit)]
    pub(crate) ulimit: Vec<Ulimit>,
    /// Specify secrets to expose to the service
    #[arg(long, value_name = "secret", value_parser = file::secret)]
    pub(crate) secret: Vec<FileFlag>,
    /// Specify configurations to expose to the service
    #[arg(long, value_name = "config", value_parser = file::config)]
    pub(crate) config: Vec<FileFlag>,
    /// User defined resources
    #[arg(long, value_name = "list", value_parser = generic::word)]
    pub(crate) generic_resource: Vec<String>,
    #[command(flatten)]
    pub(crate) container: ContainerFlags,
    #[command(flatten)]
    pub(crate) health: HealthFlags,
    #[command(flatten)]
    pub(crate) resources: ResourceFlags,
    #[command(flatten)]
    pub(crate) restart: RestartFlags,
    #[command(flatten)]
    pub(crate) update_policy: UpdatePolicyFlags,
    #[command(flatten)]
    pub(crate) rollback_policy: RollbackPolicyFlags,
    #[command(flatten)]
    pub(crate) service: ServiceFlags,
}
