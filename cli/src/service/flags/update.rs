//! The flags of `service update`.

use super::{ContainerFlags, HealthFlags, ResourceFlags, RestartFlags, RollbackPolicyFlags, ServiceFlags, UpdatePolicyFlags};
use crate::line::values::{self, Words};
use crate::service::flags::file::{self, FileFlag};
use crate::service::flags::generic;
use crate::service::flags::parse;
use crate::service::flags::port::Ports;
use swarm_types::{Mount, NetworkAttachmentConfig, PlacementPreference, Ulimit};

/// The flags of `service update`.
#[derive(clap::Args, Debug, Clone, Default, PartialEq)]
pub(crate) struct UpdateFlags {
    /// Service image tag
    #[arg(long, value_name = "string")]
    pub(crate) image: Option<String>,
    /// Service command args
    #[arg(long, value_name = "command", value_parser = values::words)]
    pub(crate) args: Option<Words>,
    /// Force update even if no changes require it
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = values::switch)]
    pub(crate) force: Option<bool>,
    /// Rollback to previous specification
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = values::switch)]
    pub(crate) rollback: Option<bool>,
    /// Add or update a service label
    #[arg(long, value_name = "list", value_parser = parse::label)]
    pub(crate) label_add: Vec<String>,
    /// Remove a label by its key
    #[arg(long, value_name = "list")]
    pub(crate) label_rm: Vec<String>,
    /// Add or update a container label
    #[arg(long, value_name = "list", value_parser = parse::label)]
    pub(crate) container_label_add: Vec<String>,
    /// Remove a container label by its key
    #[arg(long, value_name = "list")]
    pub(crate) container_label_rm: Vec<String>,
    /// Add or update an environment variable
    #[arg(long, value_name = "list", value_parser = parse::env)]
    pub(crate) env_add: Vec<String>,
    /// Remove an environment variable
    #[arg(long, value_name = "list")]
    pub(crate) env_rm: Vec<String>,
    /// Add or update a mount on a service
    #[arg(long, value_name = "mount", value_parser = parse::mount)]
    pub(crate) mount_add: Vec<Mount>,
    /// Remove a mount by its target path
    #[arg(long, value_name = "list")]
    pub(crate) mount_rm: Vec<String>,
    /// Add or update a published port
    #[arg(long, value_name = "port", value_parser = parse::ports)]
    pub(crate) publish_add: Vec<Ports>,
    /// Remove a published port by its target port
    #[arg(long, value_name = "port", value_parser = parse::removed_ports)]
    pub(crate) publish_rm: Vec<Ports>,
    /// Add a network
    #[arg(long, value_name = "network", value_parser = parse::network)]
    pub(crate) network_add: Vec<NetworkAttachmentConfig>,
    /// Remove a network
    #[arg(long, value_name = "list")]
    pub(crate) network_rm: Vec<String>,
    /// Add or update a placement constraint
    #[arg(long, value_name = "list")]
    pub(crate) constraint_add: Vec<String>,
    /// Remove a constraint
    #[arg(long, value_name = "list")]
    pub(crate) constraint_rm: Vec<String>,
    /// Add a placement preference
    #[arg(long, value_name = "pref", value_parser = parse::preference)]
    pub(crate) placement_pref_add: Vec<PlacementPreference>,
    /// Remove a placement preference
    #[arg(long, value_name = "pref", value_parser = parse::preference)]
    pub(crate) placement_pref_rm: Vec<PlacementPreference>,
    /// Add an additional supplementary user group to the container
    #[arg(long, value_name = "list")]
    pub(crate) group_add: Vec<String>,
    /// Remove a previously added supplementary user group from the container
    #[arg(long, value_name = "list")]
    pub(crate) group_rm: Vec<String>,
    /// Add or update a custom DNS server
    #[arg(long, value_name = "list", value_parser = parse::ip)]
    pub(crate) dns_add: Vec<String>,
    /// Remove a custom DNS server
    #[arg(long, value_name = "list")]
    pub(crate) dns_rm: Vec<String>,
    /// Add or update a DNS option
    #[arg(long, value_name = "list")]
    pub(crate) dns_option_add: Vec<String>,
    /// Remove a DNS option
    #[arg(long, value_name = "list")]
    pub(crate) dns_option_rm: Vec<String>,
    /// Add or update a custom DNS search domain
    #[arg(long, value_name = "list", value_parser = parse::domain)]
    pub(crate) dns_search_add: Vec<String>,
    /// Remove a DNS search domain
    #[arg(long, value_name = "list")]
    pub(crate) dns_search_rm: Vec<String>,
    /// Add a custom host-to-IP mapping ("host:ip")
    #[arg(long, value_name = "list", value_parser = parse::extra_host)]
    pub(crate) host_add: Vec<String>,
    /// Remove a custom host-to-IP mapping ("host:ip")
    #[arg(long, value_name = "list")]
    pub(crate) host_rm: Vec<String>,
    /// Add or update a Sysctl option
    #[arg(long, value_name = "list")]
    pub(crate) sysctl_add: Vec<String>,
    /// Remove a Sysctl option
    #[arg(long, value_name = "list")]
    pub(crate) sysctl_rm: Vec<String>,
    /// Add or update a ulimit option
    #[arg(long, value_name = "ulimit", value_parser = parse::ulimit)]
    pub(crate) ulimit_add: Vec<Ulimit>,
    /// Remove a ulimit option
    #[arg(long, value_name = "list")]
    pub(crate) ulimit_rm: Vec<String>,
    /// Add or update a secret on a service
    #[arg(long, value_name = "secret", value_parser = file::secret)]
    pub(crate) secret_add: Vec<FileFlag>,
    /// Remove a secret
    #[arg(long, value_name = "list")]
    pub(crate) secret_rm: Vec<String>,
    /// Add or update a config file on a service
    #[arg(long, value_name = "config", value_parser = file::config)]
    pub(crate) config_add: Vec<FileFlag>,
    /// Remove a configuration file
    #[arg(long, value_name = "list")]
    pub(crate) config_rm: Vec<String>,
    /// Add a Generic resource
    #[arg(long, value_name = "list", value_parser = generic::word)]
    pub(crate) generic_resource_add: Vec<String>,
    /// Remove a Generic resource
    #[arg(long, value_name = "list")]
    pub(crate) generic_resource_rm: Vec<String>,
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

impl UpdateFlags {
    /// Whether anything but `--rollback`, `--detach` and `--quiet` was given.
    pub(crate) fn has_others_than_rollback(&self) -> bool {
        let service = ServiceFlags { wait: self.service.wait, ..ServiceFlags::default() };
        *self != Self { rollback: self.rollback, service, ..Self::default() }
    }
}
