//! Drives the planner while this manager leads: snapshot, plan, commit, wait.

use crate::store::{Leadership, ProposeError, Store};
use std::time::{Duration, SystemTime};
use swarm_planner::Planner;
use swarm_state::Batch;
use swarm_types::{Actor, Timestamp};
use tokio::sync::broadcast;

/// Wait after a commit that failed for want of a majority; leadership usually ends before it is over.
const RETRY_EVERY: Duration = Duration::from_millis(200);
/// Plans that may be overtaken in a row before the planner waits a little: one that can never be stored must not fill the log.
const OVERTAKEN_MAX: u32 = 5;
/// With nothing due and nothing changed, the state is looked at again after this time all the same: a self-check.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// Runs until the store's leadership watch ends.
pub async fn run(store: Store) {
    let mut leadership = store.leadership();
    loop {
        let Ok(led) = leadership.wait_for(Leadership::is_own).await.map(|l| l.clone()) else { return };
        tracing::info!(?led, "planning");
        let lost = {
            let mut watch = leadership.clone();
            async move { watch.wait_for(|l| *l != led).await.map(|_| ()) }
        };
        tokio::select! {
            ended = lost => if ended.is_err() { return },
            () = lead(&store) => {}
        }
    }
}

/// Plans as long as it is polled; dropped when leadership is lost.
async fn lead(store: &Store) {
    let mut changes = store.subscribe();
    let mut state = store.state();
    let mut planner = Planner::new(&state);
    let mut ids = || rand::random::<[u8; 16]>();
    let mut overtaken = 0;
    loop {
        let plan = planner.plan(&state, Timestamp::from_system(SystemTime::now()), &mut ids);
        let mut pause = plan.look_again_in.unwrap_or(IDLE_MAX).min(IDLE_MAX);
        if !plan.changes.is_empty() {
            match store.propose(Batch { by: Actor::Planner, guards: vec![], changes: plan.changes }).await {
                Ok(_) => overtaken = 0,
                // Something changed in between: what it was is among the changes that wait to be taken.
                Err(ProposeError::Conflict(conflict)) => {
                    tracing::debug!(%conflict, "plan was overtaken");
                    planner.invalidate();
                    pause = Duration::ZERO;
                    overtaken += 1;
                    if overtaken > OVERTAKEN_MAX {
                        tracing::warn!(%conflict, overtaken, "plans are overtaken again and again");
                        tokio::time::sleep(RETRY_EVERY).await;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "could not commit a plan");
                    planner.invalidate();
                    settle(store).await;
                    pause = Duration::ZERO;
                }
            }
        }
        // Everything that waits is taken at once: one pass serves them all.
        let first = tokio::time::timeout(pause, changes.recv()).await;
        let mut next = first.ok();
        while let Some(received) = next {
            match received {
                // Already in the state that was read after subscribing.
                Ok(committed) if committed.index <= state.applied() => {}
                Ok(committed) if !committed.replaced => {
                    planner.observe(&committed.events, &committed.state);
                    state = committed.state.clone();
                }
                Ok(committed) => {
                    state = committed.state.clone();
                    planner = Planner::new(&state);
                }
                Err(broadcast::error::RecvError::Lagged(missed)) => {
                    tracing::debug!(missed, "planner fell behind; it starts anew from the state");
                    changes = changes.resubscribe();
                    state = store.state();
                    planner = Planner::new(&state);
                }
                Err(broadcast::error::RecvError::Closed) => return,
            }
            next = match changes.try_recv() {
                Ok(committed) => Some(Ok(committed)),
                Err(broadcast::error::TryRecvError::Lagged(missed)) => Some(Err(broadcast::error::RecvError::Lagged(missed))),
                Err(broadcast::error::TryRecvError::Empty | broadcast::error::TryRecvError::Closed) => None,
            };
        }
    }
}

/// Waits until it is certain what became of a batch whose proposal failed: it may be in the log and be stored yet, and a plan
/// made without it would make the same tasks twice. An empty batch that is stored has everything before it decided.
async fn settle(store: &Store) {
    loop {
        tokio::time::sleep(RETRY_EVERY).await;
        match store.propose(Batch { by: Actor::Planner, guards: vec![], changes: vec![] }).await {
            Ok(_) | Err(ProposeError::Conflict(_)) => return,
            Err(error) => tracing::debug!(%error, "the log does not move yet"),
        }
    }
}
