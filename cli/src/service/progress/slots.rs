//! The task that stands for a slot or a node, and the line that tells of it.

use super::Shown;
use std::collections::BTreeSet;
use swarm_types::{Task, TaskState};

/// Steps from `new` to `running`.
const STEPS: u64 = 9;
/// Steps from `new` to `complete`.
const JOB_STEPS: u64 = STEPS + 1;
/// Longest name of a state that is shown, so that the bars begin below each other.
const STATE_WIDTH: usize = "preparing".len();
/// Longest error in bytes, so that it stays on one line of a narrow terminal.
const ERROR_MAX: usize = 75;
/// With more tasks than this, only their number is shown.
pub(super) const BARS_MAX: usize = 20;

/// Whether the task is at, or should be at, a state after running.
pub(super) fn is_past_running(state: TaskState) -> bool {
    step(state) > STEPS
}

/// Whether the task runs and shall go on running.
pub(super) fn is_running(task: &Task) -> bool {
    !is_past_running(task.desired_state) && task.status.state == TaskState::Running
}

/// The place of a state in the order of states; zero for those that play no part here.
fn step(state: TaskState) -> u64 {
    match state {
        TaskState::New => 1,
        TaskState::Pending => 3,
        TaskState::Assigned => 4,
        TaskState::Accepted => 5,
        TaskState::Preparing => 6,
        TaskState::Ready => 7,
        TaskState::Starting => 8,
        TaskState::Running => STEPS,
        TaskState::Complete => 10,
        TaskState::Shutdown => 11,
        TaskState::Failed => 12,
        TaskState::Rejected => 13,
        TaskState::Remove | TaskState::Orphaned => 0,
    }
}

/// One task for each key, in the order of keys: the one that is wanted most, then the one that is least far.
///
/// Several tasks share a slot while one replaces another. Tasks on nodes that are down are passed over if `active` is given.
pub(super) fn representatives<'a, K: Ord + Copy>(
    tasks: &'a [Task],
    key: impl Fn(&Task) -> K,
    active: Option<&BTreeSet<String>>,
) -> Vec<(K, &'a Task)> {
    let mut chosen: std::collections::BTreeMap<K, &Task> = std::collections::BTreeMap::new();
    for task in tasks {
        let rank = |task: &Task| (step(task.desired_state), step(task.status.state));
        if rank(task).0 == 0 || rank(task).1 == 0 {
            continue;
        }
        let key = key(task);
        if let Some(earlier) = chosen.get(&key) {
            let (earlier, this) = (rank(earlier), rank(task));
            if earlier.0 < this.0 || (earlier.0 == this.0 && earlier.1 <= this.1) {
                continue;
            }
        }
        let reachable = |active: &BTreeSet<String>| task.node_id.is_none_or(|node| active.contains(node.as_str()));
        if active.is_none_or(reachable) {
            chosen.insert(key, task);
        }
    }
    chosen.into_iter().collect()
}

/// The line of a task; none if it is on its way out.
pub(super) fn line(id: &str, task: &Task) -> Option<Shown> {
    if !task.status.err.is_empty() {
        return Some(Shown::line(id, cut(&task.status.err)));
    }
    let state = task.status.state;
    if is_past_running(task.desired_state) || is_past_running(state) {
        return None;
    }
    let bar = Some((step(state), STEPS));
    Some(Shown::Line { id: id.to_owned(), text: format!("{state:STATE_WIDTH$}"), bar })
}

/// The line of a job's task; none if it is on its way out.
pub(super) fn job_line(id: &str, task: &Task) -> Option<Shown> {
    if !task.status.err.is_empty() {
        return Some(Shown::line(id, cut(&task.status.err)));
    }
    let state = task.status.state;
    let bar = Some((step(state), JOB_STEPS));
    (step(state) <= JOB_STEPS).then(|| Shown::Line { id: id.to_owned(), text: format!("{state:STATE_WIDTH$}"), bar })
}

fn cut(error: &str) -> String {
    let error = error.replace('\n', " ");
    if error.len() <= ERROR_MAX {
        return error;
    }
    let mut end = ERROR_MAX - 1;
    while !error.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &error[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_errors_are_cut_to_one_line() {
        assert_eq!(cut("no such image\nx"), "no such image x");
        assert_eq!(cut(&"x".repeat(75)), "x".repeat(75));
        assert_eq!(cut(&"x".repeat(76)), format!("{}…", "x".repeat(74)));
        assert_eq!(cut(&"ü".repeat(40)), format!("{}…", "ü".repeat(37)));
    }
}
