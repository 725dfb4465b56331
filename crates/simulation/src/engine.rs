//! An engine without containers: it notes what it was told, takes some time for it, and outlives its agent.

use futures_util::{StreamExt as _, stream::BoxStream};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};
use swarm_agent::executor::{
    Container, ContainerEvent, ContainerEventKind, ContainerId, ContainerOrder, Ended, Executor, ExecutorError, Health, OwnContainer,
    Phase, Running, Step,
};
use swarm_types::{NodeDescription, NodeId, PortProtocol, TaskId};
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;

/// What a stopped container ended with: killed by SIGTERM.
const STOPPED: i64 = 143;
/// What a container ended with when its host lost its power.
const LOST: i64 = 255;
/// Events that a watcher may lag behind.
const EVENTS_MAX: usize = 256;

struct Held {
    phase: Phase,
    ports: Vec<(PortProtocol, u32)>,
}

struct Inner {
    containers: BTreeMap<TaskId, Held>,
    /// Running containers that the agent stopped or removed since they were asked for last.
    stopped: Vec<TaskId>,
    violation: Option<String>,
    events: broadcast::Sender<ContainerEvent>,
}

/// The engine of one host. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Engine(Arc<Mutex<Inner>>);

impl Engine {
    pub(crate) fn new() -> Self {
        let (containers, stopped) = Default::default();
        Self(Arc::new(Mutex::new(Inner { containers, stopped, violation: None, events: broadcast::channel(EVENTS_MAX).0 })))
    }

    fn with<T>(&self, work: impl FnOnce(&mut Inner) -> T) -> T {
        work(&mut self.0.lock().expect("nothing panics while holding it"))
    }

    /// Running containers that the agent stopped or removed since the last call.
    pub(crate) fn take_stopped(&self) -> Vec<TaskId> {
        self.with(|e| std::mem::take(&mut e.stopped))
    }

    /// What must not have been asked of an engine.
    pub(crate) fn violation(&self) -> Option<String> {
        self.with(|e| e.violation.clone())
    }

    /// Tasks whose containers run.
    pub(crate) fn running(&self) -> Vec<TaskId> {
        self.with(|e| e.containers.iter().filter(|(_, held)| matches!(held.phase, Phase::Running(_))).map(|(task, _)| *task).collect())
    }

    /// The process in the container ends by itself.
    pub(crate) fn die(&self, task: TaskId, exit_code: i64) {
        self.with(|e| e.end(task, exit_code));
    }

    /// Every process ends with its host; containers are still there after a boot.
    pub(crate) fn lose_power(&self) {
        for task in self.running() {
            self.die(task, LOST);
        }
    }
}

impl Inner {
    fn end(&mut self, task: TaskId, exit_code: i64) {
        if let Some(held) = self.containers.get_mut(&task)
            && matches!(held.phase, Phase::Running(_))
        {
            held.phase = Phase::Ended(Ended { exit_code, error: String::new() });
            self.tell(task, ContainerEventKind::Died { exit_code });
        }
    }

    fn start(&mut self, task: TaskId) -> Result<(), ExecutorError> {
        let running = |other: &Held| matches!(other.phase, Phase::Running(_));
        let Some(held) = self.containers.get(&task) else { return Err(gone(task)) };
        if held.phase != Phase::Created {
            return Ok(());
        }
        let taken =
            self.containers.iter().find(|(other, o)| **other != task && running(o) && o.ports.iter().any(|p| held.ports.contains(p)));
        if let Some((other, _)) = taken {
            self.violation.get_or_insert(format!("{task} was started while {other} still had its port of the host"));
        }
        if let Some(held) = self.containers.get_mut(&task) {
            held.phase = Phase::Running(Running { health: Health::Unchecked, pid: 1, ports: vec![] });
        }
        self.tell(task, ContainerEventKind::Started);
        Ok(())
    }

    fn tell(&self, task: TaskId, kind: ContainerEventKind) {
        // An agent that is not there lists the containers when it is back.
        let _ = self.events.send(ContainerEvent { task, kind });
    }
}

fn gone(task: TaskId) -> ExecutorError {
    ExecutorError::Refused(format!("No such container: {task}"))
}

/// The task that a container is named after.
fn task_of(id: &ContainerId) -> Result<TaskId, ExecutorError> {
    TaskId::parse(id.as_str()).map_err(|_| ExecutorError::Refused(format!("No such container: {id}")))
}

fn container(task: TaskId, phase: &Phase) -> Container {
    Container { id: ContainerId::new(task.as_str()), phase: phase.clone() }
}

async fn take_time(ms_max: u64) {
    tokio::time::sleep(Duration::from_millis(rand::random_range(1..ms_max))).await;
}

impl Executor for Engine {
    fn describe(&self) -> Step<'_, NodeDescription> {
        Box::pin(async { Ok(NodeDescription::default()) })
    }

    fn ensure_image<'a>(&'a self, _order: &'a ContainerOrder) -> Step<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    fn create<'a>(&'a self, order: &'a ContainerOrder) -> Step<'a, Container> {
        Box::pin(async move {
            take_time(200).await;
            let ports = order.host_ports.iter().map(|p| (p.protocol, p.published_port)).collect();
            Ok(self.with(|e| {
                let held = e.containers.entry(order.task_id).or_insert(Held { phase: Phase::Created, ports });
                container(order.task_id, &held.phase)
            }))
        })
    }

    fn start<'a>(&'a self, id: &'a ContainerId) -> Step<'a, ()> {
        Box::pin(async move {
            take_time(300).await;
            let task = task_of(id)?;
            self.with(|e| e.start(task))
        })
    }

    fn stop<'a>(&'a self, id: &'a ContainerId, _grace: Duration) -> Step<'a, ()> {
        Box::pin(async move {
            let task = task_of(id)?;
            take_time(600).await;
            self.with(|e| {
                if e.containers.get(&task).is_some_and(|held| matches!(held.phase, Phase::Running(_))) {
                    e.stopped.push(task);
                }
                e.end(task, STOPPED);
            });
            Ok(())
        })
    }

    fn remove<'a>(&'a self, id: &'a ContainerId) -> Step<'a, ()> {
        Box::pin(async move {
            let task = task_of(id)?;
            take_time(100).await;
            self.with(|e| {
                if let Some(held) = e.containers.remove(&task) {
                    if matches!(held.phase, Phase::Running(_)) {
                        e.stopped.push(task);
                    }
                    e.tell(task, ContainerEventKind::Removed);
                }
            });
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
        Box::pin(async { self.find(task_of(id)?).await })
    }

    fn find(&self, task: TaskId) -> Step<'_, Option<Container>> {
        Box::pin(async move { Ok(self.with(|e| e.containers.get(&task).map(|held| container(task, &held.phase)))) })
    }

    fn list_own(&self, _node: NodeId) -> Step<'_, Vec<OwnContainer>> {
        Box::pin(async move {
            let own = |(task, held): (&TaskId, &Held)| OwnContainer {
                id: ContainerId::new(task.as_str()),
                task: *task,
                running: matches!(held.phase, Phase::Running(_)),
                unhealthy: false,
            };
            Ok(self.with(|e| e.containers.iter().map(own).collect()))
        })
    }

    fn events(&self, _node: NodeId) -> BoxStream<'_, Result<ContainerEvent, ExecutorError>> {
        let events = BroadcastStream::new(self.with(|e| e.events.subscribe()));
        events.filter_map(|event| std::future::ready(event.ok().map(Ok))).boxed()
    }
}
