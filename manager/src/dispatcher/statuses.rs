//! The statuses of all agents in few commits, on the leader.
//!
//! One commit is under way at a time, so what a node said earlier never overtakes what it said later, whichever managers
//! brought it.

use super::{LeaderAnswer, leader::TRIES_MAX, leader::now};
use crate::store::{ProposeError, Store};
use std::{collections::BTreeMap, time::Duration};
use swarm_session::StatusReport;
use swarm_state::{Batch, Conflict};
use swarm_types::{Actor, NodeId, TaskId, TaskStatus};
use tokio::sync::{mpsc, oneshot};

/// Reports of all nodes that come within this time go into one commit.
const STATUS_WINDOW: Duration = Duration::from_millis(20);
/// Reports in one commit at most, unless one node brings more.
const STATUSES_PER_COMMIT_MAX: usize = 2000;

/// A node's reports, and who waits for them to be stored.
pub(super) struct StatusRequest {
    /// The node; only its own tasks count.
    pub(super) node_id: NodeId,
    /// The reports.
    pub(super) reports: Vec<StatusReport>,
    /// Told when they are stored, or why not.
    pub(super) answer: oneshot::Sender<LeaderAnswer>,
}

/// Packs the reports of all nodes into few commits until the sending end is gone.
pub(super) async fn commit_statuses(store: Store, mut queue: mpsc::Receiver<StatusRequest>) {
    while let Some(first) = queue.recv().await {
        let mut count = first.reports.len();
        let mut requests = vec![first];
        let window = tokio::time::sleep(STATUS_WINDOW);
        tokio::pin!(window);
        while count < STATUSES_PER_COMMIT_MAX {
            tokio::select! {
                // What came while the last commit was under way is taken first.
                biased;
                next = queue.recv() => match next {
                    Some(next) => {
                        count += next.reports.len();
                        requests.push(next);
                    }
                    None => break,
                },
                () = &mut window => break,
            }
        }
        // Whoever gave up repeats what it said through another request.
        requests.retain(|r| !r.answer.is_closed());
        let answer = commit_reports(&store, &requests).await;
        for request in requests {
            drop(request.answer.send(answer.clone()));
        }
    }
}

async fn commit_reports(store: &Store, requests: &[StatusRequest]) -> LeaderAnswer {
    // A node may be here twice, as after a change of its session: of each task its last word counts.
    let mut by_node: BTreeMap<NodeId, Vec<(TaskId, TaskStatus)>> = BTreeMap::new();
    for request in requests {
        let reports = request.reports.iter().map(|r| (r.task_id, r.status.clone()));
        by_node.entry(request.node_id).or_default().extend(reports);
    }
    for _ in 0..TRIES_MAX {
        let state = store.state();
        let mut changes = Vec::new();
        for (node_id, reports) in &by_node {
            let recorded = swarm_planner::record_statuses(&state, *node_id, reports, now());
            for refusal in &recorded.refused {
                tracing::debug!(node = %node_id, ?refusal, "status refused");
            }
            changes.extend(recorded.changes);
        }
        if changes.is_empty() {
            return LeaderAnswer::Done;
        }
        match store.propose(Batch { by: Actor::Agent, guards: vec![], changes }).await {
            Ok(_) => return LeaderAnswer::Done,
            Err(ProposeError::Conflict(Conflict::Move { task, from, to })) => {
                tracing::warn!(%task, %from, %to, "a report asked for a move that is not allowed");
            }
            Err(ProposeError::Conflict(_)) => {}
            Err(ProposeError::NotLeader(_)) => return LeaderAnswer::NotLeader,
            Err(error) => return LeaderAnswer::Failed(error.to_string()),
        }
    }
    LeaderAnswer::Failed("the tasks kept changing".into())
}
