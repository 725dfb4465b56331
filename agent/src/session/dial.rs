//! How a session reaches a manager: a stream of frames there, and one back.

use super::machine::End;
use crate::cluster_port::{CallError, ClusterPort};
use bytes::Bytes;
use futures_util::{
    StreamExt as _,
    future::{BoxFuture, ready},
    stream::BoxStream,
};
use http::{Method, StatusCode};
use http_body_util::{BodyStream, StreamBody};
use hyper::body::Frame;
use std::{convert::Infallible, sync::Arc};
use swarm_pki::{LiveIdentity, RootBundle};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;

/// Pieces on their way out at most.
const SEND_QUEUE: usize = 16;

/// Opens the stream of a session. Where the room ends: HTTP/2 over TLS in the daemon, a made-up network in the simulation.
pub trait Dial: Send + Sync + 'static {
    /// Posts to the manager's `/session`, `first` being the first piece of the body. Without a bound in time: the caller has one.
    ///
    /// The error is what the failure means for the session.
    fn open<'a>(&'a self, addr: &'a str, first: Bytes) -> BoxFuture<'a, Result<Opened, End>>;
}

/// An open stream. Dropping `outgoing` ends this side of it.
pub struct Opened {
    /// What the manager is told.
    pub outgoing: mpsc::Sender<Bytes>,
    /// What it says; an error is the reason why nothing more comes.
    pub incoming: BoxStream<'static, Result<Bytes, String>>,
}

/// The way over port 2377.
pub struct OverTls {
    /// What connections present.
    pub identity: Arc<LiveIdentity>,
    /// What connections trust.
    pub roots: watch::Receiver<RootBundle>,
}

impl Dial for OverTls {
    fn open<'a>(&'a self, addr: &'a str, first: Bytes) -> BoxFuture<'a, Result<Opened, End>> {
        Box::pin(async move {
            let failed = |error: CallError| end_of(&error, addr);
            let config = swarm_pki::client_config(Arc::clone(&self.identity), &self.roots.borrow().clone());
            let mut port = ClusterPort::connect(addr, config, swarm_pki::manager_server_name()).await.map_err(failed)?;
            let (outgoing, queue) = mpsc::channel(SEND_QUEUE);
            outgoing.try_send(first).expect("the queue is new");
            let frames = ReceiverStream::new(queue).map(|piece| Ok::<_, Infallible>(Frame::data(piece)));
            let sent = port.send(Method::POST, "/session", "application/msgpack", StreamBody::new(frames));
            let response = sent.await.map_err(failed)?;
            let incoming = BodyStream::new(response.into_body()).filter_map(move |frame| {
                // The connection is open for as long as the stream is.
                let _open = &port;
                ready(frame.map_err(|error| error.to_string()).map(|frame| frame.into_data().ok()).transpose())
            });
            Ok(Opened { outgoing, incoming: incoming.boxed() })
        })
    }
}

/// What a failed call means for the session.
fn end_of(error: &CallError, addr: &str) -> End {
    match error {
        CallError::Refused { status, message } if *status == StatusCode::FORBIDDEN => {
            if message.contains("was removed from swarm") {
                End::Removed
            } else {
                End::Refused(message.clone())
            }
        }
        other => End::Elsewhere(format!("no session with {addr}: {other}")),
    }
}
