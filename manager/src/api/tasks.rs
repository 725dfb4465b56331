//! Tasks as they are read.

use super::{ApiError, filters::Filters, request::Call, resolve, status::json, swarm};
use axum::body::Body;
use http::{Response, StatusCode};
use std::{collections::BTreeSet, sync::Arc};
use swarm_planner::is_up_to_date;
use swarm_state::{State, Task};
use swarm_types::{NodeId, ServiceId, TaskState};

/// The filters of the list. The last one is for progress bars: tasks of a service's present spec.
const FILTERS: &[&str] = &["desired-state", "id", "label", "name", "node", "runtime", "service", "_up-to-date"];

/// `GET /tasks`
pub(super) fn list(state: &State, call: &Call) -> Result<Response<Body>, ApiError> {
    swarm::required(state)?;
    let filters = Filters::parse(call.query.get("filters"), FILTERS)?;
    let found = Found::by(state, &filters)?;
    let mut tasks: Vec<&Arc<Task>> = found.candidates(state).filter(|task| found.fits(state, &filters, task)).collect();
    tasks.sort_unstable_by_key(|task| task.id);
    let tasks: Vec<swarm_types::Task> = tasks.into_iter().filter_map(|task| shown(state, task)).collect();
    json(StatusCode::OK, &tasks)
}

/// `GET /tasks/{id}`
pub(super) fn inspect(state: &State, input: &str) -> Result<Response<Body>, ApiError> {
    swarm::required(state)?;
    let task = resolve::task(state, input)?;
    // A task's template is stored as long as the task is.
    json(StatusCode::OK, &shown(state, task).ok_or(ApiError::NoSuchPage)?)
}

/// The task as Docker shows it: the runtime is named in services only.
fn shown(state: &State, task: &Task) -> Option<swarm_types::Task> {
    let mut shown = state.api_task(task)?;
    shown.spec.runtime.clear();
    Some(shown)
}

/// The filters that name objects or states, resolved.
struct Found {
    services: Option<BTreeSet<ServiceId>>,
    nodes: Option<BTreeSet<NodeId>>,
    desired: Vec<TaskState>,
    up_to_date: bool,
}

impl Found {
    fn by(state: &State, filters: &Filters) -> Result<Self, ApiError> {
        let services = filters.get("service").map(|inputs| inputs.iter().map(|i| resolve::service(state, i).map(|s| s.id)).collect());
        let nodes = filters.get("node").map(|inputs| inputs.iter().map(|i| resolve::node(state, i).map(|n| n.id())).collect());
        Ok(Self {
            services: services.transpose()?,
            nodes: nodes.transpose()?,
            desired: filters.words("desired-state")?,
            up_to_date: filters.get("_up-to-date").is_some(),
        })
    }

    /// Tasks by the narrowest index that the filters allow.
    fn candidates<'a>(&'a self, state: &'a State) -> Box<dyn Iterator<Item = &'a Arc<Task>> + 'a> {
        match (&self.services, &self.nodes) {
            (Some(services), _) => Box::new(services.iter().flat_map(|id| state.tasks_of_service(*id))),
            (None, Some(nodes)) => Box::new(nodes.iter().flat_map(|id| state.tasks_of_node(*id))),
            (None, None) => Box::new(state.tasks()),
        }
    }

    fn fits(&self, state: &State, filters: &Filters, task: &Task) -> bool {
        let Some(spec) = state.spec(task.spec) else { return false };
        self.nodes.as_ref().is_none_or(|nodes| task.node_id.is_some_and(|id| nodes.contains(&id)))
            && (self.desired.is_empty() || self.desired.contains(&task.desired_state))
            && filters.begins("id", task.id.as_str())
            && (filters.get("name").is_none() || filters.begins("name", &task.full_name(spec)))
            && filters.labelled("label", &spec.service_labels)
            && filters.is("runtime", "container")
            && (!self.up_to_date || is_up_to_date(state, task))
    }
}
