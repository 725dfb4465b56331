//! Cluster networks: listed, shown, created, removed and pruned. Networks of one host are the agent's gateway's.

use super::{
    ApiError, Context,
    commit::{Decision, commit},
    filters::{FilterError, Filters},
    later,
    request::Call,
    resolve::{self, ResolveError},
    status::{empty, json},
    swarm,
};
use axum::body::Body;
use http::{Response, StatusCode};
use serde::Serialize;
use std::sync::Arc;
use swarm_planner::{Room, new_network, remove_network};
use swarm_state::{Key, Network, State};
use swarm_types::{
    Actor, EndpointMode, NetworkAttachmentConfig, NetworkCreate, NetworkCreated, NetworkId, ServiceId, ServiceSpec, Timestamp,
    validate::check_network,
};

/// The filters of the list.
const FILTERS: &[&str] = &["dangling", "driver", "id", "label", "name", "scope", "type"];
/// The filters of what is pruned.
const PRUNE_FILTERS: &[&str] = &["label", "label!", "until"];

/// A network runs short when less than one address of so many is free.
const SHORT_OF: u128 = 10;

/// `GET /networks`
pub(super) fn list(state: &State, call: &Call) -> Result<Response<Body>, ApiError> {
    swarm::required(state)?;
    let filters = Filters::parse(call.query.get("filters"), FILTERS)?;
    let dangling = dangling(&filters)?;
    let custom = is_custom_wanted(&filters)?;
    let fits = |network: &Network| {
        custom
            && filters.is("driver", &network.spec.driver_configuration.name)
            && filters.is("scope", &network.spec.scope)
            && filters.matches("id", network.id.as_str())
            && filters.matches("name", &network.spec.name)
            && filters.labelled("label", &network.spec.labels)
            && dangling.is_none_or(|wanted| wanted == is_dangling(state, network))
    };
    let networks: Vec<swarm_types::Network> = state.live_networks().filter(|n| fits(n)).map(|n| n.to_api()).collect();
    json(StatusCode::OK, &networks)
}

/// `GET /networks/{id}`
pub(super) fn inspect(state: &State, call: &Call, input: &str) -> Result<Response<Body>, ApiError> {
    swarm::required(state)?;
    // What more there is to see in detail is known to the nodes alone.
    call.query.flag_of_read("verbose")?;
    json(StatusCode::OK, &named(state, input)?.to_api())
}

/// `POST /networks/create`
pub(super) async fn create(context: &Context, call: &Call) -> Result<Response<Body>, ApiError> {
    let request: NetworkCreate = call.json()?;
    later::refuse_network(&request)?;
    let checked = check_network(request)?;
    // Each relies on all networks: without this, any two at a time would spoil each other.
    let _alone = context.networks.lock().await;
    let decide = |state: &State| {
        swarm::required(state)?;
        let (id, guards, changes) = new_network(state, &checked, Context::now(), &mut rand::random::<[u8; 16]>)?;
        Ok(Decision { by: Actor::Operator, guards, changes, answer: id })
    };
    let id = commit(&context.store, decide).await?;
    json(StatusCode::CREATED, &NetworkCreated { id: id.to_string(), warning: String::new() })
}

/// `DELETE /networks/{id}`
pub(super) async fn remove(context: &Context, input: &str) -> Result<Response<Body>, ApiError> {
    let decide = |state: &State| {
        swarm::required(state)?;
        let (guards, changes) = remove_network(state, named(state, input)?, Context::now())?;
        Ok(Decision { by: Actor::Operator, guards, changes, answer: () })
    };
    commit(&context.store, decide).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Pruned {
    networks_deleted: Vec<String>,
}

/// `POST /networks/prune`: those that nothing uses, the routing mesh's excepted.
pub(super) async fn prune(context: &Context, call: &Call) -> Result<Response<Body>, ApiError> {
    let filters = Filters::parse(call.query.get("filters"), PRUNE_FILTERS)?;
    let until = until(&filters, Context::now())?;
    let state = super::commit::newest(&context.store).await?;
    swarm::required(&state)?;
    let fits = |network: &Network| {
        !network.spec.ingress
            && until.is_none_or(|until| network.created_at <= until)
            && filters.labelled("label", &network.spec.labels)
            && (filters.get("label!").is_none() || !filters.labelled("label!", &network.spec.labels))
    };
    let mut networks_deleted = Vec::new();
    for network in state.live_networks().filter(|n| fits(n)) {
        match remove(context, network.id.as_str()).await {
            Ok(_) => networks_deleted.push(network.spec.name.clone()),
            // Whether it is in use is seen best by trying; another may have removed it in between.
            Err(ApiError::NetworkInUse(_) | ApiError::Resolve(_)) => {}
            Err(error) => return Err(error),
        }
    }
    json(StatusCode::OK, &Pruned { networks_deleted })
}

/// Up to when a network must have been made: a span before now, a time, or seconds since the Unix epoch.
fn until(filters: &Filters, now: Timestamp) -> Result<Option<Timestamp>, FilterError> {
    let Some(words) = filters.get("until") else { return Ok(None) };
    let word = words.first().filter(|_| words.len() == 1);
    let read = word.and_then(|word| {
        let ago = swarm_template::duration::parse(word).ok().and_then(|span| now.as_nanos().checked_sub(span));
        let seconds = || word.parse().ok().and_then(|seconds: i64| seconds.checked_mul(1_000_000_000));
        ago.or_else(seconds).map(Timestamp::from_nanos).or_else(|| Timestamp::parse(word).ok())
    });
    let words = || words.iter().cloned().collect::<Vec<_>>().join(",");
    read.map(Some).ok_or_else(|| FilterError::Word { key: "until", word: words() })
}

/// The network a user means; of several, Docker says how it looked.
fn named<'a>(state: &'a State, input: &str) -> Result<&'a Arc<Network>, ApiError> {
    resolve::network(state, input).map_err(|error| match error {
        ResolveError::Ambiguous { input, found, .. } => ApiError::AmbiguousNetwork { input, found },
        error @ ResolveError::NotFound { .. } => error.into(),
    })
}

fn dangling(filters: &Filters) -> Result<Option<bool>, FilterError> {
    let mut wanted = None;
    for word in filters.get("dangling").into_iter().flatten() {
        wanted = match word.as_str() {
            "1" | "true" => Some(true),
            "0" | "false" => Some(false),
            _ => return Err(FilterError::Word { key: "dangling", word: word.clone() }),
        };
    }
    Ok(wanted)
}

/// Whether networks that somebody made are wanted, which all cluster networks are.
fn is_custom_wanted(filters: &Filters) -> Result<bool, FilterError> {
    let types = filters.get("type");
    let unknown = types.into_iter().flatten().find(|word| !matches!(word.as_str(), "custom" | "builtin"));
    match unknown {
        Some(word) => Err(FilterError::Word { key: "type", word: word.clone() }),
        None => Ok(filters.is("type", "custom")),
    }
}

/// Whether it could be removed, and is not the routing mesh's.
fn is_dangling(state: &State, network: &Network) -> bool {
    !network.spec.ingress && remove_network(state, network, network.created_at).is_ok()
}

/// The spec with the ids of its networks in the place of what the user wrote. The engine's own keep their names.
///
/// # Errors
/// [`ResolveError`], and what a service cannot be attached to.
pub(super) fn with_ids(state: &State, mut spec: ServiceSpec) -> Result<ServiceSpec, ApiError> {
    for config in spec.task_template.networks.iter_mut().filter(|c| !is_predefined(c)) {
        let network = resolve::network(state, &config.target)?;
        if network.spec.ingress {
            return Err(ApiError::ExplicitIngress(network.spec.name.clone()));
        }
        config.target = network.id.to_string();
    }
    Ok(spec)
}

/// The cluster networks that a spec with ids needs: those that must still be there when it is stored.
///
/// # Errors
/// [`ApiError::NoIngress`]
pub(super) fn needed<'a>(state: &'a State, spec: &ServiceSpec) -> Result<Vec<&'a Arc<Network>>, ApiError> {
    let ids = spec.task_template.networks.iter().filter_map(|n| NetworkId::parse(&n.target).ok());
    let mut needed: Vec<&Arc<Network>> = ids.filter_map(|id| state.live_network(id)).collect();
    if spec.endpoint_spec.as_ref().is_some_and(|e| e.ports.iter().any(|p| p.publish_mode == swarm_types::PublishMode::Ingress)) {
        needed.push(state.ingress().ok_or(ApiError::NoIngress)?);
    }
    Ok(needed)
}

/// What the operator should know of networks that run short once this service runs as it is to.
pub(super) fn shortages(state: &State, id: ServiceId) -> Vec<String> {
    let Some(service) = state.service(id) else { return Vec::new() };
    let spec = &service.current.spec;
    let tasks = match &spec.mode.replicated {
        Some(replicated) => u128::from(replicated.replicas.unwrap_or(1)),
        None => state.node_count() as u128,
    };
    let has_vip = spec.endpoint_spec.as_ref().and_then(|e| e.mode).unwrap_or_default() == EndpointMode::Vip;
    let short = |network: &Arc<Network>| {
        let Room { all, free } = Room::of(state, network);
        let is_own = |holder: &Key| match holder {
            Key::Service(holder) => *holder == id,
            Key::Task(task) => state.task(*task).is_some_and(|t| t.service_id == Some(id)),
            _ => false,
        };
        let held = state.addresses_of(network.id).filter(|(address, holder)| address.is_ipv4() && is_own(holder)).count() as u128;
        let more = (tasks + u128::from(has_vip)).saturating_sub(held);
        let name = &network.spec.name;
        if more > free {
            Some(format!("network {name}: {free} of {all} addresses free, but service {} needs {more} more", spec.name))
        } else if (free - more) * SHORT_OF < all {
            Some(format!("network {name} runs short: {} of {all} addresses free with service {}", free - more, spec.name))
        } else {
            None
        }
    };
    needed(state, spec).unwrap_or_default().into_iter().filter_map(short).collect()
}

fn is_predefined(config: &NetworkAttachmentConfig) -> bool {
    later::PREDEFINED_NETWORKS.contains(&config.target.as_str())
}
