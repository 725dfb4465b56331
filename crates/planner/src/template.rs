//! Task templates, read once: what a task needs of a node, and what happens when it ends.

use crate::{
    constraint::{Constraint, SpreadKey, parse_constraints},
    defaults::{RESTART_DELAY, STOP_GRACE, duration},
    id_map::IdMap,
};
use std::{sync::Arc, time::Duration};
use swarm_state::Node;
use swarm_types::{GenericResource, MountType, Platform, PortProtocol, PublishMode, RestartCondition, SharedSpec, SpecId, TaskSpec};

/// A task template, read once.
#[derive(Debug)]
pub(crate) struct Template {
    pub(crate) spec: Arc<SharedSpec>,
    pub(crate) restart: RestartRules,
    pub(crate) stop_grace: Duration,
    /// Reserved, in billionths of a core.
    pub(crate) nano_cpus: i64,
    /// Reserved, in bytes.
    pub(crate) memory_bytes: i64,
    /// Reserved counts by kind.
    pub(crate) generic: Vec<(String, i64)>,
    /// Host-mode ports with a fixed number.
    pub(crate) host_ports: Vec<HostPort>,
    /// `None` if they cannot be read: then no node fits.
    constraints: Option<Vec<Constraint>>,
    /// On one node at most; zero is unlimited.
    pub(crate) max_replicas: u64,
    pub(crate) platforms: Vec<Platform>,
    pub(crate) volume_drivers: Vec<String>,
    pub(crate) log_driver: Option<String>,
    pub(crate) spread: Vec<SpreadKey>,
}

/// A port of a node.
pub(crate) type HostPort = (PortProtocol, u32);

/// When and how an ended task is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RestartRules {
    pub(crate) condition: RestartCondition,
    pub(crate) delay: Duration,
    /// Zero is unlimited.
    pub(crate) max_attempts: u64,
    /// Zero is for ever.
    pub(crate) window: Duration,
}

impl RestartRules {
    fn of(template: &TaskSpec) -> Self {
        let policy = template.restart_policy.clone().unwrap_or_default();
        Self {
            condition: policy.condition,
            delay: duration(policy.delay).unwrap_or(RESTART_DELAY),
            max_attempts: policy.max_attempts.unwrap_or(0),
            window: duration(policy.window).unwrap_or_default(),
        }
    }
}

impl Template {
    pub(crate) fn new(spec: Arc<SharedSpec>) -> Self {
        let template = &spec.template;
        let reserved = template.resources.as_ref().and_then(|r| r.reservations.clone()).unwrap_or_default();
        let placement = template.placement.clone().unwrap_or_default();
        let ports = spec.endpoint.as_ref().map_or(&[][..], |e| &e.ports);
        let log_driver = template.log_driver.as_ref().map(|d| d.name.clone());
        Self {
            restart: RestartRules::of(template),
            stop_grace: duration(template.container_spec.as_ref().and_then(|c| c.stop_grace_period)).unwrap_or(STOP_GRACE),
            nano_cpus: reserved.nano_cpus,
            memory_bytes: reserved.memory_bytes,
            generic: reserved.generic_resources.iter().map(asked).collect(),
            host_ports: ports
                .iter()
                .filter(|p| p.publish_mode == PublishMode::Host && p.published_port != 0)
                .map(|p| (p.protocol, p.published_port))
                .collect(),
            constraints: parse_constraints(&placement.constraints).ok(),
            max_replicas: placement.max_replicas,
            platforms: placement.platforms,
            volume_drivers: volume_drivers(template),
            log_driver: log_driver.filter(|name| !name.is_empty()),
            spread: placement
                .preferences
                .iter()
                .filter_map(|p| p.spread.as_ref().and_then(|s| SpreadKey::parse(&s.spread_descriptor)))
                .collect(),
            spec,
        }
    }

    /// Whether the node satisfies all constraints.
    pub(crate) fn fits(&self, node: &Node) -> bool {
        self.constraints.as_ref().is_some_and(|all| all.iter().all(|c| c.holds(node)))
    }
}

fn asked(resource: &GenericResource) -> (String, i64) {
    match resource {
        GenericResource::Discrete { kind, value } => (kind.clone(), *value),
        // Validation refuses to ask for a piece by name; one piece of the kind is the nearest meaning.
        GenericResource::Named { kind, .. } => (kind.clone(), 1),
    }
}

fn volume_drivers(template: &TaskSpec) -> Vec<String> {
    let mounts = template.container_spec.as_ref().map_or(&[][..], |c| &c.mounts);
    mounts
        .iter()
        .filter(|m| m.kind == MountType::Volume)
        .filter_map(|m| m.volume_options.as_ref()?.driver_config.as_ref())
        .map(|driver| driver.name.clone())
        .filter(|name| !name.is_empty() && name != "local")
        .collect()
}

/// Every stored template.
#[derive(Debug, Default)]
pub(crate) struct Templates(IdMap<SpecId, Arc<Template>>);

impl Templates {
    pub(crate) fn get(&self, id: SpecId) -> Option<&Arc<Template>> {
        self.0.get(&id)
    }

    pub(crate) fn insert(&mut self, spec: &Arc<SharedSpec>) {
        self.0.insert(spec.id, Arc::new(Template::new(Arc::clone(spec))));
    }

    pub(crate) fn remove(&mut self, id: SpecId) {
        self.0.remove(&id);
    }
}
