//! A stand-in for the managers of a cluster: real certificates, tokens, TLS and frames, and no state.

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Frame, Incoming},
    server::conn::http2,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};
use swarm_pki::{Credentials, JoinToken, LiveIdentity, NodeKey, NodeSubject, Peer, Role, RootCa};
use swarm_session::{FrameDecoder, FromAgent, FromManager, Generation, NodeOrders, encode};
use swarm_types::{ClusterId, NodeId, RemoteManager, SessionId, TaskDefaults};
use tokio::{net::TcpListener, sync::mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Life of the certificates it issues.
pub(crate) const VALIDITY: Duration = Duration::from_secs(90 * 86_400);

/// A cluster with one manager.
pub(crate) struct FakeCluster {
    pub(crate) addr: SocketAddr,
    pub(crate) shared: Arc<Shared>,
    sessions: mpsc::UnboundedReceiver<SessionPeer>,
    stop: CancellationToken,
}

/// What the cluster is, and what it was asked.
pub(crate) struct Shared {
    pub(crate) ca: RootCa,
    pub(crate) cluster_id: ClusterId,
    pub(crate) manager_id: NodeId,
    pub(crate) worker_token: JoinToken,
    pub(crate) manager_token: JoinToken,
    /// Role that renewals give.
    pub(crate) renew_as: Mutex<Role>,
    /// Answers certificate requests with this refusal, if there is one.
    pub(crate) refusal: Mutex<Option<(StatusCode, String)>>,
    asked: Mutex<Vec<String>>,
    new_sessions: mpsc::UnboundedSender<SessionPeer>,
}

/// The manager's end of a session.
pub(crate) struct SessionPeer {
    pub(crate) said: mpsc::UnboundedReceiver<FromAgent>,
    outgoing: mpsc::Sender<Result<Frame<Bytes>, Infallible>>,
}

impl SessionPeer {
    pub(crate) async fn say(&self, message: &FromManager) {
        let frame = encode(message).expect("encodes");
        drop(self.outgoing.send(Ok(Frame::data(frame))).await);
    }

    pub(crate) async fn hear(&mut self) -> FromAgent {
        super::soon("a message of the agent", self.said.recv()).await.expect("the session is open")
    }

    pub(crate) async fn welcome(&mut self) {
        let hello = self.hear().await;
        assert!(matches!(hello, FromAgent::Hello(_)), "{hello:?}");
        let session_id = SessionId::from_random([5; 16]);
        self.say(&FromManager::Welcome { session_id, heartbeat_period: 1_000_000_000 }).await;
    }
}

pub(crate) fn random() -> [u8; 16] {
    swarm_pki::random_bytes().expect("randomness")
}

impl FakeCluster {
    /// Serves on a free port of the loopback until dropped.
    pub(crate) async fn start() -> Self {
        let ca = RootCa::create(SystemTime::now()).expect("a root");
        let manager_id = NodeId::from_random(random());
        Self::with(ca, ClusterId::from_random(random()), manager_id, "127.0.0.1:0").await
    }

    pub(crate) async fn with(ca: RootCa, cluster_id: ClusterId, manager_id: NodeId, listen: &str) -> Self {
        let digest = ca.roots().digest();
        let (new_sessions, sessions) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            cluster_id,
            manager_id,
            worker_token: JoinToken::generate(digest).expect("randomness"),
            manager_token: JoinToken::generate(digest).expect("randomness"),
            renew_as: Mutex::new(Role::Worker),
            refusal: Mutex::new(None),
            asked: Mutex::default(),
            new_sessions,
            ca,
        });
        let key = NodeKey::generate().expect("a key");
        let chain = shared.sign(&key.csr_pem().expect("a request"), manager_id, Role::Manager);
        let identity = LiveIdentity::new(Credentials::new(&chain, key).expect("credentials"));
        let config = swarm_pki::server_config(Arc::new(identity), shared.ca.roots());
        let listener = TcpListener::bind(listen).await.expect("binds");
        let addr = listener.local_addr().expect("is bound");
        let stop = CancellationToken::new();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        tokio::spawn(stop.clone().run_until_cancelled_owned(accept(listener, acceptor, Arc::clone(&shared), addr, stop.clone())));
        Self { addr, shared, sessions, stop }
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.shared.asked()
    }

    /// The next session that an agent opens.
    pub(crate) async fn session(&mut self) -> SessionPeer {
        super::soon("a session", self.sessions.recv()).await.expect("the cluster runs")
    }

    /// As [`FakeCluster::session`], for tests that expect none.
    pub(crate) async fn session_or_never(&mut self) -> Option<SessionPeer> {
        self.sessions.recv().await
    }

    pub(crate) fn remote(&self) -> RemoteManager {
        RemoteManager { node_id: self.shared.manager_id, addr: self.addr.to_string() }
    }

    /// Accepts every session and gives orders with this role, as long as the cluster lives.
    pub(crate) async fn be_polite(mut self, role: swarm_types::Role) {
        while let Some(mut peer) = self.sessions.recv().await {
            let orders = self.orders(1, role);
            tokio::spawn(async move {
                peer.welcome().await;
                peer.say(&FromManager::Node(orders)).await;
                while let Some(message) = peer.said.recv().await {
                    if let FromAgent::Statuses { seq, .. } = message {
                        peer.say(&FromManager::StatusesTaken { seq }).await;
                    }
                }
            });
        }
    }

    pub(crate) fn orders(&self, generation: u64, role: swarm_types::Role) -> NodeOrders {
        NodeOrders {
            generation: Generation(generation),
            role,
            managers: vec![self.remote()],
            root_ca: self.shared.ca.cert_pem().to_owned(),
            task_defaults: TaskDefaults::default(),
        }
    }
}

impl Drop for FakeCluster {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, shared: Arc<Shared>, addr: SocketAddr, stop: CancellationToken) {
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, shared) = (acceptor.clone(), Arc::clone(&shared));
        tokio::spawn(stop.clone().run_until_cancelled_owned(async move {
            let Ok(tls) = acceptor.accept(stream).await else {
                return;
            };
            let chain = tls.get_ref().1.peer_certificates().map(<[_]>::to_vec);
            let peer = Peer::from_chain(chain.as_deref()).expect("a node's certificate or none");
            let service = service_fn(move |request| {
                let (shared, peer) = (Arc::clone(&shared), peer.clone());
                async move { Ok::<_, Infallible>(shared.answer(request, &peer, addr).await) }
            });
            drop(http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(tls), service).await);
        }));
    }
}

fn reply(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Full::new(body.into()).boxed_unsync());
    *response.status_mut() = status;
    response
}

impl Shared {
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("not poisoned").clone()
    }

    fn sign(&self, csr: &str, node: NodeId, role: Role) -> String {
        let subject = NodeSubject { node_id: node.as_str(), role, cluster_id: self.cluster_id.as_str() };
        self.ca.sign_csr(csr, subject, VALIDITY, SystemTime::now()).expect("signs")
    }

    async fn answer(&self, request: Request<Incoming>, peer: &Peer, addr: SocketAddr) -> Response<Body> {
        let path = request.uri().path().to_owned();
        let who = peer.identity().map_or("nobody".to_owned(), |identity| format!("{} {}", identity.role, identity.node_id));
        self.asked.lock().expect("not poisoned").push(format!("{} {path} by {who}", request.method()));
        match path.as_str() {
            "/ca/root" => reply(StatusCode::OK, self.ca.cert_pem().to_owned()),
            "/ca/issue" => self.issue(request, addr).await,
            "/ca/renew" => self.renew(request, peer).await,
            "/session" => self.session(request),
            "/leave" => reply(StatusCode::OK, ""),
            _ => reply(StatusCode::NOT_FOUND, r#"{"message":"no such route"}"#),
        }
    }

    fn refused(&self) -> Option<Response<Body>> {
        let (status, message) = self.refusal.lock().expect("not poisoned").clone()?;
        Some(reply(status, serde_json::json!({ "message": message }).to_string()))
    }

    async fn issue(&self, request: Request<Incoming>, addr: SocketAddr) -> Response<Body> {
        if let Some(refusal) = self.refused() {
            return refusal;
        }
        let body = request.collect().await.expect("a body").to_bytes();
        let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        let token: JoinToken = body["token"].as_str().expect("a token").parse().expect("a token");
        let role = match () {
            () if token.matches(&self.worker_token) => Role::Worker,
            () if token.matches(&self.manager_token) => Role::Manager,
            () => {
                let text = "rpc error: code = InvalidArgument desc = A valid join token is necessary to join this cluster";
                return reply(StatusCode::BAD_REQUEST, serde_json::json!({ "message": text }).to_string());
            }
        };
        let node_id = NodeId::from_random(random());
        let certificate = self.sign(body["csr"].as_str().expect("a request"), node_id, role);
        let answer = serde_json::json!({
            "node_id": node_id, "cluster_id": self.cluster_id, "role": role.to_string(), "certificate": certificate,
            "root_ca": self.ca.cert_pem(), "managers": [{"NodeID": self.manager_id, "Addr": addr.to_string()}],
        });
        reply(StatusCode::OK, answer.to_string())
    }

    async fn renew(&self, request: Request<Incoming>, peer: &Peer) -> Response<Body> {
        if let Some(refusal) = self.refused() {
            return refusal;
        }
        let Some(identity) = peer.identity() else {
            return reply(StatusCode::FORBIDDEN, "");
        };
        let body = request.collect().await.expect("a body").to_bytes();
        let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        let role = *self.renew_as.lock().expect("not poisoned");
        let node_id = NodeId::parse(&identity.node_id).expect("an id");
        let certificate = self.sign(body["csr"].as_str().expect("a request"), node_id, role);
        let answer = serde_json::json!({
            "role": role.to_string(), "certificate": certificate, "root_ca": self.ca.cert_pem(),
        });
        reply(StatusCode::OK, answer.to_string())
    }

    fn session(&self, request: Request<Incoming>) -> Response<Body> {
        if let Some(refusal) = self.refused() {
            return refusal;
        }
        let (outgoing, queue) = mpsc::channel(16);
        let (heard, said) = mpsc::unbounded_channel();
        let mut body = request.into_body();
        tokio::spawn(async move {
            let mut decoder = FrameDecoder::default();
            while let Some(Ok(frame)) = body.frame().await {
                decoder.extend(frame.data_ref().map_or(&[], |data| &data[..]));
                while let Some(message) = decoder.next_value().expect("frames") {
                    drop(heard.send(message));
                }
            }
        });
        drop(self.new_sessions.send(SessionPeer { said, outgoing }));
        Response::new(StreamBody::new(ReceiverStream::new(queue)).boxed_unsync())
    }
}
