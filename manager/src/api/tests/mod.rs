//! The API against a log of one manager: status codes and bodies.

mod events;
mod hostile;
mod leader;
mod networks;
mod nodes;
mod payloads;
mod service_faults;
mod services;
mod swarm;
mod tasks;

use super::{Context, Forward, ForwardError, ForwardFuture, router};
use crate::{
    events::EventLog,
    store::{Leadership, Peer, Store, testing::LocalLog},
};
use axum::{Router, body::Body};
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};
use swarm_pki::RootCa;
use swarm_state::{Batch, Change, Cluster, Node, Object, Service, State, Task};
use swarm_types::{
    Actor, ClusterId, InitRequest, JoinTokens, NodeDescription, NodeId, NodeSpec, NodeState, NodeStatus, RemoteManager, Role, ServiceId,
    Swarm, TaskId, TaskState, TaskStatus, Timestamp, TlsInfo, Version,
};
use tokio::sync::watch;
use tower::ServiceExt;

/// Refuses to forward: for tests in which this manager leads.
struct NoOtherManager;

impl Forward for NoOtherManager {
    fn forward<'a>(&'a self, to: &'a RemoteManager, _request: Request<Body>) -> ForwardFuture<'a> {
        Box::pin(async move { Err(ForwardError { to: to.clone(), reason: "there is no other manager".into(), sent: false }) })
    }
}

/// A cluster of one manager and its API.
struct World {
    store: Store,
    log: Arc<LocalLog>,
    leadership: watch::Sender<Leadership>,
    router: Router,
}

fn node_id(number: u8) -> NodeId {
    NodeId::from_random([number; 16])
}

fn cluster() -> Cluster {
    let ca = RootCa::create(std::time::SystemTime::now()).unwrap();
    let api = Swarm {
        id: ClusterId::from_random([1; 16]),
        version: Version::default(),
        created_at: Timestamp::from_nanos(1),
        updated_at: Timestamp::from_nanos(1),
        spec: super::with_cluster_defaults(InitRequest::default().spec),
        tls_info: TlsInfo { trust_root: ca.roots().pem().to_owned(), ..TlsInfo::default() },
        root_rotation_in_progress: false,
        data_path_port: 4789,
        default_addr_pool: vec!["10.0.0.0/8".into()],
        subnet_size: 24,
        join_tokens: Some(JoinTokens { worker: "worker-token".into(), manager: "manager-token".into() }),
    };
    Cluster { api, ca_key: "secret key".into(), removed_nodes: BTreeMap::new() }
}

fn node(number: u8, hostname: &str, role: Role) -> Node {
    Node {
        api: swarm_types::Node {
            id: node_id(number),
            version: Version::default(),
            created_at: Timestamp::from_nanos(1),
            updated_at: Timestamp::from_nanos(1),
            spec: NodeSpec { role, ..NodeSpec::default() },
            description: NodeDescription { hostname: hostname.to_owned(), ..NodeDescription::default() },
            status: NodeStatus { state: NodeState::Ready, ..NodeStatus::default() },
            manager_status: None,
        },
        role,
        manager_addr: None,
        raft_id: None,
        certificate_until: Timestamp::default(),
        state_since: Timestamp::default(),
        spec_version: Version::default(),
        data_path_index: 0,
        data_path_addr: None,
    }
}

fn peer(number: u8, leader: bool, reachable: bool) -> Peer {
    let addr = format!("10.0.0.{number}:2377");
    Peer { node_id: node_id(number), raft_id: u64::from(number), addr, voter: true, leader, reachable: Some(reachable) }
}

impl World {
    /// One manager, `m1` (number 1), which leads.
    fn new() -> Self {
        let mut state = State::default();
        let objects = [Object::Cluster(Arc::new(cluster())), Object::Node(Arc::new(node(1, "m1", Role::Manager)))];
        let changes = objects.into_iter().map(Change::create).collect();
        let applied = state.apply(1, vec![Batch { by: Actor::Operator, guards: vec![], changes }]);
        assert!(applied.results[0].is_ok());
        Self::with(state, Arc::new(NoOtherManager))
    }

    fn with(state: State, forward: Arc<dyn Forward>) -> Self {
        let (store, log, leadership) = LocalLog::store(state);
        log.set_peers(vec![peer(1, true, true)]);
        let events = EventLog::default();
        tokio::spawn(events.clone().record(&store));
        let router = router(Context::new(store.clone(), forward, node_id(1), events));
        Self { store, log, leadership, router }
    }

    async fn put(&self, object: Object) {
        let change = if object.version() == Version::default() { Change::create(object) } else { Change::update(object) };
        self.store.propose(Batch { by: Actor::Planner, guards: vec![], changes: vec![change] }).await.unwrap();
    }

    /// Adds a worker.
    async fn worker(&self, number: u8, hostname: &str) {
        self.put(Object::Node(Arc::new(node(number, hostname, Role::Worker)))).await;
    }

    async fn send(&self, request: Request<Body>) -> Response<Body> {
        self.router.clone().oneshot(request).await.unwrap()
    }

    /// Sends a body as it is.
    async fn raw(&self, method: Method, path: &str, body: impl Into<Body>) -> (StatusCode, Value) {
        let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        read(self.send(request.body(body.into()).unwrap()).await).await
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        self.raw(Method::GET, path, Body::empty()).await
    }

    async fn post(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        self.raw(Method::POST, path, body.to_string()).await
    }

    async fn delete(&self, path: &str) -> (StatusCode, Value) {
        self.raw(Method::DELETE, path, Body::empty()).await
    }

    /// Creates a service of that name and returns its id.
    async fn service(&self, name: &str) -> ServiceId {
        let (status, body) = self.post("/services/create", &spec(name)).await;
        assert_eq!(status, StatusCode::CREATED, "{body}");
        body["ID"].as_str().unwrap().parse().unwrap()
    }

    fn stored(&self, id: ServiceId) -> Service {
        (**self.store.state().service(id).unwrap()).clone()
    }

    /// Updates a service naming a version.
    async fn update(&self, name: &str, version: u64, body: &Value) -> (StatusCode, Value) {
        self.post(&format!("/services/{name}/update?version={version}"), body).await
    }

    /// Adds a task of a service.
    async fn task(&self, number: u8, service: ServiceId, slot: u64, on: Option<u8>) -> TaskId {
        let id = TaskId::from_random([number; 16]);
        // By its serde form, whose later fields all have defaults.
        let task: Task = serde_json::from_value(json!({
            "id": id,
            "created_at": Timestamp::from_nanos(1),
            "updated_at": Timestamp::from_nanos(1),
            "service_id": service,
            "slot": slot,
            "node_id": on.map(node_id),
            "spec": self.stored(service).current.template,
            "status": TaskStatus { state: TaskState::Running, ..TaskStatus::default() },
            "desired_state": TaskState::Running,
        }))
        .unwrap();
        self.put(Object::Task(Arc::new(task))).await;
        id
    }
}

async fn read(response: Response<Body>) -> (StatusCode, Value) {
    let status = response.status();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap_or_else(|_| panic!("{bytes:?}")) };
    (status, body)
}

/// A spec that is fine.
fn spec(name: &str) -> Value {
    json!({"Name": name, "TaskTemplate": {"ContainerSpec": {"Image": "nginx:latest"}}, "Mode": {"Replicated": {"Replicas": 2}}})
}

/// The spec with one more field, by JSON pointer; objects on the way are made.
fn with(mut spec: Value, pointer: &str, value: Value) -> Value {
    let mut place = &mut spec;
    for part in pointer.split('/').skip(1) {
        if place.is_null() {
            *place = json!({});
        }
        place = place.as_object_mut().unwrap().entry(part).or_insert(Value::Null);
    }
    *place = value;
    spec
}

fn message(body: &Value) -> &str {
    body["message"].as_str().unwrap_or_else(|| panic!("no message in {body}"))
}

/// A filter as clients write it.
fn filter(pairs: &[(&str, &str)]) -> String {
    let mut filters: BTreeMap<&str, BTreeMap<&str, bool>> = BTreeMap::new();
    for (key, value) in pairs {
        filters.entry(key).or_default().insert(value, true);
    }
    let json = serde_json::to_string(&filters).unwrap();
    let escaped: String =
        json.bytes().map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") }).collect();
    format!("filters={escaped}")
}

/// Values of a field of a list.
fn field<'a>(list: &'a Value, pointer: &str) -> Vec<&'a str> {
    list.as_array().unwrap().iter().map(|item| item.pointer(pointer).and_then(Value::as_str).unwrap_or("")).collect()
}

#[tokio::test]
async fn unknown_paths_and_methods_are_not_found() {
    let world = World::new();
    let cases = [
        (Method::GET, "/"),
        (Method::GET, "/nope"),
        (Method::PUT, "/services"),
        (Method::POST, "/swarm/init"),
        (Method::GET, "/v1.41/x/y/z"),
    ];
    for (method, path) in cases {
        let (status, body) = world.raw(method, path, Body::empty()).await;
        assert_eq!((status, message(&body)), (StatusCode::NOT_FOUND, "page not found"), "{path}");
    }
}

#[tokio::test]
async fn what_comes_later_is_refused_by_name() {
    let world = World::new();
    let cases = [
        (Method::GET, "/services/web/logs?stdout=1", "reading the logs of a service"),
        (Method::GET, "/tasks/x/logs", "reading the logs of a task"),
    ];
    for (method, path, what) in cases {
        let (status, body) = world.raw(method, path, Body::empty()).await;
        assert_eq!(status, StatusCode::NOT_IMPLEMENTED, "{path}");
        assert_eq!(message(&body), format!("{what} is not supported by this version of Swarm yet"));
    }
}

#[tokio::test]
async fn the_router_lives_in_others() {
    let world = World::new();
    let own = Router::new().route("/internal/status", axum::routing::get(|| async { "status" }));
    let merged = own.clone().merge(world.router.clone());
    let nested = Router::new().route("/ca/root", axum::routing::get(|| async { "root" })).nest("/forward", world.router.clone());
    for (router, path) in [(merged, "/v1.41/services"), (nested, "/forward/services")] {
        let response = router.oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(read(response).await, (StatusCode::OK, json!([])), "{path}");
    }
}

#[tokio::test]
async fn without_the_cluster_nothing_is_answered() {
    let world = World::with(State::default(), Arc::new(NoOtherManager));
    for path in ["/swarm", "/nodes", "/services", "/tasks", "/secrets", "/configs", "/configs/x", "/services/x", "/swarm/unlockkey"] {
        let (status, body) = world.get(path).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert!(message(&body).starts_with("This node is not a swarm manager. Manager is being prepared"));
    }
    let (status, _) = world.post("/services/create", &spec("web")).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
}
