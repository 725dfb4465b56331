//! Jobs: tasks that run until they are done, a number of them in all and some of them at a time, or one on every node.
//!
//! Every update of a job is a new iteration: what is left of earlier ones goes, and all is done once more. A slot counts as
//! done with a task of the present iteration that completed, and as given up when the restart policy allows no other try.

use crate::{
    global::{Home, home},
    lost,
    marks::Mark,
    orchestrate::{Seen, Work},
    reaper,
    replicated::may_run_tasks,
    restart::{may_follow, open_gates, restart, start_behind, waits_until},
    slots::{Occupancy, SlotKey, is_live, is_wanted},
};
use std::collections::BTreeSet;
use swarm_state::Task;
use swarm_types::{ReplicatedJob, TaskState};

/// How many tasks of a job run at once at most, and how many have to complete in all.
pub(crate) fn size(job: &ReplicatedJob) -> (u64, u64) {
    let concurrent = job.max_concurrent.unwrap_or(1);
    (concurrent, job.total_completions.unwrap_or(concurrent))
}

/// Sees to the marked parts of a job.
pub(crate) fn orchestrate(work: &mut Work<'_, '_>, mark: &Mark) -> Seen {
    let keys = work.marked(mark);
    for key in &keys {
        if work.is_full() {
            return Seen::Part;
        }
        lost::end_lost(work, *key);
        tend(work, *key);
    }
    let started = if work.is_global { Seen::All } else { start_slots(work) };
    let reaped = keys.into_iter().map(|key| reaper::reap(work, key)).max();
    started.max(reaped.unwrap_or(Seen::All))
}

/// Sees to one slot: what belongs to an earlier iteration goes, what failed or is on a node that may not run it is tried
/// again.
fn tend(work: &mut Work<'_, '_>, key: SlotKey) {
    let home = if work.is_global { home(work, key) } else { Home::Open };
    if home == Home::Gone {
        return work.remove_all(key);
    }
    for task in work.tasks(key).iter() {
        if !is_present(work, task) {
            work.remove(key, task);
        } else if !is_wanted(task) {
            work.settle(key, task);
        } else if task.status.state == TaskState::Complete {
            // Done: it stays as the proof of that.
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
        } else if !work.is_global && task.node_id.is_some() && !may_run_tasks(work.pass.node(task.node_id).map(|n| &**n)) {
            restart(work, key, task);
        }
    }
    if work.is_global && home == Home::Open && Occupancy::of(&work.tasks(key)) == Occupancy::Free {
        let behind = start_behind(work, key);
        work.create(key, |task| task.start_behind = behind);
    }
    open_gates(work, key);
}

/// Whether the task belongs to the present iteration.
fn is_present(work: &Work<'_, '_>, task: &Task) -> bool {
    task.job_iteration == work.service().job.map(|job| job.job_iteration)
}

/// Begins as many further slots as may run at once, those with the lowest numbers first.
fn start_slots(work: &mut Work<'_, '_>) -> Seen {
    let service = work.service();
    let Some((concurrent, total)) = service.current.spec.mode.replicated_job.as_ref().map(size) else { return Seen::All };
    let stored = work.view.into_iter().flat_map(|v| v.slots()).map(|(key, _)| key);
    let keys: BTreeSet<SlotKey> = stored.chain(work.pass.touched(work.id)).collect();
    let taken: BTreeSet<SlotKey> = keys.into_iter().filter(|key| work.is_taken(*key)).collect();
    let active = taken.iter().filter(|key| work.tasks(**key).iter().any(|t| is_live(t))).count() as u64;
    let left = total.saturating_sub(taken.len() as u64);
    let mut missing = left.min(concurrent.saturating_sub(active));
    for number in 1.. {
        let key = SlotKey::Number(number);
        if missing == 0 {
            break;
        }
        if taken.contains(&key) {
            continue;
        }
        if work.is_full() {
            return Seen::Slots;
        }
        let behind = start_behind(work, key);
        work.create(key, |task| task.start_behind = behind);
        missing -= 1;
    }
    Seen::All
}
