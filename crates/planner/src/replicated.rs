//! Replicated services: a number of slots, each with a task on any node.

use crate::{
    orchestrate::{Seen, Work},
    restart::{keep_without_heir, open_gates, restart, start_behind, waits_until},
    service_status::replicas,
    slots::{Occupancy, Slot, SlotKey, is_wanted},
};
use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use swarm_state::{Node, Task};
use swarm_types::{Availability, NodeId, NodeState, TaskState};

/// Sees to one slot: ended tasks and those on nodes that may not run any are replaced, prepared ones started.
pub(crate) fn tend(work: &mut Work<'_, '_>, key: SlotKey) {
    for task in work.tasks(key).iter() {
        if !is_wanted(task) {
            work.settle(key, task);
        } else if task.status.state.is_terminal() {
            match waits_until(work, key, task) {
                Some(at) => work.look_again(at, key),
                None => restart(work, key, task),
            }
        } else if task.node_id.is_some() && !may_run_tasks(work.pass.node(task.node_id).map(|n| &**n)) {
            restart(work, key, task);
        }
    }
    keep_without_heir(work, key);
    open_gates(work, key);
}

/// Whether tasks may stay on the node: it exists, and is neither down nor drained.
pub(crate) fn may_run_tasks(node: Option<&Node>) -> bool {
    node.is_some_and(|n| n.api.status.state != NodeState::Down && n.api.spec.availability != Availability::Drain)
}

/// Adds or removes slots until there are as many as wanted.
pub(crate) fn scale(work: &mut Work<'_, '_>, seen_keys: &BTreeSet<SlotKey>) -> Seen {
    let wanted = replicas(&work.service());
    let taken = taken_count(work);
    let before: Vec<SlotKey> = seen_keys.iter().copied().filter(|key| !work.is_taken(*key)).collect();
    let seen = match taken.cmp(&wanted) {
        Ordering::Less => add_slots(work, wanted - taken),
        Ordering::Equal => Seen::All,
        Ordering::Greater => remove_slots(work, wanted),
    };
    for key in before {
        if Occupancy::of(&work.tasks(key)) != Occupancy::Free {
            continue;
        }
        if seen == Seen::All {
            // What is left in a slot that nobody needs is not history of anything.
            work.remove_all(key);
        } else {
            // It may be among the slots that are added next.
            work.pass.marks.slot(work.id, key);
        }
    }
    seen
}

fn taken_count(work: &Work<'_, '_>) -> u64 {
    let view = work.view;
    let mut taken = view.map_or(0, |v| v.taken());
    for key in work.pass.touched(work.id) {
        taken = taken + usize::from(work.is_taken(key)) - usize::from(view.is_some_and(|v| v.is_taken(key)));
    }
    taken as u64
}

/// New slots take the lowest free numbers.
fn add_slots(work: &mut Work<'_, '_>, mut missing: u64) -> Seen {
    let view = work.view;
    let touched: BTreeSet<SlotKey> = work.pass.touched(work.id).collect();
    // Slots that this pass gave up may be lower than those that were free before.
    let first = touched.iter().find_map(|key| if let SlotKey::Number(number) = key { Some(*number) } else { None });
    let first = view.map_or(1, |v| v.first_free()).min(first.unwrap_or(u64::MAX));
    let mut stored = view.into_iter().flat_map(|v| v.slots_from(first)).peekable();
    for number in first.. {
        if missing == 0 {
            break;
        }
        let key = SlotKey::Number(number);
        while stored.next_if(|(stored, _)| *stored < key).is_some() {}
        let slot = stored.peek().filter(|(stored, _)| *stored == key).map(|(_, slot)| *slot);
        let is_touched = touched.contains(&key);
        if if is_touched { work.is_taken(key) } else { slot.is_some_and(Slot::is_taken) } {
            continue;
        }
        if work.is_full() {
            return Seen::Slots;
        }
        let behind = if is_touched || slot.is_some() { start_behind(work, key) } else { None };
        work.create(key, |task| task.start_behind = behind);
        missing -= 1;
    }
    Seen::All
}

/// Slots with several tasks or none on a node go first, then those on nodes with most copies; among equals slots that do
/// not run and high numbers.
fn remove_slots(work: &mut Work<'_, '_>, wanted: u64) -> Seen {
    let view = work.view;
    let keys: BTreeSet<SlotKey> = view.into_iter().flat_map(|v| v.slots()).map(|(key, _)| key).chain(work.pass.touched(work.id)).collect();
    let mut slots: Vec<(bool, SlotKey, Option<NodeId>)> = Vec::new();
    for key in keys.into_iter().filter(|key| work.is_taken(*key)) {
        let tasks = work.tasks(key);
        let runs = tasks.iter().any(|t| is_wanted(t) && t.status.state == TaskState::Running);
        slots.push((!runs, key, only_node(&tasks)));
    }
    slots.sort();
    let mut copies: BTreeMap<NodeId, u64> = BTreeMap::new();
    let mut ranked: Vec<(u64, SlotKey)> = Vec::new();
    for (_, key, node) in slots {
        let rank = node.map_or(u64::MAX, |node| {
            let copies = copies.entry(node).or_default();
            *copies += 1;
            *copies
        });
        ranked.push((rank, key));
    }
    ranked.sort_by_key(|(rank, _)| *rank); // Stable: the order from above decides among equals.
    let kept = usize::try_from(wanted).unwrap_or(usize::MAX).min(ranked.len());
    // From the end: where the pass reaches its bound, the next one finds the same order in what is left.
    for (_, key) in ranked.split_off(kept).into_iter().rev() {
        if work.is_full() {
            return Seen::Slots;
        }
        work.remove_all(key);
    }
    Seen::All
}

/// The node of the one task that stands for the slot; `None` if there are several or it has no node.
fn only_node(tasks: &[Arc<Task>]) -> Option<NodeId> {
    let mut wanted = tasks.iter().filter(|t| is_wanted(t));
    match (wanted.next(), wanted.next()) {
        (Some(only), None) => only.node_id,
        (None, _) => tasks.last()?.node_id,
        (Some(_), Some(_)) => None,
    }
}
