//! Services as they are read.

use super::{ApiError, filters::Filters, request::Call, resolve, status::json, swarm};
use axum::body::Body;
use http::{Response, StatusCode};
use swarm_planner::{insert_defaults, service_status};
use swarm_state::State;
use swarm_types::{Service, ServiceMode};

/// The filters of the list.
const FILTERS: &[&str] = &["id", "label", "mode", "name", "runtime"];

/// `GET /services`
pub(super) fn list(state: &State, call: &Call) -> Result<Response<Body>, ApiError> {
    swarm::required(state)?;
    let filters = Filters::parse(call.query.get("filters"), FILTERS)?;
    // Older clients do not know the counts.
    let status = !call.version.is_before(41) && call.query.flag_of_read("status")?;
    let fits = |service: &swarm_state::Service| {
        let spec = &service.current.spec;
        filters.begins("id", service.id.as_str())
            && filters.begins("name", &spec.name)
            && filters.labelled("label", &spec.labels)
            && filters.is("mode", mode_word(&spec.mode))
            && filters.is("runtime", "container")
    };
    let shown =
        |service: &swarm_state::Service| Service { service_status: status.then(|| service_status(state, service)), ..service.to_api() };
    let services: Vec<Service> = state.services().filter(|s| fits(s)).map(|s| shown(s)).collect();
    json(StatusCode::OK, &services)
}

/// `GET /services/{id}`
pub(super) fn inspect(state: &State, call: &Call, input: &str) -> Result<Response<Body>, ApiError> {
    swarm::required(state)?;
    let defaults = call.query.flag_of_read("insertDefaults")?;
    let mut service = resolve::service(state, input)?.to_api();
    if defaults {
        service.spec = insert_defaults(&service.spec);
    }
    json(StatusCode::OK, &service)
}

/// The word for a mode in filters.
pub(super) fn mode_word(mode: &ServiceMode) -> &'static str {
    if mode.global.is_some() {
        "global"
    } else if mode.replicated_job.is_some() {
        "replicated-job"
    } else if mode.global_job.is_some() {
        "global-job"
    } else {
        "replicated"
    }
}
