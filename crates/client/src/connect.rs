//! Makes connections.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::CertificateError;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::endpoint::{Endpoint, Transport};
use crate::error::ConnectError;
use crate::ssh::SshStream;
use crate::tls::TlsMaterial;

/// How long a socket may take to accept, handshake included. A daemon on the far side of the world
/// needs less than a second; docker gives up after the same time.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A raw connection to a daemon. Shutting it down closes the direction towards the daemon only.
pub struct Connection(Box<dyn Stream>);

/// Connects to `endpoint` without saying anything yet.
///
/// # Errors
/// [`ConnectError`]
pub async fn dial(endpoint: &Endpoint) -> Result<Connection, ConnectError> {
    let name = endpoint.to_string();
    match &endpoint.transport {
        Transport::Unix { path } => unix(path, name).await,
        Transport::Tcp { host, port, tls } => tcp(host, *port, tls.as_ref(), name).await,
        Transport::Ssh(target) => {
            SshStream::spawn(target).map(Connection::new).map_err(|source| ConnectError::Ssh { endpoint: name, source: Arc::new(source) })
        }
    }
}

async fn unix(path: &Path, endpoint: String) -> Result<Connection, ConnectError> {
    in_time(UnixStream::connect(path)).await.map(Connection::new).map_err(|source| {
        let source = Arc::new(source);
        match source.kind() {
            io::ErrorKind::PermissionDenied => ConnectError::Permission { endpoint, source },
            _ => ConnectError::Unreachable { endpoint, source },
        }
    })
}

async fn tcp(host: &str, port: u16, tls: Option<&TlsMaterial>, endpoint: String) -> Result<Connection, ConnectError> {
    let config =
        tls.map(|material| material.client_config().map(Arc::new)).transpose().map_err(|error| ConnectError::Tls(Arc::new(error)))?;
    let stream = in_time(TcpStream::connect((host, port))).await.map_err(|source| {
        let endpoint = endpoint.clone();
        let source = Arc::new(source);
        match source.kind() {
            io::ErrorKind::ConnectionRefused | io::ErrorKind::TimedOut => ConnectError::Unreachable { endpoint, source },
            _ => ConnectError::Dial { endpoint, source },
        }
    })?;
    // Requests are small and wait for their answer; without this they also wait for each other.
    let dial_error = |source| ConnectError::Dial { endpoint: endpoint.clone(), source: Arc::new(source) };
    stream.set_nodelay(true).map_err(dial_error)?;
    let Some(config) = config else {
        return Ok(Connection::new(stream));
    };
    let handshake_error = |reason: String| ConnectError::Handshake { endpoint: endpoint.clone(), reason };
    let name = ServerName::try_from(host.to_string()).map_err(|error| handshake_error(error.to_string()))?;
    let stream = in_time(TlsConnector::from(config).connect(name, stream)).await.map_err(|error| handshake_error(tls_reason(&error)))?;
    Ok(Connection::new(stream))
}

async fn in_time<T>(connecting: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match timeout(CONNECT_TIMEOUT, connecting).await {
        Ok(result) => result,
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "i/o timeout")),
    }
}

/// What a TLS failure means to the person who set the connection up.
pub(crate) fn tls_reason(error: &(dyn std::error::Error + 'static)) -> String {
    let Some(tls) = find_tls_error(error) else {
        return error.to_string();
    };
    match tls {
        rustls::Error::InvalidMessage(_) => "http: server gave HTTP response to HTTPS client".into(),
        rustls::Error::InvalidCertificate(reason) => {
            let reason = match reason {
                CertificateError::UnknownIssuer | CertificateError::BadSignature => "certificate signed by unknown authority".to_string(),
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. } => "certificate has expired or is not yet valid".to_string(),
                other => other.to_string(),
            };
            format!("tls: failed to verify certificate: x509: {reason}")
        }
        rustls::Error::AlertReceived(alert) => format!(
            "the server probably has client authentication (--tlsverify) enabled; \
             check your TLS client certification settings: remote error: tls: {alert:?}"
        ),
        other => format!("tls: {other}"),
    }
}

/// The TLS error within `error`, if it is the cause.
pub(crate) fn find_tls_error<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return Some(tls);
        }
        // An I/O error does not count the error it wraps as its source.
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match inner {
            Some(inner) => Some(inner as &(dyn std::error::Error + 'static)),
            None => error.source(),
        };
    }
    None
}

impl Connection {
    fn new(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Connection {
        Connection(Box::new(stream))
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connection")
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
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
