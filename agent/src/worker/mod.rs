//! The tasks of this host: what the managers ordered, what runs, and what is told back.
//!
//! One loop ([`reconciler`]) owns the assignment and the records; one loop per task ([`actor`]) does what a pure function
//! ([`step`]) says; one loop ([`watcher`]) listens to the engine. What always holds:
//! - A container is started once for its task and never again. A restarted agent, also after a crash, adopts what runs.
//! - Observed states only go forward, also when the agent lost its records.
//! - Nothing is removed because something is missing: a container whose task is unknown goes only after a complete set of
//!   orders has been seen in this life of the agent.
//! - An engine that does not answer changes no task's state. When it is back each container is looked at.
//! - Only containers with this node's label are touched.
//!
//! Deliberately absent: restarts. A task that ended has ended; the managers replace it.

mod actor;
mod backoff;
mod reconciler;
mod record;
mod records;
mod step;
mod watcher;

pub use crate::executor::NodeContext;
pub use records::RecordsError;

use crate::executor::{Executor, ExecutorError};
use crate::network::Told;
use reconciler::{Reconciler, Request};
use std::{path::PathBuf, sync::Arc};
use swarm_session::{Assign, AssignmentError, Generation, StatusReport};
use swarm_types::NodeId;
use tokio::sync::{mpsc, oneshot, watch};

/// Requests that may wait for the loop. Reached: the caller waits.
const REQUESTS_WAITING_MAX: usize = 64;

/// How the worker of a node is set up.
#[derive(Debug, Clone)]
pub struct WorkerConfig {
    /// Folder of its own for the records; made if missing. `None` keeps none: for workers that are never restarted, as in
    /// tests of scale.
    pub dir: Option<PathBuf>,
    /// This node. Records of another node are dropped.
    pub node_id: NodeId,
    /// The node's name for templates, until [`WorkerHandle::set_node`] tells more.
    pub hostname: String,
    /// Whether an image that is on the host is used without asking a registry.
    pub prefer_offline_images: bool,
    /// Where to say what the managers said of networks.
    pub networks: Arc<watch::Sender<Told>>,
}

/// The worker cannot do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The records cannot be used.
    #[error("the worker has no records")]
    Records(#[from] RecordsError),
    /// The engine did not remove all containers.
    #[error("could not remove the containers of this node")]
    Engine(#[from] ExecutorError),
    /// It was shut down.
    #[error("the worker has stopped")]
    Stopped,
}

/// An assignment was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AssignError {
    /// It does not fit what the worker holds: ask for a complete set.
    #[error(transparent)]
    Refused(#[from] AssignmentError),
    /// The worker was shut down.
    #[error("the worker has stopped")]
    Stopped,
}

/// A running worker. Cloning is cheap. The loops end when the last handle is dropped; containers go on.
#[derive(Clone)]
pub struct WorkerHandle {
    requests: mpsc::Sender<Request>,
    generation: watch::Receiver<Generation>,
    changed: watch::Receiver<u64>,
}

impl WorkerHandle {
    /// Opens the records and starts the loops on the present runtime. Containers of known tasks are adopted as soon as
    /// the engine answers.
    ///
    /// # Errors
    /// [`WorkerError::Records`] if the folder cannot be used or another agent uses it.
    pub async fn open(config: WorkerConfig, executor: Arc<dyn Executor>) -> Result<Self, WorkerError> {
        let (requests, received) = mpsc::channel(REQUESTS_WAITING_MAX);
        let (reconciler, generation, changed) = Reconciler::open(config, executor).await?;
        tokio::spawn(reconciler.run(received));
        Ok(Self { requests, generation, changed })
    }

    /// The newest generation taken; zero if there is none.
    #[must_use]
    pub fn generation(&self) -> Generation {
        *self.generation.borrow()
    }

    /// Takes an assignment and begins to act on it: first what has to stop, then what is new. Returns before anything of
    /// that is done. Dropping the future leaves it open whether the assignment is taken.
    ///
    /// # Errors
    /// [`AssignError::Refused`] leaves everything as it was.
    pub async fn assign(&self, assign: Assign) -> Result<(), AssignError> {
        let asked = self.ask(|answer| Request::Assign(Box::new(assign), answer)).await;
        Ok(asked.ok_or(AssignError::Stopped)??)
    }

    /// Changes whenever there may be something new to report.
    #[must_use]
    pub fn reports_changed(&self) -> watch::Receiver<u64> {
        self.changed.clone()
    }

    /// The newest status of each task whose status the managers have not taken yet. Empty after a shutdown.
    pub async fn unreported(&self) -> Vec<StatusReport> {
        self.ask(Request::Unreported).await.unwrap_or_default()
    }

    /// The managers took these. A newer status of the same task stays unreported.
    pub async fn taken(&self, reports: &[StatusReport]) {
        self.ask(|answer| Request::Taken(reports.to_vec(), answer)).await;
    }

    /// Every status is to be reported again, as after the start of a session.
    pub async fn report_all_again(&self) {
        self.ask(Request::ReportAllAgain).await;
    }

    /// What templates and log drivers of tasks made from now on use.
    pub async fn set_node(&self, node: NodeContext) {
        self.ask(|answer| Request::SetNode(Box::new(node), answer)).await;
    }

    /// Removes every container of this node and forgets all records, as on leaving the cluster. The containers are killed:
    /// nobody waits for their tasks any more.
    ///
    /// # Errors
    /// [`WorkerError::Engine`] if the engine does not answer or refuses; then nothing is forgotten and what is left goes
    /// on. Try again.
    pub async fn clear(&self) -> Result<(), WorkerError> {
        self.ask(Request::Clear).await.ok_or(WorkerError::Stopped)?
    }

    /// Ends the loops in order and writes the records. Containers go on. Does nothing the second time.
    pub async fn shutdown(&self) {
        self.ask(Request::Shutdown).await;
    }

    /// `None` if the worker was shut down.
    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        self.requests.send(request(answer)).await.ok()?;
        answered.await.ok()
    }
}

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;
