//! Tasks that are over though their agent did not say so: their node is gone, or may not hold them any more.

use crate::{
    commands::{NODE_DELETED, orphaned},
    orchestrate::Work,
    restart::is_on_node,
    scheduler::filters::is_ready,
    slots::{SlotKey, is_wanted, violates_own_placement},
};
use std::{collections::BTreeSet, time::Duration};
use swarm_state::{Node, State, Task};
use swarm_types::{NodeId, NodeState, TaskId, TaskState, TaskStatus, Timestamp};

/// How long a node may be down until its tasks count as gone.
pub(crate) const ORPHANED_AFTER: Duration = Duration::from_secs(24 * 3600);
const ENFORCED: &str = "task rejected by constraint enforcer";
const ENFORCED_REASON: &str = "assigned node no longer meets constraints";
const NODE_DOWN: &str = "node has been down for 24 hours";

/// What becomes of a task on a node that does not answer for it.
pub(crate) enum Fate {
    /// It is over, with this message.
    Over(&'static str),
    /// Looked at again then.
    Later(Timestamp),
    /// The agent will say.
    Open,
}

/// What becomes of a task on this node, `None` being a node that does not exist.
pub(crate) fn fate(node: Option<&Node>, now: Timestamp) -> Fate {
    match node {
        None => Fate::Over(NODE_DELETED),
        Some(node) if node.api.status.state == NodeState::Down => {
            // Nothing is given up for want of a note of when the node went down.
            let since = if node.state_since.is_zero() { node.api.updated_at } else { node.state_since };
            let at = since.after(ORPHANED_AFTER);
            if now < at { Fate::Later(at) } else { Fate::Over(NODE_DOWN) }
        }
        Some(_) => Fate::Open,
    }
}

/// The observed end of such a task.
pub(crate) fn end_of(task: &Task, message: &str, now: Timestamp) -> TaskStatus {
    TaskStatus { message: message.to_owned(), ..orphaned(task, now) }
}

/// Ends the slot's tasks that are on nodes that are gone or may not hold them.
pub(crate) fn end_lost(work: &mut Work<'_, '_>, key: SlotKey) {
    let now = work.pass.now;
    for task in work.tasks(key).iter() {
        if !is_on_node(task) {
            continue;
        }
        let node = work.pass.node(task.node_id).map(|n| &**n);
        match fate(node, now) {
            Fate::Over(message) => {
                let status = end_of(task, message, now);
                work.edit(key, task.id, |task| task.status = status);
            }
            Fate::Later(at) => work.look_again(at, key),
            Fate::Open if is_rejected(work, task, node) => {
                work.edit(key, task.id, |task| {
                    task.status.state = TaskState::Rejected;
                    task.status.timestamp = now;
                    ENFORCED.clone_into(&mut task.status.message);
                    ENFORCED_REASON.clone_into(&mut task.status.err);
                });
            }
            Fate::Open => {}
        }
    }
}

/// A task has to leave an active node that offers less than it did, or is not what the task's own template asks for any
/// more. What only the service's newer placement forbids is the updater's to move; a global service decides by node.
fn is_rejected(work: &Work<'_, '_>, task: &Task, node: Option<&Node>) -> bool {
    let Some(node) = node.filter(|n| is_ready(n) && is_wanted(task)) else { return false };
    work.pass.evicted.contains(&task.id) || !work.is_global && violates_own_placement(task, node, work.pass.templates)
}

/// Of a node that gave more than it has: the tasks that have to leave, youngest first.
pub(crate) fn evictions(state: &State, id: NodeId, templates: &crate::template::Templates) -> BTreeSet<TaskId> {
    let Some(node) = state.node(id).filter(|n| is_ready(n)) else { return BTreeSet::new() };
    let mut tasks: Vec<_> = state.tasks_of_node(id).filter(|t| is_on_node(t) && is_wanted(t)).collect();
    tasks.sort_by_key(|t| (t.created_at, t.id));
    let total = &node.api.description.resources;
    let (mut cpus, mut memory) = (total.nano_cpus, total.memory_bytes);
    let mut generic = crate::scheduler::resources::GenericUse::default();
    let mut leaving = BTreeSet::new();
    for task in tasks {
        let Some(template) = templates.get(task.spec) else { continue };
        let fits =
            (template.nano_cpus <= 0 || template.nano_cpus <= cpus) && (template.memory_bytes <= 0 || template.memory_bytes <= memory);
        generic.weigh(&task.generic_resources, 1);
        if fits && generic.is_within(&total.generic_resources) {
            cpus -= template.nano_cpus;
            memory -= template.memory_bytes;
        } else {
            generic.weigh(&task.generic_resources, -1);
            leaving.insert(task.id);
        }
    }
    leaving
}
