//! Who answers a path.

use http::Method;

/// Who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// The gateway: `/_ping`.
    Ping,
    /// The engine, with our part put in: `/info`.
    Info,
    /// The engine's and the cluster's, in one stream: `/events`.
    Events,
    /// The engine's and the cluster's, as one list: `/networks`.
    Networks,
    /// One of either: `/networks/{id}`, shown or removed.
    Network,
    /// One of either: `/networks/create`.
    NetworkCreate,
    /// Both: `/networks/prune`.
    NetworksPrune,
    /// This host's node: `/swarm/init`.
    Init,
    /// This host's node: `/swarm/join`.
    Join,
    /// This host's node: `/swarm/leave`.
    Leave,
    /// This host's node: `/swarm/unlock`.
    Unlock,
    /// The local manager: everything about the cluster.
    Manager,
    /// Nobody: a path of ours with a method it does not have.
    Nowhere,
    /// dockerd, untouched.
    Engine,
}

/// First parts of paths that are about the cluster.
const CLUSTER: [&str; 6] = ["swarm", "nodes", "services", "tasks", "secrets", "configs"];

/// Who answers this path (without its version prefix).
#[must_use]
pub fn route(method: &Method, path: &str) -> Route {
    let only = |wanted: &Method, route| {
        if method == wanted { route } else { Route::Nowhere }
    };
    match path {
        "/_ping" if matches!(*method, Method::GET | Method::HEAD) => Route::Ping,
        "/_ping" => Route::Nowhere,
        "/info" => only(&Method::GET, Route::Info),
        "/events" => only(&Method::GET, Route::Events),
        "/swarm/init" => only(&Method::POST, Route::Init),
        "/swarm/join" => only(&Method::POST, Route::Join),
        "/swarm/leave" => only(&Method::POST, Route::Leave),
        "/swarm/unlock" => only(&Method::POST, Route::Unlock),
        "/networks" if *method == Method::GET => Route::Networks,
        "/networks/create" if *method == Method::POST => Route::NetworkCreate,
        "/networks/prune" if *method == Method::POST => Route::NetworksPrune,
        path if is_network(path) && matches!(*method, Method::GET | Method::DELETE) => Route::Network,
        path => {
            let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
            if CLUSTER.contains(&first) { Route::Manager } else { Route::Engine }
        }
    }
}

/// `/networks/{id}`.
fn is_network(path: &str) -> bool {
    path.strip_prefix("/networks/").is_some_and(|id| !id.is_empty() && !id.contains('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_path_has_its_answerer() {
        let get = |path| route(&Method::GET, path);
        let post = |path| route(&Method::POST, path);
        assert_eq!((get("/_ping"), route(&Method::HEAD, "/_ping"), post("/_ping")), (Route::Ping, Route::Ping, Route::Nowhere));
        assert_eq!((get("/info"), post("/info")), (Route::Info, Route::Nowhere));
        assert_eq!((post("/swarm/init"), get("/swarm/init")), (Route::Init, Route::Nowhere));
        assert_eq!((get("/events"), post("/events")), (Route::Events, Route::Nowhere));
        assert_eq!((post("/swarm/join"), post("/swarm/leave"), post("/swarm/unlock")), (Route::Join, Route::Leave, Route::Unlock));
        for path in ["/swarm", "/swarm/unlockkey", "/nodes", "/nodes/x/update", "/services/create", "/tasks", "/secrets/a", "/configs"] {
            assert_eq!(get(path), Route::Manager, "{path}");
        }
        assert_eq!(
            (get("/networks"), get("/networks/a"), post("/networks/create")),
            (Route::Networks, Route::Network, Route::NetworkCreate)
        );
        assert_eq!((post("/networks/prune"), post("/networks/a/connect")), (Route::NetworksPrune, Route::Engine));
        for path in ["/version", "/nodesx", "/containers/nodes/json", "/images/swarm/json", "/events/x", "/grpc", "/session", "/", ""] {
            assert_eq!(get(path), Route::Engine, "{path}");
        }
    }
}
