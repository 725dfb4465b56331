//! What to do next for one task. A pure function of what is recorded, wanted and seen; the actor performs it.

use super::record::{Move, TaskRecord};
use crate::executor::{Container, Health, Phase};
use swarm_types::TaskState;

/// What the managers want of a task. Only grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wanted {
    /// Made, not started.
    Ready,
    /// Running.
    Running,
    /// Stopped; its container stays for its logs.
    Stopped,
    /// Stopped, removed and forgotten.
    Gone,
}

impl Wanted {
    /// What a desired state of the managers asks of a node.
    pub(crate) fn from_desired(desired: TaskState) -> Self {
        match desired {
            TaskState::New | TaskState::Pending | TaskState::Assigned | TaskState::Accepted | TaskState::Preparing | TaskState::Ready => {
                Self::Ready
            }
            // Complete is what a job's tasks are to reach by themselves.
            TaskState::Starting | TaskState::Running | TaskState::Complete => Self::Running,
            // A task to be removed is stopped and reported; it leaves the assignment when the managers have heard of it.
            TaskState::Shutdown | TaskState::Failed | TaskState::Rejected | TaskState::Remove | TaskState::Orphaned => Self::Stopped,
        }
    }
}

/// What is known of a task's container.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Seen {
    /// Nobody has looked yet; there may be one.
    Unknown,
    /// It may have changed since it was looked at.
    Stale,
    /// There is none.
    Missing,
    /// There was one, as its last inspection showed it.
    Present(Container),
}

impl Seen {
    /// The container, if one was seen.
    pub(crate) fn container(&self) -> Option<&Container> {
        match self {
            Self::Present(container) => Some(container),
            Self::Unknown | Self::Stale | Self::Missing => None,
        }
    }
}

/// All that a step depends on besides the record.
#[derive(Debug, Clone)]
pub(crate) struct Facts<'a> {
    pub(crate) wanted: Wanted,
    pub(crate) seen: &'a Seen,
    /// Exit code that an event told of the container's end.
    pub(crate) died: Option<i64>,
    /// The image has been made sure of.
    pub(crate) image_ready: bool,
    /// A task that is being stopped still holds one of this task's host ports.
    pub(crate) port_held: bool,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Action {
    /// Change the status.
    Move(Move),
    /// Note that the container is ended for its health.
    Condemn,
    /// Ask the engine for the container's condition.
    Look,
    /// Make sure of the image.
    EnsureImage,
    /// Make the container.
    Create,
    /// Start the container.
    Start,
    /// Stop the container.
    Stop,
    /// Remove the container.
    Remove,
    /// Nothing, until something changes.
    Rest,
    /// Nothing, ever again: the task leaves no trace.
    Forget,
}

/// What to do next for a task.
///
/// States only go forward, a container is created or started only for a task that is wanted and has never run, and a
/// container of a task that is over is stopped whoever started it.
pub(crate) fn step(record: &TaskRecord, facts: &Facts<'_>) -> Action {
    if *facts.seen == Seen::Stale {
        return Action::Look;
    }
    if facts.wanted == Wanted::Gone {
        return end(facts.seen, Action::Remove, Action::Forget);
    }
    if record.status.state.is_terminal() {
        return match facts.seen {
            // Looking at each task of the history at each start of the agent would tell nothing new.
            Seen::Unknown => Action::Rest,
            seen => end(seen, Action::Rest, Action::Rest),
        };
    }
    if facts.wanted == Wanted::Stopped {
        let over = Action::Move(Move::on(TaskState::Shutdown, "shutdown"));
        return end(facts.seen, over.clone(), over);
    }
    match record.status.state {
        TaskState::Accepted => Action::Move(Move::on(TaskState::Preparing, "preparing")),
        TaskState::Preparing | TaskState::Ready => prepare(record, facts),
        TaskState::Starting => start(record, facts),
        TaskState::Running => keep_running(record, facts),
        _ => Action::Move(Move::on(TaskState::Accepted, "accepted")),
    }
}

/// The way to an end: `stopped` when the container does not run, `missing` when there is none.
fn end(seen: &Seen, stopped: Action, missing: Action) -> Action {
    match seen {
        Seen::Unknown | Seen::Stale => Action::Look,
        Seen::Missing => missing,
        Seen::Present(container) => match container.phase {
            Phase::Running(_) => Action::Stop,
            Phase::Created | Phase::Ended(_) => stopped,
        },
    }
}

fn prepare(record: &TaskRecord, facts: &Facts<'_>) -> Action {
    match facts.seen {
        Seen::Unknown | Seen::Stale => Action::Look,
        Seen::Missing if facts.image_ready => Action::Create,
        Seen::Missing => Action::EnsureImage,
        Seen::Present(container) => match &container.phase {
            Phase::Created if record.status.state < TaskState::Ready => Action::Move(Move::on(TaskState::Ready, "prepared")),
            Phase::Created if facts.wanted == Wanted::Ready || facts.port_held => Action::Rest,
            // A container that ran already was started by this agent before it lost its record.
            Phase::Created | Phase::Running(_) | Phase::Ended(_) => Action::Move(Move::on(TaskState::Starting, "starting")),
        },
    }
}

fn start(record: &TaskRecord, facts: &Facts<'_>) -> Action {
    match facts.seen {
        Seen::Unknown | Seen::Stale => Action::Look,
        Seen::Missing => Action::Move(lost(record, facts)),
        Seen::Present(container) => match &container.phase {
            Phase::Created if facts.port_held => Action::Rest,
            Phase::Created => Action::Start,
            Phase::Ended(_) => Action::Move(ended(record, container)),
            Phase::Running(running) => match running.health {
                Health::Unchecked | Health::Healthy if !record.unhealthy => Action::Move(Move::on(TaskState::Running, "started")),
                Health::Starting if !record.unhealthy => Action::Rest,
                _ => put_down(record),
            },
        },
    }
}

fn keep_running(record: &TaskRecord, facts: &Facts<'_>) -> Action {
    match facts.seen {
        Seen::Unknown | Seen::Stale => Action::Look,
        Seen::Missing => Action::Move(lost(record, facts)),
        Seen::Present(container) => match &container.phase {
            // Not the container that ran: that one is gone, and this task has had its run.
            Phase::Created => Action::Move(lost(record, facts)),
            Phase::Ended(_) => Action::Move(ended(record, container)),
            Phase::Running(running) if running.health == Health::Unhealthy || record.unhealthy => put_down(record),
            Phase::Running(running) => {
                let told = record.status.container_status.as_ref().map(|status| status.pid);
                let unchanged = told == Some(running.pid) && record.status.port_status.ports == running.ports;
                if unchanged {
                    Action::Rest
                } else {
                    Action::Move(Move::on(TaskState::Running, "started")) // Somebody restarted it.
                }
            }
        },
    }
}

fn put_down(record: &TaskRecord) -> Action {
    if record.unhealthy { Action::Stop } else { Action::Condemn }
}

/// The task's container ended by itself or for its health. Docker's texts.
fn ended(record: &TaskRecord, container: &Container) -> Move {
    let Phase::Ended(end) = &container.phase else { unreachable!("only called for containers that ended") };
    let cause = if record.unhealthy { "dockerexec: unhealthy container" } else { &end.error };
    match (end.exit_code, cause) {
        (0, "") => Move::on(TaskState::Complete, "finished"),
        (0, cause) => ran_and_failed(cause.to_owned()),
        (code, cause) => ran_and_failed(exit_text(code, cause)),
    }
}

/// The task's container is gone.
fn lost(record: &TaskRecord, facts: &Facts<'_>) -> Move {
    let unhealthy = if record.unhealthy { "dockerexec: unhealthy container" } else { "" };
    match facts.died {
        Some(code) if code != 0 => failed(exit_text(code, unhealthy)),
        _ => failed(format!("No such container: {}", record.name)),
    }
}

fn exit_text(code: i64, cause: &str) -> String {
    match cause {
        "" => format!("task: non-zero exit ({code})"),
        cause => format!("task: non-zero exit ({code}): {cause}"),
    }
}

/// The container did start, even if it ended before anybody saw it run.
fn ran_and_failed(err: String) -> Move {
    Move { message: Some("started"), ..failed(err) }
}

fn failed(err: String) -> Move {
    Move { state: TaskState::Failed, message: None, err }
}

/// A step that can never succeed ends its task: rejected before it ran, failed after.
pub(crate) fn refused(record: &TaskRecord, message: Option<&'static str>, err: String) -> Move {
    let state = if record.status.state < TaskState::Starting { TaskState::Rejected } else { TaskState::Failed };
    Move { state, message, err }
}

#[cfg(test)]
mod tests;
