//! Drives one task: asks [`step`] what to do, does it, tells the reconciler what became of it.
//!
//! An actor ends when its task is forgotten or when it is told to halt. It halts between steps, and never leaves the
//! making or starting of a container half awaited, so that who halts it knows what there is.

use super::{
    backoff::Backoff,
    record::{HostPort, TaskRecord},
    step::{Action, Facts, Seen, Wanted, refused, step},
};
use crate::{
    executor::{ContainerOrder, Executor, ExecutorError, FilesError, NodeContext, Phase, TaskFile, task_files},
    network::Told,
};
use std::{collections::BTreeSet, sync::Arc};
use swarm_session::{AssignedTask, HeldPayloads, SharedSpec};
use swarm_types::{NodeId, TaskId, TaskState, Timestamp};
use tokio::sync::{mpsc, watch};

/// What an actor is told. Lost, merged or doubled changes cost time, never correctness.
#[derive(Debug, Clone)]
pub(super) struct Order {
    /// What the managers want.
    pub(super) wanted: Wanted,
    /// What the managers have recorded.
    pub(super) recorded: TaskState,
    /// Raised when the container may have changed.
    pub(super) look: u64,
    /// Exit code that an event told of the container's end.
    pub(super) died: Option<i64>,
    /// End after the step under way.
    pub(super) halt: bool,
}

/// What an actor tells.
#[derive(Debug)]
pub(super) enum Report {
    /// The task's record changed.
    Changed(TaskId, Box<TaskRecord>),
    /// The task has left no trace.
    Forgotten(TaskId),
}

/// What all actors of a worker share.
#[derive(Clone)]
pub(super) struct Surroundings {
    pub(super) executor: Arc<dyn Executor>,
    pub(super) node_id: NodeId,
    pub(super) prefer_offline_images: bool,
    pub(super) node: watch::Receiver<NodeContext>,
    /// What the managers said of networks.
    pub(super) networks: watch::Receiver<Told>,
    /// Raised with each new connection to the engine.
    pub(super) engine: watch::Receiver<u64>,
    /// Secrets and configs of this node's tasks, as far as they have arrived.
    pub(super) payloads: watch::Receiver<HeldPayloads>,
    /// Host ports of tasks that are being stopped.
    pub(super) held_ports: watch::Receiver<BTreeSet<HostPort>>,
    pub(super) reports: mpsc::Sender<Report>,
}

/// What a task is made from; unknown for one that left the assignment before the agent restarted.
pub(super) type Template = Option<(AssignedTask, Arc<SharedSpec>)>;

/// The loop of one task.
pub(super) struct Actor {
    pub(super) id: TaskId,
    pub(super) template: Template,
    pub(super) record: TaskRecord,
    pub(super) seen: Seen,
    pub(super) orders: watch::Receiver<Order>,
    pub(super) around: Surroundings,
}

/// What the loop remembers besides the record and what it saw.
struct Progress {
    backoff: Backoff,
    looked: u64,
    image_ready: bool,
}

impl Actor {
    /// Runs until the task is forgotten or the actor is halted.
    pub(super) async fn run(mut self) {
        let look = self.orders.borrow().look;
        let seed = self.id.as_str().bytes().fold(0_u64, |sum, b| sum.wrapping_mul(36).wrapping_add(b.into()));
        let mut progress = Progress { backoff: Backoff::new(seed), looked: look, image_ready: false };
        loop {
            let order = self.orders.borrow_and_update().clone();
            if order.halt || self.orders.has_changed().is_err() {
                return; // Told to, or there is nobody left to tell.
            }
            if self.record.catch_up(order.recorded) {
                self.tell_record().await;
            }
            if order.look != progress.looked {
                progress.looked = order.look;
                self.seen = Seen::Stale;
            }
            let facts = Facts {
                wanted: order.wanted,
                seen: &self.seen,
                died: order.died,
                image_ready: progress.image_ready,
                port_held: self.port_is_held(),
            };
            match step(&self.record, &facts) {
                Action::Rest => self.rest().await,
                Action::Forget => {
                    self.release().await;
                    self.tell(Report::Forgotten(self.id)).await;
                    return;
                }
                Action::Move(step) => {
                    progress.backoff.reset();
                    self.record.apply(step, self.seen.container(), now());
                    self.log_state();
                    self.release_if_over().await;
                    self.tell_record().await;
                }
                Action::Condemn => {
                    self.record.unhealthy = true;
                    self.tell_record().await;
                }
                effect => self.perform(effect, &mut progress).await,
            }
        }
    }

    async fn perform(&mut self, effect: Action, progress: &mut Progress) {
        let looks = effect == Action::Look;
        let result = match effect {
            Action::EnsureImage => self.ensure_image(progress).await,
            Action::Create => self.create().await,
            Action::Start => self.start().await,
            Action::Stop => self.stop().await,
            Action::Remove => self.remove().await,
            _ => self.look().await,
        };
        match result {
            // Every retry looks first, so a look that succeeds is no progress.
            Ok(()) if looks => {}
            Ok(()) => progress.backoff.reset(),
            Err(Failure::Final { message, text }) => {
                self.seen = Seen::Stale;
                let step = refused(&self.record, message, text);
                self.record.apply(step, None, now());
                self.log_state();
                self.release_if_over().await;
                self.tell_record().await;
            }
            Err(Failure::Temporary { error, shown }) => {
                tracing::debug!(task = %self.id, error = %crate::error_chain::chain(&error), "a step is tried again");
                self.seen = Seen::Stale;
                if shown {
                    self.show_trouble(error.to_string()).await;
                }
                self.pause(progress.backoff.next_wait()).await;
            }
        }
    }

    /// Ends early, and with success, when the task is no longer wanted: the download is cancelled.
    async fn ensure_image(&mut self, progress: &mut Progress) -> Result<(), Failure> {
        let order = self.container_order()?;
        let unwanted = told(&mut self.orders, |order| order.halt || order.wanted >= Wanted::Stopped);
        tokio::select! {
            biased;
            () = unwanted => Ok(()),
            ensured = self.around.executor.ensure_image(&order) => {
                ensured.map_err(Failure::shown)?;
                progress.image_ready = true;
                Ok(())
            }
        }
    }

    async fn create(&mut self) -> Result<(), Failure> {
        let mut order = self.container_order()?;
        order.files = self.files(&order)?;
        let made = self.around.executor.create(&order).await.map_err(Failure::shown)?;
        self.record.note_container(Some(&made));
        // What runs already needs a closer look: a creation tells neither ports nor health.
        self.seen = match made.phase {
            Phase::Created => Seen::Present(made),
            Phase::Running(_) | Phase::Ended(_) => Seen::Stale,
        };
        Ok(())
    }

    async fn start(&mut self) -> Result<(), Failure> {
        let Some(id) = self.record.container.clone() else {
            self.seen = Seen::Stale;
            return Ok(());
        };
        let started = self.around.executor.start(&id).await;
        self.seen = Seen::Stale;
        started.map_err(|error| match error {
            ExecutorError::Refused(text) => Failure::Final { message: None, text: format!("starting container failed: {text}") },
            temporary => Failure::shown(temporary),
        })
    }

    async fn stop(&mut self) -> Result<(), Failure> {
        let Some(id) = self.record.container.clone() else {
            self.seen = Seen::Stale;
            return Ok(());
        };
        let executor = Arc::clone(&self.around.executor);
        let grace = self.record.grace;
        tokio::select! {
            biased;
            () = told(&mut self.orders, |order| order.halt) => Ok(()),
            stopped = executor.stop(&id, grace) => {
                self.seen = Seen::Stale;
                stopped.map_err(|error| Failure::Temporary { error, shown: true })
            }
        }
    }

    async fn remove(&mut self) -> Result<(), Failure> {
        let Some(id) = self.record.container.clone() else {
            self.seen = Seen::Stale;
            return Ok(());
        };
        let executor = Arc::clone(&self.around.executor);
        tokio::select! {
            biased;
            () = told(&mut self.orders, |order| order.halt) => Ok(()),
            removed = executor.remove(&id) => {
                removed.map_err(|error| Failure::Temporary { error, shown: false })?;
                self.seen = Seen::Missing;
                Ok(())
            }
        }
    }

    async fn look(&mut self) -> Result<(), Failure> {
        let executor = Arc::clone(&self.around.executor);
        let id = self.record.container.clone();
        let looked = async {
            match &id {
                Some(id) => executor.inspect(id).await,
                None => executor.find(self.id).await,
            }
        };
        tokio::select! {
            biased;
            () = told(&mut self.orders, |order| order.halt) => Ok(()),
            seen = looked => {
                let seen = seen.map_err(|error| Failure::Temporary { error, shown: false })?;
                self.record.note_container(seen.as_ref());
                self.seen = seen.map_or(Seen::Missing, Seen::Present);
                Ok(())
            }
        }
    }

    fn container_order(&self) -> Result<ContainerOrder, Failure> {
        let unresolved = |text: String| Failure::Final { message: Some("resolving controller failed"), text };
        let Some((task, shared)) = &self.template else {
            return Err(unresolved("the task's template is gone".into()));
        };
        let node = self.around.node.borrow().clone();
        let offline = self.around.prefer_offline_images;
        let told = self.around.networks.borrow().clone();
        let networks = told.member().map(|member| member.view.clone()).unwrap_or_default();
        ContainerOrder::new(task, shared, self.around.node_id, &node, &networks, offline).map_err(|error| unresolved(error.to_string()))
    }

    /// The files that the container gets. What has not arrived yet is waited for.
    fn files(&mut self, order: &ContainerOrder) -> Result<Vec<TaskFile>, Failure> {
        let Some((task, shared)) = &self.template else { return Ok(Vec::new()) };
        let node = self.around.node.borrow().clone();
        // Marked as seen, so that the pause after a failure ends with what arrives from now on.
        let held = self.around.payloads.borrow_and_update();
        task_files(task, shared, &order.spec, (self.around.node_id, &node), &held).map_err(|error| match error {
            FilesError::Awaited { .. } => {
                Failure::Temporary { error: ExecutorError::Unready { what: error.to_string(), source: None }, shown: true }
            }
            error => Failure::Final { message: None, text: error.to_string() },
        })
    }

    /// Takes the files of a task that is over; its container stays for its logs, and never runs again.
    async fn release_if_over(&self) {
        if self.record.status.state.is_terminal() {
            self.release().await;
        }
    }

    /// Removes the container's files. Those that stay are removed when the agent starts again.
    async fn release(&self) {
        if let Err(error) = self.around.executor.release(self.id).await {
            tracing::warn!(task = %self.id, error = %crate::error_chain::chain(&error), "files of a task are left");
        }
    }

    fn port_is_held(&self) -> bool {
        let held = self.around.held_ports.borrow();
        !held.is_empty() && self.record.host_ports.iter().any(|port| held.contains(port))
    }

    /// Until there is a new order or a host port was let go.
    async fn rest(&mut self) {
        tokio::select! {
            _ = self.orders.changed() => {}
            _ = self.around.held_ports.changed() => {}
        }
    }

    /// Until there is a new order, the engine is back, or the time is over.
    async fn pause(&mut self, wait: std::time::Duration) {
        tokio::select! {
            _ = self.orders.changed() => {}
            _ = self.around.engine.changed() => {}
            _ = self.around.payloads.changed() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }

    /// Tells people what stands in the way, once.
    async fn show_trouble(&mut self, err: String) {
        if self.record.status.err != err && !self.record.status.state.is_terminal() {
            self.record.status.err = err;
            self.record.status.timestamp = now();
            self.tell_record().await;
        }
    }

    /// Beginnings and ends for operators, the steps between for who looks closer.
    fn log_state(&self) {
        let (task, name, status) = (self.id, &self.record.name, &self.record.status);
        let state = status.state;
        match state {
            TaskState::Failed | TaskState::Rejected => {
                tracing::warn!(%task, %name, %state, error = %status.err, "task ended");
            }
            state if state.is_terminal() => tracing::info!(%task, %name, %state, "task ended"),
            TaskState::Running => tracing::info!(%task, %name, "task runs"),
            state => tracing::debug!(%task, %name, %state, "task goes on"),
        }
    }

    async fn tell_record(&self) {
        self.tell(Report::Changed(self.id, Box::new(self.record.clone()))).await;
    }

    async fn tell(&self, report: Report) {
        if self.around.reports.send(report).await.is_err() {
            tracing::debug!(task = %self.id, "nobody listens to a task any more");
        }
    }
}

/// Until there is an order that is `meant`, or nobody left to give one.
async fn told(orders: &mut watch::Receiver<Order>, meant: impl FnMut(&Order) -> bool) {
    drop(orders.wait_for(meant).await);
}

/// Why a step did not succeed.
enum Failure {
    /// It never will.
    Final { message: Option<&'static str>, text: String },
    /// It may later; `shown` in the task's status meanwhile.
    Temporary { error: ExecutorError, shown: bool },
}

impl Failure {
    /// A refusal is final, trouble with the engine is told and tried again.
    fn shown(error: ExecutorError) -> Self {
        match error {
            ExecutorError::Refused(text) => Self::Final { message: None, text },
            error => Self::Temporary { error, shown: true },
        }
    }
}

fn now() -> Timestamp {
    Timestamp::from_system(std::time::SystemTime::now())
}
