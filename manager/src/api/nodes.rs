//! Nodes. Only the leader answers, because only it knows which managers do.

use super::{
    ApiError, Context,
    commit::{Decision, commit, newest},
    filters::{FilterError, Filters},
    request::Call,
    resolve,
    status::{empty, json},
    swarm,
};
use crate::store::Peer;
use axum::body::Body;
use http::{Response, StatusCode};
use serde::Deserialize;
use std::{str::FromStr, sync::Arc};
use swarm_planner::remove_node;
use swarm_state::{Change, Guard, Node, Object, State, Table};
use swarm_types::{Actor, Availability, InvalidWord, Labels, ManagerStatus, NodeSpec, NodeState, Reachability, Role, Version};

/// The filters of the list.
const FILTERS: &[&str] = &["id", "label", "membership", "name", "node.label", "role"];

/// `GET /nodes`
pub(super) async fn list(context: &Context, call: &Call) -> Result<Response<Body>, ApiError> {
    let state = newest(&context.store).await?;
    swarm::required(&state)?;
    let filters = Filters::parse(call.query.get("filters"), FILTERS)?;
    let roles: Vec<Role> = filters.words("role")?;
    let memberships: Vec<Membership> = filters.words("membership")?;
    let fits = |node: &Node| {
        let host = &node.api.description;
        filters.begins("id", node.id().as_str())
            && filters.begins("name", &host.hostname)
            && filters.labelled("label", &host.engine.labels)
            && filters.labelled("node.label", &node.api.spec.labels)
            && (roles.is_empty() || roles.contains(&node.role))
            && (memberships.is_empty() || memberships.contains(&Membership::Accepted))
    };
    let peers = context.store.peers();
    let nodes: Vec<swarm_types::Node> = state.nodes().filter(|n| fits(n)).map(|n| shown(n, &peers)).collect();
    json(StatusCode::OK, &nodes)
}

/// `GET /nodes/{id}`
pub(super) async fn inspect(context: &Context, input: &str) -> Result<Response<Body>, ApiError> {
    let state = newest(&context.store).await?;
    swarm::required(&state)?;
    json(StatusCode::OK, &shown(resolve::node(&state, input)?, &context.store.peers()))
}

/// Whether a node was let in. Every node was: the token decides.
#[derive(PartialEq, Eq)]
enum Membership {
    Pending,
    Accepted,
}

impl FromStr for Membership {
    type Err = FilterError;

    fn from_str(word: &str) -> Result<Self, FilterError> {
        match word.to_lowercase().as_str() {
            "pending" => Ok(Self::Pending),
            "accepted" => Ok(Self::Accepted),
            _ => Err(FilterError::Word { key: "membership", word: word.to_owned() }),
        }
    }
}

/// The node with what Raft says of it.
fn shown(node: &Node, peers: &[Peer]) -> swarm_types::Node {
    let member = peers.iter().find(|peer| peer.node_id == node.id());
    let manager_status = member.map(|peer| ManagerStatus {
        leader: peer.leader,
        reachability: match peer.reachable {
            Some(true) => Reachability::Reachable,
            Some(false) => Reachability::Unreachable,
            None => Reachability::Unknown,
        },
        addr: peer.addr.clone(),
    });
    swarm_types::Node { manager_status, ..node.api.clone() }
}

/// Body of the update. Role and availability must be given: an absent role is not "worker".
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
struct NodeUpdate {
    name: String,
    labels: Labels,
    role: String,
    availability: String,
}

impl TryFrom<NodeUpdate> for NodeSpec {
    type Error = ApiError;

    fn try_from(update: NodeUpdate) -> Result<Self, ApiError> {
        fn word<T: FromStr<Err = InvalidWord>>(word: &str) -> Result<T, ApiError> {
            word.parse().map_err(|e: InvalidWord| ApiError::NodeWord { kind: e.kind, word: e.word })
        }
        let (role, availability) = (word::<Role>(&update.role)?, word::<Availability>(&update.availability)?);
        Ok(Self { name: update.name, labels: update.labels, role, availability })
    }
}

/// `POST /nodes/{id}/update`
pub(super) async fn update(context: &Context, call: &Call, input: &str) -> Result<Response<Body>, ApiError> {
    let update: NodeUpdate = call.json()?;
    let version = call.query.version("node")?;
    let spec = NodeSpec::try_from(update)?;
    let decide = |state: &State| {
        swarm::required(state)?;
        let node = resolve::node(state, input)?;
        check_role(state, &context.store.peers(), node, spec.role)?;
        // As with services: what the managers noted of the node since its spec changed is none of the client's business.
        if version < node.spec_version || version > node.api.version {
            return Err(ApiError::OutOfSequence);
        }
        let mut updated = (**node).clone();
        updated.api.spec = spec.clone();
        updated.api.updated_at = Context::now();
        updated.spec_version = Version::default();
        // Two demotions at once must know of each other: together they could leave no manager.
        let demotes = node.api.spec.role == Role::Manager && spec.role == Role::Worker;
        let guards = if demotes { vec![Guard::Unchanged(Table::Nodes, state.applied())] } else { Vec::new() };
        let changes = vec![Change::update(Object::Node(Arc::new(updated)))];
        Ok(Decision { by: Actor::Operator, guards, changes, answer: () })
    };
    commit(&context.store, decide).await?;
    Ok(empty(StatusCode::OK))
}

/// Refuses a demotion that would leave no manager, or too few that answer. The leader follows the role that is recorded, so
/// managers that are to go already count as gone. One that is no member of Raft (yet) takes nothing with it.
fn check_role(state: &State, peers: &[Peer], node: &Node, wanted: Role) -> Result<(), ApiError> {
    if node.api.spec.role == Role::Worker || wanted == Role::Manager {
        return Ok(());
    }
    let stays = |other: &Node| other.id() != node.id() && other.api.spec.role == Role::Manager;
    if !state.nodes().any(|other| stays(other)) {
        return Err(ApiError::DemoteLast);
    }
    if !peers.iter().any(|peer| peer.voter && peer.node_id == node.id()) {
        return Ok(());
    }
    let rest = || peers.iter().filter(|peer| peer.voter && state.node(peer.node_id).is_some_and(|other| stays(other)));
    let answering = rest().filter(|peer| peer.leader || peer.reachable != Some(false)).count();
    if answering < rest().count() / 2 + 1 { Err(ApiError::DemoteQuorum) } else { Ok(()) }
}

/// `DELETE /nodes/{id}`
pub(super) async fn remove(context: &Context, call: &Call, input: &str) -> Result<Response<Body>, ApiError> {
    let force = call.query.loose_flag("force");
    let decide = |state: &State| {
        swarm::required(state)?;
        let node = resolve::node(state, input)?;
        // One that never became a voter may go: the leader then drops it from Raft.
        if context.store.peers().iter().any(|peer| peer.voter && peer.node_id == node.id()) {
            return Err(ApiError::RemoveManager(node.id()));
        }
        if !force && node.api.status.state == NodeState::Ready {
            return Err(ApiError::RemoveReady(node.id()));
        }
        // Only the planner may end tasks, and those of the node end here.
        let changes = remove_node(state, node.id(), Context::now());
        Ok(Decision { by: Actor::Planner, guards: Vec::new(), changes, answer: () })
    };
    commit(&context.store, decide).await?;
    Ok(empty(StatusCode::OK))
}
