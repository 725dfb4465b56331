//! What one pass has decided so far: objects as they will be, next to what they replace.

use crate::{
    marks::Marks,
    scheduler::loads::Loads,
    slots::{ServiceView, SlotKey},
    template::{Template, Templates},
};
use std::{
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
    services: BTreeMap<ServiceId, Arc<Service>>,
    slots: BTreeMap<ServiceId, BTreeMap<SlotKey, Vec<TaskDraft>>>,
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
        let (services, slots) = Default::default();
        Self { state, now, templates, views, loads, marks, ids, evicted, services, slots, changes: 0 }
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
    pub(crate) fn tasks(&self, service: ServiceId, key: SlotKey) -> Vec<Arc<Task>> {
        match self.slots.get(&service).and_then(|slots| slots.get(&key)) {
            Some(drafts) => drafts.iter().filter_map(|d| d.new.clone()).collect(),
            None => self.views.get(&service).map_or_else(Vec::new, |view| view.tasks(key).to_vec()),
        }
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
        let Some(before) = draft.new.clone() else { return };
        let mut after = Arc::clone(&before);
        let task = Arc::make_mut(&mut after);
        edit(task);
        task.updated_at = now;
        if draft.old.as_ref().is_some_and(|old| Arc::ptr_eq(old, &before)) {
            self.changes += 1;
        }
        self.loads.replace(Some(&before), Some(&after), self.templates);
        draft.new = Some(after);
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
        let mut changes = Vec::with_capacity(self.changes);
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
                self.marks.service(id);
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
