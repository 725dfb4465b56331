//! Objects for the tests of the state, numbered so that each kind's ids are easy to name.

use std::{collections::BTreeMap, sync::Arc};
use swarm_state::{Batch, Change, Cluster, Key, Node, Object, Service, State, StoredSpec, Task};
use swarm_types::*;

/// Kinds of ids, made from a number.
pub(crate) trait Numbered {
    fn numbered(bytes: [u8; 16]) -> Self;
}

macro_rules! numbered {
    ($($id:ty),+) => { $(impl Numbered for $id { fn numbered(bytes: [u8; 16]) -> Self { <$id>::from_random(bytes) } })+ };
}
numbered!(NodeId, ServiceId, TaskId, SpecId, NetworkId, SecretId, ConfigId);

pub(crate) fn id<T: Numbered>(number: u8) -> T {
    T::numbered([number; 16])
}

pub(crate) fn batch(by: Actor, changes: Vec<Change>) -> Batch {
    Batch { by, guards: vec![], changes }
}

pub(crate) fn version_of(state: &State, key: Key) -> Version {
    state.version(key).unwrap_or_default()
}

pub(crate) fn node(number: u8) -> Node {
    Node {
        api: swarm_types::Node {
            id: id(number),
            version: Version::default(),
            created_at: Timestamp::from_nanos(1),
            updated_at: Timestamp::from_nanos(1),
            spec: NodeSpec::default(),
            description: NodeDescription { hostname: format!("n{number}"), ..NodeDescription::default() },
            status: NodeStatus::default(),
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

pub(crate) fn spec(number: u8, service_name: &str) -> SharedSpec {
    SharedSpec {
        id: id(number),
        service_id: Some(id(1)),
        service_name: service_name.to_owned(),
        service_labels: BTreeMap::new(),
        template: TaskSpec::default(),
        endpoint: None,
    }
}

pub(crate) fn payload<Id: Numbered>(number: u8, name: &str) -> PayloadObject<Id> {
    PayloadObject {
        id: id(number),
        version: Version::default(),
        created_at: Timestamp::from_nanos(1),
        updated_at: Timestamp::from_nanos(1),
        spec: PayloadSpec { name: name.to_owned(), data: vec![number; 3].into(), ..PayloadSpec::default() },
    }
}

pub(crate) fn service(number: u8, name: &str, template: SpecId) -> Service {
    let spec = Arc::new(ServiceSpec { name: name.to_owned(), ..ServiceSpec::default() });
    Service {
        id: id(number),
        version: Version::default(),
        spec_version: Version::default(),
        created_at: Timestamp::from_nanos(1),
        updated_at: Timestamp::from_nanos(1),
        current: StoredSpec { spec, template },
        previous: None,
        endpoint: Endpoint::default(),
        update: None,
        rollout: None,
        job: None,
    }
}

pub(crate) fn task(number: u8, service: ServiceId, spec: SpecId) -> Task {
    Task {
        id: id(number),
        version: Version::default(),
        created_at: Timestamp::from_nanos(1),
        updated_at: Timestamp::from_nanos(1),
        service_id: Some(service),
        slot: u64::from(number),
        node_id: None,
        spec,
        status: TaskStatus::default(),
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

pub(crate) fn cluster() -> Cluster {
    let api = Swarm {
        id: ClusterId::from_random([1; 16]),
        version: Version::default(),
        created_at: Timestamp::from_nanos(1),
        updated_at: Timestamp::from_nanos(1),
        spec: SwarmSpec::default(),
        tls_info: TlsInfo::default(),
        root_rotation_in_progress: false,
        data_path_port: 4789,
        default_addr_pool: vec![],
        subnet_size: 24,
        join_tokens: Some(JoinTokens { worker: "worker".into(), manager: "manager".into() }),
    };
    Cluster { api, ca_key: "key".into(), removed_nodes: BTreeMap::from([(id(9), Timestamp::from_nanos(5))]) }
}

/// A state with a node, a service `web` and its template, and a task of it on the node, all at index 1.
pub(crate) struct Made {
    pub(crate) state: State,
    pub(crate) node: NodeId,
    pub(crate) service: ServiceId,
    pub(crate) spec: SpecId,
    pub(crate) task: TaskId,
}

impl Made {
    pub(crate) fn new() -> Self {
        let mut state = State::default();
        let (made_node, web, first) = (id(1), id(1), id(1));
        let changes = vec![
            Change::create(Object::Node(Arc::new(node(1)))),
            Change::create(Object::Spec(Arc::new(spec(1, "web")))),
            Change::create(Object::Service(Arc::new(service(1, "web", first)))),
            Change::create(Object::Task(Arc::new(Task { node_id: Some(made_node), ..task(1, web, first) }))),
        ];
        let applied = state.apply(1, vec![batch(Actor::Operator, changes)]);
        assert_eq!(applied.results, [Ok(Version { index: 1 })]);
        Self { state, node: made_node, service: web, spec: first, task: id(1) }
    }
}
