//! Random worlds: whatever happens, no node is given too much, the incremental plan is the full one, and once everything is
//! well again, everything runs.

use crate::world::{GIB, World, constrain, host_port, restart};
use proptest::prelude::*;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use swarm_state::Task;
use swarm_types::*;

/// Something that happens. The numbers are taken modulo what there is.
#[derive(Debug, Clone, Copy)]
enum Event {
    AddService(u8, u8),
    RemoveService(u8),
    Scale(u8, u8),
    Update(u8, u8),
    Rollback(u8),
    AddNode,
    RemoveNode(u8),
    NodeState(u8, u8),
    Availability(u8, u8),
    Label(u8, u8),
    Resize(u8, u8),
    Report(u8, u8),
    Work(u8),
    Pass,
    LostPass,
    NewLeader,
    Advance(u8),
}

fn event() -> impl Strategy<Value = Event> {
    use Event::*;
    prop_oneof![
        3 => any::<(u8, u8)>().prop_map(|(a, b)| AddService(a, b)),
        1 => any::<u8>().prop_map(RemoveService),
        3 => any::<(u8, u8)>().prop_map(|(a, b)| Scale(a, b)),
        4 => any::<(u8, u8)>().prop_map(|(a, b)| Update(a, b)),
        1 => any::<u8>().prop_map(Rollback),
        1 => Just(AddNode),
        1 => any::<u8>().prop_map(RemoveNode),
        3 => any::<(u8, u8)>().prop_map(|(a, b)| NodeState(a, b)),
        3 => any::<(u8, u8)>().prop_map(|(a, b)| Availability(a, b)),
        2 => any::<(u8, u8)>().prop_map(|(a, b)| Label(a, b)),
        1 => any::<(u8, u8)>().prop_map(|(a, b)| Resize(a, b)),
        5 => any::<(u8, u8)>().prop_map(|(a, b)| Report(a, b)),
        8 => any::<u8>().prop_map(Work),
        12 => Just(Pass),
        1 => Just(LostPass),
        1 => Just(NewLeader),
        5 => any::<u8>().prop_map(Advance),
    ]
}

/// A world to which things happen.
struct Chaos {
    world: World,
    /// Nodes that shrank: they may hold too much until what has to leave has left.
    shrunk: BTreeSet<NodeId>,
    nodes: usize,
    services: usize,
}

fn pick<T: Clone>(all: &[T], number: u8) -> Option<T> {
    (!all.is_empty()).then(|| all[usize::from(number) % all.len()].clone())
}

impl Chaos {
    fn new() -> Self {
        let mut world = World::with_nodes(4);
        world.label("n1", "zone", "a");
        world.label("n2", "zone", "b");
        Self { world, shrunk: BTreeSet::new(), nodes: 4, services: 0 }
    }

    fn node_names(&self) -> Vec<String> {
        self.world.state.nodes().map(|n| n.api.description.hostname.clone()).collect()
    }

    fn service_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.world.state.services().map(|s| s.current.spec.name.clone()).collect();
        names.sort();
        names
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::AddService(kind, size) => self.add_service(kind, size),
            Event::RemoveService(which) => {
                if let Some(name) = pick(&self.service_names(), which) {
                    self.world.remove(&name);
                }
            }
            Event::Scale(which, replicas) => {
                let replicated = self.service_names().into_iter().filter(|n| self.world.get(n).current.spec.mode.replicated.is_some());
                if let Some(name) = pick(&replicated.collect::<Vec<_>>(), which) {
                    self.world.scale(&name, u64::from(replicas % 6));
                }
            }
            Event::Update(which, kind) => {
                if let Some(name) = pick(&self.service_names(), which) {
                    self.world.update(&name, |spec| change_spec(spec, kind));
                }
            }
            Event::Rollback(which) => {
                if let Some(name) = pick(&self.service_names(), which).filter(|n| self.world.get(n).previous.is_some()) {
                    self.world.rollback(&name);
                }
            }
            Event::AddNode if self.nodes < 8 => {
                self.nodes += 1;
                self.world.add_node(&format!("n{}", self.nodes));
            }
            Event::RemoveNode(which) => {
                let names = self.node_names();
                if let Some(name) = pick(&names, which).filter(|_| names.len() > 2) {
                    self.world.remove_node(&name);
                }
            }
            Event::Pass => drop(self.world.step()),
            Event::LostPass => drop(self.world.plan()),
            Event::NewLeader => self.world.planner = swarm_planner::Planner::new(&self.world.state),
            Event::Advance(time) => self.world.advance([1, 1, 2, 5, 10, 70, 400, 90_000][usize::from(time % 8)]),
            Event::Report(which, state) => self.report(which, state),
            Event::Work(which) => self.work(which),
            _ => self.change_node(event),
        }
    }

    fn change_node(&mut self, event: Event) {
        let names = self.node_names();
        match event {
            Event::NodeState(which, state) => {
                if let Some(name) = pick(&names, which) {
                    use swarm_types::NodeState::{Disconnected, Down, Ready, Unknown};
                    self.world.node_state(&name, [Ready, Ready, Down, Down, Disconnected, Unknown][usize::from(state % 6)]);
                }
            }
            Event::Availability(which, wish) => {
                if let Some(name) = pick(&names, which) {
                    use swarm_types::Availability::{Active, Drain, Pause};
                    self.world.availability(&name, [Active, Active, Drain, Pause][usize::from(wish % 4)]);
                }
            }
            Event::Label(which, value) => {
                if let Some(name) = pick(&names, which) {
                    self.world.label(&name, "zone", ["a", "b"][usize::from(value % 2)]);
                }
            }
            Event::Resize(which, size) => {
                if let Some(name) = pick(&names, which) {
                    self.shrunk.insert(self.world.node_id(&name));
                    self.world.edit_node(&name, |n| n.api.description.resources.memory_bytes = i64::from(2 + size % 8) * GIB);
                }
            }
            _ => {}
        }
    }

    fn add_service(&mut self, kind: u8, size: u8) {
        if self.service_names().len() >= 4 {
            return;
        }
        self.services += 1;
        let name = format!("s{}", self.services);
        let replicated =
            ServiceMode { replicated: Some(ReplicatedService { replicas: Some(u64::from(size % 5)) }), ..ServiceMode::default() };
        let global = ServiceMode { global: Some(GlobalService {}), ..ServiceMode::default() };
        let mode = if kind & 3 == 0 { global } else { replicated };
        self.world.add_service(&name, mode, |spec| {
            for bit in 0..8 {
                if kind >> bit & 1 == 1 {
                    change_spec(spec, bit * 3 + size % 3);
                }
            }
        });
    }

    fn on_nodes(&self) -> Vec<Arc<Task>> {
        let tasks = self.world.state.tasks().filter(|t| t.node_id.is_some() && t.status.state >= TaskState::Assigned);
        tasks.filter(|t| !t.status.state.is_terminal()).cloned().collect()
    }

    fn report(&mut self, which: u8, state: u8) {
        use TaskState::{Complete, Failed, Preparing, Rejected, Running, Shutdown};
        let Some(task) = pick(&self.on_nodes(), which) else { return };
        let state = [Failed, Failed, Rejected, Complete, Running, Preparing, Shutdown][usize::from(state % 7)];
        self.tell(&task, state);
    }

    fn tell(&mut self, task: &Task, state: TaskState) {
        let Some(node) = task.node_id else { return };
        let status = TaskStatus { state, timestamp: self.world.now, ..TaskStatus::default() };
        let recorded = swarm_planner::record_statuses(&self.world.state, node, &[(task.id, status)], self.world.now);
        self.world.commit(Actor::Agent, recorded.changes);
    }

    /// Some tasks do what is asked of them.
    fn work(&mut self, which: u8) {
        for (index, task) in self.on_nodes().into_iter().enumerate() {
            if which >> (index % 8) & 1 == 1 {
                let next = match task.desired_state {
                    desired if desired > TaskState::Running => TaskState::Shutdown,
                    TaskState::Ready => TaskState::Ready,
                    _ => TaskState::Running,
                };
                if next > task.status.state {
                    self.tell(&task, next);
                }
            }
        }
    }

    /// What must hold at every moment.
    fn check(&self) {
        let mut memory: BTreeMap<NodeId, i64> = BTreeMap::new();
        let mut ports: BTreeSet<(NodeId, u32)> = BTreeSet::new();
        for task in self.on_nodes() {
            let (Some(node), Some(spec)) = (task.node_id, self.world.state.spec(task.spec)) else { continue };
            let reserved = spec.template.resources.as_ref().and_then(|r| r.reservations.as_ref()).map_or(0, |r| r.memory_bytes);
            *memory.entry(node).or_default() += reserved;
            for port in spec.endpoint.iter().flat_map(|e| &e.ports).filter(|p| p.publish_mode == PublishMode::Host && p.published_port != 0)
            {
                assert!(ports.insert((node, port.published_port)), "port {} is given twice on {node}", port.published_port);
            }
        }
        for node in self.world.state.nodes().filter(|n| !self.shrunk.contains(&n.api.id)) {
            let given = memory.get(&node.api.id).copied().unwrap_or(0);
            assert!(given <= node.api.description.resources.memory_bytes, "{} gave {given} bytes", node.api.description.hostname);
        }
        let mut slots: BTreeMap<_, usize> = BTreeMap::new();
        for task in self.world.state.tasks().filter(|t| t.desired_state <= TaskState::Running) {
            let wanted = slots.entry((task.service_id, task.slot, task.node_id.filter(|_| task.slot == 0))).or_default();
            *wanted += 1;
            assert!(*wanted <= 2, "a slot holds an old task and a new one at most");
        }
    }

    /// Everything is well again: every node is there and has room, and tasks only do what is asked of them.
    fn heal(&mut self) {
        for name in self.node_names() {
            self.world.edit_node(&name, |node| {
                node.api.status.state = swarm_types::NodeState::Ready;
                node.api.spec.availability = swarm_types::Availability::Active;
                node.api.description.resources.memory_bytes = 1000 * GIB;
            });
        }
        for (index, name) in self.node_names().into_iter().enumerate() {
            self.world.label(&name, "zone", ["a", "b"][index % 2]);
        }
        for name in self.service_names() {
            // A paused update stays as it is; and what cannot be anywhere cannot converge.
            self.world.update(&name, |spec| {
                spec.task_template.force_update += 1;
                spec.endpoint_spec = None;
                spec.task_template.placement.get_or_insert_default().max_replicas = 0;
            });
        }
        self.world.settle();
        for _ in 0..60 {
            self.world.advance(5);
            self.world.settle();
            self.check();
        }
        // The looks for tasks that do not get to run in time are over then.
        self.world.advance(1300);
        self.world.settle();
    }

    fn check_converged(&mut self) {
        for name in self.service_names() {
            let service = Arc::clone(self.world.get(&name));
            let spec = &service.current.spec;
            let zone = spec.task_template.placement.as_ref().and_then(|p| p.constraints.first().cloned());
            let fits = |node: &&Arc<swarm_state::Node>| {
                zone.as_ref().is_none_or(|z| z.ends_with(node.api.spec.labels.get("zone").map_or("", String::as_str)))
            };
            let wanted = match &spec.mode.replicated {
                Some(replicated) => replicated.replicas.unwrap_or(1),
                None => self.world.state.nodes().filter(fits).count() as u64,
            };
            assert_eq!(self.world.running(&name) as u64, wanted, "{}", self.world.tasks(&name));
            let state = service.update.as_ref().map(|u| u.state);
            assert!(!matches!(state, Some(UpdateState::Updating | UpdateState::RollbackStarted)), "{state:?}");
            assert_eq!(service.rollout, None);
        }
        let planned = self.world.plan();
        assert_eq!(planned.text(), "");
        // Timers that lost their reason may be left, but none that keeps it busy.
        assert!(planned.plan.look_again_in.is_none_or(|d| d > Duration::from_secs(3600)), "{:?}", planned.plan.look_again_in);
        let in_use: BTreeSet<SpecId> = self.world.state.tasks().map(|t| t.spec).collect();
        for spec in self.world.state.specs() {
            assert!(in_use.contains(&spec.id) || self.world.state.spec_uses(spec.id) > 0, "template {} is left over", spec.id);
        }
        for task in self.world.state.tasks() {
            assert!(task.service_id.is_some_and(|id| self.world.state.service(id).is_some()), "a task is left over");
        }
    }
}

/// One of many ways to change a service.
fn change_spec(spec: &mut ServiceSpec, kind: u8) {
    let update = |spec: &mut ServiceSpec, edit: &dyn Fn(&mut UpdateConfig)| {
        edit(spec.update_config.get_or_insert_with(|| UpdateConfig { parallelism: 1, ..UpdateConfig::default() }));
    };
    match kind % 16 {
        0 => spec.task_template.container_spec.get_or_insert_default().image = "image:1".into(),
        1 | 2 => spec.task_template.container_spec.get_or_insert_default().image = format!("image:{kind}"),
        3 => crate::world::reserve_memory(2 * GIB)(spec),
        4 => crate::world::reserve_memory(3 * GIB)(spec),
        5 => constrain(&["node.labels.zone==a"])(spec),
        6 => constrain(&[])(spec),
        7 => {
            spec.endpoint_spec = None;
            host_port(80)(spec);
        }
        8 => spec.endpoint_spec = None,
        9 => update(spec, &|c| c.order = Some(UpdateOrder::StartFirst)),
        10 => update(spec, &|c| c.failure_action = Some(FailureAction::Rollback)),
        11 => update(spec, &|c| (c.parallelism, c.failure_action) = (0, Some(FailureAction::Continue))),
        12 => update(spec, &|c| (c.parallelism, c.delay) = (2, 3_000_000_000)),
        13 => restart(RestartCondition::OnFailure, Duration::from_secs(1), 2)(spec),
        14 => spec.task_template.placement.get_or_insert_default().max_replicas = 1,
        _ => {
            let spread = Some(SpreadOver { spread_descriptor: "node.labels.zone".into() });
            spec.task_template.placement.get_or_insert_default().preferences = vec![PlacementPreference { spread }];
        }
    }
}

/// So many cases, or as many as `PROPTEST_CASES` says for a longer search.
fn cases(count: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok());
    ProptestConfig { cases: asked.unwrap_or(count), failure_persistence: None, max_shrink_iters: 4000, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn nothing_is_given_twice_and_what_heals_converges(events in prop::collection::vec(event(), 1..80)) {
        let mut chaos = Chaos::new();
        for event in events {
            chaos.happen(event);
            chaos.check();
        }
        chaos.heal();
        chaos.check_converged();
    }
}

/// A step of an orderly life: updates and drains, and tasks that do what is asked at their own pace.
#[derive(Debug, Clone, Copy)]
enum Orderly {
    Update,
    Scale,
    Drain(u8),
    Work(u8),
    Second,
}

fn orderly() -> impl Strategy<Value = Orderly> {
    prop_oneof![
        1 => Just(Orderly::Update),
        1 => Just(Orderly::Scale),
        1 => any::<u8>().prop_map(Orderly::Drain),
        10 => any::<u8>().prop_map(Orderly::Work),
        3 => Just(Orderly::Second),
    ]
}

proptest! {
    #![proptest_config(cases(100))]

    #[test]
    fn never_fewer_run_than_updates_and_drains_allow(
        parallelism in 1_u64..4,
        start_first: bool,
        steps in prop::collection::vec(orderly(), 1..80),
    ) {
        let order = Some(if start_first { UpdateOrder::StartFirst } else { UpdateOrder::StopFirst });
        let world = World::with_nodes(4).service_with("web", 8, |spec| {
            spec.update_config = Some(UpdateConfig { parallelism, order, ..UpdateConfig::default() });
        });
        let mut chaos = Chaos { world: world.settled(), shrunk: BTreeSet::new(), nodes: 4, services: 1 };
        let mut images = 1;
        // Slots that a drain emptied or that scaling added, and that do not run yet.
        let mut excused: BTreeSet<u64> = BTreeSet::new();
        let mut known: BTreeSet<u64> = (1..=8).collect();
        for step in steps {
            match step {
                Orderly::Update => {
                    images += 1;
                    chaos.world.image("web", &format!("image:{images}"));
                }
                Orderly::Scale => {
                    let replicas = 8 + (chaos.world.state.applied() % 3);
                    chaos.world.scale("web", replicas);
                }
                Orderly::Drain(which) => {
                    // One at a time; the one before is back.
                    for name in ["n1", "n2", "n3", "n4"] {
                        chaos.world.activate(name);
                    }
                    let name = format!("n{}", which % 4 + 1);
                    let node = chaos.world.node_id(&name);
                    excused.extend(chaos.world.state.tasks_of_node(node).filter(|t| t.desired_state <= TaskState::Running).map(|t| t.slot));
                    chaos.world.drain(&name);
                }
                Orderly::Work(which) => chaos.work(which),
                Orderly::Second => chaos.world.advance(1),
            }
            chaos.world.step();
            let wanted = || chaos.world.state.tasks().filter(|t| t.desired_state <= TaskState::Running);
            let slots: BTreeSet<u64> = wanted().map(|t| t.slot).collect();
            let runs: BTreeSet<u64> = wanted().filter(|t| t.status.state == TaskState::Running).map(|t| t.slot).collect();
            excused.extend(slots.difference(&known));
            excused.retain(|slot| slots.contains(slot) && !runs.contains(slot));
            let down = slots.iter().filter(|slot| !runs.contains(slot) && !excused.contains(slot)).count() as u64;
            known = slots;
            let allowed = if start_first { 0 } else { parallelism };
            prop_assert!(down <= allowed, "{down} slots are down for the update:\n{}", chaos.world.tasks("web"));
        }
    }
}

proptest! {
    #![proptest_config(cases(60))]

    #[test]
    fn an_update_ends_completed_paused_or_rolled_back(
        (parallelism, start_first, action, ratio, restarts) in (0_u64..4, any::<bool>(), 0_usize..3, 0_u8..4, 0_u64..3),
        fates in prop::collection::vec(0_u8..6, 40),
    ) {
        let action = Some([FailureAction::Pause, FailureAction::Continue, FailureAction::Rollback][action]);
        let order = Some(if start_first { UpdateOrder::StartFirst } else { UpdateOrder::StopFirst });
        let max_failure_ratio = f32::from(ratio) / 4.0;
        let config = UpdateConfig { parallelism, order, failure_action: action, max_failure_ratio, ..UpdateConfig::default() };
        let mut world = World::with_nodes(3).service_with("web", 4, |spec| {
            restart(RestartCondition::Any, Duration::from_secs(5), restarts + 1)(spec);
            (spec.update_config, spec.rollback_config) = (Some(config.clone()), Some(config));
        });
        world = world.settled();
        world.image("web", "image:2");
        let mut chaos = Chaos { world, shrunk: BTreeSet::new(), nodes: 3, services: 1 };
        // Each new task ends badly, never gets anywhere, or works, as its fate has it; whatever is in the leader's memory is lost.
        let mut order_of_birth: Vec<TaskId> = Vec::new();
        for round in 0..200 {
            chaos.world.step();
            if round % 7 == 0 {
                chaos.world.planner = swarm_planner::Planner::new(&chaos.world.state);
            }
            for task in chaos.on_nodes() {
                let number = order_of_birth.iter().position(|id| *id == task.id).unwrap_or_else(|| {
                    order_of_birth.push(task.id);
                    order_of_birth.len() - 1
                });
                let next = match (fates.get(number), task.desired_state) {
                    (_, desired) if desired > TaskState::Running => TaskState::Shutdown,
                    (Some(0), _) => TaskState::Rejected,
                    (Some(1), TaskState::Running) => TaskState::Failed,
                    (Some(2), _) => TaskState::Preparing,
                    (_, TaskState::Ready) => TaskState::Ready,
                    _ => TaskState::Running,
                };
                if next > task.status.state {
                    chaos.tell(&task, next);
                }
            }
            chaos.world.advance(60);
        }
        let state = chaos.world.get("web").update.as_ref().map(|u| u.state);
        prop_assert!(!matches!(state, None | Some(UpdateState::Updating | UpdateState::RollbackStarted)), "{state:?}\n{}", chaos.world.tasks("web"));
    }
}
