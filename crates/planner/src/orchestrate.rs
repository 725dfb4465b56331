//! One service in one pass: its slots are tended, counted, updated and tidied, in this order.

use crate::{
    draft::Pass,
    global, job, lost,
    marks::Mark,
    plan::CHANGES_PER_PASS_MAX,
    quiet, reaper, replicated,
    slots::{Occupancy, ServiceView, SlotKey, is_wanted},
    template::Template,
    updater,
};
use std::{
    borrow::Cow,
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use swarm_state::{Service, Task};
use swarm_types::{NodeId, NodeState, ServiceId, SpecId, TaskId, TaskState, TaskStatus, Timestamp};

/// Whether everything that was marked has been seen to; if not, the pass reached its bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Seen {
    All,
    /// The marked slots have, but not what concerns the service as a whole.
    Slots,
    Part,
}

/// Sees to the marked parts of a service.
pub(crate) fn orchestrate(pass: &mut Pass<'_>, id: ServiceId, mark: &Mark) -> Seen {
    let Some(service) = pass.state.service(id) else { return dissolve(pass, id, mark) };
    let mode = &service.current.spec.mode;
    let is_global = mode.global.is_some() || mode.global_job.is_some();
    let mut work = Work::new(pass, id, is_global);
    if work.is_job {
        return job::orchestrate(&mut work, mark);
    }
    let mut keys = work.marked(mark);
    keys.retain(|key| !quiet::is_quiet(&mut work, *key));
    for key in &keys {
        if work.is_full() {
            return Seen::Part;
        }
        lost::end_lost(&mut work, *key);
        updater::watch(&mut work, *key);
    }
    for key in &keys {
        if work.is_full() {
            return Seen::Part;
        }
        if is_global { global::tend(&mut work, *key) } else { replicated::tend(&mut work, *key) }
    }
    let scaled = if is_global { Seen::All } else { replicated::scale(&mut work, &keys) };
    let rolled = updater::roll(&mut work, &keys);
    if work.service().rollout.is_some() {
        keys.extend(work.pass.touched(id));
    }
    let reaped = keys.into_iter().map(|key| reaper::reap(&mut work, key)).max();
    scaled.max(rolled).max(reaped.unwrap_or(Seen::All))
}

/// Removes what is left of a service that was deleted.
fn dissolve(pass: &mut Pass<'_>, id: ServiceId, mark: &Mark) -> Seen {
    let mut work = Work::new(pass, id, false);
    for key in work.marked(mark) {
        if work.is_full() {
            return Seen::Part;
        }
        work.remove_all(key);
        lost::end_lost(&mut work, key);
        work.remove_all(key);
    }
    Seen::All
}

/// One service in one pass.
pub(crate) struct Work<'w, 'a> {
    pub(crate) pass: &'w mut Pass<'a>,
    pub(crate) id: ServiceId,
    /// Its slots are nodes.
    pub(crate) is_global: bool,
    /// Its tasks are to complete.
    pub(crate) is_job: bool,
    /// Its slots as stored.
    pub(crate) view: Option<&'a ServiceView>,
    /// As it will be; none if it was deleted.
    service: Option<Arc<Service>>,
    /// The template of its new tasks.
    template: Option<Arc<Template>>,
    /// Tasks of a slot that are kept; negative is unlimited.
    pub(crate) history_limit: i64,
    /// What was found out about tasks of other templates.
    pub(crate) verdicts: RefCell<BTreeMap<SpecId, updater::Verdict>>,
}

impl<'w, 'a> Work<'w, 'a> {
    fn new(pass: &'w mut Pass<'a>, id: ServiceId, is_global: bool) -> Self {
        let service = pass.service(id).cloned();
        let template = service.as_ref().and_then(|s| pass.template(s.current.template).cloned());
        let view = pass.views.get(&id);
        let attempts = template.as_ref().map_or(0, |t| t.restart.max_attempts);
        let history_limit = reaper::limit(pass.state, attempts);
        let is_job = service.as_ref().is_some_and(|s| s.job.is_some());
        Self { pass, id, is_global, is_job, view, service, template, history_limit, verdicts: RefCell::default() }
    }

    pub(crate) fn marked(&self, mark: &Mark) -> BTreeSet<SlotKey> {
        let mut keys = mark.slots.clone();
        if mark.whole {
            keys.extend(self.view.into_iter().flat_map(|view| view.slots().map(|(key, _)| key)));
            if self.is_global {
                keys.extend(self.pass.state.nodes().map(|n| SlotKey::Node(n.api.id)));
            }
        }
        keys
    }

    /// Whether the pass has reached its bound.
    pub(crate) fn is_full(&self) -> bool {
        self.pass.change_count() >= CHANGES_PER_PASS_MAX
    }

    /// The service as it will be.
    pub(crate) fn service(&self) -> Arc<Service> {
        Arc::clone(self.service.as_ref().expect("only a service that exists is worked on"))
    }

    /// Changes the service.
    pub(crate) fn edit_service(&mut self, edit: impl FnOnce(&mut Service)) {
        let before = self.service().current.template;
        self.pass.edit_service(self.id, edit);
        self.service = self.pass.service(self.id).cloned();
        let after = self.service().current.template;
        if before != after {
            self.template = self.pass.template(after).cloned();
            self.history_limit = reaper::limit(self.pass.state, self.template().restart.max_attempts);
            self.verdicts.take();
        }
    }

    /// The template of new tasks.
    pub(crate) fn template(&self) -> Arc<Template> {
        Arc::clone(self.template.as_ref().expect("applying refuses a service whose template is not stored"))
    }

    /// A slot's tasks as they will be, oldest first.
    pub(crate) fn tasks(&self, key: SlotKey) -> Cow<'a, [Arc<Task>]> {
        self.pass.tasks_of(self.view, self.id, key)
    }

    /// Whether the slot will count as one of the replicas.
    pub(crate) fn is_taken(&self, key: SlotKey) -> bool {
        if self.pass.is_touched(self.id, key) {
            Occupancy::of(&self.tasks(key)).is_taken()
        } else {
            self.view.is_some_and(|view| view.is_taken(key))
        }
    }

    pub(crate) fn edit(&mut self, key: SlotKey, task: TaskId, edit: impl FnOnce(&mut Task)) {
        self.pass.edit(self.id, key, task, edit);
    }

    /// Looks at the slot again then.
    pub(crate) fn look_again(&mut self, at: Timestamp, key: SlotKey) {
        self.pass.marks.due(at, self.id, Some(key));
    }

    /// Stops a task and keeps it as history. `frees_slot` is false only for a task that ended and may not be replaced.
    pub(crate) fn stop(&mut self, key: SlotKey, task: TaskId, frees_slot: bool) {
        let now = self.pass.now;
        self.edit(key, task, |task| {
            task.desired_state = task.desired_state.max(TaskState::Shutdown);
            task.replaced |= frees_slot;
            end_if_unplaced(task, now);
        });
    }

    /// Stops a task that needs to be forgotten; forgets it at once if nothing of it runs.
    pub(crate) fn remove(&mut self, key: SlotKey, task: &Task) {
        if task.status.state < TaskState::Assigned || task.status.state.is_terminal() {
            self.pass.delete(self.id, key, task.id);
        } else if task.desired_state < TaskState::Remove {
            self.edit(key, task.id, |task| task.desired_state = TaskState::Remove);
        }
    }

    /// Removes every task of a slot.
    pub(crate) fn remove_all(&mut self, key: SlotKey) {
        for task in self.tasks(key).iter() {
            self.remove(key, task);
        }
    }

    /// Sees to a task that is not wanted any more.
    pub(crate) fn settle(&mut self, key: SlotKey, task: &Task) {
        if task.desired_state >= TaskState::Remove {
            self.remove(key, task);
        } else if !is_wanted(task) && task.status.state < TaskState::Assigned {
            let now = self.pass.now;
            self.edit(key, task.id, |task| end_if_unplaced(task, now));
        }
    }

    /// The state that tasks are to reach.
    pub(crate) fn goal(&self) -> TaskState {
        if self.is_job { TaskState::Complete } else { TaskState::Running }
    }

    /// Adds a task of the present template to the slot. The scheduler, which comes after, writes what it says.
    pub(crate) fn create(&mut self, key: SlotKey, finish: impl FnOnce(&mut Task)) {
        let (slot, node_id) = match key {
            SlotKey::Number(slot) => (slot, None),
            SlotKey::Node(node) => (0, Some(node)),
        };
        let now = self.pass.now;
        let mut task = Task {
            id: TaskId::from_random(self.pass.ids.random()),
            version: swarm_types::Version::default(),
            created_at: now,
            updated_at: now,
            service_id: Some(self.id),
            slot,
            node_id,
            spec: self.service().current.template,
            status: TaskStatus { timestamp: now, state: TaskState::Pending, ..TaskStatus::default() },
            desired_state: self.goal(),
            start_after: None,
            start_behind: None,
            restarts: Vec::new(),
            failures: Vec::new(),
            replaced: false,
            by_update: false,
            running_since: None,
            generic_resources: Vec::new(),
            job_iteration: self.service().job.map(|job| job.job_iteration),
            attachments: Vec::new(),
        };
        finish(&mut task);
        if task.start_after.is_some() || task.start_behind.is_some() {
            task.desired_state = TaskState::Ready;
        }
        self.pass.create(self.id, key, task);
    }

    /// Whether something may still come of the node: it exists and is not down.
    pub(crate) fn is_alive(&self, node: Option<NodeId>) -> bool {
        self.pass.node(node).is_some_and(|n| n.api.status.state != NodeState::Down)
    }
}

/// A task that never reached a node ends as soon as it is not wanted.
fn end_if_unplaced(task: &mut Task, now: Timestamp) {
    if task.status.state < TaskState::Assigned {
        task.status.state = TaskState::Shutdown;
        task.status.timestamp = now;
        "shutdown".clone_into(&mut task.status.message);
    }
}
