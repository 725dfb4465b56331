//! Writing a snapshot from asynchronous code.

use std::path::PathBuf;

use bytes::Bytes;
use openraft::{RaftTypeConfig, SnapshotMeta};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::{CHUNKS_QUEUED_MAX, SnapshotError, SnapshotStore, StoredSnapshot};

enum Message {
    Chunk(Bytes),
    Commit,
}

type Outcome<C> = Result<Option<StoredSnapshot<C>>, SnapshotError>;

/// A snapshot being written by a background thread. Dropped before [`commit`](Self::commit), it is
/// removed.
#[derive(Debug)]
pub struct SnapshotSink<C: RaftTypeConfig<NodeId = u64>> {
    messages: mpsc::Sender<Message>,
    /// Taken once its outcome is known.
    thread: Option<JoinHandle<Outcome<C>>>,
    dir: PathBuf,
}

impl<C: RaftTypeConfig<NodeId = u64>> SnapshotSink<C> {
    pub(super) fn start(store: SnapshotStore<C>, meta: SnapshotMeta<u64, C::Node>) -> Self {
        let (messages, received) = mpsc::channel(CHUNKS_QUEUED_MAX);
        let dir = store.dir().to_path_buf();
        let thread = tokio::task::spawn_blocking(move || write(&store, meta, received));
        SnapshotSink { messages, thread: Some(thread), dir }
    }

    /// Adds content; chunks of any size, best some hundred kilobytes. Waits while the disk is behind.
    /// Dropping the future before it is done may or may not have added the chunk: give the snapshot
    /// up then.
    ///
    /// # Errors
    /// The failure that ended the writing thread, once. The snapshot must be given up.
    pub async fn push(&mut self, chunk: Bytes) -> Result<(), SnapshotError> {
        match self.messages.send(Message::Chunk(chunk)).await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.failure().await),
        }
    }

    /// Finishes the snapshot; see [`SnapshotWriter::commit`](super::SnapshotWriter::commit).
    ///
    /// # Errors
    /// The failure that ended the writing thread. There is no snapshot then.
    pub async fn commit(mut self) -> Result<StoredSnapshot<C>, SnapshotError> {
        if self.messages.send(Message::Commit).await.is_err() {
            return Err(self.failure().await);
        }
        match self.outcome().await {
            Ok(Some(stored)) => Ok(stored),
            Ok(None) => Err(SnapshotError::stopped(&self.dir)),
            Err(error) => Err(error),
        }
    }

    async fn failure(&mut self) -> SnapshotError {
        match self.outcome().await {
            Err(error) => error,
            Ok(_) => SnapshotError::stopped(&self.dir),
        }
    }

    async fn outcome(&mut self) -> Outcome<C> {
        let Some(thread) = self.thread.as_mut() else {
            return Err(SnapshotError::stopped(&self.dir));
        };
        let joined = thread.await;
        self.thread = None;
        match joined.map_err(|failed| failed.try_into_panic()) {
            Ok(outcome) => outcome,
            Err(Ok(panic)) => std::panic::resume_unwind(panic),
            Err(Err(_)) => Err(SnapshotError::stopped(&self.dir)),
        }
    }
}

/// Runs on the background thread until the snapshot is committed or given up.
fn write<C: RaftTypeConfig<NodeId = u64>>(
    store: &SnapshotStore<C>,
    meta: SnapshotMeta<u64, C::Node>,
    mut messages: mpsc::Receiver<Message>,
) -> Outcome<C> {
    let mut writer = store.create(meta)?;
    while let Some(message) = messages.blocking_recv() {
        match message {
            Message::Chunk(chunk) => writer.append(&chunk)?,
            Message::Commit => return writer.commit().map(Some),
        }
    }
    Ok(None)
}
