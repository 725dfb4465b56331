//! What a log entry is made of.

use crate::{Cluster, Network, Node, Service, Task};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use swarm_types::{
    Actor, Config, ConfigId, NetworkId, NodeId, PortProtocol, Secret, SecretId, ServiceId, SharedSpec, SpecId, TaskId, TaskState, Version,
};

/// One log entry: batches of several proposers, each with a result of its own.
pub type Entry = Vec<Batch>;

/// Changes that apply together or not at all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Batch {
    /// Who wants them; decides which moves of tasks are allowed.
    pub by: Actor,
    /// What must hold besides the versions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub guards: Vec<Guard>,
    /// The changes, applied in order.
    pub changes: Vec<Change>,
}

/// A finished change: the object as it will be, and the version it replaces.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Change {
    /// Store the object. Its own version field is set by applying.
    Put {
        /// The stored version; zero when the object must not exist yet.
        replaces: Version,
        /// The object after the change.
        object: Object,
    },
    /// Forget the object.
    Delete {
        /// The stored version.
        replaces: Version,
        /// Which object.
        key: Key,
    },
}

/// A stored object of any kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Object {
    /// The cluster.
    Cluster(Arc<Cluster>),
    /// A node.
    Node(Arc<Node>),
    /// A service.
    Service(Arc<Service>),
    /// A task.
    Task(Arc<Task>),
    /// A task template. Never changes; always put with version zero.
    Spec(Arc<SharedSpec>),
    /// A cluster network.
    Network(Arc<Network>),
    /// A secret.
    Secret(Arc<Secret>),
    /// A config.
    Config(Arc<Config>),
}

/// Names an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Key {
    /// The cluster.
    Cluster,
    /// A node.
    Node(NodeId),
    /// A service.
    Service(ServiceId),
    /// A task.
    Task(TaskId),
    /// A task template.
    Spec(SpecId),
    /// A cluster network.
    Network(NetworkId),
    /// A secret.
    Secret(SecretId),
    /// A config.
    Config(ConfigId),
}

/// A kind of object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Table {
    /// The cluster.
    Cluster,
    /// Nodes.
    Nodes,
    /// Services.
    Services,
    /// Tasks.
    Tasks,
    /// Task templates.
    Specs,
    /// Cluster networks.
    Networks,
    /// Secrets.
    Secrets,
    /// Configs.
    Configs,
}

/// What a batch relies on besides the versions of what it changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Guard {
    /// The object exists at exactly this version.
    At(Key, Version),
    /// Nothing in the table changed after this log index: for rules over many objects, such as "no service uses it".
    Unchanged(Table, u64),
}

/// Why a batch did not apply. Nothing of it was stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Conflict {
    /// The object changed, appeared or vanished in between.
    #[error("update out of sequence")]
    Version {
        /// Which object.
        key: Key,
        /// The version the batch replaces; zero for "must not exist".
        expected: Version,
        /// The stored version; zero for "does not exist".
        stored: Version,
    },
    /// Another object of the kind has the name.
    #[error("name conflicts with an existing object")]
    NameTaken {
        /// Who has it.
        holder: Key,
    },
    /// A guard did not hold any more.
    #[error("the state changed in between")]
    Guard(Guard),
    /// The task may not move so.
    #[error("task {task} may not move from {from} to {to}")]
    Move {
        /// The task.
        task: TaskId,
        /// Stored state (observed or desired).
        from: TaskState,
        /// State in the batch.
        to: TaskState,
    },
    /// Another service has the port of the routing mesh.
    #[error("port '{port}' is already in use by service '{holder}'")]
    PortTaken {
        /// The published port.
        port: u32,
        /// Its protocol.
        protocol: PortProtocol,
        /// Who has it.
        holder: ServiceId,
    },
    /// Another task or service has the address.
    #[error("address {address} of network {network} is in use")]
    AddressTaken {
        /// The network.
        network: NetworkId,
        /// The address.
        address: std::net::IpAddr,
        /// Who has it.
        holder: Key,
    },
    /// A task or service has an address on a network that is gone, or a network in use would be deleted.
    #[error("network {0} is missing or in use")]
    Network(NetworkId),
    /// A task or service names a template that is not stored, or a template in use would be deleted.
    #[error("template {0} is missing or in use")]
    Spec(SpecId),
}

impl Object {
    /// The object's name.
    #[must_use]
    pub fn key(&self) -> Key {
        match self {
            Self::Cluster(_) => Key::Cluster,
            Self::Node(n) => Key::Node(n.api.id),
            Self::Service(s) => Key::Service(s.id),
            Self::Task(t) => Key::Task(t.id),
            Self::Spec(s) => Key::Spec(s.id),
            Self::Network(n) => Key::Network(n.id),
            Self::Secret(s) => Key::Secret(s.id),
            Self::Config(c) => Key::Config(c.id),
        }
    }

    /// The version inside the object; zero for templates, which never change.
    #[must_use]
    pub fn version(&self) -> Version {
        match self {
            Self::Cluster(c) => c.api.version,
            Self::Node(n) => n.api.version,
            Self::Service(s) => s.version,
            Self::Task(t) => t.version,
            Self::Spec(_) => Version::default(),
            Self::Network(n) => n.version,
            Self::Secret(s) => s.version,
            Self::Config(c) => c.version,
        }
    }
}

impl Key {
    /// The table the object is in.
    #[must_use]
    pub fn table(&self) -> Table {
        match self {
            Self::Cluster => Table::Cluster,
            Self::Node(_) => Table::Nodes,
            Self::Service(_) => Table::Services,
            Self::Task(_) => Table::Tasks,
            Self::Spec(_) => Table::Specs,
            Self::Network(_) => Table::Networks,
            Self::Secret(_) => Table::Secrets,
            Self::Config(_) => Table::Configs,
        }
    }
}

impl Change {
    /// A new object.
    #[must_use]
    pub fn create(object: Object) -> Self {
        Self::Put { replaces: Version::default(), object }
    }

    /// A changed object: `object` still carries the version it was read at.
    #[must_use]
    pub fn update(object: Object) -> Self {
        Self::Put { replaces: object.version(), object }
    }

    /// A deleted object, as it was read.
    #[must_use]
    pub fn delete(object: &Object) -> Self {
        Self::Delete { replaces: object.version(), key: object.key() }
    }
}
