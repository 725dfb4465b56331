//! `/_ping` and `/info`: what is told of the engine and of the swarm together.

use super::{
    Gateway, Target, proxy,
    reply::{self, Body},
    status::{self, Failure},
};
use crate::membership::{ManagerPhase, ManagerStatus, ManagerView, NodeView};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use swarm_types::{LocalNodeState, SwarmInfo};

/// Bytes of the engine's `/info` at most.
const INFO_BYTES_MAX: usize = 16 << 20;

const SWARM: HeaderName = HeaderName::from_static("swarm");

/// Docker's words for a cluster that writes nothing.
const NO_LEADER: &str = "rpc error: code = Unknown desc = The swarm does not have a leader. It's possible that too few managers \
     are online. Make sure more than half of the managers are online.";

const TWO_MANAGERS: &str = "WARNING: Running Swarm in a two-manager configuration. This configuration provides
         no fault tolerance, and poses a high risk to lose control over the cluster.
         Refer to https://docs.docker.com/engine/swarm/admin_guide/ to configure the
         Swarm for fault-tolerance.";

impl Gateway {
    pub(super) async fn ping(&self, is_head: bool) -> Response<Body> {
        // An engine that is away does not make this host's API unreachable: what was known last is answered.
        let facts = match self.engine.facts().await {
            Ok(facts) => facts,
            Err(error) => {
                tracing::debug!(%error, "the engine does not answer a ping");
                self.engine.last_facts()
            }
        };
        let mut response = if is_head { reply::done() } else { Response::new(reply::full(Bytes::from_static(b"OK"))) };
        let headers = response.headers_mut();
        let constants = [
            (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
            (header::CACHE_CONTROL, "no-cache, no-store, must-revalidate"),
            (header::PRAGMA, "no-cache"),
            (SWARM, swarm_word(&self.membership.view())),
        ];
        headers.extend(constants.map(|(name, value)| (name, HeaderValue::from_static(value))));
        headers.extend(facts.builder());
        response
    }

    /// The engine's `/info` with our swarm in it.
    pub(super) async fn info(&self, request: Request<Incoming>, target: &Target) -> Result<Response<Body>, Failure> {
        let uri = self.engine_uri(target).await?;
        let forwarded = proxy::forward(self.engine.endpoint(), request, uri, &self.joined).await;
        let response = forwarded.map_err(|error| self.engine_failure(&error))?;
        self.engine.notice(response.headers());
        if !response.status().is_success() {
            return Ok(response);
        }
        let (mut head, body) = response.into_parts();
        let body = Limited::new(body, INFO_BYTES_MAX).collect().await.map_err(|error| unreadable(&error.to_string()))?;
        let mut info: serde_json::Map<String, serde_json::Value> =
            serde_json::from_slice(&body.to_bytes()).map_err(|error| unreadable(&error.to_string()))?;
        let swarm = serde_json::to_value(self.swarm_info().await).map_err(|error| unreadable(&error.to_string()))?;
        info.insert("Swarm".to_owned(), swarm);
        let text = serde_json::to_vec(&info).map_err(|error| unreadable(&error.to_string()))?;
        forget_length(&mut head.headers);
        Ok(Response::from_parts(head, reply::full(text)))
    }

    async fn swarm_info(&self) -> SwarmInfo {
        let view = self.membership.view();
        let manager = match view.manager {
            ManagerView::None => None,
            ManagerView::NotReady | ManagerView::Ready => self.membership.manager_status().await,
        };
        swarm_info(&view, manager)
    }
}

fn unreadable(what: &str) -> Failure {
    Failure::new(StatusCode::INTERNAL_SERVER_ERROR, format!("the Docker daemon's info cannot be read: {what}"))
}

fn forget_length(headers: &mut HeaderMap) {
    headers.remove(header::CONTENT_LENGTH);
}

/// The `Swarm` header of a ping.
fn swarm_word(view: &NodeView) -> &'static str {
    match (view.state, view.manager) {
        (LocalNodeState::Active, ManagerView::Ready) => "active/manager",
        (LocalNodeState::Active, ManagerView::None | ManagerView::NotReady) => "active/worker",
        (state, _) => state.as_str(),
    }
}

/// The swarm in `/info`.
fn swarm_info(view: &NodeView, manager: Option<ManagerStatus>) -> SwarmInfo {
    let mut info = SwarmInfo {
        node_id: view.node_id.map(|id| id.to_string()).unwrap_or_default(),
        node_addr: view.node_addr.clone(),
        local_node_state: view.state,
        error: if view.is_expired { status::EXPIRED.to_owned() } else { view.error.clone() },
        remote_managers: (!view.managers.is_empty()).then(|| view.managers.clone()),
        ..SwarmInfo::default()
    };
    if let Some(manager) = manager.filter(|manager| manager.state == ManagerPhase::Ready) {
        info.control_available = true;
        info.nodes = manager.nodes;
        info.managers = manager.managers;
        info.cluster = manager.cluster;
        if let Some(cluster) = &mut info.cluster {
            cluster.join_tokens = None;
        }
        if !manager.remote_managers.is_empty() {
            info.remote_managers = Some(manager.remote_managers);
        }
        if !manager.has_leader {
            info.error = NO_LEADER.to_owned();
        }
        if manager.managers == 2 && matches!(view.state, LocalNodeState::Active | LocalNodeState::Pending) {
            info.warnings.push(TWO_MANAGERS.to_owned());
        }
    }
    info
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manager() -> ManagerStatus {
        serde_json::from_str(r#"{"state":"ready","has_leader":true,"nodes":3,"managers":1}"#).expect("a status")
    }

    #[test]
    fn the_ping_header_has_dockers_words() {
        let word = |state, manager| swarm_word(&NodeView { state, manager, ..NodeView::default() });
        assert_eq!(word(LocalNodeState::Inactive, ManagerView::None), "inactive");
        assert_eq!(word(LocalNodeState::Pending, ManagerView::NotReady), "pending");
        assert_eq!(word(LocalNodeState::Error, ManagerView::None), "error");
        assert_eq!(word(LocalNodeState::Active, ManagerView::None), "active/worker");
        assert_eq!(word(LocalNodeState::Active, ManagerView::Ready), "active/manager");
    }

    #[test]
    fn outside_a_swarm_info_is_as_dockers() {
        let text = serde_json::to_string(&swarm_info(&NodeView::default(), None)).expect("serializes");
        assert_eq!(
            text,
            r#"{"NodeID":"","NodeAddr":"","LocalNodeState":"inactive","ControlAvailable":false,"Error":"","RemoteManagers":null}"#
        );
    }

    #[test]
    fn only_a_ready_manager_controls() {
        let view = NodeView { state: LocalNodeState::Active, ..NodeView::default() };
        let info = swarm_info(&view, Some(manager()));
        assert_eq!((info.control_available, info.nodes, info.managers), (true, 3, 1));
        assert!(info.error.is_empty() && info.warnings.is_empty());
        let starting = ManagerStatus { state: ManagerPhase::Starting, ..manager() };
        assert!(!swarm_info(&view, Some(starting)).control_available);
        let leaderless = ManagerStatus { has_leader: false, ..manager() };
        assert_eq!(swarm_info(&view, Some(leaderless)).error, NO_LEADER);
        let two = ManagerStatus { managers: 2, ..manager() };
        assert_eq!(swarm_info(&view, Some(two)).warnings.len(), 1);
    }
}
