//! The client itself: version negotiation and the exchange of one request and answer.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue, USER_AGENT};
use http::{HeaderMap, Method, Request, Uri};
use http_body_util::Full;
use hyper_util::client::legacy::connect::{Connected, Connection as PoolConnection};
use hyper_util::client::legacy::{self, Client as PoolClient};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::OnceCell;
use tower::util::BoxCloneSyncService;

use crate::connect::{Connection, dial, find_tls_error, tls_reason};
use crate::endpoint::Endpoint;
use crate::error::{ClientError, ConnectError};
use crate::request::RequestBuilder;
use crate::response::Response;
use crate::version::ApiVersion;

/// What a client does beyond connecting.
#[derive(Clone, Debug, Default)]
pub struct ClientOptions {
    /// Speak this version instead of negotiating one (`DOCKER_API_VERSION`).
    pub version: Option<ApiVersion>,
    /// Headers to send with every request, such as those of `config.json`.
    pub headers: Vec<(String, String)>,
    /// What to call ourselves; `swarm/<version>` if `None`.
    pub user_agent: Option<String>,
}

/// A client of one endpoint. Clones share its connections.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    endpoint: Endpoint,
    headers: HeaderMap,
    pinned: Option<ApiVersion>,
    negotiated: OnceCell<ApiVersion>,
    pool: PoolClient<Connector, Full<Bytes>>,
}

type Connector = BoxCloneSyncService<Uri, PoolIo, ConnectError>;

/// What a daemon says about itself in answer to `/_ping`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ping {
    /// The newest API version it speaks.
    pub api_version: Option<ApiVersion>,
    /// Its operating system.
    pub os_type: String,
    /// Whether its experimental features are on.
    pub experimental: bool,
    /// Its part in the swarm: `inactive`, `pending`, `error`, `locked`, `active/manager` or
    /// `active/worker`; empty if it does not say.
    pub swarm: String,
}

impl Client {
    /// A client of `endpoint`. It connects with the first request.
    pub fn new(endpoint: Endpoint) -> Client {
        Client::with_options(endpoint, ClientOptions::default())
    }

    /// A client of `endpoint` with `options`. Headers that HTTP does not allow are left out, as
    /// docker does.
    pub fn with_options(endpoint: Endpoint, options: ClientOptions) -> Client {
        let target = endpoint.clone();
        let connector = tower::service_fn(move |_: Uri| {
            let target = target.clone();
            async move { dial(&target).await.map(|connection| PoolIo(TokioIo::new(connection))) }
        });
        let mut headers: HeaderMap = options
            .headers
            .iter()
            .filter_map(|(name, value)| {
                let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
                Some((name, HeaderValue::from_str(value).ok()?))
            })
            .collect();
        let user_agent = options
            .user_agent
            .and_then(|name| HeaderValue::from_str(&name).ok())
            .unwrap_or(HeaderValue::from_static(concat!("swarm/", env!("CARGO_PKG_VERSION"))));
        headers.insert(USER_AGENT, user_agent);
        let pool = PoolClient::builder(TokioExecutor::new()).build(BoxCloneSyncService::new(connector));
        Client { inner: Arc::new(Inner { endpoint, headers, pinned: options.version, negotiated: OnceCell::new(), pool }) }
    }

    /// The endpoint.
    pub fn endpoint(&self) -> &Endpoint {
        &self.inner.endpoint
    }

    /// The API version in use: the newest that both sides know. Asks the daemon once.
    ///
    /// # Errors
    /// [`ClientError`] when the daemon cannot be asked; the next call asks again.
    pub async fn version(&self) -> Result<ApiVersion, ClientError> {
        if let Some(pinned) = self.inner.pinned {
            return Ok(pinned);
        }
        let negotiated = self.inner.negotiated.get_or_try_init(|| async {
            let theirs = self.ping().await?.api_version.unwrap_or(ApiVersion::OLDEST);
            Ok::<_, ClientError>(theirs.min(ApiVersion::NEWEST))
        });
        negotiated.await.copied()
    }

    /// Asks the daemon about itself.
    ///
    /// # Errors
    /// [`ClientError`]; a daemon that answers with an error still counts as an answer.
    pub async fn ping(&self) -> Result<Ping, ClientError> {
        let ping = |method| self.exchange(method, "/_ping", HeaderMap::new(), Bytes::new());
        let head = ping(Method::HEAD).await?;
        if head.status().is_success() {
            return Ok(Ping::of(head.headers()));
        }
        // A proxy in between may not let HEAD through.
        Ok(Ping::of(ping(Method::GET).await?.headers()))
    }

    /// A request to build and send.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        RequestBuilder::new(self.clone(), method, path)
    }

    /// A GET request. `path` starts with a slash and has no API version.
    pub fn get(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    /// A POST request.
    pub fn post(&self, path: &str) -> RequestBuilder {
        self.request(Method::POST, path)
    }

    /// A PUT request.
    pub fn put(&self, path: &str) -> RequestBuilder {
        self.request(Method::PUT, path)
    }

    /// A DELETE request.
    pub fn delete(&self, path: &str) -> RequestBuilder {
        self.request(Method::DELETE, path)
    }

    /// A connection of its own to the daemon, for whoever speaks HTTP himself (`dial-stdio`).
    ///
    /// # Errors
    /// [`ConnectError`]
    pub async fn dial(&self) -> Result<Connection, ConnectError> {
        dial(&self.inner.endpoint).await
    }

    /// Sends a request to `path` and waits for the head of the answer.
    pub(crate) async fn exchange(&self, method: Method, path: &str, headers: HeaderMap, body: Bytes) -> Result<Response, ClientError> {
        let endpoint = &self.inner.endpoint;
        let url = format!("{}://{}{}{path}", endpoint.scheme(), endpoint.authority(), endpoint.base_path);
        let mut request = Request::builder().method(&method).uri(&url).body(Full::new(body))?;
        *request.headers_mut() = self.inner.headers.clone();
        // Ours come last: users cannot change what a request needs.
        request.headers_mut().extend(headers);
        let response = self.inner.pool.request(request).await;
        match response {
            Ok(response) => Ok(Response::new(response, url)),
            Err(error) => Err(self.broken(&method, url, &error)),
        }
    }

    fn broken(&self, method: &Method, url: String, error: &legacy::Error) -> ClientError {
        let source = std::error::Error::source(error);
        if let Some(error) = source.and_then(|source| source.downcast_ref::<ConnectError>()) {
            return error.clone().into();
        }
        let reason = match source {
            Some(source) => broken_reason(source, self.inner.endpoint.scheme()),
            None => error.to_string(),
        };
        ClientError::Broken { method: go_method(method), url, reason }
    }
}

/// What a broken exchange means, as Go would put it.
fn broken_reason(error: &(dyn std::error::Error + 'static), scheme: &str) -> String {
    if find_tls_error(error).is_some() {
        return tls_reason(error);
    }
    let http = error.downcast_ref::<hyper::Error>();
    if http.is_some_and(hyper::Error::is_parse) && scheme == "http" {
        return "malformed HTTP response.\n\
                * Are you trying to connect to a TLS-enabled daemon without TLS?"
            .into();
    }
    if http.is_some_and(hyper::Error::is_incomplete_message) {
        return "EOF".into();
    }
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    match deepest.downcast_ref::<io::Error>() {
        Some(io) if io.kind() == io::ErrorKind::UnexpectedEof => "EOF".into(),
        _ => deepest.to_string(),
    }
}

/// `GET` as Go's client writes it in errors: `Get`.
fn go_method(method: &Method) -> String {
    let name = method.as_str();
    let (first, rest) = name.split_at(1);
    format!("{first}{}", rest.to_ascii_lowercase())
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("endpoint", &self.inner.endpoint).finish_non_exhaustive()
    }
}

impl Ping {
    fn of(headers: &HeaderMap) -> Ping {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        Ping {
            api_version: text("Api-Version").and_then(|version| version.parse().ok()),
            os_type: text("Ostype").unwrap_or_default().into(),
            experimental: text("Docker-Experimental") == Some("true"),
            swarm: text("Swarm").unwrap_or_default().into(),
        }
    }
}

/// A connection in the form the pool wants.
struct PoolIo(TokioIo<Connection>);

impl PoolConnection for PoolIo {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl hyper::rt::Read for PoolIo {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: hyper::rt::ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl hyper::rt::Write for PoolIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
