//! The container part of a task template.

use super::{ImageReference, InvalidSpec, MalformedSpec};
use crate::{ContainerSpec, HealthConfig, Mount, MountType, Privileges};
use std::collections::BTreeSet;

/// Spans of a health check that are set are no shorter; in nanoseconds.
const HEALTH_SPAN_MIN: i64 = 1_000_000;

/// How binds may propagate mounts. Empty is the engine's default.
const PROPAGATIONS: &[&str] = &["", "rprivate", "private", "rshared", "shared", "rslave", "slave"];

/// Checks the words of a container spec that have no type of their own.
///
/// # Errors
/// [`MalformedSpec`] names the first word that does not exist.
pub fn check_container_form(container: &ContainerSpec) -> Result<(), MalformedSpec> {
    for mount in &container.mounts {
        if mount.kind == MountType::Image {
            return Err(MalformedSpec::MountType(mount.kind));
        }
        if let Some(bind) = &mount.bind_options {
            let known = PROPAGATIONS.iter().any(|p| p.eq_ignore_ascii_case(&bind.propagation));
            if !known {
                return Err(MalformedSpec::MountPropagation(bind.propagation.clone()));
            }
        }
    }
    container.privileges.as_ref().map_or(Ok(()), check_privileges)
}

fn check_privileges(privileges: &Privileges) -> Result<(), MalformedSpec> {
    if let Some(seccomp) = &privileges.seccomp
        && !matches!(seccomp.mode.as_str(), "" | "default" | "unconfined" | "custom")
    {
        return Err(MalformedSpec::SeccompMode(seccomp.mode.clone()));
    }
    match &privileges.app_armor {
        Some(app_armor) if !matches!(app_armor.mode.as_str(), "" | "default" | "disabled") => {
            Err(MalformedSpec::AppArmorMode(app_armor.mode.clone()))
        }
        _ => Ok(()),
    }
}

/// Checks image, mounts, health check and stop time. Templates have been expanded.
///
/// # Errors
/// [`InvalidSpec`] names the first fault.
pub fn check_container(container: &ContainerSpec) -> Result<(), InvalidSpec> {
    check_image(&container.image)?;
    check_mounts(&container.mounts)?;
    container.healthcheck.as_ref().map_or(Ok(()), check_health)?;
    if container.stop_grace_period.is_some_and(|grace| grace < 0) {
        return Err(InvalidSpec::StopGrace);
    }
    Ok(())
}

fn check_image(image: &str) -> Result<(), InvalidSpec> {
    if image.is_empty() {
        return Err(InvalidSpec::ImageMissing);
    }
    ImageReference::parse(image).map(|_| ()).map_err(|_| InvalidSpec::Image(image.to_owned()))
}

fn check_mounts(mounts: &[Mount]) -> Result<(), InvalidSpec> {
    let mut targets = BTreeSet::new();
    match mounts.iter().find(|mount| !targets.insert(&mount.target)) {
        Some(mount) => Err(InvalidSpec::DuplicateMount(mount.target.clone())),
        None => Ok(()),
    }
}

fn check_health(health: &HealthConfig) -> Result<(), InvalidSpec> {
    let spans = [
        ("Interval", health.interval),
        ("Timeout", health.timeout),
        ("StartPeriod", health.start_period),
        ("StartInterval", health.start_interval),
    ];
    for (name, span) in spans {
        if span != 0 && span < HEALTH_SPAN_MIN {
            return Err(InvalidSpec::HealthSpan(name));
        }
    }
    if health.retries < 0 { Err(InvalidSpec::HealthRetries) } else { Ok(()) }
}
