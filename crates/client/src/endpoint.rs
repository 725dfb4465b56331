//! Where a daemon listens.

use std::fmt;
use std::path::PathBuf;

use crate::tls::TlsMaterial;

/// The socket of the local agent.
pub const DEFAULT_SOCKET: &str = "/run/swarm/swarm.sock";

const PORT: u16 = 2375;
const TLS_PORT: u16 = 2376;

/// A daemon's address and how to reach it. Its `Display` is the address users know.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// How to get a connection.
    pub transport: Transport,
    /// A path in front of all routes, for daemons behind a proxy; empty or `/path`.
    pub base_path: String,
}

/// How to get a connection.
#[derive(Clone, Debug)]
pub enum Transport {
    /// A unix socket.
    Unix {
        /// The socket's path.
        path: PathBuf,
    },
    /// TCP, plain or inside TLS.
    Tcp {
        /// A name or address, without brackets.
        host: String,
        /// The port.
        port: u16,
        /// Certificates and keys; `None` for plain TCP.
        tls: Option<TlsMaterial>,
    },
    /// A command on another machine that passes its standard streams on to the socket there.
    Ssh(SshTarget),
}

/// The machine behind `ssh://[USER@]HOST[:PORT][/SOCKET]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshTarget {
    /// The user, if not the one ssh would take.
    pub user: Option<String>,
    /// The host, as ssh knows it.
    pub host: String,
    /// The port, if not the one ssh would take.
    pub port: Option<u16>,
    /// The socket there, if not the default one.
    pub socket: Option<String>,
}

/// An address that names no endpoint, in docker's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// An unknown scheme, or nonsense.
    #[error("invalid bind address format: {address}")]
    Format {
        /// The address.
        address: String,
    },
    /// A port that is no number.
    #[error("parse {address:?}: invalid port {port:?} after host")]
    Port {
        /// The address.
        address: String,
        /// The port with its colon.
        port: String,
    },
    /// A second scheme within the address.
    #[error("invalid proto, expected {expected}: {address}")]
    Scheme {
        /// The scheme the address began with.
        expected: &'static str,
        /// The rest of it.
        address: String,
    },
    /// An ssh address without host, or with more than ssh can do.
    #[error("ssh host connection is not valid: invalid SSH URL: {reason}")]
    Ssh {
        /// What is wrong with it.
        reason: String,
    },
}

impl Endpoint {
    /// The local agent's socket.
    pub fn local() -> Endpoint {
        Endpoint::unix(DEFAULT_SOCKET)
    }

    /// A unix socket.
    pub fn unix(path: impl Into<PathBuf>) -> Endpoint {
        Endpoint { transport: Transport::Unix { path: path.into() }, base_path: String::new() }
    }

    /// Reads an address: `unix://PATH`, `tcp://HOST[:PORT][/BASE]`, `http://…`, `https://…`,
    /// `ssh://…`. Without scheme it is TCP. What is missing is taken from docker's defaults.
    ///
    /// `tls` is used for TCP only; `https` makes TLS a must, `http` refuses it.
    ///
    /// # Errors
    /// [`EndpointError`]
    pub fn parse(address: &str, tls: Option<TlsMaterial>) -> Result<Endpoint, EndpointError> {
        let address = address.trim();
        let (scheme, rest) = match address.split_once("://") {
            Some((scheme, rest)) => (scheme, rest),
            None => ("tcp", address),
        };
        match scheme {
            "unix" => unix(rest),
            "tcp" if address.is_empty() => Ok(Endpoint::local()),
            "tcp" => tcp(address, rest, tls, PORT),
            "http" => tcp(address, rest, None, PORT),
            "https" => tcp(address, rest, Some(tls.unwrap_or_default()), TLS_PORT),
            "ssh" => ssh(rest),
            _ => Err(EndpointError::Format { address: address.into() }),
        }
    }

    /// `http` or `https`.
    pub(crate) fn scheme(&self) -> &'static str {
        match self.transport {
            Transport::Tcp { tls: Some(_), .. } => "https",
            _ => "http",
        }
    }

    /// The authority to put into requests; for sockets any name will do.
    pub(crate) fn authority(&self) -> String {
        match &self.transport {
            Transport::Tcp { host, port, .. } => host_port(host, *port),
            Transport::Unix { .. } | Transport::Ssh(_) => "api.swarm.localhost".into(),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.transport {
            Transport::Unix { path } => write!(f, "unix://{}", path.display()),
            Transport::Tcp { host, port, .. } => write!(f, "tcp://{}", host_port(host, *port)),
            Transport::Ssh(target) => target.fmt(f),
        }?;
        f.write_str(&self.base_path)
    }
}

impl fmt::Display for SshTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ssh://")?;
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        f.write_str(&self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        f.write_str(self.socket.as_deref().unwrap_or(""))
    }
}

fn host_port(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn unix(path: &str) -> Result<Endpoint, EndpointError> {
    if path.contains("://") {
        return Err(EndpointError::Scheme { expected: "unix", address: path.into() });
    }
    Ok(Endpoint::unix(if path.is_empty() { DEFAULT_SOCKET } else { path }))
}

fn tcp(address: &str, rest: &str, tls: Option<TlsMaterial>, default_port: u16) -> Result<Endpoint, EndpointError> {
    if rest.contains("://") {
        return Err(EndpointError::Scheme { expected: "tcp", address: rest.into() });
    }
    let (authority, base_path) = match rest.find('/') {
        Some(at) => (&rest[..at], rest[at..].trim_end_matches('/')),
        None => (rest, ""),
    };
    let (host, port) = split_port(authority).ok_or_else(|| EndpointError::Format { address: address.into() })?;
    let port = match port {
        "" => default_port,
        port => port.parse().map_err(|_| EndpointError::Port { address: address.into(), port: format!(":{port}") })?,
    };
    let host = if host.is_empty() { "localhost" } else { host };
    Ok(Endpoint { transport: Transport::Tcp { host: host.into(), port, tls }, base_path: base_path.into() })
}

/// Host without brackets, and port, empty if there is none.
fn split_port(authority: &str) -> Option<(&str, &str)> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        return match rest.strip_prefix(':') {
            Some(port) => Some((host, port)),
            None => rest.is_empty().then_some((host, "")),
        };
    }
    match authority.split_once(':') {
        Some((_, port)) if port.contains(':') => None, // An address of IPv6 needs brackets.
        Some((host, port)) => Some((host, port)),
        None => Some((authority, "")),
    }
}

fn ssh(rest: &str) -> Result<Endpoint, EndpointError> {
    let invalid = |reason: String| EndpointError::Ssh { reason };
    if let Some((_, fragment)) = rest.split_once('#') {
        return Err(invalid(format!("fragments are not allowed: {fragment:?}")));
    }
    if let Some((_, query)) = rest.split_once('?') {
        return Err(invalid(format!("query parameters are not allowed: {query:?}")));
    }
    let (authority, socket) = match rest.find('/') {
        Some(at) => (&rest[..at], &rest[at..]),
        None => (rest, ""),
    };
    let (user, authority) = match authority.rsplit_once('@') {
        Some((user, authority)) => (Some(user), authority),
        None => (None, authority),
    };
    if user.is_some_and(|user| user.contains(':')) {
        return Err(invalid("plain-text password is not supported".into()));
    }
    let (host, port) = split_port(authority).ok_or_else(|| invalid(format!("{authority:?} is not a host and port")))?;
    if host.is_empty() {
        return Err(invalid("hostname is empty".into()));
    }
    // ssh would take these for options.
    if host.starts_with('-') || user.is_some_and(|user| user.starts_with('-')) {
        return Err(invalid("user and host must not start with a dash".into()));
    }
    let port = match port {
        "" => None,
        port => Some(port.parse().map_err(|_| invalid(format!("invalid port {port:?}")))?),
    };
    let socket = (!socket.trim_matches('/').is_empty()).then(|| socket.to_string());
    Ok(Endpoint {
        transport: Transport::Ssh(SshTarget {
            user: user.filter(|user| !user.is_empty()).map(str::to_string),
            host: host.into(),
            port,
            socket,
        }),
        base_path: String::new(),
    })
}
