//! Stored objects as the API and the agents see them.

use crate::{Service, State, Task};
use swarm_types::{self as api, NodeId, SharedSpec};

impl Service {
    /// As the API shows it.
    #[must_use]
    pub fn to_api(&self) -> api::Service {
        api::Service {
            id: self.id,
            version: self.version,
            created_at: self.created_at,
            updated_at: self.updated_at,
            spec: (*self.current.spec).clone(),
            previous_spec: self.previous.as_ref().map(|p| (*p.spec).clone()),
            endpoint: self.endpoint.clone(),
            update_status: self.update.clone(),
            service_status: None,
            job_status: None,
        }
    }
}

impl Task {
    /// As the API shows it. `spec` is the task's template.
    #[must_use]
    pub fn to_api(&self, spec: &SharedSpec) -> api::Task {
        api::Task {
            id: self.id,
            version: self.version,
            created_at: self.created_at,
            updated_at: self.updated_at,
            name: String::new(),
            labels: api::Labels::new(),
            spec: spec.template.clone(),
            service_id: self.service_id,
            slot: self.slot,
            node_id: self.node_id,
            status: self.status.clone(),
            desired_state: self.desired_state,
            networks_attachments: Vec::new(),
            generic_resources: self.generic_resources.clone(),
            job_iteration: self.job_iteration,
        }
    }

    /// The name users see, which is also its container's: `service.slot.id`, or `service.node.id` for global services.
    #[must_use]
    pub fn full_name(&self, spec: &SharedSpec) -> String {
        match (self.slot, self.node_id) {
            (0, Some(node)) => format!("{}.{node}.{}", spec.service_name, self.id),
            (slot, _) => format!("{}.{slot}.{}", spec.service_name, self.id),
        }
    }
}

impl State {
    /// A task as the API shows it.
    #[must_use]
    pub fn api_task(&self, task: &Task) -> Option<api::Task> {
        self.spec(task.spec).map(|spec| task.to_api(spec))
    }

    /// Whether the node may hold orders: it exists and was not removed.
    #[must_use]
    pub fn knows_node(&self, id: NodeId) -> bool {
        self.nodes.contains_key(&id)
    }
}
