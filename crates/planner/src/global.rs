//! Global services: one task on every node that may have one.

use crate::{
    orchestrate::Work,
    replicated::may_run_tasks,
    restart::{keep_without_heir, may_follow, open_gates, restart, start_behind, waits_until},
    scheduler::filters::is_ready,
    slots::{Occupancy, SlotKey, is_wanted},
};
use swarm_state::Node;

/// What a node is to a global service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Home {
    /// It does not exist.
    Gone,
    /// It is down or drained: nothing may stay, but it may come back.
    Closed,
    /// It does not satisfy the constraints.
    Unfit,
    /// It is paused or not heard of: what is there stays, nothing new comes.
    Kept,
    /// It has to have a task.
    Open,
}

/// What the slot's node is to the service.
pub(crate) fn home(work: &Work<'_, '_>, key: SlotKey) -> Home {
    let SlotKey::Node(id) = key else { return Home::Gone };
    let node: Option<&Node> = work.pass.node(Some(id)).map(|n| &**n);
    match node {
        None => Home::Gone,
        Some(node) if !may_run_tasks(Some(node)) => Home::Closed,
        Some(node) if !work.template().fits(node) => Home::Unfit,
        Some(node) if !is_ready(node) => Home::Kept,
        Some(_) => Home::Open,
    }
}

/// Sees to the service's task on one node.
pub(crate) fn tend(work: &mut Work<'_, '_>, key: SlotKey) {
    let home = home(work, key);
    if home == Home::Gone {
        return work.remove_all(key);
    }
    for task in work.tasks(key).iter() {
        if !is_wanted(task) {
            work.settle(key, task);
        } else if home == Home::Closed {
            let frees_slot = may_follow(work, task);
            work.stop(key, task.id, frees_slot);
        } else if home == Home::Unfit {
            work.stop(key, task.id, true);
        } else if task.status.state.is_terminal() {
            match waits_until(work, key, task) {
                Some(at) => work.look_again(at, key),
                None => restart(work, key, task),
            }
        }
    }
    if home == Home::Open && Occupancy::of(&work.tasks(key)) == Occupancy::Free {
        let behind = start_behind(work, key);
        work.create(key, |task| task.start_behind = behind);
    }
    keep_without_heir(work, key);
    open_gates(work, key);
}
