//! Thousands of nodes in one process: the product's own session and worker, over an engine without containers.
//!
//! Each node has a certificate of its own and its own TLS connection to one of the managers, which cannot tell it from a real
//! one. It keeps no records: those are a real host's disk, of which this machine has one.

mod executor;
mod run;

pub use executor::HollowExecutor;
pub use run::{Outcome, run};

use crate::managers::{Admitted, Managers, admit_with};
use anyhow::{Context, Result, ensure};
use std::{sync::Arc, time::Duration};
use swarm_agent::{
    session::{OverTls, Session, SessionState},
    worker::{WorkerConfig, WorkerHandle},
};
use swarm_pki::{LiveIdentity, RootBundle};
use swarm_session::Generation;
use swarm_types::{NodeDescription, Platform, Resources};
use tokio::{
    sync::{Semaphore, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

/// Nodes that ask for their certificates at a time.
const JOINING_MAX: usize = 32;
/// How long all nodes may take to join and open their sessions.
const JOIN_DEADLINE: Duration = Duration::from_secs(300);
/// What a node says that it has.
const NANO_CPUS: i64 = 8_000_000_000;
const MEMORY_BYTES: i64 = 16 << 30;

/// Nodes with open sessions. Dropping them ends the sessions.
pub struct HollowNodes {
    nodes: Vec<Node>,
}

struct Node {
    state: watch::Receiver<SessionState>,
    /// Cancelled when dropped.
    _stop: tokio_util::sync::DropGuard,
    /// What the session holds on to: it ends when its senders are gone.
    _inputs: (watch::Sender<RootBundle>, watch::Sender<Vec<swarm_types::RemoteManager>>, watch::Sender<Vec<String>>),
    _description: watch::Sender<Option<NodeDescription>>,
}

impl HollowNodes {
    /// Lets `count` nodes join as workers and waits until each has a session.
    ///
    /// # Errors
    /// When one is refused, or not all have a session in time.
    pub async fn join(managers: &Managers, count: usize) -> Result<Self> {
        let token = managers.members()[0].join_token("Worker").await?;
        let leader = managers.leader().await?.addr();
        let first = crate::managers::admit(leader, &token).await?;
        let roots = first.roots.clone();
        let places = Arc::new(Semaphore::new(JOINING_MAX));
        let mut joining = JoinSet::new();
        for _ in 1..count {
            let (token, roots, places) = (token.clone(), roots.clone(), Arc::clone(&places));
            joining.spawn(async move {
                let _place = places.acquire_owned().await?;
                admit_with(leader, &token, &roots).await
            });
        }
        let mut nodes = vec![Node::start(first, 0).await?];
        while let Some(admitted) = joining.join_next().await {
            let number = nodes.len();
            nodes.push(Node::start(admitted??, number).await?);
        }
        let joined = Self { nodes };
        tokio::time::timeout(JOIN_DEADLINE, joined.until_open()).await.context("not all nodes got a session in time")??;
        Ok(joined)
    }

    /// Waits until every node has an open session.
    async fn until_open(&self) -> Result<()> {
        for node in &self.nodes {
            node.state.clone().wait_for(|s| s.manager.is_some()).await.context("a session ended for good")?;
        }
        Ok(())
    }

    /// Nodes that have an open session now.
    #[must_use]
    pub fn open(&self) -> usize {
        self.nodes.iter().filter(|n| n.state.borrow().manager.is_some()).count()
    }

    /// All nodes.
    #[must_use]
    pub fn count(&self) -> usize {
        self.nodes.len()
    }
}

impl Node {
    async fn start(admitted: Admitted, number: usize) -> Result<Self> {
        let Admitted { issued, credentials, roots } = admitted;
        ensure!(!issued.managers.is_empty(), "the cluster named no manager");
        let node_id = issued.node_id;
        let hostname = format!("hollow-{number}");
        let config = WorkerConfig { dir: None, node_id, hostname: hostname.clone(), prefer_offline_images: true, networks: Arc::default() };
        let tasks = WorkerHandle::open(config, Arc::new(HollowExecutor::default())).await?;
        let description = NodeDescription {
            hostname,
            platform: Platform { architecture: "x86_64".into(), os: "linux".into() },
            resources: Resources { nano_cpus: NANO_CPUS, memory_bytes: MEMORY_BYTES, ..Resources::default() },
            ..NodeDescription::default()
        };
        let (roots, roots_seen) = watch::channel(roots);
        let (managers, managers_seen) = watch::channel(issued.managers);
        let (own, own_seen) = watch::channel(Vec::new());
        let (description, description_seen) = watch::channel(Some(description));
        let state = Arc::new(watch::Sender::new(SessionState::default()));
        let stop = CancellationToken::new();
        let node =
            Self { state: state.subscribe(), _stop: stop.clone().drop_guard(), _inputs: (roots, managers, own), _description: description };
        let session = Session {
            node_id,
            data_path_addr: None,
            in_place: None,
            tasks,
            dial: Arc::new(OverTls { identity: Arc::new(LiveIdentity::new(credentials)), roots: roots_seen }),
            managers: managers_seen,
            own: own_seen,
            description: description_seen,
            orders: Arc::new(watch::Sender::new(None)),
            orders_known: Generation::default(),
            state,
            stop,
        };
        tokio::spawn(session.run());
        Ok(node)
    }
}
