//! The cluster object and the requests that make, join and change a cluster.

use crate::{Availability, ClusterId, Driver, Labels, Nanos, NodeId, Timestamp, TlsInfo, Version, is_default};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The cluster as the API shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Swarm {
    /// Its id.
    #[serde(rename = "ID")]
    pub id: ClusterId,
    /// Log index of the last change.
    pub version: Version,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// What the operator wants.
    pub spec: SwarmSpec,
    /// Its root CA.
    #[serde(rename = "TLSInfo", default)]
    pub tls_info: TlsInfo,
    /// Whether the root CA is being replaced.
    #[serde(default)]
    pub root_rotation_in_progress: bool,
    /// UDP port of VXLAN.
    #[serde(default)]
    pub data_path_port: u32,
    /// Pools that network subnets are taken from.
    #[serde(default)]
    pub default_addr_pool: Vec<String>,
    /// Prefix length of those subnets.
    #[serde(default)]
    pub subnet_size: u32,
    /// Left out of `/info`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub join_tokens: Option<JoinTokens>,
}

/// The two join tokens.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct JoinTokens {
    /// Makes workers.
    pub worker: String,
    /// Makes managers.
    pub manager: String,
}

impl std::fmt::Debug for JoinTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JoinTokens(redacted)")
    }
}

/// What the operator wants of the cluster.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct SwarmSpec {
    /// Always `default`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Labels of the cluster.
    pub labels: Labels,
    /// Task history.
    pub orchestration: OrchestrationConfig,
    /// Log and snapshots.
    pub raft: RaftConfig,
    /// Agents.
    pub dispatcher: DispatcherConfig,
    /// Certificates.
    #[serde(rename = "CAConfig")]
    pub ca_config: CaConfig,
    /// Defaults for tasks.
    pub task_defaults: TaskDefaults,
    /// Autolock.
    pub encryption_config: EncryptionConfig,
}

/// Task history.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct OrchestrationConfig {
    /// Ended tasks kept per slot; `None` is 5, negative is unlimited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_history_retention_limit: Option<i64>,
}

/// Log and snapshots. Ticks are kept for clients; elections follow the daemon's own timing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RaftConfig {
    /// Log entries between snapshots; zero is 10000.
    #[serde(skip_serializing_if = "is_default")]
    pub snapshot_interval: u64,
    /// Older snapshots kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_old_snapshots: Option<u64>,
    /// Entries kept after a snapshot for slow followers; zero is 500.
    #[serde(skip_serializing_if = "is_default")]
    pub log_entries_for_slow_followers: u64,
    /// Kept for clients.
    pub election_tick: i64,
    /// Kept for clients.
    pub heartbeat_tick: i64,
}

/// Agents.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DispatcherConfig {
    /// Between two beats of an agent; zero is 5 s.
    #[serde(skip_serializing_if = "is_default")]
    pub heartbeat_period: Nanos,
}

/// Certificates.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CaConfig {
    /// Validity of node certificates; zero is 90 days.
    #[serde(rename = "NodeCertExpiry", skip_serializing_if = "is_default")]
    pub node_cert_expiry: Nanos,
    /// External CAs.
    #[serde(rename = "ExternalCAs", skip_serializing_if = "Vec::is_empty")]
    pub external_cas: Vec<ExternalCa>,
    /// A new root certificate, PEM; never returned.
    #[serde(rename = "SigningCACert", skip_serializing_if = "String::is_empty")]
    pub signing_ca_cert: String,
    /// A new root key, PEM; never returned.
    #[serde(rename = "SigningCAKey", skip_serializing_if = "String::is_empty")]
    pub signing_ca_key: String,
    /// Raised to make a new root.
    #[serde(rename = "ForceRotate", skip_serializing_if = "is_default")]
    pub force_rotate: u64,
}

/// A CA outside the cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExternalCa {
    /// `cfssl`.
    #[serde(rename = "Protocol")]
    pub protocol: String,
    /// Where it answers.
    #[serde(rename = "URL")]
    pub url: String,
    /// Further options.
    #[serde(rename = "Options", skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
    /// Its root certificate, PEM.
    #[serde(rename = "CACert")]
    pub ca_cert: String,
}

/// Defaults for tasks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TaskDefaults {
    /// For tasks that name no log driver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_driver: Option<Driver>,
}

/// Autolock.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct EncryptionConfig {
    /// Whether manager keys are sealed with the unlock key.
    pub auto_lock_managers: bool,
}

/// Body of `POST /swarm/init`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct InitRequest {
    /// `ADDR[:PORT]` or interface to listen on; empty is `0.0.0.0:2377`.
    pub listen_addr: String,
    /// `ADDR[:PORT]` or interface told to others; empty is found out.
    pub advertise_addr: String,
    /// Address or interface of VXLAN; empty is the advertise address.
    pub data_path_addr: String,
    /// UDP port of VXLAN; zero is 4789.
    pub data_path_port: u32,
    /// Pools for network subnets; empty is `10.0.0.0/8`.
    pub default_addr_pool: Vec<String>,
    /// Prefix length of subnets; zero is 24.
    pub subnet_size: u32,
    /// Make a cluster of one from the local state.
    pub force_new_cluster: bool,
    /// Seal manager keys with an unlock key.
    pub auto_lock_managers: bool,
    /// Of this node.
    pub availability: Availability,
    /// The cluster's spec.
    pub spec: SwarmSpec,
}

/// Body of `POST /swarm/join`.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct JoinRequest {
    /// As in [`InitRequest`].
    pub listen_addr: String,
    /// As in [`InitRequest`]; may stay empty.
    pub advertise_addr: String,
    /// As in [`InitRequest`].
    pub data_path_addr: String,
    /// Managers to ask, the first one first.
    pub remote_addrs: Vec<String>,
    /// Decides the role.
    pub join_token: String,
    /// Of this node.
    pub availability: Availability,
}

impl std::fmt::Debug for JoinRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JoinRequest").field("remote_addrs", &self.remote_addrs).finish_non_exhaustive()
    }
}

crate::text_enum::text_enum! {
    /// What this host is to a swarm.
    #[derive(Default)]
    LocalNodeState as "LocalNodeState" {
        /// In no swarm.
        #[default] Inactive = "inactive",
        /// Joining.
        Pending = "pending",
        /// In one.
        Active = "active",
        /// Cannot take part.
        Error = "error",
        /// Waits for the unlock key.
        Locked = "locked",
    }
}

/// The `Swarm` part of `/info`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SwarmInfo {
    /// This node; empty outside a swarm.
    #[serde(rename = "NodeID")]
    pub node_id: String,
    /// Address told to others, without a port.
    #[serde(rename = "NodeAddr")]
    pub node_addr: String,
    /// What this host is to a swarm.
    #[serde(rename = "LocalNodeState")]
    pub local_node_state: LocalNodeState,
    /// Whether this host answers cluster calls.
    #[serde(rename = "ControlAvailable")]
    pub control_available: bool,
    /// Why it cannot take part.
    #[serde(rename = "Error")]
    pub error: String,
    /// Managers it knows.
    #[serde(rename = "RemoteManagers")]
    pub remote_managers: Option<Vec<RemoteManager>>,
    /// Nodes in the cluster; managers only.
    #[serde(rename = "Nodes", skip_serializing_if = "is_default")]
    pub nodes: u64,
    /// Managers in the cluster; managers only.
    #[serde(rename = "Managers", skip_serializing_if = "is_default")]
    pub managers: u64,
    /// The cluster without tokens; managers only.
    #[serde(rename = "Cluster", skip_serializing_if = "Option::is_none")]
    pub cluster: Option<Swarm>,
    /// For people.
    #[serde(rename = "Warnings", skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// A manager and where it answers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RemoteManager {
    /// The manager's node id.
    #[serde(rename = "NodeID")]
    pub node_id: NodeId,
    /// `host:port` of its port 2377.
    #[serde(rename = "Addr")]
    pub addr: String,
}
