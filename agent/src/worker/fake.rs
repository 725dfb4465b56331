//! An engine in memory for tests: it makes containers at once, fails when told to, and notes what it was asked.

use crate::executor::{
    Container, ContainerEvent, ContainerEventKind, ContainerId, ContainerOrder, Ended, Executor, ExecutorError, Health, OwnContainer,
    Phase, Running, Step,
};
use futures_util::{StreamExt as _, stream::BoxStream};
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard},
    time::Duration,
};
use swarm_types::{NodeDescription, NodeId, TaskId};
use tokio::sync::broadcast;

pub(super) struct FakeEngine {
    state: Mutex<State>,
    events: broadcast::Sender<Option<ContainerEvent>>,
}

#[derive(Default)]
struct State {
    containers: BTreeMap<ContainerId, (TaskId, Phase)>,
    down: bool,
    /// What was done, as `verb <first letters of the task>`.
    done: Vec<String>,
    made: u64,
    /// Health of containers that are started.
    health: Health,
    refuse_create: Option<String>,
    refuse_start: Option<String>,
    /// Containers that do not stop until this is unset.
    stuck: bool,
}

impl FakeEngine {
    pub(super) fn new() -> Self {
        Self { state: Mutex::default(), events: broadcast::channel(256).0 }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics while it holds the lock")
    }

    fn up(&self) -> Result<MutexGuard<'_, State>, ExecutorError> {
        let state = self.state();
        if state.down {
            let source = std::io::Error::from(std::io::ErrorKind::ConnectionRefused).into();
            return Err(ExecutorError::Unreachable { host: "fake".into(), source });
        }
        Ok(state)
    }

    /// What was done since the last call.
    pub(super) fn done(&self) -> Vec<String> {
        std::mem::take(&mut self.state().done)
    }

    pub(super) fn phase(&self, task: TaskId) -> Option<Phase> {
        let state = self.state();
        state.containers.values().find(|(owner, _)| *owner == task).map(|(_, phase)| phase.clone())
    }

    pub(super) fn containers(&self) -> usize {
        self.state().containers.len()
    }

    /// Puts a container there that this agent did not make, or made in an earlier life.
    pub(super) fn put(&self, task: TaskId, phase: Phase) -> ContainerId {
        let mut state = self.state();
        state.made += 1;
        let id = ContainerId::new(format!("{:064x}", state.made));
        state.containers.insert(id.clone(), (task, phase));
        id
    }

    /// The container of the task becomes this, and an event tells so.
    pub(super) fn change(&self, task: TaskId, phase: Option<Phase>, kind: ContainerEventKind) {
        let mut state = self.state();
        let id = state.containers.iter().find(|(_, (owner, _))| *owner == task).map(|(id, _)| id.clone());
        let id = id.expect("the task has a container");
        match phase {
            Some(phase) => state.containers.insert(id, (task, phase)),
            None => state.containers.remove(&id),
        };
        let _ = self.events.send(Some(ContainerEvent { task, kind }));
    }

    pub(super) fn die(&self, task: TaskId, exit_code: i64) {
        let ended = Ended { exit_code, error: String::new() };
        self.change(task, Some(Phase::Ended(ended)), ContainerEventKind::Died { exit_code });
    }

    pub(super) fn set_health(&self, task: TaskId, health: Health) {
        let phase = Phase::Running(Running { health, pid: 1, ports: vec![] });
        self.change(task, Some(phase), ContainerEventKind::Health);
    }

    /// Stops answering and closes the stream of events.
    pub(super) fn go_down(&self) {
        self.state().down = true;
        let _ = self.events.send(None);
    }

    pub(super) fn come_back(&self) {
        self.state().down = false;
    }

    pub(super) fn start_with_health(&self, health: Health) {
        self.state().health = health;
    }

    pub(super) fn refuse_create(&self, text: &str) {
        self.state().refuse_create = Some(text.into());
    }

    pub(super) fn refuse_start(&self, text: &str) {
        self.state().refuse_start = Some(text.into());
    }

    pub(super) fn set_stuck(&self, stuck: bool) {
        self.state().stuck = stuck;
    }

    fn note(state: &mut State, verb: &str, task: TaskId) {
        state.done.push(format!("{verb} {}", &task.as_str()[..4]));
    }
}

impl Executor for FakeEngine {
    fn describe(&self) -> Step<'_, NodeDescription> {
        Box::pin(async move { Ok(NodeDescription::default()) })
    }

    fn ensure_image<'a>(&'a self, _order: &'a ContainerOrder) -> Step<'a, ()> {
        Box::pin(async move { self.up().map(drop) })
    }

    fn create<'a>(&'a self, order: &'a ContainerOrder) -> Step<'a, Container> {
        Box::pin(async move {
            let mut state = self.up()?;
            if let Some(text) = &state.refuse_create {
                return Err(ExecutorError::Refused(text.clone()));
            }
            let task = order.task_id;
            let present = state.containers.iter().find(|(_, (owner, _))| *owner == task);
            if let Some((id, (_, phase))) = present {
                return Ok(Container { id: id.clone(), phase: phase.clone() });
            }
            Self::note(&mut state, "create", task);
            drop(state);
            let id = self.put(task, Phase::Created);
            Ok(Container { id, phase: Phase::Created })
        })
    }

    fn start<'a>(&'a self, id: &'a ContainerId) -> Step<'a, ()> {
        Box::pin(async move {
            let mut state = self.up()?;
            if let Some(text) = &state.refuse_start {
                return Err(ExecutorError::Refused(text.clone()));
            }
            let health = state.health;
            let Some((task, phase)) = state.containers.get_mut(id) else {
                return Err(ExecutorError::Refused(format!("No such container: {id}")));
            };
            assert_eq!(*phase, Phase::Created, "only what never ran is started");
            *phase = Phase::Running(Running { health, pid: 1, ports: vec![] });
            let task = *task;
            Self::note(&mut state, "start", task);
            Ok(())
        })
    }

    fn stop<'a>(&'a self, id: &'a ContainerId, _grace: Duration) -> Step<'a, ()> {
        Box::pin(async move {
            while self.up()?.stuck {
                tokio::task::yield_now().await;
            }
            let mut state = self.up()?;
            if let Some((task, phase @ Phase::Running(_))) = state.containers.get_mut(id) {
                *phase = Phase::Ended(Ended { exit_code: 143, error: String::new() });
                let task = *task;
                Self::note(&mut state, "stop", task);
            }
            Ok(())
        })
    }

    fn remove<'a>(&'a self, id: &'a ContainerId) -> Step<'a, ()> {
        Box::pin(async move {
            let mut state = self.up()?;
            if let Some((task, _)) = state.containers.remove(id) {
                Self::note(&mut state, "remove", task);
            }
            Ok(())
        })
    }

    fn release(&self, _task: TaskId) -> Step<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    fn release_others<'a>(&'a self, _tasks: &'a std::collections::BTreeSet<TaskId>) -> Step<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    fn release_all(&self) -> Step<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    fn inspect<'a>(&'a self, id: &'a ContainerId) -> Step<'a, Option<Container>> {
        Box::pin(async move {
            let state = self.up()?;
            let phase = state.containers.get(id).map(|(_, phase)| phase.clone());
            Ok(phase.map(|phase| Container { id: id.clone(), phase }))
        })
    }

    fn find(&self, task: TaskId) -> Step<'_, Option<Container>> {
        Box::pin(async move {
            let state = self.up()?;
            let found = state.containers.iter().find(|(_, (owner, _))| *owner == task);
            Ok(found.map(|(id, (_, phase))| Container { id: id.clone(), phase: phase.clone() }))
        })
    }

    fn list_own(&self, _node: NodeId) -> Step<'_, Vec<OwnContainer>> {
        Box::pin(async move {
            let state = self.up()?;
            let own = state.containers.iter().map(|(id, (task, phase))| OwnContainer {
                id: id.clone(),
                task: *task,
                running: matches!(phase, Phase::Running(_)),
                unhealthy: matches!(phase, Phase::Running(r) if r.health == Health::Unhealthy),
            });
            Ok(own.collect())
        })
    }

    fn events(&self, _node: NodeId) -> BoxStream<'_, Result<ContainerEvent, ExecutorError>> {
        let events = tokio_stream::wrappers::BroadcastStream::new(self.events.subscribe());
        events
            .take_while(|event| std::future::ready(matches!(event, Ok(Some(_)))))
            .filter_map(|event| std::future::ready(event.ok().flatten().map(Ok)))
            .boxed()
    }
}
