//! Keeps the description of this host fresh.

use crate::{chain, executor::Executor};
use std::{sync::Arc, time::Duration};
use swarm_types::{GenericResource, Labels, NodeDescription};
use tokio::{sync::watch, time::sleep};

/// Between two looks at the engine.
const REFRESH: Duration = Duration::from_secs(20);
/// Between two looks at an engine that does not answer.
const RETRY: Duration = Duration::from_secs(1);

/// Asks the engine what this host is.
pub(super) struct DescriptionLoop {
    pub(super) executor: Arc<dyn Executor>,
    /// Changes when the engine went away: what comes back may be another one.
    pub(super) engine_gone: watch::Receiver<u64>,
    pub(super) hostname: String,
    /// Added to the engine's.
    pub(super) labels: Labels,
    /// Added to the engine's.
    pub(super) generic_resources: Vec<GenericResource>,
    /// `None` until the engine has answered once.
    pub(super) description: watch::Sender<Option<NodeDescription>>,
}

impl DescriptionLoop {
    /// Runs until dropped.
    pub(super) async fn run(mut self) {
        let mut was_silent = false;
        loop {
            let pause = match self.executor.describe().await {
                Ok(description) => {
                    if std::mem::take(&mut was_silent) {
                        tracing::info!("the engine answers again");
                    }
                    self.tell(description);
                    REFRESH
                }
                Err(error) => {
                    if !std::mem::replace(&mut was_silent, true) {
                        tracing::warn!(error = %chain(&error), "the engine does not describe this host; trying again");
                    }
                    RETRY
                }
            };
            // Both are cancel-safe.
            tokio::select! {
                () = sleep(pause) => {}
                Ok(()) = self.engine_gone.changed() => {}
            }
        }
    }

    fn tell(&self, mut description: NodeDescription) {
        description.hostname.clone_from(&self.hostname);
        description.engine.labels.extend(self.labels.clone());
        description.resources.generic_resources.extend_from_slice(&self.generic_resources);
        self.description.send_if_modified(|known| {
            let is_new = known.as_ref() != Some(&description);
            *known = Some(description);
            is_new
        });
    }
}
