//! An agent of the world: the product's own session and worker, over an engine and a network of the world.

use crate::{
    engine::Engine,
    manager::{identity, node_id},
    net::Port,
};
use axum::body::Body;
use bytes::Bytes;
use futures_util::{StreamExt, future::BoxFuture};
use http::{Request, StatusCode};
use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};
use swarm_agent::{
    executor::{ContainerId, Executor},
    session::{Dial, Opened, Session, SessionState, machine::End},
    worker::{WorkerConfig, WorkerHandle},
};
use swarm_session::{Generation, NodeOrders};
use swarm_types::{NodeDescription, Platform, RemoteManager, Resources};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

/// What a node says that it has: little enough that services fill it.
pub(crate) const NANO_CPUS: i64 = 4_000_000_000;
const MEMORY_BYTES: i64 = 16 << 30;
/// Pieces on their way out at most, as on a real connection.
const SEND_QUEUE: usize = 16;

/// What an agent has on its disk.
#[derive(Debug, Clone, Default)]
pub(crate) struct Record {
    pub(crate) managers: Vec<RemoteManager>,
    pub(crate) orders: Generation,
}

/// What the world can look at while the agent runs.
#[derive(Clone)]
pub(crate) struct Seen {
    pub(crate) orders: watch::Receiver<Option<NodeOrders>>,
    pub(crate) session: watch::Receiver<SessionState>,
    pub(crate) worker: WorkerHandle,
}

/// How an agent begins.
#[derive(Clone)]
pub(crate) struct Start {
    pub(crate) place: usize,
    pub(crate) port: Port,
    pub(crate) engine: Engine,
    pub(crate) record: Arc<Mutex<Record>>,
    /// The address of the manager on the same host, while there is one.
    pub(crate) own: watch::Receiver<Vec<String>>,
    pub(crate) seen: Arc<Mutex<Option<Seen>>>,
    /// Whether it stops a container when it loses its session.
    pub(crate) is_nervous: bool,
}

/// Runs until the process is killed.
pub(crate) async fn run(start: Start) {
    let hostname = format!("node-{}", start.place);
    let config = WorkerConfig {
        dir: None,
        node_id: node_id(start.place),
        hostname: hostname.clone(),
        prefer_offline_images: true,
        networks: Arc::default(),
    };
    let worker = WorkerHandle::open(config, Arc::new(start.engine.clone())).await.expect("a worker without records opens");
    let description = NodeDescription {
        hostname,
        platform: Platform { architecture: "x86_64".into(), os: "linux".into() },
        resources: Resources { nano_cpus: NANO_CPUS, memory_bytes: MEMORY_BYTES, ..Resources::default() },
        ..NodeDescription::default()
    };
    let record = start.record.lock().expect("nothing panics while holding it").clone();
    let (managers, managers_seen) = watch::channel(record.managers);
    let (_description, description_seen) = watch::channel(Some(description));
    let orders = Arc::new(watch::Sender::new(None));
    let state = Arc::new(watch::Sender::new(SessionState::default()));
    let seen = Seen { orders: orders.subscribe(), session: state.subscribe(), worker: worker.clone() };
    *start.seen.lock().expect("nothing panics while holding it") = Some(seen.clone());
    let session = Session {
        node_id: node_id(start.place),
        data_path_addr: None,
        in_place: None,
        tasks: worker,
        dial: Arc::new(Way(start.port)),
        managers: managers_seen,
        own: start.own,
        description: description_seen,
        orders,
        orders_known: record.orders,
        state,
        stop: CancellationToken::new(),
    };
    if start.is_nervous {
        tokio::spawn(be_nervous(seen.session, start.engine));
    }
    tokio::join!(session.run(), keep_record(seen.orders, managers, &start.record));
}

/// Knows the managers that the orders name, also after a restart.
async fn keep_record(mut orders: watch::Receiver<Option<NodeOrders>>, managers: watch::Sender<Vec<RemoteManager>>, record: &Mutex<Record>) {
    while orders.changed().await.is_ok() {
        let Some(orders) = orders.borrow_and_update().clone() else { continue };
        let mut record = record.lock().expect("nothing panics while holding it");
        record.orders = orders.generation;
        if !orders.managers.is_empty() {
            record.managers.clone_from(&orders.managers);
            managers.send_if_modified(|known| {
                let is_other = *known != orders.managers;
                known.clone_from(&orders.managers);
                is_other
            });
        }
    }
}

/// The fault of [`crate::bug::Bug::NervousAgent`].
async fn be_nervous(mut session: watch::Receiver<SessionState>, engine: Engine) {
    while session.wait_for(|s| s.manager.is_some()).await.is_ok() && session.wait_for(|s| s.manager.is_none()).await.is_ok() {
        if let Some(task) = engine.running().first() {
            engine.stop(&ContainerId::new(task.as_str()), Duration::ZERO).await.expect("it stops");
        }
    }
}

struct Way(Port);

impl Dial for Way {
    fn open<'a>(&'a self, addr: &'a str, first: Bytes) -> BoxFuture<'a, Result<Opened, End>> {
        Box::pin(async move {
            let (outgoing, queue) = mpsc::channel(SEND_QUEUE);
            outgoing.try_send(first).expect("the queue is new");
            let body = Body::from_stream(ReceiverStream::new(queue).map(Ok::<_, io::Error>));
            let request = Request::post("/session").body(body).expect("a request");
            let response = self.0.send_one(addr, request).await.map_err(|error| End::Elsewhere(error.to_string()))?;
            if response.status() == StatusCode::FORBIDDEN {
                return Err(End::Removed);
            }
            let incoming = response.into_body().into_data_stream().map(|piece| piece.map_err(|error| error.to_string()));
            Ok(Opened { outgoing, incoming: incoming.boxed() })
        })
    }
}

/// The port of the agent at a place.
pub(crate) fn port(net: &crate::net::Net, place: usize) -> Port {
    let peer = swarm_pki::Peer::Worker(identity(place, swarm_pki::Role::Worker));
    Port { net: net.clone(), own: crate::manager::host(place), peer }
}
