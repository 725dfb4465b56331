//! A stand-in for dockerd.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use std::{
    convert::Infallible,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixListener,
    sync::mpsc,
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// What it says of itself, and what it was asked.
pub(crate) struct FakeEngine {
    pub(crate) socket: PathBuf,
    stop: CancellationToken,
    shared: Arc<Shared>,
}

struct Shared {
    api: &'static str,
    min_api: &'static str,
    version: &'static str,
    asked: Mutex<Vec<String>>,
    open_streams: AtomicUsize,
    stop: CancellationToken,
}

impl FakeEngine {
    /// Serves on this socket until dropped.
    pub(crate) fn start(socket: &Path, version: &'static str, api: &'static str, min_api: &'static str) -> Self {
        drop(std::fs::remove_file(socket));
        let listener = UnixListener::bind(socket).expect("binds");
        let stop = CancellationToken::new();
        let shared =
            Arc::new(Shared { api, min_api, version, asked: Mutex::default(), open_streams: AtomicUsize::new(0), stop: stop.clone() });
        tokio::spawn(stop.clone().run_until_cancelled_owned(accept(listener, Arc::clone(&shared))));
        Self { socket: socket.to_owned(), stop, shared }
    }

    /// Every request so far: method and path.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.shared.asked.lock().expect("no test panicked with it").clone()
    }

    /// Streams that are being written.
    pub(crate) fn open_streams(&self) -> usize {
        self.shared.open_streams.load(Ordering::SeqCst)
    }
}

impl Drop for FakeEngine {
    fn drop(&mut self) {
        self.stop.cancel();
        drop(std::fs::remove_file(&self.socket));
    }
}

async fn accept(listener: UnixListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        let stop = shared.stop.clone();
        tokio::spawn(stop.run_until_cancelled_owned(async move {
            let service = service_fn(|request| {
                let shared = Arc::clone(&shared);
                async move { Ok::<_, Infallible>(shared.answer(request).await) }
            });
            drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades().await);
        }));
    }
}

fn text(body: impl Into<Bytes>) -> Response<Body> {
    Response::new(Full::new(body.into()).boxed_unsync())
}

impl Shared {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Body> {
        let path = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
        self.asked.lock().expect("no test panicked with it").push(format!("{} {path}", request.method()));
        let bare = path.split('?').next().unwrap_or_default();
        let bare = match bare.strip_prefix("/v") {
            Some(rest) if rest.starts_with(|c: char| c.is_ascii_digit()) => rest.find('/').map_or("/", |at| &rest[at..]),
            _ => bare,
        };
        let bare = bare.to_owned();
        let mut response = match (request.method().clone(), bare.as_str()) {
            (Method::GET | Method::HEAD, "/_ping") => text("OK"),
            (Method::GET, "/version") => text(
                serde_json::json!({"Version": self.version, "ApiVersion": self.api, "MinAPIVersion": self.min_api,
                    "Os": "linux", "Arch": "amd64"})
                .to_string(),
            ),
            (Method::GET, "/info") => text(INFO),
            (Method::GET, "/containers/json") => text("[]"),
            (Method::GET, "/events") => Arc::clone(&self).stream(),
            (Method::POST, "/upload") => upload(request).await,
            (Method::POST, "/refuse") => {
                // Answers at once and never reads the body.
                let mut response = text(r#"{"message":"refused"}"#);
                *response.status_mut() = StatusCode::BAD_REQUEST;
                response
            }
            (Method::POST, "/exec/1/start") => hijack(request),
            _ => {
                let mut response = text(r#"{"message":"page not found"}"#);
                *response.status_mut() = StatusCode::NOT_FOUND;
                response
            }
        };
        let headers = response.headers_mut();
        for (name, value) in [("api-version", self.api), ("docker-experimental", "false"), ("ostype", "linux"), ("server", self.version)] {
            headers.insert(name, value.parse().expect("a header value"));
        }
        if bare == "/_ping" {
            headers.insert("builder-version", "1".parse().expect("a header value"));
        }
        response
    }

    /// A line now, and the next one only when the stream is closed.
    fn stream(self: Arc<Self>) -> Response<Body> {
        let (lines, queue) = mpsc::channel::<Result<Frame<Bytes>, Infallible>>(1);
        self.open_streams.fetch_add(1, Ordering::SeqCst);
        tokio::spawn(async move {
            drop(lines.send(Ok(Frame::data(Bytes::from_static(b"first\n")))).await);
            lines.closed().await;
            self.open_streams.fetch_sub(1, Ordering::SeqCst);
        });
        Response::new(StreamBody::new(ReceiverStream::new(queue)).boxed_unsync())
    }
}

async fn upload(request: Request<Incoming>) -> Response<Body> {
    let mut body = request.into_body();
    let mut length = 0;
    while let Some(Ok(frame)) = body.frame().await {
        length += frame.data_ref().map_or(0, Bytes::len);
    }
    text(length.to_string())
}

/// After the switch: gives back what it reads, in capitals, and a farewell once the other side has ended its half.
fn hijack(mut request: Request<Incoming>) -> Response<Body> {
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        drop(request.collect().await);
        let mut stream = TokioIo::new(upgrade.await.expect("upgrades"));
        let mut buffer = [0; 4096];
        loop {
            match stream.read(&mut buffer).await {
                Ok(0) => break,
                Ok(length) => drop(stream.write_all(&buffer[..length].to_ascii_uppercase()).await),
                Err(_) => return,
            }
        }
        drop(stream.write_all(b"bye").await);
        drop(stream.shutdown().await);
    });
    let mut response = text("");
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert("connection", "Upgrade".parse().expect("a header value"));
    response.headers_mut().insert("upgrade", "tcp".parse().expect("a header value"));
    response
}

/// As much of an engine's info as agents and clients look at.
const INFO: &str = r#"{"ID":"X","Name":"engine-host","NCPU":2,"MemTotal":1073741824,"OSType":"linux","Architecture":"x86_64",
"ServerVersion":"20.10.24","Driver":"overlay2","Labels":["zone=a"],
"Plugins":{"Volume":["local"],"Network":["bridge","host"],"Authorization":null,"Log":["json-file"]},
"Swarm":{"LocalNodeState":"active","NodeID":"of-the-engine"}}"#;
