//! HTTP/2 over TLS to a manager's cluster port.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    body::{Body, Incoming},
    client::conn::http2,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use serde::{Serialize, de::DeserializeOwned};
use std::{error::Error, io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

/// How long TCP and TLS may each take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a manager may take for a short call. It may have to ask the leader and wait for a commit.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);

/// Between two signs of life asked of a manager, and how long one may be missing. A host that vanished without a word is
/// found within their sum, which is shorter than the grace managers give an agent.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(3);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(4);

/// Bytes of a short answer at most: certificates and lists of managers are far smaller.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// A call to a manager failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No TCP connection.
    #[error("dial tcp {addr}: {}", dial_text(.cause))]
    Connect {
        /// Where.
        addr: String,
        /// What the system said; in the message, which reads as Docker's.
        cause: io::Error,
    },
    /// No TLS session: not a manager, not this cluster's, or one side's certificate is refused.
    #[error("TLS with {addr} failed: {cause}")]
    Tls {
        /// Where.
        addr: String,
        /// What TLS said; in the message.
        cause: io::Error,
    },
    /// The connection broke, or the other side does not speak HTTP/2.
    #[error("the call to {addr} broke: {}", innermost(.cause))]
    Broken {
        /// Where.
        addr: String,
        /// What happened; its innermost source is in the message.
        cause: hyper::Error,
    },
    /// No answer in time.
    #[error("{addr} did not answer in time")]
    Timeout {
        /// Where.
        addr: String,
    },
    /// The manager refuses.
    #[error("{message}")]
    Refused {
        /// Why, in HTTP's terms.
        status: StatusCode,
        /// Why, for people.
        message: String,
    },
    /// The manager's answer cannot be read.
    #[error("{addr} sent an answer that cannot be read: {what}")]
    Answer {
        /// Where.
        addr: String,
        /// What is wrong with it.
        what: String,
    },
}

/// Go's words for the system's, which Docker's users know.
fn dial_text(cause: &io::Error) -> String {
    if cause.kind() == io::ErrorKind::TimedOut {
        return "i/o timeout".to_owned();
    }
    let text = cause.to_string();
    let words = text.split(" (os error").next().unwrap_or(&text);
    if cause.raw_os_error().is_some() { format!("connect: {}", words.to_lowercase()) } else { words.to_owned() }
}

fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// An open connection to a manager.
pub(crate) struct ClusterPort<B> {
    sender: http2::SendRequest<B>,
    addr: String,
    local: SocketAddr,
}

impl<B> ClusterPort<B>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    /// Connects to `addr` (`HOST:PORT`). The connection's driver is spawned and ends with the connection.
    pub(crate) async fn connect(addr: &str, config: ClientConfig, name: ServerName<'static>) -> Result<Self, CallError> {
        let connect = |cause| CallError::Connect { addr: addr.to_owned(), cause };
        let late = |_| Err(io::Error::from(io::ErrorKind::TimedOut));
        let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect(addr)).await.unwrap_or_else(late).map_err(connect)?;
        stream.set_nodelay(true).map_err(connect)?;
        let local = stream.local_addr().map_err(connect)?;
        let handshake = TlsConnector::from(Arc::new(config)).connect(name, stream);
        let tls = timeout(CONNECT_TIMEOUT, handshake)
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(|cause| CallError::Tls { addr: addr.to_owned(), cause })?;
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .handshake(TokioIo::new(tls))
            .await
            .map_err(|cause| CallError::Broken { addr: addr.to_owned(), cause })?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                // Whoever uses the connection gets the error too.
                tracing::debug!(%error, "connection to a manager broke");
            }
        });
        Ok(Self { sender, addr: addr.to_owned(), local })
    }

    /// This host's address on the way to the manager.
    pub(crate) fn local(&self) -> SocketAddr {
        self.local
    }

    /// Sends a request; a refusal becomes [`CallError::Refused`].
    pub(crate) async fn send(&mut self, method: Method, path: &str, content_type: &str, body: B) -> Result<Response<Incoming>, CallError> {
        let request = Request::builder()
            .method(method)
            .uri(format!("https://swarm-manager{path}"))
            .header(header::CONTENT_TYPE, content_type)
            .body(body)
            .expect("paths and content types are constants");
        let response = self.sender.send_request(request).await.map_err(|cause| self.broken(cause))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let body = self.collect(response).await?;
        Err(CallError::Refused { status, message: refusal_text(status, &body) })
    }

    async fn collect(&self, response: Response<Incoming>) -> Result<Bytes, CallError> {
        let collected = timeout(CALL_TIMEOUT, Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect()).await;
        match collected.map_err(|_| CallError::Timeout { addr: self.addr.clone() })? {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) => match error.downcast::<hyper::Error>() {
                Ok(cause) => Err(self.broken(*cause)),
                Err(other) => Err(CallError::Answer { addr: self.addr.clone(), what: other.to_string() }),
            },
        }
    }

    fn broken(&self, cause: hyper::Error) -> CallError {
        CallError::Broken { addr: self.addr.clone(), cause }
    }
}

impl ClusterPort<Full<Bytes>> {
    /// A short call: a JSON value or nothing out, text in.
    pub(crate) async fn call<T: Serialize>(&mut self, method: Method, path: &str, request: Option<&T>) -> Result<Bytes, CallError> {
        let body = match request {
            Some(value) => serde_json::to_vec(value).expect("requests of this crate are plain JSON"),
            None => Vec::new(),
        };
        let addr = self.addr.clone();
        let called = async {
            let response = self.send(method, path, "application/json", Full::from(body)).await?;
            self.collect(response).await
        };
        timeout(CALL_TIMEOUT, called).await.map_err(|_| CallError::Timeout { addr })?
    }

    /// A short call with JSON both ways.
    pub(crate) async fn call_json<T: Serialize, R: DeserializeOwned>(&mut self, path: &str, request: &T) -> Result<R, CallError> {
        let body = self.call(Method::POST, path, Some(request)).await?;
        serde_json::from_slice(&body).map_err(|error| CallError::Answer { addr: self.addr.clone(), what: error.to_string() })
    }

    /// A short call among managers: MessagePack out, nothing of interest in.
    pub(crate) async fn call_msgpack<T: Serialize>(&mut self, path: &str, request: &T) -> Result<(), CallError> {
        let body = rmp_serde::to_vec_named(request).expect("requests of this crate are plain values");
        let addr = self.addr.clone();
        let called = self.send(Method::POST, path, "application/msgpack", Full::from(body));
        timeout(CALL_TIMEOUT, called).await.map_err(|_| CallError::Timeout { addr })?.map(|_| ())
    }
}

/// The `message` of an error answer, or the answer itself when it is of another kind.
fn refusal_text(status: StatusCode, body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Refusal {
        message: String,
    }
    match serde_json::from_slice::<Refusal>(body) {
        Ok(refusal) => refusal.message,
        Err(_) if body.is_empty() => status.to_string(),
        Err(_) => String::from_utf8_lossy(body).trim().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_keep_the_managers_words() {
        assert_eq!(refusal_text(StatusCode::FORBIDDEN, br#"{"message":"no"}"#), "no");
        assert_eq!(refusal_text(StatusCode::FORBIDDEN, b"plain\n"), "plain");
        assert_eq!(refusal_text(StatusCode::FORBIDDEN, b""), "403 Forbidden");
    }

    #[test]
    fn connection_failures_read_as_gos() {
        let refused = io::Error::from_raw_os_error(111);
        assert_eq!(dial_text(&refused), "connect: connection refused");
        assert_eq!(dial_text(&io::ErrorKind::TimedOut.into()), "i/o timeout");
    }
}
