//! The manager process of this host: starting, watching, finding again, stopping.
//!
//! What always holds: at most one manager runs on a state folder; the manager outlives a crash of the agent and is found
//! again. The supervisor decides nothing about the cluster: whether there is to be a manager is the node loop's matter.

mod log_file;
mod process;

use crate::{
    backend::{self, Endpoint},
    config::{LogFormat, LogLevel},
    membership::{ManagerPhase, ManagerStatus},
};
use http::Method;
use log_file::LogFile;
use process::{ManagerProcess, StartError};
use std::{path::PathBuf, time::Duration};
use swarm_types::{Node, NodeId, Reachability};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};

pub use process::{Identity, PidFile};

/// Exit code of a manager that is no member of the managers any more.
const NOT_MEMBER: i32 = 3;
/// Pauses before a restart: the first, and the longest they double to.
const RESTART_PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(30));
/// A manager that ran this long restarts as if it had never failed.
const STABLE_AFTER: Duration = Duration::from_secs(30);
/// Between two looks at a manager that is not ready yet, and at one that is.
const LOOK_STARTING: Duration = Duration::from_millis(50);
const LOOK_READY: Duration = Duration::from_secs(1);
/// How long a manager may take to say how it is.
const STATUS_TIMEOUT: Duration = Duration::from_secs(2);
/// Bytes of its answer at most: the cluster object and a line per manager.
const STATUS_BYTES_MAX: usize = 4 << 20;
/// Bytes of a list of nodes at most: some kilobytes a node.
const NODES_BYTES_MAX: usize = 64 << 20;
/// How long a manager may take to get itself out of the group: the others have to agree.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a manager may take to stop in order.
const STOP_TIMEOUT: Duration = Duration::from_secs(8);

/// How to start the manager.
#[derive(Debug, Clone)]
pub struct ManagerCommand {
    /// Its program.
    pub bin: PathBuf,
    /// Its state folder.
    pub state_dir: PathBuf,
    /// The node's certificates.
    pub certificates: PathBuf,
    /// Its private socket.
    pub socket: PathBuf,
    /// Remembers the process.
    pub pid_file: PathBuf,
    /// What it prints.
    pub log_file: PathBuf,
    /// `IP:PORT` to listen on.
    pub listen_addr: String,
    /// `IP:PORT` told to others.
    pub advertise_addr: String,
    /// Least severity it logs.
    pub log_level: LogLevel,
    /// Form of its log lines.
    pub log_format: LogFormat,
    /// What it is to begin with.
    pub start: Start,
}

/// What a manager begins with. Either is ignored by a manager that has state already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// Make the cluster described in this file.
    Init(PathBuf),
    /// Become a member of these managers' cluster.
    Join(Vec<String>),
}

impl ManagerCommand {
    fn args(&self) -> Vec<std::ffi::OsString> {
        let mut args: Vec<std::ffi::OsString> = vec![
            "--state-dir".into(),
            self.state_dir.clone().into(),
            "--certs".into(),
            self.certificates.clone().into(),
            "--socket".into(),
            self.socket.clone().into(),
            "--listen-addr".into(),
            self.listen_addr.clone().into(),
            "--advertise-addr".into(),
            self.advertise_addr.clone().into(),
            "--log-level".into(),
            self.log_level.as_str().into(),
            "--log-format".into(),
            self.log_format.as_str().into(),
        ];
        match &self.start {
            Start::Init(file) => args.extend(["--init".into(), file.clone().into()]),
            Start::Join(managers) if managers.is_empty() => {}
            Start::Join(managers) => args.extend(["--join".into(), managers.join(",").into()]),
        }
        args
    }
}

/// How the manager is.
#[derive(Debug, Clone, PartialEq)]
pub enum ManagerState {
    /// On its way, or between two attempts that have not failed yet.
    Starting,
    /// It answers calls.
    Ready(Box<ManagerStatus>),
    /// It ended, could not be started, or says that it cannot go on. It is tried again.
    Failed(String),
    /// It says that it is no member of the managers any more. It is not tried again.
    NotMember,
}

/// What to do with the manager when the supervisor ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Stop it.
    WithManager,
    /// Leave it running for the next agent.
    KeepManager,
}

/// Keeps one manager running.
#[derive(Debug)]
pub struct Supervisor {
    /// What to run.
    pub command: ManagerCommand,
    /// How it goes.
    pub state: watch::Sender<ManagerState>,
    /// Ends the supervisor when it becomes `Some`, or when its sender goes (the manager stays then).
    pub stop: watch::Receiver<Option<Stop>>,
}

impl Supervisor {
    /// Runs until stopped, or until the manager says that it is no member.
    pub async fn run(mut self) {
        let mut pause = RESTART_PAUSES.0;
        loop {
            let begun = Instant::now();
            match self.run_once().await {
                Ended::Stopped => return,
                Ended::NotMember => {
                    tracing::info!("the manager of this host is no member of the managers any more");
                    self.state.send_replace(ManagerState::NotMember);
                    return;
                }
                Ended::Failed(error) => {
                    tracing::error!(%error, "the manager failed");
                    self.state.send_replace(ManagerState::Failed(error));
                }
            }
            if begun.elapsed() >= STABLE_AFTER {
                pause = RESTART_PAUSES.0;
            }
            // Both are cancel-safe.
            tokio::select! {
                _ = asked_to_stop(&mut self.stop) => return,
                () = sleep(pause) => {}
            }
            pause = (2 * pause).min(RESTART_PAUSES.1);
        }
    }

    async fn run_once(&mut self) -> Ended {
        let mut stop = self.stop.clone();
        let mut log = LogFile::new(&self.command.log_file);
        let mut process = match ManagerProcess::find_or_start(&self.command, &mut log) {
            Ok(process) => process,
            Err(error) => return Ended::Failed(start_text(&error)),
        };
        let mut look_at = Instant::now();
        loop {
            // All are cancel-safe.
            tokio::select! {
                how = asked_to_stop(&mut stop) => {
                    if how == Stop::WithManager {
                        process.stop(STOP_TIMEOUT).await;
                    }
                    return Ended::Stopped;
                }
                code = process.ended() => {
                    process.forget();
                    return match code {
                        Some(NOT_MEMBER) => Ended::NotMember,
                        Some(code) => Ended::Failed(with_log(format!("the manager ended with exit code {code}"), &log)),
                        None => Ended::Failed(with_log("the manager was ended by a signal".to_owned(), &log)),
                    };
                }
                () = sleep_until(look_at) => {
                    let is_ready = self.look().await;
                    log.keep_short();
                    look_at = Instant::now() + if is_ready { LOOK_READY } else { LOOK_STARTING };
                }
            }
        }
    }

    /// Asks the manager how it is and tells it on; whether it is ready.
    async fn look(&self) -> bool {
        let state = match status(&self.command.socket).await {
            Some(status) => match status.state {
                ManagerPhase::Ready => ManagerState::Ready(Box::new(status)),
                ManagerPhase::Starting | ManagerPhase::Joining => ManagerState::Starting,
                ManagerPhase::Error => ManagerState::Failed(status.error),
            },
            // A failure stays known until the manager says something else.
            None => match &*self.state.borrow() {
                ManagerState::Failed(error) => ManagerState::Failed(error.clone()),
                _ => ManagerState::Starting,
            },
        };
        let is_ready = matches!(state, ManagerState::Ready(_));
        self.state.send_if_modified(|old| {
            let is_new = *old != state;
            *old = state;
            is_new
        });
        is_ready
    }
}

/// Waits for the order to stop. Cancel-safe.
async fn asked_to_stop(stop: &mut watch::Receiver<Option<Stop>>) -> Stop {
    stop.wait_for(Option::is_some).await.map_or(Stop::KeepManager, |how| how.unwrap_or(Stop::KeepManager))
}

/// How one run of the manager ended.
enum Ended {
    Stopped,
    NotMember,
    Failed(String),
}

fn start_text(error: &StartError) -> String {
    let source = std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
    format!("{error}{source}")
}

fn with_log(what: String, log: &LogFile) -> String {
    match log.last_line() {
        Some(line) => format!("{what}: {line}"),
        None => what,
    }
}

/// How the manager behind this socket is; `None` if it does not answer.
pub async fn status(socket: &std::path::Path) -> Option<ManagerStatus> {
    let endpoint = Endpoint::Unix(socket.to_owned());
    let answer = match backend::ask(&endpoint, Method::GET, "/internal/status", STATUS_TIMEOUT, STATUS_BYTES_MAX).await {
        Ok(answer) => answer,
        Err(error) => {
            tracing::trace!(%error, "the manager does not answer");
            return None;
        }
    };
    match serde_json::from_slice(&answer.body) {
        Ok(status) => Some(status),
        Err(error) => {
            tracing::warn!(%error, status = %answer.status, "the manager's status cannot be read");
            None
        }
    }
}

/// How many managers of the cluster answer, and whether this host's is one of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ManagerCounts {
    /// Whether the asked node is a manager that answers its peers.
    pub is_active: bool,
    /// Managers that answer their peers.
    pub reachable: u64,
    /// Managers that do not.
    pub unreachable: u64,
}

/// Counts the managers as the manager behind this socket sees them; `None` if it does not answer.
pub async fn count_managers(socket: &std::path::Path, own: NodeId) -> Option<ManagerCounts> {
    let endpoint = Endpoint::Unix(socket.to_owned());
    let answer = backend::ask(&endpoint, Method::GET, "/nodes", STATUS_TIMEOUT, NODES_BYTES_MAX).await.ok()?;
    let nodes: Vec<Node> = serde_json::from_slice(&answer.body).ok()?;
    let mut counts = ManagerCounts::default();
    for node in &nodes {
        match node.manager_status.as_ref().map(|status| status.reachability) {
            Some(Reachability::Reachable) => {
                counts.reachable += 1;
                counts.is_active |= node.id == own;
            }
            Some(Reachability::Unreachable) => counts.unreachable += 1,
            Some(Reachability::Unknown) | None => {}
        }
    }
    Some(counts)
}

/// Lets the manager behind this socket take itself out of the group, so that the others are no weaker for its absence. A
/// refusal is only logged: whoever calls this leaves in any case. The last manager cannot, and one without a leader neither.
pub async fn leave_group(socket: &std::path::Path) {
    let endpoint = Endpoint::Unix(socket.to_owned());
    let asked = backend::ask(&endpoint, Method::POST, "/internal/leave", LEAVE_TIMEOUT, STATUS_BYTES_MAX).await;
    match asked {
        Ok(answer) if answer.status.is_success() => {}
        Ok(answer) => {
            let reason = String::from_utf8_lossy(&answer.body).into_owned();
            tracing::warn!(status = %answer.status, reason, "this manager could not leave the group of managers");
        }
        Err(error) => tracing::warn!(%error, "this manager could not leave the group of managers"),
    }
}

/// Tells the manager behind this socket that the node's certificate was replaced. One that does not answer reads it when
/// it starts.
pub async fn certificates_changed(socket: &std::path::Path) {
    let endpoint = Endpoint::Unix(socket.to_owned());
    let asked = backend::ask(&endpoint, Method::POST, "/internal/certs-changed", STATUS_TIMEOUT, STATUS_BYTES_MAX).await;
    match asked {
        Ok(answer) if answer.status.is_success() => {}
        Ok(answer) => {
            tracing::warn!(status = %answer.status, "the manager did not take the new certificate")
        }
        Err(error) => {
            tracing::debug!(%error, "the manager could not be told of the new certificate")
        }
    }
}

/// Stops a manager left over by an earlier agent, if there is one.
pub async fn stop_left_over(command: &ManagerCommand) {
    if let Some(mut process) = ManagerProcess::find(command) {
        tracing::info!("stopping a manager that an earlier agent left");
        process.stop(STOP_TIMEOUT).await;
    }
}
