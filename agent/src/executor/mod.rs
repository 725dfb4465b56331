//! What makes containers of tasks: single steps, each of which can be tried again.
//!
//! The [`Executor`] decides nothing about a task's state; the worker does. What always holds:
//! - No step makes a second container for a task: a container that is there already is adopted.
//! - An engine that cannot be reached is an error that says so ([`ExecutorError::is_temporary`]), never a verdict on a
//!   task.
//! - Only containers that carry this node's label are listed, so several agents may share one engine.
//!
//! Waiting for a container is [`Executor::events`] and [`Executor::inspect`] together: an event says that something may
//! have changed, the inspection says what is. One stream serves all containers of the node, and a lost event costs time,
//! never correctness.

pub mod docker;
pub mod files;
pub mod order;

pub use docker::DockerExecutor;
pub use files::{FilesError, TaskFile, task_files};
pub use order::{Attachment, ContainerOrder, NodeContext, OrderError};

use futures_util::{future::BoxFuture, stream::BoxStream};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt, time::Duration};
use swarm_types::{NodeDescription, NodeId, PortConfig, TaskId};

/// A step that has been begun. Dropping it ends the waiting; what the engine was told already may still happen.
pub type Step<'a, T> = BoxFuture<'a, Result<T, ExecutorError>>;

/// Makes and watches the containers of tasks.
pub trait Executor: Send + Sync + 'static {
    /// The host as its engine describes it. `tls_info` is left empty.
    fn describe(&self) -> Step<'_, NodeDescription>;

    /// Makes sure that the order's image is on the host, as far as that is possible: a failed look-up is no error, the
    /// creation of the container then tells whether the image is there. Dropping it cancels a download.
    fn ensure_image<'a>(&'a self, order: &'a ContainerOrder) -> Step<'a, ()>;

    /// Makes the order's container, or adopts the one that carries its task's id.
    fn create<'a>(&'a self, order: &'a ContainerOrder) -> Step<'a, Container>;

    /// Starts a container that never ran. One that runs already is no error.
    fn start<'a>(&'a self, id: &'a ContainerId) -> Step<'a, ()>;

    /// Asks a container to stop, kills it after `grace` (whole seconds count), and waits for its end. One that does not
    /// run or exist is no error.
    fn stop<'a>(&'a self, id: &'a ContainerId, grace: Duration) -> Step<'a, ()>;

    /// Removes a container and its anonymous volumes, killing it if it runs. One that does not exist is no error.
    fn remove<'a>(&'a self, id: &'a ContainerId) -> Step<'a, ()>;

    /// Removes the files in memory that the container of this task had. None is no error.
    fn release(&self, task: TaskId) -> Step<'_, ()>;

    /// Removes the files in memory that an earlier life of this program left of all tasks but these.
    fn release_others<'a>(&'a self, tasks: &'a BTreeSet<TaskId>) -> Step<'a, ()>;

    /// Removes the files in memory of all tasks, and what was made for having such files.
    fn release_all(&self) -> Step<'_, ()>;

    /// What a container is doing now; `None` if there is none.
    fn inspect<'a>(&'a self, id: &'a ContainerId) -> Step<'a, Option<Container>>;

    /// The container that carries the id of this task, for an agent that lost its own records.
    fn find(&self, task: TaskId) -> Step<'_, Option<Container>>;

    /// Every container that carries this node's id, running or not.
    fn list_own(&self, node: NodeId) -> Step<'_, Vec<OwnContainer>>;

    /// Tells when a container of this node starts, ends, is removed or changes its health, from a moment before the call.
    /// The stream ends or fails when the engine is lost; events of that time are lost with it.
    fn events(&self, node: NodeId) -> BoxStream<'_, Result<ContainerEvent, ExecutorError>>;
}

/// A step failed.
#[derive(Debug, thiserror::Error)]
pub enum ExecutorError {
    /// The engine does not answer. Nothing is known about the container.
    #[error("cannot reach the container engine at {host}")]
    Unreachable {
        /// Where the engine should be.
        host: String,
        /// What the connection said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The engine answers, but cannot do this now: its answer is not readable, or the container is just being removed.
    #[error("{what}")]
    Unready {
        /// What stands in the way.
        what: String,
        /// The cause, where there is one.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The engine or a check refused; trying the same again gives the same. The text is Docker's.
    #[error("{0}")]
    Refused(String),
}

impl ExecutorError {
    /// Whether the same step may succeed later without any change to the order.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Unready { .. } => true,
            Self::Refused(_) => false,
        }
    }
}

/// The engine's name for a container: 64 hexadecimal digits with dockerd.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ContainerId(String);

impl ContainerId {
    /// Takes the engine's text as it is.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The engine's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.get(..12).unwrap_or(&self.0))
    }
}

/// A container and what it is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Its id.
    pub id: ContainerId,
    /// What it is doing.
    pub phase: Phase,
}

/// What a container is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// It has never run.
    Created,
    /// Its first process runs.
    Running(Running),
    /// It ran and does not run now.
    Ended(Ended),
}

/// A running container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Running {
    /// What its health check says.
    pub health: Health,
    /// Its first process.
    pub pid: i64,
    /// Ports of the host that lead into it, with their real numbers.
    pub ports: Vec<PortConfig>,
}

/// A container that ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ended {
    /// Exit code of its first process.
    pub exit_code: i64,
    /// What the engine says went wrong; usually empty.
    pub error: String,
}

/// What a health check says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Health {
    /// There is no health check.
    #[default]
    Unchecked,
    /// It has neither passed nor failed often enough.
    Starting,
    /// It passed last.
    Healthy,
    /// It failed too often.
    Unhealthy,
}

/// A container of this node, as a list tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnContainer {
    /// Its id.
    pub id: ContainerId,
    /// The task in its labels.
    pub task: TaskId,
    /// Whether its first process runs.
    pub running: bool,
    /// Whether its health check failed too often.
    pub unhealthy: bool,
}

/// Something happened to a container of this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerEvent {
    /// The task in the container's labels.
    pub task: TaskId,
    /// What happened.
    pub kind: ContainerEventKind,
}

/// What happened to a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContainerEventKind {
    /// It was started.
    Started,
    /// Its first process ended.
    Died {
        /// Its exit code.
        exit_code: i64,
    },
    /// Its health changed.
    Health,
    /// It was removed.
    Removed,
}
