//! The slots of a service: places that should hold one task each.

use crate::template::Templates;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use swarm_state::Task;
use swarm_types::{NodeId, TaskState};

/// Names a slot within its service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum SlotKey {
    /// Of a replicated service, from 1.
    Number(u64),
    /// Of a global service: one per node.
    Node(NodeId),
}

impl SlotKey {
    /// The slot a task was made for. Never changes in a task's life.
    pub(crate) fn of(task: &Task) -> Self {
        match (task.slot, task.node_id) {
            (0, Some(node)) => Self::Node(node),
            (slot, _) => Self::Number(slot),
        }
    }
}

/// What a slot holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Occupancy {
    /// A task that is wanted, whether it runs yet, or ended and is not replaced yet.
    Live,
    /// Its last task ended and the restart policy allows no other: the slot stays as it is until the next update.
    Ended,
    /// Nothing that counts; at most tasks on their way out.
    Free,
}

impl Occupancy {
    /// Of a slot with these tasks, oldest first.
    pub(crate) fn of(tasks: &[Arc<Task>]) -> Self {
        if tasks.iter().any(|t| is_wanted(t)) {
            return Self::Live;
        }
        match tasks.last() {
            Some(newest) if newest.desired_state == TaskState::Shutdown && !newest.replaced => Self::Ended,
            _ => Self::Free,
        }
    }

    /// Whether the slot counts as one of the service's replicas.
    pub(crate) fn is_taken(self) -> bool {
        self != Self::Free
    }
}

/// Whether a task should be there, ended or not. Tasks of jobs are to be complete.
pub(crate) fn is_wanted(task: &Task) -> bool {
    task.desired_state <= TaskState::Complete
}

/// Whether a task should be there and has not ended.
pub(crate) fn is_live(task: &Task) -> bool {
    is_wanted(task) && !task.status.state.is_terminal()
}

/// Whether a task waits for a node.
pub(crate) fn is_unplaced(task: &Task) -> bool {
    is_live(task) && task.status.state < TaskState::Assigned
}

/// The tasks of one slot.
#[derive(Debug, Clone, Default)]
pub(crate) struct Slot {
    /// Oldest first.
    tasks: Vec<Arc<Task>>,
    taken: bool,
}

impl Slot {
    /// Its tasks, oldest first.
    pub(crate) fn tasks(&self) -> &[Arc<Task>] {
        &self.tasks
    }

    /// Whether it counts as one of the service's replicas.
    pub(crate) fn is_taken(&self) -> bool {
        self.taken
    }
}

/// The slots of one service, derived from its tasks.
#[derive(Debug)]
pub(crate) struct ServiceView {
    slots: BTreeMap<SlotKey, Slot>,
    taken: usize,
    /// The lowest number that no taken slot has.
    first_free: u64,
    unplaced: BTreeSet<SlotKey>,
    failing: BTreeSet<SlotKey>,
}

impl Default for ServiceView {
    fn default() -> Self {
        let (slots, unplaced, failing) = Default::default();
        Self { slots, taken: 0, first_free: 1, unplaced, failing }
    }
}

impl ServiceView {
    /// Puts `new` in the place of `old`; either may be missing.
    pub(crate) fn replace(&mut self, old: Option<&Task>, new: Option<&Arc<Task>>) {
        let Some(key) = new.map(|t| SlotKey::of(t)).or_else(|| old.map(SlotKey::of)) else { return };
        let slot = self.slots.entry(key).or_default();
        if let Some(old) = old {
            slot.tasks.retain(|t| t.id != old.id);
        }
        if let Some(new) = new {
            let place = slot.tasks.partition_point(|t| age(t) < age(new));
            slot.tasks.insert(place, Arc::clone(new));
        }
        let was_taken = std::mem::replace(&mut slot.taken, Occupancy::of(&slot.tasks).is_taken());
        let is_taken = slot.taken;
        self.taken = self.taken + usize::from(is_taken) - usize::from(was_taken);
        set(&mut self.unplaced, key, slot.tasks.iter().any(|t| is_unplaced(t)));
        set(&mut self.failing, key, slot.tasks.last().is_some_and(|t| !t.failures.is_empty()));
        if slot.tasks.is_empty() {
            self.slots.remove(&key);
        }
        if let SlotKey::Number(number) = key {
            if !is_taken {
                self.first_free = self.first_free.min(number);
            }
            while self.is_taken(SlotKey::Number(self.first_free)) {
                self.first_free += 1;
            }
        }
    }

    /// The slots that hold anything, in order.
    pub(crate) fn slots(&self) -> impl Iterator<Item = (SlotKey, &Slot)> {
        self.slots.iter().map(|(key, slot)| (*key, slot))
    }

    /// One slot's tasks, oldest first.
    pub(crate) fn tasks(&self, key: SlotKey) -> &[Arc<Task>] {
        self.slots.get(&key).map_or(&[], Slot::tasks)
    }

    /// The lowest number that no slot that counts has.
    pub(crate) fn first_free(&self) -> u64 {
        self.first_free
    }

    /// The slots from this number on that hold anything, in order.
    pub(crate) fn slots_from(&self, number: u64) -> impl Iterator<Item = (SlotKey, &Slot)> {
        self.slots.range(SlotKey::Number(number)..).map(|(key, slot)| (*key, slot))
    }

    /// How many slots count as replicas.
    pub(crate) fn taken(&self) -> usize {
        self.taken
    }

    /// Whether the slot counts as one of the service's replicas.
    pub(crate) fn is_taken(&self, key: SlotKey) -> bool {
        self.slots.get(&key).is_some_and(Slot::is_taken)
    }

    /// Slots with a task that waits for a node.
    pub(crate) fn unplaced(&self) -> &BTreeSet<SlotKey> {
        &self.unplaced
    }

    /// Slots whose newest task remembers failures on nodes.
    pub(crate) fn failing(&self) -> &BTreeSet<SlotKey> {
        &self.failing
    }

    /// Whether no slot holds anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }
}

/// What orders the tasks of a slot: see [`crate::draft::Pass::create`], which keeps creation times apart.
fn age(task: &Task) -> (swarm_types::Timestamp, swarm_types::TaskId) {
    (task.created_at, task.id)
}

fn set(keys: &mut BTreeSet<SlotKey>, key: SlotKey, member: bool) {
    if member {
        keys.insert(key);
    } else {
        keys.remove(&key);
    }
}

/// Whether a task is wanted but its own template does not let it be on a node like this.
pub(crate) fn violates_own_placement(task: &Task, node: &swarm_state::Node, templates: &Templates) -> bool {
    templates.get(task.spec).is_some_and(|template| !template.fits(node))
}
