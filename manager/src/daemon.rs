//! Wires the rooms: reads the configuration, makes or joins a cluster, serves, and stops in order.

use crate::{
    api, ca,
    config::Config,
    control::{self, Control, Phase},
    dispatcher::{Dispatcher, Timing},
    dispatcher_routes::DispatcherRoutes,
    events::EventLog,
    known_managers,
    links::Links,
    member::MemberFile,
    peer::{PeerError, Peers},
    planner_loop,
    raft::{JoinRequest, Member, OpenError, RaftNode, Tuning, membership::Membership, routes::RaftRoutes},
    rebuild,
    room::Room,
    server::{self, LiveTls, Rooms},
    store::Leadership,
};
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::{
    fs,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    sync::{Arc, RwLock},
    time::{Duration, SystemTime},
};
use swarm_pki::{CertStore, LiveIdentity, NodeKey, NodeSubject, RootCa, Stored};
use swarm_raftlog::{Keys, KeysError};
use swarm_state::{Batch, Change, Object};
use swarm_types::{
    Actor, ClusterId, InitRequest, JoinTokens, NetworkCreate, NodeId, Role, Swarm, Timestamp, TlsInfo, Version, validate::check_network,
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::{Notify, watch},
};

/// The process ends with this code when its node is no manager any more: its state is of no use.
pub const EXIT_NO_MEMBER: u8 = 3;
/// What is under way when the manager is asked to stop may take this long.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// A joiner asks again after this pause when nobody could add it.
const JOIN_RETRY: Duration = Duration::from_millis(500);
/// VXLAN port, address pool and subnet size when the operator names none.
const DATA_PATH_PORT_DEFAULT: u32 = 4789;
const ADDR_POOL_DEFAULT: &str = "10.0.0.0/8";
const SUBNET_SIZE_DEFAULT: u32 = 24;
/// Name of the network that carries the routing mesh, as Docker has it.
const INGRESS_NAME: &str = "ingress";

/// What the agent writes for `--init`.
#[derive(Debug, Deserialize)]
pub struct InitFile {
    /// The first node.
    pub node_id: NodeId,
    /// Its name.
    #[serde(default)]
    pub hostname: String,
    /// What the operator asked for, addresses resolved.
    pub request: InitRequest,
}

/// Runs the manager until it is asked to stop.
///
/// # Errors
/// When it cannot start or go on; the agent starts it again.
pub async fn run(config: Config) -> Result<u8> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&config.state_dir).context("could not create the state folder")?;
    fs::set_permissions(&config.state_dir, fs::Permissions::from_mode(0o700)).context("could not protect the state folder")?;
    Room::new(&config.state_dir).until_open().await;
    let certs = CertStore::new(config.certs.parent().context("--certs has no parent folder")?);
    let init = if rebuild::is_begun(&config.state_dir)? { None } else { read_init(&config)? };
    let member = rebuild::ensure_member(&config, init.as_ref().map(|init| init.node_id), &certs)?;
    let identity = match &init {
        Some(init) if !member.finished && member.rebuild.is_none() => Identity::found(init, &certs)?,
        _ => Identity::load(&certs)?,
    };
    start(config, identity, init, member).await
}

fn read_init(config: &Config) -> Result<Option<InitFile>> {
    let Some(path) = &config.init else { return Ok(None) };
    let bytes = fs::read(path).with_context(|| format!("could not read {}", path.display()))?;
    serde_json::from_slice(&bytes).with_context(|| format!("{} is not an init file", path.display())).map(Some)
}

/// Who this manager is, and for a founder the root it makes.
struct Identity {
    stored: Stored,
    node_id: NodeId,
    cluster_id: ClusterId,
    founding: Option<RootCa>,
}

impl Identity {
    fn load(certs: &CertStore) -> Result<Self> {
        let stored = certs.load().context("could not read this node's certificates")?.context("this node has no certificate")?;
        let identity = stored.credentials.identity();
        if identity.role != swarm_pki::Role::Manager {
            bail!("this node's certificate is not a manager's");
        }
        let node_id = NodeId::parse(&identity.node_id)?;
        let cluster_id = ClusterId::parse(&identity.cluster_id)?;
        Ok(Self { stored, node_id, cluster_id, founding: None })
    }

    /// Makes the root and this node's certificate.
    fn found(init: &InitFile, certs: &CertStore) -> Result<Self> {
        let now = SystemTime::now();
        let cluster_id = ClusterId::from_random(rand::random());
        let ca = RootCa::create(now).context("could not make the root certificate")?;
        let key = NodeKey::generate().context("could not make this node's key")?;
        let subject = NodeSubject { node_id: init.node_id.as_str(), role: swarm_pki::Role::Manager, cluster_id: cluster_id.as_str() };
        let wish = u64::try_from(init.request.spec.ca_config.node_cert_expiry).unwrap_or(0);
        let validity = swarm_pki::node_validity(Duration::from_nanos(wish));
        let chain = ca.sign_csr(&key.csr_pem()?, subject, validity, now).context("could not sign this node's certificate")?;
        let credentials = swarm_pki::Credentials::new(&chain, key)?;
        certs.save_roots(ca.roots()).context("could not write the root certificate")?;
        certs.save(&credentials).context("could not write this node's certificate")?;
        let stored = Stored { roots: ca.roots().clone(), credentials };
        Ok(Self { stored, node_id: init.node_id, cluster_id, founding: Some(ca) })
    }
}

async fn start(config: Config, identity: Identity, init: Option<InitFile>, mut member: MemberFile) -> Result<u8> {
    let phase = watch::Sender::new(Phase::Starting(String::new()));
    let (stop, certs_changed) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let live = Arc::new(LiveIdentity::new(identity.stored.credentials.clone()));
    let roots = identity.stored.roots.clone();
    let peers = Arc::new(Peers::new(Arc::new(swarm_pki::client_config(Arc::clone(&live), &roots))));
    let tls: LiveTls = Arc::new(RwLock::new(Arc::new(swarm_pki::server_config(Arc::clone(&live), &roots))));
    let listener = TcpListener::bind(config.listen_addr).await.with_context(|| format!("could not listen on {}", config.listen_addr))?;
    let raft = open_or_rebuild(&config, &mut member, &peers).await?;
    let store = raft.store();
    let membership = Membership::new(raft.clone());
    let links = Arc::new(Links::new(store.clone(), Arc::clone(&peers), identity.node_id, membership.clone()));
    let dispatcher = Dispatcher::start(store.clone(), Arc::clone(&links) as Arc<_>, Timing::default());
    links.set_dispatcher(dispatcher.clone());
    let events = EventLog::default();
    let docker_api = api::router(api::Context::new(store.clone(), Arc::clone(&links) as Arc<_>, identity.node_id, events.clone()));
    let rooms = Rooms {
        raft: RaftRoutes { node: raft.clone(), membership: membership.clone(), node_id: identity.node_id },
        ca: ca::Authority { store: store.clone(), peers: Arc::clone(&peers) },
        dispatcher: DispatcherRoutes { dispatcher: dispatcher.clone() },
        api: docker_api.clone(),
        store: store.clone(),
        cluster_id: identity.cluster_id.to_string(),
        node_id: identity.node_id,
    };
    let control = Control {
        phase: phase.subscribe(),
        node_id: identity.node_id,
        cluster_id: identity.cluster_id.to_string(),
        raft: watch::Sender::new(Some(raft.clone())).subscribe(),
        stop: Arc::clone(&stop),
        certs_changed: Arc::clone(&certs_changed),
        links: Arc::clone(&links),
    };
    let socket = control::listen(&config.socket).with_context(|| format!("could not listen on {}", config.socket.display()))?;
    let port = tokio::spawn(server::serve(listener, Arc::clone(&tls), server::router(&rooms)));
    let local = control::router(control).merge(docker_api);
    let local = tokio::spawn(async move { axum::serve(socket, local).await });
    let planner = tokio::spawn(planner_loop::run(store.clone()));
    tokio::spawn(membership.keep_in_step());
    tokio::spawn(events.record(&store));
    tokio::spawn(reload_certificates(config.certs.clone(), certs_changed, live, Arc::clone(&peers), tls));

    let become_member = become_member(&config, &identity, init.as_ref(), &mut member, &raft, &phase);
    let code = tokio::select! {
        joined = become_member => match joined {
            Ok(()) => {
                phase.send_replace(Phase::Ready(String::new()));
                tokio::spawn(known_managers::keep(config.state_dir.clone(), identity.node_id, raft.clone()));
                tracing::info!(node_id = %identity.node_id, "manager is ready");
                notify_ready();
                serve_until_stopped(&stop, &raft).await?
            }
            Err(error) => {
                phase.send_replace(Phase::Error(format!("{error:#}")));
                // The agent reads the reason before it ends this process or retries.
                tracing::error!(error = format!("{error:#}"), "could not become a member");
                wait_for_stop(&stop).await?;
                1
            }
        },
        stopped = wait_for_stop(&stop) => { stopped?; 0 }
    };
    dispatcher.stop();
    let orderly = async {
        raft.shutdown().await;
        planner.abort();
        port.abort();
        local.abort();
    };
    if tokio::time::timeout(STOP_TIMEOUT, orderly).await.is_err() {
        tracing::warn!("stopping took too long; what was acknowledged is on disk");
    }
    Ok(code)
}

/// Why the replicated state could not be opened.
#[derive(Debug, thiserror::Error)]
enum StateError {
    #[error("could not open the data key")]
    Keys(#[from] KeysError),
    #[error("could not open the replicated state")]
    Raft(#[from] OpenError),
}

async fn open_state(config: &Config, raft_id: u64, peers: &Arc<Peers>) -> Result<Result<RaftNode, StateError>> {
    let tuning = tuning(config)?;
    let keys = match Keys::open(&config.state_dir, None) {
        Ok(keys) => keys,
        Err(error) => return Ok(Err(error.into())),
    };
    Ok(RaftNode::open(&config.state_dir, &keys, raft_id, Arc::clone(peers), &tuning).await.map_err(StateError::Raft))
}

/// Opens the replicated state. What cannot be believed is never half read: the member starts anew under a new id then.
async fn open_or_rebuild(config: &Config, member: &mut MemberFile, peers: &Arc<Peers>) -> Result<RaftNode> {
    let error = match open_state(config, member.raft_id, peers).await? {
        Ok(raft) => return Ok(raft),
        Err(error) => error,
    };
    let damage = match &error {
        StateError::Keys(error) => rebuild::damage_of_keys(error),
        StateError::Raft(error) => rebuild::damage_of_state(error),
    };
    let Some(reason) = damage else { return Err(error.into()) };
    *member = rebuild::begin(config, Some(member), reason)?;
    Ok(open_state(config, member.raft_id, peers).await??)
}

fn tuning(config: &Config) -> Result<Tuning> {
    let election_ms = match config.raft_election_ms.as_slice() {
        [min, max] if config.raft_heartbeat_ms < *min && min < max => (*min, *max),
        other => {
            bail!("--raft-election-ms {other:?}: two rising numbers above the heartbeat of {} ms are needed", config.raft_heartbeat_ms)
        }
    };
    Ok(Tuning {
        heartbeat_ms: config.raft_heartbeat_ms.max(10),
        election_ms,
        snapshot_interval: config.raft_snapshot_interval,
        entries_for_slow_followers: config.raft_entries_kept,
        ..Tuning::default()
    })
}

/// Founds or joins the group; nothing to do when that was finished before.
async fn become_member(
    config: &Config,
    identity: &Identity,
    init: Option<&InitFile>,
    member: &mut MemberFile,
    raft: &RaftNode,
    phase: &watch::Sender<Phase>,
) -> Result<()> {
    if !member.finished {
        let why =
            member.rebuild.as_ref().map_or_else(String::new, |rebuild| format!("rebuilding from the other managers: {}", rebuild.reason));
        phase.send_replace(Phase::Joining(why));
        match (init, &identity.founding) {
            (Some(init), Some(ca)) => found_cluster(config, identity, init, ca, raft).await?,
            _ => join_cluster(config, identity, raft, member).await?,
        }
        raft.until_member().await?;
        rebuild::finish(&config.state_dir, member)?;
    }
    // A manager answers once it knows the cluster: a founder at once, others when the leader has brought them up to date.
    let mut state = raft.store().watch_state();
    state.wait_for(|s| s.cluster().is_some()).await.context("the state machine stopped")?;
    Ok(())
}

async fn found_cluster(config: &Config, identity: &Identity, init: &InitFile, ca: &RootCa, raft: &RaftNode) -> Result<()> {
    let addr = config.advertise_addr.to_string();
    raft.initialize(Member { node_id: identity.node_id, addr: addr.clone() }).await?;
    let store = raft.store();
    store.leadership().wait_for(Leadership::is_own).await.context("consensus stopped")?;
    if store.state().cluster().is_some() {
        return Ok(());
    }
    let now = Timestamp::from_system(SystemTime::now());
    let cluster = swarm_state::Cluster {
        api: new_swarm(identity.cluster_id, &init.request, ca, now),
        ca_key: ca.key_pem().to_string(),
        removed_nodes: std::collections::BTreeMap::new(),
    };
    let mut node = ca::first_node(identity.node_id, raft.raft_id, &addr, init.request.availability, now);
    node.api.description.hostname.clone_from(&init.hostname);
    node.api.status.addr = config.advertise_addr.ip().to_string();
    let mut changes = vec![Change::create(Object::Cluster(Arc::new(cluster))), Change::create(Object::Node(Arc::new(node)))];
    changes.extend(ingress_network(&changes, now)?);
    store.propose(Batch { by: Actor::Operator, guards: vec![], changes }).await.context("could not record the cluster")?;
    Ok(())
}

/// The network of the routing mesh, as it is in a cluster that has just been founded by these changes.
fn ingress_network(founding: &[Change], now: Timestamp) -> Result<Vec<Change>> {
    let mut founded = swarm_state::State::default();
    founded.apply(1, vec![Batch { by: Actor::Operator, guards: vec![], changes: founding.to_vec() }]);
    let ingress = NetworkCreate { name: INGRESS_NAME.into(), ingress: true, ..NetworkCreate::default() };
    let checked = check_network(ingress).context("the ingress network")?;
    let made = swarm_planner::new_network(&founded, &checked, now, &mut rand::random::<[u8; 16]>);
    let (_, _, changes) = made.context("could not make the ingress network")?;
    Ok(changes)
}

fn new_swarm(id: ClusterId, request: &InitRequest, ca: &RootCa, now: Timestamp) -> Swarm {
    let info = ca.roots().tls_info();
    let digest = ca.roots().digest();
    let token = || swarm_pki::JoinToken::new(digest, rand::random()).to_string();
    let pools = &request.default_addr_pool;
    Swarm {
        id,
        version: Version::default(),
        created_at: now,
        updated_at: now,
        spec: api::with_cluster_defaults(request.spec.clone()),
        tls_info: TlsInfo {
            trust_root: info.trust_root,
            cert_issuer_subject: info.cert_issuer_subject,
            cert_issuer_public_key: info.cert_issuer_public_key,
        },
        root_rotation_in_progress: false,
        data_path_port: if request.data_path_port == 0 { DATA_PATH_PORT_DEFAULT } else { request.data_path_port },
        default_addr_pool: if pools.is_empty() { vec![ADDR_POOL_DEFAULT.into()] } else { pools.clone() },
        subnet_size: if request.subnet_size == 0 { SUBNET_SIZE_DEFAULT } else { request.subnet_size },
        join_tokens: Some(JoinTokens { worker: token(), manager: token() }),
    }
}

/// Asks the managers until one that leads has made this node a voter.
async fn join_cluster(config: &Config, identity: &Identity, raft: &RaftNode, member: &MemberFile) -> Result<()> {
    let raft_id = member.raft_id;
    let rebuilt_from = member.rebuild.iter().flat_map(|rebuild| &rebuild.managers);
    let managers: Vec<&String> = config.join.iter().chain(rebuilt_from).collect();
    let request = JoinRequest { node_id: identity.node_id, raft_id, addr: config.advertise_addr.to_string() };
    let mut hint: Option<String> = None;
    for attempt in 0usize.. {
        // A voter that is not recorded was interrupted on its way, and is unknown to agents until it asks again.
        let is_recorded = raft.store().state().node(identity.node_id).is_some_and(|n| n.raft_id == Some(raft_id));
        if raft.is_voter() && is_recorded {
            return Ok(());
        }
        let known: Vec<&String> = hint.iter().chain(managers.iter().copied()).collect();
        let Some(addr) = known.get(if hint.is_some() { 0 } else { attempt % known.len().max(1) }).map(|a| (*a).clone()) else {
            bail!("no manager to join was named");
        };
        hint = None;
        match raft.peers.call::<_, String>(&addr, "/raft/join", &request).await {
            Ok(recorded) => {
                tracing::info!(leader = %addr, own = %recorded, role = %Role::Manager, "joined the managers");
                return Ok(());
            }
            Err(PeerError::Status { status, message, leader, .. }) => {
                if matches!(status, http::StatusCode::FORBIDDEN | http::StatusCode::NOT_FOUND) {
                    bail!("{message}");
                }
                tracing::warn!(%addr, %status, %message, "was not added to the managers yet");
                hint = leader.filter(|l| *l != addr);
            }
            Err(error) => tracing::warn!(%addr, error = crate::chain(&error), "could not ask to be added to the managers"),
        }
        if hint.is_none() {
            tokio::time::sleep(JOIN_RETRY).await;
        }
    }
    Ok(())
}

/// Serves until a signal, a request to stop, or the end of this node's membership.
async fn serve_until_stopped(stop: &Notify, raft: &RaftNode) -> Result<u8> {
    tokio::select! {
        stopped = wait_for_stop(stop) => stopped.map(|()| 0),
        () = raft.forgotten() => {
            tracing::info!("this node was taken out of the managers");
            Ok(EXIT_NO_MEMBER)
        }
        reason = raft.failed() => bail!("consensus cannot go on: {reason}"),
        expelled = raft.expelled() => {
            expelled?;
            tracing::info!("this node is no manager any more");
            Ok(EXIT_NO_MEMBER)
        }
    }
}

async fn wait_for_stop(stop: &Notify) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = stop.notified() => {}
    }
    tracing::info!("stopping");
    Ok(())
}

async fn reload_certificates(certs: std::path::PathBuf, changed: Arc<Notify>, live: Arc<LiveIdentity>, peers: Arc<Peers>, tls: LiveTls) {
    let Some(store) = certs.parent().map(CertStore::new) else { return };
    loop {
        changed.notified().await;
        match store.load() {
            Ok(Some(stored)) => {
                live.replace(stored.credentials);
                peers.set_tls(Arc::new(swarm_pki::client_config(Arc::clone(&live), &stored.roots)));
                *tls.write().expect("nothing panics while holding it") =
                    Arc::new(swarm_pki::server_config(Arc::clone(&live), &stored.roots));
                tracing::info!("certificates were renewed");
            }
            Ok(None) => tracing::warn!("told of new certificates, but there are none"),
            Err(error) => tracing::warn!(error = crate::chain(&error), "could not read the new certificates"),
        }
    }
}

/// Tells systemd, if it started us; without it there is nobody to tell.
fn notify_ready() {
    if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Ready]) {
        tracing::debug!(%error, "no service manager was told");
    }
}
