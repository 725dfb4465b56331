//! What a container is to be: a task's template with its names filled in, its templates expanded and its mounts checked.
//!
//! Pure: the same task, template and node give the same order, and nothing of the host is looked at.

use super::TaskFile;
use ipnet::{IpNet, Ipv4Net};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};
use swarm_session::{AssignedTask, NetworkView, SharedSpec};
use swarm_template::{Functions, Struct, Value};
use swarm_types::{
    ContainerSpec, Driver, GenericResource, Mount, MountType, NetworkId, NodeId, Platform, PortConfig, PublishMode, ResourceRequirements,
    ServiceId, TaskDefaults, TaskId,
};

/// What tasks need to know of their node and cluster.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeContext {
    /// Name of the host, as the cluster knows it.
    pub hostname: String,
    /// Operating system and architecture.
    pub platform: Platform,
    /// For tasks that leave things open.
    pub task_defaults: TaskDefaults,
}

/// A task's template cannot become a container. Final for the task; the texts are Docker's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// The template is of a kind that runs no container.
    #[error("unsupported runtime")]
    NoContainer,
    /// The template names no image.
    #[error("dockerexec: image required")]
    NoImage,
    /// A Go template in the spec does not parse or run.
    #[error("expanding {place} failed: {field}: {reason}")]
    Template {
        /// Which part of the spec: `env`, `mounts` or `hostname`.
        place: &'static str,
        /// The field and its text.
        field: String,
        /// What the template engine said.
        reason: String,
    },
    /// A mount that makes no sense.
    #[error("{0}")]
    Mount(String),
    /// A network that this node does not have.
    #[error("network {0} not found")]
    Network(String),
    /// A task without an IPv4 address on one of its networks.
    #[error("the task has no IPv4 address on network {0}")]
    NoAddress(String),
    /// A task whose published ports cannot all be opened.
    #[error("ports published in host mode beside ports published in ingress mode are not supported by this version of Swarm yet")]
    HostAndIngress,
}

/// Networks that every engine has by itself; a task on one of them uses it as `docker run --network` does.
const PREDEFINED_NETWORKS: [&str; 3] = ["bridge", "host", "none"];

/// Everything an executor needs for making a task's container.
#[derive(Debug, Clone, PartialEq)]
pub struct ContainerOrder {
    /// The task.
    pub task_id: TaskId,
    /// This node.
    pub node_id: NodeId,
    /// The task's service, unless it is an attachment.
    pub service_id: Option<ServiceId>,
    /// The service's name when the template was made.
    pub service_name: String,
    /// Name of the container: `<service>.<slot or node id>.<task id>`.
    pub name: String,
    /// The container, its templates expanded.
    pub spec: ContainerSpec,
    /// Limits; reservations are the scheduler's business only.
    pub resources: Option<ResourceRequirements>,
    /// Where its output goes; `None` is the engine's default.
    pub log_driver: Option<Driver>,
    /// A network of the engine itself; `None` is the engine's default network.
    pub network: Option<String>,
    /// Its places on cluster networks, the one with the way out first.
    pub attachments: Vec<Attachment>,
    /// Ports to open on the host; published port zero is chosen by the engine.
    pub host_ports: Vec<PortConfig>,
    /// Files that the container gets read-only, from memory; worked out when it is made.
    pub files: Vec<TaskFile>,
    /// Whether an image that is on the host is used without asking a registry.
    pub prefer_offline_image: bool,
}

/// A container's place on a cluster network.
#[derive(Debug, Clone, PartialEq)]
pub struct Attachment {
    /// The network.
    pub network: NetworkId,
    /// Its name.
    pub name: String,
    /// Without a way out of the cluster.
    pub internal: bool,
    /// Its router, which answers names.
    pub gateway: Ipv4Addr,
    /// The task's address, with the length of the subnet's prefix.
    pub address: Ipv4Net,
    /// The operator's options for this attachment.
    pub driver_opts: BTreeMap<String, String>,
}

impl ContainerOrder {
    /// The order for `task` on this node, which knows of `networks`.
    ///
    /// # Errors
    /// [`OrderError`]: the task can never run as it is.
    pub fn new(
        task: &AssignedTask,
        shared: &SharedSpec,
        node_id: NodeId,
        node: &NodeContext,
        networks: &NetworkView,
        prefer_offline_image: bool,
    ) -> Result<Self, OrderError> {
        let mut spec = shared.template.container_spec.clone().ok_or(OrderError::NoContainer)?;
        if spec.image.is_empty() {
            return Err(OrderError::NoImage);
        }
        let attachments = attachments(task, networks)?;
        let host_ports = host_ports(shared);
        // The engine opens ports by its own way out, which a task of the mesh does not have.
        if !host_ports.is_empty() && task.attachments.iter().any(|a| networks.tables.get(&a.network).is_some_and(|t| t.network.ingress)) {
            return Err(OrderError::HostAndIngress);
        }
        Expansion::new(task, shared, node_id, node).expand(&mut spec)?;
        spec.mounts.iter().try_for_each(check_mount)?;
        spec.env.extend(resource_variables(&task.generic_resources));
        Ok(Self {
            task_id: task.id,
            node_id,
            service_id: shared.service_id,
            service_name: shared.service_name.clone(),
            name: container_name(task, shared, node_id),
            spec,
            resources: shared.template.resources.clone(),
            log_driver: shared.template.log_driver.clone().or_else(|| node.task_defaults.log_driver.clone()),
            network: if attachments.is_empty() { predefined_network(shared)? } else { None },
            attachments,
            host_ports,
            files: Vec::new(),
            prefer_offline_image,
        })
    }
}

/// `<service>.<slot>.<task id>`; tasks of global services have the node's id for a slot.
#[must_use]
pub fn container_name(task: &AssignedTask, shared: &SharedSpec, node_id: NodeId) -> String {
    format!("{}.{}.{}", shared.service_name, slot_text(task, node_id), task.id)
}

/// Time between the stop signal and SIGKILL: the spec's, cut to whole seconds as Docker cuts it, or ten seconds.
#[must_use]
pub fn stop_grace(spec: &ContainerSpec) -> Duration {
    const DEFAULT_S: u64 = 10;
    let seconds = spec.stop_grace_period.map(|nanos| u64::try_from(nanos / 1_000_000_000));
    Duration::from_secs(seconds.map_or(DEFAULT_S, |seconds| seconds.unwrap_or(0)))
}

/// The ports that a task of this template opens on its host.
#[must_use]
pub fn host_ports(shared: &SharedSpec) -> Vec<PortConfig> {
    let ports = shared.endpoint.iter().flat_map(|endpoint| &endpoint.ports);
    ports.filter(|port| port.publish_mode == PublishMode::Host).cloned().collect()
}

/// What tells a container which generic resources are its own: `DOCKER_RESOURCE_<KIND>=<count or names>`.
fn resource_variables(given: &[GenericResource]) -> Vec<String> {
    let mut by_kind: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for resource in given {
        let (kind, value) = match resource {
            GenericResource::Discrete { kind, value } => (kind, value.to_string()),
            GenericResource::Named { kind, value } => (kind, value.clone()),
        };
        by_kind.entry(kind.to_uppercase()).or_default().push(value);
    }
    by_kind.into_iter().map(|(kind, values)| format!("DOCKER_RESOURCE_{kind}={}", values.join(","))).collect()
}

fn attachments(task: &AssignedTask, networks: &NetworkView) -> Result<Vec<Attachment>, OrderError> {
    let mut attachments = Vec::new();
    for place in &task.attachments {
        let table = networks.tables.get(&place.network).ok_or_else(|| OrderError::Network(place.network.to_string()))?;
        let network = &table.network;
        let address = place.addresses.iter().find_map(|address| match address {
            IpNet::V4(address) => Some(*address),
            IpNet::V6(_) => None,
        });
        let gateway = network.subnets.iter().find_map(|subnet| match subnet.gateway {
            IpAddr::V4(gateway) => Some(gateway),
            IpAddr::V6(_) => None,
        });
        let no_address = || OrderError::NoAddress(network.name.clone());
        let attachment = Attachment {
            gateway: gateway.ok_or_else(no_address)?,
            network: network.id,
            name: network.name.clone(),
            internal: network.internal,
            address: address.ok_or_else(no_address)?,
            driver_opts: place.driver_opts.clone(),
        };
        // The engine gives the container a way out by the first network that has one.
        attachments.insert(if network.ingress { 0 } else { attachments.len() }, attachment);
    }
    Ok(attachments)
}

fn slot_text(task: &AssignedTask, node_id: NodeId) -> String {
    if task.slot == 0 { node_id.to_string() } else { task.slot.to_string() }
}

fn predefined_network(shared: &SharedSpec) -> Result<Option<String>, OrderError> {
    match shared.template.networks.as_slice() {
        [] => Ok(None),
        [only] if PREDEFINED_NETWORKS.contains(&only.target.as_str()) => Ok(Some(only.target.clone())),
        all => {
            let unknown = all.iter().find(|n| !PREDEFINED_NETWORKS.contains(&n.target.as_str()));
            Err(OrderError::Network(unknown.unwrap_or(&all[0]).target.clone()))
        }
    }
}

fn check_mount(mount: &Mount) -> Result<(), OrderError> {
    let Mount { source, target, .. } = mount;
    let refuse = |text: String| Err(OrderError::Mount(text));
    if !target.starts_with('/') && mount.kind != MountType::Npipe {
        return refuse(format!("invalid mount target, must be an absolute path: {target}"));
    }
    match mount.kind {
        MountType::Bind if !source.starts_with('/') => refuse(format!("invalid bind mount source, must be an absolute path: {source}")),
        MountType::Volume if source.starts_with('/') => {
            refuse(format!("invalid volume mount source, must not be an absolute path: {source}"))
        }
        MountType::Tmpfs if !source.is_empty() => refuse("invalid tmpfs source, source must be empty".into()),
        MountType::Npipe if source.is_empty() => refuse("invalid npipe source, source must not be empty".into()),
        MountType::Cluster | MountType::Image => refuse(format!("invalid mount type: {}", mount.kind)),
        MountType::Bind | MountType::Volume | MountType::Tmpfs | MountType::Npipe => Ok(()),
    }
}

/// Expands the Go templates of one task's spec.
pub(super) struct Expansion {
    data: Value,
}

impl Expansion {
    pub(super) fn new(task: &AssignedTask, shared: &SharedSpec, node_id: NodeId, node: &NodeContext) -> Self {
        let service = Struct::new("struct { ID string; Name string; Labels map[string]string }")
            .field("ID", shared.service_id.map(|id| id.to_string()).unwrap_or_default().as_str())
            .field("Name", shared.service_name.as_str())
            .field("Labels", Value::string_map(pairs(&shared.service_labels)));
        let platform = Struct::new("template.Platform")
            .field("Architecture", node.platform.architecture.as_str())
            .field("OS", node.platform.os.as_str());
        let host = Struct::new("struct { ID string; Hostname string; Platform template.Platform }")
            .field("ID", node_id.as_str())
            .field("Hostname", node.hostname.as_str())
            .field("Platform", platform);
        let own = Struct::new("struct { ID string; Name string; Slot string }")
            .field("ID", task.id.as_str())
            .field("Name", container_name(task, shared, node_id).as_str())
            .field("Slot", slot_text(task, node_id).as_str());
        let data = Struct::new("template.Context").field("Service", service).field("Node", host).field("Task", own);
        Self { data: data.into() }
    }

    fn expand(&self, spec: &mut ContainerSpec) -> Result<(), OrderError> {
        for entry in &mut spec.env {
            let Some((key, value)) = entry.split_once('=') else {
                continue;
            };
            let field = || format!("expanding env {entry:?}");
            let value = self.text(value).map_err(at("env", field))?;
            *entry = format!("{key}={value}");
        }
        spec.mounts.iter_mut().try_for_each(|mount| self.mount(mount))?;
        let field = || format!("expanding hostname {:?}", spec.hostname);
        spec.hostname = self.text(&spec.hostname).map_err(at("hostname", field))?;
        Ok(())
    }

    fn mount(&self, mount: &mut Mount) -> Result<(), OrderError> {
        for (what, text) in [("source", &mut mount.source), ("target", &mut mount.target)] {
            let field = || format!("expanding mount {what} {text:?}");
            *text = self.text(text).map_err(at("mounts", field))?;
        }
        let Some(options) = &mut mount.volume_options else {
            return Ok(());
        };
        for text in options.labels.values_mut() {
            let field = || format!("expanding volume label {text:?}");
            *text = self.text(text).map_err(at("mounts", field))?;
        }
        for text in options.driver_config.iter_mut().flat_map(|driver| driver.options.values_mut()) {
            let field = || format!("expanding volume driver option {text:?}");
            *text = self.text(text).map_err(at("mounts", field))?;
        }
        Ok(())
    }

    fn text(&self, text: &str) -> Result<String, String> {
        if !text.contains("{{") {
            return Ok(text.to_owned()); // Nearly every text; parsing it would give the same.
        }
        self.with(text, &Functions::new())
    }

    /// The template expanded, with more functions.
    pub(super) fn with(&self, text: &str, functions: &Functions) -> Result<String, String> {
        let template = swarm_template::service_template(text, functions).map_err(|error| error.to_string())?;
        template.render(&self.data).map_err(|error| error.to_string())
    }
}

fn at(place: &'static str, field: impl Fn() -> String) -> impl Fn(String) -> OrderError {
    move |reason| OrderError::Template { place, field: field(), reason }
}

fn pairs(labels: &swarm_types::Labels) -> impl Iterator<Item = (&str, &str)> {
    labels.iter().map(|(key, value)| (key.as_str(), value.as_str()))
}

#[cfg(test)]
mod tests;
