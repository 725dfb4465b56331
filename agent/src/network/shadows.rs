//! What the engine has of cluster networks, compared with what it should have.
//!
//! The engine's networks go when no task of the node needs them, and endpoints go whose end the driver was not told: an engine
//! that is killed, or that asked while the agent was away, says nothing about them later.

use super::{
    driver::Driver,
    told::{Member, Told},
};
use crate::{
    error_chain::chain,
    executor::{ExecutorError, Step},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use swarm_types::NetworkId;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

/// How often the engine is looked at when nothing changes.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// How soon it is looked at again while something is to go that cannot yet.
const RETRY_AFTER: Duration = Duration::from_secs(3);
/// How long an endpoint may be known to the driver and not to the engine: a container that is just starting is not listed.
const STARTING_MAX: Duration = Duration::from_secs(60);

/// The engine's networks of our driver.
pub trait EngineNetworks: Send + Sync + 'static {
    /// What there is.
    fn observe(&self) -> Step<'_, Observed>;
    /// Removes a network. One that does not exist is no error; one that is in use is.
    fn remove_network<'a>(&'a self, id: &'a str) -> Step<'a, ()>;
}

/// What the engine has of our driver.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observed {
    /// Its networks.
    pub networks: Vec<ShadowNetwork>,
    /// The ids of the endpoints that containers have on them.
    pub endpoints: BTreeSet<String>,
}

/// The engine's network behind which a cluster network is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShadowNetwork {
    /// The engine's id.
    pub id: String,
    /// The cluster network; `None` if it is not told.
    pub network: Option<NetworkId>,
}

/// The loop.
pub(super) struct ShadowLoop {
    pub(super) engine: Arc<dyn EngineNetworks>,
    pub(super) driver: Driver,
    pub(super) told: watch::Receiver<Told>,
    /// Endpoints that the engine did not show, and since when.
    pub(super) missing: BTreeMap<String, Instant>,
}

impl ShadowLoop {
    /// Runs until nobody tells anything any more.
    pub(super) async fn run(mut self) {
        let mut look_at = Instant::now();
        let mut needed = None;
        loop {
            tokio::select! {
                changed = self.told.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let now_needed = needed_of(&self.told.borrow_and_update());
                    if now_needed != needed {
                        needed = now_needed;
                        look_at = Instant::now();
                    }
                }
                () = sleep_until(look_at) => {
                    let is_settled = match self.look().await {
                        Ok(is_settled) => is_settled,
                        Err(error) => {
                            tracing::debug!(error = %chain(&error), "the engine's networks cannot be looked at");
                            false
                        }
                    };
                    look_at = Instant::now() + if is_settled { LOOK_EVERY } else { RETRY_AFTER };
                }
            }
        }
    }

    /// Whether nothing is left that should go.
    async fn look(&mut self) -> Result<bool, ExecutorError> {
        // What the driver knew before the engine was asked: what it learns meanwhile is not missing.
        let known: Vec<String> = self.driver.book().endpoints().keys().cloned().collect();
        let observed = self.engine.observe().await?;
        self.learn(&observed);
        self.forget_endpoints(known, &observed.endpoints).await;
        let Some(needed) = needed_of(&self.told.borrow()) else { return Ok(true) };
        let mut is_settled = true;
        for shadow in observed.networks {
            if shadow.network.is_some_and(|network| needed.contains(&network)) {
                continue;
            }
            match self.engine.remove_network(&shadow.id).await {
                Ok(()) => tracing::info!(network = shadow.id, "removed the engine's network of a cluster network"),
                Err(error) => {
                    is_settled = false;
                    tracing::debug!(network = shadow.id, error = %chain(&error), "a network is not needed and still in use");
                }
            }
        }
        Ok(is_settled)
    }

    /// Notes the engine's networks that the book has lost.
    fn learn(&self, observed: &Observed) {
        for (id, network) in observed.networks.iter().filter_map(|shadow| Some((&shadow.id, shadow.network?))) {
            let mut book = self.driver.book();
            if book.network(id).is_none()
                && let Err(error) = book.add_network(id, network)
            {
                tracing::warn!(%error, "the network driver's book cannot be written");
            }
        }
    }

    async fn forget_endpoints(&mut self, known: Vec<String>, shown: &BTreeSet<String>) {
        let now = Instant::now();
        self.missing.retain(|id, _| known.contains(id) && !shown.contains(id));
        for id in known.into_iter().filter(|id| !shown.contains(id)) {
            let since = *self.missing.entry(id.clone()).or_insert(now);
            if now - since < STARTING_MAX {
                continue;
            }
            tracing::info!(endpoint = id, "an endpoint whose container is gone is taken away");
            if let Err(error) = self.driver.delete_endpoint(&id).await {
                tracing::warn!(error = %chain(&error), "an endpoint could not be taken away");
            }
        }
    }
}

/// The networks that tasks of this node need; `None` as long as that is not known.
fn needed_of(told: &Told) -> Option<BTreeSet<NetworkId>> {
    match told {
        Told::Unknown => None,
        Told::Outside => Some(BTreeSet::new()),
        Told::Member(Member { node, view, .. }) => {
            let needed = view.tables.iter().filter(|(_, table)| table.endpoints.values().any(|endpoint| endpoint.node == *node));
            Some(needed.map(|(id, _)| *id).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::plane::Request;
    use futures_util::FutureExt as _;
    use serde_json::json;
    use std::sync::Mutex;
    use tokio::sync::mpsc;

    #[derive(Default)]
    struct FakeEngine(Mutex<Observed>);

    impl EngineNetworks for FakeEngine {
        fn observe(&self) -> Step<'_, Observed> {
            let observed = self.0.lock().expect("no panic").clone();
            async { Ok(observed) }.boxed()
        }

        fn remove_network<'a>(&'a self, id: &'a str) -> Step<'a, ()> {
            self.0.lock().expect("no panic").networks.retain(|network| network.id != id);
            async { Ok(()) }.boxed()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_needs_goes_and_what_is_just_starting_stays() {
        let dir = tempfile::tempdir().expect("a folder");
        let (requests, mut received) = mpsc::channel(4);
        tokio::spawn(async move {
            while let Some(Request::Unplug(_, _, reply)) = received.recv().await {
                reply.send(Ok(())).ok();
            }
        });
        let driver = Driver::new(&dir.path().join("driver.json"), requests);
        let network = NetworkId::from_random([1; 16]);
        let shadow = ShadowNetwork { id: "n".into(), network: Some(network) };
        let engine = Arc::new(FakeEngine(Mutex::new(Observed { networks: vec![shadow], endpoints: ["shown".to_owned()].into() })));
        let (told, told_seen) = watch::channel(Told::Unknown);
        let shadows = ShadowLoop { engine: engine.clone(), driver: driver.clone(), told: told_seen, missing: BTreeMap::new() };
        tokio::spawn(shadows.run());
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(driver.book().network("n"), Some(network), "a book that was lost is filled again");

        let endpoint = |last| json!({"network": network, "address": format!("10.0.1.{last}"), "mac": [2, 0, 0, 0, 0, last], "joined": 1});
        for (id, last) in [("shown", 3), ("gone", 4)] {
            let endpoint = serde_json::from_value(endpoint(last)).expect("an endpoint");
            driver.book().add_endpoint(id, endpoint).expect("writes");
        }
        tokio::time::sleep(Duration::from_secs(45)).await;
        assert_eq!(driver.book().endpoints().len(), 2, "it may be just starting");
        tokio::time::sleep(Duration::from_secs(90)).await;
        assert_eq!(driver.book().endpoints().keys().collect::<Vec<_>>(), ["shown"]);
        assert_eq!(engine.0.lock().expect("no panic").networks.len(), 1, "nobody has said what is needed");
        told.send_replace(Told::Outside);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(engine.0.lock().expect("no panic").networks.is_empty());
    }
}
