//! Whether a service's spec can be stored, as far as it alone tells.

use super::{
    ApiError, expand,
    later::{self, Later},
};
use swarm_planner::{SpreadKey, parse_constraints};
use swarm_types::{
    EndpointMode, ReplicatedService, ServiceSpec,
    validate::{
        MalformedSpec, check_container, check_container_form, check_endpoint, check_mode, check_mode_form, check_references,
        check_resources, check_resources_form, check_restart, check_service_name, check_update,
    },
};

/// Plugins are not tasks here.
const PLUGINS: Later = Later("a plugin service (TaskTemplate.PluginSpec)");

/// The spec as it is stored: checked, with the words that Docker writes where nothing was said. In Docker's order, so that
/// of several faults the same one is named.
///
/// # Errors
/// The first fault.
pub(super) fn checked(spec: ServiceSpec) -> Result<ServiceSpec, ApiError> {
    check_form(&spec)?;
    later::refuse(&spec)?;
    let spec = complete(spec);
    check_service_name(&spec.name)?;
    check_template(&spec)?;
    check_mode(&spec)?;
    spec.update_config.as_ref().map_or(Ok(()), check_update)?;
    spec.rollback_config.as_ref().map_or(Ok(()), check_update)?;
    spec.endpoint_spec.as_ref().map_or(Ok(()), check_endpoint)?;
    Ok(spec)
}

fn check_form(spec: &ServiceSpec) -> Result<(), ApiError> {
    let template = &spec.task_template;
    let others = template.plugin_spec.is_some() || template.network_attachment_spec.is_some();
    match (template.runtime.as_str(), &template.container_spec) {
        ("" | "container", Some(container)) if !others => check_container_form(container)?,
        ("" | "container", _) => return Err(MalformedSpec::RuntimeMismatch.into()),
        ("plugin", _) => return Err(PLUGINS.into()),
        _ => return Err(MalformedSpec::Runtime.into()),
    }
    template.resources.as_ref().map_or(Ok(()), check_resources_form)?;
    Ok(check_mode_form(&spec.mode)?)
}

fn check_template(spec: &ServiceSpec) -> Result<(), ApiError> {
    let template = &spec.task_template;
    template.resources.as_ref().map_or(Ok(()), check_resources)?;
    template.restart_policy.as_ref().map_or(Ok(()), check_restart)?;
    if let Some(placement) = &template.placement {
        parse_constraints(&placement.constraints)?;
        let descriptors = placement.preferences.iter().filter_map(|p| p.spread.as_ref()).map(|s| &s.spread_descriptor);
        if let Some(bad) = descriptors.into_iter().find(|d| SpreadKey::parse(d).is_none()) {
            return Err(ApiError::Spread(bad.clone()));
        }
    }
    let expanded = expand::test(spec).map_err(ApiError::Template)?;
    check_references(&expanded)?;
    Ok(check_container(&expanded)?)
}

fn complete(mut spec: ServiceSpec) -> ServiceSpec {
    let mode = &mut spec.mode;
    if mode.global.is_none() && mode.replicated_job.is_none() && mode.global_job.is_none() {
        mode.replicated.get_or_insert_with(ReplicatedService::default).replicas.get_or_insert(1);
    }
    if let Some(job) = &mut spec.mode.replicated_job {
        let concurrent = *job.max_concurrent.get_or_insert(1);
        job.total_completions.get_or_insert(concurrent);
    }
    if let Some(endpoint) = &mut spec.endpoint_spec {
        endpoint.mode.get_or_insert(EndpointMode::Vip);
    }
    let template = &mut spec.task_template;
    template.runtime = "container".to_owned();
    if let Some(container) = &mut template.container_spec
        && container.isolation.is_empty()
    {
        container.isolation = "default".to_owned();
    }
    if let Some(restart) = &mut template.restart_policy {
        restart.max_attempts.get_or_insert(0);
    }
    if let Some(placement) = &mut template.placement {
        placement.preferences.retain(|preference| preference.spread.is_some());
    }
    spec
}
