//! An existing spec, changed by the flags of `service update`. What no flag names stays as it is.

use super::build::{check_no_updates_of_jobs, ports};
use super::merge_lists::{merge_pairs, without, without_duplicates};
use super::{default_restart_policy, merge_container, pairs};
use crate::failure::{Failure, Outcome};
use crate::service::environment::{self, Lookup};
use crate::service::flags::generic;
use crate::service::flags::{Policy, ResourceFlags, RestartFlags, ServiceFlags, UpdateFlags};
use swarm_types::{
    ContainerSpec, Driver, EndpointSpec, Limits, Placement, PortConfig, ResourceRequirements, Resources, ServiceSpec, TaskSpec,
};

/// Changes `spec` as the flags ask.
///
/// # Errors
/// If flags contradict each other or the service, or ask for what this version has not.
pub(crate) fn merge(flags: &UpdateFlags, spec: &mut ServiceSpec, lookup: Lookup<'_>) -> Outcome {
    merge_pairs(&mut spec.labels, &flags.label_rm, &flags.label_add);
    merge_container::merge(flags, spec.task_template.container_spec.get_or_insert_with(ContainerSpec::default), lookup)?;
    resources(&flags.resources, &mut spec.task_template);
    generic_resources(flags, &mut spec.task_template)?;
    restart_policy(&flags.restart, &mut spec.task_template);
    placement(flags, &mut spec.task_template);
    let (updates, rollbacks) = (Policy::from(&flags.update_policy), Policy::from(&flags.rollback_policy));
    check_no_updates_of_jobs(&spec.mode, updates != Policy::default() || rollbacks != Policy::default())?;
    updates.merge(&mut spec.update_config);
    rollbacks.merge(&mut spec.rollback_config);
    replicas(&flags.service, spec)?;
    endpoint(flags, spec);
    log_driver(flags, &mut spec.task_template, lookup);
    if flags.force == Some(true) {
        spec.task_template.force_update += 1;
    }
    Ok(())
}

fn resources(flags: &ResourceFlags, task: &mut TaskSpec) {
    let limits = flags.limit_cpu.is_some() || flags.limit_memory.is_some() || flags.limit_pids.is_some();
    let reservations = flags.reserve_cpu.is_some() || flags.reserve_memory.is_some();
    let swap = flags.memory_swap.is_some() || flags.memory_swappiness.is_some();
    if !limits && !reservations && !swap {
        return;
    }
    let resources = task.resources.get_or_insert_with(ResourceRequirements::default);
    let limits = resources.limits.get_or_insert_with(Limits::default);
    set(&mut limits.nano_cpus, flags.limit_cpu);
    set(&mut limits.memory_bytes, flags.limit_memory);
    set(&mut limits.pids, flags.limit_pids);
    let reservations = resources.reservations.get_or_insert_with(Resources::default);
    set(&mut reservations.nano_cpus, flags.reserve_cpu);
    set(&mut reservations.memory_bytes, flags.reserve_memory);
    resources.swap_bytes = flags.memory_swap.or(resources.swap_bytes);
    resources.memory_swappiness = flags.memory_swappiness.or(resources.memory_swappiness);
}

fn generic_resources(flags: &UpdateFlags, task: &mut TaskSpec) -> Outcome {
    if flags.generic_resource_add.is_empty() && flags.generic_resource_rm.is_empty() {
        return Ok(());
    }
    let resources = task.resources.get_or_insert_with(ResourceRequirements::default);
    let reserved = &mut resources.reservations.get_or_insert_with(Resources::default).generic_resources;
    generic::merge(reserved, &flags.generic_resource_add, &flags.generic_resource_rm)
}

fn restart_policy(flags: &RestartFlags, task: &mut TaskSpec) {
    let RestartFlags { restart_condition, restart_delay, restart_max_attempts, restart_window } = flags;
    if restart_condition.is_none() && restart_delay.is_none() && restart_max_attempts.is_none() && restart_window.is_none() {
        return;
    }
    let policy = task.restart_policy.get_or_insert_with(default_restart_policy);
    set(&mut policy.condition, *restart_condition);
    policy.delay = restart_delay.or(policy.delay);
    policy.max_attempts = restart_max_attempts.or(policy.max_attempts);
    policy.window = restart_window.or(policy.window);
}

fn placement(flags: &UpdateFlags, task: &mut TaskSpec) {
    if !flags.constraint_add.is_empty() || !flags.constraint_rm.is_empty() {
        let placement = task.placement.get_or_insert_with(Placement::default);
        placement.constraints.extend_from_slice(&flags.constraint_add);
        without(&mut placement.constraints, &flags.constraint_rm);
        // Sorted, so that the same constraints in another order change nothing.
        placement.constraints.sort_unstable();
    }
    if !flags.placement_pref_add.is_empty() || !flags.placement_pref_rm.is_empty() {
        let placement = task.placement.get_or_insert_with(Placement::default);
        placement.preferences.retain(|preference| !flags.placement_pref_rm.contains(preference));
        placement.preferences.extend_from_slice(&flags.placement_pref_add);
    }
    if let Some(max_replicas) = flags.service.replicas_max_per_node {
        task.placement.get_or_insert_with(Placement::default).max_replicas = max_replicas;
    }
}

fn replicas(flags: &ServiceFlags, spec: &mut ServiceSpec) -> Outcome {
    if let Some(max_concurrent) = flags.max_concurrent {
        match &mut spec.mode.replicated_job {
            Some(job) => job.max_concurrent = Some(max_concurrent),
            None => return Err("max-concurrent can only be used with replicated-job mode".into()),
        }
    }
    if flags.replicas.is_none() {
        return Ok(());
    }
    match &mut spec.mode.replicated {
        Some(replicated) => replicated.replicas = flags.replicas,
        None => return Err("replicas can only be used with replicated mode".into()),
    }
    Ok(())
}

fn endpoint(flags: &UpdateFlags, spec: &mut ServiceSpec) {
    if let Some(mode) = flags.service.endpoint_mode {
        spec.endpoint_spec.get_or_insert_with(EndpointSpec::default).mode = Some(mode);
    }
    if flags.publish_add.is_empty() && flags.publish_rm.is_empty() {
        return;
    }
    let added = ports(&flags.publish_add);
    let endpoint = spec.endpoint_spec.get_or_insert_with(EndpointSpec::default);
    let mut kept = without_duplicates(std::mem::take(&mut endpoint.ports));
    // A port that is there already is not added again, even if it is removed by the same command.
    let added: Vec<PortConfig> = added.into_iter().filter(|port| !kept.contains(port)).collect();
    kept.retain(|port| !is_removed(flags, port));
    kept.extend(added);
    kept.sort_by_key(port_text);
    endpoint.ports = kept;
}

/// Whether `--publish-rm` means `port`. Without a mode it means those of either mode.
fn is_removed(flags: &UpdateFlags, port: &PortConfig) -> bool {
    flags.publish_rm.iter().any(|given| {
        given.ports.iter().any(|removed| {
            removed.target_port == port.target_port
                && removed.protocol == port.protocol
                && (!given.mode_named || removed.publish_mode == port.publish_mode)
        })
    })
}

fn port_text(port: &PortConfig) -> String {
    format!("{}:{}/{}/{}", port.published_port, port.target_port, port.protocol, port.publish_mode)
}

/// Options are replaced as a whole, and only together with the driver.
fn log_driver(flags: &UpdateFlags, task: &mut TaskSpec, lookup: Lookup<'_>) {
    let Some(name) = flags.container.log_driver.as_deref().filter(|name| !name.is_empty()) else {
        return;
    };
    let options: Vec<String> = flags.container.log_opt.iter().map(|option| environment::fill_in(option, lookup)).collect();
    task.log_driver = Some(Driver { name: name.to_owned(), options: pairs(&options) });
}

/// Sets what was given.
pub(super) fn set<T>(field: &mut T, given: Option<T>) {
    if let Some(given) = given {
        *field = given;
    }
}

/// A contradiction between flags, or between a flag and the service.
pub(super) fn refused<T>(text: &str) -> Outcome<T> {
    Err(Failure::new(text))
}
