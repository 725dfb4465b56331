//! Tasks without a service: attachments of containers to networks. Nothing replaces them; they are only forgotten.

use crate::lost::{Fate, end_of, fate};
use crate::restart::is_on_node;
use std::{collections::BTreeMap, sync::Arc};
use swarm_state::{Change, Object, State, Task};
use swarm_types::{TaskId, TaskState, Timestamp};

/// Ends those on nodes that are gone, forgets those that were orphaned, and says when to look again.
pub(crate) fn tidy(state: &State, tasks: &BTreeMap<TaskId, Arc<Task>>, now: Timestamp, changes: &mut Vec<Change>) -> Option<Timestamp> {
    let mut look_again = None;
    for task in tasks.values() {
        if task.status.state == TaskState::Orphaned {
            changes.push(Change::delete(&Object::Task(Arc::clone(task))));
        } else if is_on_node(task) {
            match fate(task.node_id.and_then(|id| state.node(id)).map(|n| &**n), now) {
                Fate::Over(message) => {
                    let task = Task { status: end_of(task, message, now), updated_at: now, ..(**task).clone() };
                    changes.push(Change::update(Object::Task(Arc::new(task))));
                }
                Fate::Later(at) => look_again = Some(look_again.map_or(at, |other: Timestamp| other.min(at))),
                Fate::Open => {}
            }
        }
    }
    look_again
}
