//! A gateway with stand-ins on all sides.

use super::{engine::FakeEngine, raw::call};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use std::{
    convert::Infallible,
    path::PathBuf,
    sync::{Arc, Mutex},
};
use swarm_agent::{
    Endpoint,
    gateway::{Engine, Gateway, Listener},
    membership::{InitError, JoinError, LeaveError, ManagerStatus, Membership, NodeView, Pending},
};
use swarm_types::{InitRequest, JoinRequest, NodeId};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// A node whose view the test sets.
#[derive(Default)]
pub(crate) struct FakeNode {
    pub(crate) view: Mutex<NodeView>,
    pub(crate) status: Mutex<Option<ManagerStatus>>,
    pub(crate) calls: Mutex<Vec<String>>,
}

impl FakeNode {
    pub(crate) fn set(&self, view: NodeView) {
        *self.view.lock().expect("not poisoned") = view;
    }

    pub(crate) fn called(&self, call: String) {
        self.calls.lock().expect("not poisoned").push(call);
    }
}

impl Membership for FakeNode {
    fn view(&self) -> NodeView {
        self.view.lock().expect("not poisoned").clone()
    }
    fn manager_status(&self) -> Pending<'_, Option<ManagerStatus>> {
        let status = self.status.lock().expect("not poisoned").clone();
        Box::pin(async { status })
    }
    fn init(&self, request: InitRequest) -> Pending<'_, Result<NodeId, InitError>> {
        self.called(format!("init {}", request.listen_addr));
        Box::pin(async { Ok(NodeId::from_random([1; 16])) })
    }
    fn join(&self, request: JoinRequest) -> Pending<'_, Result<(), JoinError>> {
        self.called(format!("join {}", request.remote_addrs.join(",")));
        Box::pin(async { Err(JoinError::Timeout) })
    }
    fn leave(&self, force: bool) -> Pending<'_, Result<(), LeaveError>> {
        self.called(format!("leave {force}"));
        Box::pin(async { Err(LeaveError::NoSwarm) })
    }
}

pub(crate) struct Bench {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) socket: PathBuf,
    pub(crate) node: Arc<FakeNode>,
    pub(crate) engine: Arc<Engine>,
    pub(crate) gateway: Gateway,
    pub(crate) stop: CancellationToken,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let socket = dir.path().join("swarm.sock");
        let node = Arc::new(FakeNode::default());
        let engine = Engine::new(Endpoint::Unix(dir.path().join("docker.sock")));
        let gateway = Gateway::new(Arc::clone(&engine), Arc::clone(&node) as Arc<dyn Membership>, dir.path().join("manager.sock"));
        let listener = Listener::bind(&Endpoint::Unix(socket.clone()), None).await.expect("binds");
        let stop = CancellationToken::new();
        tokio::spawn(listener.serve(gateway.clone(), stop.clone()));
        Self { dir, socket, node, engine, gateway, stop }
    }

    pub(crate) fn start_engine(&self, version: &'static str, api: &'static str, min_api: &'static str) -> FakeEngine {
        FakeEngine::start(&self.dir.path().join("docker.sock"), version, api, min_api)
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        let (head, body) = call(&self.socket, "GET", path, "").await;
        (head.status, body)
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> (u16, String) {
        let (head, body) = call(&self.socket, "POST", path, body).await;
        (head.status, body)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A manager that tells what it was asked.
pub(crate) fn fake_manager(bench: &Bench) -> Arc<Mutex<Vec<String>>> {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let listener = tokio::net::UnixListener::bind(bench.dir.path().join("manager.sock")).expect("binds");
    let log = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let log = Arc::clone(&log);
            tokio::spawn(async move {
                let service = service_fn(|request: Request<Incoming>| {
                    let log = Arc::clone(&log);
                    async move { Ok::<_, Infallible>(managers_answer(request, &log).await) }
                });
                drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
            });
        }
    });
    asked
}

/// A manager that counts connections and calls, until it is stopped. It answers `/tasks/hold` once four of those wait, and ends
/// the connection on `/services/break`.
pub(crate) struct CountingManager {
    counts: Arc<Mutex<(usize, usize)>>,
    stop: CancellationToken,
    connections: TaskTracker,
    path: PathBuf,
}

impl CountingManager {
    pub(crate) fn start(bench: &Bench) -> Self {
        let path = bench.dir.path().join("manager.sock");
        let listener = tokio::net::UnixListener::bind(&path).expect("binds");
        let manager = Self { counts: Arc::default(), stop: CancellationToken::new(), connections: TaskTracker::new(), path };
        let (counts, stop, connections) = (Arc::clone(&manager.counts), manager.stop.clone(), manager.connections.clone());
        let held = Arc::new(tokio::sync::Barrier::new(4));
        let accept = async move {
            while let Ok((stream, _)) = listener.accept().await {
                counts.lock().expect("not poisoned").0 += 1;
                let (counts, held) = (Arc::clone(&counts), Arc::clone(&held));
                let serve = async move {
                    let service = service_fn(|request: Request<Incoming>| {
                        counts.lock().expect("not poisoned").1 += 1;
                        let held = Arc::clone(&held);
                        async move {
                            match request.uri().path() {
                                "/services/break" => return Err(std::io::Error::other("breaks")),
                                "/tasks/hold" => drop(held.wait().await),
                                _ => drop(request.into_body().collect().await),
                            }
                            let mut response = Response::new(Full::<bytes::Bytes>::from("[]"));
                            *response.status_mut() = StatusCode::CREATED;
                            Ok(response)
                        }
                    });
                    drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
                };
                connections.spawn(stop.clone().run_until_cancelled_owned(serve));
            }
        };
        manager.connections.spawn(manager.stop.clone().run_until_cancelled_owned(accept));
        manager
    }

    /// Connections and calls so far.
    pub(crate) fn counts(&self) -> (usize, usize) {
        *self.counts.lock().expect("not poisoned")
    }

    /// Ends it with its connections.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.connections.close();
        self.connections.wait().await;
        std::fs::remove_file(&self.path).expect("was bound");
    }
}

pub(crate) async fn managers_answer(request: Request<Incoming>, log: &Mutex<Vec<String>>) -> Response<Full<bytes::Bytes>> {
    let header = |name: &str| request.headers().get(name).and_then(|v| v.to_str().ok()).unwrap_or("-").to_owned();
    let (version, auth) = (header("x-swarm-api-version"), header("x-registry-auth"));
    let line = format!("{} {} {version} {auth}", request.method(), request.uri());
    let length = request.into_body().collect().await.map_or(0, |body| body.to_bytes().len());
    log.lock().expect("not poisoned").push(format!("{line} {length}"));
    let mut response = Response::new(Full::from("[]"));
    *response.status_mut() = StatusCode::CREATED;
    response
}
