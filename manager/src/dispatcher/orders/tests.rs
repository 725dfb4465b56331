use super::*;
use crate::ca::first_node;
use swarm_state::{Batch, Change, Object};
use swarm_types::{
    Actor, Availability, ContainerSpec, PayloadObject, PayloadSpec, SecretReference, SharedSpec, TaskSpec, TaskStatus, Timestamp, Version,
};

fn node(n: u8) -> NodeId {
    NodeId::from_random([n; 16])
}

fn secret(n: u8) -> SecretId {
    SecretId::from_random([n; 16])
}

fn spec_id(n: u8) -> SpecId {
    SpecId::from_random([n; 16])
}

fn put(state: &mut State, by: Actor, objects: Vec<Object>) {
    let changes = objects.into_iter().map(Change::update).collect();
    let applied = state.apply(state.applied() + 1, vec![Batch { by, guards: vec![], changes }]);
    assert!(applied.results[0].is_ok(), "{applied:?}");
}

/// A template whose container gets the secret of the same number.
fn template(n: u8) -> Object {
    let reference = SecretReference { secret_id: secret(n).to_string(), ..SecretReference::default() };
    let container = ContainerSpec { secrets: vec![reference], ..ContainerSpec::default() };
    Object::Spec(Arc::new(SharedSpec {
        id: spec_id(n),
        service_id: None,
        service_name: String::new(),
        service_labels: BTreeMap::new(),
        template: TaskSpec { container_spec: Some(container), ..TaskSpec::default() },
        endpoint: None,
    }))
}

fn payload(n: u8) -> Object {
    let spec = PayloadSpec { name: format!("s{n}"), data: vec![n].into(), ..PayloadSpec::default() };
    let (created_at, updated_at) = (Timestamp::default(), Timestamp::default());
    Object::Secret(Arc::new(PayloadObject { id: secret(n), version: Version::default(), created_at, updated_at, spec }))
}

/// A task on a node with the template of a number, in a state.
fn task(n: u8, on: u8, spec: u8, observed: TaskState) -> Task {
    Task {
        id: TaskId::from_random([n; 16]),
        version: Version::default(),
        created_at: Timestamp::default(),
        updated_at: Timestamp::default(),
        service_id: None,
        slot: 1,
        node_id: Some(node(on)),
        spec: spec_id(spec),
        status: TaskStatus { state: observed, ..TaskStatus::default() },
        desired_state: TaskState::Running,
        start_after: None,
        start_behind: None,
        restarts: vec![],
        failures: vec![],
        replaced: false,
        by_update: false,
        running_since: None,
        generic_resources: vec![],
        job_iteration: None,
        attachments: vec![],
    }
}

/// What a node is told of secrets: those it gets, those it loses.
fn told(told: &mut Told, state: &State, n: u8) -> Option<(Vec<SecretId>, Vec<SecretId>)> {
    let news = told.news(&Journal::default());
    let payloads = told.assign(state, node(n), news)?.payloads;
    Some((payloads.secrets.iter().map(|s| s.id).collect(), payloads.secrets_removed))
}

#[test]
fn secrets_are_with_the_nodes_that_need_them_and_only_as_long() {
    let mut state = State::default();
    let nodes =
        [1, 2].map(|n| Object::Node(Arc::new(first_node(node(n), n.into(), "10.0.0.1:2377", Availability::Active, Timestamp::default()))));
    put(&mut state, Actor::Operator, nodes.into());
    put(&mut state, Actor::Operator, vec![payload(1), payload(2), template(1), template(2)]);
    put(&mut state, Actor::Planner, vec![Object::Task(Arc::new(task(1, 1, 1, TaskState::Assigned)))]);
    let (mut first, mut second) = (Told::default(), Told::default());
    assert_eq!(told(&mut first, &state, 1), Some((vec![secret(1)], vec![])));
    assert_eq!(told(&mut second, &state, 2), Some((vec![], vec![])));
    // Another task with the same one brings nothing new, one with another does.
    let more = [task(2, 1, 1, TaskState::Assigned), task(3, 1, 2, TaskState::Assigned)];
    put(&mut state, Actor::Planner, more.map(|task| Object::Task(Arc::new(task))).into());
    assert_eq!(told(&mut first, &state, 1), Some((vec![secret(2)], vec![])));
    assert_eq!(told(&mut second, &state, 2), None);
    // With the last task that is not over it goes, though the history keeps the task.
    for (task, lost) in [(1, None), (2, Some((vec![], vec![secret(1)])))] {
        let mut ended = (**state.task(TaskId::from_random([task; 16])).expect("stored")).clone();
        ended.status.state = TaskState::Failed;
        put(&mut state, Actor::Agent, vec![Object::Task(Arc::new(ended))]);
        assert_eq!(told(&mut first, &state, 1), lost);
    }
    // A new session is told of all that is needed.
    assert_eq!(told(&mut Told::default(), &state, 1), Some((vec![secret(2)], vec![])));
}
