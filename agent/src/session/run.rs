//! The loop around the machine: connects, moves frames, performs effects, and tries the next manager.

use super::{
    choice::{self, Backoff},
    dial::{Dial, Opened},
    machine::{Effect, End, Event, Machine},
    tasks::Tasks,
};
use bytes::Bytes;
use futures_util::StreamExt as _;
use std::{net::IpAddr, sync::Arc, time::Duration};
use swarm_session::{FrameDecoder, FromAgent, FromManager, Generation, NodeOrders, encode};
use swarm_types::{NodeDescription, NodeId, RemoteManager};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep, sleep_until, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;

/// From the first packet to the manager's Welcome; then the next manager is tried.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(5);
/// A manager that does not read for this time loses the session.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the manager may take to end its side after our Goodbye.
const GOODBYE_TIMEOUT: Duration = Duration::from_millis(500);
/// Pauses after a refusal that only a person can lift.
const REFUSED_PAUSE: Duration = Duration::from_secs(30);
const REMOVED_PAUSE: Duration = Duration::from_secs(300);
/// A beat is sent up to this part of the period early, so that nodes do not beat together.
const BEAT_EARLY: f64 = 0.1;

/// How the search for a session goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionState {
    /// The manager of the open session.
    pub manager: Option<String>,
    /// Whether a manager has accepted a session since the agent started.
    pub was_welcome: bool,
    /// Why the last session ended, or could not be opened; empty while one is open.
    pub error: String,
    /// Whether the cluster says that the node was removed.
    pub is_removed: bool,
}

/// Keeps a session with one of the managers.
pub struct Session<T> {
    /// This node.
    pub node_id: NodeId,
    /// Where the host takes packets of cluster networks; `None` leaves it to the managers.
    pub data_path_addr: Option<IpAddr>,
    /// Up to which generation names and load balancing are in place; `None` on hosts that carry no networks.
    pub in_place: Option<watch::Receiver<Generation>>,
    /// This host's tasks.
    pub tasks: T,
    /// The way to managers.
    pub dial: Arc<dyn Dial>,
    /// Every manager known.
    pub managers: watch::Receiver<Vec<RemoteManager>>,
    /// Addresses of this host's own manager, the best first; tried before the others, if it is one of those known.
    pub own: watch::Receiver<Vec<String>>,
    /// What this host is; no session begins before it is known.
    pub description: watch::Receiver<Option<NodeDescription>>,
    /// The newest orders about this node.
    pub orders: Arc<watch::Sender<Option<NodeOrders>>>,
    /// Generation of the orders known from before.
    pub orders_known: Generation,
    /// How it goes.
    pub state: Arc<watch::Sender<SessionState>>,
    /// Ends the session in order.
    pub stop: CancellationToken,
}

/// An open stream to a manager.
struct Stream {
    opened: Opened,
    decoder: FrameDecoder,
    welcome_by: Instant,
}

impl<T: Tasks> Session<T> {
    /// Runs until stopped.
    pub async fn run(mut self) {
        let mut backoff = Backoff::default();
        let mut candidates = Vec::new();
        let mut left: Option<String> = None;
        loop {
            if candidates.is_empty() {
                candidates = self.order(left.take());
            }
            let ended = if candidates.is_empty() {
                End::Elsewhere("no manager is known".to_owned())
            } else {
                let addr = candidates.remove(0);
                let (ended, was_open) = self.run_once(&addr).await;
                if was_open {
                    backoff.reset();
                    candidates.clear();
                    left = Some(addr);
                }
                ended
            };
            let pause = match &ended {
                End::Stopped => return,
                End::Elsewhere(_) | End::Again(_) => backoff.pause(rand::random()),
                End::Refused(_) => REFUSED_PAUSE,
                End::Removed => REMOVED_PAUSE,
            };
            self.tell_end(&ended);
            // All are cancel-safe.
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = sleep(pause) => {}
                // News of managers are worth an attempt at once, unless the cluster has refused the node.
                Ok(()) = self.managers.changed(), if matches!(ended, End::Elsewhere(_)) => candidates.clear(),
            }
        }
    }

    fn order(&mut self, left: Option<String>) -> Vec<String> {
        let managers = self.managers.borrow_and_update().clone();
        let own = self.own.borrow();
        let own = choice::Own { node_id: self.node_id, addrs: &own };
        choice::order(own, &managers, left.as_deref(), |bound| rand::random_range(0..bound))
    }

    fn tell_end(&self, end: &End) {
        let error = match end {
            End::Stopped => return,
            End::Elsewhere(why) | End::Again(why) | End::Refused(why) => why.clone(),
            End::Removed => {
                format!("rpc error: code = PermissionDenied desc = Permission denied: node {} was removed from swarm", self.node_id)
            }
        };
        tracing::info!(%error, "no session with a manager");
        self.state.send_modify(|state| {
            state.manager = None;
            state.is_removed = matches!(end, End::Removed);
            state.error = error;
        });
    }

    /// One session with one manager; why it ended, and whether it had been accepted.
    async fn run_once(&mut self, addr: &str) -> (End, bool) {
        // Cancel-safe both; nothing was said yet.
        let description = tokio::select! {
            () = self.stop.cancelled() => return (End::Stopped, false),
            description = self.description.wait_for(Option::is_some) => match description {
                Ok(known) => (*known).clone().unwrap_or_default(),
                Err(_) => return (End::Stopped, false),
            },
        };
        let orders = self.orders.borrow().as_ref().map_or(self.orders_known, |orders| orders.generation);
        let (mut machine, hello) = Machine::start(self.node_id, description, self.tasks.generation(), orders, self.data_path_addr);
        let Effect::Send(hello) = hello else { unreachable!("a session starts by saying Hello") };
        let opened = tokio::select! {
            () = self.stop.cancelled() => return (End::Stopped, false),
            opened = self.open(addr, &hello) => opened,
        };
        let mut stream = match opened {
            Ok(stream) => stream,
            Err(end) => return (end, false),
        };
        let end = self.drive(&mut machine, &mut stream, addr).await;
        let was_open = self.state.borrow().manager.as_deref() == Some(addr);
        (end, was_open)
    }

    async fn open(&self, addr: &str, hello: &FromAgent) -> Result<Stream, End> {
        let welcome_by = Instant::now() + WELCOME_TIMEOUT;
        let hello = encode(hello).map_err(|error| End::Refused(error.to_string()))?;
        let opened = timeout_at(welcome_by, self.dial.open(addr, hello)).await;
        let opened = opened.map_err(|_| End::Elsewhere(format!("{addr} did not accept the session in time")))??;
        Ok(Stream { opened, decoder: FrameDecoder::default(), welcome_by })
    }

    async fn drive(&mut self, machine: &mut Machine, stream: &mut Stream, addr: &str) -> End {
        let mut reports = self.tasks.reports_changed();
        let welcome_by = stream.welcome_by;
        let mut period = Duration::MAX;
        let mut beat_at = Instant::now();
        loop {
            // All are cancel-safe.
            let event = tokio::select! {
                () = self.stop.cancelled() => Event::Stop("the agent stops".to_owned()),
                received = receive(stream) => match received {
                    Ok(message) => Event::Received(message),
                    Err(error) => return End::Elsewhere(format!("the session with {addr} broke: {error}")),
                },
                Ok(()) = reports.changed() => Event::ReportsChanged,
                () = sleep_until(beat_at), if machine.is_open() => {
                    beat_at = next_beat(period);
                    Event::BeatDue
                }
                Ok(()) = self.description.changed() => {
                    let description = self.description.borrow_and_update().clone();
                    Event::Description(Box::new(description.unwrap_or_default()))
                }
                generation = next_in_place(&mut self.in_place), if machine.is_open() => Event::InPlace(generation),
                () = sleep_until(welcome_by), if !machine.is_open() => {
                    return End::Elsewhere(format!("{addr} did not accept the session in time"));
                }
            };
            let mut todo: std::collections::VecDeque<Effect> = machine.step(event).into();
            while let Some(effect) = todo.pop_front() {
                match effect {
                    Effect::Accepted(every) => {
                        period = every;
                        beat_at = next_beat(period);
                        self.accepted(addr).await;
                    }
                    Effect::Period(every) => {
                        period = every;
                        beat_at = beat_at.min(next_beat(period));
                    }
                    Effect::End(end) => {
                        if end == End::Stopped {
                            say_goodbye(stream).await;
                        }
                        return end;
                    }
                    effect => match self.perform(effect, &stream.opened.outgoing).await {
                        Ok(Some(event)) => todo.extend(machine.step(event)),
                        Ok(None) => {}
                        Err(end) => return end,
                    },
                }
            }
        }
    }

    async fn accepted(&mut self, addr: &str) {
        // The manager is to hear what is in place already.
        if let Some(in_place) = &mut self.in_place {
            in_place.mark_changed();
        }
        tracing::info!(manager = addr, "a manager accepted the session");
        self.tasks.report_all_again().await;
        self.state.send_replace(SessionState {
            manager: Some(addr.to_owned()),
            was_welcome: true,
            error: String::new(),
            is_removed: false,
        });
    }

    /// Performs an effect that is not about the session itself; what follows from it.
    async fn perform(&self, effect: Effect, outgoing: &mpsc::Sender<Bytes>) -> Result<Option<Event>, End> {
        match effect {
            Effect::Send(message) => send(outgoing, &message).await.map(|()| None),
            Effect::Assign(assign) => Ok(Some(Event::Assigned(self.tasks.assign(*assign).await))),
            Effect::CollectReports => Ok(Some(Event::Reports(self.tasks.unreported().await))),
            Effect::Taken(reports) => {
                self.tasks.taken(&reports).await;
                Ok(None)
            }
            Effect::Orders(orders) => {
                self.orders.send_replace(Some(orders));
                Ok(None)
            }
            Effect::Accepted(_) | Effect::Period(_) | Effect::End(_) => Ok(None),
        }
    }
}

/// The next generation that is in place. Cancel-safe.
async fn next_in_place(in_place: &mut Option<watch::Receiver<Generation>>) -> Generation {
    if let Some(seen) = in_place
        && seen.changed().await.is_ok()
    {
        return *seen.borrow_and_update();
    }
    std::future::pending().await
}

fn next_beat(period: Duration) -> Instant {
    Instant::now() + period.mul_f64(1.0 - BEAT_EARLY * rand::random::<f64>())
}

async fn send(outgoing: &mpsc::Sender<Bytes>, message: &FromAgent) -> Result<(), End> {
    let frame = encode(message).map_err(|error| End::Refused(error.to_string()))?;
    match timeout(SEND_TIMEOUT, outgoing.send(frame)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(End::Elsewhere("the manager closed the session".to_owned())),
        Err(_) => Err(End::Elsewhere("the manager does not read what it is told".to_owned())),
    }
}

/// The next message. Cancel-safe: bytes that came are kept in the decoder.
async fn receive(stream: &mut Stream) -> Result<FromManager, String> {
    loop {
        if let Some(message) = stream.decoder.next_value().map_err(|error| error.to_string())? {
            return Ok(message);
        }
        let piece = stream.opened.incoming.next().await.ok_or("the manager ended it")??;
        stream.decoder.extend(&piece);
    }
}

/// Ends our side and waits shortly until the manager has read so far and ended its own.
async fn say_goodbye(stream: &mut Stream) {
    let (closed, _) = mpsc::channel(1);
    stream.opened.outgoing = closed;
    let ended = async { while let Some(Ok(_)) = stream.opened.incoming.next().await {} };
    if timeout(GOODBYE_TIMEOUT, ended).await.is_err() {
        tracing::debug!("the manager did not end the session after the goodbye");
    }
}
