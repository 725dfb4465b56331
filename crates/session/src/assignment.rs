//! The agent's side of assignments: a set of tasks and templates that only moves forward in generations.

use crate::{Assign, AssignedTask, Generation, NetworkView, NetworksApplied, SharedSpec};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};
use swarm_types::{NetworkId, SpecId, TaskId};

/// An assignment that cannot be taken. The agent closes the session and asks for a complete set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AssignmentError {
    /// A change on top of a generation that the agent does not hold.
    #[error("assignment applies on generation {from:?}, this node holds {held:?}")]
    Gap {
        /// What the change applies on.
        from: Generation,
        /// What the agent holds.
        held: Generation,
    },
    /// A complete set older than what the agent holds.
    #[error("complete assignment of generation {offered:?} is older than {held:?}")]
    Old {
        /// The set's generation.
        offered: Generation,
        /// What the agent holds.
        held: Generation,
    },
    /// A task names a template that was never sent.
    #[error("task {task} names the unknown template {spec}")]
    UnknownSpec {
        /// The task.
        task: TaskId,
        /// The template.
        spec: SpecId,
    },
    /// An endpoint or a service is on a network that was never sent.
    #[error("something is on the unknown network {network}")]
    UnknownNetwork {
        /// The network.
        network: NetworkId,
    },
}

/// What applying an assignment changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// Tasks that are new or differ.
    pub changed: Vec<TaskId>,
    /// Tasks to stop and forget.
    pub removed: Vec<TaskId>,
    /// What changed on networks.
    pub networks: NetworksApplied,
}

/// Everything a node was told about tasks and networks. It is persisted by the agent and is all it needs to go on without managers.
///
/// Invariants: every task's template is in `specs`; `generation` never falls.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct AgentView {
    /// The newest generation taken.
    pub generation: Generation,
    /// Templates by id.
    pub specs: BTreeMap<SpecId, Arc<SharedSpec>>,
    /// Tasks by id.
    pub tasks: BTreeMap<TaskId, AssignedTask>,
    /// The networks it needs and what is on them.
    #[serde(default)]
    pub networks: NetworkView,
}

impl AgentView {
    /// Takes an assignment, or changes nothing.
    ///
    /// # Errors
    /// [`AssignmentError`]: ask for a complete set.
    pub fn apply(&mut self, assign: Assign) -> Result<Applied, AssignmentError> {
        match assign.from {
            Some(from) if from != self.generation => return Err(AssignmentError::Gap { from, held: self.generation }),
            None if assign.generation < self.generation => {
                return Err(AssignmentError::Old { offered: assign.generation, held: self.generation });
            }
            _ => {}
        }
        let complete = assign.from.is_none();
        let sent: BTreeMap<SpecId, Arc<SharedSpec>> = assign.specs.into_iter().map(|s| (s.id, Arc::new(s))).collect();
        for task in &assign.tasks {
            if !sent.contains_key(&task.spec) && (complete || !self.specs.contains_key(&task.spec)) {
                return Err(AssignmentError::UnknownSpec { task: task.id, spec: task.spec });
            }
        }
        if let Some(network) = self.networks.unknown_network(&assign.networks, complete) {
            return Err(AssignmentError::UnknownNetwork { network });
        }
        let mut applied = Applied { networks: self.networks.apply(assign.networks, complete), ..Applied::default() };
        if complete {
            let kept: std::collections::BTreeSet<TaskId> = assign.tasks.iter().map(|t| t.id).collect();
            applied.removed = self.tasks.keys().filter(|id| !kept.contains(id)).copied().collect();
            self.specs = sent;
        } else {
            applied.removed = assign.removed.iter().filter(|id| self.tasks.contains_key(id)).copied().collect();
            self.specs.extend(sent);
        }
        for id in &applied.removed {
            self.tasks.remove(id);
        }
        for task in assign.tasks {
            if self.tasks.get(&task.id) != Some(&task) {
                applied.changed.push(task.id);
                self.tasks.insert(task.id, task);
            }
        }
        for spec in &assign.specs_removed {
            if !self.tasks.values().any(|t| t.spec == *spec) {
                self.specs.remove(spec);
            }
        }
        self.generation = assign.generation;
        Ok(applied)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NetworkOrders;
    use crate::PayloadOrders;
    use swarm_types::{TaskSpec, TaskState};

    fn spec(n: u8) -> SharedSpec {
        SharedSpec {
            id: SpecId::from_random([n; 16]),
            service_id: None,
            service_name: "web".into(),
            service_labels: BTreeMap::new(),
            template: TaskSpec::default(),
            endpoint: None,
        }
    }

    fn task(n: u8, desired_state: TaskState) -> AssignedTask {
        AssignedTask {
            id: TaskId::from_random([n; 16]),
            spec: SpecId::from_random([1; 16]),
            slot: 1,
            desired_state,
            recorded_state: TaskState::Assigned,
            attachments: vec![],
            generic_resources: vec![],
        }
    }

    fn assign(from: Option<u64>, to: u64, tasks: Vec<AssignedTask>, removed: Vec<TaskId>) -> Assign {
        let specs = if from.is_none() { vec![spec(1)] } else { vec![] };
        Assign {
            from: from.map(Generation),
            generation: Generation(to),
            specs,
            tasks,
            removed,
            specs_removed: vec![],
            networks: NetworkOrders::default(),
            payloads: PayloadOrders::default(),
        }
    }

    #[test]
    fn changes_build_on_what_is_held_and_nothing_goes_back() {
        let mut view = AgentView::default();
        let got = view.apply(assign(None, 5, vec![task(1, TaskState::Running), task(2, TaskState::Running)], vec![]));
        assert_eq!(got.map(|a| a.changed.len()), Ok(2));
        let got = view.apply(assign(Some(5), 7, vec![task(1, TaskState::Shutdown)], vec![task(2, TaskState::Running).id]));
        assert_eq!(got.map(|a| (a.changed.len(), a.removed.len())), Ok((1, 1)));
        assert!(matches!(view.apply(assign(Some(5), 8, vec![], vec![])), Err(AssignmentError::Gap { .. })));
        assert!(matches!(view.apply(assign(None, 6, vec![], vec![])), Err(AssignmentError::Old { .. })));
        assert_eq!(view.generation, Generation(7));
        let got = view.apply(assign(None, 7, vec![], vec![]));
        assert_eq!(got.map(|a| a.removed.len()), Ok(1));
    }

    #[test]
    fn a_task_without_its_template_changes_nothing() {
        let mut view = AgentView::default();
        let bad = Assign { specs: vec![], ..assign(None, 5, vec![task(1, TaskState::Running)], vec![]) };
        assert!(matches!(view.apply(bad), Err(AssignmentError::UnknownSpec { .. })));
        assert_eq!(view, AgentView::default());
    }
}
