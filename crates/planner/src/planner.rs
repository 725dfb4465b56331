//! The planner: what it derives from the state, and its passes.

use crate::{
    Plan, addresses,
    draft::Pass,
    loose,
    lost::evictions,
    marks::Marks,
    networks,
    orchestrate::{Seen, orchestrate},
    plan::CHANGES_PER_PASS_MAX,
    scheduler::{loads::Loads, schedule},
    slots::{ServiceView, SlotKey},
    template::Templates,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use swarm_state::{Change, Event, Key, Node, Object, Service, State, Task};
use swarm_types::{IdSource, NodeId, ServiceId, SpecId, TaskId, Timestamp, Version};

/// Plans, and keeps what it derived from the state between passes.
///
/// Invariant: all of it can be rebuilt from the state; a new planner's first pass over everything plans the same as a pass
/// over what changed.
#[derive(Debug)]
pub struct Planner {
    /// The log index of the state that everything here is derived from.
    applied: u64,
    templates: Templates,
    views: BTreeMap<ServiceId, ServiceView>,
    loads: Loads,
    globals: BTreeSet<ServiceId>,
    /// Services with a task that waits for a node.
    waiting: BTreeSet<ServiceId>,
    /// Tasks without a service.
    loose: BTreeMap<TaskId, Arc<Task>>,
    marks: Marks,
    /// Nodes without a number in the data path.
    unnumbered: BTreeSet<NodeId>,
}

impl Planner {
    /// Derives everything from a state; the first pass looks at all of it.
    #[must_use]
    pub fn new(state: &State) -> Self {
        let mut planner = Self {
            applied: state.applied(),
            templates: Templates::default(),
            views: BTreeMap::new(),
            loads: Loads::default(),
            globals: BTreeSet::new(),
            waiting: BTreeSet::new(),
            loose: BTreeMap::new(),
            marks: Marks::default(),
            unnumbered: state.nodes().filter(|n| n.data_path_index == 0).map(|n| n.api.id).collect(),
        };
        planner.marks.all = true;
        for spec in state.specs() {
            planner.templates.insert(spec);
        }
        for node in state.nodes() {
            planner.loads.set_node(node.api.id, Some(Arc::clone(node)));
        }
        for service in state.services().filter(|s| is_global(s)) {
            planner.globals.insert(service.id);
        }
        for task in state.tasks() {
            planner.replace_task(None, Some(task));
        }
        planner
    }

    /// Takes in what an entry changed; `state` is the state after it.
    pub fn observe(&mut self, events: &[Event], state: &State) {
        let mut specs_gone = Vec::new();
        for event in events {
            match (&event.key, &event.old, &event.new) {
                (Key::Task(_), old, new) => self.observe_task(as_task(old.as_ref()), as_task(new.as_ref())),
                (Key::Service(id), old, new) => self.observe_service(*id, as_service(old.as_ref()), as_service(new.as_ref())),
                (Key::Node(id), old, new) => self.observe_node(*id, as_node(old.as_ref()), as_node(new.as_ref()), state),
                (Key::Spec(_), _, Some(Object::Spec(spec))) => {
                    self.templates.insert(spec);
                    self.marks.specs.insert(spec.id);
                }
                (Key::Spec(id), ..) => specs_gone.push(*id),
                (Key::Cluster, Some(Object::Cluster(old)), Some(Object::Cluster(new))) => {
                    let (old, new) = (&old.api.spec, &new.api.spec);
                    self.marks.all |= old.orchestration != new.orchestration || old.task_defaults != new.task_defaults;
                }
                (Key::Cluster, ..) => self.marks.all = true,
                // What a task gets as files does not decide where it runs.
                (Key::Secret(_) | Key::Config(_), ..) => {}
                // Only who waits for an address can tell the difference, and looks again when loads change.
                (Key::Network(_), ..) => self.loads.set_changed(),
            }
        }
        // Last: tasks that went in the same entry still had to be weighed.
        for id in specs_gone {
            if state.spec(id).is_none() {
                self.templates.remove(id);
            }
        }
        self.applied = state.applied();
    }

    /// Looks at everything again in the next pass. Not needed after a batch that did not apply: what a pass changes stays
    /// marked until a later pass finds it in order.
    pub fn invalidate(&mut self) {
        self.marks.all = true;
    }

    /// One pass over what changed or became due. A state that was not observed step by step is taken in anew.
    pub fn plan(&mut self, state: &State, now: Timestamp, ids: &mut dyn IdSource) -> Plan {
        if self.applied != state.applied() {
            *self = Self::new(state);
        }
        self.mark_all_if_asked(state);
        self.marks.take_due(now);
        let evicted = self.find_evictions(state);
        let mut pass = Pass::new(state, now, &self.templates, &self.views, &mut self.loads, &mut self.marks, ids, evicted);
        let mut seen = Seen::All;
        let mut reached = BTreeSet::new();
        while let Some((id, mark)) = pass.marks.take_service_after(reached.last().copied()) {
            seen = orchestrate(&mut pass, id, &mark);
            reached.insert(id);
            match seen {
                Seen::All => continue,
                Seen::Slots => pass.marks.service(id),
                Seen::Part => pass.marks.put_back(id, mark),
            }
            break;
        }
        let (refusals, placed) = schedule(&mut pass, &reached, &self.waiting);
        let room = CHANGES_PER_PASS_MAX.saturating_sub(pass.change_count());
        let mut changes = pass.finish();
        let is_bounded = seen != Seen::All || placed != Seen::All;
        if is_bounded {
            self.loads.set_changed();
        } else {
            self.loads.take_changed();
        }
        self.marks.loose_due = loose::tidy(state, &self.loose, now, &mut changes);
        self.marks.networks_due = networks::forget_removed(state, now, &mut changes);
        addresses::number_nodes(state, &self.unnumbered, &mut changes);
        self.forget_unused_specs(state, room.max(1), &mut changes);
        let look_again_in = if is_bounded { Some(Duration::ZERO) } else { self.marks.next_due(now) };
        Plan { changes, look_again_in, refusals }
    }

    fn observe_task(&mut self, old: Option<&Arc<Task>>, new: Option<&Arc<Task>>) {
        self.replace_task(old, new);
        for task in old.into_iter().chain(new) {
            if let Some(service) = task.service_id {
                self.marks.slot(service, SlotKey::of(task));
            }
        }
        let holds = |task: Option<&Arc<Task>>| task.is_some_and(|t| !t.attachments.is_empty() && !t.status.state.is_terminal());
        if holds(old) && !holds(new) {
            // Somebody may wait for the address.
            self.loads.set_changed();
        }
        if let Some(node) = new.and_then(|t| t.node_id).filter(|id| self.loads.node(*id).is_some_and(|load| load.is_over())) {
            self.marks.nodes.insert(node);
        }
        self.marks.specs.extend(old.map(|t| t.spec).filter(|spec| new.is_none_or(|t| t.spec != *spec)));
    }

    fn replace_task(&mut self, old: Option<&Arc<Task>>, new: Option<&Arc<Task>>) {
        self.loads.replace(old.map(|t| &**t), new.map(|t| &**t), &self.templates);
        let Some(any) = new.or(old) else { return };
        let Some(service) = any.service_id else {
            match new {
                Some(task) => self.loose.insert(task.id, Arc::clone(task)),
                None => self.loose.remove(&any.id),
            };
            return;
        };
        let view = self.views.entry(service).or_default();
        view.replace(old.map(|t| &**t), new);
        if view.unplaced().is_empty() {
            self.waiting.remove(&service);
        } else {
            self.waiting.insert(service);
        }
        if view.is_empty() {
            self.views.remove(&service);
        }
    }

    fn observe_service(&mut self, id: ServiceId, old: Option<&Arc<Service>>, new: Option<&Arc<Service>>) {
        if new.is_some_and(|s| is_global(s)) {
            self.globals.insert(id);
        } else {
            self.globals.remove(&id);
        }
        if old.is_some_and(|old| new.is_none_or(|new| old.endpoint != new.endpoint)) {
            // Somebody may wait for a port or an address.
            self.loads.set_changed();
        }
        let only_notes =
            old.zip(new).is_some_and(|(old, new)| old.current == new.current && old.update == new.update && old.job == new.job);
        if only_notes {
            self.marks.service(id)
        } else {
            self.marks.whole(id)
        }
        self.marks.specs.extend(old.into_iter().flat_map(|s| specs_of(s)));
    }

    fn observe_node(&mut self, id: NodeId, old: Option<&Arc<Node>>, new: Option<&Arc<Node>>, state: &State) {
        let same = old.zip(new).is_some_and(|(old, new)| is_same_to_tasks(old, new));
        self.loads.set_node(id, new.cloned());
        if new.is_some_and(|n| n.data_path_index == 0) {
            self.unnumbered.insert(id);
        } else {
            self.unnumbered.remove(&id);
        }
        if same {
            return;
        }
        self.marks.nodes.insert(id);
        for task in state.tasks_of_node(id) {
            if let Some(service) = task.service_id {
                self.marks.slot(service, SlotKey::of(task));
            }
        }
        for service in &self.globals {
            self.marks.slot(*service, SlotKey::Node(id));
        }
    }

    fn mark_all_if_asked(&mut self, state: &State) {
        if !std::mem::take(&mut self.marks.all) {
            return;
        }
        for id in state.services().map(|s| s.id).chain(self.views.keys().copied()) {
            self.marks.whole(id);
        }
        self.marks.nodes.extend(self.loads.nodes().filter(|(_, load)| load.is_over()).map(|(id, _)| id));
        self.marks.specs.extend(state.unused_specs());
        self.loads.set_changed();
    }

    /// Tasks that have to leave marked nodes; their slots are marked. A node stays marked as long as it gave too much.
    fn find_evictions(&mut self, state: &State) -> BTreeSet<TaskId> {
        let (loads, marks) = (&self.loads, &mut self.marks);
        marks.nodes.retain(|id| loads.node(*id).is_some_and(|load| load.is_over()));
        let evicted: BTreeSet<TaskId> = marks.nodes.iter().flat_map(|id| evictions(state, *id, &self.templates)).collect();
        for task in evicted.iter().filter_map(|id| state.task(*id)) {
            if let Some(service) = task.service_id {
                self.marks.slot(service, SlotKey::of(task));
            }
        }
        evicted
    }

    /// Templates that nothing names any more go; those that still do are looked at again when something lets go of them.
    fn forget_unused_specs(&mut self, state: &State, count_max: usize, changes: &mut Vec<Change>) {
        self.marks.specs.retain(|id| state.spec(*id).is_some() && state.spec_uses(*id) == 0);
        let unused = self.marks.specs.iter().take(count_max);
        changes.extend(unused.map(|id| Change::Delete { replaces: Version::default(), key: Key::Spec(*id) }));
    }
}

fn is_global(service: &Service) -> bool {
    let mode = &service.current.spec.mode;
    mode.global.is_some() || mode.global_job.is_some()
}

fn specs_of(service: &Service) -> impl Iterator<Item = SpecId> {
    std::iter::once(&service.current).chain(&service.previous).map(|stored| stored.template)
}

/// Whether nothing changed that matters to where tasks run.
fn is_same_to_tasks(old: &Node, new: &Node) -> bool {
    let (a, b) = (&old.api, &new.api);
    let described = |n: &swarm_types::Node| {
        let d = &n.description;
        (d.hostname.clone(), d.platform.clone(), d.resources.clone(), d.engine.clone())
    };
    old.role == new.role
        && old.state_since == new.state_since
        && a.spec == b.spec
        && a.status.state == b.status.state
        && a.status.addr == b.status.addr
        && described(a) == described(b)
}

fn as_task(object: Option<&Object>) -> Option<&Arc<Task>> {
    match object? {
        Object::Task(task) => Some(task),
        _ => None,
    }
}

fn as_service(object: Option<&Object>) -> Option<&Arc<Service>> {
    match object? {
        Object::Service(service) => Some(service),
        _ => None,
    }
}

fn as_node(object: Option<&Object>) -> Option<&Arc<Node>> {
    match object? {
        Object::Node(node) => Some(node),
        _ => None,
    }
}
