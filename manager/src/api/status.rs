//! The one place where errors of the API become status codes and texts.

use super::{filters::FilterError, go_json::DecodeError, later::Later, query::QueryError, request::BodyError, resolve::ResolveError};
use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use swarm_planner::{ConstraintError, NetworkInUse, NetworkRefused};
use swarm_types::{
    NodeId, ServiceId,
    validate::{InvalidNetwork, InvalidPayload, InvalidReference, InvalidSpec, InvalidSwarmSpec, MalformedSpec, PortInUse},
};

/// Marks an answer of a manager that was taken for the leader and is not: nothing was done.
pub(super) const NOT_LEADING_HEADER: &str = "x-swarm-not-leading";

/// The kinds of gRPC errors. Docker's texts carry their names, and its status codes follow from them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Code {
    InvalidArgument,
    AlreadyExists,
    FailedPrecondition,
    PermissionDenied,
    Unimplemented,
    ResourceExhausted,
    DeadlineExceeded,
    Internal,
    Unknown,
}

impl Code {
    fn status(self) -> StatusCode {
        match self {
            Self::InvalidArgument | Self::FailedPrecondition => StatusCode::BAD_REQUEST,
            Self::AlreadyExists => StatusCode::CONFLICT,
            Self::PermissionDenied => StatusCode::FORBIDDEN,
            Self::Unimplemented => StatusCode::NOT_IMPLEMENTED,
            Self::ResourceExhausted | Self::DeadlineExceeded | Self::Internal | Self::Unknown => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// Why a request was refused or failed. The texts are Docker's where it has one.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// No such path, or not with this method.
    #[error("page not found")]
    NoSuchPage,
    /// The body is too large, cut off, or of another type.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// The body is not what it should be.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A query parameter cannot be read.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// A stream of events would end before it begins.
    #[error("`since` time ({since}) cannot be after `until` time ({until})")]
    EventTimes {
        /// As given.
        since: String,
        /// As given.
        until: String,
    },
    /// A filter cannot be used.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// No object or several fit a name.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// A later version can do this.
    #[error(transparent)]
    Later(#[from] Later),
    /// The spec contradicts itself.
    #[error(transparent)]
    Malformed(#[from] MalformedSpec),
    /// The spec cannot be carried out.
    #[error(transparent)]
    Invalid(#[from] InvalidSpec),
    /// A placement constraint cannot be read.
    #[error(transparent)]
    Constraint(#[from] ConstraintError),
    /// A placement preference that no node could be judged by.
    #[error("TaskSpec: invalid placement preference 'spread={0}': expected node.labels.<label> or engine.labels.<label>")]
    Spread(String),
    /// A template in the container spec cannot be expanded.
    #[error("{0}")]
    Template(String),
    /// A port is taken by another service.
    #[error(transparent)]
    PortInUse(#[from] PortInUse),
    /// The cluster's spec cannot be stored.
    #[error(transparent)]
    Swarm(#[from] InvalidSwarmSpec),
    /// A node's role or availability is no such word.
    #[error("invalid {kind}: {word:?}")]
    NodeWord {
        /// `Role` or `Availability`.
        kind: &'static str,
        /// What was given.
        word: String,
    },
    /// A service with the name exists.
    #[error("name conflicts with an existing object: service {0} already exists")]
    ServiceExists(String),
    /// A network cannot be one of the cluster.
    #[error(transparent)]
    Network(#[from] InvalidNetwork),
    /// A network cannot be had besides those that are there.
    #[error(transparent)]
    NetworkRefused(#[from] NetworkRefused),
    /// Something needs the network.
    #[error(transparent)]
    NetworkInUse(#[from] NetworkInUse),
    /// The ids of several networks begin so.
    #[error("{found} matches found based on ID prefix: network {input} is ambiguous")]
    AmbiguousNetwork {
        /// What the user wrote.
        input: String,
        /// How many.
        found: usize,
    },
    /// The mesh is joined by publishing.
    #[error("Service cannot be explicitly attached to the ingress network {0:?}")]
    ExplicitIngress(String),
    /// There is no mesh to publish over.
    #[error("service needs ingress network, but no ingress network is present")]
    NoIngress,
    /// A secret or config cannot be stored.
    #[error(transparent)]
    Payload(#[from] InvalidPayload),
    /// A reference to a secret or config makes no sense.
    #[error(transparent)]
    Reference(#[from] InvalidReference),
    /// Secrets or configs that a service refers to do not exist, or have other names.
    #[error("{kind}{} not found: {}", if names.len() == 1 { "" } else { "s" }, names.join(", "))]
    PayloadsMissing {
        /// `secret` or `config`.
        kind: &'static str,
        /// Their names.
        names: Vec<String>,
    },
    /// A secret or config with the name exists.
    #[error("{kind} {name} already exists")]
    PayloadExists {
        /// `secret` or `config`.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// Services use the secret or config.
    #[error("{kind} '{name}' is in use by the following {}: {}", if services.len() == 1 { "service" } else { "services" }, services.join(", "))]
    PayloadInUse {
        /// `secret` or `config`.
        kind: &'static str,
        /// Its name.
        name: String,
        /// Names of the services.
        services: Vec<String>,
    },
    /// Secrets and configs keep their bytes.
    #[error("only updates to Labels are allowed")]
    OnlyLabels,
    /// Not the version of a secret or config.
    #[error("invalid {0} version")]
    PayloadVersion(&'static str),
    /// The object changed since the version that the request names.
    #[error("update out of sequence")]
    OutOfSequence,
    /// Services keep their names.
    #[error("renaming services is not supported")]
    Rename,
    /// Services keep their modes.
    #[error("service mode change is not allowed")]
    ModeChange,
    /// There is nothing to roll back to.
    #[error("service {0} does not have a previous spec")]
    NoPreviousSpec(ServiceId),
    /// There are no credentials of a previous spec.
    #[error("service does not have a previous spec")]
    NoPreviousAuth,
    /// Not a source of credentials.
    #[error("unsupported registryAuthFrom value")]
    RegistryAuthFrom,
    /// Not a way of rolling back.
    #[error("unrecognized rollback option {0}")]
    RollbackOption(String),
    /// Managers are demoted before they are removed.
    #[error("node {0} is a cluster manager and is a member of the raft cluster. It must be demoted to worker before removal")]
    RemoveManager(NodeId),
    /// Nodes are down before they are removed.
    #[error("node {0} is not down and can't be removed")]
    RemoveReady(NodeId),
    /// A swarm keeps one manager.
    #[error("attempting to demote the last manager of the swarm")]
    DemoteLast,
    /// Too few managers would answer.
    #[error("can't remove member from the raft: this would result in a loss of quorum")]
    DemoteQuorum,
    /// The root certificate of the cluster cannot be read.
    #[error("error loading cluster rootCA for update")]
    RootCa,
    /// There is no cluster object yet.
    #[error("This node is not a swarm manager. Manager is being prepared or has trouble connecting to the cluster.")]
    NotReady,
    /// Nobody leads, or not for long enough to answer.
    #[error("{}", crate::NO_LEADER)]
    NoLeader,
    /// This manager was taken for the leader by another one; it does nothing.
    #[error("{}", crate::NO_LEADER)]
    NotLeading,
    /// The connection to the leader broke after the request was sent: it may have been carried out.
    #[error("the connection to the leader was lost, and it is not known whether the request was carried out: {0}")]
    LeaderLost(String),
    /// The whole request took too long.
    #[error("context deadline exceeded")]
    Deadline,
    /// The leader's disk is full. Nothing was stored.
    #[error("{0}")]
    NoRoom(String),
    /// The manager stops, or its storage failed.
    #[error("{0}")]
    Closed(String),
    /// An answer could not be written.
    #[error("could not encode the answer: {0}")]
    Encode(String),
}

/// How an error is told: with an RPC prefix and the status that belongs to it, or as it is.
enum Told {
    Rpc(Code),
    Plain(StatusCode),
}

impl ApiError {
    fn told(&self) -> Told {
        use Code::{
            AlreadyExists, DeadlineExceeded, FailedPrecondition, Internal, InvalidArgument, PermissionDenied, ResourceExhausted,
            Unimplemented, Unknown,
        };
        match self {
            Self::NoSuchPage => Told::Plain(StatusCode::NOT_FOUND),
            Self::Body(BodyError::TooLarge) => Told::Plain(StatusCode::PAYLOAD_TOO_LARGE),
            Self::Resolve(ResolveError::NotFound { .. }) => Told::Plain(StatusCode::NOT_FOUND),
            Self::Later(_) => Told::Plain(StatusCode::NOT_IMPLEMENTED),
            Self::NotReady => Told::Plain(StatusCode::SERVICE_UNAVAILABLE),
            Self::Body(_)
            | Self::Decode(_)
            | Self::Query(_)
            | Self::Filter(_)
            | Self::EventTimes { .. }
            | Self::Resolve(ResolveError::Ambiguous { .. })
            | Self::AmbiguousNetwork { .. }
            | Self::Malformed(_)
            | Self::NodeWord { .. }
            | Self::PayloadVersion(_)
            | Self::NoPreviousAuth
            | Self::RegistryAuthFrom
            | Self::RollbackOption(_)
            | Self::Swarm(InvalidSwarmSpec::Name) => Told::Plain(StatusCode::BAD_REQUEST),
            Self::Reference(_) | Self::PayloadsMissing { .. } | Self::Payload(_) | Self::PayloadInUse { .. } | Self::OnlyLabels => {
                Told::Rpc(InvalidArgument)
            }
            Self::Invalid(_) | Self::Constraint(_) | Self::Spread(_) | Self::Template(_) | Self::PortInUse(_) => Told::Rpc(InvalidArgument),
            Self::Swarm(InvalidSwarmSpec::CertExpiry | InvalidSwarmSpec::Heartbeat) => Told::Rpc(InvalidArgument),
            Self::ServiceExists(_) | Self::PayloadExists { .. } => Told::Rpc(AlreadyExists),
            Self::Network(error) => match error {
                InvalidNetwork::Predefined(_) => Told::Plain(StatusCode::FORBIDDEN),
                InvalidNetwork::PredefinedLabel => Told::Rpc(PermissionDenied),
                InvalidNetwork::IngressDriver => Told::Rpc(Unimplemented),
                _ => Told::Rpc(InvalidArgument),
            },
            Self::NetworkRefused(error) => match error {
                NetworkRefused::NameTaken(_) => Told::Plain(StatusCode::CONFLICT),
                NetworkRefused::IngressPresent(_) => Told::Rpc(AlreadyExists),
                NetworkRefused::Overlap | NetworkRefused::VniTaken { .. } => Told::Rpc(InvalidArgument),
                NetworkRefused::NoSubnet(_) | NetworkRefused::NoVni => Told::Rpc(FailedPrecondition),
            },
            Self::ExplicitIngress(_) => Told::Rpc(InvalidArgument),
            Self::NetworkInUse(_) | Self::NoIngress => Told::Rpc(FailedPrecondition),
            Self::Rename | Self::ModeChange => Told::Rpc(Unimplemented),
            Self::NoPreviousSpec(_) | Self::RemoveManager(_) | Self::RemoveReady(_) | Self::DemoteLast | Self::DemoteQuorum => {
                Told::Rpc(FailedPrecondition)
            }
            // The text has its prefix already: other rooms use it too.
            Self::NoLeader | Self::NotLeading => Told::Plain(StatusCode::INTERNAL_SERVER_ERROR),
            Self::OutOfSequence | Self::LeaderLost(_) => Told::Rpc(Unknown),
            Self::Deadline => Told::Rpc(DeadlineExceeded),
            Self::NoRoom(_) => Told::Rpc(ResourceExhausted),
            Self::RootCa | Self::Closed(_) | Self::Encode(_) => Told::Rpc(Internal),
        }
    }

    /// The status code.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self.told() {
            Told::Rpc(code) => code.status(),
            Told::Plain(status) => status,
        }
    }

    /// The text for people, with the RPC prefix where Docker has it.
    #[must_use]
    pub fn message(&self) -> String {
        match self.told() {
            Told::Rpc(code) => format!("rpc error: code = {code:?} desc = {self}"),
            Told::Plain(_) => self.to_string(),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        #[derive(Serialize)]
        struct Message {
            message: String,
        }
        let status = self.status();
        if status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED {
            tracing::debug!(%status, error = %self, "a request failed");
        }
        let mut response = match json(status, &Message { message: self.message() }) {
            Ok(response) => response,
            Err(_) => status.into_response(),
        };
        if matches!(self, Self::NotLeading) {
            response.headers_mut().insert(NOT_LEADING_HEADER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// An answer with a JSON body, which ends with a line feed as Go's do.
///
/// # Errors
/// [`ApiError::Encode`]; no value of the API is known to cause it.
pub(super) fn json<T: Serialize>(status: StatusCode, value: &T) -> Result<Response, ApiError> {
    let mut bytes = serde_json::to_vec(value).map_err(|e| ApiError::Encode(e.to_string()))?;
    bytes.push(b'\n');
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// An answer without a body.
pub(super) fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}
