//! This host's part in cluster networks.
//!
//! The worker publishes what the managers said of networks ([`Told`]), from its records before any manager answers. One loop
//! ([`plane`]) makes the kernel that, by the crate `swarm_dataplane`, another ([`names`]) the answers about names. What always
//! holds:
//! - Nothing changes before something is told: an agent that has just begun leaves traffic alone.
//! - Everything of this agent in the kernel carries its own prefix, made from its state folder, so that several agents share
//!   a host.
//! - An agent that stops or dies leaves the kernel as it is.

mod driver;
mod names;
mod plan;
mod plane;
mod resolver;
mod shadows;
mod told;

pub use names::Names;
pub use plane::Applied;
pub use resolver::{Resolver, resolver};
pub use shadows::{EngineNetworks, Observed, ShadowNetwork};
pub use told::{Member, Told};

use driver::Driver;
use plane::PlaneLoop;
use shadows::ShadowLoop;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use swarm_dataplane::{Netns, Prefix};
use swarm_session::Generation;
use tokio::sync::{mpsc, watch};

/// Requests that may wait for the loop. Reached: the caller waits.
const REQUESTS_WAITING_MAX: usize = 64;
/// A host that leaves does not wait longer for its networks to be cleared away.
const CLEAR_TIMEOUT: Duration = Duration::from_secs(10);
/// Where the host says which servers of names it uses.
pub(crate) const RESOLV_CONF: &str = "/etc/resolv.conf";
/// Option of the engine's networks: the id of the cluster network behind one.
pub(crate) const OPTION_NETWORK: &str = "swarm.network";
/// Option of a container's attachment: its address with the length of the prefix.
pub(crate) const OPTION_ADDRESS: &str = "swarm.address";

/// This host's networks cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The agent cannot tell which namespace it is in.
    #[error("could not tell this host's network namespace")]
    Namespace(#[from] swarm_dataplane::Error),
}

/// This host's networks. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Networks {
    told: Arc<watch::Sender<Told>>,
    applied: watch::Receiver<Applied>,
    in_place: watch::Receiver<Generation>,
    names: Arc<Names>,
}

/// What runs for them.
pub struct NetworkLoops {
    plane: PlaneLoop,
    driver: Driver,
    socket: PathBuf,
    names: Arc<Names>,
    told: watch::Receiver<Told>,
    shadows: ShadowLoop,
}

impl NetworkLoops {
    /// Runs until dropped. Everything in the kernel stays: containers go on.
    pub async fn run(self) {
        let (plane, driver, shadows) = (self.plane.run(), self.driver.serve(self.socket), self.shadows.run());
        tokio::join!(plane, driver, shadows, names::follow(self.names, self.told));
    }
}

/// The name under which the engine knows the agent with this state folder as a network driver. No two agents have the same.
#[must_use]
pub fn driver_name(state_dir: &Path) -> String {
    Prefix::of(&state_dir.to_string_lossy()).to_string()
}

impl Networks {
    /// The networks of the agent with this state folder, and what has to run for them. `engine` looks for drivers in
    /// `plugin_dir`. Nothing is touched yet.
    ///
    /// # Errors
    /// [`NetworkError`].
    pub fn new(state_dir: &Path, plugin_dir: &Path, engine: Arc<dyn EngineNetworks>) -> Result<(Self, NetworkLoops), NetworkError> {
        let prefix = Prefix::of(&state_dir.to_string_lossy());
        let (told, told_seen) = watch::channel(Told::Unknown);
        let (applied, applied_seen) = watch::channel(Applied::default());
        let (in_place, in_place_seen) = watch::channel(Generation::default());
        let (requests, received) = mpsc::channel(REQUESTS_WAITING_MAX);
        let names = Arc::new(Names::new(prefix, PathBuf::from(RESOLV_CONF)));
        let plane = PlaneLoop::new(prefix, Netns::current()?, told_seen.clone(), received, applied, in_place, Arc::clone(&names));
        let driver = Driver::new(&state_dir.join("network-driver.json"), requests);
        let socket = plugin_dir.join(format!("{}.sock", driver_name(state_dir)));
        let shadows = ShadowLoop { engine, driver: driver.clone(), told: told_seen.clone(), missing: BTreeMap::new() };
        let loops = NetworkLoops { plane, driver, socket, shadows, names: Arc::clone(&names), told: told_seen };
        Ok((Self { told: Arc::new(told), applied: applied_seen, in_place: in_place_seen, names }, loops))
    }

    /// Where the worker says what it was told.
    #[must_use]
    pub fn told(&self) -> Arc<watch::Sender<Told>> {
        Arc::clone(&self.told)
    }

    /// The names on them.
    #[must_use]
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// Up to which generation names and load balancing are as they were told; rises only while there are no faults.
    #[must_use]
    pub fn in_place(&self) -> watch::Receiver<Generation> {
        self.in_place.clone()
    }

    /// What was done last.
    #[must_use]
    pub fn applied(&self) -> watch::Receiver<Applied> {
        self.applied.clone()
    }

    /// The host is in no cluster.
    pub fn outside(&self) {
        self.told.send_replace(Told::Outside);
    }

    /// Waits until nothing of a host that is in no cluster is left in the kernel. What takes too long is tried again, and once
    /// more when an agent with this state folder starts.
    pub async fn cleared(&self) {
        let mut applied = self.applied.clone();
        let cleared = tokio::time::timeout(CLEAR_TIMEOUT, applied.wait_for(|applied| applied.is_clear)).await;
        if !matches!(cleared, Ok(Ok(_))) {
            tracing::warn!("networks of the cluster are not cleared away yet");
        }
    }
}
