//! When an ended task is replaced, and when the replacement may start.

use crate::{
    orchestrate::Work,
    slots::{SlotKey, is_live, is_wanted},
    template::RestartRules,
};
use std::time::Duration;
use swarm_state::{NodeFailure, StartBehind, Task};
use swarm_types::{Availability, RestartCondition, TaskState, Timestamp};

/// How long a task waits for the one it follows to end.
const OLD_TASK_WAIT: Duration = Duration::from_secs(60);
/// Room after the stop grace until a task that has to be killed is reported as ended.
const KILL_ROOM: Duration = Duration::from_secs(10);
/// How long a failure speaks against its node.
pub(crate) const FAILURE_WINDOW: Duration = Duration::from_secs(5 * 60);
/// Failures of a slot that are remembered: enough to tell that a node has too many.
const FAILURES_KEPT: usize = 10;

/// Whether an agent has it and it has not ended.
pub(crate) fn is_on_node(task: &Task) -> bool {
    task.node_id.is_some() && TaskState::Assigned <= task.status.state && !task.status.state.is_terminal()
}

/// Whether the task ended by itself, rather than by its node or on request.
fn ended_by_itself(task: &Task) -> bool {
    matches!(task.status.state, TaskState::Complete | TaskState::Failed | TaskState::Rejected)
}

/// Whether the policy lets another task follow. What its node did to a task is not counted against it, but a task that may
/// never run twice is not started again for that either.
pub(crate) fn allows(rules: &RestartRules, task: &Task) -> bool {
    let by_itself = ended_by_itself(task);
    match rules.condition {
        RestartCondition::None => return false,
        RestartCondition::OnFailure if task.status.state == TaskState::Complete => return false,
        RestartCondition::OnFailure | RestartCondition::Any => {}
    }
    if !by_itself || rules.max_attempts == 0 {
        return true;
    }
    let attempts = if rules.window.is_zero() {
        task.restarts.len()
    } else {
        // The managers' clock: what the agent's says may be off.
        task.restarts.iter().filter(|at| task.updated_at.since(**at) < rules.window).count()
    };
    (attempts as u64) < rules.max_attempts
}

/// What the policy of a task's own template says.
pub(crate) fn may_follow(work: &Work<'_, '_>, task: &Task) -> bool {
    work.pass.template(task.spec).is_none_or(|template| allows(&template.restart, task))
}

/// Ends a task that is over or whose node is, and replaces it if the policy allows.
pub(crate) fn restart(work: &mut Work<'_, '_>, key: SlotKey, task: &Task) {
    let allowed = may_follow(work, task);
    let has_heir = work.tasks(key).iter().any(|t| t.id != task.id && is_live(t) && !work.is_dirty(t));
    let taken_back = work.is_taken_back(task);
    work.stop(key, task.id, allowed || has_heir);
    if !allowed || has_heir {
        return;
    }
    let now = work.pass.now;
    let template = work.template();
    let node_at_fault = !ended_by_itself(task);
    let node = work.pass.node(task.node_id);
    let leaves_node =
        task.node_id.is_some() && node.is_none_or(|n| n.api.spec.availability == Availability::Drain || !work.is_alive(Some(n.api.id)));
    let delay = if node_at_fault || leaves_node || taken_back { Duration::ZERO } else { template.restart.delay };
    let behind = start_behind(work, key);
    let same_template = task.spec == work.service().current.template;
    let mut restarts = if same_template { task.restarts.clone() } else { Vec::new() };
    let mut failures = if same_template { task.failures.clone() } else { Vec::new() };
    if !node_at_fault {
        restarts.push(now);
    }
    keep_newest(&mut restarts, usize::try_from(template.restart.max_attempts).unwrap_or(usize::MAX));
    failures.retain(|f| now.since(f.at) < FAILURE_WINDOW);
    if let (TaskState::Failed | TaskState::Rejected, Some(node)) = (task.status.state, task.node_id) {
        failures.push(NodeFailure { node, at: now });
    }
    keep_newest(&mut failures, FAILURES_KEPT);
    // An update that was waiting for the task waits for the one that its node's loss puts in its place, and a rollback for
    // the one that takes the place of the task that caused it.
    let by_update = taken_back || node_at_fault && same_template && task.by_update && task.running_since.is_none();
    work.create(key, |new| {
        new.start_after = (!delay.is_zero()).then(|| now.after(delay));
        new.start_behind = behind;
        new.restarts = restarts;
        new.failures = failures;
        new.by_update = by_update;
    });
}

fn keep_newest<T>(list: &mut Vec<T>, count: usize) {
    let surplus = list.len().saturating_sub(count);
    list.drain(..surplus);
}

/// What a new task of the slot has to wait for: the newest that is stopping on a node that lives.
///
/// Docker starts the new task after a minute at the latest, even while the old one still uses its stop grace. We wait for
/// the whole grace, so that no volume ever has two writers for want of patience.
pub(crate) fn start_behind(work: &Work<'_, '_>, key: SlotKey) -> Option<StartBehind> {
    let tasks = work.tasks(key);
    let stopping = tasks.iter().rfind(|t| is_stopping(work, t))?;
    let grace = work.pass.template(stopping.spec).map_or(Duration::ZERO, |t| t.stop_grace);
    Some(StartBehind { task: stopping.id, until: work.pass.now.after(OLD_TASK_WAIT.max(grace.saturating_add(KILL_ROOM))) })
}

/// Whether a task is not wanted any more, has not ended, and its node can be expected to say when it has.
fn is_stopping(work: &Work<'_, '_>, task: &Task) -> bool {
    !is_wanted(task) && is_on_node(task) && work.is_alive(task.node_id)
}

/// Until when the task has to wait before it may be started or replaced; `None` if it need not wait.
pub(crate) fn waits_until(work: &Work<'_, '_>, key: SlotKey, task: &Task) -> Option<Timestamp> {
    let now = work.pass.now;
    if let Some(after) = task.start_after.filter(|after| now < *after) {
        return Some(after);
    }
    let behind = task.start_behind.filter(|behind| now < behind.until)?;
    work.tasks(key).iter().any(|t| t.id != task.id && is_stopping(work, t)).then_some(behind.until)
}

/// Lets the slot's prepared tasks start whose wait is over.
pub(crate) fn open_gates(work: &mut Work<'_, '_>, key: SlotKey) {
    let goal = work.goal();
    for task in work.tasks(key).iter() {
        if task.desired_state != TaskState::Ready || task.status.state.is_terminal() {
            continue;
        }
        match waits_until(work, key, task) {
            Some(at) => work.look_again(at, key),
            None => work.edit(key, task.id, |task| {
                task.desired_state = goal;
                task.start_after = None;
                task.start_behind = None;
            }),
        }
    }
}

/// A task that was to make way for another stays after all once that is gone.
pub(crate) fn keep_without_heir(work: &mut Work<'_, '_>, key: SlotKey) {
    let tasks = work.tasks(key);
    let mut wanted = tasks.iter().filter(|t| is_wanted(t));
    if let (Some(only), None) = (wanted.next().filter(|t| t.replaced), wanted.next()) {
        work.edit(key, only.id, |task| task.replaced = false);
    }
}
