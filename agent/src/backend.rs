//! HTTP/1.1 to the two servers on this machine: dockerd, and the local manager's private socket.

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::{
    body::{Body, Incoming},
    client::conn::http1,
};
use hyper_util::rt::TokioIo;
use std::{
    error::Error,
    fmt, io,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    time::timeout,
};

/// How long a TCP connection may take to come about; a unix socket answers at once or never.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Where a server is reached or serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// `unix://PATH`.
    Unix(PathBuf),
    /// `tcp://HOST:PORT`, held as `HOST:PORT`.
    Tcp(String),
}

/// The text is not an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEndpoint {
    /// Neither unix nor tcp.
    #[error("expected unix://PATH or tcp://IP:PORT")]
    Scheme,
    /// The path is not absolute.
    #[error("the path of a unix socket must be absolute")]
    Path,
    /// The part after `tcp://` is not `HOST[:PORT]`.
    #[error("expected IP:PORT after tcp://")]
    Authority,
}

impl Endpoint {
    /// Reads `unix://PATH` or `tcp://HOST[:PORT]`; an empty host is every address of this machine.
    ///
    /// # Errors
    /// [`InvalidEndpoint`] on any other text.
    pub fn parse(text: &str, default_port: u16) -> Result<Self, InvalidEndpoint> {
        if let Some(path) = text.strip_prefix("unix://") {
            let path = Path::new(path);
            return if path.is_absolute() { Ok(Self::Unix(path.to_owned())) } else { Err(InvalidEndpoint::Path) };
        }
        let authority = text.strip_prefix("tcp://").ok_or(InvalidEndpoint::Scheme)?.trim_end_matches('/');
        let (host, port) = split_authority(authority).ok_or(InvalidEndpoint::Authority)?;
        let host = if host.is_empty() { "0.0.0.0" } else { host };
        Ok(Self::Tcp(format!("{host}:{}", port.unwrap_or(default_port))))
    }
}

/// `HOST`, `HOST:PORT`, `[IPV6]` or `[IPV6]:PORT`; the brackets stay.
fn split_authority(authority: &str) -> Option<(&str, Option<u16>)> {
    if authority.contains(['/', '@', '?', '#', ' ']) {
        return None;
    }
    let host_end = if authority.starts_with('[') { authority.find(']')? + 1 } else { authority.find(':').unwrap_or(authority.len()) };
    let (host, port) = authority.split_at(host_end);
    match port.strip_prefix(':') {
        Some(port) => Some((host, Some(port.parse().ok()?))),
        None if port.is_empty() => Some((host, None)),
        None => None,
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(authority) => write!(f, "tcp://{authority}"),
        }
    }
}

/// A server on this machine did not answer as HTTP.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BackendError {
    /// No connection.
    #[error("could not connect to {endpoint}")]
    Connect {
        endpoint: Endpoint,
        #[source]
        source: io::Error,
    },
    /// The connection broke, or what came is not HTTP.
    #[error("the connection to {endpoint} broke")]
    Broken {
        endpoint: Endpoint,
        #[source]
        source: hyper::Error,
    },
    /// The answer did not come in time.
    #[error("{endpoint} did not answer within {} ms", .after.as_millis())]
    Timeout { endpoint: Endpoint, after: Duration },
    /// The answer is longer than asked for.
    #[error("the answer of {endpoint} is longer than {bytes_max} bytes")]
    TooLong { endpoint: Endpoint, bytes_max: usize },
}

/// A byte stream to a server.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A fresh connection. Its driver is spawned on the current runtime and ends with the connection; `on_end` runs then.
pub(crate) async fn open<B>(endpoint: &Endpoint, on_end: impl FnOnce() + Send + 'static) -> Result<http1::SendRequest<B>, BackendError>
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let connect = |source| BackendError::Connect { endpoint: endpoint.clone(), source };
    let stream: Box<dyn Stream> = match endpoint {
        Endpoint::Unix(path) => Box::new(UnixStream::connect(path).await.map_err(connect)?),
        Endpoint::Tcp(authority) => {
            let connected = timeout(CONNECT_TIMEOUT, TcpStream::connect(authority)).await;
            Box::new(connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(connect)?)
        }
    };
    let (sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|source| BackendError::Broken { endpoint: endpoint.clone(), source })?;
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            // Whoever waits for the answer or its body gets the error too.
            tracing::trace!(%error, "connection to a local server broke");
        }
        on_end();
    });
    Ok(sender)
}

/// Sends one request on a connection of its own.
pub(crate) async fn send<B>(endpoint: &Endpoint, request: Request<B>) -> Result<Response<Incoming>, BackendError>
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let mut sender = open(endpoint, || ()).await?;
    sender.send_request(request).await.map_err(|source| BackendError::Broken { endpoint: endpoint.clone(), source })
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Asks without a body and takes the whole answer.
pub(crate) async fn ask(
    endpoint: &Endpoint,
    method: Method,
    path: &str,
    within: Duration,
    bytes_max: usize,
) -> Result<Answer, BackendError> {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "localhost")
        .body(Full::<Bytes>::default())
        .expect("callers give paths that are URIs");
    let asked = async {
        let response = send(endpoint, request).await?;
        collect(endpoint, response, bytes_max).await
    };
    let late = |_| BackendError::Timeout { endpoint: endpoint.clone(), after: within };
    timeout(within, asked).await.map_err(late)?
}

/// The whole of an answer that is coming in.
pub(crate) async fn collect(endpoint: &Endpoint, response: Response<Incoming>, bytes_max: usize) -> Result<Answer, BackendError> {
    let (head, body) = response.into_parts();
    match Limited::new(body, bytes_max).collect().await {
        Ok(body) => Ok(Answer { status: head.status, headers: head.headers, body: body.to_bytes() }),
        Err(error) => match error.downcast::<hyper::Error>() {
            Ok(source) => Err(BackendError::Broken { endpoint: endpoint.clone(), source: *source }),
            Err(other) => {
                debug_assert!(other.is::<LengthLimitError>(), "a limited body breaks or is too long");
                Err(BackendError::TooLong { endpoint: endpoint.clone(), bytes_max })
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read_as_dockerd_reads_hosts() {
        let read = |text| Endpoint::parse(text, 2375).map(|e| e.to_string());
        assert_eq!(read("unix:///run/x.sock").as_deref(), Ok("unix:///run/x.sock"));
        assert_eq!(read("tcp://1.2.3.4:99").as_deref(), Ok("tcp://1.2.3.4:99"));
        assert_eq!(read("tcp://1.2.3.4").as_deref(), Ok("tcp://1.2.3.4:2375"));
        assert_eq!(read("tcp://").as_deref(), Ok("tcp://0.0.0.0:2375"));
        assert_eq!(read("tcp://:99/").as_deref(), Ok("tcp://0.0.0.0:99"));
        assert_eq!(read("tcp://[::1]:99").as_deref(), Ok("tcp://[::1]:99"));
        assert_eq!(read("tcp://[::1]").as_deref(), Ok("tcp://[::1]:2375"));
        assert_eq!(read("unix://run/x"), Err(InvalidEndpoint::Path));
        assert_eq!(read("/run/x"), Err(InvalidEndpoint::Scheme));
        for bad in ["tcp://a:b", "tcp://a:99999", "tcp://::1:99", "tcp://[::1", "tcp://a/b", "tcp://[::1]99"] {
            assert_eq!(read(bad), Err(InvalidEndpoint::Authority), "{bad}");
        }
    }
}
