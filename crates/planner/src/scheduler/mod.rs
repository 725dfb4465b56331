//! Chooses nodes for the tasks that have none.

pub(crate) mod filters;
pub(crate) mod loads;
pub(crate) mod rank;
pub(crate) mod resources;
pub(crate) mod spread;

use crate::{
    addresses,
    draft::Pass,
    orchestrate::Seen,
    plan::{CHANGES_PER_PASS_MAX, Refusal},
    restart::FAILURE_WINDOW,
    slots::SlotKey,
    template::Template,
};
use filters::{Charges, Request};
use rank::{Choice, Queue};
use spread::Tree;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use swarm_state::Task;
use swarm_types::{NodeId, ServiceId, SpecId, TaskId, TaskState, TaskStatus};

const WAITING: &str = "pending task scheduling";
const ASSIGNED: &str = "scheduler assigned task to node";
const CONFIRMED: &str = "scheduler confirmed task can run on preassigned node";
/// Failures within [`FAILURE_WINDOW`] from which on a node is tried last.
const FAILURES_MAX: usize = 5;
/// A task's reason for waiting is written at most this often: counts of nodes may change with every task elsewhere.
const REASON_PERIOD: Duration = Duration::from_secs(1);

/// Places what can be placed, and writes on the other tasks why not. Looks at services that are marked, changed in this
/// pass, or wait while anything about any node changed.
pub(crate) fn schedule(pass: &mut Pass<'_>, marked: &BTreeSet<ServiceId>, waiting: &BTreeSet<ServiceId>) -> (Vec<Refusal>, Seen) {
    let mut refusals = Vec::new();
    let mut seen = Seen::All;
    let services: BTreeSet<ServiceId> = marked.iter().chain(waiting).copied().collect();
    for service in services {
        if !marked.contains(&service) && !pass.loads.is_changed() {
            continue;
        }
        let settled = addresses::settle_service(pass, service);
        for (spec, tasks) in unplaced(pass, service, &mut seen) {
            let Some(template) = pass.template(spec).cloned() else { continue };
            let tasks = with_addresses(pass, service, &template, &settled, tasks, &mut refusals);
            place(pass, service, &template, tasks, &mut refusals);
        }
    }
    (refusals, seen)
}

type Group = Vec<(SlotKey, Arc<Task>)>;

/// The service's tasks without a node, by template: equal tasks are placed together.
fn unplaced(pass: &Pass<'_>, service: ServiceId, seen: &mut Seen) -> BTreeMap<SpecId, Group> {
    let mut groups: BTreeMap<SpecId, Group> = BTreeMap::new();
    let full = pass.change_count() >= CHANGES_PER_PASS_MAX;
    for (key, task) in pass.unplaced(service) {
        // What this pass made costs no further change.
        if full && pass.state.task(task.id).is_some() {
            *seen = Seen::Part;
        } else {
            groups.entry(task.spec).or_default().push((key, task));
        }
    }
    groups
}

/// The tasks of the group that have an address on each of their networks; the others wait, with the reason on them.
fn with_addresses(
    pass: &mut Pass<'_>,
    service: ServiceId,
    template: &Template,
    settled: &Result<(), String>,
    tasks: Group,
    refusals: &mut Vec<Refusal>,
) -> Group {
    let mut ready = Group::new();
    let mut reasons = BTreeMap::new();
    for (key, task) in tasks {
        let attachments = settled.clone().and_then(|()| addresses::attach(pass, &template.spec, &task.attachments));
        match attachments {
            Ok(attachments) if attachments == task.attachments => ready.push((key, task)),
            Ok(attachments) => {
                let id = task.id;
                drop(task); // So that it can be changed in place.
                pass.edit(service, key, id, |task| task.attachments = attachments);
                ready.extend(pass.tasks(service, key).iter().find(|t| t.id == id).map(|t| (key, Arc::clone(t))));
            }
            Err(reason) => refuse(pass, service, key, &task, &reason, &mut reasons),
        }
    }
    refusals.extend(reasons.into_iter().map(|(reason, tasks)| Refusal { service, tasks, reason }));
    ready
}

fn place(pass: &mut Pass<'_>, service: ServiceId, template: &Template, tasks: Group, refusals: &mut Vec<Refusal>) {
    let state = pass.state;
    let default_log_driver = state.cluster().and_then(|c| c.api.spec.task_defaults.log_driver.as_ref()).map(|d| d.name.as_str());
    let default_log_driver = default_log_driver.filter(|name| !name.is_empty());
    let request = Request { service, template, default_log_driver };
    let (preset, free): (Group, Group) = tasks.into_iter().partition(|(_, task)| task.node_id.is_some());
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    for (key, task) in preset {
        let Some(node) = task.node_id else { continue };
        match request.check(node, pass.loads) {
            Ok(generic) => assign(pass, service, key, task.id, (node, generic), CONFIRMED),
            Err(filter) => {
                let mut charges = Charges::default();
                charges.charge(filter);
                refuse(pass, service, key, &task, &charges.explain(), &mut reasons);
            }
        }
    }
    let mut free = free.into_iter().peekable();
    if free.peek().is_some() {
        let failing = failing_nodes(pass, service, template.spec.id);
        let mut charges = Charges::default();
        pass.loads.sort();
        let mut nodes = Nodes::new(&request, pass, failing);
        while let Some((_, task)) = free.peek() {
            let id = task.id;
            let Some(choice) = nodes.next(&request, pass, &mut charges) else { break };
            let Some((key, task)) = free.next() else { break };
            drop(task); // So that it can be changed in place.
            assign(pass, service, key, id, choice, ASSIGNED);
        }
        let reason = charges.explain();
        for (key, task) in free {
            refuse(pass, service, key, &task, &reason, &mut reasons);
        }
    }
    refusals.extend(reasons.into_iter().map(|(reason, tasks)| Refusal { service, tasks, reason }));
}

/// Nodes in the order in which a group of tasks takes them.
enum Nodes {
    Queue(Queue),
    Tree(Tree),
}

impl Nodes {
    fn new(request: &Request<'_>, pass: &Pass<'_>, failing: BTreeSet<NodeId>) -> Self {
        if request.template.spread.is_empty() {
            Self::Queue(Queue::new(request, pass.loads, failing))
        } else {
            Self::Tree(Tree::new(request, pass.loads, &failing))
        }
    }

    fn next(&mut self, request: &Request<'_>, pass: &Pass<'_>, charges: &mut Charges) -> Option<Choice> {
        match self {
            Self::Queue(queue) => queue.next(request, pass.loads, charges),
            Self::Tree(tree) => tree.next(request, pass.loads, charges),
        }
    }
}

/// Nodes on which this version of the service failed too often lately.
fn failing_nodes(pass: &Pass<'_>, service: ServiceId, spec: SpecId) -> BTreeSet<NodeId> {
    let mut failures: BTreeMap<NodeId, usize> = BTreeMap::new();
    for key in pass.failing(service) {
        let tasks = pass.tasks(service, key);
        let Some(newest) = tasks.last().filter(|t| t.spec == spec) else { continue };
        for failure in newest.failures.iter().filter(|f| pass.now.since(f.at) < FAILURE_WINDOW) {
            *failures.entry(failure.node).or_default() += 1;
        }
    }
    failures.into_iter().filter(|(_, count)| *count >= FAILURES_MAX).map(|(node, _)| node).collect()
}

fn assign(pass: &mut Pass<'_>, service: ServiceId, key: SlotKey, task: TaskId, (node, generic): Choice, message: &str) {
    let now = pass.now;
    pass.edit(service, key, task, |task| {
        task.node_id = Some(node);
        task.generic_resources = generic;
        task.status = TaskStatus { state: TaskState::Assigned, timestamp: now, message: message.to_owned(), ..TaskStatus::default() };
    });
}

fn refuse(pass: &mut Pass<'_>, service: ServiceId, key: SlotKey, task: &Task, reason: &str, reasons: &mut BTreeMap<String, usize>) {
    *reasons.entry(reason.to_owned()).or_default() += 1;
    if task.status.err == reason && task.status.state == TaskState::Pending {
        return;
    }
    let now = pass.now;
    let next = task.status.timestamp.after(REASON_PERIOD);
    if now < next && !task.status.err.is_empty() {
        pass.marks.due(next, service, Some(key));
        return;
    }
    pass.edit(service, key, task.id, |task| {
        task.status.state = TaskState::Pending;
        task.status.timestamp = now;
        WAITING.clone_into(&mut task.status.message);
        reason.clone_into(&mut task.status.err);
    });
}
