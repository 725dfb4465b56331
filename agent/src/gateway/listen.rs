//! Listening: unix sockets that are never stolen from a living agent, and tcp with or without TLS.

use super::Gateway;
use crate::backend::Endpoint;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use nix::unistd::{Gid, Group, Uid};
use rustls::ServerConfig;
use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Whoever is in this group may use the socket; the one Docker's has too.
const GROUP: &str = "docker";
/// The owner and the group.
const SOCKET_MODE: u32 = 0o660;
/// The socket's folder, when it is made here.
const FOLDER_MODE: u32 = 0o755;
/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may be silent between two calls, or take for the head of one. dockerd's number.
const HEAD_TIMEOUT: Duration = Duration::from_secs(300);
/// After an accept that failed because this process has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long open calls may go on after the order to stop.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// A place to listen on cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another process answers there.
    #[error("{0} is in use by another process that answers; is another agent running?")]
    InUse(Endpoint),
    /// Something else than a socket lies there.
    #[error("{0} is in the way: it is not a socket")]
    NotSocket(PathBuf),
    /// The system refused.
    #[error("could not listen on {endpoint}")]
    Io {
        /// Where.
        endpoint: Endpoint,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// A place the API is served at.
#[derive(Debug)]
pub struct Listener {
    endpoint: Endpoint,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Unix { listener: UnixListener, file: SocketFile },
    Tcp { listener: TcpListener, tls: Option<Arc<ServerConfig>> },
}

/// A socket file of ours: removed when dropped, unless another one lies there by then.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    id: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours = fs::symlink_metadata(&self.path).is_ok_and(|meta| (meta.dev(), meta.ino()) == self.id);
        if is_ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(%error, path = %self.path.display(), "the socket could not be removed");
        }
    }
}

impl Listener {
    /// Listens at `endpoint`; tcp with `tls` if there is one.
    ///
    /// # Errors
    /// [`BindError`]; nothing is left behind.
    pub async fn bind(endpoint: &Endpoint, tls: Option<Arc<ServerConfig>>) -> Result<Self, BindError> {
        let failed = |source| BindError::Io { endpoint: endpoint.clone(), source };
        let kind = match endpoint {
            Endpoint::Unix(path) => {
                clear_way(endpoint, path).await?;
                let (listener, file) = bind_unix(path).map_err(failed)?;
                Kind::Unix { listener, file }
            }
            Endpoint::Tcp(authority) => Kind::Tcp { listener: TcpListener::bind(authority).await.map_err(failed)?, tls },
        };
        Ok(Self { endpoint: endpoint.clone(), kind })
    }

    /// Where a tcp listener really listens, for port 0.
    #[must_use]
    pub fn tcp_port(&self) -> Option<u16> {
        match &self.kind {
            Kind::Unix { .. } => None,
            Kind::Tcp { listener, .. } => listener.local_addr().ok().map(|addr| addr.port()),
        }
    }

    /// Serves until `stop`, then gives open calls a short while.
    pub async fn serve(self, gateway: Gateway, stop: CancellationToken) {
        tracing::info!(endpoint = %self.endpoint, "the API is served");
        let connections = TaskTracker::new();
        match self.kind {
            Kind::Unix { listener, file } => {
                while let Some(stream) = accept(listener.accept(), &stop).await {
                    if let Ok((stream, _)) = stream {
                        connections.spawn(serve_stream(stream, gateway.clone(), stop.clone()));
                    }
                }
                drop(file);
            }
            Kind::Tcp { listener, tls } => {
                while let Some(stream) = accept(listener.accept(), &stop).await {
                    if let Ok((stream, _)) = stream {
                        // Small answers are not to wait for more.
                        drop(stream.set_nodelay(true));
                        connections.spawn(serve_tcp(stream, tls.clone(), gateway.clone(), stop.clone()));
                    }
                }
            }
        }
        connections.close();
        if timeout(STOP_GRACE, connections.wait()).await.is_err() {
            tracing::debug!(endpoint = %self.endpoint, open = connections.len(), "open calls are cut off");
        }
    }
}

/// The next connection, a failure that was waited out, or `None` when it is time to stop.
async fn accept<T>(accepted: impl Future<Output = io::Result<T>>, stop: &CancellationToken) -> Option<io::Result<T>> {
    // Both are cancel-safe.
    let accepted = tokio::select! {
        () = stop.cancelled() => return None,
        accepted = accepted => accepted,
    };
    if let Err(error) = &accepted {
        tracing::warn!(%error, "a connection could not be accepted");
        sleep(ACCEPT_PAUSE).await;
    }
    Some(accepted)
}

async fn serve_tcp(stream: tokio::net::TcpStream, tls: Option<Arc<ServerConfig>>, gateway: Gateway, stop: CancellationToken) {
    let Some(tls) = tls else {
        return serve_stream(stream, gateway, stop).await;
    };
    match timeout(HANDSHAKE_TIMEOUT, TlsAcceptor::from(tls).accept(stream)).await {
        Ok(Ok(stream)) => serve_stream(stream, gateway, stop).await,
        Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
        Err(_) => tracing::debug!("a TLS handshake took too long"),
    }
}

async fn serve_stream(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, gateway: Gateway, stop: CancellationToken) {
    let service = service_fn(|request| async { Ok::<_, std::convert::Infallible>(gateway.answer(request).await) });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        tracing::trace!(%error, "a connection to the API broke");
    }
}

/// Makes sure that nothing living is at the path, and removes what a killed agent left there.
async fn clear_way(endpoint: &Endpoint, path: &Path) -> Result<(), BindError> {
    let failed = |source| BindError::Io { endpoint: endpoint.clone(), source };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
        Ok(meta) if !meta.file_type().is_socket() => {
            return Err(BindError::NotSocket(path.to_owned()));
        }
        Ok(_) => {}
    }
    match tokio::net::UnixStream::connect(path).await {
        // Nobody listens behind it.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path).map_err(failed),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Ok(_) => Err(BindError::InUse(endpoint.clone())),
        Err(error) => Err(failed(error)),
    }
}

/// Binds beside the path and renames, so that the socket has its mode and group from its first moment on.
fn bind_unix(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    let folder = path.parent().ok_or_else(|| io::Error::other("a socket lies in a folder"))?;
    fs::DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder)?;
    let mut name = path.file_name().ok_or_else(|| io::Error::other("a socket has a name"))?.to_owned();
    name.push(".new");
    let beside = folder.join(name);
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&beside)?;
    let placed = own(&beside).and_then(|()| fs::rename(&beside, path)).and_then(|()| fs::symlink_metadata(path));
    match placed {
        Ok(meta) => Ok((listener, SocketFile { path: path.to_owned(), id: (meta.dev(), meta.ino()) })),
        Err(error) => {
            drop(fs::remove_file(&beside));
            Err(error)
        }
    }
}

fn own(path: &Path) -> io::Result<()> {
    if let Some(group) = Group::from_name(GROUP)?
        && Uid::effective().is_root()
    {
        nix::unistd::chown(path, None, Some(Gid::from_raw(group.gid.as_raw())))?;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(SOCKET_MODE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_living_socket_is_not_stolen_and_a_stale_one_is_replaced() {
        let dir = tempfile::tempdir().expect("a folder");
        let endpoint = Endpoint::Unix(dir.path().join("run/a.sock"));
        let Endpoint::Unix(path) = &endpoint else { unreachable!() };
        let first = Listener::bind(&endpoint, None).await.expect("binds");
        assert_eq!(fs::metadata(path).expect("is there").permissions().mode() & 0o777, SOCKET_MODE);
        assert!(matches!(Listener::bind(&endpoint, None).await, Err(BindError::InUse(_))));
        drop(first);
        assert!(!path.exists());

        drop(std::os::unix::net::UnixListener::bind(path).expect("binds"));
        assert!(path.exists());
        let second = Listener::bind(&endpoint, None).await.expect("replaces the stale one");
        fs::remove_file(path).expect("removes");
        fs::write(path, "x").expect("writes");
        drop(second);
        assert!(path.exists());
        assert!(matches!(Listener::bind(&endpoint, None).await, Err(BindError::NotSocket(_))));
    }
}
