//! The container of an existing spec, changed by the flags of `service update`.

use super::host_lines;
use super::merge::{refused, set};
use super::merge_lists::{merge_env, merge_hosts, merge_pairs, merge_sorted};
use crate::failure::Outcome;
use crate::service::environment::{self, Lookup};
use crate::service::flags::{HealthFlags, UpdateFlags};
use std::collections::BTreeMap;
use swarm_types::capabilities;
use swarm_types::{ContainerSpec, DnsConfig, HealthConfig, Mount, Ulimit};

/// Changes `container` as the flags ask.
///
/// # Errors
/// If flags contradict each other.
pub(super) fn merge(flags: &UpdateFlags, container: &mut ContainerSpec, lookup: Lookup<'_>) -> Outcome {
    let given = &flags.container;
    merge_pairs(&mut container.labels, &flags.container_label_rm, &flags.container_label_add);
    set(&mut container.image, flags.image.clone());
    set(&mut container.args, flags.args.clone().map(|words| words.0));
    set(&mut container.command, given.entrypoint.clone().map(|words| words.0));
    let added: Vec<String> = flags.env_add.iter().map(|variable| environment::fill_in(variable, lookup)).collect();
    merge_env(&mut container.env, &flags.env_rm, &added);
    set(&mut container.dir, given.workdir.clone());
    set(&mut container.user, given.user.clone());
    set(&mut container.hostname, given.hostname.clone());
    container.init = given.init.or(container.init);
    set(&mut container.isolation, given.isolation.clone());
    mounts(flags, &mut container.mounts)?;
    // `sysctl-rm` may also name the value, as in `--sysctl-rm key=value`.
    let sysctls: Vec<String> = flags.sysctl_rm.iter().map(|text| environment::key(text).to_owned()).collect();
    merge_pairs(&mut container.sysctls, &sysctls, &flags.sysctl_add);
    ulimits(flags, &mut container.ulimits);
    set(&mut container.oom_score_adj, given.oom_score_adj);
    container.stop_grace_period = given.stop_grace_period.or(container.stop_grace_period);
    if !flags.group_add.is_empty() || !flags.group_rm.is_empty() {
        merge_sorted(&mut container.groups, &flags.group_rm, &flags.group_add);
    }
    dns(flags, container);
    if !flags.host_add.is_empty() || !flags.host_rm.is_empty() {
        merge_hosts(&mut container.hosts, &flags.host_rm, host_lines(&flags.host_add));
    }
    health(&flags.health, container)?;
    set(&mut container.tty, given.tty);
    set(&mut container.read_only, given.read_only);
    set(&mut container.stop_signal, given.stop_signal.clone());
    if !given.cap_add.is_empty() || !given.cap_drop.is_empty() {
        let ContainerSpec { capability_add, capability_drop, .. } = container;
        capabilities::updated(capability_add, capability_drop, &given.cap_add, &given.cap_drop);
    }
    Ok(())
}

/// By target: an added mount replaces the one that is there, a removed one goes even if it was just added.
fn mounts(flags: &UpdateFlags, mounts: &mut Vec<Mount>) -> Outcome {
    if flags.mount_add.is_empty() && flags.mount_rm.is_empty() {
        return Ok(());
    }
    let mut by_target: BTreeMap<String, Mount> = BTreeMap::new();
    for mount in &flags.mount_add {
        if by_target.insert(mount.target.clone(), mount.clone()).is_some() {
            return refused("duplicate mount target");
        }
    }
    for mount in mounts.drain(..) {
        by_target.entry(mount.target.clone()).or_insert(mount);
    }
    *mounts = by_target.into_values().filter(|mount| !flags.mount_rm.contains(&mount.target)).collect();
    mounts.sort_by(|a, b| (&a.source, &a.target).cmp(&(&b.source, &b.target)));
    Ok(())
}

/// By name: removed first, so that a name that is also added stays.
fn ulimits(flags: &UpdateFlags, ulimits: &mut Vec<Ulimit>) {
    if flags.ulimit_add.is_empty() && flags.ulimit_rm.is_empty() {
        return;
    }
    let mut by_name: BTreeMap<String, Ulimit> = ulimits.drain(..).map(|ulimit| (ulimit.name.clone(), ulimit)).collect();
    for name in &flags.ulimit_rm {
        by_name.remove(environment::key(name));
    }
    by_name.extend(flags.ulimit_add.iter().map(|ulimit| (ulimit.name.clone(), ulimit.clone())));
    *ulimits = by_name.into_values().collect();
}

fn dns(flags: &UpdateFlags, container: &mut ContainerSpec) {
    let lists =
        [(&flags.dns_rm, &flags.dns_add), (&flags.dns_search_rm, &flags.dns_search_add), (&flags.dns_option_rm, &flags.dns_option_add)];
    if lists.iter().all(|(remove, add)| remove.is_empty() && add.is_empty()) {
        return;
    }
    let dns = container.dns_config.get_or_insert_with(DnsConfig::default);
    for (items, (remove, add)) in [&mut dns.nameservers, &mut dns.search, &mut dns.options].into_iter().zip(lists) {
        merge_sorted(items, remove, add);
    }
}

fn health(flags: &HealthFlags, container: &mut ContainerSpec) -> Outcome {
    let settings = flags.health_cmd.is_some()
        || flags.health_interval.is_some()
        || flags.health_timeout.is_some()
        || flags.health_retries.is_some()
        || flags.health_start_period.is_some()
        || flags.health_start_interval.is_some();
    if flags.no_healthcheck == Some(true) {
        if settings {
            return refused("--no-healthcheck conflicts with --health-* options");
        }
        container.healthcheck = Some(HealthConfig { test: vec!["NONE".into()], ..HealthConfig::default() });
        return Ok(());
    }
    if !settings && flags.no_healthcheck.is_none() {
        return Ok(());
    }
    let health = container.healthcheck.get_or_insert_with(HealthConfig::default);
    // Any setting turns a switched-off check on again.
    if health.test.first().is_some_and(|word| word == "NONE") {
        health.test.clear();
    }
    set(&mut health.interval, flags.health_interval);
    set(&mut health.timeout, flags.health_timeout);
    set(&mut health.start_period, flags.health_start_period);
    set(&mut health.start_interval, flags.health_start_interval);
    set(&mut health.retries, flags.health_retries);
    if let Some(command) = &flags.health_cmd {
        health.test = if command.is_empty() { Vec::new() } else { vec!["CMD-SHELL".into(), command.clone()] };
    }
    Ok(())
}
