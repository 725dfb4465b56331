//! HTTP client of a Docker Engine API endpoint: our socket, a remote one, or dockerd itself.
//!
//! [`resolve`] finds the endpoint a user means, from flags, environment and docker contexts, in
//! docker's order. [`Client`] talks to it over a unix socket, TCP, TLS or ssh, and speaks the newest
//! API version both sides know. Errors read as docker's do.
//!
//! The client adds no time limit beyond the one on connecting: logs and events may stay silent for
//! long. Dropping a future drops its request.

mod client;
mod config;
mod connect;
mod context;
mod endpoint;
mod error;
mod request;
mod resolve;
mod response;
mod ssh;
mod tls;
mod version;

pub use client::{Client, ClientOptions, Ping};
pub use config::{ConfigError, ConfigFile, config_dir};
pub use connect::{Connection, dial};
pub use context::{ContextError, ContextStore};
pub use endpoint::{DEFAULT_SOCKET, Endpoint, EndpointError, SshTarget, Transport};
pub use error::{ApiError, ClientError, ConnectError};
pub use request::RequestBuilder;
pub use resolve::{ConnectFlags, Environment, ResolveError, resolve};
pub use response::{BodyStream, Response, Upgraded};
pub use tls::{TlsError, TlsMaterial};
pub use version::{ApiVersion, InvalidVersion};
