//! Listens to the engine: one stream of events for all containers of the node, and a list of them now and then.
//!
//! The list is the truth; events only make it come earlier. A list that fails means a lost engine, so an engine that is
//! gone without closing the connection is noticed too.

use super::backoff::Backoff;
use crate::executor::{ContainerEvent, Executor, ExecutorError, OwnContainer, Step};
use futures_util::StreamExt as _;
use std::{sync::Arc, time::Duration};
use swarm_types::NodeId;
use tokio::sync::{Notify, mpsc, watch};

/// Between two lists of the node's containers while the engine is there. Bounds how long a lost event goes unnoticed.
const LIST_EVERY: Duration = Duration::from_secs(30);

/// What the watcher tells.
#[derive(Debug)]
pub(super) enum EngineNews {
    /// All containers of this node.
    Listed(Vec<OwnContainer>),
    /// Something happened to one.
    Event(ContainerEvent),
}

/// Watches until nobody listens any more. Raises `connections` with each new connection to the engine; lists when asked to.
pub(super) async fn watch_engine(
    executor: Arc<dyn Executor>,
    node_id: NodeId,
    connections: watch::Sender<u64>,
    news: mpsc::Sender<EngineNews>,
    list_now: Arc<Notify>,
) {
    let mut backoff = Backoff::new(0);
    let mut was_lost = false;
    loop {
        let watched = watch_connection(&*executor, node_id, &news, &list_now, || {
            backoff.reset();
            connections.send_modify(|count| *count += 1);
            if std::mem::take(&mut was_lost) {
                tracing::info!("the container engine is back");
            }
        });
        let ended = tokio::select! {
            ended = watched => ended,
            () = news.closed() => return,
        };
        match ended {
            Ended::NobodyListens => return,
            Ended::Engine(error) if !was_lost => {
                let error = error.map_or_else(|| "it closed the connection".into(), |e| crate::error_chain::chain(&e));
                tracing::warn!(%error, "the container engine is lost; containers that run go on");
                was_lost = true;
            }
            Ended::Engine(_) => {}
        }
        tokio::time::sleep(backoff.next_wait()).await;
    }
}

enum Ended {
    NobodyListens,
    Engine(Option<ExecutorError>),
}

async fn watch_connection(
    executor: &dyn Executor,
    node_id: NodeId,
    news: &mpsc::Sender<EngineNews>,
    list_now: &Notify,
    connected: impl FnOnce(),
) -> Ended {
    // The events reach back to before the first list, so nothing falls between the two.
    let mut events = executor.events(node_id);
    let mut connected = Some(connected);
    let mut due = tokio::time::interval(LIST_EVERY);
    due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // Beside the events, so that a slow list does not hold them up.
    let mut listing: Option<Step<'_, Vec<OwnContainer>>> = None;
    loop {
        let due_or_asked = async {
            tokio::select! {
                _ = due.tick() => {}
                () = list_now.notified() => {}
            }
        };
        let told = tokio::select! {
            event = events.next() => match event {
                Some(Ok(event)) => EngineNews::Event(event),
                Some(Err(error)) => return Ended::Engine(Some(error)),
                None => return Ended::Engine(None),
            },
            () = due_or_asked, if listing.is_none() => {
                listing = Some(executor.list_own(node_id));
                continue;
            }
            list = listed(&mut listing) => match list {
                Ok(list) => {
                    listing = None;
                    if let Some(connected) = connected.take() {
                        connected();
                    }
                    EngineNews::Listed(list)
                }
                Err(error) => return Ended::Engine(Some(error)),
            },
        };
        if news.send(told).await.is_err() {
            return Ended::NobodyListens;
        }
    }
}

/// The list that is under way; never, while there is none.
async fn listed(listing: &mut Option<Step<'_, Vec<OwnContainer>>>) -> Result<Vec<OwnContainer>, ExecutorError> {
    match listing {
        Some(listing) => listing.await,
        None => std::future::pending().await,
    }
}
