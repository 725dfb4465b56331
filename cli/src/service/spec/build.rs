//! The spec of a new service.

use super::{default_restart_policy, host_lines, pairs};
use crate::failure::{Failure, Outcome};
use crate::service::environment::{self, Lookup};
use crate::service::flags::generic;
use crate::service::flags::port::Ports;
use crate::service::flags::{CreateFlags, HealthFlags, Policy, ResourceFlags, RestartFlags};
use swarm_types::capabilities;
use swarm_types::{
    ContainerSpec, DnsConfig, Driver, EndpointSpec, GlobalJob, GlobalService, HealthConfig, Limits, Placement, PortConfig, ReplicatedJob,
    ReplicatedService, ResourceRequirements, Resources, RestartPolicy, ServiceMode, ServiceSpec, TaskSpec, Ulimit,
};

/// The spec that the flags ask for, of the container `image` with `args`.
///
/// # Errors
/// If flags contradict each other or ask for what this version has not.
pub(crate) fn build(flags: &CreateFlags, image: &str, args: &[String], lookup: Lookup<'_>) -> Outcome<ServiceSpec> {
    let container = container(flags, image, args, lookup)?;
    let service = &flags.service;
    let endpoint_mode = service.endpoint_mode.unwrap_or_default();
    let (mut update_config, mut rollback_config) = (None, None);
    Policy::from(&flags.update_policy).merge(&mut update_config);
    Policy::from(&flags.rollback_policy).merge(&mut rollback_config);
    let mode = mode(flags)?;
    check_no_updates_of_jobs(&mode, update_config.is_some() || rollback_config.is_some())?;
    Ok(ServiceSpec {
        name: flags.name.clone().unwrap_or_default(),
        labels: pairs(&flags.label),
        mode,
        task_template: TaskSpec {
            container_spec: Some(container),
            resources: Some(resources(&flags.resources, &flags.generic_resource)?),
            restart_policy: restart_policy(&flags.restart),
            placement: Some(Placement {
                constraints: flags.constraint.clone(),
                preferences: flags.placement_pref.clone(),
                max_replicas: service.replicas_max_per_node.unwrap_or_default(),
                platforms: Vec::new(),
            }),
            log_driver: log_driver(flags, lookup),
            networks: flags.network.clone(),
            ..TaskSpec::default()
        },
        endpoint_spec: Some(EndpointSpec { mode: Some(endpoint_mode), ports: ports(&flags.publish) }),
        update_config,
        rollback_config,
        ..ServiceSpec::default()
    })
}

/// The ports of several flags.
pub(super) fn ports(given: &[Ports]) -> Vec<PortConfig> {
    given.iter().flat_map(|given| given.ports.iter().cloned()).collect()
}

/// Refuses settings for updates of what is not updated but run again.
pub(super) fn check_no_updates_of_jobs(mode: &ServiceMode, given: bool) -> Outcome {
    let is_job = mode.replicated_job.is_some() || mode.global_job.is_some();
    if is_job && given { Err("update and rollback configuration is not supported for jobs".into()) } else { Ok(()) }
}

fn mode(flags: &CreateFlags) -> Outcome<ServiceMode> {
    let service = &flags.service;
    let word = flags.mode.as_deref().unwrap_or("replicated");
    let only = |flag: &str, modes: &str| Err(Failure::new(format!("{flag} can only be used with {modes} mode")));
    if matches!(word, "global" | "global-job") {
        if service.replicas.is_some() {
            return only("replicas", "replicated or replicated-job");
        }
        if service.replicas_max_per_node.unwrap_or_default() > 0 {
            return only("replicas-max-per-node", "replicated or replicated-job");
        }
    }
    if matches!(word, "global" | "global-job" | "replicated") && service.max_concurrent.is_some() {
        return only("max-concurrent", "replicated-job");
    }
    let mut mode = ServiceMode::default();
    match word {
        "replicated" => mode.replicated = Some(ReplicatedService { replicas: service.replicas }),
        "global" => mode.global = Some(GlobalService {}),
        "replicated-job" => {
            let max_concurrent = service.max_concurrent.or(service.replicas);
            mode.replicated_job = Some(ReplicatedJob { max_concurrent, total_completions: service.replicas });
        }
        "global-job" => mode.global_job = Some(GlobalJob {}),
        _ => return Err(Failure::new(format!("unknown mode: {word}, only replicated and global supported"))),
    }
    Ok(mode)
}

fn container(flags: &CreateFlags, image: &str, args: &[String], lookup: Lookup<'_>) -> Outcome<ContainerSpec> {
    let given = &flags.container;
    let (capability_add, capability_drop) = capabilities::effective(&given.cap_add, &given.cap_drop);
    Ok(ContainerSpec {
        image: image.to_owned(),
        args: args.to_vec(),
        command: given.entrypoint.clone().unwrap_or_default().0,
        env: environment::collect(&flags.env_file, &flags.env, lookup)?,
        hostname: given.hostname.clone().unwrap_or_default(),
        labels: pairs(&flags.container_label),
        dir: given.workdir.clone().unwrap_or_default(),
        user: given.user.clone().unwrap_or_default(),
        groups: flags.group.clone(),
        stop_signal: given.stop_signal.clone().unwrap_or_default(),
        stop_grace_period: given.stop_grace_period,
        tty: given.tty.unwrap_or_default(),
        read_only: given.read_only.unwrap_or_default(),
        // Docker's client always decides, so that a service does not depend on each engine's default.
        init: Some(given.init.unwrap_or_default()),
        mounts: flags.mount.clone(),
        healthcheck: health(&flags.health)?,
        hosts: host_lines(&flags.host),
        dns_config: Some(DnsConfig { nameservers: flags.dns.clone(), search: flags.dns_search.clone(), options: flags.dns_option.clone() }),
        isolation: given.isolation.clone().unwrap_or_default(),
        sysctls: pairs(&flags.sysctl),
        capability_add,
        capability_drop,
        ulimits: ulimits(&flags.ulimit),
        oom_score_adj: given.oom_score_adj.unwrap_or_default(),
        ..ContainerSpec::default()
    })
}

/// By name; the last one of a name counts.
fn ulimits(given: &[Ulimit]) -> Vec<Ulimit> {
    let by_name: std::collections::BTreeMap<&str, &Ulimit> = given.iter().map(|limit| (limit.name.as_str(), limit)).collect();
    by_name.into_values().cloned().collect()
}

fn health(flags: &HealthFlags) -> Outcome<Option<HealthConfig>> {
    let command = flags.health_cmd.as_deref().unwrap_or_default();
    let given = !command.is_empty()
        || flags.health_interval.is_some()
        || flags.health_timeout.is_some()
        || flags.health_start_period.is_some()
        || flags.health_start_interval.is_some()
        || flags.health_retries.unwrap_or_default() != 0;
    if flags.no_healthcheck == Some(true) {
        if given {
            return Err("--no-healthcheck conflicts with --health-* options".into());
        }
        return Ok(Some(HealthConfig { test: vec!["NONE".into()], ..HealthConfig::default() }));
    }
    Ok(given.then(|| HealthConfig {
        test: if command.is_empty() { Vec::new() } else { vec!["CMD-SHELL".into(), command.to_owned()] },
        interval: flags.health_interval.unwrap_or_default(),
        timeout: flags.health_timeout.unwrap_or_default(),
        start_period: flags.health_start_period.unwrap_or_default(),
        start_interval: flags.health_start_interval.unwrap_or_default(),
        retries: flags.health_retries.unwrap_or_default(),
    }))
}

fn resources(flags: &ResourceFlags, generic: &[String]) -> Outcome<ResourceRequirements> {
    Ok(ResourceRequirements {
        limits: Some(Limits {
            nano_cpus: flags.limit_cpu.unwrap_or_default(),
            memory_bytes: flags.limit_memory.unwrap_or_default(),
            pids: flags.limit_pids.unwrap_or_default(),
            ..Limits::default()
        }),
        reservations: Some(Resources {
            nano_cpus: flags.reserve_cpu.unwrap_or_default(),
            memory_bytes: flags.reserve_memory.unwrap_or_default(),
            generic_resources: generic::parse(generic)?,
        }),
        swap_bytes: flags.memory_swap,
        memory_swappiness: flags.memory_swappiness,
    })
}

fn restart_policy(flags: &RestartFlags) -> Option<RestartPolicy> {
    let RestartFlags { restart_condition, restart_delay, restart_max_attempts, restart_window } = flags;
    let given = restart_condition.is_some() || restart_delay.is_some() || restart_max_attempts.is_some() || restart_window.is_some();
    let defaults = default_restart_policy();
    given.then(|| RestartPolicy {
        condition: restart_condition.unwrap_or(defaults.condition),
        delay: restart_delay.or(defaults.delay),
        max_attempts: restart_max_attempts.or(defaults.max_attempts),
        window: restart_window.or(defaults.window),
    })
}

fn log_driver(flags: &CreateFlags, lookup: Lookup<'_>) -> Option<Driver> {
    let name = flags.container.log_driver.as_deref().filter(|name| !name.is_empty())?;
    let options: Vec<String> = flags.container.log_opt.iter().map(|option| environment::fill_in(option, lookup)).collect();
    Some(Driver { name: name.to_owned(), options: pairs(&options) })
}
