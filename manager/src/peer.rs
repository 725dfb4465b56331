//! HTTP/2 over mutual TLS to other managers: one connection per address, shared by every room.

use axum::body::Body;
use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture, future::Shared};
use http::{Request, Response, Uri};
use http_body_util::BodyExt;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use serde::{Serialize, de::DeserializeOwned};
use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, RwLock},
    time::{Duration, Instant},
};
use tokio::{net::TcpStream, sync::watch};
use tokio_rustls::TlsConnector;

/// A dial takes no longer, or the peer counts as unreachable. A silent host costs this once per attempt.
pub const DIAL_TIMEOUT: Duration = Duration::from_millis(1000);
/// A host that takes longer than this to take or refuse a connection has not answered this time.
const HOST_ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// Bytes of an answer that is read whole at most.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// A connection without traffic is probed this often, so that a dead peer is noticed between calls.
const PING_EVERY: Duration = Duration::from_secs(2);
/// A probe without an answer for this long ends the connection.
const PING_TIMEOUT: Duration = Duration::from_secs(3);

/// An answer that arrived before its connection ended is given out within this time.
const ENDED_GRACE: Duration = Duration::from_millis(500);

/// Why a call to another manager failed.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// No connection could be made.
    #[error("could not connect to {addr}")]
    Dial {
        /// The peer.
        addr: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The connection ended, or HTTP failed on it.
    #[error("connection to {addr} failed")]
    Http {
        /// The peer.
        addr: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The peer answered with an error status and this message.
    #[error("{addr} answered {status}: {message}")]
    Status {
        /// The peer.
        addr: String,
        /// HTTP status.
        status: http::StatusCode,
        /// The message in its body.
        message: String,
        /// Who leads, if the peer says that another manager should be asked.
        leader: Option<String>,
    },
    /// The request or the answer could not be written or read.
    #[error("could not encode or decode a message of {addr}")]
    Codec {
        /// The peer.
        addr: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl PeerError {
    /// Whether the peer was not reached at all, so that nothing can have happened there.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Dial { .. })
    }
}

/// A connection, made or being made. Dialling goes on when those who wait for it give up: Raft's calls have less patience
/// than a handshake on a busy machine takes.
type Connection = Shared<BoxFuture<'static, Result<Link, Arc<std::io::Error>>>>;

/// A connection that was made.
#[derive(Clone)]
struct Link {
    sender: SendRequest<Body>,
    /// Its sender is dropped with the task that drives the connection.
    ended: watch::Receiver<()>,
}

impl Link {
    /// Ends some time after the connection has, when an answer that had arrived has been given out.
    async fn over(&mut self) {
        // Nothing is ever sent, so this waits for the sender to go.
        while self.ended.changed().await.is_ok() {}
        tokio::time::sleep(ENDED_GRACE).await;
    }
}

/// When each address was last heard from or last failed; tells reachability.
type Heard = Arc<Mutex<HashMap<String, (Instant, bool)>>>;

/// Carries a request to a manager and brings its answer. Where the room ends: HTTP/2 over TLS in the daemon, a made-up
/// network in the simulation.
pub trait Transport: Send + Sync {
    /// Sends a request whose URI is a path; the answer's body streams. Error statuses are answers.
    fn send<'a>(&'a self, addr: &'a str, request: Request<Body>) -> BoxFuture<'a, Result<Response<Body>, PeerError>>;

    /// Whether the host takes or refuses a connection. A system that runs does, even when its manager was killed or stands still.
    fn host_answers<'a>(&'a self, addr: &'a str) -> BoxFuture<'a, bool>;
}

/// Calls to other managers.
pub struct Peers {
    transport: Arc<dyn Transport>,
    /// The transport again, where it is the real one.
    connections: Option<Arc<Connections>>,
    heard: Heard,
}

/// Connections to other managers, made when needed and again when broken.
struct Connections {
    tls: RwLock<Arc<ClientConfig>>,
    open: Mutex<HashMap<String, Connection>>,
    heard: Heard,
}

impl Peers {
    /// No connections yet. `tls` presents this manager's certificate.
    #[must_use]
    pub fn new(tls: Arc<ClientConfig>) -> Self {
        let heard = Heard::default();
        let connections = Arc::new(Connections { tls: RwLock::new(tls), open: Mutex::default(), heard: Arc::clone(&heard) });
        Self { transport: Arc::clone(&connections) as Arc<_>, connections: Some(connections), heard }
    }

    /// Calls over another transport, which then says who the caller is.
    #[must_use]
    pub fn over(transport: Arc<dyn Transport>) -> Self {
        Self { transport, connections: None, heard: Heard::default() }
    }

    /// Uses other roots from the next connection on.
    pub fn set_tls(&self, tls: Arc<ClientConfig>) {
        if let Some(connections) = &self.connections {
            *connections.tls.write().expect("nothing panics while holding it") = tls;
            connections.open.lock().expect("nothing panics while holding it").clear();
        }
    }

    /// Whether the address answered last time; `None` before the first call.
    #[must_use]
    pub fn answered(&self, addr: &str) -> Option<bool> {
        self.heard.lock().expect("nothing panics while holding it").get(addr).map(|(_, ok)| *ok)
    }

    /// Sends a request; the answer's body streams. The request's URI is a path.
    ///
    /// # Errors
    /// [`PeerError::Dial`] or [`PeerError::Http`]. Error statuses are answers here.
    pub async fn send(&self, addr: &str, request: Request<Body>) -> Result<Response<Body>, PeerError> {
        let result = self.transport.send(addr, request).await;
        note(&self.heard, addr, result.is_ok());
        result
    }

    /// Whether the host at this address takes or refuses a connection; `false` when it does neither for some seconds.
    pub async fn host_answers(&self, addr: &str) -> bool {
        self.transport.host_answers(addr).await
    }

    /// Posts a MessagePack value and reads one back.
    ///
    /// # Errors
    /// [`PeerError`]
    pub async fn call<Q: Serialize, A: DeserializeOwned>(&self, addr: &str, path: &str, message: &Q) -> Result<A, PeerError> {
        let codec = |source: Box<dyn std::error::Error + Send + Sync>| PeerError::Codec { addr: addr.to_owned(), source };
        let body = rmp_serde::to_vec_named(message).map_err(|e| codec(Box::new(e)))?;
        let request = Request::post(path)
            .header(http::header::CONTENT_TYPE, "application/msgpack")
            .body(Body::from(body))
            .map_err(|e| codec(Box::new(e)))?;
        let response = self.send(addr, request).await?;
        let leader = response.headers().get(crate::server::LEADER_HEADER).and_then(|l| l.to_str().ok()).map(str::to_owned);
        let (status, bytes) = self.read_whole(addr, response).await?;
        if !status.is_success() {
            return Err(PeerError::Status { addr: addr.to_owned(), status, message: message_of(&bytes), leader });
        }
        rmp_serde::from_slice(&bytes).map_err(|e| codec(Box::new(e)))
    }

    async fn read_whole(&self, addr: &str, response: Response<Body>) -> Result<(http::StatusCode, Bytes), PeerError> {
        let status = response.status();
        let limited = http_body_util::Limited::new(response.into_body(), ANSWER_BYTES_MAX);
        let body = limited.collect().await.map_err(|source| PeerError::Http { addr: addr.to_owned(), source })?;
        Ok((status, body.to_bytes()))
    }
}

impl Transport for Connections {
    fn send<'a>(&'a self, addr: &'a str, request: Request<Body>) -> BoxFuture<'a, Result<Response<Body>, PeerError>> {
        Box::pin(self.send_on_connection(addr, request))
    }

    fn host_answers<'a>(&'a self, addr: &'a str) -> BoxFuture<'a, bool> {
        Box::pin(host_answers(addr))
    }
}

impl Connections {
    async fn send_on_connection(&self, addr: &str, mut request: Request<Body>) -> Result<Response<Body>, PeerError> {
        let path = request.uri().path_and_query().map_or("/", |p| p.as_str());
        let uri = format!("https://{addr}{path}");
        *request.uri_mut() = uri.parse::<Uri>().map_err(|e| PeerError::Codec { addr: addr.to_owned(), source: Box::new(e) })?;
        let mut is_retry = false;
        loop {
            let mut link = self.connection(addr).await?;
            let sent = link.sender.try_send_request(request);
            // A request that is handed over in the very moment in which the connection ends stays in hyper's queue for as long as
            // there are senders, unread and unanswered, and one is kept here. Seen with peers that refuse our certificate,
            // which a client learns only after its side of the handshake.
            let sent = tokio::select! {
                biased;
                sent = sent => sent,
                () = link.over() => {
                    let source = std::io::Error::from(std::io::ErrorKind::ConnectionAborted);
                    return Err(PeerError::Http { addr: addr.to_owned(), source: Box::new(source) });
                }
            };
            let mut error = match sent {
                Ok(response) => return Ok(response.map(Body::new)),
                Err(error) => error,
            };
            // Given back, it never left: the connection had ended, as after a restart of the peer.
            match error.take_message() {
                Some(unsent) if !is_retry => request = unsent,
                Some(_) => {
                    let source = std::io::Error::new(std::io::ErrorKind::ConnectionAborted, error.into_error());
                    return Err(PeerError::Dial { addr: addr.to_owned(), source });
                }
                None => return Err(PeerError::Http { addr: addr.to_owned(), source: Box::new(error.into_error()) }),
            }
            is_retry = true;
        }
    }

    /// The shared connection, or a new one. Only one dial per address runs at a time.
    async fn connection(&self, addr: &str) -> Result<Link, PeerError> {
        let connection = {
            let mut connections = self.open.lock().expect("nothing panics while holding it");
            let usable = connections.get(addr).filter(|c| match c.peek() {
                None => true,
                Some(Ok(link)) => !link.sender.is_closed() && link.ended.has_changed().is_ok(),
                Some(Err(_)) => false,
            });
            match usable {
                Some(connection) => connection.clone(),
                None => {
                    let connection = self.dialling(addr);
                    tokio::spawn(connection.clone());
                    connections.insert(addr.to_owned(), connection.clone());
                    connection
                }
            }
        };
        connection.await.map_err(|e| PeerError::Dial { addr: addr.to_owned(), source: std::io::Error::new(e.kind(), e) })
    }

    fn dialling(&self, addr: &str) -> Connection {
        let tls = Arc::clone(&self.tls.read().expect("nothing panics while holding it"));
        let (addr, heard) = (addr.to_owned(), Arc::clone(&self.heard));
        let dialling = async move {
            let dialled = tokio::time::timeout(DIAL_TIMEOUT, dial(&addr, tls)).await;
            let dialled = dialled.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()));
            // Noted here, because those who wait may have given up.
            note(&heard, &addr, dialled.is_ok());
            dialled.map_err(Arc::new)
        };
        dialling.boxed().shared()
    }
}

async fn host_answers(addr: &str) -> bool {
    match tokio::time::timeout(HOST_ANSWER_TIMEOUT, TcpStream::connect(addr)).await {
        Ok(Ok(_)) => true,
        // A refusal and the like come from the host itself; these come from the network before it.
        Ok(Err(error)) => !matches!(
            error.kind(),
            io::ErrorKind::TimedOut | io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable | io::ErrorKind::NetworkDown
        ),
        Err(_) => false,
    }
}

fn note(heard: &Heard, addr: &str, answered: bool) {
    heard.lock().expect("nothing panics while holding it").insert(addr.to_owned(), (Instant::now(), answered));
}

async fn dial(addr: &str, tls: Arc<ClientConfig>) -> std::io::Result<Link> {
    let tcp = TcpStream::connect(addr).await?;
    tcp.set_nodelay(true)?;
    let stream = TlsConnector::from(tls).connect(swarm_pki::manager_server_name(), tcp).await?;
    let (sender, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIMEOUT)
        .keep_alive_while_idle(true)
        .adaptive_window(true)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(std::io::Error::other)?;
    let addr = addr.to_owned();
    let (driven, ended) = watch::channel(());
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%addr, %error, "connection to a manager ended");
        }
        drop(driven);
    });
    Ok(Link { sender, ended })
}

/// The text of an error answer: the `message` of a JSON body, else the body itself.
fn message_of(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Message {
        message: String,
    }
    match serde_json::from_slice::<Message>(body) {
        Ok(m) => m.message,
        Err(_) => String::from_utf8_lossy(&body[..body.len().min(1000)]).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn a_host_answers_with_its_manager_and_without() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("an address").to_string();
        // Nobody accepts: a manager that stands still.
        assert!(host_answers(&addr).await);
        drop(listener);
        assert!(host_answers(&addr).await, "refused by the host itself");
    }
}
