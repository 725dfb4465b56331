//! A server that echoes requests, and a few routes that misbehave.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::stream;
use http::header::{CONNECTION, CONTENT_TYPE, UPGRADE};
use http::{Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use swarm_client::{Client, Endpoint};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Notify, Semaphore};
use tokio_rustls::TlsAcceptor;

type Body = BoxBody<Bytes, std::io::Error>;

/// What tests see of the server.
#[derive(Default)]
struct Shared {
    version: String,
    pings: AtomicUsize,
    connections: AtomicUsize,
    ended: Notify,
    steps: Steps,
}

struct Steps(Semaphore);

impl Default for Steps {
    fn default() -> Steps {
        Steps(Semaphore::new(0))
    }
}

/// A running server; it ends with the test's runtime.
pub(crate) struct Server {
    shared: Arc<Shared>,
    endpoint: Endpoint,
    address: String,
    _dir: Option<tempfile::TempDir>,
}

impl Server {
    /// A server on a unix socket that says it speaks `version`.
    pub(crate) fn unix(version: &str) -> Server {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("api.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let shared = shared(version);
        let state = Arc::clone(&shared);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, Arc::clone(&state)));
            }
        });
        Server { shared, endpoint: Endpoint::unix(path), address: String::new(), _dir: Some(dir) }
    }

    /// A server on a TCP port.
    pub(crate) async fn tcp(version: &str) -> Server {
        Server::listen(version, None).await
    }

    /// A server on a TCP port that wants a certificate of `authority`.
    pub(crate) async fn tls(version: &str, authority: &Authority) -> Server {
        Server::listen(version, Some(authority.acceptor())).await
    }

    async fn listen(version: &str, acceptor: Option<TlsAcceptor>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let shared = shared(version);
        let state = Arc::clone(&shared);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let state = Arc::clone(&state);
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    match acceptor {
                        None => serve(stream, state).await,
                        Some(acceptor) => {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                serve(stream, state).await;
                            }
                        }
                    }
                });
            }
        });
        let endpoint = Endpoint::parse(&format!("tcp://{address}"), None).unwrap();
        Server { shared, endpoint, address, _dir: None }
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        self.endpoint.clone()
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.endpoint())
    }

    pub(crate) fn address(&self) -> String {
        self.address.clone()
    }

    pub(crate) fn pings(&self) -> usize {
        self.shared.pings.load(Ordering::SeqCst)
    }

    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Lets `/stream` send its next piece.
    pub(crate) fn step(&self) {
        self.shared.steps.0.add_permits(1);
    }

    /// Waits until a request to `/hang` was given up.
    pub(crate) async fn request_ended(&self) {
        self.shared.ended.notified().await;
    }
}

fn shared(version: &str) -> Arc<Shared> {
    Arc::new(Shared { version: version.into(), ..Default::default() })
}

async fn serve<S>(stream: S, shared: Arc<Shared>)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    shared.connections.fetch_add(1, Ordering::SeqCst);
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(answer(request, shared).await) }
    });
    // Clients that go away are part of the tests.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades().await;
}

async fn answer(mut request: Request<Incoming>, shared: Arc<Shared>) -> Response<Body> {
    let path = request.uri().path().to_string();
    let route = path.strip_prefix("/base").unwrap_or(&path);
    let route = match route.strip_prefix("/v1.") {
        Some(rest) => rest.trim_start_matches(|c: char| c.is_ascii_digit()),
        None => route,
    };
    match route {
        "/_ping" => {
            shared.pings.fetch_add(1, Ordering::SeqCst);
            let mut response = reply(200, "text/plain", "OK");
            let headers = response.headers_mut();
            if !shared.version.is_empty() {
                headers.insert("Api-Version", shared.version.parse().unwrap());
            }
            headers.insert("Ostype", "linux".parse().unwrap());
            headers.insert("Swarm", "active/manager".parse().unwrap());
            response
        }
        "/error/json" => reply(404, "application/json", r#"{"message":"no such service: x"}"#),
        "/error/charset" => reply(409, "application/json; charset=utf-8", r#"{"message":" taken "}"#),
        "/error/text" => reply(500, "text/plain", "plain trouble\n"),
        "/error/silent" => reply(503, "application/json", "{}"),
        "/error/empty" => reply(500, "application/json", ""),
        "/error/garbled" => reply(500, "application/json", "{"),
        "/text" => reply(200, "text/plain", "some text"),
        "/stream" => streamed(shared, true),
        "/stream/broken" => streamed(shared, false),
        "/upgrade" => {
            let upgrade = hyper::upgrade::on(&mut request);
            tokio::spawn(async move {
                let mut stream = TokioIo::new(upgrade.await.unwrap());
                let mut text = String::new();
                stream.read_to_string(&mut text).await.unwrap();
                stream.write_all(format!("got {text}").as_bytes()).await.unwrap();
                stream.shutdown().await.unwrap();
            });
            Response::builder()
                .status(StatusCode::SWITCHING_PROTOCOLS)
                .header(CONNECTION, "Upgrade")
                .header(UPGRADE, "tcp")
                .body(body(""))
                .unwrap()
        }
        "/hang" => {
            struct Ended(Arc<Shared>);
            impl Drop for Ended {
                fn drop(&mut self) {
                    self.0.ended.notify_one();
                }
            }
            let _ended = Ended(shared);
            std::future::pending().await
        }
        _ => echo(request).await,
    }
}

async fn echo(request: Request<Incoming>) -> Response<Body> {
    let (parts, incoming) = request.into_parts();
    let received = incoming.collect().await.unwrap().to_bytes();
    let headers: BTreeMap<String, String> =
        parts.headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_string())).collect();
    let seen = json!({
        "method": parts.method.as_str(),
        "path": parts.uri.path(),
        "query": parts.uri.query(),
        "headers": headers,
        "body": String::from_utf8_lossy(&received),
    });
    reply(200, "application/json", &seen.to_string())
}

/// Two pieces, the second after a step; then the end or an error.
fn streamed(shared: Arc<Shared>, whole: bool) -> Response<Body> {
    let pieces = stream::unfold(0, move |sent| {
        let shared = Arc::clone(&shared);
        async move {
            let piece = match (sent, whole) {
                (0, _) => Ok(Frame::data(Bytes::from("one\n"))),
                (1, _) => {
                    shared.steps.0.acquire().await.unwrap().forget();
                    if whole { Ok(Frame::data(Bytes::from("two\n"))) } else { Err(std::io::Error::other("broken on purpose")) }
                }
                _ => return None,
            };
            Some((piece, sent + 1))
        }
    });
    Response::new(BodyExt::boxed(StreamBody::new(Box::pin(pieces) as PieceStream)))
}

type PieceStream = std::pin::Pin<Box<dyn futures_util::Stream<Item = std::io::Result<Frame<Bytes>>> + Send + Sync>>;

fn reply(status: u16, content_type: &str, text: &str) -> Response<Body> {
    Response::builder().status(status).header(CONTENT_TYPE, content_type).body(body(text)).unwrap()
}

fn body(text: &str) -> Body {
    Full::new(Bytes::copy_from_slice(text.as_bytes())).map_err(|never| match never {}).boxed()
}

/// Certificates for a server on this machine and a client, of one authority.
pub(crate) struct Authority {
    pub(crate) ca: Vec<u8>,
    server_cert: Vec<u8>,
    server_key: Vec<u8>,
    pub(crate) client_cert: Vec<u8>,
    pub(crate) client_key: Vec<u8>,
}

/// A new authority.
pub(crate) fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let ca = params.self_signed(&key).unwrap().pem().into_bytes();
    let issuer = Issuer::new(params, key);
    let sign = |name: &str| {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_string()]).unwrap();
        let cert = params.signed_by(&key, &issuer).unwrap();
        (cert.pem().into_bytes(), key.serialize_pem().into_bytes())
    };
    let (server_cert, server_key) = sign("127.0.0.1");
    let (client_cert, client_key) = sign("client");
    Authority { ca, server_cert, server_key, client_cert, client_key }
}

impl Authority {
    fn acceptor(&self) -> TlsAcceptor {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&self.ca).unwrap()).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().unwrap();
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(
                vec![CertificateDer::from_pem_slice(&self.server_cert).unwrap()],
                PrivateKeyDer::from_pem_slice(&self.server_key).unwrap(),
            )
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}
