//! The Docker Engine API of the cluster: what operators ask for, checked, and turned into one batch of the log.
//!
//! What always holds:
//! - Any manager answers. What only the leader knows or may do is forwarded to it, over one hop; everything else is read
//!   from a local state that holds every write acknowledged before.
//! - A write is decided on a state and stored only if nothing it relied on changed since; otherwise it is decided again.
//! - A request is refused before anything is stored, with Docker's text and status ([`status`] alone knows them), and what
//!   a later version will do is refused by name ([`later`]), never ignored.
//!
//! Deliberately absent: what is local to a host (`/swarm/init`, `/info` …, the gateway of the agent answers those), and any
//! opinion on what runs where.

mod api_version;
mod check;
mod commit;
mod events;
mod expand;
mod filters;
mod go_json;
mod info;
mod later;
mod names;
mod networks;
mod nodes;
mod payloads;
mod query;
mod registry_auth;
mod request;
mod resolve;
mod route;
mod serve;
mod service_write;
mod services;
mod status;
mod swarm;
mod tasks;
#[cfg(test)]
mod tests;

pub use go_json::{DecodeError, decode};
pub use info::cluster_info;
pub use status::ApiError;
pub use swarm_types::validate::complete_swarm as with_cluster_defaults;

use crate::{events::EventLog, store::Store};
use axum::{Router, body::Body, extract::State as Held};
use http::{Request, Response};
use std::{future::Future, pin::Pin, sync::Arc, time::SystemTime};
use swarm_types::{NodeId, RemoteManager, Timestamp};
use tokio::sync::Mutex;

/// Marks a request that another manager forwarded: it is not forwarded again.
#[derive(Debug, Clone, Copy)]
pub struct Forwarded;

/// A future of [`Forward`].
pub type ForwardFuture<'a> = Pin<Box<dyn Future<Output = Result<Response<Body>, ForwardError>> + Send + 'a>>;

/// Sends requests to another manager. The daemon knows how.
pub trait Forward: Send + Sync {
    /// Sends the request and gives back the answer as it comes, error statuses included.
    fn forward<'a>(&'a self, to: &'a RemoteManager, request: Request<Body>) -> ForwardFuture<'a>;
}

/// The other manager gave no answer.
#[derive(Debug, thiserror::Error)]
#[error("manager {} at {} gave no answer: {reason}", to.node_id, to.addr)]
pub struct ForwardError {
    /// Who was asked.
    pub to: RemoteManager,
    /// Why, for people.
    pub reason: String,
    /// Whether the request may have reached it. Only if not may a write be sent again.
    pub sent: bool,
}

/// What the handlers hold.
#[derive(Clone)]
pub struct Context {
    store: Store,
    forward: Arc<dyn Forward>,
    node_id: NodeId,
    /// Held while a service with published ports is stored. Such a write relies on all other services, so without this any
    /// two of them at a time would spoil each other.
    ports: Arc<Mutex<()>>,
    /// Held while a network is created.
    networks: Arc<Mutex<()>>,
    /// What happened lately, for `GET /events`.
    events: EventLog,
}

impl Context {
    /// For the manager on `node_id`.
    #[must_use]
    pub fn new(store: Store, forward: Arc<dyn Forward>, node_id: NodeId, events: EventLog) -> Self {
        Self { store, forward, node_id, ports: Arc::default(), networks: Arc::default(), events }
    }

    /// The only place of this room that reads the clock.
    fn now() -> Timestamp {
        Timestamp::from_system(SystemTime::now())
    }
}

/// The API as a router that answers every path, unknown ones included.
pub fn router(context: Context) -> Router {
    async fn handle(Held(context): Held<Arc<Context>>, request: Request<Body>) -> Response<Body> {
        serve::serve(&context, request).await
    }
    Router::new().fallback(handle).with_state(Arc::new(context))
}
