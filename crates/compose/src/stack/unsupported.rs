//! What the files may say and a cluster cannot do: refused where it would change the meaning, else named in a warning.

use super::{Plan, Result, external};
use crate::ComposeError;
use crate::node::Node;
use std::collections::BTreeSet;

/// Keys of a service that have an effect.
const HONOURED: &[&str] = &[
    "image",
    "command",
    "entrypoint",
    "hostname",
    "extra_hosts",
    "dns",
    "dns_search",
    "dns_opt",
    "healthcheck",
    "environment",
    "env_file",
    "labels",
    "working_dir",
    "user",
    "group_add",
    "volumes",
    "tmpfs",
    "stop_grace_period",
    "stop_signal",
    "tty",
    "stdin_open",
    "secrets",
    "configs",
    "read_only",
    "credential_spec",
    "isolation",
    "init",
    "sysctls",
    "cap_add",
    "cap_drop",
    "ulimits",
    "oom_score_adj",
    "logging",
    "networks",
    "ports",
    "deploy",
    "profiles",
    "extends",
    "scale",
    "cpus",
    "mem_limit",
    "mem_reservation",
    "mem_swappiness",
    "memswap_limit",
    "pids_limit",
    "platform",
];

/// Keys without effect in a cluster.
const IGNORED: &[&str] = &[
    "annotations",
    "attach",
    "blkio_config",
    "build",
    "cgroup",
    "cgroup_parent",
    "cgroupns_mode",
    "cpu_percent",
    "cpu_rt_period",
    "cpu_rt_runtime",
    "depends_on",
    "develop",
    "device_cgroup_rules",
    "devices",
    "domainname",
    "external_links",
    "gpus",
    "ipc",
    "label_file",
    "links",
    "mac_address",
    "models",
    "network_mode",
    "oom_kill_disable",
    "pid",
    "post_start",
    "pre_stop",
    "privileged",
    "provider",
    "pull_policy",
    "pull_refresh_after",
    "restart",
    "runtime",
    "security_opt",
    "shm_size",
    "storage_opt",
    "use_api_socket",
    "userns_mode",
    "uts",
];

/// Keys without effect that other means have taken the place of.
const DEPRECATED: &[(&str, &str)] = &[
    ("container_name", "Setting the container name is not supported."),
    ("expose", "Exposing ports is unnecessary - services on the same network can access each other's containers on any port."),
];

/// Keys that would change the meaning if they were passed over.
const FORBIDDEN: &[(&str, &str)] = &[
    (
        "volume_driver",
        "Instead of setting the volume driver on the service, define a volume using the top-level `volumes` option and specify the driver there.",
    ),
    (
        "volumes_from",
        "To share a volume between services, define it using the top-level `volumes` option and reference it from each service that shares it using the service-level `volumes` option.",
    ),
    ("cpu_count", "Set resource limits using deploy.resources"),
    ("cpu_period", "Set resource limits using deploy.resources"),
    ("cpu_quota", "Set resource limits using deploy.resources"),
    ("cpu_shares", "Set resource limits using deploy.resources"),
    ("cpuset", "Set resource limits using deploy.resources"),
];

/// Checks all services' keys; gives the warnings.
///
/// # Errors
/// On keys that no compose file has, and on those that would change the meaning.
pub(super) fn check(plan: &Plan<'_>) -> Result<Vec<String>> {
    let (mut ignored, mut deprecated, mut forbidden) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for (key, service) in plan.section("services") {
        let all = [HONOURED, IGNORED].concat();
        let tabled = DEPRECATED.iter().chain(FORBIDDEN).map(|(key, _)| *key);
        service.only(&all.into_iter().chain(tabled).collect::<Vec<_>>())?;
        let text = |key: &str| service.get(key).map(|node| node.text()).transpose();
        if service.get("image").is_none() {
            return Err(ComposeError::service(key, "no image specified"));
        }
        let network_mode = text("network_mode")?.is_some_and(|mode| mode == "host" || mode == "none");
        let has = |key: &&str| service.get(key).is_some();
        ignored.extend(
            IGNORED
                .iter()
                .copied()
                .filter(has)
                .filter(|key| match *key {
                    "network_mode" => !network_mode,
                    "security_opt" => false,
                    _ => true,
                })
                .map(str::to_owned),
        );
        ignored.extend(super::container::security_ignored(service)?);
        ignored.extend(super::networks::ignored(service)?);
        ignored.extend(super::deploy::ignored(service)?);
        deprecated.extend(DEPRECATED.iter().filter(|(key, _)| has(key)));
        forbidden.extend(FORBIDDEN.iter().filter(|(key, _)| has(key)));
    }
    if !forbidden.is_empty() {
        return Err(ComposeError::Forbidden { keys: forbidden.into_iter().map(|(key, why)| format!("{key}: {why}")).collect() });
    }
    let mut warnings = Vec::new();
    if !ignored.is_empty() {
        warnings.push(format!("Ignoring unsupported options: {}\n", ignored.into_iter().collect::<Vec<_>>().join(", ")));
    }
    if !deprecated.is_empty() {
        let lines: Vec<String> = deprecated.into_iter().map(|(key, why)| format!("{key}: {why}")).collect();
        warnings.push(format!("Ignoring deprecated options:\n\n{}\n", lines.join("\n")));
    }
    warnings.extend(old_externals(plan)?);
    Ok(warnings)
}

/// The old form of naming what is made elsewhere.
fn old_externals(plan: &Plan<'_>) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    for (section, kind) in [("networks", "network"), ("volumes", "volume"), ("secrets", "secret"), ("configs", "config")] {
        for (key, node) in plan.section(section) {
            if let Some(Some(_)) = external(node)? {
                warnings.push(format!("{kind} {key}: {kind}.external.name is deprecated. Please set {kind}.name with external: true"));
            }
        }
    }
    Ok(warnings)
}

/// Names the keys of `node` that are in `ignored`, as parts of `path`.
pub(super) fn named(path: &str, node: &Node<'_>, ignored: &[&str]) -> Vec<String> {
    ignored.iter().filter(|key| node.get(key).is_some()).map(|key| format!("{path}.{key}")).collect()
}
