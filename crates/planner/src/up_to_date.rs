//! Whether a task is as its service wants it now, for those who only look.

use crate::{template::Template, updater::Verdict};
use std::sync::Arc;
use swarm_state::{State, Task};

/// Whether an update of the task's service would leave the task alone. A task of a service that is gone is not up to date.
#[must_use]
pub fn is_up_to_date(state: &State, task: &Task) -> bool {
    let Some(service) = task.service_id.and_then(|id| state.service(id)) else { return false };
    if let Some(job) = &service.job {
        return task.job_iteration == Some(job.job_iteration);
    }
    let current = service.current.template;
    if task.spec == current {
        return true;
    }
    let (Some(old), Some(new)) = (state.spec(task.spec), state.spec(current)) else { return false };
    match Verdict::of(old, new) {
        Verdict::Clean => true,
        Verdict::Dirty => false,
        Verdict::Placement => {
            let node = task.node_id.and_then(|id| state.node(id));
            node.is_some_and(|node| Template::new(Arc::clone(new)).fits(node))
        }
    }
}
