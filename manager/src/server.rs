//! Port 2377: one port, mutual TLS, and one table that says who may call what.

use crate::{
    ca, dispatcher_routes,
    raft::routes::{self as raft_routes, RaftRoutes},
    store::Store,
};
use axum::{
    Extension, Router,
    body::Bytes,
    extract::{FromRequest, Request},
    middleware::Next,
    response::{IntoResponse, Response},
    routing::{MethodRouter, any, get, post},
};
use http::{HeaderValue, StatusCode, header};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use rustls::ServerConfig;
use serde::{Serialize, de::DeserializeOwned};
use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, RwLock},
    time::{Duration, SystemTime},
};
use swarm_pki::{Allow, Peer, permits};
use swarm_types::NodeId;
use tokio::{net::TcpListener, sync::Semaphore};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

/// Names the leader's address in an answer of a manager that does not lead.
pub const LEADER_HEADER: &str = "x-swarm-leader";
/// Bytes of a message that is read whole at most: a log entry of many batches stays far below.
const MESSAGE_BYTES_MAX: usize = 64 << 20;
/// A client that does not finish the TLS handshake by then is dropped.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Handshakes under way at a time; more wait in the accept queue.
const HANDSHAKES_MAX: usize = 256;
/// Handshakes under way from one address at a time; more are dropped, so that one host cannot take all of the above.
const HANDSHAKES_PER_HOST_MAX: usize = 64;
/// A connection without a certificate ends after this time: it is there for one or two short calls.
const ANONYMOUS_MAX: Duration = Duration::from_secs(60);
/// A silent connection is probed this often.
const PING_EVERY: Duration = Duration::from_secs(5);
/// A probe without an answer for this long ends the connection.
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// Where a connection comes from.
#[derive(Debug, Clone, Copy)]
pub struct PeerAddr(pub SocketAddr);

/// An error answer: a status, Docker's JSON with the message, and the leader where that helps.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct CallError {
    /// HTTP status.
    pub status: StatusCode,
    /// For people.
    pub message: String,
    /// Who leads, if the caller should ask there.
    pub leader: Option<String>,
}

impl CallError {
    /// Without a leader.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), leader: None }
    }
}

impl IntoResponse for CallError {
    fn into_response(self) -> Response {
        let mut response = (self.status, axum::Json(serde_json::json!({ "message": self.message }))).into_response();
        if let Some(leader) = self.leader.and_then(|l| HeaderValue::from_str(&l).ok()) {
            response.headers_mut().insert(LEADER_HEADER, leader);
        }
        response
    }
}

/// A MessagePack body, as request or answer.
pub struct Msgpack<T>(pub T);

impl<T: Serialize> IntoResponse for Msgpack<T> {
    fn into_response(self) -> Response {
        match rmp_serde::to_vec_named(&self.0) {
            Ok(bytes) => ([(header::CONTENT_TYPE, "application/msgpack")], bytes).into_response(),
            Err(error) => CallError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
        }
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Msgpack<T> {
    type Rejection = CallError;

    async fn from_request(request: Request, _state: &S) -> Result<Self, CallError> {
        let bad = |e: &dyn std::fmt::Display| CallError::new(StatusCode::BAD_REQUEST, e.to_string());
        let bytes: Bytes = axum::body::to_bytes(request.into_body(), MESSAGE_BYTES_MAX).await.map_err(|e| bad(&e))?;
        rmp_serde::from_slice(&bytes).map(Self).map_err(|e| bad(&e))
    }
}

/// What the routes need.
#[derive(Clone)]
pub struct Rooms {
    /// Consensus.
    pub raft: RaftRoutes,
    /// The certificate authority.
    pub ca: ca::Authority,
    /// Sessions of agents.
    pub dispatcher: dispatcher_routes::DispatcherRoutes,
    /// The Docker API, for requests that other managers forward.
    pub api: Router,
    /// The replicated state.
    pub store: Store,
    /// Own cluster: O of every certificate that may call.
    pub cluster_id: String,
    /// Own node.
    pub node_id: NodeId,
}

/// One route: its path, who may call it, and what answers.
struct Route {
    path: &'static str,
    allow: Allow,
    handler: MethodRouter,
}

fn table(rooms: &Rooms) -> Vec<Route> {
    let raft = rooms.raft.clone();
    let ca = rooms.ca.clone();
    let agents = rooms.dispatcher.clone();
    let route = |path, allow, handler| Route { path, allow, handler };
    vec![
        route("/ca/root", Allow::Anyone, get(ca::root).with_state(ca.clone())),
        route("/ca/issue", Allow::Anyone, post(ca::issue).with_state(ca.clone())),
        route("/ca/renew", Allow::Node, post(ca::renew).with_state(ca)),
        route("/session", Allow::Node, post(dispatcher_routes::session).with_state(agents.clone())),
        route("/networks/attach", Allow::Node, post(dispatcher_routes::attach).with_state(agents.clone())),
        route("/networks/detach", Allow::Node, post(dispatcher_routes::detach).with_state(agents.clone())),
        route("/leave", Allow::Node, post(dispatcher_routes::leave).with_state(agents.clone())),
        route("/dispatch/take", Allow::ManagerOnly, post(dispatcher_routes::take).with_state(agents.clone())),
        route("/dispatch/left", Allow::ManagerOnly, post(dispatcher_routes::left).with_state(agents)),
        route("/raft/append", Allow::ManagerOnly, post(raft_routes::append).with_state(raft.clone())),
        route("/raft/vote", Allow::ManagerOnly, post(raft_routes::vote).with_state(raft.clone())),
        route("/raft/snapshot", Allow::ManagerOnly, post(raft_routes::snapshot).with_state(raft.clone())),
        route("/raft/read-index", Allow::ManagerOnly, post(raft_routes::read_index).with_state(raft.clone())),
        route("/raft/hello", Allow::ManagerOnly, post(raft_routes::hello).with_state(raft.clone())),
        route("/raft/is-member", Allow::ManagerOnly, post(raft_routes::is_member).with_state(raft.clone())),
        route("/raft/taken-out", Allow::ManagerOnly, post(raft_routes::taken_out).with_state(raft.clone())),
        route("/raft/join", Allow::ManagerOnly, post(raft_routes::join).with_state(raft.clone())),
        route("/raft/leave", Allow::ManagerOnly, post(raft_routes::leave).with_state(raft)),
    ]
}

/// Prefix of Docker API requests that another manager forwards. For managers only, like every route not in the table.
pub const FORWARD_PREFIX: &str = "/forward";

/// Path and right of every route, for the test that walks the authority table. `/forward` stands for all paths below it.
#[must_use]
pub fn authority(rooms: &Rooms) -> Vec<(&'static str, Allow)> {
    let routes = table(rooms).into_iter().map(|r| (r.path, r.allow));
    routes.chain([(FORWARD_PREFIX, Allow::ManagerOnly)]).collect()
}

/// The whole port as one router. Requests must carry [`Peer`] and [`PeerAddr`] extensions.
pub fn router(rooms: &Rooms) -> Router {
    let mut router = Router::new();
    for Route { path, allow, handler } in table(rooms) {
        let rooms = rooms.clone();
        let check = axum::middleware::from_fn(move |peer: Extension<Peer>, request: Request, next: Next| {
            let rooms = rooms.clone();
            async move { checked(&rooms, allow, &peer.0, request, next).await }
        });
        router = router.route(path, handler.layer(check));
    }
    let guarded = rooms.clone();
    let check = axum::middleware::from_fn(move |peer: Extension<Peer>, request: Request, next: Next| {
        let rooms = guarded.clone();
        async move { checked(&rooms, Allow::ManagerOnly, &peer.0, request, next).await }
    });
    // A route of its own and not a nested router: the check must come before any answer, "not found" included.
    let api = rooms.api.clone();
    let forwarded = any(move |request: Request| forwarded(api.clone(), request));
    router.route(&format!("{FORWARD_PREFIX}/{{*path}}"), forwarded.layer(check))
}

/// Hands a request that another manager forwarded to the API, under the path its client used.
async fn forwarded(api: Router, mut request: Request) -> Response {
    let path = request.uri().path_and_query().map_or("/", |p| p.as_str());
    match path.strip_prefix(FORWARD_PREFIX).unwrap_or(path).parse() {
        Ok(uri) => *request.uri_mut() = uri,
        Err(error) => return CallError::new(StatusCode::BAD_REQUEST, format!("bad path: {error}")).into_response(),
    }
    request.extensions_mut().insert(crate::api::Forwarded);
    match api.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

async fn checked(rooms: &Rooms, allow: Allow, peer: &Peer, request: Request, next: Next) -> Response {
    // A certificate that ended while its connection lived on is as good as none.
    let ended = peer.identity().is_some_and(|i| !i.is_valid_at(SystemTime::now()));
    if ended && allow != Allow::Anyone {
        return CallError::new(StatusCode::FORBIDDEN, "Permission denied: the certificate has expired").into_response();
    }
    let state = rooms.store.state();
    let removed = |id: &str| {
        let id = NodeId::parse(id).ok();
        id.is_some_and(|id| state.cluster().is_some_and(|c| c.removed_nodes.contains_key(&id)))
    };
    match permits(allow, peer, &rooms.cluster_id, removed) {
        Ok(()) => next.run(request).await,
        Err(denied) => CallError::new(StatusCode::FORBIDDEN, denied.to_string()).into_response(),
    }
}

/// The TLS settings of new connections; replaced when roots or certificate change.
pub type LiveTls = Arc<RwLock<Arc<ServerConfig>>>;

/// Accepts connections until the listener's task is dropped.
pub async fn serve(listener: TcpListener, tls: LiveTls, router: Router) {
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    let hosts = Hosts::default();
    loop {
        let (tcp, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors or memory: accepting at once again would spin.
                tracing::warn!(%error, "could not accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Some(turn) = hosts.enter(from.ip()) else {
            tracing::debug!(%from, "dropped a connection: too many handshakes of this host are under way");
            continue;
        };
        let Ok(permit) = Arc::clone(&handshakes).acquire_owned().await else { return };
        let acceptor = TlsAcceptor::from(Arc::clone(&tls.read().expect("nothing panics while holding it")));
        let router = router.clone();
        tokio::spawn(async move {
            if let Err(error) = tcp.set_nodelay(true) {
                tracing::debug!(%from, %error, "could not set TCP_NODELAY");
            }
            let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(tcp)).await;
            drop((permit, turn));
            let stream = match handshake {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => return tracing::debug!(%from, %error, "TLS handshake failed"),
                Err(_) => return tracing::debug!(%from, "TLS handshake took too long"),
            };
            let peer = match Peer::from_chain(stream.get_ref().1.peer_certificates()) {
                Ok(peer) => peer,
                Err(error) => return tracing::warn!(%from, %error, "refused a certificate that is not a node's"),
            };
            let time = if peer.identity().is_some() { None } else { Some(ANONYMOUS_MAX) };
            let service = router.layer(Extension(peer)).layer(Extension(PeerAddr(from)));
            let service = TowerToHyperService::new(service.into_service::<hyper::body::Incoming>());
            let mut server = auto::Builder::new(TokioExecutor::new());
            server
                .http2()
                .timer(TokioTimer::new())
                .keep_alive_interval(PING_EVERY)
                .keep_alive_timeout(PING_TIMEOUT)
                .adaptive_window(true)
                .max_concurrent_streams(1024);
            server.http1().timer(TokioTimer::new());
            let served = server.serve_connection(TokioIo::new(stream), service);
            let served = match time {
                None => served.await,
                Some(time) => match tokio::time::timeout(time, served).await {
                    Ok(served) => served,
                    Err(_) => return tracing::debug!(%from, "ended a connection without a certificate"),
                },
            };
            if let Err(error) = served {
                tracing::debug!(%from, %error, "connection ended");
            }
        });
    }
}

/// Handshakes under way by address.
#[derive(Clone, Default)]
struct Hosts(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// A handshake under way; counted until it is dropped.
struct Turn(Hosts, IpAddr);

impl Hosts {
    fn enter(&self, host: IpAddr) -> Option<Turn> {
        let mut hosts = self.0.lock().expect("nothing panics while holding it");
        let count = hosts.entry(host).or_default();
        if *count >= HANDSHAKES_PER_HOST_MAX {
            return None;
        }
        *count += 1;
        Some(Turn(self.clone(), host))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut hosts = self.0.0.lock().expect("nothing panics while holding it");
        if let Some(count) = hosts.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                hosts.remove(&self.1);
            }
        }
    }
}
