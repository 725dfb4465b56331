//! Getting into a swarm: making one, or joining one.

use super::{
    NodeContextOfHost,
    node_loop::{Initializing, NodeLoop, State, Waiting},
};
use crate::{
    chain,
    daemon::{
        member::{Member, RunningManager, manager_command},
        paths::wipe,
    },
    identity::{
        bootstrap,
        interfaces::interfaces,
        record::{NodeRecord, Phase, RecordFile},
        request::{InitPlan, plan_init, plan_join},
    },
    membership::{InitError, JoinError, ManagerStatus},
    supervisor::{Start, Stop},
};
use serde::Serialize;
use std::time::Duration;
use swarm_pki::{CertStore, Stored};
use swarm_types::{InitRequest, JoinRequest, NodeId};
use tokio::{sync::oneshot, time::Instant};

/// How long a first manager may take to make the cluster.
pub(crate) const INIT_TIMEOUT: Duration = Duration::from_secs(60);
/// How long an init waits for the first session once the manager is ready; the cluster exists by then.
const INIT_SESSION_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a join is waited for. Docker's number.
const JOIN_TIMEOUT: Duration = Duration::from_secs(20);

/// What a first manager is told.
#[derive(Serialize)]
struct InitFile<'a> {
    node_id: NodeId,
    request: &'a InitRequest,
    hostname: &'a str,
}

impl NodeLoop {
    pub(crate) fn init(&mut self, request: InitRequest, reply: oneshot::Sender<Result<NodeId, InitError>>) {
        match self.begin_init(request) {
            Ok(init) => {
                let (node_id, until) = (init.node_id, init.give_up_at);
                self.state = State::Initializing(Box::new(init));
                self.waiting = Waiting::Init { node_id, until, reply };
            }
            Err(error) => self.reply(reply, Err(error)),
        }
    }

    fn begin_init(&mut self, request: InitRequest) -> Result<Initializing, InitError> {
        if !matches!(self.state, State::Outside { .. }) {
            return Err(InitError::Already);
        }
        let InitPlan { listen, advertise, request } = plan_init(request, &self.host.config.default_advertise_addr, &interfaces()?)?;
        let paths = &self.host.paths;
        let node_id = NodeId::from_random(random_id().map_err(InitError::State)?);
        let record = NodeRecord {
            phase: Phase::Initializing,
            node_id: Some(node_id),
            cluster_id: None,
            listen_addr: listen.to_string(),
            advertise_addr: advertise.to_string(),
            data_path_addr: request.data_path_addr.clone(),
            managers: vec![],
            orders_generation: 0,
        };
        wipe(paths).map_err(InitError::State)?;
        RecordFile::new(&paths.state_dir).save(&record).map_err(|error| InitError::State(chain(&error)))?;
        let file = InitFile { node_id, request: &request, hostname: &self.host.config.hostname };
        let text = serde_json::to_vec(&file).expect("a request is plain JSON");
        std::fs::write(&paths.init, text).map_err(|error| InitError::State(error.to_string()))?;
        let command = manager_command(&self.host, &record, Start::Init(paths.init.clone()));
        tracing::info!(node = %node_id, advertise = %record.advertise_addr, "making a swarm");
        Ok(Initializing { record, node_id, manager: RunningManager::start(command), give_up_at: Instant::now() + INIT_TIMEOUT })
    }

    /// The manager has made the cluster: from here on the host is a member.
    pub(crate) async fn initialized(&mut self, status: &ManagerStatus) {
        let State::Initializing(init) = std::mem::replace(&mut self.state, State::Outside { error: String::new() }) else {
            return;
        };
        let Initializing { mut record, node_id, manager, give_up_at } = *init;
        let stored = load_certificates(&self.host, node_id);
        record.phase = Phase::Active;
        record.cluster_id = status.cluster_id;
        record.managers.clone_from(&status.remote_managers);
        let saved = stored.and_then(|stored| {
            RecordFile::new(&self.host.paths.state_dir).save(&record).map_err(|error| chain(&error))?;
            Ok(stored)
        });
        match saved {
            Ok(stored) => {
                if let Waiting::Init { until, .. } = &mut self.waiting {
                    *until = Instant::now() + INIT_SESSION_TIMEOUT;
                }
                self.state = State::Member(Box::new(Member::start(self.host.clone(), record, node_id, stored, Some(manager))));
            }
            Err(error) => {
                self.state = State::Initializing(Box::new(Initializing { record, node_id, manager, give_up_at }));
                self.init_failed(InitError::State(error)).await;
            }
        }
    }

    /// Takes an init back.
    pub(crate) async fn init_failed(&mut self, error: InitError) {
        tracing::error!(%error, "the swarm could not be made");
        let state = std::mem::replace(&mut self.state, State::Outside { error: String::new() });
        if let State::Initializing(init) = state {
            init.manager.stop(Stop::WithManager).await;
            if let Err(error) = wipe(&self.host.paths) {
                tracing::error!(error, "what is left of the attempt could not be removed");
            }
        }
        if let Waiting::Init { reply, .. } = std::mem::replace(&mut self.waiting, Waiting::Nobody) {
            self.reply(reply, Err(error));
        }
    }

    pub(crate) fn join(&mut self, request: &JoinRequest, reply: oneshot::Sender<Result<(), JoinError>>) {
        match self.begin_join(request) {
            Ok(state) => {
                self.state = state;
                self.waiting = Waiting::Join { until: Instant::now() + JOIN_TIMEOUT, reply };
            }
            Err(error) => self.reply(reply, Err(error)),
        }
    }

    fn begin_join(&mut self, request: &JoinRequest) -> Result<State, JoinError> {
        if !matches!(self.state, State::Outside { .. }) {
            return Err(JoinError::Already);
        }
        let plan = plan_join(request, &self.host.config.default_advertise_addr, &interfaces()?)?;
        let paths = &self.host.paths;
        let file = RecordFile::new(&paths.state_dir);
        let certificates = CertStore::new(&paths.state_dir);
        let record = bootstrap::started(&plan);
        wipe(paths).map_err(JoinError::State)?;
        file.save(&record).map_err(|error| JoinError::State(chain(&error)))?;
        tracing::info!(remote = plan.remote, "joining a swarm");
        let task = tokio::spawn(async move {
            let joined = bootstrap::bootstrap(&plan).await?;
            bootstrap::save(&file, &certificates, &plan, &joined).map_err(|error| JoinError::State(chain(&error)))
        });
        Ok(State::Joining(task))
    }

    /// A join got its certificate, or failed for good.
    pub(crate) fn joined(&mut self, result: Result<NodeRecord, JoinError>) {
        let result = result.and_then(|record| {
            let node_id = record.node_id.ok_or_else(|| JoinError::State("the record names no node".to_owned()))?;
            let stored = load_certificates(&self.host, node_id).map_err(JoinError::State)?;
            Ok((record, node_id, stored))
        });
        match result {
            Ok((record, node_id, stored)) => {
                tracing::info!(node = %node_id, role = %stored.credentials.identity().role, "joined a swarm");
                self.state = State::Member(Box::new(Member::start(self.host.clone(), record, node_id, stored, None)));
            }
            Err(error) => {
                tracing::error!(%error, "the swarm could not be joined");
                if let Err(error) = wipe(&self.host.paths) {
                    tracing::error!(error, "what is left of the attempt could not be removed");
                }
                // Whoever still waits is told; else it stays to be seen.
                let shown = match std::mem::replace(&mut self.waiting, Waiting::Nobody) {
                    Waiting::Join { reply, .. } => {
                        self.reply(reply, Err(error));
                        String::new()
                    }
                    _ => error.to_string(),
                };
                self.state = State::Outside { error: shown };
            }
        }
    }
}

fn load_certificates(host: &NodeContextOfHost, node_id: NodeId) -> Result<Stored, String> {
    let stored = CertStore::new(&host.paths.state_dir).load().map_err(|error| chain(&error))?;
    let stored = stored.ok_or("the certificate is missing")?;
    if stored.credentials.identity().node_id == node_id.as_str() {
        Ok(stored)
    } else {
        Err("the certificate is for another node".to_owned())
    }
}

fn random_id() -> Result<[u8; 16], String> {
    swarm_pki::random_bytes().map_err(|error| error.to_string())
}
