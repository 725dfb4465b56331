//! The changes behind the API's commands on services and nodes. Whoever proposes them has validated the request.

use crate::{defaults::duration, restart::is_on_node};
use std::{sync::Arc, time::Duration};
use swarm_state::{Change, Object, Service, State, StoredSpec, Task};
use swarm_types::{
    Endpoint, IdSource, JobStatus, NodeId, PortConfig, PortProtocol, PublishMode, ServiceId, ServiceSpec, SharedSpec, SpecId, TaskState,
    TaskStatus, Timestamp, UpdateState, UpdateStatus, Version,
};

/// What tasks of a deleted node say.
pub const NODE_DELETED: &str = "Task belonged to a node that has been deleted";

/// Validity of a certificate where the cluster names none.
const CERTIFICATE_VALIDITY: Duration = Duration::from_secs(90 * 24 * 3600);
/// How long a removed node stays on the list after its certificate ended: room for clocks that differ.
const REMOVED_NODE_KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

/// The service was never updated, so there is nothing to go back to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("service {name} does not have a previous spec")]
pub struct NoPreviousSpec {
    /// The service's name.
    pub name: String,
}

/// A new service and its template. Propose as `Actor::Operator`.
pub fn new_service(spec: ServiceSpec, now: Timestamp, ids: &mut dyn IdSource) -> (ServiceId, Vec<Change>) {
    let id = ServiceId::from_random(ids.random());
    let template = intern(id, &spec, ids);
    let service = Service {
        id,
        version: Version::default(),
        spec_version: Version::default(),
        created_at: now,
        updated_at: now,
        endpoint: endpoint_of(&spec),
        current: StoredSpec { spec: Arc::new(spec), template: template.id },
        previous: None,
        update: None,
        rollout: None,
        job: None,
    };
    let service = Service { job: next_run(&service, now), ..service };
    (id, vec![Change::create(Object::Spec(Arc::new(template))), Change::create(Object::Service(Arc::new(service)))])
}

/// The service with another spec; the present one becomes the previous one. The version in `service` is the one replaced.
///
/// The template stays the same object unless the template, the endpoint or what names the tasks' containers changed, so
/// scaling and update settings touch no task. A running update is given up; the planner starts another if tasks differ.
/// Propose as `Actor::Operator`.
pub fn update_service(service: &Service, spec: ServiceSpec, now: Timestamp, ids: &mut dyn IdSource) -> Vec<Change> {
    let mut changes = Vec::new();
    let known = std::iter::once(&service.current).chain(&service.previous).find(|stored| same_template(&stored.spec, &spec));
    let template = match known {
        Some(stored) => stored.template,
        None => {
            let template = intern(service.id, &spec, ids);
            let id = template.id;
            changes.push(Change::create(Object::Spec(Arc::new(template))));
            id
        }
    };
    let mut updated = service.clone();
    updated.spec_version = Version::default();
    updated.updated_at = now;
    updated.endpoint = endpoint_after(&service.endpoint, &spec);
    updated.previous = Some(std::mem::replace(&mut updated.current, StoredSpec { spec: Arc::new(spec), template }));
    updated.update = None;
    updated.rollout = None;
    updated.job = next_run(&updated, now);
    changes.push(Change::update(Object::Service(Arc::new(updated))));
    changes
}

/// The service with its previous spec; doing it twice goes forth again. Propose as `Actor::Operator`.
///
/// # Errors
/// [`NoPreviousSpec`] when there is none.
pub fn rollback_service(service: &Service, now: Timestamp) -> Result<Vec<Change>, NoPreviousSpec> {
    let mut updated = service.clone();
    let Some(previous) = updated.previous.take() else {
        return Err(NoPreviousSpec { name: service.current.spec.name.clone() });
    };
    updated.spec_version = Version::default();
    updated.endpoint = endpoint_after(&service.endpoint, &previous.spec);
    updated.previous = Some(std::mem::replace(&mut updated.current, previous));
    updated.updated_at = now;
    updated.rollout = None;
    updated.job = next_run(&updated, now);
    // A job with its previous spec is simply run again.
    updated.update = updated.job.is_none().then(|| UpdateStatus {
        state: UpdateState::RollbackStarted,
        started_at: Some(now),
        completed_at: None,
        message: "manually requested rollback".to_owned(),
    });
    Ok(vec![Change::update(Object::Service(Arc::new(updated)))])
}

/// The run that begins with the service's present spec, if that is a job. The first one is number zero, as in Docker.
fn next_run(service: &Service, now: Timestamp) -> Option<JobStatus> {
    let mode = &service.current.spec.mode;
    let is_job = mode.replicated_job.is_some() || mode.global_job.is_some();
    let index = service.job.map_or(0, |job| job.job_iteration.index + 1);
    is_job.then_some(JobStatus { job_iteration: Version { index }, last_execution: now })
}

/// The service is gone; the planner removes its tasks, then its templates. Propose as `Actor::Operator`.
#[must_use]
pub fn remove_service(service: &Service) -> Vec<Change> {
    vec![Change::Delete { replaces: service.version, key: swarm_state::Key::Service(service.id) }]
}

/// The node is gone: its tasks are orphaned, and its certificate is refused from now on. Nothing if there is no such node.
/// Propose as `Actor::Planner`: only that may end tasks.
#[must_use]
pub fn remove_node(state: &State, id: NodeId, now: Timestamp) -> Vec<Change> {
    let Some(node) = state.node(id) else { return Vec::new() };
    let orphans = state.tasks_of_node(id).filter(|t| is_on_node(t)).map(|task| {
        let status = TaskStatus { message: NODE_DELETED.to_owned(), ..orphaned(task, now) };
        Change::update(Object::Task(Arc::new(Task { status, updated_at: now, ..(**task).clone() })))
    });
    let mut changes: Vec<Change> = orphans.collect();
    changes.push(Change::delete(&Object::Node(Arc::clone(node))));
    if let Some(cluster) = state.cluster() {
        let mut cluster = (**cluster).clone();
        let until = if node.certificate_until.is_zero() {
            let validity = duration(Some(cluster.api.spec.ca_config.node_cert_expiry)).filter(|d| !d.is_zero());
            now.after(validity.unwrap_or(CERTIFICATE_VALIDITY))
        } else {
            node.certificate_until
        };
        cluster.removed_nodes.retain(|_, until| *until > now);
        cluster.removed_nodes.insert(id, until.after(REMOVED_NODE_KEPT));
        changes.push(Change::update(Object::Cluster(Arc::new(cluster))));
    }
    changes
}

/// A task's status when nobody knows any more what became of it.
pub(crate) fn orphaned(task: &Task, now: Timestamp) -> TaskStatus {
    TaskStatus { state: TaskState::Orphaned, timestamp: now, ..task.status.clone() }
}

/// Ports as allocated. Those of the routing mesh are numbered by the allocator; host-mode ones are as asked for.
fn endpoint_of(spec: &ServiceSpec) -> Endpoint {
    let wanted = spec.endpoint_spec.clone().unwrap_or_default();
    Endpoint { ports: wanted.ports.clone(), spec: wanted, virtual_ips: Vec::new() }
}

/// What was allocated stays as long as the same is asked for.
pub(crate) fn endpoint_after(endpoint: &Endpoint, spec: &ServiceSpec) -> Endpoint {
    if spec.endpoint_spec.as_ref().is_some_and(|wanted| *wanted == endpoint.spec) {
        return endpoint.clone();
    }
    // Virtual addresses on networks that the service leaves are taken back by the planner.
    let mut after = Endpoint { virtual_ips: endpoint.virtual_ips.clone(), ..endpoint_of(spec) };
    let chosen = |port: &PortConfig| port.publish_mode == PublishMode::Ingress && port.published_port == 0;
    let named: Vec<(PortProtocol, u32)> = after.ports.iter().map(|p| (p.protocol, p.published_port)).collect();
    for port in after.ports.iter_mut().filter(|p| chosen(p)) {
        let same = |old: &&PortConfig| {
            (&old.name, old.protocol, old.target_port, old.publish_mode) == (&port.name, port.protocol, port.target_port, port.publish_mode)
        };
        let kept = endpoint.ports.iter().find(same).filter(|old| !named.contains(&(old.protocol, old.published_port)));
        port.published_port = kept.map_or(0, |old| old.published_port);
    }
    after
}

fn intern(service: ServiceId, spec: &ServiceSpec, ids: &mut dyn IdSource) -> SharedSpec {
    SharedSpec {
        id: SpecId::from_random(ids.random()),
        service_id: Some(service),
        service_name: spec.name.clone(),
        service_labels: spec.labels.clone(),
        template: spec.task_template.clone(),
        endpoint: spec.endpoint_spec.clone(),
    }
}

/// Whether both specs make the same [`SharedSpec`].
fn same_template(a: &ServiceSpec, b: &ServiceSpec) -> bool {
    a.task_template == b.task_template && a.endpoint_spec == b.endpoint_spec && a.name == b.name && a.labels == b.labels
}
