//! What Docker's API offers and this version does not do yet.
//!
//! One table: such fields, paths and parameters are understood and refused by name, never ignored and never half done. A
//! later version removes a line here when it adds the thing itself.

use http::Method;
use swarm_types::{MountType, NetworkCreate, OPTION_ENCRYPTED, SCOPE_SWARM, ServiceSpec};

/// Something that a later version will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not supported by this version of Swarm yet")]
pub struct Later(pub(super) &'static str);

/// Networks that need no cluster network: the engine's own.
pub(super) const PREDEFINED_NETWORKS: [&str; 3] = ["bridge", "host", "none"];

/// Of the cluster's spec.
pub(super) const AUTOLOCK: Later = Later("\"--autolock\" (EncryptionConfig.AutoLockManagers)");
/// A parameter of the cluster's update.
pub(super) const ROTATE_UNLOCK_KEY: Later = Later("rotating the unlock key (rotateManagerUnlockKey)");
/// Of the cluster's spec.
pub(super) const EXTERNAL_CA: Later = Later("\"--external-ca\" (CAConfig.ExternalCAs)");
/// Of the cluster's spec.
pub(super) const ROTATE_CA: Later = Later("rotating the root CA (CAConfig.ForceRotate, SigningCACert, SigningCAKey)");

/// Of a secret's spec.
pub(super) const SECRET_DRIVER: Later = Later("\"--driver\" (Spec.Driver) of a secret");

/// Whether a request uses a thing.
type Used = fn(&ServiceSpec) -> bool;

/// Parts of a service's spec.
const SPEC: &[(Later, Used)] = &[
    (Later("\"--network\" with one of the engine's own networks and others, an alias or an option (TaskTemplate.Networks)"), networks),
    (Later("\"--credential-spec\" (TaskTemplate.ContainerSpec.Privileges.CredentialSpec)"), |s| {
        container(s).and_then(|c| c.privileges.as_ref()).is_some_and(|p| p.credential_spec.is_some())
    }),
    (Later("\"--mount type=cluster\" (TaskTemplate.ContainerSpec.Mounts)"), |s| {
        container(s).is_some_and(|c| c.mounts.iter().any(|m| m.kind == MountType::Cluster))
    }),
];

fn container(spec: &ServiceSpec) -> Option<&swarm_types::ContainerSpec> {
    spec.task_template.container_spec.as_ref()
}

/// One of the engine's own networks, but for one alone as it is.
fn networks(spec: &ServiceSpec) -> bool {
    let networks = spec.task_template.networks.as_slice();
    let mut own = networks.iter().filter(|n| PREDEFINED_NETWORKS.contains(&n.target.as_str()));
    own.any(|n| networks.len() > 1 || !n.aliases.is_empty() || !n.driver_opts.is_empty())
}

/// Refuses what a spec uses of the table.
///
/// # Errors
/// [`Later`] names the first such thing.
pub(super) fn refuse(spec: &ServiceSpec) -> Result<(), Later> {
    SPEC.iter().find(|(_, used)| used(spec)).map_or(Ok(()), |(later, _)| Err(*later))
}

/// Whether a network is to have a thing.
type Asked = fn(&NetworkCreate) -> bool;

/// Parts of a new network.
const NETWORK: &[(Later, Asked)] = &[
    (Later("\"--opt encrypted\" (Options.encrypted)"), |n| n.options.contains_key(OPTION_ENCRYPTED)),
    (Later("\"--config-only\" (ConfigOnly) in the scope of the swarm"), |n| n.config_only),
    (Later("\"--config-from\" (ConfigFrom) in the scope of the swarm"), |n| {
        n.config_from.as_ref().is_some_and(|from| !from.network.is_empty())
    }),
    (Later("a network of the swarm with a driver other than overlay"), |n| {
        n.scope == SCOPE_SWARM && !matches!(n.driver.as_str(), "" | "overlay")
    }),
];

/// Refuses what a new network is to have of the table.
///
/// # Errors
/// [`Later`] names the first such thing.
pub(super) fn refuse_network(create: &NetworkCreate) -> Result<(), Later> {
    NETWORK.iter().find(|(_, asked)| asked(create)).map_or(Ok(()), |(later, _)| Err(*later))
}

/// Paths of Docker's API, by method and leading parts; `*` is any part.
const PATHS: &[(Method, &[&str], Later)] = &[
    (Method::GET, &["services", "*", "logs"], Later("reading the logs of a service")),
    (Method::GET, &["tasks", "*", "logs"], Later("reading the logs of a task")),
];

/// The thing behind a path, if a later version will have it.
pub(super) fn path(method: &Method, parts: &[&str]) -> Option<Later> {
    let fits = |pattern: &[&str]| pattern.len() == parts.len() && pattern.iter().zip(parts).all(|(p, part)| *p == "*" || p == part);
    PATHS.iter().find(|(m, pattern, _)| m == method && fits(pattern)).map(|(_, _, later)| *later)
}
