//! Wiring: configuration in, rooms connected, loops spawned, signals obeyed.

mod description;
mod lock;
mod logging;
mod member;
mod node;
mod paths;
mod service_manager;

pub use lock::LockError;
pub use node::NodeStartError;

use crate::{
    chain,
    config::Config,
    executor::DockerExecutor,
    gateway::{BindError, Engine, Gateway, Listener, ServerTlsError, server_tls},
    network::{EngineNetworks, NetworkError, Networks, driver_name},
};
use description::DescriptionLoop;
use lock::StateLock;
use node::{Node, NodeContextOfHost};
use paths::Paths;
use std::{io, os::unix::fs::DirBuilderExt as _, path::PathBuf, sync::Arc, time::Duration};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Leaves the manager running when the agent stops, for an agent that is about to take over.
const KEEP_MANAGER: &str = "SWARM_AGENT_KEEP_MANAGER";
/// How long the node may take to stop: the manager's time and some for the rest.
const STOP_TIMEOUT: Duration = Duration::from_secs(15);
/// Only this host's root may look into the state folder.
const STATE_DIR_MODE: u32 = 0o700;

/// The agent cannot run.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The system gives no threads or signals.
    #[error("could not start")]
    Start(#[source] io::Error),
    /// The state folder cannot be made.
    #[error("could not make the state folder {path}")]
    StateDir {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Another agent uses the state folder.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A host cannot be served.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The tcp hosts' certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] ServerTlsError),
    /// dockerd's address cannot be used.
    #[error("could not use docker-host {host}: {reason}")]
    Engine {
        /// The address.
        host: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The state folder's content cannot be used.
    #[error(transparent)]
    Node(#[from] NodeStartError),
    /// Cluster networks cannot be kept.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The node loop ended without having been asked.
    #[error("the node loop ended unexpectedly")]
    NodeEnded,
}

/// Runs the agent until SIGTERM or SIGINT. Containers are left running.
///
/// # Errors
/// [`DaemonError`] when it cannot start, or a part of it ended unasked.
pub fn run(config: Config) -> Result<(), DaemonError> {
    logging::init(config.log_level, config.log_format);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(DaemonError::Start)?;
    let result = runtime.block_on(serve(config));
    // Calls that are still open are cut off; what blocks in the background is not waited for.
    runtime.shutdown_background();
    result
}

async fn serve(config: Config) -> Result<(), DaemonError> {
    let mut signals = Signals::new().map_err(DaemonError::Start)?;
    let paths = Paths::new(&config.state_dir);
    let state_dir = |source| DaemonError::StateDir { path: config.state_dir.clone(), source };
    std::fs::DirBuilder::new().recursive(true).mode(STATE_DIR_MODE).create(&config.state_dir).map_err(state_dir)?;
    let _lock = StateLock::take(&paths.lock)?;
    for host in config.exposed_hosts() {
        tracing::warn!(%host, "[WARNING] Binding to {host} without --tlsverify is insecure: everyone who can reach it has root on this machine");
    }
    let listeners = bind(&config).await?;

    let docker_host = config.docker_host.to_string();
    let engine_error = |reason| DaemonError::Engine { host: docker_host.clone(), reason };
    let executor = DockerExecutor::connect(&docker_host, &driver_name(&paths.state_dir), &paths.resolvers)
        .map_err(|error| engine_error(chain(&error)))?;
    let executor = Arc::new(executor.with_files(paths.files.clone()));
    let (networks, network_loops) = Networks::new(&paths.state_dir, &config.plugin_dir, Arc::clone(&executor) as Arc<dyn EngineNetworks>)?;
    let executor: Arc<dyn crate::executor::Executor> = executor;
    let engine = Engine::new(config.docker_host.clone());

    let loops = TaskTracker::new();
    let stop = CancellationToken::new();
    loops.spawn(stop.clone().run_until_cancelled_owned(Arc::clone(&engine).keep_known()));
    loops.spawn(stop.clone().run_until_cancelled_owned(network_loops.run()));
    let (description, described) = watch::channel(None);
    loops.spawn(
        stop.clone().run_until_cancelled_owned(
            DescriptionLoop {
                executor: Arc::clone(&executor),
                engine_gone: engine.gone(),
                hostname: config.hostname.clone(),
                labels: config.labels.clone(),
                generic_resources: config.generic_resources.clone(),
                description,
            }
            .run(),
        ),
    );
    let host = NodeContextOfHost { config: config.clone(), paths: paths.clone(), executor, networks, description: described };
    let (node, node_loop) = Node::start(host).await?;
    let mut node_loop = tokio::spawn(node_loop);

    let gateway = Gateway::new(engine, Arc::new(node.clone()), paths.manager_socket.clone());
    for listener in listeners {
        loops.spawn(listener.serve(gateway.clone(), stop.clone()));
    }
    loops.spawn(stop.clone().run_until_cancelled_owned(service_manager::keep_watchdog_quiet()));
    service_manager::ready();
    tracing::info!(version = env!("CARGO_PKG_VERSION"), state_dir = %config.state_dir.display(), "the agent runs");

    let result = tokio::select! {
        name = signals.next() => {
            tracing::info!(signal = name, "the agent stops");
            service_manager::stopping();
            let keep_manager = std::env::var_os(KEEP_MANAGER).is_some_and(|value| value == "1");
            if timeout(STOP_TIMEOUT, node.stop(keep_manager)).await.is_err() {
                tracing::warn!("the node did not stop in time");
            }
            Ok(())
        }
        _ = &mut node_loop => Err(DaemonError::NodeEnded),
    };
    stop.cancel();
    loops.close();
    if timeout(STOP_TIMEOUT, loops.wait()).await.is_err() {
        tracing::warn!("a loop did not stop in time");
    }
    result
}

async fn bind(config: &Config) -> Result<Vec<Listener>, DaemonError> {
    let tls = config.tls.as_ref().map(server_tls).transpose()?.map(Arc::new);
    let mut listeners = Vec::new();
    for host in &config.hosts {
        listeners.push(Listener::bind(host, tls.clone()).await?);
    }
    Ok(listeners)
}

/// The signals that stop the agent.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> &'static str {
        // Both are cancel-safe.
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
