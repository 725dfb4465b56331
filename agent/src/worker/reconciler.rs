//! The loop that owns the assignment and the records, and has one actor for each task.

use super::{
    WorkerConfig, WorkerError,
    actor::{Actor, Order, Report, Surroundings, Template},
    record::{HostPort, TaskRecord},
    records::{FLUSH_EVERY, Found, Records},
    step::{Seen, Wanted},
    watcher::{EngineNews, watch_engine},
};
use crate::error_chain::chain;
use crate::executor::{ContainerEvent, ContainerEventKind, ContainerId, Executor, NodeContext, OwnContainer};
use crate::network::{Member, Told};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};
use swarm_session::{AgentView, Assign, AssignmentError, Generation, HeldPayloads, StatusReport};
use swarm_types::{Platform, TaskId, TaskState};
use tokio::{
    sync::{Notify, mpsc, oneshot, watch},
    task::{Id as LoopId, JoinSet},
    time::Instant,
};

mod ending;

/// News of actors and of the engine that may wait for the loop. Reached: the teller waits.
const NEWS_WAITING_MAX: usize = 1024;

/// What handles ask for.
pub(super) enum Request {
    Assign(Box<Assign>, oneshot::Sender<Result<(), AssignmentError>>),
    Unreported(oneshot::Sender<Vec<StatusReport>>),
    Taken(Vec<StatusReport>, oneshot::Sender<()>),
    ReportAllAgain(oneshot::Sender<()>),
    SetNode(Box<NodeContext>, oneshot::Sender<()>),
    Clear(oneshot::Sender<Result<(), WorkerError>>),
    Shutdown(oneshot::Sender<()>),
}

/// One task of the node.
struct Slot {
    orders: watch::Sender<Order>,
    record: TaskRecord,
    template: Template,
    /// The managers have the record's status.
    reported: bool,
    /// The loop of its actor, while that runs.
    actor: Option<LoopId>,
}

impl Slot {
    fn wanted(&self) -> Wanted {
        self.orders.borrow().wanted
    }

    fn wake(&self, died: Option<i64>) {
        self.orders.send_modify(|order| {
            order.look += 1;
            order.died = died.or(order.died);
        });
    }
}

/// Owns the assignment and the records.
pub(super) struct Reconciler {
    records: Records,
    view: AgentView,
    slots: BTreeMap<TaskId, Slot>,
    actors: JoinSet<()>,
    actor_tasks: HashMap<LoopId, TaskId>,
    around: Surroundings,
    reports: mpsc::Receiver<Report>,
    news: mpsc::Receiver<EngineNews>,
    list_now: Arc<Notify>,
    /// A complete set of orders came in this life, so a container whose task is unknown is one too many.
    complete_seen: bool,
    /// No actor is started while all are ended.
    halting: bool,
    removals: JoinSet<ContainerId>,
    removing: BTreeSet<ContainerId>,
    releases: JoinSet<()>,
    flush_at: Option<Instant>,
    flushes: JoinSet<()>,
    node: watch::Sender<NodeContext>,
    /// In memory only.
    payloads: watch::Sender<HeldPayloads>,
    held_ports: watch::Sender<BTreeSet<HostPort>>,
    generation: watch::Sender<Generation>,
    changed: watch::Sender<u64>,
    networks: Arc<watch::Sender<Told>>,
}

impl Reconciler {
    /// Opens the records and starts the actors of all tasks in them.
    pub(super) async fn open(
        config: WorkerConfig,
        executor: Arc<dyn Executor>,
    ) -> Result<(Self, watch::Receiver<Generation>, watch::Receiver<u64>), WorkerError> {
        let WorkerConfig { dir, node_id, hostname, prefer_offline_images, networks } = config;
        let (records, found) = match dir {
            Some(dir) => {
                let opening = tokio::task::spawn_blocking(move || Records::open(&dir, node_id));
                opening.await.map_err(|_| WorkerError::Stopped)??
            }
            None => (Records::nowhere(), Found::default()),
        };
        let default_node = || NodeContext {
            hostname: hostname.clone(),
            platform: Platform { architecture: std::env::consts::ARCH.into(), os: "linux".into() },
            ..NodeContext::default()
        };
        let known_node = found.node.map(|node| NodeContext { hostname: hostname.clone(), ..node });
        let (node, node_seen) = watch::channel(known_node.unwrap_or_else(default_node));
        let (payloads, payloads_seen) = watch::channel(HeldPayloads::default());
        let (held_ports, held_ports_seen) = watch::channel(BTreeSet::new());
        let (generation, generation_seen) = watch::channel(found.view.generation);
        let (changed, changed_seen) = watch::channel(0);
        let (connections, engine) = watch::channel(0);
        let (told, reports) = mpsc::channel(NEWS_WAITING_MAX);
        let (engine_told, news) = mpsc::channel(NEWS_WAITING_MAX);
        let list_now = Arc::new(Notify::new());
        let watcher = watch_engine(Arc::clone(&executor), node_id, connections, engine_told, Arc::clone(&list_now));
        tokio::spawn(watcher);
        let around = Surroundings {
            executor,
            node_id,
            prefer_offline_images,
            node: node_seen,
            networks: networks.subscribe(),
            engine,
            payloads: payloads_seen,
            held_ports: held_ports_seen,
            reports: told,
        };
        let mut reconciler = Self {
            records,
            view: found.view,
            slots: BTreeMap::new(),
            actors: JoinSet::new(),
            actor_tasks: HashMap::new(),
            around,
            reports,
            news,
            list_now,
            complete_seen: false,
            halting: false,
            removals: JoinSet::new(),
            removing: BTreeSet::new(),
            releases: JoinSet::new(),
            flush_at: None,
            flushes: JoinSet::new(),
            node,
            payloads,
            held_ports,
            generation,
            changed,
            networks,
        };
        reconciler.tell_networks();
        reconciler.resume(found.records);
        Ok((reconciler, generation_seen, changed_seen))
    }

    /// Runs until the worker is shut down or the last handle is dropped.
    pub(super) async fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        loop {
            let flush_at = self.flush_at.unwrap_or_else(Instant::now);
            tokio::select! {
                request = requests.recv() => match request {
                    Some(Request::Shutdown(answer)) => {
                        self.shutdown().await;
                        let _ = answer.send(()); // Who asked may have gone.
                        return;
                    }
                    Some(request) => self.serve(request).await,
                    None => return self.shutdown().await,
                },
                Some(report) = self.reports.recv() => self.absorb(report),
                Some(news) = self.news.recv() => self.hear(news),
                Some(ended) = self.actors.join_next_with_id() => {
                    let (id, panic) = match ended {
                        Ok((id, ())) => (id, None),
                        Err(error) => (error.id(), error.is_panic().then_some(error)),
                    };
                    self.note_end_of_actor(id, panic);
                }
                Some(removed) = self.removals.join_next() => {
                    if let Ok(id) = removed {
                        self.removing.remove(&id);
                    }
                }
                Some(_) = self.releases.join_next() => {}
                Some(_) = self.flushes.join_next() => {}
                () = tokio::time::sleep_until(flush_at), if self.flush_at.is_some() && self.flushes.is_empty() => {
                    self.flush_at = None;
                    let records = self.records.clone();
                    self.flushes.spawn_blocking(move || complain(records.flush()));
                }
            }
        }
    }

    async fn serve(&mut self, request: Request) {
        // An answer that nobody waits for any more changes nothing about what was done.
        match request {
            Request::Assign(assign, answer) => {
                let _ = answer.send(self.assign(*assign));
            }
            Request::Unreported(answer) => {
                let _ = answer.send(self.unreported());
            }
            Request::Taken(reports, answer) => {
                for report in reports {
                    if let Some(slot) = self.slots.get_mut(&report.task_id) {
                        slot.reported |= slot.record.status == report.status;
                    }
                }
                let _ = answer.send(());
            }
            Request::ReportAllAgain(answer) => {
                self.slots.values_mut().for_each(|slot| slot.reported = false);
                self.tell_change();
                let _ = answer.send(());
            }
            Request::SetNode(node, answer) => {
                if *self.node.borrow() != *node {
                    complain(self.records.save_node(&node));
                    self.arm_flush();
                    self.node.send_replace(*node);
                }
                let _ = answer.send(());
            }
            Request::Clear(answer) => {
                let _ = answer.send(self.clear().await);
            }
            Request::Shutdown(_) => unreachable!("the loop serves it itself"),
        }
    }

    /// Goes on where the last life of the agent ended.
    fn resume(&mut self, mut records: BTreeMap<TaskId, TaskRecord>) {
        for (id, task) in self.view.tasks.clone() {
            let Some(shared) = self.view.specs.get(&task.spec).cloned() else {
                continue;
            };
            let record = records.remove(&id).unwrap_or_else(|| TaskRecord::new(&task, &shared, self.around.node_id));
            let (wanted, recorded) = (Wanted::from_desired(task.desired_state), task.recorded_state);
            self.add(id, record, Some((task, shared)), wanted, recorded);
        }
        // What is left was being removed.
        for (id, record) in records {
            let recorded = record.status.state;
            self.add(id, record, None, Wanted::Gone, recorded);
        }
        self.publish_held_ports();
        for id in self.slots.keys().copied().collect::<Vec<_>>() {
            self.start_actor(id, Seen::Unknown);
        }
    }

    fn assign(&mut self, assign: Assign) -> Result<(), AssignmentError> {
        let complete = assign.from.is_none();
        let mut assign = assign;
        let payloads = std::mem::take(&mut assign.payloads);
        let mut view = self.view.clone();
        let applied = view.apply(assign)?;
        complain(self.records.save_view(&self.view, &view));
        self.arm_flush();
        self.view = view;
        self.payloads.send_if_modified(|held| held.apply(complete, payloads));
        // Before any task acts: its networks are made by the time that its container asks for them.
        self.tell_networks();
        self.generation.send_replace(self.view.generation);
        for id in &applied.removed {
            self.direct(*id, Wanted::Gone, TaskState::New);
        }
        let (known, new): (Vec<TaskId>, Vec<TaskId>) = applied.changed.into_iter().partition(|id| self.slots.contains_key(id));
        for id in known {
            let Some(task) = self.view.tasks.get(&id) else {
                continue;
            };
            let (desired, recorded) = (task.desired_state, task.recorded_state);
            self.direct(id, Wanted::from_desired(desired), recorded);
        }
        // Before anything is added: a new task must not take a port that an old one is about to give up.
        self.publish_held_ports();
        for id in new {
            self.add_assigned(id);
        }
        if complete {
            self.complete_seen = true;
            self.list_now.notify_one();
        }
        Ok(())
    }

    /// Adds a task of the view and starts its actor.
    fn add_assigned(&mut self, id: TaskId) {
        let Some(task) = self.view.tasks.get(&id).cloned() else {
            return;
        };
        let Some(shared) = self.view.specs.get(&task.spec).cloned() else {
            return;
        };
        let record = TaskRecord::new(&task, &shared, self.around.node_id);
        // A task that no agent has reported on has no container; were there one, creating it would find it.
        let seen = if task.recorded_state <= TaskState::Assigned { Seen::Missing } else { Seen::Unknown };
        let (wanted, recorded) = (Wanted::from_desired(task.desired_state), task.recorded_state);
        self.add(id, record, Some((task, shared)), wanted, recorded);
        self.start_actor(id, seen);
    }

    fn add(&mut self, id: TaskId, record: TaskRecord, template: Template, wanted: Wanted, recorded: TaskState) {
        let order = Order { wanted, recorded, look: 0, died: None, halt: false };
        let (orders, _) = watch::channel(order);
        let slot = Slot { orders, record, template, reported: false, actor: None };
        self.slots.insert(id, slot);
    }

    fn start_actor(&mut self, id: TaskId, seen: Seen) {
        let Some(slot) = self.slots.get_mut(&id) else {
            return;
        };
        if self.halting {
            return;
        }
        slot.orders.send_modify(|order| order.halt = false);
        let actor = Actor {
            id,
            template: slot.template.clone(),
            record: slot.record.clone(),
            seen,
            orders: slot.orders.subscribe(),
            around: self.around.clone(),
        };
        let started = self.actors.spawn(actor.run()).id();
        slot.actor = Some(started);
        self.actor_tasks.insert(started, id);
    }

    /// Tells a task's actor what is wanted. Neither wish nor record goes back.
    fn direct(&mut self, id: TaskId, wanted: Wanted, recorded: TaskState) {
        let Some(slot) = self.slots.get(&id) else {
            return;
        };
        slot.orders.send_modify(|order| {
            order.wanted = order.wanted.max(wanted);
            order.recorded = order.recorded.max(recorded);
        });
    }

    fn publish_held_ports(&self) {
        let stopping = self.slots.values().filter(|slot| slot.wanted() >= Wanted::Stopped && !slot.record.status.state.is_terminal());
        let held: BTreeSet<HostPort> = stopping.flat_map(|slot| slot.record.held_ports()).collect();
        self.held_ports.send_if_modified(|before| {
            let changes = *before != held;
            *before = held;
            changes
        });
    }

    fn absorb(&mut self, report: Report) {
        match report {
            Report::Changed(id, record) => {
                let Some(slot) = self.slots.get_mut(&id) else {
                    return;
                };
                let had_ports = slot.record.held_ports().next().is_some();
                slot.record = *record;
                slot.reported = false;
                complain(self.records.save_record(id, &slot.record));
                if slot.record.held_ports().next().is_some() || had_ports {
                    self.publish_held_ports();
                }
            }
            Report::Forgotten(id) => {
                self.slots.remove(&id);
                complain(self.records.forget_record(id));
                self.publish_held_ports();
                if self.view.tasks.contains_key(&id) {
                    self.add_assigned(id); // It came back while it was being removed.
                }
            }
        }
        self.arm_flush();
        self.tell_change();
    }

    fn hear(&mut self, news: EngineNews) {
        match news {
            EngineNews::Event(ContainerEvent { task, kind }) => {
                let Some(slot) = self.slots.get(&task) else {
                    return;
                };
                let state = slot.record.status.state;
                match kind {
                    ContainerEventKind::Died { exit_code } => slot.wake(Some(exit_code)),
                    ContainerEventKind::Health | ContainerEventKind::Removed => slot.wake(None),
                    // The agent itself starts it, and looks afterwards.
                    ContainerEventKind::Started if matches!(state, TaskState::Starting | TaskState::Running) => {}
                    ContainerEventKind::Started => slot.wake(None),
                }
            }
            EngineNews::Listed(list) => {
                self.compare(&list);
                self.release_others(&list);
            }
        }
    }

    /// Wakes the actors whose container is not as their record says; removes containers of no task.
    fn compare(&mut self, list: &[OwnContainer]) {
        let mut unlisted: BTreeSet<TaskId> = self.slots.keys().copied().collect();
        for own in list {
            unlisted.remove(&own.task);
            let Some(slot) = self.slots.get(&own.task) else {
                self.remove_orphan(own);
                continue;
            };
            let as_told = match slot.record.status.state {
                TaskState::Running => own.running && !own.unhealthy,
                TaskState::Starting => false, // Its health may have changed unheard.
                state if state.is_terminal() => !own.running,
                _ => true,
            };
            if !as_told {
                slot.wake(None);
            }
        }
        for id in unlisted {
            let Some(slot) = self.slots.get(&id) else {
                continue;
            };
            let should_be = (TaskState::Ready..=TaskState::Running).contains(&slot.record.status.state);
            if should_be && slot.record.container.is_some() {
                slot.wake(None);
            }
        }
        let lost: Vec<TaskId> = self.slots.iter().filter(|(_, slot)| slot.actor.is_none()).map(|(id, _)| *id).collect();
        for id in lost {
            self.start_actor(id, Seen::Unknown);
        }
    }

    /// Removes files in memory of tasks that are gone, as a crash between two steps may have left some.
    fn release_others(&mut self, list: &[OwnContainer]) {
        if !self.complete_seen {
            return;
        }
        let live = self.slots.iter().filter(|(_, slot)| !slot.record.status.state.is_terminal()).map(|(id, _)| *id);
        let known: BTreeSet<TaskId> = live.chain(list.iter().filter(|own| own.running).map(|own| own.task)).collect();
        let executor = Arc::clone(&self.around.executor);
        self.releases.spawn(async move {
            if let Err(error) = executor.release_others(&known).await {
                tracing::warn!(error = %chain(&error), "files of tasks that are gone are left");
            }
        });
    }

    fn remove_orphan(&mut self, own: &OwnContainer) {
        if !self.complete_seen || !self.removing.insert(own.id.clone()) {
            return;
        }
        tracing::warn!(task = %own.task, container = ?own.id, "removing a container of a task that this node does not have");
        let (executor, id) = (Arc::clone(&self.around.executor), own.id.clone());
        self.removals.spawn(async move {
            if let Err(error) = executor.remove(&id).await {
                tracing::warn!(container = ?id, error = %chain(&error), "could not remove a container");
            }
            id
        });
    }

    fn unreported(&self) -> Vec<StatusReport> {
        let due = self.slots.iter().filter(|(_, slot)| !slot.reported && slot.record.is_reportable() && slot.wanted() != Wanted::Gone);
        due.map(|(id, slot)| StatusReport { task_id: *id, status: slot.record.status.clone() }).collect()
    }

    fn note_end_of_actor(&mut self, id: LoopId, panic: Option<tokio::task::JoinError>) {
        let Some(task) = self.actor_tasks.remove(&id) else {
            return;
        };
        if let Some(panic) = panic {
            // It gets a new actor with the next list: at once, the same panic could come as fast as it can.
            tracing::error!(%task, error = %panic, "the loop of a task panicked");
        }
        if let Some(slot) = self.slots.get_mut(&task).filter(|slot| slot.actor == Some(id)) {
            slot.actor = None;
        }
    }

    fn arm_flush(&mut self) {
        if self.records.are_kept() {
            self.flush_at.get_or_insert_with(|| Instant::now() + FLUSH_EVERY);
        }
    }

    /// Says what is known of networks. Before anything was ever told that is nothing, and nobody is to act on it.
    fn tell_networks(&self) {
        if self.view.generation == Generation::default() {
            return;
        }
        self.networks.send_replace(Told::Member(Member::of(self.around.node_id, &self.view)));
    }

    fn tell_change(&self) {
        self.changed.send_modify(|count| *count += 1);
    }
}

/// Records that do not reach the disk must not stop the tasks: everything in them can be found again.
fn complain(result: Result<(), super::records::RecordsError>) {
    if let Err(error) = result {
        tracing::error!(error = %chain(&error), "task records are not kept");
    }
}
