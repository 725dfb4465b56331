//! A manager of the world: the rooms of the daemon, wired as the daemon wires them, over a disk and a network of the world.

use crate::{
    bug::Bug,
    disk::Disk,
    net::{Delivery, Net, Port},
    witness::Witness,
};
use axum::{Router, body::Body};
use http::Request;
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};
use swarm_manager::{
    api, ca,
    dispatcher::{Dispatcher, Timing},
    dispatcher_routes::DispatcherRoutes,
    links::Links,
    peer::{PeerError, Peers},
    planner_loop,
    raft::{JoinRequest, Member, RaftNode, Tuning, membership::Membership, routes::RaftRoutes},
    server::{self, PeerAddr, Rooms},
    store::{Leadership, Store},
};
use swarm_pki::{NodeIdentity, Peer};
use swarm_raftlog::{Keys, RaftLog};
use swarm_state::{Batch, Change, Cluster, Node, Object};
use swarm_types::{Actor, Availability, ClusterId, NodeId, Role, Swarm, SwarmSpec, Timestamp, TlsInfo, Version};
use tower::ServiceExt;

/// A joiner asks the next manager after this pause.
const JOIN_RETRY: Duration = Duration::from_millis(500);

pub(crate) fn cluster_id() -> ClusterId {
    ClusterId::from_random([7; 16])
}

/// The node at a place in the world.
pub(crate) fn node_id(place: usize) -> NodeId {
    NodeId::from_random([place as u8 + 1; 16])
}

/// The host at a place.
pub(crate) fn host(place: usize) -> String {
    format!("10.0.0.{}", place + 1)
}

/// Where the manager at a place answers.
pub(crate) fn addr(place: usize) -> String {
    format!("{}:2377", host(place))
}

pub(crate) fn identity(place: usize, role: swarm_pki::Role) -> NodeIdentity {
    let (not_before, not_after) = (SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH + Duration::from_secs(4_000_000_000));
    NodeIdentity { node_id: node_id(place).to_string(), role, cluster_id: cluster_id().to_string(), not_before, not_after, issuer: vec![] }
}

/// What the world can look at while the manager runs.
#[derive(Clone)]
pub(crate) struct Running {
    pub(crate) raft: RaftNode,
    pub(crate) store: Store,
}

/// How a manager begins.
#[derive(Clone)]
pub(crate) struct Start {
    pub(crate) place: usize,
    pub(crate) raft_id: u64,
    pub(crate) disk: Disk,
    pub(crate) dir: PathBuf,
    pub(crate) net: Net,
    pub(crate) witness: Witness,
    pub(crate) bug: Option<Bug>,
    /// Where it asks to be let in; empty for the founder and for whoever is a member already.
    pub(crate) join: Vec<String>,
    /// Every node of the new cluster besides the founder, as (place, role); only for the founder.
    pub(crate) found: Option<Vec<(usize, Role)>>,
    pub(crate) running: Arc<Mutex<Option<Running>>>,
    /// Set once it is a member; what the daemon has in its member file.
    pub(crate) joined: Arc<Mutex<bool>>,
    /// Set once it is a member no more, where the daemon ends with the code that says so.
    pub(crate) over: Arc<Mutex<bool>>,
}

/// Runs until the process is killed.
pub(crate) async fn run(start: Start) {
    let place = start.place;
    let own = addr(place);
    let mut deliveries = start.net.listen(&own);
    let port = Port { net: start.net.clone(), own: host(place), peer: Peer::Manager(identity(place, swarm_pki::Role::Manager)) };
    let peers = Arc::new(Peers::over(Arc::new(port)));
    let keys = Keys::open(&start.dir, None).expect("keys");
    let latency = || Duration::from_millis(rand::random_range(1..8));
    let log = RaftLog::open_in_place(Box::new(start.disk.clone()), &keys, latency).expect("a log");
    // Small, so that a short life has snapshots and purges in it.
    let tuning = Tuning { snapshot_interval: 60, entries_for_slow_followers: 20, ..Tuning::default() };
    let raft = RaftNode::open_on(log, &start.dir, &keys, start.raft_id, Arc::clone(&peers), &tuning).await.expect("consensus");
    let store = raft.store();
    let membership = Membership::new(raft.clone());
    let links = Arc::new(Links::new(store.clone(), Arc::clone(&peers), node_id(place), membership.clone()));
    let timing = Timing { period: Some(Duration::from_secs(2)) };
    let dispatcher = Dispatcher::start(store.clone(), Arc::clone(&links) as Arc<_>, timing);
    links.set_dispatcher(dispatcher.clone());
    let docker_api = api::router(api::Context::new(
        start.bug.map_or_else(|| store.clone(), |bug| bug.store(&store)),
        Arc::clone(&links) as Arc<_>,
        node_id(place),
        swarm_manager::events::EventLog::default(),
    ));
    let rooms = Rooms {
        raft: RaftRoutes { node: raft.clone(), membership: membership.clone(), node_id: node_id(place) },
        ca: ca::Authority { store: store.clone(), peers: Arc::clone(&peers) },
        dispatcher: DispatcherRoutes { dispatcher },
        api: docker_api.clone(),
        store: store.clone(),
        cluster_id: cluster_id().to_string(),
        node_id: node_id(place),
    };
    let router = server::router(&rooms);
    tokio::spawn(start.witness.clone().watch(place, store.subscribe()));
    tokio::spawn(planner_loop::run(store.clone()));
    tokio::spawn(membership.keep_in_step());
    tokio::spawn(take_part(start.clone(), raft.clone(), Arc::clone(&peers)));
    *start.running.lock().expect("nothing panics while holding it") = Some(Running { raft: raft.clone(), store });
    tokio::spawn(fail_loudly(place, raft));
    while let Some(delivery) = deliveries.recv().await {
        tokio::spawn(answer(delivery, router.clone(), docker_api.clone(), start.net.clone(), host(place)));
    }
}

/// A log that fails, or consensus that ends by itself, is a fault: nothing in this world damages disks.
async fn fail_loudly(place: usize, raft: RaftNode) {
    let reason = raft.failed().await;
    panic!("manager {place} failed: {reason}");
}

/// Requests of other nodes go to port 2377, those of clients on the host to its private socket.
async fn answer(delivery: Delivery, port: Router, docker_api: Router, net: Net, own: String) {
    let Delivery { from, peer, mut request, answer } = delivery;
    let is_client = matches!(peer, Peer::Anonymous);
    request.extensions_mut().insert(peer);
    request.extensions_mut().insert(PeerAddr("10.0.0.9:1".parse().expect("an address")));
    let is_stream = request.uri().path() == "/session";
    let router = if is_client { docker_api } else { port };
    let Ok(response) = router.oneshot(request).await;
    let (parts, body) = response.into_parts();
    let body = if is_stream {
        net.carry(body, &own, &from)
    } else {
        match axum::body::to_bytes(body, usize::MAX).await {
            Ok(bytes) => Body::from(bytes),
            Err(_) => return,
        }
    };
    // The asker may have given up.
    let _ = answer.send(http::Response::from_parts(parts, body));
}

/// Becomes a member, then stays until it is one no more.
async fn take_part(start: Start, raft: RaftNode, peers: Arc<Peers>) {
    let is_member = *start.joined.lock().expect("nothing panics while holding it");
    if !is_member {
        become_member(&start, &raft, &peers).await;
    }
    until_expelled(raft).await;
    *start.over.lock().expect("nothing panics while holding it") = true;
}

async fn become_member(start: &Start, raft: &RaftNode, peers: &Peers) {
    let own = addr(start.place);
    if let Some(others) = &start.found {
        raft.initialize(Member { node_id: node_id(start.place), addr: own.clone() }).await.expect("a group of one");
        let store = raft.store();
        store.leadership().wait_for(Leadership::is_own).await.expect("consensus");
        if store.state().cluster().is_none() {
            let batch = Batch { by: Actor::Operator, guards: vec![], changes: first_objects(start.place, start.raft_id, &own, others) };
            store.propose(batch).await.expect("the cluster is stored");
        }
    } else {
        let request = JoinRequest { node_id: node_id(start.place), raft_id: start.raft_id, addr: own };
        let mut ask = start.join.clone();
        loop {
            let first = ask.remove(0);
            match peers.call::<_, String>(&first, "/raft/join", &request).await {
                Ok(_) => break,
                Err(PeerError::Status { leader: Some(leader), .. }) => ask.insert(0, leader),
                Err(_) => {}
            }
            ask.push(first);
            tokio::time::sleep(JOIN_RETRY).await;
        }
    }
    raft.until_member().await.expect("consensus");
    *start.joined.lock().expect("nothing panics while holding it") = true;
}

/// Ends when this member is one no more, as the daemon finds it out.
async fn until_expelled(raft: RaftNode) {
    tokio::select! {
        () = raft.forgotten() => {}
        expelled = raft.expelled() => expelled.expect("consensus"),
    }
}

fn first_objects(founder: usize, raft_id: u64, addr: &str, others: &[(usize, Role)]) -> Vec<Change> {
    let now = Timestamp::from_system(SystemTime::now());
    let api = Swarm {
        id: cluster_id(),
        version: Version::default(),
        created_at: now,
        updated_at: now,
        spec: api::with_cluster_defaults(SwarmSpec::default()),
        tls_info: TlsInfo::default(),
        root_rotation_in_progress: false,
        data_path_port: 4789,
        default_addr_pool: vec![],
        subnet_size: 24,
        join_tokens: None,
    };
    let cluster = Cluster { api, ca_key: String::new(), removed_nodes: BTreeMap::new() };
    let first = ca::first_node(node_id(founder), raft_id, addr, Availability::Active, now);
    let mut changes = vec![Change::create(Object::Cluster(Arc::new(cluster))), Change::create(Object::Node(Arc::new(first)))];
    for (place, role) in others {
        let mut node: Node = ca::first_node(node_id(*place), 0, "", Availability::Active, now);
        (node.raft_id, node.manager_addr, node.role, node.api.spec.role) = (None, None, *role, *role);
        changes.push(Change::create(Object::Node(Arc::new(node))));
    }
    changes
}

/// A call of a client on the host of a manager; `None` if there was no answer.
pub(crate) async fn call(
    port: &Port,
    to: &str,
    method: &str,
    path: &str,
    body: Option<serde_json::Value>,
) -> Option<(u16, serde_json::Value)> {
    let bytes = body.map_or_else(Vec::new, |b| b.to_string().into_bytes());
    let request =
        Request::builder().method(method).uri(path).header("content-type", "application/json").body(Body::from(bytes)).expect("a request");
    let response = port.send_one(to, request).await.ok()?;
    let status = response.status().as_u16();
    let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.ok()?;
    Some((status, serde_json::from_slice(&bytes).unwrap_or(serde_json::Value::Null)))
}
