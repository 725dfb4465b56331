//! What can go wrong between us and a daemon, in docker's words.

use std::io;
use std::sync::Arc;

use http::StatusCode;

use crate::tls::TlsError;

/// An answer of the daemon that refuses the request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Error response from daemon: {message}")]
pub struct ApiError {
    /// The HTTP status.
    pub status: StatusCode,
    /// The daemon's message.
    pub message: String,
}

/// A request without a usable answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The daemon refused it.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// There is no connection to the daemon.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The daemon refused it without a word; most likely it does not know the route.
    #[error("request returned {status} for API route and version {url}, check if the server supports the requested API version")]
    NoMessage {
        /// The HTTP status.
        status: StatusCode,
        /// What was asked for.
        url: String,
    },
    /// The connection broke before the answer was complete.
    #[error("error during connect: {method} \"{url}\": {reason}")]
    Broken {
        /// The method as Go writes it: `Get`.
        method: String,
        /// What was asked for.
        url: String,
        /// What happened.
        reason: String,
    },
    /// The connection broke while the answer was being read.
    #[error("could not read the response of the daemon: {reason}")]
    Body {
        /// What happened.
        reason: String,
    },
    /// An answer that is not what the route should give.
    #[error("Error reading JSON: {0}")]
    Json(#[source] serde_json::Error),
    /// A request body that cannot be written as JSON.
    #[error("could not write the request as JSON: {0}")]
    RequestJson(#[source] serde_json::Error),
    /// A path, query or header that HTTP does not allow.
    #[error("invalid request: {0}")]
    Invalid(#[from] http::Error),
    /// The daemon did not turn the connection over.
    #[error("unable to upgrade to {protocol}, received {status}")]
    NotUpgraded {
        /// What was asked for.
        protocol: String,
        /// The HTTP status.
        status: StatusCode,
    },
}

impl ClientError {
    /// The HTTP status of a daemon that answered.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            ClientError::Api(error) => Some(error.status),
            ClientError::NoMessage { status, .. } | ClientError::NotUpgraded { status, .. } => Some(*status),
            ClientError::Connect(_)
            | ClientError::Broken { .. }
            | ClientError::Body { .. }
            | ClientError::Json(_)
            | ClientError::RequestJson(_)
            | ClientError::Invalid(_) => None,
        }
    }

    /// Whether the daemon says that the object does not exist.
    pub fn is_not_found(&self) -> bool {
        self.status() == Some(StatusCode::NOT_FOUND)
    }
}

/// A connection that could not be made.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody listens there, or nobody answered in time.
    #[error("Cannot connect to the Docker daemon at {endpoint}. Is the docker daemon running?")]
    Unreachable {
        /// The address as users know it.
        endpoint: String,
        /// Why.
        #[source]
        source: Arc<io::Error>,
    },
    /// The user may not open the socket.
    #[error("permission denied while trying to connect to the Docker daemon socket at {endpoint}: {source}")]
    Permission {
        /// The address as users know it.
        endpoint: String,
        /// What the system said.
        #[source]
        source: Arc<io::Error>,
    },
    /// A name that cannot be resolved, a network that is down.
    #[error("error during connect: dial {endpoint}: {source}")]
    Dial {
        /// The address as users know it.
        endpoint: String,
        /// Why.
        #[source]
        source: Arc<io::Error>,
    },
    /// The server is not the one it should be, or does not speak TLS.
    #[error("error during connect: {endpoint}: {reason}")]
    Handshake {
        /// The address as users know it.
        endpoint: String,
        /// What the handshake failed on.
        reason: String,
    },
    /// Certificates or keys that cannot be used.
    #[error(transparent)]
    Tls(Arc<TlsError>),
    /// ssh could not be started.
    #[error("could not run ssh for {endpoint}: {source}")]
    Ssh {
        /// The address as users know it.
        endpoint: String,
        /// Why.
        #[source]
        source: Arc<io::Error>,
    },
}
