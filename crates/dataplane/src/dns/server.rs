//! The sockets on the gateway addresses.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use hickory_proto::op::ResponseCode;
use socket2::{Domain, Socket, Type};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;
use tokio::time;

use super::answer::{Decision, Transport, decide, failure};
use super::limits::{Limits, Permit};
use super::resolv_conf::ResolvConf;
use super::upstream::{Upstream, read_message, write_message};
use super::zone::Tables;
use crate::error::Error;
use crate::netns::Netns;

/// Where resolvers ask.
const PORT: u16 = 53;
/// Questions passed on at a time, of one client and of all: each holds a socket, of which an agent has
/// at least 1024. A question beyond fails at once.
const FORWARDS_MAX: (usize, usize) = (128, 512);
/// Streams open at a time, of one client and of all. One beyond is closed at once.
const STREAMS_MAX: (usize, usize) = (16, 128);
/// A stream without a question for so long is closed.
const IDLE_MAX: Duration = Duration::from_secs(10);
/// A longer question by UDP is cut, and refused then.
const QUERY_BYTES_MAX: usize = 4096;
/// Streams the kernel keeps until they are accepted.
const BACKLOG: i32 = 128;
/// How long to leave a socket alone that failed, so that a lasting failure does not fill a processor.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(100);

/// What was done since the server was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Questions answered out of the tables.
    pub answered: u64,
    /// Questions passed on to other servers.
    pub forwarded: u64,
    /// Of these, those that nobody answered, or for which there was no room.
    pub failed: u64,
    /// Questions of those who are no clients.
    pub refused: u64,
}

/// The server of names of a node. Dropping it closes its sockets.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    listeners: Mutex<HashMap<String, Listener>>,
}

#[derive(Debug)]
struct Shared {
    tables: RwLock<Arc<Tables>>,
    host: ResolvConf,
    upstream: Upstream,
    forwards: Limits,
    streams: Limits,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    answered: AtomicU64,
    forwarded: AtomicU64,
    failed: AtomicU64,
    refused: AtomicU64,
}

/// The sockets of one network.
#[derive(Debug)]
struct Listener {
    namespace: u64,
    /// The loops of each address. Dropping them closes the sockets, soon.
    addresses: HashMap<IpAddr, JoinSet<()>>,
}

impl Server {
    /// A server that knows nothing and listens nowhere. `resolv_conf` is where the host says whom it asks.
    #[must_use]
    pub fn new(resolv_conf: PathBuf) -> Self {
        let shared = Shared {
            tables: RwLock::default(),
            host: ResolvConf::new(resolv_conf),
            upstream: Upstream::default(),
            forwards: Limits::new(FORWARDS_MAX.0, FORWARDS_MAX.1),
            streams: Limits::new(STREAMS_MAX.0, STREAMS_MAX.1),
            counts: Counts::default(),
        };
        Self { shared: Arc::new(shared), listeners: Mutex::default() }
    }

    /// Replaces all that is known; the next question is answered by it.
    pub fn publish(&self, tables: Tables) {
        *self.shared.tables.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(tables);
    }

    /// What is known.
    #[must_use]
    pub fn tables(&self) -> Arc<Tables> {
        self.shared.tables()
    }

    /// What was done so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let counts = &self.shared.counts;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counters {
            answered: read(&counts.answered),
            forwarded: read(&counts.forwarded),
            failed: read(&counts.failed),
            refused: read(&counts.refused),
        }
    }

    /// Listens on the gateway addresses of a network, in its namespace, whether or not they are there
    /// already. Does nothing when it listens so, and starts anew when the namespace is another. Must be
    /// called from within a tokio runtime, and blocks for the time of a few system calls.
    ///
    /// # Errors
    /// When the namespace cannot be entered, or a socket cannot be had; then it does not listen there.
    pub fn listen(&self, network: &str, namespace: &Netns, addresses: &[IpAddr]) -> Result<(), Error> {
        let id = namespace.id()?;
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        let listener = listeners.entry(network.into()).or_insert_with(|| Listener { namespace: id, addresses: HashMap::new() });
        if listener.namespace != id {
            *listener = Listener { namespace: id, addresses: HashMap::new() };
        }
        listener.addresses.retain(|address, _| addresses.contains(address));
        for address in addresses {
            if !listener.addresses.contains_key(address) {
                listener.addresses.insert(*address, self.open(network, namespace, *address)?);
            }
        }
        Ok(())
    }

    fn open(&self, network: &str, namespace: &Netns, address: IpAddr) -> Result<JoinSet<()>, Error> {
        let failed = |source| Error::Listen { address, source };
        let open = || Ok((open(address, Type::DGRAM).map_err(failed)?, open(address, Type::STREAM).map_err(failed)?));
        let (datagrams, streams) = namespace.enter(open)?;
        let datagrams = UdpSocket::from_std(datagrams.into()).map_err(failed)?;
        let streams = TcpListener::from_std(streams.into()).map_err(failed)?;
        let mut loops = JoinSet::new();
        loops.spawn(serve_datagrams(self.shared.clone(), network.into(), datagrams));
        loops.spawn(serve_streams(self.shared.clone(), network.into(), streams));
        Ok(loops)
    }

    /// Stops listening for a network.
    pub fn close(&self, network: &str) {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner).remove(network);
    }

    /// The networks it listens for.
    #[must_use]
    pub fn listening(&self) -> Vec<String> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }
}

/// A socket bound to port 53 of an address, in the calling thread's namespace.
fn open(address: IpAddr, kind: Type) -> io::Result<Socket> {
    let to = SocketAddr::new(address, PORT);
    let socket = Socket::new(Domain::for_address(to), kind, None)?;
    socket.set_nonblocking(true)?;
    // The address may be given to the namespace later than the socket is wanted.
    match address {
        IpAddr::V4(_) => socket.set_freebind_v4(true)?,
        IpAddr::V6(_) => socket.set_freebind_v6(true)?,
    }
    if kind == Type::STREAM {
        socket.set_reuse_address(true)?;
    }
    socket.bind(&to.into())?;
    if kind == Type::STREAM {
        socket.listen(BACKLOG)?;
    }
    Ok(socket)
}

impl Shared {
    fn tables(&self) -> Arc<Tables> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What to do about a message: the answer, or whom to ask.
    fn decide(&self, network: &str, source: IpAddr, bytes: &[u8], transport: Transport) -> Next {
        let count = |count: &AtomicU64| count.fetch_add(1, Ordering::Relaxed);
        match decide(&self.tables(), network, source, bytes, transport, rand::random()) {
            Decision::Ignore => Next::Ignore,
            Decision::Reply(reply) => {
                count(&self.counts.answered);
                Next::Reply(reply)
            }
            Decision::Refuse(reply) => {
                count(&self.counts.refused);
                Next::Reply(reply)
            }
            Decision::Ask(servers) => self.forward(source, bytes, servers.into()),
            Decision::AskHost => match self.host.servers() {
                Ok(servers) => self.forward(source, bytes, servers),
                Err(error) => {
                    tracing::warn!(%error, "cannot read the host's resolv.conf");
                    self.fail(bytes)
                }
            },
        }
    }

    fn forward(&self, source: IpAddr, bytes: &[u8], servers: Arc<[SocketAddr]>) -> Next {
        self.counts.forwarded.fetch_add(1, Ordering::Relaxed);
        match self.forwards.take(source) {
            Some(permit) => Next::Ask(servers, permit),
            None => self.fail(bytes),
        }
    }

    fn fail(&self, bytes: &[u8]) -> Next {
        self.counts.failed.fetch_add(1, Ordering::Relaxed);
        Next::Reply(failure(bytes, ResponseCode::ServFail))
    }

    /// The answer of other servers, or that there is none.
    async fn ask(&self, servers: &[SocketAddr], query: &[u8], transport: Transport) -> Vec<u8> {
        if let Some(answer) = self.upstream.ask(servers, query, transport).await {
            return answer;
        }
        self.counts.failed.fetch_add(1, Ordering::Relaxed);
        failure(query, ResponseCode::ServFail)
    }
}

enum Next {
    Ignore,
    Reply(Vec<u8>),
    Ask(Arc<[SocketAddr]>, Permit),
}

async fn serve_datagrams(shared: Arc<Shared>, network: Arc<str>, socket: UdpSocket) {
    let socket = Arc::new(socket);
    let mut buffer = vec![0; QUERY_BYTES_MAX];
    let mut asking = JoinSet::new();
    loop {
        // What is done is taken out, so that the set does not grow.
        while asking.try_join_next().is_some() {}
        let (length, from) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(error) => {
                tracing::warn!(%network, %error, "cannot receive questions about names");
                time::sleep(PAUSE_AFTER_ERROR).await;
                continue;
            }
        };
        let query = &buffer[..length];
        match shared.decide(&network, from.ip(), query, Transport::Udp) {
            Next::Ignore => {}
            // An answer that is lost is asked for again.
            Next::Reply(reply) => drop(socket.send_to(&reply, from).await),
            Next::Ask(servers, permit) => {
                let (shared, socket, query) = (shared.clone(), socket.clone(), query.to_vec());
                asking.spawn(async move {
                    let answer = shared.ask(&servers, &query, Transport::Udp).await;
                    drop(socket.send_to(&answer, from).await);
                    drop(permit);
                });
            }
        }
    }
}

async fn serve_streams(shared: Arc<Shared>, network: Arc<str>, listener: TcpListener) {
    let mut streams = JoinSet::new();
    loop {
        while streams.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, from)) => {
                if let Some(permit) = shared.streams.take(from.ip()) {
                    let (shared, network) = (shared.clone(), network.clone());
                    streams.spawn(async move {
                        // A client that goes away in the middle is its own affair.
                        let _ = serve_stream(&shared, &network, stream, from.ip()).await;
                        drop(permit);
                    });
                }
            }
            Err(error) => {
                tracing::warn!(%network, %error, "cannot accept questions about names");
                time::sleep(PAUSE_AFTER_ERROR).await;
            }
        }
    }
}

async fn serve_stream(shared: &Shared, network: &str, mut stream: TcpStream, client: IpAddr) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut query = Vec::new();
    loop {
        time::timeout(IDLE_MAX, read_message(&mut stream, &mut query)).await??;
        let reply = match shared.decide(network, client, &query, Transport::Tcp) {
            Next::Ignore => return Ok(()),
            Next::Reply(reply) => reply,
            Next::Ask(servers, _permit) => shared.ask(&servers, &query, Transport::Tcp).await,
        };
        time::timeout(IDLE_MAX, write_message(&mut stream, &reply)).await??;
    }
}
