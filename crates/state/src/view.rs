//! Stored objects as the API and the agents see them.

use crate::Network;
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
            job_status: self.job,
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
            // Docker counts the slots of jobs from zero, and its client relies on that.
            slot: if self.job_iteration.is_some() { self.slot.saturating_sub(1) } else { self.slot },
            node_id: self.node_id,
            status: self.status.clone(),
            desired_state: self.desired_state,
            networks_attachments: Vec::new(),
            generic_resources: self.generic_resources.clone(),
            job_iteration: self.job_iteration,
        }
    }

    /// The name users see, which is also its container's: `service.slot.id`, or `service.node.id` for global services. That of
    /// an attachment is its container's own.
    #[must_use]
    pub fn full_name(&self, spec: &SharedSpec) -> String {
        if spec.template.network_attachment_spec.is_some() {
            return spec.service_name.clone();
        }
        match (self.slot, self.node_id) {
            (0, Some(node)) => format!("{}.{node}.{}", spec.service_name, self.id),
            (slot, _) => format!("{}.{slot}.{}", spec.service_name, self.id),
        }
    }
}

impl Network {
    /// As `/networks` shows it.
    #[must_use]
    pub fn to_api(&self) -> api::Network {
        let spec = &self.spec;
        api::Network {
            name: spec.name.clone(),
            id: self.id.to_string(),
            created: self.created_at,
            scope: spec.scope.clone(),
            driver: spec.driver_configuration.name.clone(),
            enable_ipv4: true,
            enable_ipv6: spec.ipv6_enabled,
            ipam: api::Ipam {
                driver: spec.ipam_options.driver.name.clone(),
                options: None,
                config: self.subnets.iter().map(api::Subnet::to_api).collect(),
            },
            internal: spec.internal,
            attachable: spec.attachable,
            ingress: spec.ingress,
            options: self.driver_options(),
            labels: spec.labels.clone(),
            ..api::Network::default()
        }
    }

    /// As a task's attachment shows it.
    #[must_use]
    pub fn to_attached(&self) -> api::AttachedNetwork {
        let driver = &self.spec.driver_configuration;
        api::AttachedNetwork {
            id: self.id,
            version: self.version,
            created_at: self.created_at,
            updated_at: self.created_at,
            spec: self.spec.clone(),
            driver_state: api::NetworkDriver { name: driver.name.clone(), options: self.driver_options() },
            ipam_options: api::IpamOptions {
                driver: self.spec.ipam_options.driver.clone(),
                configs: self.subnets.iter().map(api::Subnet::to_api).collect(),
            },
        }
    }

    fn driver_options(&self) -> std::collections::BTreeMap<String, String> {
        let mut options = self.spec.driver_configuration.options.clone();
        options.insert(api::OPTION_VXLAN_IDS.to_owned(), self.vni.to_string());
        options
    }
}

impl State {
    /// A task as the API shows it.
    #[must_use]
    pub fn api_task(&self, task: &Task) -> Option<api::Task> {
        let mut shown = task.to_api(self.spec(task.spec)?);
        let attached = task.attachments.iter().filter_map(|a| {
            let network = self.network(a.network)?.to_attached();
            Some(api::NetworkAttachment { network, addresses: a.addresses.iter().map(ToString::to_string).collect() })
        });
        shown.networks_attachments = attached.collect();
        Some(shown)
    }

    /// Whether the node may hold orders: it exists and was not removed.
    #[must_use]
    pub fn knows_node(&self, id: NodeId) -> bool {
        self.nodes.contains_key(&id)
    }
}
