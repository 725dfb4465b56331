//! What one pass has decided so far: objects as they will be, next to what they replace.

use crate::{
    addresses::{self, Given},
    marks::Marks,
    restart::is_on_node,
    scheduler::loads::Loads,
    slots::{ServiceView, SlotKey, is_unplaced},
    template::{Template, Templates},
};
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use swarm_state::{Change, Node, Object, Service, State, Task};
use swarm_types::{IdSource, NodeId, ServiceId, SpecId, TaskId, Timestamp};

/// One task in a draft.
#[derive(Debug, Clone)]
struct TaskDraft {
    /// As stored; `None` if this pass makes it.
    old: Option<Arc<Task>>,
    /// As it will be; `None` if this pass deletes it.
    new: Option<Arc<Task>>,
}

impl TaskDraft {
    fn is_changed(&self) -> bool {
        match (&self.old, &self.new) {
            (Some(old), Some(new)) => !Arc::ptr_eq(old, new) && old != new,
            (None, None) => false,
            _ => true,
        }
    }
}

/// One pass: what it reads, what it may ask, and what it has decided so far.
pub(crate) struct Pass<'a> {
    pub(crate) state: &'a State,
    pub(crate) now: Timestamp,
    pub(crate) templates: &'a Templates,
    pub(crate) views: &'a BTreeMap<ServiceId, ServiceView>,
    /// As they will be after what was decided so far.
    pub(crate) loads: &'a mut Loads,
    pub(crate) marks: &'a mut Marks,
    pub(crate) ids: &'a mut dyn IdSource,
    /// Tasks on nodes that have less than they gave, and have to leave.
    pub(crate) evicted: BTreeSet<TaskId>,
    /// Addresses and ports that this pass has given out.
    pub(crate) given: Given,
    services: BTreeMap<ServiceId, Arc<Service>>,
    slots: BTreeMap<ServiceId, BTreeMap<SlotKey, Vec<TaskDraft>>>,
    /// Slots with new tasks that remember failures.
    failing: BTreeSet<(ServiceId, SlotKey)>,
    changes: usize,
}

impl<'a> Pass<'a> {
    #[expect(clippy::too_many_arguments, reason = "these are the parts of the planner, borrowed one by one")]
    pub(crate) fn new(
        state: &'a State,
        now: Timestamp,
        templates: &'a Templates,
        views: &'a BTreeMap<ServiceId, ServiceView>,
        loads: &'a mut Loads,
        marks: &'a mut Marks,
        ids: &'a mut dyn IdSource,
        evicted: BTreeSet<TaskId>,
    ) -> Self {
        let (given, services, slots, failing) = Default::default();
        Self { state, now, templates, views, loads, marks, ids, evicted, given, services, slots, failing, changes: 0 }
    }

    /// Roughly how many changes were decided so far.
    pub(crate) fn change_count(&self) -> usize {
        self.changes
    }

    /// The service as it will be.
    pub(crate) fn service(&self, id: ServiceId) -> Option<&Arc<Service>> {
        self.services.get(&id).or_else(|| self.state.service(id))
    }

    /// Changes a service.
    pub(crate) fn edit_service(&mut self, id: ServiceId, edit: impl FnOnce(&mut Service)) {
        let Some(mut service) = self.service(id).cloned() else { return };
        let changed = Arc::make_mut(&mut service);
        edit(changed);
        changed.updated_at = self.now;
        if self.services.insert(id, service).is_none() {
            self.changes += 1;
        }
    }

    /// A slot's tasks as they will be, oldest first.
    pub(crate) fn tasks(&self, service: ServiceId, key: SlotKey) -> Cow<'a, [Arc<Task>]> {
        self.tasks_of(self.views.get(&service), service, key)
    }

    /// The same for a caller who has the service's view at hand.
    pub(crate) fn tasks_of(&self, view: Option<&'a ServiceView>, service: ServiceId, key: SlotKey) -> Cow<'a, [Arc<Task>]> {
        match self.slots.get(&service).and_then(|slots| slots.get(&key)) {
            Some(drafts) => drafts.iter().filter_map(|d| d.new.clone()).collect(),
            None => Cow::Borrowed(view.map_or(&[], |view| view.tasks(key))),
        }
    }

    /// The tasks of a service that wait for a node, in order of their slots, as they will be.
    pub(crate) fn unplaced(&self, service: ServiceId) -> Vec<(SlotKey, Arc<Task>)> {
        let drafted = self.slots.get(&service);
        let untouched = |key: &SlotKey| drafted.is_none_or(|slots| !slots.contains_key(key));
        let view = self.views.get(&service);
        let stored =
            view.into_iter().flat_map(|view| view.unplaced().iter().filter(|key| untouched(key)).map(|key| (*key, view.tasks(*key))));
        let stored = stored.flat_map(|(key, tasks)| tasks.iter().map(move |task| (key, task)));
        let drafts = drafted.into_iter().flatten().flat_map(|(key, drafts)| drafts.iter().filter_map(|d| Some((*key, d.new.as_ref()?))));
        let unplaced = stored.chain(drafts).filter(|(_, task)| is_unplaced(task));
        let mut unplaced: Vec<(SlotKey, Arc<Task>)> = unplaced.map(|(key, task)| (key, Arc::clone(task))).collect();
        unplaced.sort_by_key(|(key, _)| *key);
        unplaced
    }

    /// Slots of a service whose newest task may remember failures on nodes.
    pub(crate) fn failing(&self, service: ServiceId) -> BTreeSet<SlotKey> {
        let stored = self.views.get(&service).into_iter().flat_map(|view| view.failing().iter().copied());
        let made = self.failing.range((service, SlotKey::Number(0))..).take_while(|(id, _)| *id == service);
        stored.chain(made.map(|(_, key)| *key)).collect()
    }

    /// The slots of a service that this pass has changed so far.
    pub(crate) fn touched(&self, service: ServiceId) -> impl Iterator<Item = SlotKey> {
        self.slots.get(&service).into_iter().flat_map(|slots| slots.keys().copied())
    }

    /// Whether this pass has changed the slot so far.
    pub(crate) fn is_touched(&self, service: ServiceId, key: SlotKey) -> bool {
        self.slots.get(&service).is_some_and(|slots| slots.contains_key(&key))
    }

    /// Changes a task.
    pub(crate) fn edit(&mut self, service: ServiceId, key: SlotKey, id: TaskId, edit: impl FnOnce(&mut Task)) {
        let now = self.now;
        let drafts = drafts_of(&mut self.slots, self.views, service, key);
        let Some(draft) = drafts.iter_mut().find(|d| d.new.as_ref().is_some_and(|t| t.id == id)) else { return };
        let Some(new) = &mut draft.new else { return };
        if draft.old.as_ref().is_some_and(|old| Arc::ptr_eq(old, new)) {
            self.changes += 1;
        }
        // What weighs nothing need not be kept for comparison; most of all the tasks that this pass makes.
        let before = is_on_node(new).then(|| Arc::clone(new));
        let task = Arc::make_mut(new);
        edit(task);
        task.updated_at = now;
        self.loads.replace(before.as_deref(), Some(new), self.templates);
    }

    /// Deletes a task.
    pub(crate) fn delete(&mut self, service: ServiceId, key: SlotKey, id: TaskId) {
        let drafts = drafts_of(&mut self.slots, self.views, service, key);
        let Some(draft) = drafts.iter_mut().find(|d| d.new.as_ref().is_some_and(|t| t.id == id)) else { return };
        let before = draft.new.take();
        if matches!((&draft.old, &before), (Some(old), Some(new)) if Arc::ptr_eq(old, new)) {
            self.changes += 1;
        }
        self.loads.replace(before.as_deref(), None, self.templates);
    }

    /// Adds a task to a slot, as its newest: clocks of successive leaders may differ, the order of a slot's tasks must not.
    pub(crate) fn create(&mut self, service: ServiceId, key: SlotKey, mut task: Task) {
        let drafts = drafts_of(&mut self.slots, self.views, service, key);
        let newest = drafts.iter().flat_map(|d| [&d.old, &d.new]).flatten().map(|t| t.created_at).max();
        if let Some(newest) = newest.filter(|newest| *newest >= task.created_at) {
            task.created_at = newest.after(Duration::from_nanos(1));
        }
        if !task.failures.is_empty() {
            self.failing.insert((service, key));
        }
        self.changes += 1;
        self.loads.replace(None, Some(&task), self.templates);
        drafts.push(TaskDraft { old: None, new: Some(Arc::new(task)) });
    }

    /// A node, if it exists.
    pub(crate) fn node(&self, id: Option<NodeId>) -> Option<&'a Arc<Node>> {
        self.state.node(id?)
    }

    /// A template, read.
    pub(crate) fn template(&self, id: SpecId) -> Option<&'a Arc<Template>> {
        self.templates.get(id)
    }

    /// The decided changes of tasks and services, in order; what they touch stays marked, in case the batch does not apply.
    /// The loads are what they were before the pass.
    pub(crate) fn finish(self) -> Vec<Change> {
        let mut changes = addresses::remember(self.state, &self.given);
        changes.reserve(self.changes);
        let services: BTreeSet<ServiceId> = self.services.keys().chain(self.slots.keys()).copied().collect();
        for id in services {
            for (key, drafts) in self.slots.get(&id).into_iter().flatten() {
                for draft in drafts {
                    if draft.is_changed() {
                        self.marks.slot(id, *key);
                    }
                    self.loads.replace(draft.new.as_deref(), draft.old.as_deref(), self.templates);
                    changes.extend(change(draft));
                }
            }
            let stored = self.state.service(id);
            if let Some(service) = self.services.get(&id).filter(|s| stored != Some(s)) {
                // Until an update is stored as begun, its slots are known only from having been looked at.
                self.marks.whole(id);
                changes.push(Change::update(Object::Service(Arc::clone(service))));
            }
        }
        changes
    }
}

fn drafts_of<'d>(
    slots: &'d mut BTreeMap<ServiceId, BTreeMap<SlotKey, Vec<TaskDraft>>>,
    views: &BTreeMap<ServiceId, ServiceView>,
    service: ServiceId,
    key: SlotKey,
) -> &'d mut Vec<TaskDraft> {
    slots.entry(service).or_default().entry(key).or_insert_with(|| {
        let tasks = views.get(&service).map_or(&[][..], |view| view.tasks(key));
        tasks.iter().map(|t| TaskDraft { old: Some(Arc::clone(t)), new: Some(Arc::clone(t)) }).collect()
    })
}

fn change(draft: &TaskDraft) -> Option<Change> {
    if !draft.is_changed() {
        return None;
    }
    match (&draft.old, &draft.new) {
        (_, Some(new)) => Some(Change::update(Object::Task(Arc::clone(new)))),
        (Some(old), None) => Some(Change::delete(&Object::Task(Arc::clone(old)))),
        (None, None) => None,
    }
}
