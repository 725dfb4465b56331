//! A container order in the engine's words. Pure, and the whole of what a service's template does to its containers.

use super::super::{ContainerOrder, ExecutorError, order::stop_grace};
use super::image::familiar;
use super::link::ApiVersion;
use super::networks::{at_once, endpoint};
use super::view::{LABEL_NETWORKS, LABEL_NODE_ID, LABEL_TASK_ID};
use crate::network::{RESOLV_CONF, Resolver};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, HostConfigIsolationEnum, HostConfigLogConfig, Mount, MountBindOptions,
    MountBindOptionsPropagationEnum, MountTmpfsOptions, MountType, MountVolumeOptions, MountVolumeOptionsDriverConfig, NetworkingConfig,
    PortBinding, PortMap, ResourcesUlimits,
};
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};
use swarm_types::{DnsConfig, PortConfig, Privileges};

/// How the order's container is on cluster networks.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// The engine's networks, in the order of the attachments.
    pub(super) names: Vec<String>,
    /// What the container's resolver is told; `None` off cluster networks.
    pub(super) resolver: Option<Resolver>,
    /// The file that is the container's `resolv.conf`, where the engine's would not do.
    pub(super) resolv_conf: Option<PathBuf>,
}

/// What to send for making the order's container in these places on an engine with this API.
///
/// # Errors
/// [`ExecutorError::Refused`]: the order needs what the engine cannot do, and would silently do otherwise.
pub(super) fn create_body(order: &ContainerOrder, places: &Places, api: ApiVersion) -> Result<ContainerCreateBody, ExecutorError> {
    let spec = &order.spec;
    Ok(ContainerCreateBody {
        hostname: text(&spec.hostname),
        user: text(&spec.user),
        exposed_ports: list(order.host_ports.iter().map(port_name).collect()),
        tty: flag(spec.tty),
        open_stdin: flag(spec.open_stdin),
        env: list(spec.env.clone()),
        cmd: list(spec.args.clone()),
        entrypoint: list(spec.command.clone()),
        healthcheck: spec.healthcheck.as_ref().map(health_config),
        image: Some(familiar(&spec.image)),
        working_dir: text(&spec.dir),
        labels: Some(labels(order)),
        stop_signal: text(&spec.stop_signal),
        stop_timeout: spec.stop_grace_period.map(|_| i64::try_from(stop_grace(spec).as_secs()).unwrap_or(i64::MAX)),
        host_config: Some(host_config(order, places, api)?),
        networking_config: networking(order, &places.names, api),
        ..ContainerCreateBody::default()
    })
}

/// The places that the engine takes now; older engines are told the others before the start.
fn networking(order: &ContainerOrder, networks: &[String], api: ApiVersion) -> Option<NetworkingConfig> {
    let places = at_once(order, api).iter().zip(networks);
    let endpoints: HashMap<_, _> = places.map(|(attachment, name)| (name.clone(), endpoint(attachment))).collect();
    (!endpoints.is_empty()).then_some(NetworkingConfig { endpoints_config: Some(endpoints) })
}

/// The user's labels, then the system's, which win.
fn labels(order: &ContainerOrder) -> HashMap<String, String> {
    let service_id = order.service_id.map(|id| id.to_string()).unwrap_or_default();
    let system = [
        ("com.docker.swarm.task", String::new()),
        (LABEL_TASK_ID, order.task_id.to_string()),
        ("com.docker.swarm.task.name", order.name.clone()),
        (LABEL_NODE_ID, order.node_id.to_string()),
        ("com.docker.swarm.service.id", service_id),
        ("com.docker.swarm.service.name", order.service_name.clone()),
    ];
    let several = (order.attachments.len() > 1).then(|| (LABEL_NETWORKS, order.attachments.len().to_string()));
    let system = system.into_iter().chain(several).map(|(key, value)| (key.to_owned(), value));
    order.spec.labels.clone().into_iter().chain(system).collect()
}

fn host_config(order: &ContainerOrder, places: &Places, api: ApiVersion) -> Result<HostConfig, ExecutorError> {
    let spec = &order.spec;
    let mut dns = spec.dns_config.clone().unwrap_or_default();
    if let Some(resolver) = &places.resolver {
        dns = DnsConfig { nameservers: resolver.servers.clone(), search: resolver.search.clone(), options: resolver.options.clone() };
    }
    let mounts: Result<Vec<Mount>, _> = spec.mounts.iter().map(|m| mount(m, api)).collect();
    let mut mounts = mounts?;
    mounts.extend(places.resolv_conf.as_deref().filter(|_| spec.mounts.iter().all(|m| m.target != RESOLV_CONF)).map(resolv_conf));
    let mut config = HostConfig {
        port_bindings: port_bindings(&order.host_ports),
        network_mode: places.names.first().or(order.network.as_ref()).cloned(),
        log_config: order
            .log_driver
            .as_ref()
            .map(|driver| HostConfigLogConfig { typ: Some(driver.name.clone()), config: map(&driver.options) }),
        mounts: list(mounts),
        group_add: list(spec.groups.clone()),
        readonly_rootfs: flag(spec.read_only),
        init: spec.init,
        isolation: isolation(&spec.isolation),
        sysctls: map(&spec.sysctls),
        cap_add: list(spec.capability_add.clone()),
        cap_drop: list(spec.capability_drop.clone()),
        ulimits: list(spec.ulimits.iter().map(ulimit).collect()),
        oom_score_adj: number(spec.oom_score_adj),
        dns: list(dns.nameservers),
        dns_search: list(dns.search),
        dns_options: list(dns.options),
        extra_hosts: list(spec.hosts.iter().filter_map(|line| extra_host(line)).collect()),
        security_opt: list(security_options(spec.privileges.as_ref())?),
        ..HostConfig::default()
    };
    limits(order, &mut config);
    Ok(config)
}

/// Limits only: reservations are the scheduler's, and the engine never hears of them.
fn limits(order: &ContainerOrder, config: &mut HostConfig) {
    let Some(resources) = &order.resources else {
        return;
    };
    if let Some(limits) = &resources.limits {
        config.nano_cpus = number(limits.nano_cpus);
        config.memory = number(limits.memory_bytes);
        config.pids_limit = number(limits.pids);
    }
    // The engine's number is memory and swap together, and means nothing without a memory limit.
    config.memory_swap = match (config.memory, resources.swap_bytes) {
        (Some(_), Some(-1)) => Some(-1),
        (Some(memory), Some(swap)) => Some(memory.saturating_add(swap)),
        _ => None,
    };
    config.memory_swappiness = resources.memory_swappiness.filter(|percent| *percent >= 0);
}

fn port_name(port: &PortConfig) -> String {
    format!("{}/{}", port.target_port, port.protocol)
}

/// Zero as the published port leaves the number to the engine.
fn port_bindings(ports: &[PortConfig]) -> Option<PortMap> {
    let mut bindings = PortMap::new();
    for port in ports {
        let host_port = match port.published_port {
            0 => None,
            fixed => Some(fixed.to_string()),
        };
        let binding = PortBinding { host_ip: None, host_port };
        bindings.entry(port_name(port)).or_default().get_or_insert_default().push(binding);
    }
    (!bindings.is_empty()).then_some(bindings)
}

fn mount(mount: &swarm_types::Mount, api: ApiVersion) -> Result<Mount, ExecutorError> {
    let target = &mount.target;
    let needs = |wanted: bool, minor: usize, what: &str| {
        let least = ApiVersion(1, minor);
        if !wanted || api >= least {
            return Ok(());
        }
        Err(ExecutorError::Refused(format!("mount {target}: {what} needs Docker API {least}, the engine of this node has {api}")))
    };
    if let Some(bind) = &mount.bind_options {
        needs(bind.create_mountpoint, 42, "creating the source")?;
        let recursive = bind.read_only_non_recursive || bind.read_only_force_recursive;
        needs(recursive, 44, "a choice of recursive read-only")?;
    }
    if let Some(volume) = &mount.volume_options {
        needs(!volume.subpath.is_empty(), 45, "a path inside the volume")?;
    }
    if let Some(tmpfs) = &mount.tmpfs_options {
        needs(!tmpfs.options.is_empty(), 46, "tmpfs options")?;
    }
    Ok(Mount {
        target: text(target),
        source: text(&mount.source),
        typ: Some(mount_type(mount.kind)),
        read_only: flag(mount.read_only),
        consistency: text(&mount.consistency),
        bind_options: mount.bind_options.as_ref().map(bind_options).transpose()?,
        volume_options: mount.volume_options.as_ref().map(volume_options),
        image_options: None,
        tmpfs_options: mount.tmpfs_options.as_ref().map(tmpfs_options),
    })
}

/// The file as the container's `resolv.conf`.
fn resolv_conf(file: &Path) -> Mount {
    Mount {
        target: Some(RESOLV_CONF.to_owned()),
        source: Some(file.display().to_string()),
        typ: Some(MountType::BIND),
        read_only: Some(true),
        ..Mount::default()
    }
}

fn mount_type(kind: swarm_types::MountType) -> MountType {
    match kind {
        swarm_types::MountType::Bind => MountType::BIND,
        swarm_types::MountType::Volume => MountType::VOLUME,
        swarm_types::MountType::Tmpfs => MountType::TMPFS,
        swarm_types::MountType::Npipe => MountType::NPIPE,
        swarm_types::MountType::Cluster => MountType::CLUSTER,
        swarm_types::MountType::Image => MountType::IMAGE,
    }
}

fn bind_options(options: &swarm_types::BindOptions) -> Result<MountBindOptions, ExecutorError> {
    let propagation: MountBindOptionsPropagationEnum =
        options.propagation.parse().map_err(|_| ExecutorError::Refused(format!("invalid propagation mode: {}", options.propagation)))?;
    Ok(MountBindOptions {
        propagation: (!options.propagation.is_empty()).then_some(propagation),
        non_recursive: flag(options.non_recursive),
        create_mountpoint: flag(options.create_mountpoint),
        read_only_non_recursive: flag(options.read_only_non_recursive),
        read_only_force_recursive: flag(options.read_only_force_recursive),
    })
}

fn volume_options(options: &swarm_types::VolumeOptions) -> MountVolumeOptions {
    MountVolumeOptions {
        no_copy: flag(options.no_copy),
        labels: map(&options.labels),
        driver_config: options.driver_config.as_ref().map(|driver| {
            let options = map(&driver.options);
            MountVolumeOptionsDriverConfig { name: text(&driver.name), options }
        }),
        subpath: text(&options.subpath),
    }
}

fn tmpfs_options(options: &swarm_types::TmpfsOptions) -> MountTmpfsOptions {
    MountTmpfsOptions {
        size_bytes: number(options.size_bytes),
        mode: number(i64::from(options.mode)),
        options: list(options.options.clone()),
    }
}

fn health_config(check: &swarm_types::HealthConfig) -> HealthConfig {
    HealthConfig {
        test: list(check.test.clone()),
        interval: number(check.interval),
        timeout: number(check.timeout),
        retries: number(check.retries),
        start_period: number(check.start_period),
        start_interval: number(check.start_interval), // Engines below API 1.44 leave it out.
    }
}

fn ulimit(limit: &swarm_types::Ulimit) -> ResourcesUlimits {
    ResourcesUlimits { name: Some(limit.name.clone()), soft: Some(limit.soft), hard: Some(limit.hard) }
}

/// `IP name…` as the engine's `name:IP`; like Docker, only the first name is used.
fn extra_host(line: &str) -> Option<String> {
    let mut words = line.split_whitespace();
    let (ip, name) = (words.next()?, words.next()?);
    Some(format!("{name}:{ip}"))
}

fn isolation(word: &str) -> Option<HostConfigIsolationEnum> {
    match word.to_ascii_lowercase().as_str() {
        "default" => Some(HostConfigIsolationEnum::DEFAULT),
        "process" => Some(HostConfigIsolationEnum::PROCESS),
        "hyperv" => Some(HostConfigIsolationEnum::HYPERV),
        _ => None,
    }
}

fn security_options(privileges: Option<&Privileges>) -> Result<Vec<String>, ExecutorError> {
    let mut options = Vec::new();
    let Some(privileges) = privileges else {
        return Ok(options);
    };
    if let Some(credentials) = &privileges.credential_spec {
        let places = [("file", &credentials.file), ("registry", &credentials.registry), ("config", &credentials.config)];
        let named = places.iter().find(|(_, name)| !name.is_empty());
        options.extend(named.map(|(place, name)| format!("credentialspec={place}://{name}")));
    }
    if let Some(labels) = &privileges.selinux_context {
        options.extend(labels.disable.then(|| "label=disable".to_owned()));
        let parts = [("user", &labels.user), ("role", &labels.role), ("level", &labels.level), ("type", &labels.kind)];
        let named = parts.iter().filter(|(_, value)| !value.is_empty());
        options.extend(named.map(|(part, value)| format!("label={part}:{value}")));
    }
    if let Some(seccomp) = &privileges.seccomp {
        match seccomp.mode.as_str() {
            "unconfined" => options.push("seccomp=unconfined".into()),
            "custom" => options.push(format!("seccomp={}", seccomp_profile(&seccomp.profile)?)),
            _ => {} // The engine's own profile.
        }
    }
    if privileges.app_armor.as_ref().is_some_and(|armor| armor.mode == "disabled") {
        options.push("apparmor=unconfined".into());
    }
    if privileges.no_new_privileges {
        options.push("no-new-privileges=true".into());
    }
    Ok(options)
}

fn seccomp_profile(base64: &str) -> Result<String, ExecutorError> {
    let bytes = BASE64.decode(base64).ok();
    bytes
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| ExecutorError::Refused("the seccomp profile is not text in base64".into()))
}

fn text(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn list<T>(items: Vec<T>) -> Option<Vec<T>> {
    (!items.is_empty()).then_some(items)
}

fn map(entries: &std::collections::BTreeMap<String, String>) -> Option<HashMap<String, String>> {
    let pairs = entries.iter().map(|(key, value)| (key.clone(), value.clone()));
    (!entries.is_empty()).then(|| pairs.collect())
}

fn flag(set: bool) -> Option<bool> {
    set.then_some(true)
}

fn number(value: i64) -> Option<i64> {
    (value != 0).then_some(value)
}

#[cfg(test)]
mod tests;
