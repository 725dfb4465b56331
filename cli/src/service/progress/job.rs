//! What to show of a job, which has converged when all of it is done.

use super::Shown;
use super::slots::{BARS_MAX, job_line, representatives};
use std::collections::BTreeSet;
use swarm_types::{ReplicatedJob, Task, TaskState};

/// What the first line is about.
const PROGRESS: &str = "job progress";

/// Shows a job of so many runs. Whether all are complete.
pub(super) fn replicated(job: &ReplicatedJob, tasks: &[Task], laid_out: &mut bool, out: &mut Vec<Shown>) -> bool {
    let concurrent = job.max_concurrent.unwrap_or(1);
    let total = job.total_completions.unwrap_or(concurrent);
    let bars = usize::try_from(total).ok().filter(|total| *total <= BARS_MAX);
    let id = |number: u64| format!("{number:width$}/{total}", width = digits(total));
    if !std::mem::replace(laid_out, true) {
        out.push(complete(0, total));
        out.push(Shown::line("active tasks", active(0, concurrent, total)));
        out.extend((1..=total).take(bars.unwrap_or(0)).map(|number| Shown::line(id(number), " ")));
    }
    let tasks = representatives(tasks, |task| task.slot, None);
    let done = tasks.iter().filter(|(_, task)| task.status.state == TaskState::Complete).count() as u64;
    let open = tasks.iter().filter(|(_, task)| task.status.state < TaskState::Complete).count() as u64;
    for (slot, task) in tasks.iter().filter(|_| bars.is_some()) {
        out.extend(job_line(&id(slot + 1), task)); // Slots of jobs count from zero.
    }
    out.push(complete(done, total));
    out.push(Shown::line("active tasks", active(open, concurrent, total - done.min(total))));
    done >= total
}

/// Shows a job of one run on every node. Whether all are complete.
pub(super) fn global(tasks: &[Task], active: &BTreeSet<String>, laid_out: &mut bool, out: &mut Vec<Shown>) -> bool {
    let tasks = representatives(tasks, |task| task.node_id, None);
    if tasks.is_empty() && !active.is_empty() {
        out.push(Shown::line(PROGRESS, "waiting for tasks"));
        return false;
    }
    let total = tasks.len() as u64;
    if !std::mem::replace(laid_out, true) {
        out.push(complete(0, total));
    }
    let done = tasks.iter().filter(|(_, task)| task.status.state == TaskState::Complete).count() as u64;
    for (node, task) in tasks.iter().filter(|_| tasks.len() <= BARS_MAX) {
        out.extend(node.as_ref().filter(|node| active.contains(node.as_str())).and_then(|node| job_line(node.short(), task)));
    }
    out.push(complete(done, total));
    done == total
}

fn complete(done: u64, total: u64) -> Shown {
    Shown::line(PROGRESS, format!("{done:width$} out of {total} complete", width = digits(total)))
}

fn active(open: u64, concurrent: u64, left: u64) -> String {
    format!("{open:width$} out of {} tasks", left.min(concurrent), width = digits(concurrent))
}

fn digits(number: u64) -> usize {
    number.to_string().len()
}
