//! Task history: how many ended tasks of a slot are kept.

use crate::{
    defaults::TASK_HISTORY_LIMIT,
    orchestrate::{Seen, Work},
    slots::{SlotKey, is_wanted},
};
use swarm_state::State;
use swarm_types::TaskState;

/// Forgets the slot's oldest tasks beyond the limit, the running one counted in. Only what has ended and is not wanted goes;
/// the newest task stays always, since it is the slot's memory.
pub(crate) fn reap(work: &mut Work<'_, '_>, key: SlotKey) -> Seen {
    let limit = work.history_limit;
    let tasks = work.tasks(key);
    let Some((_, older)) = tasks.split_last().filter(|_| limit >= 0) else { return Seen::All };
    let mut surplus = tasks.len().saturating_sub(usize::try_from(limit).unwrap_or(usize::MAX));
    for task in older {
        if surplus == 0 {
            break;
        }
        if task.status.state.is_terminal() && !is_wanted(task) && task.desired_state < TaskState::Remove {
            if work.is_full() {
                return Seen::Part;
            }
            work.pass.delete(work.id, key, task.id);
            surplus -= 1;
        }
    }
    Seen::All
}

/// How many tasks of a slot are kept; negative is unlimited. With limited attempts there is one place for each attempt and one for the first task.
pub(crate) fn limit(state: &State, attempts: u64) -> i64 {
    let configured = state.cluster().and_then(|c| c.api.spec.orchestration.task_history_retention_limit);
    let configured = configured.unwrap_or(TASK_HISTORY_LIMIT);
    if attempts > 0 && configured >= 0 { i64::try_from(attempts).unwrap_or(i64::MAX).saturating_add(1) } else { configured }
}
