//! When an ended task is replaced.

use swarm_state::Task;
use swarm_types::TaskState;

/// Whether an agent has it and it has not ended.
pub(crate) fn is_on_node(task: &Task) -> bool {
    task.node_id.is_some() && TaskState::Assigned <= task.status.state && !task.status.state.is_terminal()
}
