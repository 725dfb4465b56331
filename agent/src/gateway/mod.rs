//! The Docker-compatible API of this host.
//!
//! What is about this host's membership it asks the node loop, what is about the cluster it passes to the local manager,
//! and everything else to dockerd, untouched: bodies stream, upgraded connections are joined, each half can end alone.
//!
//! What always holds: a request goes to exactly one answerer; to dockerd over a connection of its own, to the manager over
//! one that it has to itself until the answer ended; nothing is buffered except the small bodies of calls that are answered
//! here; every answer has the headers Docker clients look at.

mod body;
mod engine;
mod events;
mod info;
pub mod listen;
mod local;
mod networks;
mod pool;
mod proxy;
mod reply;
pub mod route;
mod status;
mod tls;
pub mod version;

pub use engine::{Engine, EngineFacts};
pub use listen::{BindError, Listener};
pub use tls::{ServerTlsError, server_tls};

use crate::error_chain::chain;
use crate::{
    backend::{BackendError, Endpoint},
    membership::{ManagerView, Membership},
};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use hyper::body::Incoming;
use pool::Pool;
use reply::Body;
use route::{Route, route};
use status::Failure;
use std::{path::PathBuf, sync::Arc};
use tokio_util::task::TaskTracker;
use version::{ApiVersion, NEWEST};

/// Tells the manager which version the client speaks; its paths have no prefix.
const MANAGER_VERSION: HeaderName = HeaderName::from_static("x-swarm-api-version");

/// The API of this host, on whatever listeners.
#[derive(Clone)]
pub struct Gateway {
    engine: Arc<Engine>,
    membership: Arc<dyn Membership>,
    manager: Pool,
    /// Upgraded connections, which outlive their requests.
    joined: TaskTracker,
}

/// A request's path in parts.
struct Target {
    version: Option<ApiVersion>,
    path: String,
    /// With its question mark; empty without one.
    query: String,
}

impl Gateway {
    /// The API in front of this engine and this node, with the manager's private socket at `manager_socket`.
    #[must_use]
    pub fn new(engine: Arc<Engine>, membership: Arc<dyn Membership>, manager_socket: PathBuf) -> Self {
        Self { engine, membership, manager: Pool::new(Endpoint::Unix(manager_socket)), joined: TaskTracker::new() }
    }

    /// Answers one request.
    pub(crate) async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let mut response = match self.dispatch(request).await {
            Ok(response) => response,
            Err(failure) => {
                tracing::debug!(%method, path, status = failure.status.as_u16(), error = failure.message, "a call failed");
                reply::error(failure.status, &failure.message)
            }
        };
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            self.engine.last_facts().complete(response.headers_mut());
        }
        response
    }

    async fn dispatch(&self, request: Request<Incoming>) -> Result<Response<Body>, Failure> {
        let versioned = version::split(request.uri().path())?;
        let target = Target {
            version: versioned.version,
            path: versioned.path.to_owned(),
            query: request.uri().query().map(|query| format!("?{query}")).unwrap_or_default(),
        };
        match route(request.method(), &target.path) {
            Route::Ping => Ok(self.ping(request.method() == Method::HEAD).await),
            Route::Info => self.info(request, &target).await,
            Route::Events => self.events(request, &target).await,
            Route::Networks => self.networks(&target).await,
            Route::Network => self.network(request, &target).await,
            Route::NetworkCreate => self.create_network(request, &target).await,
            Route::NetworksPrune => self.prune_networks(&target).await,
            Route::Init => self.init(request).await,
            Route::Join => self.join(request).await,
            Route::Leave => self.leave(&target.query).await,
            Route::Unlock => self.unlock(),
            Route::Manager => self.to_manager(request, &target).await,
            Route::Nowhere => Err(Failure::new(StatusCode::NOT_FOUND, "page not found")),
            Route::Engine => self.to_engine(request, &target).await,
        }
    }

    async fn to_manager(&self, mut request: Request<Incoming>, target: &Target) -> Result<Response<Body>, Failure> {
        let view = self.membership.view();
        if view.manager == ManagerView::None {
            return Err(status::no_manager(&view));
        }
        if view.manager == ManagerView::NotReady && !self.is_manager_ready_now().await {
            return Err(status::no_manager(&view));
        }
        let version = target.version.unwrap_or(NEWEST).to_string();
        let version = HeaderValue::try_from(version).expect("digits and a dot are a header value");
        request.headers_mut().insert(MANAGER_VERSION, version);
        let uri = uri(&format!("{}{}", target.path, target.query))?;
        let forwarded = proxy::forward_kept(&self.manager, request, uri, &self.joined).await;
        let mut response = forwarded.map_err(|error| {
            tracing::warn!(error = %chain(&error), "the local manager does not answer");
            match error {
                BackendError::Connect { .. } => status::no_manager(&self.membership.view()),
                _ => Failure::new(StatusCode::INTERNAL_SERVER_ERROR, format!("the manager of this node broke off: {error}")),
            }
        })?;
        // The engine's are told instead, as on every other answer: clients take the API as one.
        for name in [engine::API_VERSION, http::header::SERVER] {
            response.headers_mut().remove(name);
        }
        Ok(response)
    }

    /// The view follows the manager with a delay; a manager that has just become ready is not to be refused for that.
    async fn is_manager_ready_now(&self) -> bool {
        let status = self.membership.manager_status().await;
        status.is_some_and(|status| status.state == crate::membership::ManagerPhase::Ready)
    }

    async fn to_engine(&self, request: Request<Incoming>, target: &Target) -> Result<Response<Body>, Failure> {
        let uri = self.engine_uri(target).await?;
        let response = proxy::forward(self.engine.endpoint(), request, uri, &self.joined).await;
        let response = response.map_err(|error| self.engine_failure(&error))?;
        self.engine.notice(response.headers());
        Ok(response)
    }

    /// The target in a version that the engine speaks.
    async fn engine_uri(&self, target: &Target) -> Result<Uri, Failure> {
        let prefix = match target.version {
            None => String::new(),
            Some(asked) => {
                let facts = self.engine.facts().await.map_err(|error| self.engine_failure(&error))?;
                format!("/v{}", version::clamp(asked, facts.oldest, facts.newest))
            }
        };
        uri(&format!("{prefix}{}{}", target.path, target.query))
    }

    fn engine_failure(&self, error: &BackendError) -> Failure {
        tracing::warn!(error = %chain(error), "the engine does not answer");
        let endpoint = self.engine.endpoint();
        match error {
            BackendError::Connect { .. } => Failure::new(
                StatusCode::SERVICE_UNAVAILABLE,
                format!("Cannot connect to the Docker daemon at {endpoint}. Is the docker daemon running?"),
            ),
            _ => Failure::new(StatusCode::INTERNAL_SERVER_ERROR, format!("the Docker daemon at {endpoint} broke off: {error}")),
        }
    }
}

fn uri(text: &str) -> Result<Uri, Failure> {
    text.parse().map_err(|_| Failure::new(StatusCode::BAD_REQUEST, "invalid request path"))
}
