//! What a session has to bring to the leader: statuses and descriptions, each repeated until it is taken.

use super::{Inner, LeaderAnswer, LeaderMessage};
use futures_util::future::BoxFuture;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use swarm_session::StatusReport;
use swarm_types::{NodeDescription, NodeId, TaskId, TaskStatus};

/// What the leader did not take is handed to it again after this pause.
const RETRY_AFTER: Duration = Duration::from_millis(200);

/// One message under way, and the newest of what waits: a status per task, one description. So what an agent says takes
/// no more room than what it has to say, however often it says it.
pub(super) struct Outbox {
    inner: Arc<Inner>,
    node_id: NodeId,
    /// Gives the number of a batch that was taken; none for a description.
    under_way: Option<BoxFuture<'static, Option<u64>>>,
    seq: Option<u64>,
    statuses: BTreeMap<TaskId, TaskStatus>,
    description: Option<Box<NodeDescription>>,
}

impl Outbox {
    pub(super) fn new(inner: Arc<Inner>, node_id: NodeId) -> Self {
        Self { inner, node_id, under_way: None, seq: None, statuses: BTreeMap::new(), description: None }
    }

    /// Batches that wait are joined: the agent resends nothing older than the last acknowledged number.
    pub(super) fn report(&mut self, seq: u64, reports: Vec<StatusReport>) {
        self.seq = Some(seq);
        self.statuses.extend(reports.into_iter().map(|r| (r.task_id, r.status)));
    }

    /// The host changed.
    pub(super) fn describe(&mut self, description: Box<NodeDescription>) {
        self.description = Some(description);
    }

    /// The number of the next batch that the leader has taken. Never ends without one; dropping it loses nothing.
    pub(super) async fn next_taken(&mut self) -> u64 {
        loop {
            if self.under_way.is_none() {
                self.under_way = self.next_message();
            }
            let Some(under_way) = &mut self.under_way else { return std::future::pending().await };
            let taken = under_way.await;
            self.under_way = None;
            if let Some(seq) = taken {
                return seq;
            }
        }
    }

    fn next_message(&mut self) -> Option<BoxFuture<'static, Option<u64>>> {
        let node_id = self.node_id;
        if let Some(description) = self.description.take() {
            let message = LeaderMessage::Description { node_id, description };
            return Some(Box::pin(deliver(Arc::clone(&self.inner), node_id, message, None)));
        }
        let seq = self.seq.take()?;
        let reports = std::mem::take(&mut self.statuses);
        let reports = reports.into_iter().map(|(task_id, status)| StatusReport { task_id, status }).collect();
        Some(Box::pin(deliver(Arc::clone(&self.inner), node_id, LeaderMessage::Statuses { node_id, reports }, Some(seq))))
    }
}

/// Ends when a leader has taken the message. Goes on at once with a new leader.
async fn deliver(inner: Arc<Inner>, node_id: NodeId, message: LeaderMessage, seq: Option<u64>) -> Option<u64> {
    let mut leadership = inner.store.leadership();
    loop {
        leadership.borrow_and_update();
        let sent = tokio::select! {
            sent = inner.link.send(message.clone()) => sent,
            // It may have been taken or not; taking it twice changes nothing.
            changed = leadership.changed() => if changed.is_ok() { continue } else { std::future::pending().await },
        };
        match sent {
            // Of a node that is gone nothing is stored; its session ends by itself.
            Ok(LeaderAnswer::Done | LeaderAnswer::Refused(_)) => return seq,
            Ok(answer) => tracing::debug!(%node_id, ?answer, "the leader did not take a message"),
            Err(error) => tracing::debug!(%node_id, %error, "a message did not reach the leader"),
        }
        // A new leader ends the wait early.
        let _ = tokio::time::timeout(RETRY_AFTER, leadership.changed()).await;
    }
}
