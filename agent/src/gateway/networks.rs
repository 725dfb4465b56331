//! `/networks`: the engine's and the cluster's as one, as Docker has them.
//!
//! The engine's networks that only stand for cluster networks are never shown as its own. On a manager the cluster's are
//! shown in their place; a worker knows of the cluster's networks only those that its tasks are on.

use super::{
    Gateway, MANAGER_VERSION, NEWEST, Target, body,
    reply::{self, Body},
    status::{self, Failure},
    uri,
};
use crate::{
    backend::{self, Answer},
    error_chain::chain,
    membership::ManagerView,
    network::OPTION_NETWORK,
};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use serde_json::{Map, Value, json};

/// Bytes of a list of networks at most.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Only networks that are not ours are pruned by the engine.
const NOT_OURS: &str = "com.docker.swarm.network";

/// A network that was found by a name or id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Found<'a> {
    id: &'a str,
    name: &'a str,
}

/// Whose network was meant.
#[derive(Debug, PartialEq, Eq)]
enum Owner {
    Engine,
    Cluster,
    /// Both have one, and this is what is said about it.
    Nobody(String),
}

impl Gateway {
    /// `GET /networks`
    pub(super) async fn networks(&self, target: &Target) -> Result<Response<Body>, Failure> {
        let engine = self.engine_networks(Method::GET, target, Bytes::new()).await?;
        if !engine.status.is_success() {
            return Ok(passed(engine));
        }
        let cluster = self.cluster_networks(Method::GET, &format!("{}{}", target.path, target.query), target).await;
        let mut list = match &cluster {
            // A cluster that cannot be asked hides nothing of the engine's.
            Some(answer) if answer.status.is_success() => read_list(&answer.body)?,
            Some(answer) if answer.status == StatusCode::BAD_REQUEST => return Ok(passed(cluster.expect("it is there"))),
            _ => Vec::new(),
        };
        let told = cluster.is_some_and(|answer| answer.status.is_success());
        for network in read_list(&engine.body)? {
            match self.is_shadow(&network) {
                false => list.push(network),
                true if !told => list.push(as_cluster_network(network)),
                true => {}
            }
        }
        Ok(reply::json(StatusCode::OK, &list))
    }

    /// `GET /networks/{id}` and `DELETE /networks/{id}`.
    pub(super) async fn network(&self, request: Request<Incoming>, target: &Target) -> Result<Response<Body>, Failure> {
        let name = target.path.trim_start_matches("/networks/").to_owned();
        let look = Target { version: target.version, path: target.path.clone(), query: scope_of(&target.query) };
        let is_local_only = target.query.contains("scope=local");
        let is_cluster_only = target.query.contains("scope=swarm");
        let engine = self.engine_networks(Method::GET, &look, Bytes::new()).await?;
        let shown: Value = serde_json::from_slice(&engine.body).unwrap_or_default();
        let is_shadow = engine.status.is_success() && self.is_shadow(&shown);
        // What stands for a cluster network leads to that one, however it was called.
        let meant = if is_shadow { shown["Options"][OPTION_NETWORK].as_str().unwrap_or(&name).to_owned() } else { name.clone() };
        let cluster = if is_local_only {
            None
        } else {
            self.cluster_networks(Method::GET, &format!("/networks/{meant}{}", look.query), target).await
        };
        let of_cluster: Value = cluster.as_ref().map(|answer| serde_json::from_slice(&answer.body).unwrap_or_default()).unwrap_or_default();
        let found = |value: &'_ Value| Some((value["Id"].as_str()?.to_owned(), value["Name"].as_str()?.to_owned()));
        let local = (engine.status.is_success() && !is_shadow && !is_cluster_only).then(|| found(&shown)).flatten();
        let global = cluster.as_ref().filter(|answer| answer.status.is_success()).and_then(|_| found(&of_cluster));
        let l = local.as_ref().map(|(id, name)| Found { id, name });
        let g = global.as_ref().map(|(id, name)| Found { id, name });
        let meant = owner(&name, l, g);
        let is_delete = *request.method() == Method::DELETE;
        match (meant, cluster) {
            (Owner::Nobody(why), _) => Err(Failure::new(StatusCode::BAD_REQUEST, why)),
            (Owner::Cluster, Some(answer)) if global.is_some() && !is_delete => Ok(passed(answer)),
            (Owner::Cluster, Some(_)) if global.is_some() => {
                let id = global.map(|(id, _)| id).unwrap_or_default();
                let on = Target { version: target.version, path: format!("/networks/{id}"), query: String::new() };
                self.to_manager(request, &on).await
            }
            // The manager says more than that it has none.
            (_, Some(answer)) if local.is_none() && answer.status != StatusCode::NOT_FOUND => Ok(passed(answer)),
            _ if is_shadow && is_delete => Err(Failure { status: StatusCode::FORBIDDEN, ..status::no_manager(&self.membership.view()) }),
            _ if is_shadow => Ok(reply::json(StatusCode::OK, &as_cluster_network(shown))),
            _ if is_delete => self.to_engine(request, target).await,
            _ => Ok(passed(engine)),
        }
    }

    /// `POST /networks/create`: the cluster's by its driver or scope.
    pub(super) async fn create_network(&self, request: Request<Incoming>, target: &Target) -> Result<Response<Body>, Failure> {
        let (head, body) = request.into_parts();
        let bytes = body::read(body).await?;
        let wanted: Map<String, Value> = serde_json::from_slice(&bytes).unwrap_or_default();
        let is = |key: &str, word: &str| wanted.get(key).and_then(Value::as_str) == Some(word);
        if !is("Driver", "overlay") && !is("Scope", "swarm") {
            return Ok(passed(self.engine_networks(head.method, target, bytes).await?));
        }
        let view = self.membership.view();
        let refused = || Failure { status: StatusCode::FORBIDDEN, ..status::no_manager(&self.membership.view()) };
        if view.manager == ManagerView::None {
            return Err(refused());
        }
        let path = format!("{}{}", target.path, target.query);
        let answer = self.ask_manager(head.method, &path, target, bytes).await.ok_or_else(refused)?;
        Ok(passed(answer))
    }

    /// `POST /networks/prune`: what nothing uses, here and in the cluster.
    pub(super) async fn prune_networks(&self, target: &Target) -> Result<Response<Body>, Failure> {
        let spared = Target { version: target.version, path: target.path.clone(), query: sparing(&target.query) };
        let engine = self.engine_networks(Method::POST, &spared, Bytes::new()).await?;
        if !engine.status.is_success() {
            return Ok(passed(engine));
        }
        let cluster = self.cluster_networks(Method::POST, &format!("{}{}", target.path, target.query), target).await;
        let deleted = |body: &Bytes| {
            let value: Value = serde_json::from_slice(body).unwrap_or_default();
            value["NetworksDeleted"].as_array().cloned().unwrap_or_default()
        };
        let mut all = deleted(&engine.body);
        all.extend(cluster.iter().filter(|answer| answer.status.is_success()).flat_map(|answer| deleted(&answer.body)));
        Ok(reply::json(StatusCode::OK, &json!({ "NetworksDeleted": all })))
    }

    /// Whether one of the engine's networks stands for a cluster network, whichever agent of the host made it.
    fn is_shadow(&self, network: &Value) -> bool {
        network["Options"][OPTION_NETWORK].is_string()
    }

    async fn engine_networks(&self, method: Method, target: &Target, bytes: Bytes) -> Result<Answer, Failure> {
        let endpoint = self.engine.endpoint();
        let request = Request::builder()
            .method(method)
            .uri(self.engine_uri(target).await?)
            .header(header::HOST, "docker")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(bytes))
            .expect("the parts are valid");
        let asked = async { backend::collect(endpoint, backend::send(endpoint, request).await?, ANSWER_BYTES_MAX).await };
        let answer = asked.await.map_err(|error| self.engine_failure(&error))?;
        self.engine.notice(&answer.headers);
        Ok(answer)
    }

    /// The manager's answer; `None` where there is no manager, or none that answers.
    async fn cluster_networks(&self, method: Method, path: &str, target: &Target) -> Option<Answer> {
        if self.membership.view().manager == ManagerView::None {
            return None;
        }
        self.ask_manager(method, path, target, Bytes::new()).await
    }

    async fn ask_manager(&self, method: Method, path: &str, target: &Target, bytes: Bytes) -> Option<Answer> {
        let version = target.version.unwrap_or(NEWEST).to_string();
        let request = Request::builder()
            .method(method)
            .uri(uri(path).ok()?)
            .header(header::HOST, "localhost")
            .header(header::CONTENT_TYPE, "application/json")
            .header(MANAGER_VERSION, HeaderValue::try_from(version).expect("digits and a dot are a header value"))
            .body(Full::new(bytes))
            .expect("the parts are valid");
        let endpoint = self.manager.endpoint();
        let asked = async { backend::collect(endpoint, backend::send(endpoint, request).await?, ANSWER_BYTES_MAX).await };
        match asked.await {
            Ok(answer) => Some(answer),
            Err(error) => {
                tracing::warn!(error = %chain(&error), "the manager's networks cannot be had");
                None
            }
        }
    }
}

/// Docker's order: a whole id, then a whole name, then the beginning of an id.
fn owner(input: &str, engine: Option<Found<'_>>, cluster: Option<Found<'_>>) -> Owner {
    let (Some(engine), Some(cluster)) = (engine, cluster) else {
        return if cluster.is_some() { Owner::Cluster } else { Owner::Engine };
    };
    let ambiguous = |by: &str| Owner::Nobody(format!("2 matches found based on {by}: network {input} is ambiguous"));
    match () {
        () if engine.id == input => Owner::Engine,
        () if cluster.id == input => Owner::Cluster,
        () if engine.name == input && cluster.name == input => ambiguous("name"),
        () if engine.name == input => Owner::Engine,
        () if cluster.name == input => Owner::Cluster,
        () => ambiguous("ID prefix"),
    }
}

/// The network behind a stand-in, as far as this host knows it.
fn as_cluster_network(mut network: Value) -> Value {
    let id = network["Options"][OPTION_NETWORK].clone();
    network["Id"] = id;
    network["Driver"] = "overlay".into();
    network["Scope"] = "swarm".into();
    if let Some(options) = network["Options"].as_object_mut() {
        options.remove(OPTION_NETWORK);
    }
    if let Some(labels) = network["Labels"].as_object_mut() {
        labels.remove(NOT_OURS);
    }
    network
}

fn read_list(body: &Bytes) -> Result<Vec<Value>, Failure> {
    let unreadable = |error| Failure::new(StatusCode::INTERNAL_SERVER_ERROR, format!("a list of networks cannot be read: {error}"));
    let list: Option<Vec<Value>> = serde_json::from_slice(body).map_err(unreadable)?;
    Ok(list.unwrap_or_default())
}

/// An answer as it came.
fn passed(answer: Answer) -> Response<Body> {
    let mut response = Response::new(reply::full(answer.body));
    *response.status_mut() = answer.status;
    if let Some(kind) = answer.headers.get(header::CONTENT_TYPE) {
        response.headers_mut().insert(header::CONTENT_TYPE, kind.clone());
    }
    response
}

/// The query without what asks for one scope: which network stands for which is to be seen in any case.
fn scope_of(query: &str) -> String {
    let kept: Vec<_> = query.trim_start_matches('?').split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("scope=")).collect();
    if kept.is_empty() { String::new() } else { format!("?{}", kept.join("&")) }
}

/// The query of a prune with a filter more, so that the engine keeps what stands for cluster networks.
fn sparing(query: &str) -> String {
    let pairs = form_urlencoded(query);
    let given = pairs.iter().find(|(key, _)| key == "filters").map(|(_, value)| value.clone()).unwrap_or_default();
    let mut filters: Map<String, Value> = serde_json::from_str(&given).unwrap_or_default();
    match filters.entry("label!").or_insert_with(|| json!({})) {
        Value::Array(list) => list.push(NOT_OURS.into()),
        Value::Object(map) => {
            map.insert(NOT_OURS.into(), true.into());
        }
        other => *other = json!({ NOT_OURS: true }),
    }
    format!("?filters={}", percent_encoded(&Value::Object(filters).to_string()))
}

/// The pairs of a query, decoded.
fn form_urlencoded(query: &str) -> Vec<(String, String)> {
    let pairs = query.trim_start_matches('?').split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(key, value)| (decoded(key), decoded(value))).collect()
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = tail.get(..2).and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        rest = tail;
        match (*first, hex) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            (b'+', _) => bytes.push(b' '),
            (byte, _) => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn percent_encoded(text: &str) -> String {
    text.bytes().map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_ids_and_names_win_over_beginnings() {
        let found = |id, name| Some(Found { id, name });
        let (engine, cluster) = (found("abc1", "front"), found("abd2", "back"));
        assert_eq!(owner("abc1", engine, cluster), Owner::Engine);
        assert_eq!(owner("abd2", engine, cluster), Owner::Cluster);
        assert_eq!(owner("back", engine, cluster), Owner::Cluster);
        let both = owner("ab", engine, cluster);
        assert_eq!(both, Owner::Nobody("2 matches found based on ID prefix: network ab is ambiguous".into()));
        assert!(matches!(owner("x", found("1", "x"), found("2", "x")), Owner::Nobody(_)));
        assert_eq!(
            (owner("x", None, cluster), owner("x", engine, None), owner("x", None, None)),
            (Owner::Cluster, Owner::Engine, Owner::Engine)
        );
    }

    #[test]
    fn a_stand_in_is_shown_as_what_it_stands_for() {
        let shown = as_cluster_network(json!({
            "Id": "e", "Name": "net", "Driver": "sw012345", "Scope": "local",
            "Options": {"swarm.network": "c"}, "Labels": {"com.docker.swarm.network": "c"},
        }));
        assert_eq!(shown, json!({"Id": "c", "Name": "net", "Driver": "overlay", "Scope": "swarm", "Options": {}, "Labels": {}}));
    }

    #[test]
    fn the_engine_prunes_only_its_own() {
        let filters = |query: &str| decoded(sparing(query).trim_start_matches("?filters="));
        assert_eq!(filters(""), r#"{"label!":{"com.docker.swarm.network":true}}"#);
        assert_eq!(
            filters("?filters=%7B%22until%22%3A%7B%221h%22%3Atrue%7D%7D"),
            r#"{"label!":{"com.docker.swarm.network":true},"until":{"1h":true}}"#
        );
        assert_eq!(scope_of("?scope=local&verbose=1"), "?verbose=1");
    }
}
