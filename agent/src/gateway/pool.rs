//! Connections to the local manager that stay open from one call to the next.
//!
//! What always holds: a call that was handed to a kept connection is never sent twice, unless it cannot have left this
//! process, or only reads. A connection carries one call at a time, and goes on to the next only after the whole answer.

use super::reply::Body;
use crate::backend::{self, BackendError, Endpoint};
use bytes::Bytes;
use http::{Method, Request, Response, Uri};
use http_body_util::BodyExt as _;
use hyper::{
    body::{Body as _, Frame, Incoming, SizeHint},
    client::conn::http1::SendRequest,
};
use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// Connections that wait for a call at most. More clients at a time than this each pay for their own.
const IDLE_MAX: usize = 512;
/// A connection that no call wanted for this long is closed, within twice this time: after a rush the memory is given back.
const IDLE_FOR: Duration = Duration::from_secs(15);

/// The kept connections to one server.
#[derive(Clone)]
pub(super) struct Pool(Arc<Shared>);

struct Shared {
    endpoint: Endpoint,
    idle: Mutex<Idle>,
}

#[derive(Default)]
struct Idle {
    /// Latest used last.
    connections: Vec<(Instant, SendRequest<Incoming>)>,
    /// Whether a loop looks after old ones.
    is_swept: bool,
}

impl Pool {
    pub(super) fn new(endpoint: Endpoint) -> Self {
        Self(Arc::new(Shared { endpoint, idle: Mutex::default() }))
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.0.endpoint
    }

    /// Sends a request that asks for no upgrade. Dropping the future, or the answer before its end, closes the connection.
    pub(super) async fn send(&self, mut request: Request<Incoming>) -> Result<Response<Body>, BackendError> {
        while let Some(mut sender) = self.0.take() {
            let again = again(&request);
            let mut error = match sender.try_send_request(request).await {
                Ok(response) => return Ok(self.lend(sender, response)),
                Err(error) => error,
            };
            // Given back, it never left: the connection had ended, as after a restart of the manager.
            if let Some(unsent) = error.take_message() {
                request = unsent;
                continue;
            }
            let source = error.into_error();
            let Some((method, uri, headers)) = again else {
                return Err(BackendError::Broken { endpoint: self.0.endpoint.clone(), source });
            };
            tracing::debug!(%method, %uri, error = %source, "a kept connection broke; asking again on a new one");
            let mut repeated = Request::new(http_body_util::Empty::<Bytes>::new());
            (*repeated.method_mut(), *repeated.uri_mut(), *repeated.headers_mut()) = (method, uri, headers);
            let response = backend::send(&self.0.endpoint, repeated).await?;
            return Ok(response.map(|body| body.boxed_unsync()));
        }
        let mut sender = backend::open(&self.0.endpoint, || ()).await?;
        let sent = sender.send_request(request).await;
        let response = sent.map_err(|source| BackendError::Broken { endpoint: self.0.endpoint.clone(), source })?;
        Ok(self.lend(sender, response))
    }

    fn lend(&self, sender: SendRequest<Incoming>, response: Response<Incoming>) -> Response<Body> {
        response.map(|body| Lent { body, is_over: false, sender: Some(sender), pool: self.clone() }.boxed_unsync())
    }

    async fn sweep(self) {
        loop {
            sleep(IDLE_FOR).await;
            let old = {
                let mut idle = self.0.idle();
                let fresh = idle.connections.partition_point(|(since, _)| since.elapsed() >= IDLE_FOR);
                let old: Vec<_> = idle.connections.drain(..fresh).collect();
                if idle.connections.is_empty() {
                    idle.is_swept = false;
                    return;
                }
                old
            };
            drop(old);
        }
    }
}

impl Shared {
    fn idle(&self) -> MutexGuard<'_, Idle> {
        // Nothing panics while holding it.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection used last of those that can take a call at once.
    fn take(&self) -> Option<SendRequest<Incoming>> {
        let mut idle = self.idle();
        // After a restart of the manager all are, the others go when they are old.
        while idle.connections.pop_if(|(_, sender)| sender.is_closed()).is_some() {}
        let place = idle.connections.iter().rposition(|(_, sender)| sender.is_ready())?;
        Some(idle.connections.remove(place).1)
    }
}

/// What is needed to ask once more, if the request only reads and so may be sent twice.
fn again(request: &Request<Incoming>) -> Option<(Method, Uri, http::HeaderMap)> {
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD) && request.body().is_end_stream();
    is_read.then(|| (request.method().clone(), request.uri().clone(), request.headers().clone()))
}

/// An answer's body. Read to its end, it gives the connection back.
struct Lent {
    body: Incoming,
    is_over: bool,
    sender: Option<SendRequest<Incoming>>,
    pool: Pool,
}

impl hyper::body::Body for Lent {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        self.is_over |= matches!(polled, Poll::Ready(None));
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let Some(sender) = self.sender.take().filter(|sender| !sender.is_closed()) else { return };
        // A body of known length is not asked for more than that.
        if !self.is_over && !self.body.is_end_stream() {
            return;
        }
        let mut idle = self.pool.0.idle();
        if idle.connections.len() >= IDLE_MAX {
            return;
        }
        idle.connections.push((Instant::now(), sender));
        // While the runtime shuts down there is none to sweep with, and nothing to keep.
        if !idle.is_swept
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            idle.is_swept = true;
            runtime.spawn(self.pool.clone().sweep());
        }
    }
}
