//! One session on this manager: the hello, the registration with the leader, then orders out and reports in.

use super::{Closed, Inner, LeaderAnswer, LeaderMessage, LinkError, orders::Told};
use axum::{body::Body, response::Response};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, future::BoxFuture};
use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};
use swarm_pki::NodeIdentity;
use swarm_session::{CloseReason, FrameDecoder, FromAgent, FromManager, Hello, PROTOCOL, StatusReport, encode};
use swarm_types::{NodeId, SessionId};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// An agent that has not said hello by then is turned away.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);
/// A manager that does not catch up with what the agent knows by then sends it elsewhere.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(5);
/// Frames that may wait for a slow agent; when it does not read for [`SEND_TIMEOUT`], the session ends.
const FRAMES_WAITING_MAX: usize = 16;
/// See [`FRAMES_WAITING_MAX`].
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// Statuses that the leader did not take are handed to it again after this pause.
const STATUS_RETRY: Duration = Duration::from_millis(200);

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
        let mut session = Session { inner, frames, decoder: FrameDecoder::default() };
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
        let end = self.stream(node_id, session_id, frames, &wake, &mut closing).await;
        let announced = !matches!(end, End::Lost(_));
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
        let state = tokio::time::timeout(CATCH_UP_TIMEOUT, linearizable).await;
        let state = state.map_err(|_| elsewhere("this manager is behind what the node knows"))??;
        if state.node(hello.node_id).is_none() {
            return Err(End::Close(CloseReason::Removed));
        }
        Ok(())
    }

    async fn register(&self, hello: &Hello, session_id: SessionId, from: SocketAddr) -> Result<(), End> {
        let message = LeaderMessage::Register {
            node_id: hello.node_id,
            session_id,
            description: Box::new(hello.description.clone()),
            addr: from.ip().to_string(),
        };
        match self.inner.link.send(message).await {
            Ok(LeaderAnswer::Done) => Ok(()),
            Ok(LeaderAnswer::Refused(reason)) => Err(End::Close(reason)),
            Ok(LeaderAnswer::NotLeader) => Err(End::Close(CloseReason::Elsewhere("the leader is changing".into()))),
            Ok(LeaderAnswer::Failed(reason)) | Err(LinkError::Failed(reason)) => Err(End::Close(CloseReason::Elsewhere(reason))),
            Err(error @ LinkError::NoLeader) => Err(End::Close(CloseReason::Elsewhere(error.to_string()))),
        }
    }

    async fn stream(
        &mut self,
        node_id: NodeId,
        session_id: SessionId,
        mut frames: Frames,
        wake: &tokio::sync::Notify,
        closing: &mut tokio::sync::watch::Receiver<Option<CloseReason>>,
    ) -> End {
        let mut told = Told::default();
        let mut beat = self.inner.timing.beat(&self.inner.store.state());
        if let Err(end) = self.send(&FromManager::Welcome { session_id, heartbeat_period: nanos(beat) }).await {
            return end;
        }
        if let Err(end) = self.send_orders(&mut told, node_id).await {
            return end;
        }
        let mut reports = Reports::default();
        loop {
            let silence = self.inner.timing.grace(&self.inner.store.state());
            tokio::select! {
                reason = close_asked(closing) => return End::Close(reason),
                // Dropping `next` loses nothing: whole frames stay in the decoder.
                frame = tokio::time::timeout(silence, self.next(&mut frames)) => match frame {
                    Err(_) => return End::Lost("no heartbeat in time".into()),
                    Ok(Err(end)) => return end,
                    Ok(Ok(message)) => if let Err(end) = self.take(node_id, message, &mut reports) { return end },
                },
                () = wake.notified() => {
                    if let Err(end) = self.send_orders(&mut told, node_id).await {
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
                taken = reports.next_taken() => {
                    if let Err(end) = self.send(&FromManager::StatusesTaken { seq: taken }).await {
                        return end;
                    }
                }
            }
        }
    }

    fn take(&self, node_id: NodeId, message: FromAgent, reports: &mut Reports) -> Result<(), End> {
        match message {
            FromAgent::Heartbeat => Ok(()),
            FromAgent::Statuses { seq, reports: statuses } => {
                reports.push(Arc::clone(&self.inner), node_id, seq, statuses);
                Ok(())
            }
            FromAgent::Description(description) => {
                let inner = Arc::clone(&self.inner);
                tokio::spawn(async move {
                    if let Err(error) = inner.link.send(LeaderMessage::Description { node_id, description }).await {
                        tracing::debug!(%node_id, %error, "a changed description did not reach the leader; the next session repeats it");
                    }
                });
                Ok(())
            }
            FromAgent::Goodbye { reason } => {
                tracing::info!(%node_id, %reason, "agent ends its session");
                Err(End::Goodbye)
            }
            FromAgent::Hello(_) => Err(End::Close(CloseReason::Refused("a session has one hello".into()))),
        }
    }

    async fn send_orders(&mut self, told: &mut Told, node_id: NodeId) -> Result<(), End> {
        let state = self.inner.store.state();
        if state.node(node_id).is_none() {
            return Err(End::Close(CloseReason::Removed));
        }
        if let Some(orders) = told.node_orders(&state, node_id) {
            self.send(&FromManager::Node(orders)).await?;
        }
        if let Some(assign) = told.assign(&state, node_id) {
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

/// Ends when the session is to be closed from outside.
async fn close_asked(closing: &mut tokio::sync::watch::Receiver<Option<CloseReason>>) -> CloseReason {
    let asked = closing.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
    asked.unwrap_or(CloseReason::Replaced)
}

/// Status batches on their way to the leader: one at a time, in order, each repeated until it is taken.
#[derive(Default)]
struct Reports {
    under_way: Option<BoxFuture<'static, u64>>,
    waiting: Option<(Arc<Inner>, NodeId, u64, Vec<StatusReport>)>,
}

impl Reports {
    /// Batches that wait are joined: the agent resends nothing older than the last acknowledged number.
    fn push(&mut self, inner: Arc<Inner>, node_id: NodeId, seq: u64, reports: Vec<StatusReport>) {
        match &mut self.waiting {
            Some((_, _, waiting_seq, waiting)) => {
                *waiting_seq = seq;
                waiting.retain(|w| reports.iter().all(|r| r.task_id != w.task_id));
                waiting.extend(reports);
            }
            None => self.waiting = Some((inner, node_id, seq, reports)),
        }
    }

    /// The number of the next batch that the leader has taken. Never ends without one.
    async fn next_taken(&mut self) -> u64 {
        if self.under_way.is_none() {
            match self.waiting.take() {
                Some((inner, node_id, seq, reports)) => self.under_way = Some(Box::pin(deliver(inner, node_id, seq, reports))),
                None => return std::future::pending().await,
            }
        }
        let Some(under_way) = &mut self.under_way else { return std::future::pending().await };
        let seq = under_way.await;
        self.under_way = None;
        seq
    }
}

async fn deliver(inner: Arc<Inner>, node_id: NodeId, seq: u64, reports: Vec<StatusReport>) -> u64 {
    let mut leadership = inner.store.leadership();
    loop {
        leadership.borrow_and_update();
        let sent = inner.link.send(LeaderMessage::Statuses { node_id, reports: reports.clone() }).await;
        match sent {
            Ok(LeaderAnswer::Done) => return seq,
            Ok(answer) => tracing::debug!(%node_id, ?answer, "the leader did not take statuses"),
            Err(error) => tracing::debug!(%node_id, %error, "statuses did not reach the leader"),
        }
        // A new leader ends the wait early.
        let _ = tokio::time::timeout(STATUS_RETRY, leadership.changed()).await;
    }
}

fn nanos(span: Duration) -> i64 {
    i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)
}
