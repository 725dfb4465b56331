//! What agents report of their tasks, as changes.

use std::{collections::BTreeMap, sync::Arc};
use swarm_state::{Change, Object, State, Task};
use swarm_types::{Actor, NodeId, TaskId, TaskState, TaskStatus, Timestamp};

/// The outcome of a batch of reports.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Recorded {
    /// To propose as `Actor::Agent`; at most one per task.
    pub changes: Vec<Change>,
    /// Reports that can never be recorded. They are settled: the agent need not repeat them.
    pub refused: Vec<(TaskId, ReportError)>,
}

/// Why a report is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// The task was deleted.
    #[error("the task is not known")]
    Unknown,
    /// A node speaks only for its own tasks.
    #[error("the task is on another node")]
    ForeignTask,
    /// States only go forward.
    #[error("the task is {stored} already and cannot become {reported}")]
    Backward {
        /// What is recorded.
        stored: TaskState,
        /// What was reported.
        reported: TaskState,
    },
}

/// Records what `node` reports of its tasks. Of several reports of one task the last one counts; a report of what is known
/// already makes no change.
#[must_use]
pub fn record_statuses(state: &State, node: NodeId, reports: &[(TaskId, TaskStatus)], now: Timestamp) -> Recorded {
    let newest: BTreeMap<TaskId, &TaskStatus> = reports.iter().map(|(id, status)| (*id, status)).collect();
    let mut recorded = Recorded::default();
    for (id, status) in newest {
        match record(state, node, id, status, now) {
            Ok(None) => {}
            Ok(Some(task)) => recorded.changes.push(Change::update(Object::Task(Arc::new(task)))),
            Err(error) => recorded.refused.push((id, error)),
        }
    }
    recorded
}

fn record(state: &State, node: NodeId, id: TaskId, status: &TaskStatus, now: Timestamp) -> Result<Option<Task>, ReportError> {
    let stored = state.task(id).ok_or(ReportError::Unknown)?;
    if stored.node_id != Some(node) {
        return Err(ReportError::ForeignTask);
    }
    let (from, to) = (stored.status.state, status.state);
    if from == to && stored.status == *status {
        return Ok(None);
    }
    // More may be learnt about an ended task by its agent, but not about one that the managers ended.
    let by_managers = from > TaskState::Remove || from == TaskState::Rejected && stored.status.container_status.is_none();
    if (from != to && !from.allows(to, Actor::Agent)) || (from == to && (by_managers || from < TaskState::Assigned)) {
        return Err(ReportError::Backward { stored: from, reported: to });
    }
    let mut task = (**stored).clone();
    task.status = status.clone();
    task.updated_at = now;
    if to == TaskState::Running {
        task.running_since.get_or_insert(now);
    }
    Ok(Some(task))
}
