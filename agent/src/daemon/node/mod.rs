//! This host's node: what it is to a swarm, and how it gets in and out.
//!
//! One loop owns the membership ([`node_loop`]). Calls come in as commands and are answered when what they asked for has
//! come about; what takes long runs beside the loop and is waited for there.

mod entering;
mod leaving;
mod node_loop;
mod restore;

use super::paths::Paths;
use crate::{
    config::Config,
    executor::Executor,
    identity::record::RecordError,
    membership::{InitError, JoinError, LeaveError, ManagerStatus, Membership, NodeView, Pending},
    network::Networks,
    supervisor,
};
use node_loop::NodeLoop;
use std::sync::Arc;
use swarm_types::{InitRequest, JoinRequest, NodeDescription, NodeId};
use tokio::sync::{mpsc, oneshot, watch};

/// Commands that wait at most; more callers wait to put theirs in.
const COMMANDS: usize = 16;

/// Why what was asked for did not come about.
const STOPPING: &str = "the agent is stopping";
const LEFT: &str = "this node was told to leave";

/// What the node loop has of its host.
#[derive(Clone)]
pub(crate) struct NodeContextOfHost {
    pub(crate) config: Config,
    pub(crate) paths: Paths,
    pub(crate) executor: Arc<dyn Executor>,
    /// What the host carries of cluster networks.
    pub(crate) networks: Networks,
    /// What the host is, without what depends on the swarm.
    pub(crate) description: watch::Receiver<Option<NodeDescription>>,
}

/// The node's state on disk cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum NodeStartError {
    /// The record.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// What is left of an unfinished attempt cannot be removed.
    #[error("could not remove what an unfinished init or join left: {0}")]
    Wipe(String),
}

enum Command {
    Init(Box<InitRequest>, oneshot::Sender<Result<NodeId, InitError>>),
    Join(JoinRequest, oneshot::Sender<Result<(), JoinError>>),
    Leave { force: bool, reply: oneshot::Sender<Result<(), LeaveError>> },
    Stop { keep_manager: bool, reply: oneshot::Sender<()> },
}

/// Asks the node loop.
#[derive(Clone)]
pub(crate) struct Node {
    commands: mpsc::Sender<Command>,
    view: watch::Receiver<NodeView>,
    paths: Paths,
}

impl Node {
    /// Reads what is on disk and gives the loop, to be spawned.
    pub(crate) async fn start(host: NodeContextOfHost) -> Result<(Self, impl Future<Output = ()> + Send), NodeStartError> {
        let (commands, received) = mpsc::channel(COMMANDS);
        let (view, seen) = watch::channel(NodeView::default());
        let paths = host.paths.clone();
        let state = restore::restore(&host).await?;
        let node_loop = NodeLoop::new(host, received, view, state);
        Ok((Self { commands, view: seen, paths }, node_loop.run()))
    }

    /// Ends the membership's loops; containers go on.
    pub(crate) async fn stop(&self, keep_manager: bool) {
        let (reply, done) = oneshot::channel();
        if self.commands.send(Command::Stop { keep_manager, reply }).await.is_ok() {
            // An error means that the loop is gone, which is what was asked for.
            drop(done.await);
        }
    }

    async fn ask<T>(&self, command: Command, answer: oneshot::Receiver<T>) -> Option<T> {
        self.commands.send(command).await.ok()?;
        answer.await.ok()
    }
}

impl Membership for Node {
    fn view(&self) -> NodeView {
        self.view.borrow().clone()
    }

    fn manager_status(&self) -> Pending<'_, Option<ManagerStatus>> {
        Box::pin(supervisor::status(&self.paths.manager_socket))
    }

    fn init(&self, request: InitRequest) -> Pending<'_, Result<NodeId, InitError>> {
        let (reply, answer) = oneshot::channel();
        let asked = self.ask(Command::Init(Box::new(request), reply), answer);
        Box::pin(async { asked.await.unwrap_or(Err(InitError::BrokenOff(STOPPING))) })
    }

    fn join(&self, request: JoinRequest) -> Pending<'_, Result<(), JoinError>> {
        let (reply, answer) = oneshot::channel();
        let asked = self.ask(Command::Join(request, reply), answer);
        Box::pin(async { asked.await.unwrap_or(Err(JoinError::BrokenOff(STOPPING))) })
    }

    fn leave(&self, force: bool) -> Pending<'_, Result<(), LeaveError>> {
        let (reply, answer) = oneshot::channel();
        let asked = self.ask(Command::Leave { force, reply }, answer);
        Box::pin(async { asked.await.unwrap_or(Err(LeaveError::Stopping)) })
    }
}
