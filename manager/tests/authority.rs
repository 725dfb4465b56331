//! Walks the whole table of port 2377 with every kind of certificate, over real TLS.

use axum::body::Body;
use http::{Method, Request, StatusCode};
use openraft::{
    CommittedLeaderId, LogId, Vote,
    error::{Infallible, RaftError},
    raft::{VoteRequest, VoteResponse},
};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, RwLock},
    time::{Duration, SystemTime},
};
use swarm_manager::{
    api, ca,
    dispatcher::{Dispatcher, Timing},
    dispatcher_routes::DispatcherRoutes,
    links::Links,
    peer::{PeerError, Peers},
    raft::{Member, RaftNode, Tuning, membership::Membership, routes::RaftRoutes},
    server::{self, Rooms},
    store::Leadership,
};
use swarm_pki::{Allow, Credentials, LiveIdentity, NodeKey, NodeSubject, RootCa};
use swarm_state::{Batch, Change, Cluster, Object};
use swarm_types::{Actor, ClusterId, JoinTokens, NodeId, Swarm, SwarmSpec, Timestamp, TlsInfo, Version};

const DAY: Duration = Duration::from_secs(24 * 3600);

struct World {
    addr: SocketAddr,
    root: RootCa,
    cluster_id: ClusterId,
    routes: Vec<(&'static str, Allow)>,
    _dir: tempfile::TempDir,
}

fn id(n: u8) -> NodeId {
    NodeId::from_random([n; 16])
}

fn credentials(ca: &RootCa, node: NodeId, role: swarm_pki::Role, cluster: ClusterId, issued: SystemTime) -> Credentials {
    let key = NodeKey::generate().expect("a key");
    let subject = NodeSubject { node_id: node.as_str(), role, cluster_id: cluster.as_str() };
    let chain = ca.sign_csr(&key.csr_pem().expect("a request"), subject, DAY, issued).expect("signs");
    Credentials::new(&chain, key).expect("a pair")
}

async fn world() -> World {
    let dir = tempfile::tempdir().expect("a folder");
    let now = SystemTime::now();
    let root = RootCa::create(now).expect("a root");
    let cluster_id = ClusterId::from_random([7; 16]);
    let own = credentials(&root, id(1), swarm_pki::Role::Manager, cluster_id, now);
    let live = Arc::new(LiveIdentity::new(own));
    let peers = Arc::new(Peers::new(Arc::new(swarm_pki::client_config(Arc::clone(&live), root.roots()))));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("an address");
    let keys = swarm_raftlog::Keys::open(dir.path(), None).expect("keys");
    let node = RaftNode::open(dir.path(), &keys, 1, Arc::clone(&peers), &Tuning::default()).await.expect("consensus");
    node.initialize(Member { node_id: id(1), addr: addr.to_string() }).await.expect("a group");
    let store = node.store();
    store.leadership().wait_for(Leadership::is_own).await.expect("leads");
    let at = Timestamp::from_system(now);
    let removed_nodes = BTreeMap::from([(id(9), at.after(DAY))]);
    let cluster = Cluster { api: swarm(cluster_id, &root, at), ca_key: root.key_pem().to_string(), removed_nodes };
    let change = Change::create(Object::Cluster(Arc::new(cluster)));
    store.propose(Batch { by: Actor::Operator, guards: vec![], changes: vec![change] }).await.expect("recorded");
    let membership = Membership::new(node.clone());
    let links = Arc::new(Links::new(store.clone(), Arc::clone(&peers), id(1), membership.clone()));
    let dispatcher = Dispatcher::start(store.clone(), Arc::clone(&links) as Arc<_>, Timing::default());
    links.set_dispatcher(dispatcher.clone());
    let rooms = Rooms {
        raft: RaftRoutes { node, membership, node_id: id(1) },
        ca: ca::Authority { store: store.clone(), peers },
        dispatcher: DispatcherRoutes { dispatcher },
        api: api::router(api::Context::new(store.clone(), links as Arc<_>, id(1), swarm_manager::events::EventLog::default())),
        store,
        cluster_id: cluster_id.to_string(),
        node_id: id(1),
    };
    let tls = Arc::new(RwLock::new(Arc::new(swarm_pki::server_config(live, root.roots()))));
    tokio::spawn(server::serve(listener, tls, server::router(&rooms)));
    World { addr, root, cluster_id, routes: server::authority(&rooms), _dir: dir }
}

fn swarm(id: ClusterId, root: &RootCa, at: Timestamp) -> Swarm {
    Swarm {
        id,
        version: Version::default(),
        created_at: at,
        updated_at: at,
        spec: SwarmSpec::default(),
        tls_info: TlsInfo { trust_root: root.cert_pem().to_owned(), ..TlsInfo::default() },
        root_rotation_in_progress: false,
        data_path_port: 4789,
        default_addr_pool: vec![],
        subnet_size: 24,
        join_tokens: Some(JoinTokens { worker: "w".into(), manager: "m".into() }),
    }
}

/// Who knocks, by certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Caller {
    None,
    Worker,
    Manager,
    RemovedWorker,
    RemovedManager,
    OtherClusterSameRoot,
    Foreign,
    Expired,
}

const CALLERS: [Caller; 8] = [
    Caller::None,
    Caller::Worker,
    Caller::Manager,
    Caller::RemovedWorker,
    Caller::RemovedManager,
    Caller::OtherClusterSameRoot,
    Caller::Foreign,
    Caller::Expired,
];

impl Caller {
    fn peers(self, world: &World) -> Peers {
        use swarm_pki::Role::{Manager, Worker};
        let now = SystemTime::now();
        let (root, cluster) = (&world.root, world.cluster_id);
        let made = match self {
            Self::None => return Peers::new(Arc::new(swarm_pki::client_config_ca(root.roots()))),
            Self::Worker => credentials(root, id(2), Worker, cluster, now),
            Self::Manager => credentials(root, id(3), Manager, cluster, now),
            Self::RemovedWorker => credentials(root, id(9), Worker, cluster, now),
            Self::RemovedManager => credentials(root, id(9), Manager, cluster, now),
            Self::OtherClusterSameRoot => credentials(root, id(4), Manager, ClusterId::from_random([8; 16]), now),
            Self::Foreign => credentials(&RootCa::create(now).expect("a root"), id(5), Manager, cluster, now),
            Self::Expired => credentials(root, id(6), Manager, cluster, now - DAY * 3),
        };
        Peers::new(Arc::new(swarm_pki::client_config(Arc::new(LiveIdentity::new(made)), root.roots())))
    }

    /// Whether the handshake itself must fail.
    fn is_no_peer(self) -> bool {
        matches!(self, Self::Foreign | Self::Expired)
    }

    fn may(self, allow: Allow) -> bool {
        match allow {
            Allow::Anyone => true,
            Allow::Node => matches!(self, Self::Worker | Self::Manager),
            Allow::ManagerOnly => self == Self::Manager,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_answers_exactly_those_it_is_for() {
    let world = world().await;
    assert!(world.routes.len() > 10, "the table is walked whole: {:?}", world.routes);
    for caller in CALLERS {
        let peers = caller.peers(&world);
        for (path, allow) in &world.routes {
            let method = if *path == "/ca/root" { Method::GET } else { Method::POST };
            // A body that no route takes, so that being let in is all that is seen.
            let target = if *path == server::FORWARD_PREFIX { "/forward/no-such-thing" } else { path };
            let request = Request::builder().method(method).uri(target).body(Body::from("\u{1}?")).expect("a request");
            let answer = tokio::time::timeout(Duration::from_secs(20), peers.send(&world.addr.to_string(), request)).await;
            match answer.unwrap_or_else(|_| panic!("{caller:?} at {path}: no answer")) {
                Err(PeerError::Dial { .. } | PeerError::Http { .. }) => {
                    assert!(caller.is_no_peer(), "{caller:?} was not connected for {path}");
                }
                Err(other) => panic!("{caller:?} at {path}: {other}"),
                Ok(answer) => {
                    assert!(!caller.is_no_peer(), "{caller:?} must not get through TLS");
                    let refused = answer.status() == StatusCode::FORBIDDEN;
                    assert_eq!(refused, !caller.may(*allow), "{caller:?} at {path} ({allow:?}): {}", answer.status());
                }
            }
        }
    }
}

/// A node that came back under a new id answers where its former self did. It must not vote in that one's name.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_for_a_former_member_is_refused() {
    let world = world().await;
    let peers = Caller::Manager.peers(&world);
    let addr = world.addr.to_string();
    let last = LogId::new(CommittedLeaderId::new(8, 3), 1_000_000);
    let request = VoteRequest { vote: Vote::new(9, 3), last_log_id: Some(last) };
    type Answer = Result<VoteResponse<u64>, RaftError<u64, Infallible>>;
    let to_former = peers.call::<_, Answer>(&addr, "/raft/vote?to=77", &request).await;
    match to_former.expect_err("the member is another one") {
        PeerError::Status { status: StatusCode::GONE, message, .. } => {
            assert_eq!(message, "member 77 is not here; this is member 1");
        }
        other => panic!("{other}"),
    }
    for path in ["/raft/append?to=77", "/raft/snapshot?to=77"] {
        let request = Request::post(path).body(Body::from(rmp_serde::to_vec_named(&()).expect("encodes"))).expect("a request");
        let answer = peers.send(&addr, request).await.expect("answers");
        let wanted = if path.starts_with("/raft/append") { StatusCode::BAD_REQUEST } else { StatusCode::GONE };
        assert_eq!(answer.status(), wanted, "{path}: what cannot be read is refused first");
    }
    let unnamed = peers.call::<_, Answer>(&addr, "/raft/vote", &request).await;
    assert!(matches!(unnamed, Err(PeerError::Status { status: StatusCode::BAD_REQUEST, .. })), "a message must name its member");
    let to_self = peers.call::<_, Answer>(&addr, "/raft/vote?to=1", &request).await;
    let answer = to_self.expect("answers").expect("consensus runs");
    assert!(answer.vote.leader_id.term <= 9, "it was asked: {answer:?}");
}
