//! What a session needs of the worker.

use crate::worker::WorkerHandle;
use std::future::Future;
use swarm_session::{Assign, Generation, StatusReport};
use tokio::sync::watch;

/// The tasks of this host.
pub trait Tasks: Send + Sync + 'static {
    /// The newest generation taken.
    fn generation(&self) -> Generation;
    /// Takes an assignment for good, or says why not: the manager then has to send a complete set.
    fn assign(&self, assign: Assign) -> impl Future<Output = Result<(), String>> + Send;
    /// Changes whenever there may be something new to report.
    fn reports_changed(&self) -> watch::Receiver<u64>;
    /// Newest status of each task whose status the managers have not taken yet.
    fn unreported(&self) -> impl Future<Output = Vec<StatusReport>> + Send;
    /// The managers took these.
    fn taken(&self, reports: &[StatusReport]) -> impl Future<Output = ()> + Send;
    /// Every status is to be reported again.
    fn report_all_again(&self) -> impl Future<Output = ()> + Send;
}

impl Tasks for WorkerHandle {
    fn generation(&self) -> Generation {
        Self::generation(self)
    }

    async fn assign(&self, assign: Assign) -> Result<(), String> {
        Self::assign(self, assign).await.map_err(|error| error.to_string())
    }

    fn reports_changed(&self) -> watch::Receiver<u64> {
        Self::reports_changed(self)
    }

    async fn unreported(&self) -> Vec<StatusReport> {
        Self::unreported(self).await
    }

    async fn taken(&self, reports: &[StatusReport]) {
        Self::taken(self, reports).await;
    }

    async fn report_all_again(&self) {
        Self::report_all_again(self).await;
    }
}
