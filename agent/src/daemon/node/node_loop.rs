//! The loop that owns this host's membership.

use super::{Command, NodeContextOfHost, STOPPING, entering};
use crate::{
    daemon::member::{Member, RunningManager},
    identity::record::NodeRecord,
    membership::{InitError, JoinError, ManagerView, NodeView},
    supervisor::{ManagerState, Stop},
};
use swarm_types::{LocalNodeState, NodeId};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::{Instant, sleep_until},
};

/// What the host is to a swarm.
pub(crate) enum State {
    /// In none. `error` tells why the last attempt in the background failed.
    Outside { error: String },
    /// The first manager is being made.
    Initializing(Box<Initializing>),
    /// A certificate is being asked for.
    Joining(JoinHandle<Result<NodeRecord, JoinError>>),
    /// In one.
    Member(Box<Member>),
    /// It was in one and cannot go on; only leaving helps, which is tried by itself at `retry_at`.
    Stuck { record: NodeRecord, error: String, retry_at: Option<Instant> },
}

pub(crate) struct Initializing {
    pub(crate) record: NodeRecord,
    pub(crate) node_id: NodeId,
    pub(crate) manager: RunningManager,
    pub(crate) give_up_at: Instant,
}

/// Who waits for the state to come about.
pub(crate) enum Waiting {
    Nobody,
    Init { node_id: NodeId, until: Instant, reply: oneshot::Sender<Result<NodeId, InitError>> },
    Join { until: Instant, reply: oneshot::Sender<Result<(), JoinError>> },
}

/// Owns the membership.
pub(crate) struct NodeLoop {
    pub(crate) host: NodeContextOfHost,
    commands: mpsc::Receiver<Command>,
    pub(crate) view: watch::Sender<NodeView>,
    pub(crate) state: State,
    pub(crate) waiting: Waiting,
    /// Answers to give once the view shows what they tell.
    replies: Vec<Reply>,
}

/// An answer with everything in it.
type Reply = Box<dyn FnOnce() + Send>;

/// What ended the loop's wait.
enum Wake {
    Command(Option<Command>),
    /// The task of a join has ended.
    Joined(Result<NodeRecord, JoinError>),
    /// Something else to look at.
    News,
}

impl NodeLoop {
    /// In this state, with these ends of channels.
    pub(crate) fn new(host: NodeContextOfHost, commands: mpsc::Receiver<Command>, view: watch::Sender<NodeView>, state: State) -> Self {
        Self { host, commands, view, state, waiting: Waiting::Nobody, replies: Vec::new() }
    }

    /// Answers a caller once the view shows what the answer tells. A caller that is gone needs no answer.
    pub(crate) fn reply<T: Send + 'static>(&mut self, to: oneshot::Sender<T>, answer: T) {
        self.replies.push(Box::new(move || drop(to.send(answer))));
    }

    /// Runs until told to stop, or until every handle is gone.
    pub(crate) async fn run(mut self) {
        loop {
            self.settle().await;
            self.publish();
            self.replies.drain(..).for_each(|reply| reply());
            self.answer();
            match self.wake().await {
                Wake::News => {}
                Wake::Joined(result) => self.joined(result),
                Wake::Command(Some(Command::Init(request, reply))) => self.init(*request, reply),
                Wake::Command(Some(Command::Join(request, reply))) => self.join(&request, reply),
                Wake::Command(Some(Command::Leave { force, reply })) => {
                    let result = self.leave(force).await;
                    self.reply(reply, result);
                }
                Wake::Command(Some(Command::Stop { keep_manager, reply })) => {
                    self.stop(keep_manager).await;
                    reply.send(()).ok();
                    return;
                }
                // Every handle is gone: nobody can ask for anything any more.
                Wake::Command(None) => return self.stop(false).await,
            }
        }
    }

    /// All branches are cancel-safe.
    async fn wake(&mut self) -> Wake {
        let waiting_until = match &self.waiting {
            Waiting::Nobody => None,
            Waiting::Init { until, .. } | Waiting::Join { until, .. } => Some(*until),
        };
        let due = match &self.state {
            State::Initializing(init) => Some(init.give_up_at),
            State::Stuck { retry_at, .. } => *retry_at,
            State::Outside { .. } | State::Joining(_) | State::Member(_) => None,
        };
        let alarm = async |at: Option<Instant>| match at {
            Some(at) => sleep_until(at).await,
            None => std::future::pending().await,
        };
        let news = async {
            match &mut self.state {
                State::Outside { .. } | State::Stuck { .. } => std::future::pending().await,
                State::Initializing(init) => {
                    // A supervisor that broke is found by the time that is given up at.
                    if init.manager.state.changed().await.is_err() {
                        std::future::pending::<()>().await;
                    }
                    Wake::News
                }
                State::Joining(task) => Wake::Joined(task.await.unwrap_or_else(|error| Err(JoinError::State(error.to_string())))),
                State::Member(member) => {
                    member.changed().await;
                    Wake::News
                }
            }
        };
        tokio::select! {
            command = self.commands.recv() => Wake::Command(command),
            wake = news => wake,
            () = alarm(waiting_until) => Wake::News,
            () = alarm(due) => Wake::News,
        }
    }

    /// Moves the state on as far as its parts have come.
    async fn settle(&mut self) {
        match &mut self.state {
            State::Outside { .. } | State::Joining(_) => {}
            State::Initializing(init) => {
                let state = init.manager.state.borrow_and_update().clone();
                match state {
                    ManagerState::Ready(status) => self.initialized(&status).await,
                    ManagerState::Failed(error) => self.init_failed(InitError::Manager(error)).await,
                    ManagerState::NotMember => {
                        self.init_failed(InitError::Manager("the manager took itself for no member".to_owned())).await;
                    }
                    ManagerState::Starting if init.give_up_at <= Instant::now() => {
                        let error = format!("the manager did not become ready within {} s", entering::INIT_TIMEOUT.as_secs());
                        self.init_failed(InitError::Manager(error)).await;
                    }
                    ManagerState::Starting => {}
                }
            }
            State::Member(_) => {}
            State::Stuck { retry_at, .. } => {
                if retry_at.is_some_and(|at| at <= Instant::now()) {
                    // It says itself what went wrong, in the state.
                    drop(self.leave_stuck(false).await);
                }
            }
        }
        // Also a fresh one, which has things to do at once.
        if let State::Member(member) = &mut self.state {
            member.react().await;
        }
    }

    fn publish(&self) {
        let view = match &self.state {
            State::Outside { error } if error.is_empty() => NodeView::default(),
            State::Outside { error } => NodeView { state: LocalNodeState::Error, error: error.clone(), ..NodeView::default() },
            State::Initializing(init) => NodeView {
                state: LocalNodeState::Pending,
                manager: ManagerView::NotReady,
                node_id: Some(init.node_id),
                ..NodeView::default()
            },
            State::Joining(_) => NodeView { state: LocalNodeState::Pending, ..NodeView::default() },
            State::Member(member) => member.view(),
            State::Stuck { record, error, .. } => NodeView {
                state: LocalNodeState::Error,
                error: error.clone(),
                node_id: record.node_id,
                managers: record.managers.clone(),
                ..NodeView::default()
            },
        };
        self.view.send_if_modified(|known| {
            let is_new = *known != view;
            *known = view;
            is_new
        });
    }

    /// Answers whoever waits, if there is something to say.
    fn answer(&mut self) {
        let is_active = self.view.borrow().state == LocalNodeState::Active;
        let now = Instant::now();
        match std::mem::replace(&mut self.waiting, Waiting::Nobody) {
            Waiting::Nobody => {}
            Waiting::Init { node_id, until, reply } => match &self.state {
                State::Member(member) if is_active || (until <= now && member.is_manager_ready()) => {
                    if !is_active {
                        tracing::warn!(reason = member.hindrance(), "the swarm was made, but this node has no session yet");
                    }
                    drop(reply.send(Ok(node_id)));
                }
                State::Member(_) if until <= now => {
                    drop(reply.send(Err(InitError::Manager("the manager became ready and failed then".to_owned()))));
                }
                _ => self.waiting = Waiting::Init { node_id, until, reply },
            },
            Waiting::Join { until, reply } => match &self.state {
                State::Member(_) if is_active => drop(reply.send(Ok(()))),
                _ if until <= now => drop(reply.send(Err(JoinError::Timeout))),
                _ => self.waiting = Waiting::Join { until, reply },
            },
        }
    }

    async fn stop(&mut self, keep_manager: bool) {
        match std::mem::replace(&mut self.waiting, Waiting::Nobody) {
            Waiting::Nobody => {}
            Waiting::Init { reply, .. } => drop(reply.send(Err(InitError::BrokenOff(STOPPING)))),
            Waiting::Join { reply, .. } => drop(reply.send(Err(JoinError::BrokenOff(STOPPING)))),
        }
        match std::mem::replace(&mut self.state, State::Outside { error: String::new() }) {
            State::Outside { .. } | State::Stuck { .. } => {}
            // What an unfinished attempt left is removed when the agent starts again.
            State::Initializing(init) => init.manager.stop(Stop::WithManager).await,
            State::Joining(task) => task.abort(),
            State::Member(member) => {
                let how = if keep_manager { Stop::KeepManager } else { Stop::WithManager };
                member.stop(how).await;
            }
        }
    }
}
