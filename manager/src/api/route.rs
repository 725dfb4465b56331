//! The paths of the API.

use super::{ApiError, api_version::ApiVersion, later, status::ApiError::NoSuchPage};
use http::Method;

/// What is asked for. Objects are named as the user wrote them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    Swarm,
    SwarmUpdate,
    UnlockKey,
    Nodes,
    Node(String),
    NodeUpdate(String),
    NodeRemove(String),
    Services,
    Service(String),
    ServiceCreate,
    ServiceUpdate(String),
    ServiceRemove(String),
    Tasks,
    Task(String),
    Events,
    Networks,
    Network(String),
    NetworkCreate,
    NetworkRemove(String),
    NetworksPrune,
    Payloads(PayloadKind),
    Payload(PayloadKind, String),
    PayloadCreate(PayloadKind),
    PayloadUpdate(PayloadKind, String),
    PayloadRemove(PayloadKind, String),
}

/// What a payload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PayloadKind {
    Secret,
    Config,
}

impl PayloadKind {
    /// The kind behind the first part of a path.
    fn of(part: &str) -> Option<Self> {
        match part {
            "secrets" => Some(Self::Secret),
            "configs" => Some(Self::Config),
            _ => None,
        }
    }
}

impl Route {
    /// The route of a path, with or without a version in front.
    ///
    /// # Errors
    /// [`ApiError::NoSuchPage`], or [`ApiError::Later`] where a later version will have it.
    pub(super) fn of(method: &Method, path: &str) -> Result<(Self, Option<ApiVersion>), ApiError> {
        let mut parts =
            path.strip_prefix('/').unwrap_or(path).split('/').map(decoded).collect::<Option<Vec<String>>>().ok_or(NoSuchPage)?;
        let version = parts.first().and_then(|first| first.strip_prefix('v')).and_then(|v| v.parse().ok());
        if version.is_some() {
            parts.remove(0);
        }
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        if let Some(later) = later::path(method, &parts) {
            return Err(later.into());
        }
        let id = |id: &str| id.to_owned();
        let route = match (method.as_str(), parts.as_slice()) {
            (_, [.., ""]) => return Err(NoSuchPage),
            ("GET", ["swarm"]) => Self::Swarm,
            ("POST", ["swarm", "update"]) => Self::SwarmUpdate,
            ("GET", ["swarm", "unlockkey"]) => Self::UnlockKey,
            ("GET", ["nodes"]) => Self::Nodes,
            ("GET", ["nodes", node]) => Self::Node(id(node)),
            ("POST", ["nodes", node, "update"]) => Self::NodeUpdate(id(node)),
            ("DELETE", ["nodes", node]) => Self::NodeRemove(id(node)),
            ("GET", ["services"]) => Self::Services,
            ("GET", ["services", service]) => Self::Service(id(service)),
            ("POST", ["services", "create"]) => Self::ServiceCreate,
            ("POST", ["services", service, "update"]) => Self::ServiceUpdate(id(service)),
            ("DELETE", ["services", service]) => Self::ServiceRemove(id(service)),
            ("GET", ["tasks"]) => Self::Tasks,
            ("GET", ["tasks", task]) => Self::Task(id(task)),
            ("GET", ["events"]) => Self::Events,
            ("GET", ["networks"]) => Self::Networks,
            ("GET", ["networks", network]) => Self::Network(id(network)),
            ("POST", ["networks", "create"]) => Self::NetworkCreate,
            ("POST", ["networks", "prune"]) => Self::NetworksPrune,
            ("DELETE", ["networks", network]) => Self::NetworkRemove(id(network)),
            (method, [first, rest @ ..]) => Self::of_payload(method, PayloadKind::of(first).ok_or(NoSuchPage)?, rest)?,
            _ => return Err(NoSuchPage),
        };
        Ok((route, version))
    }

    /// The route of a path about secrets or configs; `rest` is what follows that word.
    fn of_payload(method: &str, kind: PayloadKind, rest: &[&str]) -> Result<Self, ApiError> {
        Ok(match (method, rest) {
            ("GET", []) => Self::Payloads(kind),
            ("GET", [object]) => Self::Payload(kind, (*object).to_owned()),
            ("POST", ["create"]) => Self::PayloadCreate(kind),
            ("POST", [object, "update"]) => Self::PayloadUpdate(kind, (*object).to_owned()),
            ("DELETE", [object]) => Self::PayloadRemove(kind, (*object).to_owned()),
            _ => return Err(NoSuchPage),
        })
    }

    /// Whether it changes nothing, so that it may be asked twice.
    pub(super) fn is_read(&self) -> bool {
        use Route::{Events, Network, Networks, Node, Nodes, Payload, Payloads, Service, Services, Swarm, Task, Tasks, UnlockKey};
        let one = matches!(self, Node(_) | Service(_) | Task(_) | Network(_) | Payload(..));
        one || matches!(self, Swarm | UnlockKey | Nodes | Services | Tasks | Networks | Events | Payloads(_))
    }

    /// Whether only the leader can answer: writes, and nodes, because only the leader knows which managers answer.
    pub(super) fn needs_leader(&self) -> bool {
        !self.is_read() || matches!(self, Self::Nodes | Self::Node(_))
    }
}

/// A part of a path without its percent signs; `None` if it is not text then.
fn decoded(part: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        let hex = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
        match (first, after) {
            (b'%', [high, low, after @ ..]) => {
                bytes.push(hex(*high)? << 4 | hex(*low)?);
                rest = after;
            }
            (b'%', _) => return None,
            (byte, _) => bytes.push(*byte),
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(method: Method, path: &str) -> Result<Route, String> {
        Route::of(&method, path).map(|(route, _)| route).map_err(|e| e.to_string())
    }

    #[test]
    fn paths_have_routes_with_or_without_a_version() {
        let cases = [
            (Method::GET, "/swarm", Route::Swarm),
            (Method::GET, "/v1.41/services/web", Route::Service("web".into())),
            (Method::POST, "/services/create", Route::ServiceCreate),
            (Method::POST, "/v1.53/services/create/update", Route::ServiceUpdate("create".into())),
            (Method::DELETE, "/nodes/a%2Fb%20c", Route::NodeRemove("a/b c".into())),
            (Method::GET, "/tasks/web.1.x", Route::Task("web.1.x".into())),
            (Method::GET, "/v1.30/configs", Route::Payloads(PayloadKind::Config)),
            (Method::GET, "/secrets/create", Route::Payload(PayloadKind::Secret, "create".into())),
            (Method::POST, "/secrets/create", Route::PayloadCreate(PayloadKind::Secret)),
            (Method::POST, "/configs/a/update", Route::PayloadUpdate(PayloadKind::Config, "a".into())),
            (Method::GET, "/v1.41/networks", Route::Networks),
            (Method::GET, "/networks/create", Route::Network("create".into())),
            (Method::POST, "/networks/create", Route::NetworkCreate),
            (Method::POST, "/networks/prune", Route::NetworksPrune),
            (Method::DELETE, "/networks/a", Route::NetworkRemove("a".into())),
            (Method::DELETE, "/configs/a", Route::PayloadRemove(PayloadKind::Config, "a".into())),
        ];
        for (method, path, expected) in cases {
            assert_eq!(route(method, path), Ok(expected), "{path}");
        }
        assert_eq!(Route::of(&Method::GET, "/v1.41/tasks").ok().and_then(|(_, v)| v), "1.41".parse().ok());
    }

    #[test]
    fn everything_else_is_not_found_or_comes_later() {
        let missing = [
            "",
            "/",
            "//",
            "/nodes/",
            "/nodes//update",
            "/services/a/b",
            "/v1.41",
            "/x",
            "/nodes/%zz",
            "/nodes/%f",
            "/nodes/%ff",
            "/swarm/init",
            "/secrets/a/b",
            "/configs/",
        ];
        for path in missing {
            assert_eq!(route(Method::GET, path), Err("page not found".into()), "{path}");
        }
        assert_eq!(route(Method::PUT, "/swarm"), Err("page not found".into()));
        assert_eq!(route(Method::GET, "/services/create/update"), Err("page not found".into()));
        let later = route(Method::GET, "/v1.44/services/web/logs");
        assert_eq!(later, Err("reading the logs of a service is not supported by this version of Swarm yet".into()));
    }

    #[test]
    fn only_reads_without_reachability_are_local() {
        assert!(!Route::Services.needs_leader() && !Route::Swarm.needs_leader());
        assert!(Route::Nodes.needs_leader() && Route::Nodes.is_read());
        assert!(Route::ServiceCreate.needs_leader() && !Route::ServiceCreate.is_read());
    }
}
