//! The agent as a network driver of the engine: how containers come to be on cluster networks before their first process runs.
//!
//! The engine finds the driver by a socket in its plugin folder and asks it for each network, endpoint and link. What always
//! holds:
//! - A call that was answered is in the [`book`]; a call that was cut off may be made again.
//! - A link belongs to the endpoint that joined last with its address, so late calls for an old one take nothing away.
//! - While the agent is not there containers go on; the engine waits up to 15 seconds for each call and then refuses.

pub(in crate::network) mod book;
mod calls;
mod protocol;

use super::plane::Request;
use crate::error_chain::chain;
use book::Book;
use bytes::Bytes;
use http::{Request as HttpRequest, Response, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use protocol::{CreateEndpoint, CreateNetwork, DeleteNetwork, Endpoint, MEDIA_TYPE, Refusal};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{net::UnixListener, sync::mpsc, time::sleep};

/// Bytes of a call at most; the engine's have some hundreds.
const CALL_BYTES_MAX: usize = 1 << 20;
/// How soon the socket is tried again, when it cannot be made or a connection not be taken.
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// Only root, as which the engine runs.
const SOCKET_MODE: u32 = 0o600;

/// A call that cannot be answered as asked. The texts reach the task's status by the engine.
#[derive(Debug, thiserror::Error)]
pub(in crate::network) enum DriverError {
    /// A network that somebody else wants to make with this driver.
    #[error("networks of this driver are made by the swarm agent only")]
    NotOurs,
    /// A network that the engine never told of.
    #[error("the swarm agent does not know network {0}")]
    NoNetwork(String),
    /// A container that is on its own.
    #[error("the swarm has not given this container an address")]
    NoAddress,
    /// A hardware address of no known form.
    #[error("invalid hardware address {0:?}")]
    Mac(String),
    /// An endpoint that the engine never told of.
    #[error("the swarm agent does not know endpoint {0}")]
    NoEndpoint(String),
    /// The kernel side failed.
    #[error("{0}")]
    Link(String),
    /// The book could not be written.
    #[error("could not write the network driver's book")]
    Book(#[from] io::Error),
    /// A body that is not what the call has.
    #[error("the call cannot be read")]
    Call(#[from] serde_json::Error),
    /// A call that this driver does not have.
    #[error("the swarm agent has no call {0}")]
    NoCall(String),
    /// The agent is going down.
    #[error("the swarm agent is stopping")]
    Stopping,
}

/// The driver. Cloning is cheap.
#[derive(Debug, Clone)]
pub(in crate::network) struct Driver {
    book: Arc<Mutex<Book>>,
    requests: mpsc::Sender<Request>,
}

fn open(book: &Mutex<Book>) -> MutexGuard<'_, Book> {
    book.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Driver {
    /// A driver with the book at `book`, whose links are made by who receives `requests`.
    pub(in crate::network) fn new(book: &Path, requests: mpsc::Sender<Request>) -> Self {
        Self { book: Arc::new(Mutex::new(Book::open(book))), requests }
    }

    /// The book. Never held while waiting.
    pub(in crate::network) fn book(&self) -> MutexGuard<'_, Book> {
        open(&self.book)
    }

    /// Serves the engine at `socket`, which is made as soon as that is possible. Dropping it cuts calls off.
    pub(in crate::network) async fn serve(self, socket: PathBuf) {
        let mut told = false;
        let listener = loop {
            match bind(&socket) {
                Ok(listener) => break listener,
                Err(error) if told => tracing::debug!(%error, "the network driver's socket still cannot be made"),
                Err(error) => {
                    told = true;
                    let socket = socket.display();
                    tracing::warn!(%error, %socket, "the network driver's socket cannot be made: no container can be on a cluster network");
                }
            }
            sleep(RETRY_AFTER).await;
        };
        let mut connections = tokio::task::JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => drop(connections.spawn(self.clone().serve_stream(stream))),
                    Err(error) => {
                        tracing::warn!(%error, "the engine's connection could not be accepted");
                        sleep(RETRY_AFTER).await;
                    }
                },
                Some(_) = connections.join_next() => {}
            }
        }
    }

    async fn serve_stream(self, stream: tokio::net::UnixStream) {
        let service = service_fn(|request| async { Ok::<_, std::convert::Infallible>(self.respond(request).await) });
        if let Err(error) = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await {
            tracing::trace!(%error, "a connection of the engine broke");
        }
    }

    async fn respond(&self, request: HttpRequest<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path().to_owned();
        let body = match Limited::new(request.into_body(), CALL_BYTES_MAX).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) => return answer(&Refusal { err: &error.to_string() }),
        };
        match self.call(&path, &body).await {
            Ok(value) => answer(&value),
            Err(error) => {
                let err = chain(&error);
                tracing::warn!(path, error = err, "the engine is refused a call");
                answer(&Refusal { err: &err })
            }
        }
    }

    async fn call(&self, path: &str, body: &[u8]) -> Result<Value, DriverError> {
        let name = path.trim_start_matches('/');
        if name == "Plugin.Activate" {
            return Ok(json!({"Implements": ["NetworkDriver"]}));
        }
        let nothing = || json!({});
        match name.strip_prefix("NetworkDriver.").unwrap_or_default() {
            // Global: networks lead to other hosts. The engine keeps them for itself all the same.
            "GetCapabilities" => Ok(json!({"Scope": "local", "ConnectivityScope": "global"})),
            "CreateNetwork" => self.create_network(read::<CreateNetwork>(body)?).await.map(|()| nothing()),
            "DeleteNetwork" => self.delete_network(&read::<DeleteNetwork>(body)?.network_id).map(|()| nothing()),
            "CreateEndpoint" => Ok(serde_json::to_value(self.create_endpoint(&read::<CreateEndpoint>(body)?)?)?),
            "Join" => Ok(serde_json::to_value(self.join(&read::<Endpoint>(body)?.endpoint_id).await?)?),
            "Leave" => self.leave(&read::<Endpoint>(body)?.endpoint_id).await.map(|()| nothing()),
            "DeleteEndpoint" => self.delete_endpoint(&read::<Endpoint>(body)?.endpoint_id).await.map(|()| nothing()),
            "EndpointOperInfo" => Ok(json!({"Value": {}})),
            // Ports are opened by the mesh or the engine's own bridge, and the managers tell of other nodes.
            "ProgramExternalConnectivity" | "RevokeExternalConnectivity" | "DiscoverNew" | "DiscoverDelete" => Ok(nothing()),
            _ => Err(DriverError::NoCall(name.to_owned())),
        }
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, DriverError> {
    Ok(serde_json::from_slice(body)?)
}

fn answer(body: &impl serde::Serialize) -> Response<Full<Bytes>> {
    let bytes = serde_json::to_vec(body).expect("answers are plain JSON");
    let mut response = Response::new(Full::new(bytes.into()));
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(MEDIA_TYPE));
    response
}

/// Listens at `socket`. What lies there is of an agent with the same state folder that was killed: no two run at a time.
fn bind(socket: &Path) -> io::Result<UnixListener> {
    if let Some(folder) = socket.parent() {
        fs::create_dir_all(folder)?;
    }
    match fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(socket)?;
    fs::set_permissions(socket, fs::Permissions::from_mode(SOCKET_MODE))?;
    Ok(listener)
}

#[cfg(test)]
mod tests;
