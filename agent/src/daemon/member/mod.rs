//! A membership: the loops of a node that is in a swarm, and what they tell one another.
//!
//! The loops publish what they know in watches; [`Member::react`] looks at all of it and does what is needed, as often as
//! it is called.

mod agent_side;
mod manager;

pub(crate) use agent_side::open_worker;
pub(crate) use manager::{RunningManager, manager_command, stop_left_over_manager};

use super::node::NodeContextOfHost;
use crate::{
    chain,
    executor::NodeContext,
    identity::{
        interfaces::interfaces,
        record::{NodeRecord, RecordFile},
        renewal::{Renewal, RenewalState, Wish},
        role_of,
    },
    membership::{ManagerView, NodeView},
    session::SessionState,
    supervisor::{self, ManagerState, Start, Stop},
    worker::WorkerHandle,
};
use agent_side::AgentSide;
use manager::own_addresses;
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use swarm_pki::{CertStore, LiveIdentity, RootBundle, Stored};
use swarm_session::{Generation, NodeOrders};
use swarm_types::{LocalNodeState, NodeDescription, NodeId, RemoteManager, Role, TaskDefaults, TlsInfo};
use tokio::{sync::watch, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

/// How long the session may take to say goodbye.
const SESSION_STOP: Duration = Duration::from_secs(3);

/// A node that is in a swarm.
pub(crate) struct Member {
    host: NodeContextOfHost,
    file: RecordFile,
    certificates: CertStore,
    record: NodeRecord,
    node_id: NodeId,
    identity: Arc<LiveIdentity>,
    roots: Arc<watch::Sender<RootBundle>>,
    managers: watch::Sender<Vec<RemoteManager>>,
    own: watch::Sender<Vec<String>>,
    /// What managers are told of this host.
    told: watch::Sender<Option<NodeDescription>>,
    orders: Arc<watch::Sender<Option<NodeOrders>>>,
    session_state: Arc<watch::Sender<SessionState>>,
    renewal_state: Arc<watch::Sender<RenewalState>>,
    wish: watch::Sender<Wish>,
    worker: Arc<watch::Sender<Option<WorkerHandle>>>,
    news: News,
    manager: Option<RunningManager>,
    /// The manager said that it is no member; none is started before a renewal has told what this node is.
    awaits_role: bool,
    /// Of a demotion that was interrupted a manager may still run: the certificate is replaced first, then the manager goes.
    has_left_over: bool,
    /// The state of a former manager is still to be removed; none is started on it.
    is_unwiped: bool,
    /// The certificate that was looked at last.
    chain: String,
    task_defaults: TaskDefaults,
    renewal: JoinHandle<()>,
    session: Option<(JoinHandle<()>, CancellationToken)>,
    /// Whether the node has been a working member since the agent started.
    was_ready: bool,
}

/// Receivers of what the loops publish.
struct News {
    orders: watch::Receiver<Option<NodeOrders>>,
    session: watch::Receiver<SessionState>,
    renewal: watch::Receiver<RenewalState>,
    worker: watch::Receiver<Option<WorkerHandle>>,
    description: watch::Receiver<Option<NodeDescription>>,
    roots: watch::Receiver<RootBundle>,
}

impl Member {
    /// Starts the loops of a member with this record and these certificates. `manager` runs already after an init.
    pub(crate) fn start(
        host: NodeContextOfHost,
        record: NodeRecord,
        node_id: NodeId,
        stored: Stored,
        manager: Option<RunningManager>,
    ) -> Self {
        let certificates = CertStore::new(&host.paths.state_dir);
        let has_left_over = role_of(stored.credentials.identity().role) == Role::Worker;
        let chain = stored.credentials.chain_pem().to_owned();
        let identity = Arc::new(LiveIdentity::new(stored.credentials));
        let (roots, roots_news) = watch::channel(stored.roots);
        let roots = Arc::new(roots);
        let (managers, managers_known) = watch::channel(record.managers.clone());
        let (orders, orders_news) = watch::channel(None);
        let (session_state, session_news) = watch::channel(SessionState::default());
        let (renewal_state, renewal_news) = watch::channel(RenewalState::default());
        let renewal_state = Arc::new(renewal_state);
        let (worker, worker_news) = watch::channel(None);
        let (wish, wished) = watch::channel(Wish::default());
        let renewal = Renewal {
            certificates: certificates.clone(),
            identity: Arc::clone(&identity),
            roots: Arc::clone(&roots),
            managers: managers_known,
            wish: wished,
            state: Arc::clone(&renewal_state),
        };
        let description = host.description.clone();
        let mut member = Self {
            file: RecordFile::new(&host.paths.state_dir),
            certificates,
            node_id,
            identity,
            roots,
            managers,
            own: watch::channel(Vec::new()).0,
            told: watch::channel(None).0,
            orders: Arc::new(orders),
            session_state: Arc::new(session_state),
            renewal_state,
            wish,
            worker: Arc::new(worker),
            news: News {
                orders: orders_news,
                session: session_news,
                renewal: renewal_news,
                worker: worker_news,
                description,
                roots: roots_news,
            },
            manager,
            awaits_role: false,
            has_left_over,
            is_unwiped: false,
            chain,
            task_defaults: TaskDefaults::default(),
            renewal: tokio::spawn(renewal.run()),
            session: None,
            was_ready: false,
            record,
            host,
        };
        member.start_session();
        member
    }

    /// Waits until one of the loops has news. Cancel-safe.
    pub(crate) async fn changed(&mut self) {
        let news = &mut self.news;
        let manager = async {
            if let Some(manager) = &mut self.manager
                && manager.state.changed().await.is_ok()
            {
                return;
            }
            std::future::pending().await
        };
        tokio::select! {
            Ok(()) = news.orders.changed() => {}
            Ok(()) = news.session.changed() => {}
            Ok(()) = news.renewal.changed() => {}
            // Still news for whoever looks at them.
            Ok(()) = news.worker.changed() => news.worker.mark_changed(),
            Ok(()) = news.description.changed() => {}
            Ok(()) = news.roots.changed() => {}
            () = manager => {}
        }
    }

    /// Does what the loops' news ask for.
    pub(crate) async fn react(&mut self) {
        self.take_orders().await;
        self.take_renewal().await;
        self.ensure_manager().await;
        self.tell_description().await;
        // Last: it takes seconds, and the session needs all of the above.
        if self.has_left_over {
            stop_left_over_manager(&self.host).await;
            self.has_left_over = false;
            self.is_unwiped = true;
            self.wipe_manager();
        }
        if self.is_ready_now() {
            self.was_ready = true;
        }
    }

    /// What the host is to its swarm.
    pub(crate) fn view(&self) -> NodeView {
        let manager_state = self.manager.as_ref().map(|manager| manager.state.borrow().clone());
        let session = self.session_state.borrow().clone();
        let renewal = self.renewal_state.borrow().clone();
        let is_expired = matches!(renewal, RenewalState::Failing { is_expired: true, .. });
        let error = match (&renewal, &manager_state) {
            _ if session.is_removed => session.error,
            (RenewalState::Removed(error), _) => error.clone(),
            (_, Some(ManagerState::Failed(error))) => error.clone(),
            _ => String::new(),
        };
        let state = match () {
            () if is_expired || !error.is_empty() => LocalNodeState::Error,
            () if self.was_ready => LocalNodeState::Active,
            () => LocalNodeState::Pending,
        };
        NodeView {
            state,
            node_id: Some(self.node_id),
            node_addr: host_of(&self.record.advertise_addr),
            error,
            is_expired,
            managers: self.record.managers.clone(),
            manager: match manager_state {
                None => ManagerView::None,
                Some(ManagerState::Ready(_)) => ManagerView::Ready,
                Some(_) => ManagerView::NotReady,
            },
        }
    }

    /// The record as it is on the disk.
    pub(crate) fn record(&self) -> &NodeRecord {
        &self.record
    }

    /// Why the node is not ready yet, for a caller that does not wait any longer.
    pub(crate) fn hindrance(&self) -> String {
        self.session_state.borrow().error.clone()
    }

    /// Whether the manager of this host answers, or none is due.
    pub(crate) fn is_manager_ready(&self) -> bool {
        match &self.manager {
            Some(manager) => matches!(*manager.state.borrow(), ManagerState::Ready(_)),
            None => self.role() == Role::Worker,
        }
    }

    /// Ends everything; the manager as `how` says. Containers go on.
    pub(crate) async fn stop(mut self, how: Stop) {
        self.stop_session().await;
        self.renewal.abort();
        let worker = self.worker.borrow().clone();
        if let Some(worker) = worker {
            worker.shutdown().await;
        }
        if let Some(manager) = self.manager.take() {
            manager.stop(how).await;
        }
    }

    /// Ends the session and removes the containers of this node's tasks. On failure the session is started again.
    pub(crate) async fn clear(&mut self) -> Result<(), String> {
        self.stop_session().await;
        let opened = self.worker.borrow().clone();
        let worker = match opened {
            Some(worker) => Ok(worker),
            None => open_worker(&self.host, self.node_id).await,
        };
        let cleared = match worker {
            Ok(worker) => {
                self.worker.send_replace(Some(worker.clone()));
                worker.clear().await.map_err(|error| chain(&error))
            }
            Err(error) => Err(error),
        };
        if cleared.is_err() {
            self.start_session();
        }
        cleared
    }

    /// Tells another manager that this node leaves; a hint that shortens the wait for it to be found missing.
    pub(crate) async fn tell_leaving(identity: Arc<LiveIdentity>, roots: RootBundle, managers: Vec<RemoteManager>, own: NodeId) {
        for manager in managers.into_iter().filter(|manager| manager.node_id != own) {
            match crate::identity::ca_calls::leave(&manager.addr, Arc::clone(&identity), &roots).await {
                Ok(()) => return,
                Err(error) => {
                    tracing::info!(%error, "a manager could not be told that this node leaves")
                }
            }
        }
    }

    /// What [`Member::tell_leaving`] needs.
    pub(crate) fn farewell(&self) -> (Arc<LiveIdentity>, RootBundle, Vec<RemoteManager>, NodeId) {
        (Arc::clone(&self.identity), self.roots.borrow().clone(), self.record.managers.clone(), self.node_id)
    }

    fn role(&self) -> Role {
        role_of(self.identity.current().identity().role)
    }

    fn is_ready_now(&self) -> bool {
        let is_in_session = self.session_state.borrow().manager.is_some();
        is_in_session && self.is_manager_ready()
    }

    async fn take_orders(&mut self) {
        let Some(orders) = self.news.orders.borrow_and_update().clone() else {
            return;
        };
        let is_new = orders.generation.0 != self.record.orders_generation || orders.managers != self.record.managers;
        if is_new && !orders.managers.is_empty() {
            self.record.managers.clone_from(&orders.managers);
            self.record.orders_generation = orders.generation.0;
            if let Err(error) = self.file.save(&self.record) {
                tracing::error!(error = %chain(&error), "the list of managers could not be saved");
            }
            self.managers.send_if_modified(|known| {
                let is_other = *known != orders.managers;
                known.clone_from(&orders.managers);
                is_other
            });
        }
        self.take_roots(&orders.root_ca);
        self.wish.send_if_modified(|wish| wish.role.replace(orders.role) != Some(orders.role));
        if self.task_defaults != orders.task_defaults {
            self.task_defaults = orders.task_defaults;
            self.tell_worker().await;
        }
    }

    /// Trusts a new root bundle, if our own certificate holds under it: else the next connection would be our last.
    fn take_roots(&self, pem: &str) {
        if pem.is_empty() || self.roots.borrow().pem() == pem {
            return;
        }
        let taken = RootBundle::from_pem(pem).map_err(|error| chain(&error)).and_then(|roots| {
            let now = std::time::SystemTime::now();
            roots.check_chain(self.identity.current().chain(), now).map_err(|error| chain(&error))?;
            self.certificates.save_roots(&roots).map_err(|error| chain(&error))?;
            Ok(roots)
        });
        match taken {
            Ok(roots) => {
                tracing::info!(digest = %roots.digest(), "the root certificates of the swarm changed");
                self.roots.send_replace(roots);
            }
            Err(error) => {
                tracing::error!(error, "new root certificates of the swarm are not taken")
            }
        }
    }

    async fn take_renewal(&mut self) {
        // By the certificate itself: whoever waited for the news has taken note of them already.
        let current = self.identity.current();
        if current.chain_pem() == self.chain {
            return;
        }
        current.chain_pem().clone_into(&mut self.chain);
        self.awaits_role = false;
        if self.manager.is_some() {
            supervisor::certificates_changed(&self.host.paths.manager_socket).await;
        }
    }

    /// A manager runs exactly if the certificate says that this node is one.
    async fn ensure_manager(&mut self) {
        let is_refused = self.manager.as_ref().is_some_and(|manager| *manager.state.borrow() == ManagerState::NotMember);
        let is_wanted = self.role() == Role::Manager;
        if (is_refused || !is_wanted)
            && let Some(manager) = self.manager.take()
        {
            manager.stop(Stop::WithManager).await;
            self.is_unwiped = true;
            self.own.send_replace(Vec::new());
            if is_refused {
                self.awaits_role = true;
                self.wish.send_modify(|wish| wish.forced += 1);
            }
        }
        self.wipe_manager();
        if is_wanted && self.manager.is_none() && !self.awaits_role && !self.has_left_over && !self.is_unwiped {
            let others = self.record.managers.iter().filter(|manager| manager.node_id != self.node_id);
            let start = Start::Join(others.map(|manager| manager.addr.clone()).collect());
            self.manager = Some(RunningManager::start(manager_command(&self.host, &self.record, start)));
        }
        if self.manager.is_some() && self.own.borrow().is_empty() {
            self.own.send_replace(own_addresses(&self.record, &interfaces().unwrap_or_default()));
        }
    }

    /// Removes the state of a former manager that has stopped; tried again when it fails. A later promotion must not find it.
    fn wipe_manager(&mut self) {
        if self.is_unwiped {
            match self.host.paths.wipe_manager() {
                Ok(()) => self.is_unwiped = false,
                Err(error) => tracing::error!(%error, "the state of the former manager could not be removed"),
            }
        }
    }

    async fn tell_description(&mut self) {
        let base = self.news.description.borrow_and_update().clone();
        let roots = self.news.roots.borrow_and_update().clone();
        let is_other_worker = self.news.worker.has_changed().unwrap_or(false);
        self.news.worker.mark_unchanged();
        let Some(mut description) = base else { return };
        match roots.tls_info_of(self.identity.current().chain()) {
            Ok(info) => {
                description.tls_info = TlsInfo {
                    trust_root: info.trust_root,
                    cert_issuer_subject: info.cert_issuer_subject,
                    cert_issuer_public_key: info.cert_issuer_public_key,
                };
            }
            Err(error) => {
                tracing::warn!(%error, "the issuer of this node's certificate is not known")
            }
        }
        let is_new = self.told.send_if_modified(|told| {
            let is_new = told.as_ref() != Some(&description);
            *told = Some(description);
            is_new
        });
        // A worker that was just opened has to be told too.
        if is_new || is_other_worker {
            self.tell_worker().await;
        }
    }

    async fn tell_worker(&mut self) {
        let worker = self.news.worker.borrow_and_update().clone();
        let description = self.told.borrow().clone();
        if let (Some(worker), Some(description)) = (worker, description) {
            let context =
                NodeContext { hostname: description.hostname, platform: description.platform, task_defaults: self.task_defaults.clone() };
            worker.set_node(context).await;
        }
    }

    fn start_session(&mut self) {
        let stop = CancellationToken::new();
        let run = AgentSide {
            host: self.host.clone(),
            node_id: self.node_id,
            data_path_addr: data_path_addr(&self.record),
            identity: Arc::clone(&self.identity),
            roots: self.roots.subscribe(),
            managers: self.managers.subscribe(),
            own: self.own.subscribe(),
            told: self.told.subscribe(),
            orders: Arc::clone(&self.orders),
            orders_known: Generation(self.record.orders_generation),
            state: Arc::clone(&self.session_state),
            worker: Arc::clone(&self.worker),
            stop: stop.clone(),
        };
        self.session = Some((tokio::spawn(run.run()), stop));
    }

    async fn stop_session(&mut self) {
        let Some((mut session, stop)) = self.session.take() else {
            return;
        };
        stop.cancel();
        if timeout(SESSION_STOP, &mut session).await.is_err() {
            tracing::debug!("the session did not end in time");
            session.abort();
        }
    }
}

/// Where this host takes packets of cluster networks: what the operator said, else the address told to other nodes.
fn data_path_addr(record: &NodeRecord) -> Option<IpAddr> {
    let said = record.data_path_addr.parse().ok();
    said.or_else(|| record.advertise_addr.parse::<SocketAddr>().ok().map(|addr| addr.ip()))
}

/// The address without its port.
fn host_of(addr: &str) -> String {
    addr.parse::<SocketAddr>().map_or_else(|_| addr.to_owned(), |addr| addr.ip().to_string())
}
