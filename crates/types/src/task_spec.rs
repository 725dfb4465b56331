//! The task template of a service.

use crate::{
    ContainerSpec, Driver, EndpointSpec, GenericResource, Labels, Nanos, Platform, Resources, ServiceId, SpecId, is_default,
    text_enum::text_enum,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What every task of a service is made from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TaskSpec {
    /// The container; always present for the runtime `container`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_spec: Option<ContainerSpec>,
    /// Kept only to be refused: tasks are containers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugin_spec: Option<serde_json::Value>,
    /// Kept only to be refused: attachments are not made through services.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_attachment_spec: Option<serde_json::Value>,
    /// Limits and reservations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    /// What happens when the container ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart_policy: Option<RestartPolicy>,
    /// Where tasks may run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,
    /// Networks to attach to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<NetworkAttachmentConfig>,
    /// Where the container's output goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_driver: Option<Driver>,
    /// Raised to replace all tasks though nothing else changed.
    pub force_update: u64,
    /// `container` (or empty); anything else is refused.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub runtime: String,
}

/// Limits are enforced by the engine; reservations are what the scheduler counts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ResourceRequirements {
    /// Upper bounds for the container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// Set aside on the node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reservations: Option<Resources>,
    /// Swap in bytes besides the memory limit; -1 is unlimited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swap_bytes: Option<i64>,
    /// 0 to 100; -1 or absent inherits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_swappiness: Option<i64>,
}

/// Upper bounds for a container; zero is unlimited.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Limits {
    /// CPU in billionths of a core.
    #[serde(rename = "NanoCPUs", skip_serializing_if = "is_default")]
    pub nano_cpus: i64,
    /// Memory in bytes.
    #[serde(skip_serializing_if = "is_default")]
    pub memory_bytes: i64,
    /// Processes.
    #[serde(skip_serializing_if = "is_default")]
    pub pids: i64,
    /// Kept only to be refused: a limit on generic resources has no meaning.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub generic_resources: Vec<GenericResource>,
}

text_enum! {
    /// After which ends a task is replaced.
    #[derive(Default)]
    RestartCondition as "RestartCondition" {
        /// Never.
        None = "none",
        /// After a failure.
        OnFailure = "on-failure",
        /// Always.
        #[default] Any = "any",
    }
}

/// What happens when a task's container ends.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RestartPolicy {
    /// After which ends.
    pub condition: RestartCondition,
    /// Wait before the replacement starts; `None` is 5 s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay: Option<Nanos>,
    /// Replacements per slot; `None` or zero is unlimited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<u64>,
    /// Time over which attempts are counted; `None` or zero is for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Nanos>,
}

/// Where tasks may run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Placement {
    /// `key==value` or `key!=value`; all must hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub constraints: Vec<String>,
    /// How to spread.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub preferences: Vec<PlacementPreference>,
    /// Tasks of the service on one node at most; zero is unlimited.
    #[serde(skip_serializing_if = "is_default")]
    pub max_replicas: u64,
    /// Platforms the image exists for; empty is any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub platforms: Vec<Platform>,
}

/// One level of spreading.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PlacementPreference {
    /// Spread over the values of a label.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spread: Option<SpreadOver>,
}

/// The label to spread over.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct SpreadOver {
    /// `node.labels.K` or `engine.labels.K`.
    pub spread_descriptor: String,
}

/// A network that tasks attach to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworkAttachmentConfig {
    /// Network name or id.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub target: String,
    /// Further names of the service there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// Options for the driver.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub driver_opts: BTreeMap<String, String>,
}

/// One task template, shared by many tasks: stored, logged and sent once, named by its id everywhere else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SharedSpec {
    /// What tasks name it by.
    pub id: SpecId,
    /// Its service; `None` for attachments.
    pub service_id: Option<ServiceId>,
    /// Name of the service when the template was made: part of container names.
    pub service_name: String,
    /// Labels of the service then; templates may use them.
    pub service_labels: Labels,
    /// The template.
    pub template: TaskSpec,
    /// Ports, of which the host-mode ones matter to an agent.
    pub endpoint: Option<EndpointSpec>,
}
