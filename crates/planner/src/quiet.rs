//! Slots in which nothing is to be done: nearly all, nearly always.

use crate::{
    global, lost,
    orchestrate::Work,
    reaper, replicated,
    restart::is_on_node,
    scheduler::filters::is_ready,
    slots::{SlotKey, is_wanted, violates_own_placement},
};
use swarm_types::TaskState;

/// Whether the slot has one task that is where it should be and as it should be, and besides only history within its limit.
/// May say no too often, which costs time, but never yes where anything would be decided.
pub(crate) fn is_quiet(work: &mut Work<'_, '_>, key: SlotKey) -> bool {
    let quiet = looks_quiet(work, key);
    if cfg!(debug_assertions) && quiet {
        check(work, key);
    }
    quiet
}

/// Tests see to quiet slots all the same, and nothing may come of it.
fn check(work: &mut Work<'_, '_>, key: SlotKey) {
    lost::end_lost(work, key);
    if work.is_global {
        global::tend(work, key)
    } else {
        replicated::tend(work, key)
    }
    reaper::reap(work, key);
    assert!(!work.pass.is_touched(work.id, key) && work.is_taken(key), "{key:?} was not quiet");
}

fn looks_quiet(work: &Work<'_, '_>, key: SlotKey) -> bool {
    let service = work.service();
    let tasks = work.tasks(key);
    if service.rollout.is_some() || work.history_limit >= 0 && tasks.len() as u64 > work.history_limit.unsigned_abs() {
        return false;
    }
    let Some((task, history)) = tasks.split_last() else { return false };
    if !history.iter().all(|t| t.status.state.is_terminal() && t.desired_state == TaskState::Shutdown) {
        return false;
    }
    let as_it_should_be = is_wanted(task)
        && task.desired_state == TaskState::Running
        && !task.status.state.is_terminal()
        && !task.replaced
        && task.spec == service.current.template;
    as_it_should_be && (is_well_placed(work, task) || !work.is_global && task.node_id.is_none())
}

fn is_well_placed(work: &Work<'_, '_>, task: &swarm_state::Task) -> bool {
    let load = task.node_id.and_then(|id| work.pass.loads.node(id));
    let node = load.and_then(|load| load.node.as_deref()).filter(|node| is_on_node(task) && is_ready(node));
    node.is_some_and(|node| !violates_own_placement(task, node, work.pass.templates)) && !work.pass.evicted.contains(&task.id)
}
