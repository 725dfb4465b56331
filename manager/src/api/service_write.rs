//! Services as they are created, changed and removed.

use super::{
    ApiError, Context,
    api_version::without_newer,
    check,
    commit::{Decision, commit},
    names, networks, payloads, registry_auth,
    request::Call,
    resolve,
    services::mode_word,
    status::{empty, json},
    swarm,
};
use axum::body::Body;
use http::{Response, StatusCode};
use serde::Serialize;
use swarm_planner::{new_service, remove_service, rollback_service, update_service};
use swarm_state::{Guard, Key, Service, State, Table};
use swarm_types::{
    Actor, PortConfig, ServiceId, ServiceSpec,
    validate::{PortHolder, check_ports_free},
};

/// Made-up names that are tried before one gets a number.
const NAMES_TRIED: usize = 20;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Created {
    #[serde(rename = "ID")]
    id: ServiceId,
    warnings: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Updated {
    warnings: Vec<String>,
}

/// `POST /services/create`
pub(super) async fn create(context: &Context, call: &Call) -> Result<Response<Body>, ApiError> {
    let mut spec = without_newer(call.json::<ServiceSpec>()?, call.version);
    let unnamed = spec.name.is_empty();
    if unnamed {
        spec.name = names::name(rand::random());
    }
    let mut spec = check::checked(spec)?;
    let _alone = alone(context, has_fixed_ports(&spec)).await;
    let decide = |state: &State| {
        swarm::required(state)?;
        if unnamed {
            spec.name = free_name(state);
        } else if state.service_named(&spec.name).is_some() {
            return Err(ApiError::ServiceExists(spec.name.clone()));
        }
        let spec = networks::with_ids(state, spec.clone())?;
        let mut guards = check_ports(state, &spec, None)?;
        guards.extend(check_networks(state, &spec)?);
        guards.extend(payloads::check_stored(state, spec.task_template.container_spec.as_ref())?);
        let (id, changes) = new_service(spec, Context::now(), &mut random);
        Ok(Decision { by: Actor::Operator, guards, changes, answer: id })
    };
    let id = commit(&context.store, decide).await?;
    json(StatusCode::CREATED, &Created { id, warnings: warnings(context, call, id) })
}

/// What an update does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// The spec of the request.
    Spec,
    /// The spec before the present one.
    Previous,
}

/// `POST /services/{id}/update`
pub(super) async fn update(context: &Context, call: &Call, input: &str) -> Result<Response<Body>, ApiError> {
    let spec = without_newer(call.json::<ServiceSpec>()?, call.version);
    let version = call.query.version("service")?;
    let wanted = match call.query.get("rollback") {
        "" | "none" => Wanted::Spec,
        "previous" => Wanted::Previous,
        other => return Err(ApiError::RollbackOption(other.to_owned())),
    };
    // A rollback stores nothing of what was sent with it.
    let spec = match wanted {
        Wanted::Spec if spec.name.is_empty() => return Err(ApiError::Rename),
        Wanted::Spec => check::checked(spec)?,
        Wanted::Previous => spec,
    };
    let auth_of_previous = match call.query.get("registryAuthFrom") {
        "" | "spec" => false,
        "previous-spec" => call.registry_auth().is_empty(),
        _ => return Err(ApiError::RegistryAuthFrom),
    };
    let _alone = alone(context, wanted == Wanted::Previous || has_fixed_ports(&spec)).await;
    let decide = |state: &State| {
        swarm::required(state)?;
        let service = resolve::service(state, input)?;
        if auth_of_previous && service.previous.is_none() {
            return Err(ApiError::NoPreviousAuth);
        }
        let current = &service.current.spec;
        if wanted == Wanted::Spec && mode_word(&current.mode) != mode_word(&spec.mode) {
            return Err(ApiError::ModeChange);
        }
        if wanted == Wanted::Spec && current.name != spec.name {
            return Err(ApiError::Rename);
        }
        // The version named may be any since the last change of the spec: what the updater noted since is none of the
        // client's business. The batch itself replaces the stored version.
        if version < service.spec_version || version > service.version {
            return Err(ApiError::OutOfSequence);
        }
        if wanted == Wanted::Previous {
            let changes = rollback_service(service, Context::now()).map_err(|_| ApiError::NoPreviousSpec(service.id))?;
            // What only the previous spec uses may have been removed since.
            let mut guards = Vec::new();
            if let Some(previous) = &service.previous {
                guards = check_change(state, service, &networks::with_ids(state, (*previous.spec).clone())?)?;
                guards.extend(payloads::check_stored(state, previous.spec.task_template.container_spec.as_ref())?);
            }
            return Ok(Decision { by: Actor::Operator, guards, changes, answer: service.id });
        }
        let spec = networks::with_ids(state, spec.clone())?;
        let mut guards = check_change(state, service, &spec)?;
        guards.extend(payloads::check_stored(state, spec.task_template.container_spec.as_ref())?);
        let changes = update_service(service, spec, Context::now(), &mut random);
        Ok(Decision { by: Actor::Operator, guards, changes, answer: service.id })
    };
    let id = commit(&context.store, decide).await?;
    json(StatusCode::OK, &Updated { warnings: warnings(context, call, id) })
}

/// `DELETE /services/{id}`
pub(super) async fn remove(context: &Context, input: &str) -> Result<Response<Body>, ApiError> {
    let decide = |state: &State| {
        swarm::required(state)?;
        let service = resolve::service(state, input)?;
        Ok(Decision { by: Actor::Operator, guards: Vec::new(), changes: remove_service(service), answer: () })
    };
    commit(&context.store, decide).await?;
    Ok(empty(StatusCode::OK))
}

/// What the operator should know besides that the service is stored.
fn warnings(context: &Context, call: &Call, id: ServiceId) -> Vec<String> {
    let mut warnings = registry_auth::warnings(call.registry_auth());
    warnings.extend(networks::shortages(&context.store.state(), id));
    warnings
}

fn random() -> [u8; 16] {
    rand::random()
}

/// A made-up name that no service has.
fn free_name(state: &State) -> String {
    let mut tried = (0..NAMES_TRIED).map(|_| names::name(rand::random()));
    let free = tried.find(|name| state.service_named(name).is_none());
    free.unwrap_or_else(|| format!("{}{}", names::name(rand::random()), rand::random::<u32>()))
}

fn published(spec: &ServiceSpec) -> &[PortConfig] {
    spec.endpoint_spec.as_ref().map_or(&[], |endpoint| &endpoint.ports)
}

fn has_fixed_ports(spec: &ServiceSpec) -> bool {
    published(spec).iter().any(|port| port.published_port != 0)
}

/// Keeps other writes that look at all published ports waiting, if this one does.
async fn alone(context: &Context, looks_at_all: bool) -> Option<tokio::sync::OwnedMutexGuard<()>> {
    match looks_at_all {
        true => Some(std::sync::Arc::clone(&context.ports).lock_owned().await),
        false => None,
    }
}

/// Checks what a service is to be against the other services and the networks, and gives what the answer relies on.
fn check_change(state: &State, service: &Service, spec: &ServiceSpec) -> Result<Vec<Guard>, ApiError> {
    let ports_stay = service.current.spec.endpoint_spec == spec.endpoint_spec;
    let mut guards = if ports_stay { Vec::new() } else { check_ports(state, spec, Some(service))? };
    guards.extend(check_networks(state, spec)?);
    Ok(guards)
}

/// Checks that the networks are there, and gives what the answer relies on: that they stay until it is stored.
fn check_networks(state: &State, spec: &ServiceSpec) -> Result<Vec<Guard>, ApiError> {
    let needed = networks::needed(state, spec)?;
    Ok(needed.into_iter().map(|network| Guard::At(Key::Network(network.id), network.version)).collect())
}

/// Checks the published ports against those of all services but `own`, and gives what the answer relies on.
fn check_ports(state: &State, spec: &ServiceSpec, own: Option<&Service>) -> Result<Vec<Guard>, ApiError> {
    if !has_fixed_ports(spec) {
        return Ok(Vec::new());
    }
    let others = state.services().filter(|s| own.is_none_or(|own| own.id != s.id));
    let holders =
        others.map(|s| PortHolder { id: s.id, name: &s.current.spec.name, ports: [published(&s.current.spec), &s.endpoint.ports] });
    check_ports_free(published(spec), holders)?;
    Ok(vec![Guard::Unchanged(Table::Services, state.changed(Table::Services))])
}
