//! An engine that has no containers: it notes what it was told and says that it is so.

use futures_util::{StreamExt as _, stream, stream::BoxStream};
use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, MutexGuard},
    time::Duration,
};
use swarm_agent::executor::{
    Container, ContainerEvent, ContainerId, ContainerOrder, Ended, Executor, ExecutorError, Health, OwnContainer, Phase, Running, Step,
};
use swarm_types::{NodeDescription, NodeId, TaskId};

/// What a stopped container ended with: killed by SIGTERM.
const STOPPED: i64 = 143;

/// Containers in name only, of one node. Each step succeeds at once.
#[derive(Debug, Default)]
pub struct HollowExecutor {
    containers: Mutex<HashMap<TaskId, Phase>>,
}

impl HollowExecutor {
    fn containers(&self) -> MutexGuard<'_, HashMap<TaskId, Phase>> {
        self.containers.lock().expect("nothing panics while holding it")
    }

    /// The task that a container is named after.
    fn task(id: &ContainerId) -> Result<TaskId, ExecutorError> {
        TaskId::parse(id.as_str()).map_err(|_| ExecutorError::Refused(format!("No such container: {id}")))
    }
}

fn container(task: TaskId, phase: &Phase) -> Container {
    Container { id: ContainerId::new(task.as_str()), phase: phase.clone() }
}

impl Executor for HollowExecutor {
    fn describe(&self) -> Step<'_, NodeDescription> {
        Box::pin(async { Ok(NodeDescription::default()) })
    }

    fn ensure_image<'a>(&'a self, _order: &'a ContainerOrder) -> Step<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    fn create<'a>(&'a self, order: &'a ContainerOrder) -> Step<'a, Container> {
        Box::pin(async move {
            let mut containers = self.containers();
            let phase = containers.entry(order.task_id).or_insert(Phase::Created);
            Ok(container(order.task_id, phase))
        })
    }

    fn start<'a>(&'a self, id: &'a ContainerId) -> Step<'a, ()> {
        Box::pin(async move {
            let task = Self::task(id)?;
            match self.containers().get_mut(&task) {
                Some(phase @ Phase::Created) => *phase = Phase::Running(Running { health: Health::Unchecked, pid: 1, ports: vec![] }),
                Some(_) => {}
                None => return Err(ExecutorError::Refused(format!("No such container: {id}"))),
            }
            Ok(())
        })
    }

    fn stop<'a>(&'a self, id: &'a ContainerId, _grace: Duration) -> Step<'a, ()> {
        Box::pin(async move {
            if let Some(phase @ Phase::Running(_)) = self.containers().get_mut(&Self::task(id)?) {
                *phase = Phase::Ended(Ended { exit_code: STOPPED, error: String::new() });
            }
            Ok(())
        })
    }

    fn remove<'a>(&'a self, id: &'a ContainerId) -> Step<'a, ()> {
        Box::pin(async move {
            self.containers().remove(&Self::task(id)?);
            Ok(())
        })
    }

    /// It has no files.
    fn release(&self, _task: TaskId) -> Step<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    /// It has no files.
    fn release_others<'a>(&'a self, _tasks: &'a BTreeSet<TaskId>) -> Step<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    /// It has no files.
    fn release_all(&self) -> Step<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    fn inspect<'a>(&'a self, id: &'a ContainerId) -> Step<'a, Option<Container>> {
        Box::pin(async { self.find(Self::task(id)?).await })
    }

    fn find(&self, task: TaskId) -> Step<'_, Option<Container>> {
        Box::pin(async move { Ok(self.containers().get(&task).map(|phase| container(task, phase))) })
    }

    fn list_own(&self, _node: NodeId) -> Step<'_, Vec<OwnContainer>> {
        Box::pin(async move {
            let own = |(task, phase): (&TaskId, &Phase)| OwnContainer {
                id: ContainerId::new(task.as_str()),
                task: *task,
                running: matches!(phase, Phase::Running(_)),
                unhealthy: false,
            };
            Ok(self.containers().iter().map(own).collect())
        })
    }

    /// Nothing ever happens by itself.
    fn events(&self, _node: NodeId) -> BoxStream<'_, Result<ContainerEvent, ExecutorError>> {
        stream::pending().boxed()
    }
}
