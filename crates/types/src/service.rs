//! Services: what the operator wants to run.

use crate::{Labels, Nanos, ServiceId, TaskSpec, Timestamp, Version, is_default, text_enum::text_enum};
use serde::{Deserialize, Serialize};

/// A service as the API shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Service {
    /// Its id.
    #[serde(rename = "ID")]
    pub id: ServiceId,
    /// Log index of the last change.
    pub version: Version,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// What is wanted.
    pub spec: ServiceSpec,
    /// What was wanted before the last accepted change; the target of a rollback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_spec: Option<ServiceSpec>,
    /// Ports and virtual IPs as allocated.
    #[serde(default)]
    pub endpoint: Endpoint,
    /// How the last update goes; absent when there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update_status: Option<UpdateStatus>,
    /// Counts of tasks; only in lists that ask for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_status: Option<ServiceStatus>,
    /// Only for jobs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_status: Option<JobStatus>,
}

/// What the operator wants to run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ServiceSpec {
    /// Unique in the cluster, ignoring case.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Service labels.
    pub labels: Labels,
    /// What each task is made from.
    pub task_template: TaskSpec,
    /// How many tasks there are.
    pub mode: ServiceMode,
    /// How tasks are replaced; `None` is the default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub update_config: Option<UpdateConfig>,
    /// How tasks are put back; `None` is the default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollback_config: Option<UpdateConfig>,
    /// Networks of the service, an old place for them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<crate::NetworkAttachmentConfig>,
    /// How it is reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint_spec: Option<EndpointSpec>,
}

/// How many tasks there are. Exactly one is set in a valid spec; none set means one replica.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ServiceMode {
    /// A fixed number of slots.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicated: Option<ReplicatedService>,
    /// One on each fitting node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub global: Option<GlobalService>,
    /// A number of runs to completion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicated_job: Option<ReplicatedJob>,
    /// One run to completion on each fitting node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub global_job: Option<GlobalJob>,
}

/// A fixed number of slots.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ReplicatedService {
    /// `None` is 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<u64>,
}

/// One task on each fitting node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GlobalService {}

/// A number of runs to completion.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ReplicatedJob {
    /// At once; `None` is 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_concurrent: Option<u64>,
    /// In all; `None` is `max_concurrent`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_completions: Option<u64>,
}

/// One run to completion on each fitting node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GlobalJob {}

text_enum! {
    /// What an update does when a new task fails.
    #[derive(Default)]
    FailureAction as "FailureAction" {
        /// Stop there.
        #[default] Pause = "pause",
        /// Go on.
        Continue = "continue",
        /// Go back to the previous spec.
        Rollback = "rollback",
    }
}

text_enum! {
    /// Which of the two tasks of a slot goes first.
    #[derive(Default)]
    UpdateOrder as "UpdateOrder" {
        /// Stop the old one, then start the new one.
        #[default] StopFirst = "stop-first",
        /// Start the new one, then stop the old one.
        StartFirst = "start-first",
    }
}

/// How tasks are replaced.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct UpdateConfig {
    /// Slots at a time; zero is all at once.
    pub parallelism: u64,
    /// Wait between two slots.
    #[serde(skip_serializing_if = "is_default")]
    pub delay: Nanos,
    /// On too many failures; empty is pause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_action: Option<FailureAction>,
    /// How long a new task is watched; `None` or zero is 5 s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub monitor: Option<Nanos>,
    /// Share of slots that may fail: 0 to 1.
    #[serde(serialize_with = "ratio")]
    pub max_failure_ratio: f32,
    /// Which task goes first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<UpdateOrder>,
}

/// Whole numbers without a fraction, as Go writes them in JSON.
fn ratio<S: serde::Serializer>(ratio: &f32, serializer: S) -> Result<S::Ok, S::Error> {
    #[expect(clippy::cast_possible_truncation, reason = "only small whole numbers get here")]
    match ratio {
        whole if serializer.is_human_readable() && whole.fract() == 0.0 && whole.abs() < 1e6 => serializer.serialize_i32(*whole as i32),
        other => serializer.serialize_f32(*other),
    }
}

text_enum! {
    /// How an update goes.
    #[derive(Default)]
    UpdateState as "UpdateState" {
        /// Under way.
        #[default] Updating = "updating",
        /// Stopped after failures.
        Paused = "paused",
        /// Done.
        Completed = "completed",
        /// Going back.
        RollbackStarted = "rollback_started",
        /// Going back stopped after failures.
        RollbackPaused = "rollback_paused",
        /// Went back.
        RollbackCompleted = "rollback_completed",
    }
}

/// How the last update goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct UpdateStatus {
    /// Its state.
    pub state: UpdateState,
    /// When it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Timestamp>,
    /// For people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// Counts of a service's tasks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ServiceStatus {
    /// Observed running and wanted running.
    pub running_tasks: u64,
    /// Wanted running.
    pub desired_tasks: u64,
    /// Of the present job iteration, complete.
    pub completed_tasks: u64,
}

/// Where a job is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct JobStatus {
    /// Which run this is.
    pub job_iteration: Version,
    /// When it began.
    pub last_execution: Timestamp,
}

text_enum! {
    /// How a service's name is answered.
    #[derive(Default)]
    EndpointMode as "resolution mode" {
        /// One virtual IP for all tasks.
        #[default] Vip = "vip",
        /// The addresses of the tasks.
        Dnsrr = "dnsrr",
    }
}

text_enum! {
    /// Protocol of a published port.
    #[derive(Default)]
    PortProtocol as "protocol" {
        /// TCP.
        #[default] Tcp = "tcp",
        /// UDP.
        Udp = "udp",
        /// SCTP.
        Sctp = "sctp",
    }
}

text_enum! {
    /// Where a published port is open.
    #[derive(Default)]
    PublishMode as "PublishMode" {
        /// On every node, through the routing mesh.
        #[default] Ingress = "ingress",
        /// On the nodes that run a task.
        Host = "host",
    }
}

/// A published port.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PortConfig {
    /// For people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// TCP, UDP or SCTP.
    pub protocol: PortProtocol,
    /// Port of the container.
    #[serde(skip_serializing_if = "is_default")]
    pub target_port: u32,
    /// Port of the node; zero is chosen.
    #[serde(skip_serializing_if = "is_default")]
    pub published_port: u32,
    /// Where it is open.
    pub publish_mode: PublishMode,
}

/// How a service is reached.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct EndpointSpec {
    /// How its name is answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<EndpointMode>,
    /// Published ports.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<PortConfig>,
}

/// Ports and virtual IPs as allocated.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Endpoint {
    /// The spec they were allocated for.
    pub spec: EndpointSpec,
    /// Ports with their published numbers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<PortConfig>,
    /// One per network.
    #[serde(rename = "VirtualIPs", skip_serializing_if = "Vec::is_empty")]
    pub virtual_ips: Vec<VirtualIp>,
}

/// A service's address on a network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct VirtualIp {
    /// The network.
    #[serde(rename = "NetworkID")]
    pub network_id: String,
    /// Address in CIDR form.
    #[serde(rename = "Addr", skip_serializing_if = "String::is_empty")]
    pub addr: String,
}
