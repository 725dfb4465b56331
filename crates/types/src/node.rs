//! Nodes: what the operator wants of a host, what the host says of itself, and what the cluster thinks of it.

use crate::{Labels, NodeId, Timestamp, Version, is_default, text_enum::text_enum};
use serde::{Deserialize, Serialize};

text_enum! {
    /// What a node is in the cluster.
    #[derive(Default)]
    Role as "Role" {
        /// Runs tasks.
        #[default] Worker = "worker",
        /// Also keeps the cluster state.
        Manager = "manager",
    }
}

text_enum! {
    /// The operator's wish for tasks on a node.
    #[derive(Default)]
    Availability as "Availability" {
        /// Takes new tasks.
        #[default] Active = "active",
        /// Takes no new tasks, keeps what it has.
        Pause = "pause",
        /// Takes no tasks; what it has moves away.
        Drain = "drain",
    }
}

text_enum! {
    /// Whether the cluster hears from the node.
    #[derive(Default)]
    NodeState as "NodeState" {
        /// Not known yet, as after its creation.
        #[default] Unknown = "unknown",
        /// Unheard of for longer than its grace.
        Down = "down",
        /// In a session.
        Ready = "ready",
        /// Its session ended; it is looking for a manager.
        Disconnected = "disconnected",
    }
}

text_enum! {
    /// Whether a manager answers its peers.
    #[derive(Default)]
    Reachability as "Reachability" {
        /// Not known.
        #[default] Unknown = "unknown",
        /// Does not answer.
        Unreachable = "unreachable",
        /// Answers.
        Reachable = "reachable",
    }
}

/// A node as the API shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Node {
    /// CN of its certificate.
    #[serde(rename = "ID")]
    pub id: NodeId,
    /// Log index of the last change.
    pub version: Version,
    /// When it joined.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// What the operator wants.
    pub spec: NodeSpec,
    /// What the host says of itself.
    #[serde(default)]
    pub description: NodeDescription,
    /// What the cluster thinks of it.
    #[serde(default)]
    pub status: NodeStatus,
    /// Only for managers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manager_status: Option<ManagerStatus>,
}

/// What the operator wants of a node. `role` is the desired role.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct NodeSpec {
    /// Shown instead of the hostname when set.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Node labels (`node.labels.K` in constraints).
    #[serde(default)]
    pub labels: Labels,
    /// Desired role.
    #[serde(default)]
    pub role: Role,
    /// Wish for tasks.
    #[serde(default)]
    pub availability: Availability,
}

/// What a host says of itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NodeDescription {
    /// Its name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub hostname: String,
    /// What images it runs.
    pub platform: Platform,
    /// What it can give to tasks in all.
    pub resources: Resources,
    /// Its Docker Engine.
    pub engine: EngineDescription,
    /// Which CA signed its certificate.
    #[serde(rename = "TLSInfo")]
    pub tls_info: TlsInfo,
}

/// Operating system and architecture in the engine's words (`linux`, `x86_64`).
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Platform {
    /// Such as `x86_64`; empty matches all.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub architecture: String,
    /// Such as `linux`; empty matches all.
    #[serde(rename = "OS", skip_serializing_if = "String::is_empty")]
    pub os: String,
}

/// An amount of each resource: a node's total or a task's reservation.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Resources {
    /// CPU in billionths of a core.
    #[serde(rename = "NanoCPUs", skip_serializing_if = "is_default")]
    pub nano_cpus: i64,
    /// Memory in bytes.
    #[serde(skip_serializing_if = "is_default")]
    pub memory_bytes: i64,
    /// Counted or named resources such as GPUs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub generic_resources: Vec<GenericResource>,
}

/// One generic resource: a count, or one named piece.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum GenericResource {
    /// A named piece.
    #[serde(rename = "NamedResourceSpec")]
    Named {
        /// Kind, such as `GPU`.
        #[serde(rename = "Kind", default)]
        kind: String,
        /// Name of the piece.
        #[serde(rename = "Value", default)]
        value: String,
    },
    /// A count.
    #[serde(rename = "DiscreteResourceSpec")]
    Discrete {
        /// Kind, such as `SSD`.
        #[serde(rename = "Kind", default)]
        kind: String,
        /// How many.
        #[serde(rename = "Value", default)]
        value: i64,
    },
}

/// The Docker Engine of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct EngineDescription {
    /// Its version.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub engine_version: String,
    /// Engine labels (`engine.labels.K` in constraints).
    #[serde(skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// Volume, network, log and authorization drivers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub plugins: Vec<PluginDescription>,
}

/// A driver that the engine has.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PluginDescription {
    /// `Volume`, `Network`, `Log` or `Authorization`.
    #[serde(rename = "Type", skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Name of the driver.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
}

/// Which CA a certificate comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TlsInfo {
    /// Root certificate, PEM.
    #[serde(rename = "TrustRoot", skip_serializing_if = "String::is_empty")]
    pub trust_root: String,
    /// DER of the issuer's subject, base64.
    #[serde(rename = "CertIssuerSubject", skip_serializing_if = "String::is_empty")]
    pub cert_issuer_subject: String,
    /// DER of the issuer's public key, base64.
    #[serde(rename = "CertIssuerPublicKey", skip_serializing_if = "String::is_empty")]
    pub cert_issuer_public_key: String,
}

/// What the cluster thinks of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NodeStatus {
    /// Heard of or not.
    pub state: NodeState,
    /// Why, for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Its address as the managers see it, without a port.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub addr: String,
}

/// How a manager stands in Raft.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ManagerStatus {
    /// Whether it leads.
    #[serde(skip_serializing_if = "is_default")]
    pub leader: bool,
    /// Whether it answers its peers.
    pub reachability: Reachability,
    /// `host:port` of its port 2377.
    pub addr: String,
}
