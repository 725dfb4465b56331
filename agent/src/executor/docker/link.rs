//! The connection to the engine: made when it is needed, made anew after the engine was gone.
//!
//! The agent outlives its engine and may be started before it, so the socket need not exist, and an engine that comes
//! back may be of another version: the API version is negotiated with each new connection.

use super::super::ExecutorError;
use bollard::{API_DEFAULT_VERSION, ClientVersion, Docker, errors::Error as BollardError};
use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Longest wait for the engine to answer the first question of a new connection.
const NEGOTIATION_MAX: Duration = Duration::from_secs(5);

/// Longest wait for answers that need no work in the engine. A busy two-core machine has needed five seconds.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// The address of an engine cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("container engine address {0:?} is neither unix:///path nor tcp://host:port")]
pub struct InvalidEngineAddress(pub String);

/// Version of the engine's API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ApiVersion(pub(super) usize, pub(super) usize);

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// A negotiated connection. Each call opens a socket of its own, so it can be used from many loops at once.
#[derive(Clone)]
pub(super) struct Engine {
    docker: Docker,
    pub(super) api: ApiVersion,
    /// Tells connections apart, so that a late error does not drop a newer connection.
    serial: u64,
}

impl Engine {
    /// For calls that are answered at once.
    pub(super) fn docker(&self) -> &Docker {
        &self.docker
    }

    /// For calls that the engine answers only when their work is done, which takes `work_max` at most.
    pub(super) fn patient(&self, work_max: Duration) -> Docker {
        self.docker.clone().with_timeout(work_max + ANSWER_MAX)
    }
}

/// Where the engine is, and the present connection.
#[derive(Clone)]
pub(super) struct EngineLink {
    host: Arc<str>,
    /// Never held while waiting: a loop may turn to something else in the middle of a negotiation.
    current: Arc<Mutex<Current>>,
}

#[derive(Default)]
struct Current {
    engine: Option<Engine>,
    serial: u64,
}

impl EngineLink {
    pub(super) fn new(host: &str) -> Result<Self, InvalidEngineAddress> {
        let known = ["unix://", "tcp://"].iter().any(|scheme| host.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty()));
        if !known {
            return Err(InvalidEngineAddress(host.to_owned()));
        }
        Ok(Self { host: host.into(), current: Arc::default() })
    }

    /// Whether paths of the engine's host are paths of this host.
    pub(super) fn is_local(&self) -> bool {
        self.host.starts_with("unix://")
    }

    /// The present connection, or a new one.
    pub(super) async fn engine(&self) -> Result<Engine, ExecutorError> {
        if let Some(engine) = self.current().engine.clone() {
            return Ok(engine);
        }
        let docker = self.negotiate().await.map_err(|error| self.unreachable(error))?;
        let ClientVersion { major_version, minor_version } = docker.client_version();
        let api = ApiVersion(major_version, minor_version);
        tracing::debug!(host = %self.host, %api, "connected to the container engine");
        let mut current = self.current();
        current.serial += 1;
        let serial = current.serial;
        // Several loops may have negotiated at once; all their connections are good, and the last is kept.
        Ok(current.engine.insert(Engine { docker, api, serial }).clone())
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn negotiate(&self) -> Result<Docker, BollardError> {
        let connect = if self.is_local() { Docker::connect_with_unix } else { Docker::connect_with_http };
        let docker = connect(&self.host, ANSWER_MAX.as_secs(), API_DEFAULT_VERSION)?;
        tokio::time::timeout(NEGOTIATION_MAX, docker.negotiate_version()).await.unwrap_or(Err(BollardError::RequestTimeoutError))
    }

    /// What an error of `engine` means. Forgets the connection if it is of no use any more.
    pub(super) fn judge(&self, engine: &Engine, error: BollardError) -> ExecutorError {
        let verdict = Verdict::on(&error);
        if verdict == Verdict::ConnectionLost {
            let mut current = self.current();
            if current.engine.as_ref().is_some_and(|held| held.serial == engine.serial) {
                current.engine = None;
            }
        }
        match (verdict, error) {
            (Verdict::Refused, BollardError::DockerResponseServerError { message, .. }) => ExecutorError::Refused(message),
            (Verdict::Unready, error) => {
                ExecutorError::Unready { what: "the container engine did not do what it was asked".into(), source: Some(Box::new(error)) }
            }
            (_, error) => self.unreachable(error),
        }
    }

    fn unreachable(&self, error: BollardError) -> ExecutorError {
        ExecutorError::Unreachable { host: self.host.to_string(), source: Box::new(error) }
    }
}

/// What an error of the client library says about the engine.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// The engine understood and said no.
    Refused,
    /// The engine answered something that cannot be used; asking again may help.
    Unready,
    /// The engine may be gone, or be another one than before.
    ConnectionLost,
}

impl Verdict {
    fn on(error: &BollardError) -> Self {
        match error {
            BollardError::DockerResponseServerError { status_code: 400, message } if message.contains("API version") => {
                // "client version 1.53 is too new": another engine answers at this address now.
                Self::ConnectionLost
            }
            // A proxy before the engine, or an engine that is going down.
            BollardError::DockerResponseServerError { status_code: 502..=504, .. } => Self::Unready,
            BollardError::DockerResponseServerError { .. } => Self::Refused,
            BollardError::JsonDataError { .. } | BollardError::RequestTimeoutError => Self::Unready,
            // The rest are failures of the transport; an answer cut short shows as one of JSON.
            _ => Self::ConnectionLost,
        }
    }
}

/// Status of an answer that refuses, if `error` is one.
pub(super) fn status_of(error: &BollardError) -> Option<u16> {
    match error {
        BollardError::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status_code: u16, message: &str) -> BollardError {
        BollardError::DockerResponseServerError { status_code, message: message.into() }
    }

    #[test]
    fn only_unix_and_tcp_addresses_are_taken() {
        for good in ["unix:///run/docker.sock", "tcp://10.0.0.1:2375"] {
            assert!(EngineLink::new(good).is_ok(), "{good}");
        }
        for bad in ["", "unix://", "npipe:////./pipe/docker", "ssh://host", "/run/docker.sock"] {
            assert!(EngineLink::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn verdicts() {
        assert_eq!(Verdict::on(&answer(404, "No such image: x")), Verdict::Refused);
        assert_eq!(Verdict::on(&answer(500, "port is already allocated")), Verdict::Refused);
        assert_eq!(Verdict::on(&answer(503, "")), Verdict::Unready);
        let old = answer(400, "client version 1.53 is too new. Maximum supported API version is 1.41");
        assert_eq!(Verdict::on(&old), Verdict::ConnectionLost);
        let gone = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        assert_eq!(Verdict::on(&gone.into()), Verdict::ConnectionLost);
    }

    #[tokio::test]
    async fn an_absent_engine_is_a_temporary_error() {
        let link = EngineLink::new("unix:///nonexistent/docker.sock").expect("a good address");
        let error = link.engine().await.err().expect("nobody is there");
        assert!(error.is_temporary());
        assert_eq!(error.to_string(), "cannot reach the container engine at unix:///nonexistent/docker.sock");
    }
}
