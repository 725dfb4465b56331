//! Containers that are no tasks on cluster networks: what an agent asks its manager for, over port 2377.
//!
//! `POST /networks/attach` takes an [`AttachRequest`] and answers an [`AttachAnswer`]; asking the same twice gives the same.
//! `POST /networks/detach` takes a [`DetachRequest`] and answers nothing. An agent that starts says with
//! [`DetachRequest::AllBut`] what it still has. The network's table comes with the session, as for a task, as long as
//! something of the node is attached.

use crate::{NodeNetwork, TaskAttachment};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use swarm_types::TaskId;

/// A container is to be attached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachRequest {
    /// The container's id in the engine, or whatever else names it on the host.
    pub container: String,
    /// Its name, by which others on the network find it.
    pub name: String,
    /// The network's id or name.
    pub network: String,
    /// Addresses it is to have; none are chosen.
    #[serde(default)]
    pub addresses: Vec<IpAddr>,
    /// Further names.
    #[serde(default)]
    pub aliases: Vec<String>,
}

/// What became of an [`AttachRequest`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum AttachAnswer {
    /// It is attached.
    Attached {
        /// Stands for the container in the cluster; to be named when it goes.
        task: TaskId,
        /// Its addresses.
        attachment: TaskAttachment,
        /// The network.
        network: Box<NodeNetwork>,
    },
    /// It cannot be; in Docker's words, for the user.
    Refused(String),
    /// Nobody could decide now; to be asked again.
    Unavailable(String),
}

/// Containers are attached no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DetachRequest {
    /// This one.
    One(TaskId),
    /// All of the node but these.
    AllBut(Vec<TaskId>),
}
