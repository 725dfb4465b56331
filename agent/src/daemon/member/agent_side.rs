//! The agent's side of a member: the worker, and its session with a manager.

use crate::{
    chain,
    daemon::node::NodeContextOfHost,
    session::{OverTls, Session, SessionState},
    worker::{WorkerConfig, WorkerHandle},
};
use std::{net::IpAddr, sync::Arc, time::Duration};
use swarm_pki::{LiveIdentity, RootBundle};
use swarm_session::{Generation, NodeOrders};
use swarm_types::{NodeDescription, NodeId, RemoteManager};
use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

/// Pauses between attempts to open the worker: the first, and the longest they double to.
const WORKER_PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Opens the worker, then keeps a session.
pub(crate) struct AgentSide {
    pub(crate) host: NodeContextOfHost,
    pub(crate) node_id: NodeId,
    pub(crate) data_path_addr: Option<IpAddr>,
    pub(crate) identity: Arc<LiveIdentity>,
    pub(crate) roots: watch::Receiver<RootBundle>,
    pub(crate) managers: watch::Receiver<Vec<RemoteManager>>,
    pub(crate) own: watch::Receiver<Vec<String>>,
    pub(crate) told: watch::Receiver<Option<NodeDescription>>,
    pub(crate) orders: Arc<watch::Sender<Option<NodeOrders>>>,
    pub(crate) orders_known: Generation,
    pub(crate) state: Arc<watch::Sender<SessionState>>,
    pub(crate) worker: Arc<watch::Sender<Option<WorkerHandle>>>,
    pub(crate) stop: CancellationToken,
}

impl AgentSide {
    pub(crate) async fn run(self) {
        let stop = self.stop.clone();
        let Some(worker) = stop.run_until_cancelled(self.open_worker()).await else {
            return;
        };
        Session {
            node_id: self.node_id,
            data_path_addr: self.data_path_addr,
            in_place: Some(self.host.networks.in_place()),
            tasks: worker,
            dial: Arc::new(OverTls { identity: self.identity, roots: self.roots }),
            managers: self.managers,
            own: self.own,
            description: self.told,
            orders: self.orders,
            orders_known: self.orders_known,
            state: self.state,
            stop: self.stop,
        }
        .run()
        .await;
    }

    /// The worker, once its records can be read. One that an earlier session opened is used again.
    async fn open_worker(&self) -> WorkerHandle {
        let opened = self.worker.borrow().clone();
        if let Some(worker) = opened {
            return worker;
        }
        let mut pause = WORKER_PAUSES.0;
        loop {
            match open_worker(&self.host, self.node_id).await {
                Ok(worker) => {
                    self.worker.send_replace(Some(worker.clone()));
                    return worker;
                }
                Err(error) => {
                    tracing::error!(error, "the worker could not be opened; trying again")
                }
            }
            sleep(pause).await;
            pause = (2 * pause).min(WORKER_PAUSES.1);
        }
    }
}

/// Opens the worker of this host for this node.
pub(crate) async fn open_worker(host: &NodeContextOfHost, node_id: NodeId) -> Result<WorkerHandle, String> {
    let config = WorkerConfig {
        dir: Some(host.paths.worker.clone()),
        node_id,
        hostname: host.config.hostname.clone(),
        prefer_offline_images: host.config.prefer_offline_images,
        networks: host.networks.told(),
    };
    WorkerHandle::open(config, Arc::clone(&host.executor)).await.map_err(|error| chain(&error))
}
