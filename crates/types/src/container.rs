//! The container part of a task template.

use crate::{Labels, Mount, Nanos, is_default};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What the container of a task is like.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ContainerSpec {
    /// Image reference, without credentials.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub image: String,
    /// Container labels.
    #[serde(skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// Replaces the image's entrypoint.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Arguments of the entrypoint.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// May hold templates.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub hostname: String,
    /// `KEY=value`; values may hold templates.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// Working directory.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub dir: String,
    /// User or `user:group`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// Further groups.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Security options.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub privileges: Option<Privileges>,
    /// Run an init process; `None` is the engine's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<bool>,
    /// Signal that asks the container to stop; empty is the image's.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub stop_signal: String,
    /// Give the container a terminal.
    #[serde(rename = "TTY", skip_serializing_if = "is_default")]
    pub tty: bool,
    /// Keep standard input open.
    #[serde(skip_serializing_if = "is_default")]
    pub open_stdin: bool,
    /// Root file system read-only.
    #[serde(skip_serializing_if = "is_default")]
    pub read_only: bool,
    /// Mounts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<Mount>,
    /// Time between the stop signal and SIGKILL; `None` is 10 s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_grace_period: Option<Nanos>,
    /// Replaces the image's health check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<HealthConfig>,
    /// `IP name…` lines for `/etc/hosts`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// Resolver settings.
    #[serde(rename = "DNSConfig", skip_serializing_if = "Option::is_none")]
    pub dns_config: Option<DnsConfig>,
    /// Secrets to mount.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretReference>,
    /// Configs to mount.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub configs: Vec<ConfigReference>,
    /// Kept for clients; no effect on Linux.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub isolation: String,
    /// Kernel settings of the container's namespaces.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctls: BTreeMap<String, String>,
    /// Capabilities to add.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub capability_add: Vec<String>,
    /// Capabilities to drop.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub capability_drop: Vec<String>,
    /// Resource limits of the process.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ulimits: Vec<Ulimit>,
    /// How willingly the kernel ends it when memory is short: -1000 to 1000.
    #[serde(skip_serializing_if = "is_default")]
    pub oom_score_adj: i64,
}

/// Security options of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Privileges {
    /// Windows only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential_spec: Option<CredentialSpec>,
    /// SELinux labels.
    #[serde(rename = "SELinuxContext", skip_serializing_if = "Option::is_none")]
    pub selinux_context: Option<SeLinuxContext>,
    /// System call filter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seccomp: Option<SeccompOpts>,
    /// AppArmor profile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_armor: Option<AppArmorOpts>,
    /// Gain no privileges on exec.
    #[serde(skip_serializing_if = "is_default")]
    pub no_new_privileges: bool,
}

/// Where a Windows credential spec comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CredentialSpec {
    /// A config.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub config: String,
    /// A file.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub file: String,
    /// A registry value.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub registry: String,
}

/// SELinux labels of the container's processes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct SeLinuxContext {
    /// Turn labelling off.
    pub disable: bool,
    /// User label.
    pub user: String,
    /// Role label.
    pub role: String,
    /// Type label.
    #[serde(rename = "Type")]
    pub kind: String,
    /// Level label.
    pub level: String,
}

/// System call filter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct SeccompOpts {
    /// `default`, `unconfined` or `custom`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mode: String,
    /// Base64 of the custom profile.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub profile: String,
}

/// AppArmor.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AppArmorOpts {
    /// `default` or `disabled`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mode: String,
}

/// A health check; empty `test` inherits the image's, `["NONE"]` turns it off.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HealthConfig {
    /// `["CMD", …]`, `["CMD-SHELL", line]`, `["NONE"]` or empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub test: Vec<String>,
    /// Between two checks; zero inherits.
    #[serde(skip_serializing_if = "is_default")]
    pub interval: Nanos,
    /// For one check; zero inherits.
    #[serde(skip_serializing_if = "is_default")]
    pub timeout: Nanos,
    /// Failures at the start that do not count; zero inherits.
    #[serde(skip_serializing_if = "is_default")]
    pub start_period: Nanos,
    /// Between two checks during the start period; zero inherits.
    #[serde(skip_serializing_if = "is_default")]
    pub start_interval: Nanos,
    /// Failures in a row that mean unhealthy; zero inherits.
    #[serde(skip_serializing_if = "is_default")]
    pub retries: i64,
}

/// Resolver settings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DnsConfig {
    /// Addresses of name servers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nameservers: Vec<String>,
    /// Search domains.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub search: Vec<String>,
    /// Resolver options.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
}

/// A process limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Ulimit {
    /// Such as `nofile`.
    pub name: String,
    /// Hard limit; -1 is unlimited.
    pub hard: i64,
    /// Soft limit; -1 is unlimited.
    pub soft: i64,
}

/// Where and how a secret or config appears in the container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct FileTarget {
    /// File name or absolute path.
    pub name: String,
    /// Owner, a number as text.
    #[serde(rename = "UID")]
    pub uid: String,
    /// Group, a number as text.
    #[serde(rename = "GID")]
    pub gid: String,
    /// Permission bits.
    pub mode: u32,
}

/// A secret that a container gets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SecretReference {
    /// Where it appears.
    #[serde(rename = "File", skip_serializing_if = "Option::is_none")]
    pub file: Option<FileTarget>,
    /// Its id; text until checked.
    #[serde(rename = "SecretID")]
    pub secret_id: String,
    /// Its name, for people.
    #[serde(rename = "SecretName")]
    pub secret_name: String,
}

/// A config that a container gets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConfigReference {
    /// Where it appears.
    #[serde(rename = "File", skip_serializing_if = "Option::is_none")]
    pub file: Option<FileTarget>,
    /// Used by the runtime and not mounted.
    #[serde(rename = "Runtime", skip_serializing_if = "Option::is_none")]
    pub runtime: Option<RuntimeTarget>,
    /// Its id; text until checked.
    #[serde(rename = "ConfigID")]
    pub config_id: String,
    /// Its name, for people.
    #[serde(rename = "ConfigName")]
    pub config_name: String,
}

/// Marks a config that is used by the runtime and not mounted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuntimeTarget {}
