//! Raft's messages to other managers, over the shared connections.

use super::{Member, StateSnapshot, TypeConfig};
use crate::{
    blocking,
    peer::{PeerError, Peers},
};
use axum::body::Body;
use bytes::Bytes;
use futures_util::StreamExt;
use openraft::{
    OptionalSend, RaftNetwork, RaftNetworkFactory, Snapshot, SnapshotMeta, Vote,
    error::{Fatal, NetworkError, RPCError, RaftError, RemoteError, ReplicationClosed, StreamingError, Timeout, Unreachable},
    network::{Backoff, RPCOption, RPCTypes},
    raft::{AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{future::Future, io, sync::Arc, time::Duration};
use tokio::sync::mpsc;

/// An unreachable peer is tried again this often: a restarted manager is back in the group within two beats.
const RETRY_EVERY: Duration = Duration::from_millis(100);
/// A snapshot's bytes on the wire come in pieces of this size.
const PIECE_BYTES: usize = 256 << 10;
/// Pieces that may wait between the encoder and the wire.
const PIECES_WAITING_MAX: usize = 4;

/// Makes a [`PeerClient`] per member.
#[derive(Clone)]
pub struct Network {
    /// Own id, named in errors.
    pub raft_id: u64,
    /// The connections.
    pub peers: Arc<Peers>,
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = PeerClient;

    async fn new_client(&mut self, target: u64, node: &Member) -> PeerClient {
        PeerClient { raft_id: self.raft_id, target, addr: node.addr.clone(), peers: Arc::clone(&self.peers) }
    }
}

/// Raft's messages to one member.
pub struct PeerClient {
    raft_id: u64,
    target: u64,
    addr: String,
    peers: Arc<Peers>,
}

/// The member that a message is for, in the query of its path. A node that came back under a new id answers where its former
/// self did, and must not vote or acknowledge entries in that one's name: it remembers none of what that one promised.
#[derive(Debug, Deserialize)]
pub struct Addressee {
    /// Its id in Raft.
    pub to: u64,
}

fn path_to(path: &str, target: u64) -> String {
    format!("{path}?to={target}")
}

type Rpc<E> = RPCError<u64, Member, E>;

/// What a snapshot stream starts with, framed by its length; the state follows.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SnapshotHead {
    /// The leader's vote.
    pub vote: Vote<u64>,
    /// What the snapshot holds.
    pub meta: SnapshotMeta<u64, Member>,
}

impl PeerClient {
    async fn call<Q, A, E>(&self, kind: RPCTypes, path: &str, message: &Q, ttl: Duration) -> Result<A, Rpc<RaftError<u64, E>>>
    where
        Q: Serialize,
        A: DeserializeOwned,
        E: std::error::Error + DeserializeOwned,
    {
        let path = path_to(path, self.target);
        let call = self.peers.call::<Q, Result<A, RaftError<u64, E>>>(&self.addr, &path, message);
        match tokio::time::timeout(ttl, call).await {
            Ok(Ok(Ok(answer))) => Ok(answer),
            Ok(Ok(Err(refused))) => Err(RPCError::RemoteError(RemoteError::new(self.target, refused))),
            Ok(Err(error)) => Err(rpc_error(&error)),
            Err(_) => Err(RPCError::Timeout(Timeout { action: kind, id: self.raft_id, target: self.target, timeout: ttl })),
        }
    }
}

fn rpc_error<E: std::error::Error>(error: &PeerError) -> Rpc<E> {
    if must_back_off(error) { RPCError::Unreachable(Unreachable::new(error)) } else { RPCError::Network(NetworkError::new(error)) }
}

/// A refused dial must back off, and so must a call to a member that is not there any more or has no room; a broken connection
/// is worth one retry at once.
fn must_back_off(error: &PeerError) -> bool {
    use http::StatusCode;
    let waits = matches!(error, PeerError::Status { status: StatusCode::GONE | StatusCode::INSUFFICIENT_STORAGE, .. });
    error.is_unreachable() || waits
}

impl RaftNetwork<TypeConfig> for PeerClient {
    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<u64>, Rpc<RaftError<u64>>> {
        self.call(RPCTypes::AppendEntries, "/raft/append", &rpc, option.hard_ttl()).await
    }

    async fn vote(&mut self, rpc: VoteRequest<u64>, option: RPCOption) -> Result<VoteResponse<u64>, Rpc<RaftError<u64>>> {
        self.call(RPCTypes::Vote, "/raft/vote", &rpc, option.hard_ttl()).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote<u64>,
        snapshot: Snapshot<TypeConfig>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<u64>, StreamingError<TypeConfig, Fatal<u64>>> {
        let head = SnapshotHead { vote, meta: snapshot.meta };
        let path = path_to("/raft/snapshot", self.target);
        let send = send_snapshot(Arc::clone(&self.peers), self.addr.clone(), path, head, snapshot.snapshot);
        tokio::select! {
            closed = cancel => Err(StreamingError::Closed(closed)),
            sent = send => match sent {
                Ok(Ok(response)) => Ok(response),
                Ok(Err(fatal)) => Err(StreamingError::RemoteError(RemoteError::new(self.target, fatal))),
                Err(error) if must_back_off(&error) => Err(StreamingError::Unreachable(Unreachable::new(&error))),
                Err(error) => Err(StreamingError::Network(NetworkError::new(&error))),
            },
        }
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(std::iter::repeat(RETRY_EVERY))
    }
}

async fn send_snapshot(
    peers: Arc<Peers>,
    addr: String,
    path: String,
    head: SnapshotHead,
    snapshot: Box<StateSnapshot>,
) -> Result<Result<SnapshotResponse<u64>, Fatal<u64>>, PeerError> {
    if blocking::is_in_place() {
        let mut bytes = Vec::new();
        let encoded = write_snapshot(&head, &snapshot, &mut bytes);
        encoded.map_err(|e| PeerError::Codec { addr: addr.clone(), source: Box::new(e) })?;
        return post_snapshot(&peers, &addr, path, Body::from(bytes)).await;
    }
    let (sender, receiver) = mpsc::channel::<Result<Bytes, io::Error>>(PIECES_WAITING_MAX);
    // The encoder runs on a blocking thread; when the request ends early, its channel closes and it stops.
    let encoder = tokio::task::spawn_blocking(move || encode_snapshot(&head, &snapshot, sender));
    let stream = tokio_stream::wrappers::ReceiverStream::new(receiver);
    let answer = post_snapshot(&peers, &addr, path, Body::from_stream(stream)).await?;
    if let Ok(Err(error)) = encoder.await {
        tracing::debug!(%addr, %error, "snapshot stream was not sent to its end");
    }
    Ok(answer)
}

async fn post_snapshot(
    peers: &Peers,
    addr: &str,
    path: String,
    body: Body,
) -> Result<Result<SnapshotResponse<u64>, Fatal<u64>>, PeerError> {
    let codec = |source: Box<dyn std::error::Error + Send + Sync>| PeerError::Codec { addr: addr.to_owned(), source };
    let request = http::Request::post(path).body(body).map_err(|e| codec(Box::new(e)))?;
    let response = peers.send(addr, request).await?;
    let status = response.status();
    let bytes = axum::body::to_bytes(response.into_body(), PIECE_BYTES).await.map_err(|e| codec(Box::new(e)))?;
    if !status.is_success() {
        return Err(PeerError::Status {
            addr: addr.to_owned(),
            status,
            message: String::from_utf8_lossy(&bytes).into_owned(),
            leader: None,
        });
    }
    rmp_serde::from_slice(&bytes).map_err(|e| codec(Box::new(e)))
}

fn encode_snapshot(head: &SnapshotHead, snapshot: &StateSnapshot, sender: mpsc::Sender<Result<Bytes, io::Error>>) -> io::Result<()> {
    let mut out = io::BufWriter::with_capacity(PIECE_BYTES, PieceWriter { sender });
    let result = write_snapshot(head, snapshot, &mut out);
    let result = result.and_then(|()| io::Write::flush(&mut out));
    if let Err(error) = &result {
        // The receiver must not take a cut stream for a whole one.
        let cut = io::Error::new(error.kind(), error.to_string());
        let _ = out.get_ref().sender.blocking_send(Err(cut));
    }
    result
}

fn write_snapshot(head: &SnapshotHead, snapshot: &StateSnapshot, out: &mut impl io::Write) -> io::Result<()> {
    let encoded = rmp_serde::to_vec_named(head).map_err(io::Error::other)?;
    let length = u32::try_from(encoded.len()).map_err(io::Error::other)?;
    out.write_all(&length.to_be_bytes())?;
    out.write_all(&encoded)?;
    snapshot.0.write_to(out).map_err(io::Error::other)
}

fn read_snapshot(input: &mut impl io::Read) -> io::Result<(SnapshotHead, StateSnapshot)> {
    let mut length = [0; 4];
    input.read_exact(&mut length)?;
    let mut head = vec![0; (u32::from_be_bytes(length) as usize).min(PIECE_BYTES)];
    input.read_exact(&mut head)?;
    let head: SnapshotHead = rmp_serde::from_slice(&head).map_err(io::Error::other)?;
    let state = swarm_state::State::read_from(input).map_err(io::Error::other)?;
    Ok((head, StateSnapshot(state)))
}

struct PieceWriter {
    sender: mpsc::Sender<Result<Bytes, io::Error>>,
}

impl io::Write for PieceWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.sender.blocking_send(Ok(Bytes::copy_from_slice(bytes))).map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads what [`send_snapshot`] streams.
///
/// # Errors
/// When the stream breaks, or is no snapshot.
pub async fn receive_snapshot(body: Body) -> io::Result<Received> {
    if blocking::is_in_place() {
        let bytes = axum::body::to_bytes(body, usize::MAX).await.map_err(io::Error::other)?;
        let (head, state) = read_snapshot(&mut &bytes[..])?;
        return Ok(Received { head, state, bytes: bytes.len() as u64 });
    }
    let (sender, receiver) = mpsc::channel::<io::Result<Bytes>>(PIECES_WAITING_MAX);
    let decoder = tokio::task::spawn_blocking(move || {
        let mut input = io::BufReader::with_capacity(PIECE_BYTES, PieceReader { receiver, piece: Bytes::new() });
        read_snapshot(&mut input)
    });
    let mut stream = body.into_data_stream();
    let mut bytes = 0;
    while let Some(piece) = stream.next().await {
        bytes += piece.as_ref().map_or(0, |piece| piece.len() as u64);
        if sender.send(piece.map_err(io::Error::other)).await.is_err() {
            break;
        }
    }
    drop(sender);
    let (head, state) = decoder.await.map_err(io::Error::other)??;
    Ok(Received { head, state, bytes })
}

/// A snapshot that arrived whole.
pub struct Received {
    /// What it starts with.
    pub head: SnapshotHead,
    /// The state.
    pub state: StateSnapshot,
    /// Its bytes on the wire.
    pub bytes: u64,
}

struct PieceReader {
    receiver: mpsc::Receiver<io::Result<Bytes>>,
    piece: Bytes,
}

impl io::Read for PieceReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.receiver.blocking_recv() {
                None => return Ok(0),
                Some(piece) => self.piece = piece?,
            }
        }
        let length = out.len().min(self.piece.len());
        out[..length].copy_from_slice(&self.piece.split_to(length));
        Ok(length)
    }
}
