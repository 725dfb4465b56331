//! One session on this manager: the hello, the registration with the leader, then orders out and reports in.

use super::{Closed, Inner, LeaderAnswer, LeaderMessage, LinkError, draining::drained, orders::Told, outbox::Outbox};
use axum::{body::Body, response::Response};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};
use swarm_pki::NodeIdentity;
use swarm_session::{CloseReason, FrameDecoder, FromAgent, FromManager, Generation, Hello, PROTOCOL, encode};
use swarm_types::{NodeId, SessionId, TaskId};
use tokio::{sync::mpsc, time::Instant};
use tokio_stream::wrappers::ReceiverStream;

/// An agent that has not said hello by then is turned away.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);
/// A manager that does not catch up with what the agent knows by then sends it elsewhere.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(5);
/// An agent is not kept waiting for a leader that has been missing for this time: about as long as an election takes. Another
/// manager may have one, and the agent has only the short grace of a broken session to find it.
const ELECTION: Duration = Duration::from_secs(1);
/// Frames that may wait for a slow agent; when it does not read for [`SEND_TIMEOUT`], the session ends.
const FRAMES_WAITING_MAX: usize = 16;
/// See [`FRAMES_WAITING_MAX`].
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a hello at most: what a host says of itself takes a few kilobytes.
const HELLO_BYTES_MAX: usize = 1 << 20;
/// Bytes of a later message of an agent at most: the statuses of some ten thousand tasks.
const MESSAGE_BYTES_MAX: usize = 8 << 20;

/// Why a session ends, from inside.
enum End {
    /// The agent is told why.
    Close(CloseReason),
    /// The agent said that it ends on purpose.
    Goodbye,
    /// The connection broke or was silent for too long.
    Lost(String),
}

/// Answers at once with a streaming body and runs the session beside.
pub(super) fn open(inner: Arc<Inner>, peer: NodeIdentity, from: SocketAddr, body: Body) -> Response {
    let (frames, receiver) = mpsc::channel::<Result<Bytes, Infallible>>(FRAMES_WAITING_MAX);
    tokio::spawn(async move {
        let mut session = Session { inner, frames, decoder: FrameDecoder::with_max(HELLO_BYTES_MAX) };
        let end = session.run(&peer, from, body).await;
        if let End::Close(reason) = end {
            tracing::debug!(node = %peer.node_id, ?reason, "session closed");
            // The agent may be gone already; it then finds out by the end of the stream.
            let _ = session.send(&FromManager::Close(reason)).await;
        }
    });
    Response::new(Body::from_stream(ReceiverStream::new(receiver)))
}

struct Session {
    inner: Arc<Inner>,
    frames: mpsc::Sender<Result<Bytes, Infallible>>,
    decoder: FrameDecoder,
}

/// Tasks that are being taken out of the load balancing everywhere; each ends with those that may stop.
type Draining = FuturesUnordered<BoxFuture<'static, Vec<TaskId>>>;

type Frames = futures_util::stream::BoxStream<'static, Result<Bytes, axum::Error>>;

impl Session {
    async fn run(&mut self, peer: &NodeIdentity, from: SocketAddr, body: Body) -> End {
        let mut frames = body.into_data_stream().boxed();
        let hello = match tokio::time::timeout(HELLO_TIMEOUT, self.next(&mut frames)).await {
            Ok(Ok(FromAgent::Hello(hello))) => hello,
            Ok(Ok(_)) => return End::Close(CloseReason::Refused("a session begins with a hello".into())),
            Ok(Err(end)) => return end,
            Err(_) => return End::Close(CloseReason::Refused("no hello came in time".into())),
        };
        self.decoder.set_max(MESSAGE_BYTES_MAX);
        let node_id = hello.node_id;
        if let Err(end) = self.check_hello(&hello, peer).await {
            return end;
        }
        let session_id = SessionId::from_random(rand::random());
        if let Err(end) = self.register(&hello, session_id, from).await {
            return end;
        }
        let (wake, mut closing) = self.inner.enter(node_id, session_id);
        // A stop that came between the check and the entry would otherwise be missed.
        if *self.inner.stopping.borrow() {
            self.inner.exit(Closed { node_id, session_id, announced: true });
            return End::Close(CloseReason::Elsewhere("this manager stops".into()));
        }
        tracing::info!(%node_id, %session_id, %from, "session opened");
        let valid_for = peer.not_after.duration_since(SystemTime::now()).unwrap_or_default();
        let end = tokio::select! {
            end = self.stream((node_id, session_id), hello.generation, frames, &wake, &mut closing) => Some(end),
            () = tokio::time::sleep(valid_for) => None,
        };
        // Requests are checked when they begin; this one may outlive the certificate it began with.
        let end = end.unwrap_or_else(|| End::Close(CloseReason::Elsewhere("the certificate of this session has expired".into())));
        // One that does not read is as good as lost.
        let announced = !matches!(end, End::Lost(_) | End::Close(CloseReason::TooSlow));
        if let End::Lost(reason) = &end {
            tracing::info!(%node_id, %session_id, %reason, "session lost");
        }
        self.inner.exit(Closed { node_id, session_id, announced });
        end
    }

    /// The hello must be this certificate's, in our protocol, of a node in the cluster; and this manager must know at
    /// least what the agent knows.
    async fn check_hello(&self, hello: &Hello, peer: &NodeIdentity) -> Result<(), End> {
        let refused = |text: String| Err(End::Close(CloseReason::Refused(text)));
        if hello.protocol != PROTOCOL {
            return refused(format!("this manager speaks protocol {PROTOCOL}, not {}", hello.protocol));
        }
        if hello.node_id.as_str() != peer.node_id {
            return refused("a node may only speak for itself".into());
        }
        let elsewhere = |reason: &str| End::Close(CloseReason::Elsewhere(reason.into()));
        let linearizable = async {
            let state = self.inner.store.linearizable().await.map_err(|e| elsewhere(&e.to_string()))?;
            if state.applied() < hello.generation.0 {
                return self.inner.store.applied(hello.generation.0).await.map_err(|e| elsewhere(&e.to_string()));
            }
            Ok(state)
        };
        let state = tokio::select! {
            state = tokio::time::timeout(CATCH_UP_TIMEOUT, linearizable) => state,
            () = self.no_leader() => return Err(elsewhere("this manager knows no leader")),
        };
        let state = state.map_err(|_| elsewhere("this manager is behind what the node knows"))??;
        if state.node(hello.node_id).is_none() {
            return Err(End::Close(CloseReason::Removed));
        }
        Ok(())
    }

    /// Ends when no leader has been known for [`ELECTION`].
    async fn no_leader(&self) {
        let mut missing = self.inner.leaderless_since.subscribe();
        loop {
            let since = *missing.borrow_and_update();
            // Both are cancel-safe. Without its sender the dispatcher is gone, and this session with it.
            tokio::select! {
                Ok(()) = missing.changed() => {}
                () = tokio::time::sleep_until(since.unwrap_or_else(Instant::now) + ELECTION), if since.is_some() => return,
                else => std::future::pending().await,
            }
        }
    }

    async fn register(&self, hello: &Hello, session_id: SessionId, from: SocketAddr) -> Result<(), End> {
        let message = LeaderMessage::Register {
            node_id: hello.node_id,
            session_id,
            description: Box::new(hello.description.clone()),
            addr: from.ip().to_string(),
            data_path_addr: hello.data_path_addr,
        };
        match self.inner.link.send(message).await {
            Ok(LeaderAnswer::Done | LeaderAnswer::Attached(_)) => Ok(()),
            Ok(LeaderAnswer::Refused(reason)) => Err(End::Close(reason)),
            Ok(LeaderAnswer::NotLeader) => Err(End::Close(CloseReason::Elsewhere("the leader is changing".into()))),
            Ok(LeaderAnswer::Failed(reason)) | Err(LinkError::Failed(reason)) => Err(End::Close(CloseReason::Elsewhere(reason))),
            Err(error @ LinkError::NoLeader) => Err(End::Close(CloseReason::Elsewhere(error.to_string()))),
        }
    }

    async fn stream(
        &mut self,
        (node_id, session_id): (NodeId, SessionId),
        knew: Generation,
        mut frames: Frames,
        wake: &tokio::sync::Notify,
        closing: &mut tokio::sync::watch::Receiver<Option<CloseReason>>,
    ) -> End {
        let mut told = Told::nothing_since(knew);
        let mut draining = Draining::new();
        let mut beat = self.inner.timing.beat(&self.inner.store.state());
        if let Err(end) = self.send(&FromManager::Welcome { session_id, heartbeat_period: nanos(beat) }).await {
            return end;
        }
        if let Err(end) = self.send_orders(&mut told, &mut draining, node_id, session_id).await {
            return end;
        }
        let mut outbox = Outbox::new(Arc::clone(&self.inner), node_id);
        // Counted from the agent's last word, not from whatever else this loop does meanwhile.
        let mut heard = Instant::now();
        loop {
            let silence = self.inner.timing.silence(&self.inner.store.state());
            tokio::select! {
                reason = close_asked(closing) => return End::Close(reason),
                // Dropping `next` loses nothing: whole frames stay in the decoder.
                frame = tokio::time::timeout_at(heard + silence, self.next(&mut frames)) => match frame {
                    Err(_) => return End::Lost("no heartbeat in time".into()),
                    Ok(Err(end)) => return end,
                    Ok(Ok(message)) => {
                        heard = Instant::now();
                        if let FromAgent::Applied { generation } = message {
                            self.inner.note_applied(node_id, session_id, generation.0);
                        } else if let Err(end) = take(node_id, message, &mut outbox) {
                            return end;
                        }
                    }
                },
                () = wake.notified() => {
                    if let Err(end) = self.send_orders(&mut told, &mut draining, node_id, session_id).await {
                        return end;
                    }
                    let new_beat = self.inner.timing.beat(&self.inner.store.state());
                    if new_beat != beat {
                        beat = new_beat;
                        if let Err(end) = self.send(&FromManager::HeartbeatPeriod(nanos(beat))).await {
                            return end;
                        }
                    }
                }
                Some(tasks) = draining.next(), if !draining.is_empty() => {
                    told.release(&tasks);
                    if let Err(end) = self.send_orders(&mut told, &mut draining, node_id, session_id).await {
                        return end;
                    }
                }
                taken = outbox.next_taken() => {
                    if let Err(end) = self.send(&FromManager::StatusesTaken { seq: taken }).await {
                        return end;
                    }
                }
            }
        }
    }

    async fn send_orders(&mut self, told: &mut Told, draining: &mut Draining, node_id: NodeId, session_id: SessionId) -> Result<(), End> {
        let news = told.news(&self.inner.journal.lock().expect("nothing panics while holding it"));
        let state = self.inner.store.state();
        if state.node(node_id).is_none() {
            return Err(End::Close(CloseReason::Removed));
        }
        if let Some(orders) = told.node_orders(&state, node_id) {
            self.send(&FromManager::Node(orders)).await?;
        }
        let assign = told.assign(&state, node_id, news);
        // Before it is sent: what the node confirms must be known to have been told.
        let on_networks = assign.as_ref().filter(|a| a.from.is_none() || !a.networks.is_empty()).map(|a| a.generation.0);
        self.inner.note_networks(node_id, session_id, told.networks(), told.seen(), on_networks);
        if let Some((left, tasks)) = told.newly_held() {
            draining.push(Box::pin(drained(Arc::clone(&self.inner), left, tasks)));
        }
        if let Some(assign) = assign {
            self.send(&FromManager::Assign(Box::new(assign))).await?;
        }
        Ok(())
    }

    async fn send(&self, message: &FromManager) -> Result<(), End> {
        let frame = encode(message).map_err(|e| End::Close(CloseReason::Refused(crate::chain(&e))))?;
        match tokio::time::timeout(SEND_TIMEOUT, self.frames.send(Ok(frame))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::Lost("the connection broke".into())),
            Err(_) => Err(End::Close(CloseReason::TooSlow)),
        }
    }

    async fn next(&mut self, frames: &mut (impl Stream<Item = Result<Bytes, axum::Error>> + Unpin)) -> Result<FromAgent, End> {
        loop {
            match self.decoder.next_value() {
                Ok(Some(message)) => return Ok(message),
                Ok(None) => {}
                Err(error) => return Err(End::Close(CloseReason::Refused(crate::chain(&error)))),
            }
            match frames.next().await {
                Some(Ok(bytes)) => self.decoder.extend(&bytes),
                Some(Err(error)) => return Err(End::Lost(error.to_string())),
                None => return Err(End::Lost("the agent closed the connection".into())),
            }
        }
    }
}

fn take(node_id: NodeId, message: FromAgent, outbox: &mut Outbox) -> Result<(), End> {
    match message {
        FromAgent::Heartbeat | FromAgent::Applied { .. } => Ok(()),
        FromAgent::Statuses { seq, reports } => {
            outbox.report(seq, reports);
            Ok(())
        }
        FromAgent::Description(description) => {
            outbox.describe(description);
            Ok(())
        }
        FromAgent::Goodbye { reason } => {
            tracing::info!(%node_id, %reason, "agent ends its session");
            Err(End::Goodbye)
        }
        FromAgent::Hello(_) => Err(End::Close(CloseReason::Refused("a session has one hello".into()))),
    }
}

/// Ends when the session is to be closed from outside.
async fn close_asked(closing: &mut tokio::sync::watch::Receiver<Option<CloseReason>>) -> CloseReason {
    let asked = closing.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
    asked.unwrap_or(CloseReason::Replaced)
}

fn nanos(span: Duration) -> i64 {
    i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)
}
