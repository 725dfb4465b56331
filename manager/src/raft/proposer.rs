//! Packs waiting batches into log entries.
//!
//! openraft 0.9 syncs the log once per `client_write`, whatever the concurrency. So one loop drains the batches that wait and
//! proposes them as one entry, with at most two entries under way: while one is being synced, the next one fills.

use super::{Proposal, Raft, TypeConfig};
use crate::{room::Room, store::ProposeError};
use openraft::error::ClientWriteError;
use openraft::raft::ClientWriteResult;
use std::sync::Arc;
use swarm_state::{Batch, Change, Object};
use swarm_types::{RemoteManager, Version};
use tokio::sync::{Semaphore, mpsc, oneshot};

/// Batches in one entry at most.
const BATCHES_PER_ENTRY_MAX: usize = 512;
/// Changes in one entry at most, unless a single batch has more: bounds the entry's size and the time to apply it.
const CHANGES_PER_ENTRY_MAX: usize = 4096;
/// Bytes of changes in one entry at most, unless a single batch has more. A follower must take an entry within one Raft
/// heartbeat, and port 2377 takes no message above 64 MiB.
const BYTES_PER_ENTRY_MAX: usize = 2 << 20;
/// Batches that may wait; more make their proposers wait in turn.
const BATCHES_WAITING_MAX: usize = 4096;
/// Entries under way: one being synced, one being filled.
const ENTRIES_IN_FLIGHT_MAX: usize = 2;

struct Waiting {
    batch: Batch,
    answer: oneshot::Sender<Result<Version, ProposeError>>,
}

/// The sending end.
#[derive(Clone)]
pub struct Proposer {
    queue: mpsc::Sender<Waiting>,
}

impl Proposer {
    /// Starts the loop. It ends when every sending end is gone. Nothing is proposed without room on the disk.
    #[must_use]
    pub fn start(raft: Raft, room: Room) -> Self {
        let (queue, waiting) = mpsc::channel(BATCHES_WAITING_MAX);
        tokio::spawn(run(raft, room, waiting));
        Self { queue }
    }

    /// Replicates the batch and returns once it is applied.
    ///
    /// # Errors
    /// [`ProposeError`]; never [`ProposeError::NoQuorum`], the caller owns the time.
    pub async fn propose(&self, batch: Batch) -> Result<Version, ProposeError> {
        let (answer, answered) = oneshot::channel();
        let closed = || ProposeError::Closed("the proposer stopped".into());
        self.queue.send(Waiting { batch, answer }).await.map_err(|_| closed())?;
        answered.await.map_err(|_| closed())?
    }
}

async fn run(raft: Raft, room: Room, mut queue: mpsc::Receiver<Waiting>) {
    let in_flight = Arc::new(Semaphore::new(ENTRIES_IN_FLIGHT_MAX));
    let mut left_over: Option<Waiting> = None;
    loop {
        let Ok(permit) = Arc::clone(&in_flight).acquire_owned().await else { return };
        let first = match left_over.take() {
            Some(waiting) => waiting,
            None => match queue.recv().await {
                Some(waiting) => waiting,
                None => return,
            },
        };
        // A proposer that gave up must not have its batch stored after all.
        if first.answer.is_closed() {
            continue;
        }
        let mut changes = first.batch.changes.len();
        let mut bytes = weight(&first.batch);
        let mut batches = vec![first];
        while batches.len() < BATCHES_PER_ENTRY_MAX {
            let Ok(next) = queue.try_recv() else { break };
            if next.answer.is_closed() {
                continue;
            }
            changes += next.batch.changes.len();
            bytes += weight(&next.batch);
            if changes > CHANGES_PER_ENTRY_MAX || bytes > BYTES_PER_ENTRY_MAX {
                left_over = Some(next);
                break;
            }
            batches.push(next);
        }
        let (contents, answers): (Vec<_>, Vec<_>) = batches.into_iter().map(|w| (w.batch, w.answer)).unzip();
        // What is already on its way to the disk must still fit, so this is asked before and not found out by a failure.
        if let Err(error) = room.check(bytes as u64) {
            answer_all(answers, Err(ProposeError::NoRoom(error.to_string())));
            continue;
        }
        // Submitted here, so that entries keep their order; only the waiting is done aside.
        match raft.client_write_ff(Proposal(contents)).await {
            Ok(written) => {
                tokio::spawn(async move {
                    let result = written.await.map_err(|_| ProposeError::Closed("raft stopped".into()));
                    answer_all(answers, result);
                    drop(permit);
                });
            }
            Err(fatal) => answer_all(answers, Err(ProposeError::Closed(fatal.to_string()))),
        }
    }
}

/// About how many bytes a batch takes in the log. Tasks and nodes are small and many, so they are not measured.
fn weight(batch: &Batch) -> usize {
    const SMALL: usize = 1024;
    let of = |change: &Change| match change {
        Change::Put { object: object @ (Object::Cluster(_) | Object::Service(_) | Object::Spec(_) | Object::Network(_)), .. } => {
            let mut counter = Counter(0);
            // What cannot be encoded fails when the entry is written.
            if rmp_serde::encode::write_named(&mut counter, object).is_ok() { counter.0 } else { SMALL }
        }
        Change::Put { object: Object::Secret(secret), .. } => SMALL + secret.spec.data.bytes().len(),
        Change::Put { object: Object::Config(config), .. } => SMALL + config.spec.data.bytes().len(),
        Change::Put { .. } | Change::Delete { .. } => SMALL,
    };
    batch.changes.iter().map(of).sum()
}

struct Counter(usize);

impl std::io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn answer_all(answers: Vec<oneshot::Sender<Result<Version, ProposeError>>>, result: Result<ClientWriteResult<TypeConfig>, ProposeError>) {
    let outcome = result.and_then(|written| written.map(|response| response.data).map_err(propose_error));
    match outcome {
        Ok(results) => {
            for (answer, result) in answers.into_iter().zip(results) {
                // A proposer that gave up waiting does not read its answer.
                let _ = answer.send(result.map_err(ProposeError::Conflict));
            }
        }
        Err(error) => {
            for answer in answers {
                let _ = answer.send(Err(error.clone()));
            }
        }
    }
}

fn propose_error(error: ClientWriteError<u64, super::Member>) -> ProposeError {
    match error {
        ClientWriteError::ForwardToLeader(to) => {
            ProposeError::NotLeader(to.leader_node.map(|m| RemoteManager { node_id: m.node_id, addr: m.addr }))
        }
        ClientWriteError::ChangeMembershipError(error) => ProposeError::Closed(error.to_string()),
    }
}
