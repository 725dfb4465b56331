//! The way of a request: answered here, or by the leader, within bounds.

use super::{
    ApiError, Context, Forwarded, events, networks, nodes, payloads,
    request::Call,
    route::{PayloadKind, Route},
    service_write, services,
    status::NOT_LEADING_HEADER,
    swarm, tasks,
};
use crate::store::{Leadership, ReadError};
use axum::{body::Body, response::IntoResponse};
use http::{Request, Response};
use std::time::Duration;
use swarm_state::State;
use swarm_types::{ConfigId, RemoteManager, SecretId};
use tokio::time::Instant;

/// The whole of a request takes no longer, as with Docker.
const DEADLINE: Duration = Duration::from_secs(20);
/// Without a leader for this long, the request is refused: elections are over in a second.
const LEADER_WAIT: Duration = Duration::from_secs(10);
/// Between two tries to reach a leader that is known but does not answer; a new leader ends the pause.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// How one try ended.
enum Tried {
    /// With an answer.
    Done(Result<Response<Body>, ApiError>),
    /// Nothing was done, and a leader may be there soon.
    Again,
}

/// Answers a request, whatever it is.
pub(super) async fn serve(context: &Context, request: Request<Body>) -> Response<Body> {
    let answer = tokio::time::timeout(DEADLINE, answer(context, request)).await;
    answer.unwrap_or(Err(ApiError::Deadline)).unwrap_or_else(IntoResponse::into_response)
}

async fn answer(context: &Context, request: Request<Body>) -> Result<Response<Body>, ApiError> {
    let forwarded = request.extensions().get::<Forwarded>().is_some();
    let call = Call::read(request).await?;
    if call.route == Route::Events {
        // From this manager's own state, leader or not: a stream of what happens needs no single moment.
        return events::stream(context, &call);
    }
    let mut leadership = context.store.leadership();
    let give_up = Instant::now() + LEADER_WAIT;
    loop {
        let led = leadership.borrow_and_update().clone();
        let tried = if call.route.needs_leader() {
            with_leader(context, &call, &led, forwarded).await
        } else {
            here(context, &call, give_up).await
        };
        if let Tried::Done(answer) = tried {
            return answer;
        }
        if Instant::now() >= give_up {
            return Err(ApiError::NoLeader);
        }
        tokio::select! {
            // A watch that ended never matches: the manager stops, and the next try says so.
            Ok(()) = leadership.changed() => {}
            () = tokio::time::sleep(RETRY_PAUSE) => {}
        }
    }
}

/// A read of a local state that holds every acknowledged write.
async fn here(context: &Context, call: &Call, give_up: Instant) -> Tried {
    match tokio::time::timeout_at(give_up, context.store.linearizable()).await {
        Ok(Ok(state)) => Tried::Done(read(call, &state)),
        Ok(Err(ReadError::Closed(reason))) => Tried::Done(Err(ApiError::Closed(reason))),
        Ok(Err(ReadError::NoLeader)) | Err(_) => Tried::Again,
    }
}

fn read(call: &Call, state: &State) -> Result<Response<Body>, ApiError> {
    match &call.route {
        Route::Swarm => swarm::inspect(state),
        Route::UnlockKey => swarm::unlock_key(state),
        Route::Services => services::list(state, call),
        Route::Service(input) => services::inspect(state, call, input),
        Route::Tasks => tasks::list(state, call),
        Route::Task(input) => tasks::inspect(state, input),
        Route::Networks => networks::list(state, call),
        Route::Network(input) => networks::inspect(state, call, input),
        Route::Payloads(PayloadKind::Secret) => payloads::list::<SecretId>(state, call),
        Route::Payloads(PayloadKind::Config) => payloads::list::<ConfigId>(state, call),
        Route::Payload(PayloadKind::Secret, input) => payloads::inspect::<SecretId>(state, input),
        Route::Payload(PayloadKind::Config, input) => payloads::inspect::<ConfigId>(state, input),
        _ => Err(ApiError::NoSuchPage),
    }
}

async fn with_leader(context: &Context, call: &Call, led: &Leadership, forwarded: bool) -> Tried {
    match led {
        Leadership::Own { .. } => match lead(context, call).await {
            Err(ApiError::NotLeading) if !forwarded => Tried::Again,
            answer => Tried::Done(answer),
        },
        _ if forwarded => Tried::Done(Err(ApiError::NotLeading)),
        Leadership::Other(leader) if leader.node_id != context.node_id => forward(context, call, leader).await,
        Leadership::Other(_) | Leadership::None => Tried::Again,
    }
}

async fn lead(context: &Context, call: &Call) -> Result<Response<Body>, ApiError> {
    match &call.route {
        Route::Nodes => nodes::list(context, call).await,
        Route::Node(input) => nodes::inspect(context, input).await,
        Route::NodeUpdate(input) => nodes::update(context, call, input).await,
        Route::NodeRemove(input) => nodes::remove(context, call, input).await,
        Route::SwarmUpdate => swarm::update(context, call).await,
        Route::ServiceCreate => service_write::create(context, call).await,
        Route::ServiceUpdate(input) => service_write::update(context, call, input).await,
        Route::ServiceRemove(input) => service_write::remove(context, input).await,
        Route::NetworkCreate => networks::create(context, call).await,
        Route::NetworkRemove(input) => networks::remove(context, input).await,
        Route::NetworksPrune => networks::prune(context, call).await,
        Route::PayloadCreate(PayloadKind::Secret) => payloads::create::<SecretId>(context, call).await,
        Route::PayloadCreate(PayloadKind::Config) => payloads::create::<ConfigId>(context, call).await,
        Route::PayloadUpdate(PayloadKind::Secret, input) => payloads::update::<SecretId>(context, call, input).await,
        Route::PayloadUpdate(PayloadKind::Config, input) => payloads::update::<ConfigId>(context, call, input).await,
        Route::PayloadRemove(PayloadKind::Secret, input) => payloads::remove::<SecretId>(context, input).await,
        Route::PayloadRemove(PayloadKind::Config, input) => payloads::remove::<ConfigId>(context, input).await,
        _ => Err(ApiError::NoSuchPage),
    }
}

async fn forward(context: &Context, call: &Call, leader: &RemoteManager) -> Tried {
    match context.forward.forward(leader, call.to_request()).await {
        Ok(answer) if answer.headers().contains_key(NOT_LEADING_HEADER) => Tried::Again,
        Ok(answer) => Tried::Done(Ok(answer)),
        Err(error) if !error.sent || call.route.is_read() => {
            tracing::debug!(%error, "could not forward a request; trying again");
            Tried::Again
        }
        Err(error) => Tried::Done(Err(ApiError::LeaderLost(error.to_string()))),
    }
}
