//! The network of the world: every message is delayed, lost or stopped at a cut by the seed's dice.

use crate::system::Dice;
use axum::body::{Body, Bytes};
use futures_util::{StreamExt, future::BoxFuture, stream};
use http::{Request, Response};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::{Arc, Mutex},
    time::Duration,
};
use swarm_manager::peer::{PeerError, Transport};
use swarm_pki::Peer;
use tokio::sync::{mpsc, oneshot};

/// A silent host costs a dial so long.
const DIAL_TIMEOUT: Duration = Duration::from_secs(1);
/// Whoever asks whether a host is there at all waits so long.
const HOST_TIMEOUT: Duration = Duration::from_secs(2);
/// A connection on which nothing comes back breaks after this time: a probe and its patience.
const BREAK_AFTER: Duration = Duration::from_secs(5);
/// Of what is lost so much is lost for good, with its connection; the rest is sent again.
const BROKEN_PERCENT: usize = 25;
const RESENT_AFTER_MS: usize = 200;
const RESENT_MS_MAX: usize = 1400;
/// A stream looks this often whether its link is whole again.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Pieces of a stream that may be under way.
const PIECES_MAX: usize = 64;

/// A request that arrived.
pub(crate) struct Delivery {
    /// The host of whoever asks.
    pub(crate) from: String,
    pub(crate) peer: Peer,
    pub(crate) request: Request<Body>,
    pub(crate) answer: oneshot::Sender<Response<Body>>,
}

/// What happens to one message.
enum Fate {
    Refused,
    Cut,
    Lost,
    Arrives(Duration),
}

/// A piece of a stream. One that ends without saying so was torn off.
enum Piece {
    Bytes(Bytes),
    End,
}

struct Inner {
    dice: Dice,
    /// Who listens, by address.
    ports: BTreeMap<String, mpsc::UnboundedSender<Delivery>>,
    /// Pairs of hosts, from and to.
    cuts: BTreeSet<(String, String)>,
    /// Hosts without power: they do not even refuse.
    dark: BTreeSet<String>,
    loss_percent: usize,
    delay_ms_max: usize,
}

/// All links. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Net(Arc<Mutex<Inner>>);

fn host_of(addr: &str) -> &str {
    addr.split(':').next().unwrap_or(addr)
}

impl Net {
    pub(crate) fn new(seed: u64) -> Self {
        let (ports, cuts, dark) = Default::default();
        Self(Arc::new(Mutex::new(Inner { dice: Dice::new(seed), ports, cuts, dark, loss_percent: 0, delay_ms_max: 2 })))
    }

    fn with<T>(&self, work: impl FnOnce(&mut Inner) -> T) -> T {
        work(&mut self.0.lock().expect("nothing panics while holding it"))
    }

    /// Somebody answers at this address from now on.
    pub(crate) fn listen(&self, addr: &str) -> mpsc::UnboundedReceiver<Delivery> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.with(|n| n.ports.insert(addr.to_owned(), sender));
        receiver
    }

    /// Nobody answers at this address any more.
    pub(crate) fn close(&self, addr: &str) {
        self.with(|n| n.ports.remove(addr));
    }

    /// Whether the host has power.
    pub(crate) fn set_power(&self, host: &str, has_power: bool) {
        self.with(|n| if has_power { n.dark.remove(host) } else { n.dark.insert(host.to_owned()) });
    }

    /// Messages from the one host to the other do not arrive.
    pub(crate) fn cut(&self, from: &str, to: &str) {
        self.with(|n| n.cuts.insert((from.to_owned(), to.to_owned())));
    }

    pub(crate) fn set_weather(&self, loss_percent: usize, delay_ms_max: usize) {
        self.with(|n| (n.loss_percent, n.delay_ms_max) = (loss_percent, delay_ms_max));
    }

    pub(crate) fn heal_cuts(&self) {
        self.with(|n| n.cuts.clear());
    }

    /// Of a message between two hosts.
    fn fate(&self, from: &str, to: &str) -> Fate {
        self.with(|n| {
            if n.is_cut(from, to) {
                Fate::Cut
            } else {
                let is_lost = n.dice.percent(n.loss_percent);
                if is_lost && n.dice.percent(BROKEN_PERCENT) {
                    return Fate::Lost;
                }
                let again = if is_lost { RESENT_AFTER_MS + n.dice.below(RESENT_MS_MAX) } else { 0 };
                let delay = 1 + n.dice.below(n.delay_ms_max) + again;
                Fate::Arrives(Duration::from_millis(delay as u64))
            }
        })
    }

    /// Of a request to an address.
    fn fate_of_request(&self, from: &str, to: &str) -> Fate {
        let refused = self.with(|n| !n.is_cut(from, host_of(to)) && !n.ports.contains_key(to));
        if refused { Fate::Refused } else { self.fate(from, host_of(to)) }
    }

    fn is_cut(&self, from: &str, to: &str) -> bool {
        self.with(|n| n.is_cut(from, to))
    }

    /// The body as the other side gets it: in order, each piece after a delay; broken when the link is cut for long, when a
    /// piece is lost for good, or when the sender dies.
    pub(crate) fn carry(&self, body: Body, from: &str, to: &str) -> Body {
        let (sender, receiver) = mpsc::channel(PIECES_MAX);
        let (net, from, to) = (self.clone(), from.to_owned(), to.to_owned());
        tokio::spawn(forward(net.clone(), body, from.clone(), to.clone(), sender));
        let pieces = stream::unfold(Some(receiver), move |receiver| {
            let (net, from, to) = (net.clone(), from.clone(), to.clone());
            async move {
                let mut receiver = receiver?;
                match receiver.recv().await {
                    Some(Piece::Bytes(bytes)) => Some((Ok(bytes), Some(receiver))),
                    Some(Piece::End) => None,
                    None => {
                        if net.is_cut(&from, &to) {
                            tokio::time::sleep(BREAK_AFTER).await;
                        }
                        Some((Err(io::Error::from(io::ErrorKind::ConnectionReset)), None))
                    }
                }
            }
        });
        Body::from_stream(pieces)
    }
}

impl Inner {
    fn is_cut(&self, from: &str, to: &str) -> bool {
        from != to && (self.dark.contains(to) || self.dark.contains(from) || self.cuts.contains(&(from.to_owned(), to.to_owned())))
    }
}

async fn forward(net: Net, body: Body, from: String, to: String, sender: mpsc::Sender<Piece>) {
    let mut pieces = body.into_data_stream();
    loop {
        let piece = tokio::select! {
            piece = pieces.next() => piece,
            () = sender.closed() => return,
        };
        let piece = match piece {
            Some(Ok(piece)) => Piece::Bytes(piece),
            Some(Err(_)) => return,
            None => Piece::End,
        };
        let mut waited = Duration::ZERO;
        while net.is_cut(&from, &to) {
            if waited >= BREAK_AFTER {
                return;
            }
            tokio::time::sleep(LOOK_EVERY).await;
            waited += LOOK_EVERY;
        }
        let delay = net.with(|n| 1 + n.dice.below(n.delay_ms_max) as u64);
        tokio::time::sleep(Duration::from_millis(delay)).await;
        let is_end = matches!(piece, Piece::End);
        if sender.send(piece).await.is_err() || is_end {
            return;
        }
    }
}

/// One program's way into the network.
#[derive(Clone)]
pub(crate) struct Port {
    pub(crate) net: Net,
    /// Its host.
    pub(crate) own: String,
    /// Who it is to others.
    pub(crate) peer: Peer,
}

impl Transport for Port {
    fn send<'a>(&'a self, addr: &'a str, request: Request<Body>) -> BoxFuture<'a, Result<Response<Body>, PeerError>> {
        Box::pin(self.send_one(addr, request))
    }

    fn host_answers<'a>(&'a self, addr: &'a str) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            // The way there and back.
            for (from, to) in [(self.own.as_str(), host_of(addr)), (host_of(addr), self.own.as_str())] {
                match self.net.fate(from, to) {
                    Fate::Arrives(delay) => tokio::time::sleep(delay).await,
                    Fate::Refused | Fate::Cut | Fate::Lost => {
                        tokio::time::sleep(HOST_TIMEOUT).await;
                        return false;
                    }
                }
            }
            true
        })
    }
}

impl Port {
    pub(crate) async fn send_one(&self, to: &str, request: Request<Body>) -> Result<Response<Body>, PeerError> {
        let dial = |kind: io::ErrorKind| PeerError::Dial { addr: to.to_owned(), source: kind.into() };
        let broken = || PeerError::Http { addr: to.to_owned(), source: "the connection broke".into() };
        let (parts, body) = request.into_parts();
        let body = match parts.uri.path() {
            "/session" => self.net.carry(body, &self.own, host_of(to)),
            _ => Body::from(axum::body::to_bytes(body, usize::MAX).await.map_err(|_| broken())?),
        };
        match self.net.fate_of_request(&self.own, to) {
            Fate::Refused => {
                tokio::time::sleep(Duration::from_millis(1)).await;
                return Err(dial(io::ErrorKind::ConnectionRefused));
            }
            Fate::Cut => {
                tokio::time::sleep(DIAL_TIMEOUT).await;
                return Err(dial(io::ErrorKind::TimedOut));
            }
            Fate::Lost => {
                tokio::time::sleep(BREAK_AFTER).await;
                return Err(broken());
            }
            Fate::Arrives(delay) => tokio::time::sleep(delay).await,
        }
        let (answer, answered) = oneshot::channel();
        let delivery = Delivery { from: self.own.clone(), peer: self.peer.clone(), request: Request::from_parts(parts, body), answer };
        let port = self.net.with(|n| n.ports.get(to).cloned());
        port.and_then(|port| port.send(delivery).ok()).ok_or_else(broken)?;
        let response = answered.await;
        match self.net.fate(host_of(to), &self.own) {
            Fate::Arrives(delay) => {
                tokio::time::sleep(delay).await;
                response.map_err(|_| broken())
            }
            Fate::Refused | Fate::Cut | Fate::Lost => {
                tokio::time::sleep(BREAK_AFTER).await;
                Err(broken())
            }
        }
    }
}
