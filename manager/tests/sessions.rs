//! An agent's session, frame by frame, over a log without Raft.

use axum::body::{Body, Bytes};
use futures_util::StreamExt;
use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime},
};
use swarm_manager::{
    dispatcher::{Dispatcher, LeaderAnswer, LeaderLink, LeaderMessage, LinkError, LinkFuture, Timing},
    store::{Leadership, Store, testing::LocalLog},
};
use swarm_pki::NodeIdentity;
use swarm_session::{CloseReason, FrameDecoder, FromAgent, FromManager, Generation, Hello, PROTOCOL, StatusReport, encode};
use swarm_state::{Batch, Change, Cluster, Node, Object, State, Task};
use swarm_types::{
    Actor, ClusterId, NodeDescription, NodeId, NodeSpec, NodeState, NodeStatus, Role, SharedSpec, SpecId, Swarm, SwarmSpec, TaskId,
    TaskSpec, TaskState, TaskStatus, Timestamp, TlsInfo, Version,
};
use tokio::sync::{mpsc, watch};

/// Messages to the leader come back to the same dispatcher.
#[derive(Default)]
struct Loop(OnceLock<Dispatcher>);

impl LeaderLink for Loop {
    fn send(&self, message: LeaderMessage) -> LinkFuture<'_, Result<LeaderAnswer, LinkError>> {
        Box::pin(async move {
            let dispatcher = self.0.get().expect("set before any session");
            Ok(dispatcher.take(node(100), message).await)
        })
    }

    fn host_answers<'a>(&'a self, _addr: &'a str) -> LinkFuture<'a, bool> {
        Box::pin(async { true })
    }
}

struct World {
    store: Store,
    log: Arc<LocalLog>,
    dispatcher: Dispatcher,
    leadership: watch::Sender<Leadership>,
    certificates_last: Duration,
}

fn node(n: u8) -> NodeId {
    NodeId::from_random([n; 16])
}

fn spec_id() -> SpecId {
    SpecId::from_random([1; 16])
}

fn at() -> Timestamp {
    Timestamp::from_nanos(1)
}

async fn put(store: &Store, by: Actor, objects: Vec<Object>) {
    let changes = objects.into_iter().map(Change::update).collect();
    store.propose(Batch { by, guards: vec![], changes }).await.expect("stored");
}

fn stored_node(id: NodeId) -> Object {
    let api = swarm_types::Node {
        id,
        version: Version::default(),
        created_at: at(),
        updated_at: at(),
        spec: NodeSpec::default(),
        description: NodeDescription::default(),
        status: NodeStatus::default(),
        manager_status: None,
    };
    let json = serde_json::json!({ "api": api, "role": "worker" });
    Object::Node(Arc::new(serde_json::from_value::<Node>(json).expect("a node")))
}

fn task(n: u8, on: NodeId) -> Task {
    let status = TaskStatus { state: TaskState::Assigned, ..TaskStatus::default() };
    let json = serde_json::json!({
        "id": TaskId::from_random([n; 16]), "created_at": at(), "updated_at": at(), "slot": 1, "node_id": on,
        "spec": spec_id(), "status": status, "desired_state": "running",
    });
    serde_json::from_value(json).expect("a task")
}

async fn world() -> World {
    let (store, log, leadership) = LocalLog::store(State::default());
    let swarm = Swarm {
        id: ClusterId::from_random([7; 16]),
        version: Version::default(),
        created_at: at(),
        updated_at: at(),
        spec: SwarmSpec::default(),
        tls_info: TlsInfo { trust_root: "ROOT".into(), ..TlsInfo::default() },
        root_rotation_in_progress: false,
        data_path_port: 4789,
        default_addr_pool: vec![],
        subnet_size: 24,
        join_tokens: None,
    };
    let cluster = Cluster { api: swarm, ca_key: String::new(), removed_nodes: BTreeMap::new() };
    let spec = SharedSpec {
        id: spec_id(),
        service_id: None,
        service_name: "web".into(),
        service_labels: BTreeMap::new(),
        template: TaskSpec::default(),
        endpoint: None,
    };
    let objects = vec![Object::Cluster(Arc::new(cluster)), stored_node(node(1)), stored_node(node(2)), Object::Spec(Arc::new(spec))];
    put(&store, Actor::Operator, objects).await;
    let link = Arc::new(Loop::default());
    let timing = Timing { period: Some(Duration::from_millis(400)) };
    let dispatcher = Dispatcher::start(store.clone(), Arc::clone(&link) as Arc<_>, timing);
    assert!(link.0.set(dispatcher.clone()).is_ok());
    World { store, log, dispatcher, leadership, certificates_last: Duration::from_secs(3600) }
}

struct Agent {
    frames: Option<mpsc::Sender<Result<Bytes, Infallible>>>,
    answers: axum::body::BodyDataStream,
    decoder: FrameDecoder,
}

impl Agent {
    async fn connect(world: &World, certificate: NodeId, hello: NodeId, generation: u64) -> Self {
        let now = SystemTime::now();
        let identity = NodeIdentity {
            node_id: certificate.to_string(),
            role: swarm_pki::Role::Worker,
            cluster_id: String::new(),
            not_before: now,
            not_after: now + world.certificates_last,
            issuer: Vec::new(),
        };
        let (frames, receiver) = mpsc::channel(16);
        let body = Body::from_stream(tokio_stream::wrappers::ReceiverStream::new(receiver));
        let response = world.dispatcher.session(identity, "127.0.0.1:1".parse().expect("an address"), body).await;
        let agent = Self { frames: Some(frames), answers: response.into_body().into_data_stream(), decoder: FrameDecoder::default() };
        let description = NodeDescription { hostname: "h1".into(), ..NodeDescription::default() };
        let hello = Hello { protocol: PROTOCOL, node_id: hello, description, generation: Generation(generation), data_path_addr: None };
        agent.say(FromAgent::Hello(Box::new(hello))).await;
        agent
    }

    async fn say(&self, message: FromAgent) {
        let frame = encode(&message).expect("a frame");
        self.frames.as_ref().expect("open").send(Ok(frame)).await.expect("the session reads");
    }

    async fn hear(&mut self) -> FromManager {
        let next = async {
            loop {
                if let Some(message) = self.decoder.next_value().expect("a message") {
                    return message;
                }
                let bytes = self.answers.next().await.expect("the session goes on").expect("bytes");
                self.decoder.extend(&bytes);
            }
        };
        tokio::time::timeout(Duration::from_secs(10), next).await.expect("an answer in time")
    }

    /// Up to and including the first assignment.
    async fn hear_assignment(&mut self) -> swarm_session::Assign {
        loop {
            if let FromManager::Assign(assign) = self.hear().await {
                return *assign;
            }
        }
    }
}

async fn until_state(store: &Store, what: impl Fn(&State) -> bool) {
    let mut watch = store.watch_state();
    let wait = watch.wait_for(|s| what(s));
    tokio::time::timeout(Duration::from_secs(10), wait).await.expect("in time").expect("the store lives");
}

fn node_state(state: &State, id: NodeId) -> NodeState {
    state.node(id).expect("the node").api.status.state
}

#[tokio::test]
async fn a_session_registers_orders_changes_and_records_reports() {
    let world = world().await;
    put(&world.store, Actor::Planner, vec![Object::Task(Arc::new(task(1, node(1))))]).await;
    let mut agent = Agent::connect(&world, node(1), node(1), 0).await;
    assert!(matches!(agent.hear().await, FromManager::Welcome { heartbeat_period: 200_000_000, .. }));
    assert!(matches!(agent.hear().await, FromManager::Node(orders) if orders.root_ca == "ROOT" && orders.role == Role::Worker));
    let assign = agent.hear_assignment().await;
    assert_eq!((assign.from, assign.tasks.len(), assign.specs.len()), (None, 1, 1));
    assert_eq!(node_state(&world.store.state(), node(1)), NodeState::Ready);
    assert_eq!(world.store.state().node(node(1)).expect("the node").api.description.hostname, "h1");

    // A task of another node is no news here; one of this node is, without the template it has.
    put(&world.store, Actor::Planner, vec![Object::Task(Arc::new(task(2, node(2))))]).await;
    put(&world.store, Actor::Planner, vec![Object::Task(Arc::new(task(3, node(1))))]).await;
    let delta = agent.hear_assignment().await;
    assert_eq!((delta.from, delta.tasks.len(), delta.specs.len()), (Some(assign.generation), 1, 0));
    assert_eq!(delta.tasks[0].id, task(3, node(1)).id);

    // Reports are recorded, those about another node's task are not, and the acknowledgement comes all the same.
    let running = TaskStatus { state: TaskState::Running, timestamp: at(), ..TaskStatus::default() };
    let report = |n| StatusReport { task_id: TaskId::from_random([n; 16]), status: running.clone() };
    agent.say(FromAgent::Statuses { seq: 1, reports: vec![report(1), report(2)] }).await;
    loop {
        match agent.hear().await {
            FromManager::StatusesTaken { seq } => break assert_eq!(seq, 1),
            FromManager::Assign(echo) => panic!("its own report came back as an order: {echo:?}"),
            _ => {}
        }
    }
    let observed = |n| world.store.state().task(TaskId::from_random([n; 16])).expect("the task").status.state;
    assert_eq!((observed(1), observed(2)), (TaskState::Running, TaskState::Assigned));
}

#[tokio::test]
async fn a_broken_session_makes_its_node_down_and_a_new_one_makes_it_ready() {
    let world = world().await;
    let mut agent = Agent::connect(&world, node(1), node(1), 0).await;
    agent.hear_assignment().await;
    agent.frames = None;
    until_state(&world.store, |s| node_state(s, node(1)) == NodeState::Down).await;
    let mut agent = Agent::connect(&world, node(1), node(1), 0).await;
    agent.hear_assignment().await;
    assert_eq!(node_state(&world.store.state(), node(1)), NodeState::Ready);
}

#[tokio::test]
async fn a_silent_session_ends() {
    let world = world().await;
    let mut agent = Agent::connect(&world, node(1), node(1), 0).await;
    agent.hear_assignment().await;
    // The connection stays open; nothing is said on it.
    until_state(&world.store, |s| node_state(s, node(1)) == NodeState::Down).await;
}

#[tokio::test]
async fn a_node_speaks_only_for_itself_and_only_while_it_is_in_the_cluster() {
    let world = world().await;
    let mut liar = Agent::connect(&world, node(1), node(2), 0).await;
    assert!(matches!(liar.hear().await, FromManager::Close(CloseReason::Refused(_))));
    let mut stranger = Agent::connect(&world, node(3), node(3), 0).await;
    assert_eq!(stranger.hear().await, FromManager::Close(CloseReason::Removed));
    let mut agent = Agent::connect(&world, node(1), node(1), 0).await;
    agent.hear_assignment().await;
    let stored = world.store.state().get(swarm_state::Key::Node(node(1))).expect("the node");
    let delete = Change::delete(&stored);
    world.store.propose(Batch { by: Actor::Operator, guards: vec![], changes: vec![delete] }).await.expect("deleted");
    loop {
        match agent.hear().await {
            FromManager::Close(reason) => break assert_eq!(reason, CloseReason::Removed),
            FromManager::Node(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_newer_session_replaces_the_older_one() {
    let world = world().await;
    let mut first = Agent::connect(&world, node(1), node(1), 0).await;
    first.hear_assignment().await;
    let mut second = Agent::connect(&world, node(1), node(1), 0).await;
    second.hear_assignment().await;
    assert_eq!(first.hear().await, FromManager::Close(CloseReason::Replaced));
    assert_eq!(node_state(&world.store.state(), node(1)), NodeState::Ready);
}

#[tokio::test]
async fn a_manager_that_knows_less_than_the_agent_sends_it_elsewhere() {
    let world = world().await;
    let mut agent = Agent::connect(&world, node(1), node(1), 1_000_000).await;
    assert!(matches!(agent.hear().await, FromManager::Close(CloseReason::Elsewhere(_))));
}

#[tokio::test]
async fn reports_wait_for_a_leader() {
    let world = world().await;
    put(&world.store, Actor::Planner, vec![Object::Task(Arc::new(task(1, node(1))))]).await;
    let mut agent = Agent::connect(&world, node(1), node(1), 0).await;
    agent.hear_assignment().await;
    world.leadership.send_replace(Leadership::None);
    let running = TaskStatus { state: TaskState::Running, timestamp: at(), ..TaskStatus::default() };
    let id = TaskId::from_random([1; 16]);
    agent.say(FromAgent::Statuses { seq: 1, reports: vec![StatusReport { task_id: id, status: running }] }).await;
    agent.say(FromAgent::Heartbeat).await;
    world.leadership.send_replace(Leadership::Own { term: 2 });
    until_state(&world.store, |s| s.task(id).is_some_and(|t| t.status.state == TaskState::Running)).await;
}

fn statuses_of(n: u8, seq: u64, state: TaskState, message: &str) -> FromAgent {
    let status = TaskStatus { state, timestamp: at(), message: message.into(), ..TaskStatus::default() };
    FromAgent::Statuses { seq, reports: vec![StatusReport { task_id: TaskId::from_random([n; 16]), status }] }
}

fn statuses_for_leader(n: u8, on: NodeId, state: TaskState, message: &str) -> LeaderMessage {
    let FromAgent::Statuses { reports, .. } = statuses_of(n, 1, state, message) else { unreachable!() };
    LeaderMessage::Statuses { node_id: on, reports }
}

#[tokio::test]
async fn of_two_reports_of_one_task_in_one_commit_the_later_counts() {
    let world = world().await;
    put(&world.store, Actor::Planner, vec![Object::Task(Arc::new(task(1, node(1))))]).await;
    let take = |state, message| world.dispatcher.take(node(100), statuses_for_leader(1, node(1), state, message));
    let (first, second) = tokio::join!(take(TaskState::Preparing, "early"), take(TaskState::Preparing, "late"));
    assert_eq!((first, second), (LeaderAnswer::Done, LeaderAnswer::Done));
    let state = world.store.state();
    let status = &state.task(TaskId::from_random([1; 16])).expect("the task").status;
    assert_eq!((status.state, status.message.as_str()), (TaskState::Preparing, "late"));
}

#[tokio::test]
async fn nodes_that_come_and_go_at_once_end_as_their_last_session_says() {
    let world = world().await;
    for round in 0..20 {
        // Goes: the leader decides "down" at about the time at which the next session registers.
        let mut agent = Agent::connect(&world, node(1), node(1), 0).await;
        agent.hear_assignment().await;
        agent.frames = None;
        let mut back = tokio::time::interval(Duration::from_millis(5));
        let gone = std::time::Instant::now();
        while gone.elapsed() < Duration::from_millis(390 + round) {
            back.tick().await;
        }
        let mut agent = Agent::connect(&world, node(1), node(1), 0).await;
        agent.hear_assignment().await;
        assert_eq!(node_state(&world.store.state(), node(1)), NodeState::Ready, "round {round}");
        drop(agent);
    }
}

#[tokio::test]
async fn a_busy_session_of_a_silent_agent_ends_all_the_same() {
    let world = world().await;
    let mut agent = Agent::connect(&world, node(1), node(1), 0).await;
    agent.hear_assignment().await;
    // Somebody reads, but nobody speaks.
    let Agent { frames, mut answers, .. } = agent;
    let reader = tokio::spawn(async move { while answers.next().await.is_some() {} });
    let mut orders = tokio::time::interval(Duration::from_millis(50));
    for n in 10..210 {
        orders.tick().await;
        put(&world.store, Actor::Planner, vec![Object::Task(Arc::new(task(n, node(1))))]).await;
        if node_state(&world.store.state(), node(1)) == NodeState::Down {
            reader.await.expect("the session ended");
            return drop(frames);
        }
    }
    panic!("the silence was never noticed");
}

#[tokio::test]
async fn a_frame_larger_than_agents_need_ends_the_session_unread() {
    let world = world().await;
    let mut agent = Agent::connect(&world, node(1), node(1), 0).await;
    agent.hear_assignment().await;
    let header = Bytes::from_static(&[0x01, 0, 0, 0]);
    agent.frames.as_ref().expect("open").send(Ok(header)).await.expect("the session reads");
    loop {
        match agent.hear().await {
            FromManager::Close(CloseReason::Refused(why)) => break assert!(why.contains("too large"), "{why}"),
            FromManager::Close(other) => panic!("{other:?}"),
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_manager_without_a_leader_sends_its_agents_elsewhere() {
    let world = world().await;
    let mut agent = Agent::connect(&world, node(1), node(1), 0).await;
    agent.hear_assignment().await;
    world.leadership.send_replace(Leadership::None);
    let mut beat = tokio::time::interval(Duration::from_millis(100));
    let begun = std::time::Instant::now();
    loop {
        tokio::select! {
            // An agent that lives.
            _ = beat.tick() => agent.say(FromAgent::Heartbeat).await,
            heard = agent.hear() => match heard {
                FromManager::Close(CloseReason::Elsewhere(why)) => break assert!(why.contains("no leader"), "{why}"),
                FromManager::Close(other) => panic!("{other:?}"),
                _ => {}
            },
        }
    }
    assert!(begun.elapsed() > Duration::from_secs(3), "an election is no reason");
}

#[tokio::test]
async fn a_session_does_not_outlive_its_certificate() {
    let mut world = world().await;
    world.certificates_last = Duration::from_millis(300);
    let mut agent = Agent::connect(&world, node(1), node(1), 0).await;
    agent.hear_assignment().await;
    loop {
        match agent.hear().await {
            FromManager::Close(CloseReason::Elsewhere(why)) => break assert!(why.contains("expired"), "{why}"),
            FromManager::Close(other) => panic!("{other:?}"),
            _ => {}
        }
    }
}

/// A network, and a running task on it on each of the nodes 1 and 2.
async fn two_tasks_on_a_network(world: &World) -> swarm_types::NetworkId {
    let id = swarm_types::NetworkId::from_random([9; 16]);
    let network = serde_json::json!({
        "id": id, "version": Version::default(), "created_at": at(), "spec": {"Name": "blue"}, "vni": 4096,
        "subnets": [{"subnet": "10.0.1.0/24", "gateway": "10.0.1.1"}],
    });
    let network: swarm_state::Network = serde_json::from_value(network).expect("a network");
    put(&world.store, Actor::Operator, vec![Object::Network(Arc::new(network))]).await;
    for n in [1, 2] {
        let addresses = vec![format!("10.0.1.{}/24", n + 1).parse().expect("an address")];
        let mut task = Task { attachments: vec![swarm_state::Attachment { network: id, addresses }], ..task(n, node(n)) };
        task.status.state = TaskState::Running;
        put(&world.store, Actor::Planner, vec![Object::Task(Arc::new(task))]).await;
    }
    id
}

async fn stop_task(world: &World, n: u8) {
    let task = world.store.state().task(TaskId::from_random([n; 16])).cloned().expect("is stored");
    let stopped = Task { desired_state: TaskState::Shutdown, ..(*task).clone() };
    put(&world.store, Actor::Planner, vec![Object::Task(Arc::new(stopped))]).await;
}

#[tokio::test]
async fn a_task_is_told_to_stop_when_every_node_confirmed_that_it_left() {
    let world = world().await;
    two_tasks_on_a_network(&world).await;
    let mut own = Agent::connect(&world, node(1), node(1), 0).await;
    let mut other = Agent::connect(&world, node(2), node(2), 0).await;
    for agent in [&mut own, &mut other] {
        let first = agent.hear_assignment().await;
        assert_eq!((first.tasks.len(), first.networks.endpoints.len()), (1, 2));
        agent.say(FromAgent::Applied { generation: first.generation }).await;
    }
    stop_task(&world, 1).await;
    let mut generations = Vec::new();
    for agent in [&mut own, &mut other] {
        let change = agent.hear_assignment().await;
        assert_eq!(change.tasks, []);
        assert!(change.networks.endpoints.iter().all(|e| !e.in_service) && change.networks.endpoints.len() == 1);
        generations.push(change.generation);
    }
    own.say(FromAgent::Applied { generation: generations[0] }).await;
    let early = tokio::time::timeout(Duration::from_millis(150), own.hear_assignment()).await;
    assert!(early.is_err(), "the other node has not confirmed: {early:?}");
    other.say(FromAgent::Applied { generation: generations[1] }).await;
    let stop = own.hear_assignment().await;
    assert_eq!(stop.tasks.iter().map(|t| t.desired_state).collect::<Vec<_>>(), [TaskState::Shutdown]);
}

#[tokio::test]
async fn nodes_that_are_gone_or_never_confirm_do_not_keep_a_task_from_its_end() {
    let world = world().await;
    two_tasks_on_a_network(&world).await;
    let mut own = Agent::connect(&world, node(1), node(1), 0).await;
    let first = own.hear_assignment().await;
    own.say(FromAgent::Applied { generation: first.generation }).await;
    let mut silent = Agent::connect(&world, node(2), node(2), 0).await;
    silent.hear_assignment().await;
    stop_task(&world, 1).await;
    let change = own.hear_assignment().await;
    assert_eq!(change.tasks, []);
    own.say(FromAgent::Applied { generation: change.generation }).await;
    let stop = own.hear_assignment().await;
    assert_eq!(stop.tasks.iter().map(|t| t.desired_state).collect::<Vec<_>>(), [TaskState::Shutdown]);
    // An agent that comes back and knew of the end is told the truth at once.
    drop(own);
    let mut again = Agent::connect(&world, node(1), node(1), stop.generation.0).await;
    let whole = again.hear_assignment().await;
    assert_eq!(whole.tasks.iter().map(|t| t.desired_state).collect::<Vec<_>>(), [TaskState::Shutdown]);
}

#[tokio::test]
async fn a_container_of_its_own_gets_an_address_until_it_goes() {
    use swarm_session::{AttachAnswer, AttachRequest, DetachRequest};
    let world = world().await;
    let id = two_tasks_on_a_network(&world).await;
    let request = |container: &str, addresses: &[&str]| AttachRequest {
        container: container.into(),
        name: format!("{container}-name"),
        network: "blue".into(),
        addresses: addresses.iter().map(|a| a.parse().expect("an address")).collect(),
        aliases: vec![],
    };
    let refused = |answer| match answer {
        AttachAnswer::Refused(text) => text,
        other => panic!("is refused: {other:?}"),
    };
    let denied = world.dispatcher.attach(node(1), request("c1", &[])).await;
    assert_eq!(refused(denied), "network blue not manually attachable");
    let mut blue = (**world.store.state().network(id).expect("is stored")).clone();
    blue.spec.attachable = true;
    put(&world.store, Actor::Operator, vec![Object::Network(Arc::new(blue))]).await;

    let mut agent = Agent::connect(&world, node(1), node(1), 0).await;
    assert_eq!(agent.hear_assignment().await.tasks.len(), 1);
    let AttachAnswer::Attached { task, attachment, network } = world.dispatcher.attach(node(1), request("c1", &[])).await else {
        panic!("is attached")
    };
    assert_eq!((network.name.as_str(), attachment.addresses[0].to_string().as_str()), ("blue", "10.0.1.4/24"));
    let told = agent.hear_assignment().await;
    assert_eq!(told.tasks, [], "the agent makes no container for it");
    let endpoint = &told.networks.endpoints[0];
    assert_eq!((endpoint.task, endpoint.name.as_str(), endpoint.in_service), (task, "c1-name", true));

    let again = world.dispatcher.attach(node(1), request("c1", &[])).await;
    assert!(matches!(again, AttachAnswer::Attached { task: same, .. } if same == task));
    assert_eq!(refused(world.dispatcher.attach(node(2), request("c2", &["10.0.1.4"])).await), "Address already in use");
    assert_eq!(refused(world.dispatcher.attach(node(2), request("c2", &["10.9.9.9"])).await), "address 10.9.9.9 is none of network blue");
    let fixed = world.dispatcher.attach(node(2), request("c2", &["10.0.1.77"])).await;
    assert!(matches!(fixed, AttachAnswer::Attached { .. }), "{fixed:?}");

    // A node speaks for its own containers only.
    world.dispatcher.detach(node(2), DetachRequest::One(task)).await.expect("is noted");
    assert!(world.store.state().task(task).is_some());
    world.dispatcher.detach(node(1), DetachRequest::AllBut(vec![])).await.expect("is noted");
    assert!(world.store.state().task(task).is_none());
    assert_eq!(world.store.state().tasks().count(), 3, "tasks of services and other nodes' containers stay");
}

#[tokio::test]
async fn a_manager_without_a_leader_keeps_nobody_waiting() {
    let world = world().await;
    world.leadership.send_replace(Leadership::None);
    world.log.let_reads_wait(true);
    let elsewhere = async || {
        let begun = tokio::time::Instant::now();
        let mut agent = Agent::connect(&world, node(1), node(1), 0).await;
        let answer = agent.hear().await;
        assert!(matches!(answer, FromManager::Close(CloseReason::Elsewhere(_))), "{answer:?}");
        begun.elapsed()
    };
    // An election may be under way.
    let first = elsewhere().await;
    assert!(first > Duration::from_millis(500) && first < Duration::from_secs(3), "{first:?}");
    let second = elsewhere().await;
    assert!(second < Duration::from_millis(500), "{second:?}");
    world.log.let_reads_wait(false);
    world.leadership.send_replace(Leadership::Own { term: 2 });
    let mut agent = Agent::connect(&world, node(1), node(1), 0).await;
    assert!(matches!(agent.hear().await, FromManager::Welcome { .. }));
}
