//! A small world to plan in: a state, agents that do as they are told, and a clock that only moves when asked.

use std::{collections::BTreeMap, sync::Arc, time::Duration};
use swarm_planner::{Plan, Planner, new_service, record_statuses, remove_node, remove_service, rollback_service, update_service};
use swarm_state::{Applied, Batch, Change, Cluster, Key, Node, Object, Service, State, Task};
use swarm_types::*;

/// Ids in a row, so that the same steps always give the same plan.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ids(pub(crate) u64);

impl IdSource for Ids {
    fn random(&mut self) -> [u8; 16] {
        self.0 += 1;
        // Spread over the whole range, so that the order of ids says nothing about the order of creation.
        let high = self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&high.to_be_bytes());
        bytes[8..].copy_from_slice(&self.0.to_be_bytes());
        bytes
    }
}

/// Everything a test needs.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) state: State,
    pub(crate) planner: Planner,
    pub(crate) now: Timestamp,
    pub(crate) ids: Ids,
    names: BTreeMap<NodeId, String>,
}

/// A plan in words.
pub(crate) struct Planned {
    pub(crate) plan: Plan,
    text: String,
}

impl Planned {
    /// One line per change, in order.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

pub(crate) const GIB: i64 = 1 << 30;

impl World {
    /// Nodes n1, n2 …, ready, with 4 cores and 8 GiB each.
    pub(crate) fn with_nodes(count: usize) -> Self {
        let state = State::default();
        let planner = Planner::new(&state);
        let mut world =
            Self { state, planner, now: Timestamp::from_nanos(1_700_000_000_000_000_000), ids: Ids::default(), names: BTreeMap::new() };
        for number in 1..=count {
            world.add_node(&format!("n{number}"));
        }
        world
    }

    /// Adds a node whose id orders as its number does.
    pub(crate) fn add_node(&mut self, name: &str) -> NodeId {
        let number: u128 = name.trim_start_matches('n').parse().expect("nodes are called n1, n2 …");
        let id = NodeId::from_random((number << 64).to_be_bytes());
        self.names.insert(id, name.to_owned());
        let node = Node {
            api: swarm_types::Node {
                id,
                version: Version::default(),
                created_at: self.now,
                updated_at: self.now,
                spec: NodeSpec::default(),
                description: NodeDescription {
                    hostname: name.to_owned(),
                    platform: Platform { os: "linux".into(), architecture: "x86_64".into() },
                    resources: Resources { nano_cpus: 4_000_000_000, memory_bytes: 8 * GIB, generic_resources: vec![] },
                    ..NodeDescription::default()
                },
                status: NodeStatus { state: NodeState::Ready, ..NodeStatus::default() },
                manager_status: None,
            },
            role: Role::Worker,
            manager_addr: None,
            raft_id: None,
            certificate_until: Timestamp::default(),
            state_since: self.now,
            spec_version: Version::default(),
            data_path_index: 0,
            data_path_addr: None,
        };
        self.commit(Actor::Operator, vec![Change::create(Object::Node(Arc::new(node)))]);
        id
    }

    /// A replicated service.
    pub(crate) fn service(self, name: &str, replicas: u64) -> Self {
        self.service_with(name, replicas, |_| {})
    }

    /// A replicated service with more to say.
    pub(crate) fn service_with(mut self, name: &str, replicas: u64, edit: impl FnOnce(&mut ServiceSpec)) -> Self {
        let mode = ServiceMode { replicated: Some(ReplicatedService { replicas: Some(replicas) }), ..ServiceMode::default() };
        self.add_service(name, mode, edit);
        self
    }

    /// A global service.
    pub(crate) fn global(self, name: &str) -> Self {
        self.global_with(name, |_| {})
    }

    /// A global service with more to say.
    pub(crate) fn global_with(mut self, name: &str, edit: impl FnOnce(&mut ServiceSpec)) -> Self {
        self.add_service(name, ServiceMode { global: Some(GlobalService {}), ..ServiceMode::default() }, edit);
        self
    }

    pub(crate) fn add_service(&mut self, name: &str, mode: ServiceMode, edit: impl FnOnce(&mut ServiceSpec)) -> ServiceId {
        let mut spec = ServiceSpec {
            name: name.to_owned(),
            task_template: TaskSpec {
                container_spec: Some(ContainerSpec { image: "image:1".into(), ..ContainerSpec::default() }),
                ..TaskSpec::default()
            },
            mode,
            ..ServiceSpec::default()
        };
        edit(&mut spec);
        let (id, changes) = new_service(spec, self.now, &mut self.ids);
        self.commit(Actor::Operator, changes);
        id
    }

    /// Everything runs as wanted.
    pub(crate) fn settled(mut self) -> Self {
        self.settle();
        self
    }

    /// Plans and lets the agents work until nothing more happens without the clock.
    pub(crate) fn settle(&mut self) {
        for _ in 0..100 {
            let planned = self.step();
            if planned.is_empty() && !self.agents_work() {
                return;
            }
        }
        panic!("the world does not settle:\n{}", self.step());
    }

    /// Settles again and again while time passes.
    pub(crate) fn settle_for(&mut self, seconds: u64) {
        self.settle();
        for _ in 0..seconds {
            self.advance(1);
            self.settle();
        }
    }

    pub(crate) fn advance(&mut self, seconds: u64) {
        self.now = self.now.after(Duration::from_secs(seconds));
    }

    /// What the next pass decides; checked to be what a full pass decides.
    pub(crate) fn plan(&mut self) -> Planned {
        let full = Planner::new(&self.state).plan(&self.state, self.now, &mut self.ids.clone());
        let plan = self.planner.plan(&self.state, self.now, &mut self.ids.clone());
        let text = self.words(&plan.changes);
        assert_eq!(text, self.words(&full.changes), "the incremental plan is on the left, the full one on the right");
        assert_eq!(plan.changes, full.changes);
        let due = |plan: &Plan| plan.look_again_in.unwrap_or(Duration::MAX);
        assert!(due(&plan) <= due(&full), "{:?} is later than {:?}", plan.look_again_in, full.look_again_in);
        Planned { plan, text }
    }

    /// Plans and applies.
    pub(crate) fn step(&mut self) -> String {
        let Planned { plan, text } = self.plan();
        if !plan.changes.is_empty() {
            // The ids that the plan used are used up.
            self.ids.0 += plan.changes.len() as u64;
            self.commit(Actor::Planner, plan.changes);
        }
        text
    }

    pub(crate) fn commit(&mut self, by: Actor, changes: Vec<Change>) {
        let applied = self.apply(by, changes);
        for result in &applied.results {
            assert!(result.is_ok(), "{result:?}");
        }
    }

    fn apply(&mut self, by: Actor, changes: Vec<Change>) -> Applied {
        let applied = self.state.apply(self.state.applied() + 1, vec![Batch { by, guards: vec![], changes }]);
        self.planner.observe(&applied.events, &self.state);
        applied
    }

    /// Every agent that is heard of does one step with each of its tasks. Whether anything was done.
    pub(crate) fn agents_work(&mut self) -> bool {
        let mut reports: BTreeMap<NodeId, Vec<(TaskId, TaskStatus)>> = BTreeMap::new();
        for task in self.state.tasks() {
            let Some(node) = task.node_id.filter(|_| task.status.state >= TaskState::Assigned && !task.status.state.is_terminal()) else {
                continue;
            };
            let heard = self.state.node(node).is_some_and(|n| n.api.status.state == NodeState::Ready);
            let next = match task.desired_state {
                TaskState::Complete => TaskState::Running, // When it is done is for the test to say.
                desired if desired > TaskState::Running => TaskState::Shutdown,
                TaskState::Ready => TaskState::Ready,
                _ => TaskState::Running,
            };
            if heard && task.status.state < next {
                reports.entry(node).or_default().push((task.id, self.status(next)));
            }
        }
        let worked = !reports.is_empty();
        for (node, reports) in reports {
            self.take_reports(node, &reports);
        }
        worked
    }

    fn status(&self, state: TaskState) -> TaskStatus {
        TaskStatus { state, timestamp: self.now, message: state.to_string(), ..TaskStatus::default() }
    }

    fn take_reports(&mut self, node: NodeId, reports: &[(TaskId, TaskStatus)]) {
        let recorded = record_statuses(&self.state, node, reports, self.now);
        assert_eq!(recorded.refused, []);
        self.commit(Actor::Agent, recorded.changes);
    }

    /// The agent of the slot's newest wanted task reports a state.
    pub(crate) fn report(&mut self, task: &str, state: TaskState) {
        let task = self.newest(task);
        let node = task.node_id.expect("the task is on a node");
        self.take_reports(node, &[(task.id, self.status(state))]);
    }

    /// The agent of a task reports a state.
    pub(crate) fn report_task(&mut self, task: &Task, state: TaskState) {
        let node = task.node_id.expect("the task is on a node");
        self.take_reports(node, &[(task.id, self.status(state))]);
    }

    /// The newest wanted task of a slot such as `web.2`, or of a node such as `agent.n1`.
    pub(crate) fn newest(&self, name: &str) -> Arc<Task> {
        let tasks = self.state.tasks().filter(|t| t.desired_state <= TaskState::Complete && self.task_name(t) == name);
        let newest = tasks.max_by_key(|t| t.created_at).unwrap_or_else(|| panic!("no task {name}"));
        Arc::clone(newest)
    }

    pub(crate) fn edit_node(&mut self, name: &str, edit: impl FnOnce(&mut Node)) {
        let mut node = (**self.node(name)).clone();
        let before = node.api.status.state;
        edit(&mut node);
        if node.api.status.state != before {
            node.state_since = self.now;
        }
        self.commit(Actor::Operator, vec![Change::update(Object::Node(Arc::new(node)))]);
    }

    pub(crate) fn node(&self, name: &str) -> &Arc<Node> {
        let id = self.node_id(name);
        self.state.node(id).expect("the node exists")
    }

    pub(crate) fn node_id(&self, name: &str) -> NodeId {
        *self.names.iter().find(|(_, n)| *n == name).expect("the node has existed").0
    }

    pub(crate) fn availability(&mut self, name: &str, availability: Availability) {
        self.edit_node(name, |n| n.api.spec.availability = availability);
    }

    pub(crate) fn drain(&mut self, name: &str) {
        self.availability(name, Availability::Drain);
    }

    pub(crate) fn activate(&mut self, name: &str) {
        self.availability(name, Availability::Active);
    }

    pub(crate) fn node_state(&mut self, name: &str, state: NodeState) {
        self.edit_node(name, |n| n.api.status.state = state);
    }

    pub(crate) fn down(&mut self, name: &str) {
        self.node_state(name, NodeState::Down);
    }

    pub(crate) fn label(&mut self, name: &str, key: &str, value: &str) {
        self.edit_node(name, |n| {
            n.api.spec.labels.insert(key.into(), value.into());
        });
    }

    pub(crate) fn remove_node(&mut self, name: &str) {
        let changes = remove_node(&self.state, self.node_id(name), self.now);
        self.commit(Actor::Planner, changes);
    }

    pub(crate) fn get(&self, service: &str) -> &Arc<Service> {
        self.state.service_named(service).expect("the service exists")
    }

    /// Updates a service's spec.
    pub(crate) fn update(&mut self, service: &str, edit: impl FnOnce(&mut ServiceSpec)) {
        let service = Arc::clone(self.get(service));
        let mut spec = (*service.current.spec).clone();
        edit(&mut spec);
        let changes = update_service(&service, spec, self.now, &mut self.ids);
        self.commit(Actor::Operator, changes);
    }

    pub(crate) fn scale(&mut self, service: &str, replicas: u64) {
        self.update(service, |spec| spec.mode.replicated = Some(ReplicatedService { replicas: Some(replicas) }));
    }

    pub(crate) fn image(&mut self, service: &str, image: &str) {
        self.update(service, |spec| spec.task_template.container_spec.get_or_insert_default().image = image.into());
    }

    pub(crate) fn rollback(&mut self, service: &str) {
        let changes = rollback_service(self.get(service), self.now).expect("there is a previous spec");
        self.commit(Actor::Operator, changes);
    }

    pub(crate) fn remove(&mut self, service: &str) {
        let changes = remove_service(self.get(service));
        self.commit(Actor::Operator, changes);
    }

    /// Sets how many tasks of a slot are kept.
    pub(crate) fn history_limit(&mut self, limit: i64) {
        let spec = SwarmSpec { orchestration: OrchestrationConfig { task_history_retention_limit: Some(limit) }, ..SwarmSpec::default() };
        let api = Swarm {
            id: ClusterId::from_random([1; 16]),
            version: Version::default(),
            created_at: self.now,
            updated_at: self.now,
            spec,
            tls_info: TlsInfo::default(),
            root_rotation_in_progress: false,
            data_path_port: 0,
            default_addr_pool: vec![],
            subnet_size: 0,
            join_tokens: None,
        };
        let version = self.state.version(Key::Cluster).unwrap_or_default();
        let mut cluster = Cluster { api, ca_key: String::new(), removed_nodes: BTreeMap::new() };
        cluster.api.version = version;
        self.commit(Actor::Operator, vec![Change::update(Object::Cluster(Arc::new(cluster)))]);
    }

    /// `service.slot`, or `service.node` for global services.
    pub(crate) fn task_name(&self, task: &Task) -> String {
        let spec = self.state.spec(task.spec).expect("the template is stored");
        match (task.slot, task.node_id) {
            (0, Some(node)) => format!("{}.{}", spec.service_name, self.names[&node]),
            (slot, _) => format!("{}.{slot}", spec.service_name),
        }
    }

    fn node_name(&self, id: Option<NodeId>) -> &str {
        id.map_or("no node", |id| self.names[&id].as_str())
    }

    /// The service's tasks by slot and age: `web.1 on n1 running, wanted running`.
    pub(crate) fn tasks(&self, service: &str) -> String {
        let mut tasks: Vec<_> = self.state.tasks().filter(|t| self.state.spec(t.spec).is_some_and(|s| s.service_name == service)).collect();
        tasks.sort_by_key(|t| (t.slot, t.node_id.filter(|_| t.slot == 0), t.created_at));
        let line = |t: &&Arc<Task>| {
            let err = if t.status.err.is_empty() { String::new() } else { format!(": {}", t.status.err) };
            format!("{} on {} {}, wanted {}{err}\n", self.task_name(t), self.node_name(t.node_id), t.status.state, t.desired_state)
        };
        tasks.iter().map(line).collect()
    }

    /// How many tasks are wanted running on each node, in order of name.
    pub(crate) fn spread(&self, service: &str) -> Vec<usize> {
        let mut counts: BTreeMap<NodeId, usize> = self.state.nodes().map(|n| (n.api.id, 0)).collect();
        for task in self.state.tasks_of_service(self.get(service).id).filter(|t| t.desired_state <= TaskState::Running) {
            if let Some(count) = task.node_id.and_then(|id| counts.get_mut(&id)) {
                *count += 1;
            }
        }
        counts.into_values().collect()
    }

    /// Tasks that run and should.
    pub(crate) fn running(&self, service: &str) -> usize {
        let tasks = self.state.tasks_of_service(self.get(service).id);
        tasks.filter(|t| t.desired_state == TaskState::Running && t.status.state == TaskState::Running).count()
    }

    /// The state and message of the service's update.
    pub(crate) fn update_status(&self, service: &str) -> String {
        self.get(service).update.as_ref().map_or("none".to_owned(), |u| format!("{}: {}", u.state, u.message))
    }

    fn words(&self, changes: &[Change]) -> String {
        changes.iter().map(|change| self.word(change) + "\n").collect()
    }

    fn word(&self, change: &Change) -> String {
        match change {
            Change::Delete { key: Key::Task(id), .. } => format!("forget {}", self.task_name(self.state.task(*id).expect("it was stored"))),
            Change::Delete { key: Key::Spec(_), .. } => "forget template".to_owned(),
            Change::Delete { key, .. } => format!("forget {key:?}"),
            Change::Put { object: Object::Task(task), .. } => match self.state.task(task.id) {
                None => self.birth(task),
                Some(old) => self.move_of(old, task),
            },
            Change::Put { object: Object::Service(service), .. } => {
                let old = self.state.service(service.id).and_then(|s| s.update.clone());
                let message = service.update.clone().filter(|new| Some(new) != old.as_ref()).map_or("notes".to_owned(), |u| u.message);
                format!("service {}: {message}", service.current.spec.name)
            }
            Change::Put { object, .. } => format!("put {:?}", object.key()),
        }
    }

    fn birth(&self, task: &Task) -> String {
        let verb = if task.desired_state == TaskState::Ready { "prepare" } else { "create" };
        if task.status.state == TaskState::Assigned {
            format!("{verb} {} on {}", self.task_name(task), self.node_name(task.node_id))
        } else {
            format!("{verb} {}: {}", self.task_name(task), task.status.err)
        }
    }

    fn move_of(&self, old: &Task, new: &Task) -> String {
        let name = self.task_name(new);
        let node = self.node_name(new.node_id);
        if old.status.state != new.status.state && new.status.state != TaskState::Shutdown {
            return match new.status.state {
                TaskState::Assigned if old.desired_state != new.desired_state => format!("assign {name} to {node} and start it"),
                TaskState::Assigned => format!("assign {name} to {node}"),
                TaskState::Rejected => format!("reject {name} on {node}: {}", new.status.err),
                TaskState::Orphaned => format!("orphan {name} on {node}: {}", new.status.message),
                other => format!("{other} {name}"),
            };
        }
        match (old.desired_state != new.desired_state, new.desired_state) {
            (true, TaskState::Running | TaskState::Complete) => format!("start {name} on {node}"),
            (true, TaskState::Shutdown) => format!("stop {name} on {node}"),
            (true, TaskState::Remove) => format!("remove {name} on {node}"),
            _ if old.replaced != new.replaced => format!("{} {name}", if new.replaced { "supersede" } else { "keep" }),
            _ => format!("wait {name}: {}", new.status.err),
        }
    }
}

/// A reservation of memory.
pub(crate) fn reserve_memory(bytes: i64) -> impl FnOnce(&mut ServiceSpec) {
    move |spec| {
        let reservations = Some(Resources { memory_bytes: bytes, ..Resources::default() });
        spec.task_template.resources = Some(ResourceRequirements { reservations, ..ResourceRequirements::default() });
    }
}

/// Constraints.
pub(crate) fn constrain(constraints: &[&str]) -> impl FnOnce(&mut ServiceSpec) {
    let constraints = constraints.iter().map(|c| (*c).to_owned()).collect();
    move |spec| spec.task_template.placement.get_or_insert_default().constraints = constraints
}

/// A host-mode port.
pub(crate) fn host_port(port: u32) -> impl FnOnce(&mut ServiceSpec) {
    move |spec| {
        let port = PortConfig { target_port: 80, published_port: port, publish_mode: PublishMode::Host, ..PortConfig::default() };
        spec.endpoint_spec.get_or_insert_default().ports.push(port);
    }
}

/// A restart policy.
pub(crate) fn restart(condition: RestartCondition, delay: Duration, max_attempts: u64) -> impl FnOnce(&mut ServiceSpec) {
    move |spec| {
        spec.task_template.restart_policy =
            Some(RestartPolicy { condition, delay: Some(delay.as_nanos() as Nanos), max_attempts: Some(max_attempts), window: None });
    }
}
