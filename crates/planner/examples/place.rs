//! How long placing takes: `cargo run --release -p swarm-planner --example place [TASKS] [NODES] [SERVICES]`.
//!
//! Plans until every task has a node, applying each batch in between as the leader would, and prints the processor time spent
//! planning (deciding, and taking in what was applied) apart from that spent applying. Other load does not show in it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use swarm_planner::{Planner, new_service, record_statuses};
use swarm_state::{Batch, Change, Node, Object, State};
use swarm_types::{
    Actor, IdSource, Node as ApiNode, NodeDescription, NodeId, NodeSpec, NodeState, NodeStatus, ReplicatedService, ResourceRequirements,
    Resources, Role, ServiceMode, ServiceSpec, TaskSpec, TaskState, TaskStatus, Timestamp, Version,
};

fn main() {
    let mut arguments = std::env::args().skip(1).map(|a| a.parse::<u64>().expect("the arguments are numbers"));
    let tasks = arguments.next().unwrap_or(100_000);
    let nodes = arguments.next().unwrap_or(1_000);
    let services = arguments.next().unwrap_or(1);
    let mut counter = 0_u64;
    let mut ids = move || {
        counter += 1;
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&counter.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        bytes[8..].copy_from_slice(&counter.to_be_bytes());
        bytes
    };
    let now = Timestamp::from_nanos(1_700_000_000_000_000_000);
    let mut state = State::default();
    let mut changes: Vec<Change> = (0..nodes).map(|_| Change::create(Object::Node(Arc::new(node(NodeId::from_random(ids())))))).collect();
    for number in 0..services {
        let replicas = tasks / services + u64::from(number < tasks % services);
        changes.extend(new_service(service(number, replicas), now, &mut ids).1);
    }
    state.apply(1, vec![Batch { by: Actor::Operator, guards: vec![], changes }]);

    let mut planner = Planner::new(&state);
    let (mut planning, mut applying, mut passes, mut slowest) = (Duration::ZERO, Duration::ZERO, 0, Duration::ZERO);
    loop {
        let start = cpu_time();
        let plan = planner.plan(&state, now, &mut ids);
        let took = cpu_time() - start;
        planning += took;
        slowest = slowest.max(took);
        let Some(batch) = plan.into_batch() else { break };
        passes += 1;
        let start = cpu_time();
        let applied = state.apply(state.applied() + 1, vec![batch]);
        applying += cpu_time() - start;
        assert!(applied.results.iter().all(Result::is_ok), "{:?}", applied.results);
        let start = cpu_time();
        planner.observe(&applied.events, &state);
        planning += cpu_time() - start;
    }
    let placed = state.tasks().filter(|t| t.node_id.is_some()).count();
    let start = cpu_time();
    let full = Planner::new(&state).plan(&state, now, &mut ids);
    let full_pass = cpu_time() - start;
    assert!(full.changes.is_empty(), "nothing is left to do");
    println!("{placed} tasks placed on {nodes} nodes, {services} services, {passes} passes");
    let one_failure = (0..20).map(|_| fail_one(&mut state, &mut planner, now, &mut ids)).min().unwrap_or_default();
    println!("planning {planning:.1?} (slowest pass {slowest:.1?}), applying {applying:.1?}, full pass by a new leader {full_pass:.1?}");
    println!("one task fails: its replacement is planned in {one_failure:.1?}");
}

/// Time to plan the replacement of one failed task.
fn fail_one(state: &mut State, planner: &mut Planner, now: Timestamp, ids: &mut dyn IdSource) -> Duration {
    let task = state.tasks().find(|t| t.node_id.is_some() && !t.status.state.is_terminal()).expect("tasks were placed").clone();
    let node = task.node_id.expect("it was found by this");
    let status = TaskStatus { state: TaskState::Failed, ..TaskStatus::default() };
    let changes = record_statuses(state, node, &[(task.id, status)], now).changes;
    let applied = state.apply(state.applied() + 1, vec![Batch { by: Actor::Agent, guards: vec![], changes }]);
    let start = Instant::now(); // Too short for the clock of the other figures.
    planner.observe(&applied.events, state);
    let plan = planner.plan(state, now, ids);
    let took = start.elapsed();
    assert_eq!(plan.changes.len(), 2, "one task ends, another one comes");
    let applied = state.apply(state.applied() + 1, plan.into_batch().into_iter().collect());
    planner.observe(&applied.events, state);
    took
}

/// Processor time of this thread so far.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells the time each thread ran");
    Duration::from_nanos(stat.split(' ').next().and_then(|nanos| nanos.parse().ok()).expect("it begins with a number"))
}

fn service(number: u64, replicas: u64) -> ServiceSpec {
    let reservations = Some(Resources { nano_cpus: 1_000_000, memory_bytes: 1 << 20, ..Resources::default() });
    ServiceSpec {
        name: format!("service-{number}"),
        task_template: TaskSpec {
            resources: Some(ResourceRequirements { reservations, ..ResourceRequirements::default() }),
            ..TaskSpec::default()
        },
        mode: ServiceMode { replicated: Some(ReplicatedService { replicas: Some(replicas) }), ..ServiceMode::default() },
        ..ServiceSpec::default()
    }
}

fn node(id: NodeId) -> Node {
    Node {
        api: ApiNode {
            id,
            version: Version::default(),
            created_at: Timestamp::default(),
            updated_at: Timestamp::default(),
            spec: NodeSpec::default(),
            description: NodeDescription {
                resources: Resources { nano_cpus: 64_000_000_000, memory_bytes: 256 << 30, generic_resources: vec![] },
                ..NodeDescription::default()
            },
            status: NodeStatus { state: NodeState::Ready, ..NodeStatus::default() },
            manager_status: None,
        },
        role: Role::Worker,
        manager_addr: None,
        raft_id: None,
        certificate_until: Timestamp::default(),
        state_since: Timestamp::default(),
        spec_version: Version::default(),
        data_path_index: 0,
        data_path_addr: None,
    }
}
