//! HTTP statuses of the errors that the gateway answers itself. The numbers are Docker's, also where others would fit better.

use super::{body::BodyError, version::UnsupportedVersion};
use crate::membership::{InitError, JoinError, LeaveError, ManagerView, NodeView, Unsupported};
use http::StatusCode;
use swarm_types::LocalNodeState;

/// An error with the status it is answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) status: StatusCode,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }
}

const NO_SWARM: &str = "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this \
     node to swarm and try again.";
const WORKER: &str = "This node is not a swarm manager. Worker nodes can't be used to view or modify cluster state. Please run \
     this command on a manager node or promote the current node to a manager.";
const NOT_READY: &str = "This node is not a swarm manager. Manager is being prepared or has trouble connecting to the cluster.";
/// Also what `/info` shows.
pub(crate) const EXPIRED: &str = "Swarm certificates have expired. To replace them, leave the swarm and join again.";

/// Why this host does not answer cluster calls.
pub(crate) fn no_manager(view: &NodeView) -> Failure {
    let message = match (view.state, view.manager) {
        _ if view.is_expired => EXPIRED,
        (_, ManagerView::NotReady | ManagerView::Ready) => NOT_READY,
        (LocalNodeState::Inactive, _) => NO_SWARM,
        // A failed attempt to get into a swarm is in none.
        _ if view.node_id.is_none() => NO_SWARM,
        _ => WORKER,
    };
    Failure::new(StatusCode::SERVICE_UNAVAILABLE, message)
}

impl From<UnsupportedVersion> for Failure {
    fn from(error: UnsupportedVersion) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error.to_string())
    }
}

impl From<Unsupported> for Failure {
    fn from(error: Unsupported) -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, error.to_string())
    }
}

impl From<BodyError> for Failure {
    fn from(error: BodyError) -> Self {
        let status = match error {
            BodyError::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            BodyError::Broken(_) | BodyError::Empty | BodyError::Json(_) | BodyError::Word(_) => StatusCode::BAD_REQUEST,
        };
        Self::new(status, error.to_string())
    }
}

impl From<InitError> for Failure {
    fn from(error: InitError) -> Self {
        let status = match &error {
            InitError::Unsupported(unsupported) => return (*unsupported).into(),
            InitError::Already | InitError::BrokenOff(_) => StatusCode::SERVICE_UNAVAILABLE,
            InitError::Address(_) | InitError::Spec(_) => StatusCode::BAD_REQUEST,
            InitError::Pool(_) | InitError::Settings(_) | InitError::Manager(_) | InitError::State(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, error.to_string())
    }
}

impl From<JoinError> for Failure {
    fn from(error: JoinError) -> Self {
        let status = match &error {
            JoinError::Already | JoinError::Timeout | JoinError::Unavailable(_) | JoinError::BrokenOff(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            JoinError::Address(_) | JoinError::NoRemote | JoinError::Token(_) => StatusCode::BAD_REQUEST,
            JoinError::Refused { status, .. } => StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            JoinError::NotManager(_) | JoinError::State(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, error.to_string())
    }
}

impl From<LeaveError> for Failure {
    fn from(error: LeaveError) -> Self {
        let status = match &error {
            LeaveError::NoSwarm | LeaveError::Manager(_) | LeaveError::Stopping => StatusCode::SERVICE_UNAVAILABLE,
            LeaveError::Containers(_) | LeaveError::State(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, error.to_string())
    }
}
