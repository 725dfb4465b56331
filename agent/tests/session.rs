//! The session client with a stand-in for managers.

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::{cluster::FakeCluster, soon, until};
use swarm_agent::session::{OverTls, Session, SessionState, Tasks};
use swarm_pki::{Credentials, LiveIdentity, NodeKey, NodeSubject, Role};
use swarm_session::{Assign, CloseReason, FromAgent, FromManager, Generation, PayloadOrders, StatusReport};
use swarm_types::{NodeDescription, NodeId, RemoteManager, TaskId, TaskStatus};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Tasks whose reports the test makes.
#[derive(Clone)]
struct FakeTasks(Arc<Inner>);

struct Inner {
    generation: Mutex<Generation>,
    unreported: Mutex<Vec<StatusReport>>,
    changed: watch::Sender<u64>,
    told_again: Mutex<u32>,
}

impl FakeTasks {
    fn new() -> Self {
        Self(Arc::new(Inner {
            generation: Mutex::default(),
            unreported: Mutex::default(),
            changed: watch::channel(0).0,
            told_again: Mutex::default(),
        }))
    }

    fn report(&self, n: u8) {
        let report = StatusReport { task_id: TaskId::from_random([n; 16]), status: TaskStatus::default() };
        self.0.unreported.lock().expect("not poisoned").push(report);
        self.0.changed.send_modify(|count| *count += 1);
    }
}

impl Tasks for FakeTasks {
    fn generation(&self) -> Generation {
        *self.0.generation.lock().expect("not poisoned")
    }
    async fn assign(&self, assign: Assign) -> Result<(), String> {
        let mut held = self.0.generation.lock().expect("not poisoned");
        if assign.from.is_some_and(|from| from != *held) {
            return Err("a gap".to_owned());
        }
        *held = assign.generation;
        Ok(())
    }
    fn reports_changed(&self) -> watch::Receiver<u64> {
        self.0.changed.subscribe()
    }
    async fn unreported(&self) -> Vec<StatusReport> {
        self.0.unreported.lock().expect("not poisoned").clone()
    }
    async fn taken(&self, reports: &[StatusReport]) {
        self.0.unreported.lock().expect("not poisoned").retain(|report| !reports.contains(report));
    }
    async fn report_all_again(&self) {
        *self.0.told_again.lock().expect("not poisoned") += 1;
    }
}

/// A session's surroundings.
struct Bench {
    tasks: FakeTasks,
    managers: watch::Sender<Vec<RemoteManager>>,
    description: watch::Sender<Option<NodeDescription>>,
    orders: Arc<watch::Sender<Option<swarm_session::NodeOrders>>>,
    state: watch::Receiver<SessionState>,
    stop: CancellationToken,
    session: tokio::task::JoinHandle<()>,
}

impl Bench {
    /// A session of a worker of this cluster.
    fn new(cluster: &FakeCluster, managers: Vec<RemoteManager>, own: Vec<String>) -> Self {
        let node_id = own_node();
        let key = NodeKey::generate().expect("a key");
        let subject = NodeSubject { node_id: node_id.as_str(), role: Role::Worker, cluster_id: cluster.shared.cluster_id.as_str() };
        let csr = key.csr_pem().expect("a request");
        let chain = cluster.shared.ca.sign_csr(&csr, subject, support::cluster::VALIDITY, std::time::SystemTime::now());
        let credentials = Credentials::new(&chain.expect("signs"), key).expect("credentials");
        let tasks = FakeTasks::new();
        let managers = watch::channel(managers).0;
        let description = watch::channel(Some(NodeDescription::default())).0;
        let orders = Arc::new(watch::channel(None).0);
        let (state_sender, state) = watch::channel(SessionState::default());
        let stop = CancellationToken::new();
        let session = Session {
            node_id,
            data_path_addr: None,
            in_place: None,
            tasks: tasks.clone(),
            dial: Arc::new(OverTls {
                identity: Arc::new(LiveIdentity::new(credentials)),
                roots: watch::channel(cluster.shared.ca.roots().clone()).1,
            }),
            managers: managers.subscribe(),
            own: watch::channel(own).1,
            description: description.subscribe(),
            orders: Arc::clone(&orders),
            orders_known: Generation(0),
            state: Arc::new(state_sender),
            stop: stop.clone(),
        };
        Self { tasks, managers, description, orders, state, stop, session: tokio::spawn(session.run()) }
    }
}

/// The node whose session it is.
fn own_node() -> NodeId {
    NodeId::from_random([1; 16])
}

fn assign(from: Option<u64>, generation: u64) -> FromManager {
    FromManager::Assign(Box::new(Assign {
        from: from.map(Generation),
        generation: Generation(generation),
        specs: vec![],
        tasks: vec![],
        removed: vec![],
        specs_removed: vec![],
        networks: swarm_session::NetworkOrders::default(),
        payloads: PayloadOrders::default(),
    }))
}

#[tokio::test]
async fn a_session_is_welcome_beats_reports_and_says_goodbye() {
    let mut cluster = FakeCluster::start().await;
    let bench = Bench::new(&cluster, vec![cluster.remote()], vec![]);
    bench.tasks.report(1);
    let mut peer = cluster.session().await;
    peer.welcome().await;
    let first = peer.hear().await;
    assert!(matches!(&first, FromAgent::Statuses { seq: 1, reports } if reports.len() == 1), "{first:?}");
    // What changes while a batch is under way goes with the next one.
    bench.tasks.report(2);
    bench.tasks.report(3);
    peer.say(&FromManager::StatusesTaken { seq: 1 }).await;
    let second = peer.hear().await;
    assert!(matches!(&second, FromAgent::Statuses { seq: 2, reports } if reports.len() == 2), "{second:?}");
    peer.say(&FromManager::StatusesTaken { seq: 2 }).await;
    assert_eq!(peer.hear().await, FromAgent::Heartbeat);
    assert_eq!(peer.hear().await, FromAgent::Heartbeat);

    let changed = NodeDescription { hostname: "other".into(), ..NodeDescription::default() };
    bench.description.send_replace(Some(changed.clone()));
    assert_eq!(peer.hear().await, FromAgent::Description(Box::new(changed)));

    let state = bench.state.borrow().clone();
    assert_eq!((state.manager, state.was_welcome), (Some(cluster.addr.to_string()), true));
    assert_eq!(*bench.tasks.0.told_again.lock().expect("not poisoned"), 1);
    bench.stop.cancel();
    loop {
        match peer.hear().await {
            FromAgent::Heartbeat => {}
            other => break assert!(matches!(other, FromAgent::Goodbye { .. }), "{other:?}"),
        }
    }
    soon("the end", bench.session).await.expect("no panic");
}

#[tokio::test]
async fn a_gap_in_assignments_brings_a_new_session() {
    let mut cluster = FakeCluster::start().await;
    let bench = Bench::new(&cluster, vec![cluster.remote()], vec![]);
    let mut peer = cluster.session().await;
    peer.welcome().await;
    peer.say(&assign(None, 7)).await;
    until("the assignment is taken", || bench.tasks.generation() == Generation(7)).await;
    peer.say(&assign(Some(8), 9)).await;
    let mut peer = cluster.session().await;
    let FromAgent::Hello(hello) = peer.hear().await else { panic!("a session begins with a Hello") };
    assert_eq!(hello.generation, Generation(7));
    bench.stop.cancel();
}

#[tokio::test]
async fn orders_come_through_and_old_ones_do_not() {
    let mut cluster = FakeCluster::start().await;
    let bench = Bench::new(&cluster, vec![cluster.remote()], vec![]);
    let mut orders = bench.orders.subscribe();
    let mut peer = cluster.session().await;
    peer.welcome().await;
    peer.say(&FromManager::Node(cluster.orders(9, swarm_types::Role::Manager))).await;
    soon("orders", orders.changed()).await.expect("the session runs");
    peer.say(&FromManager::Node(cluster.orders(8, swarm_types::Role::Worker))).await;
    peer.say(&FromManager::Node(cluster.orders(10, swarm_types::Role::Manager))).await;
    until("the newest orders come", || orders.borrow().as_ref().is_some_and(|o| o.generation == Generation(10))).await;
    bench.stop.cancel();
}

#[tokio::test]
async fn the_next_manager_is_tried_when_one_is_gone_or_silent() {
    let mut cluster = FakeCluster::start().await;
    // A port that accepts and never answers.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let own = silent.local_addr().expect("is bound").to_string();
    let begun = std::time::Instant::now();
    let managers = vec![cluster.remote(), RemoteManager { node_id: own_node(), addr: own.clone() }];
    let bench = Bench::new(&cluster, managers, vec![own]);
    let mut peer = cluster.session().await;
    assert!(begun.elapsed() >= Duration::from_secs(4), "the own manager comes first");
    peer.welcome().await;
    peer.say(&FromManager::Close(CloseReason::Elsewhere("stopping".into()))).await;
    until("the end is told", || bench.state.borrow().error.contains("stopping")).await;
    assert_eq!(bench.state.borrow().manager, None);
    bench.stop.cancel();
}

#[tokio::test]
async fn a_removed_node_is_told_and_asks_no_more() {
    let mut cluster = FakeCluster::start().await;
    let bench = Bench::new(&cluster, vec![cluster.remote()], vec![]);
    let mut peer = cluster.session().await;
    peer.welcome().await;
    peer.say(&FromManager::Close(CloseReason::Removed)).await;
    until("the removal is known", || bench.state.borrow().is_removed).await;
    let words = "rpc error: code = PermissionDenied desc = Permission denied: node 02cpx0h9c3gfeb4vd5oj7n5y9 was removed from swarm";
    let error = bench.state.borrow().error.clone();
    assert_eq!(error.split(" node ").next(), words.split(" node ").next());
    assert!(tokio::time::timeout(Duration::from_secs(2), cluster.session_or_never()).await.is_err());
    // News of managers change nothing about a removal.
    bench.managers.send_replace(vec![]);
    bench.stop.cancel();
    soon("the end", bench.session).await.expect("no panic");
}
