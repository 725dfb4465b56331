//! The loop that owns the kernel side of this host's networks.
//!
//! It makes the kernel what the managers said last: when they say something else, at every look, and before a container is
//! linked. One thing is done at a time, on a thread where it may block.

use super::{
    names::Names,
    plan::{Plan, place, plan},
    told::{Member, Told},
};
use crate::error_chain::chain;
use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use swarm_dataplane::{Dataplane, Netns, Prefix, Report};
use swarm_session::{Generation, NetworkView};
use swarm_types::{NetworkId, NodeId};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep_until},
};

/// How often the kernel is compared with what it should hold, when nothing changes.
const LOOK_EVERY: Duration = Duration::from_secs(15);
/// How soon a pass with faults is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// Bytes of the largest packet towards other nodes, where no device has this node's address.
const MTU_DEFAULT: u32 = 1500;

/// What was done last.
#[derive(Debug, Clone, Default)]
pub struct Applied {
    /// The state that the kernel is made after.
    pub generation: Generation,
    /// The namespaces of the networks that this node carries.
    pub namespaces: BTreeMap<NetworkId, Netns>,
    /// Networks that this node does not carry, by id, and why.
    pub refused: BTreeMap<String, String>,
    /// What could not be done in the last pass, for operators.
    pub faults: Vec<String>,
    /// Entries that others had changed and that were put right, since the agent started.
    pub repaired: u64,
    /// Tracked connections that were forgotten since the agent started.
    pub purged: u64,
    /// The host is in no cluster, and nothing of this agent is left in the kernel.
    pub is_clear: bool,
}

/// A container's link, made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plugged {
    /// Name of the container's end, in the host's namespace.
    pub(super) link: String,
    /// The network's router.
    pub(super) gateway: Ipv4Addr,
    /// The network has no way out of the cluster.
    pub(super) internal: bool,
    /// The network carries the routing mesh.
    pub(super) ingress: bool,
}

/// A container's place on a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) network: NetworkId,
    pub(super) address: Ipv4Addr,
    pub(super) mac: [u8; 6],
    /// The engine's name for it, unlike that of any other.
    pub(super) endpoint: String,
}

/// What others ask of the loop. An answer that nobody waits for any more changes nothing about what was done.
#[derive(Debug)]
pub(super) enum Request {
    /// Make a container's link.
    Plug(Place, oneshot::Sender<Result<Plugged, String>>),
    /// Take the link of this address away.
    Unplug(NetworkId, Ipv4Addr, oneshot::Sender<Result<(), String>>),
}

/// Owns the kernel side.
pub(super) struct PlaneLoop {
    dataplane: Arc<Mutex<Dataplane>>,
    told: watch::Receiver<Told>,
    requests: mpsc::Receiver<Request>,
    applied: watch::Sender<Applied>,
    /// Up to which generation everything is in place.
    in_place: watch::Sender<Generation>,
    names: Arc<Names>,
    plan: Option<Plan>,
    /// What is in place.
    done: Option<(NodeId, NetworkView)>,
    is_clear: bool,
}

impl PlaneLoop {
    /// The networks whose names begin with `prefix`, on the host whose namespace is `host`.
    pub(super) fn new(
        prefix: Prefix,
        host: Netns,
        told: watch::Receiver<Told>,
        requests: mpsc::Receiver<Request>,
        applied: watch::Sender<Applied>,
        in_place: watch::Sender<Generation>,
        names: Arc<Names>,
    ) -> Self {
        let dataplane = Arc::new(Mutex::new(Dataplane::new(prefix, host)));
        Self { dataplane, told, requests, applied, in_place, names, plan: None, done: None, is_clear: false }
    }

    /// Runs until nobody can ask or tell any more. Everything in the kernel stays: containers go on.
    pub(super) async fn run(mut self) {
        let mut look_at = Instant::now();
        loop {
            tokio::select! {
                // What was told goes first: a task's networks are told before its container asks for a link.
                biased;
                changed = self.told.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    if !self.skip() {
                        look_at = self.look().await;
                    }
                }
                request = self.requests.recv() => match request {
                    Some(request) => self.serve(request).await,
                    None => return,
                },
                () = sleep_until(look_at) => look_at = self.look().await,
            }
        }
    }

    /// Whether what was told last says nothing new of networks, and everything is in place.
    fn skip(&mut self) -> bool {
        let told = self.told.borrow_and_update().clone();
        let (Told::Member(member), Some((node, view))) = (told, &self.done) else { return false };
        if *node != member.node || !is_same(view, &member.view) {
            return false;
        }
        self.names.publish(&self.told);
        self.in_place.send_replace(member.generation);
        self.applied.send_modify(|applied| applied.generation = member.generation);
        true
    }

    /// Makes the kernel what was told last. When to look again.
    async fn look(&mut self) -> Instant {
        let told = self.told.borrow_and_update().clone();
        // Who is no longer in service loses its names before its place in the kernel, and before anybody hears that it lost both.
        self.names.publish(&self.told);
        let is_well = match told {
            Told::Unknown => true,
            Told::Outside => self.clear().await,
            Told::Member(member) => self.ensure(member).await,
        };
        Instant::now() + if is_well { LOOK_EVERY } else { RETRY_AFTER }
    }

    async fn clear(&mut self) -> bool {
        self.plan = None;
        self.done = None;
        if !self.is_clear {
            // Its sockets would keep the namespaces.
            self.names.close();
            let cleared = self.blocking(Dataplane::clear).await;
            self.is_clear = cleared.is_ok();
            let faults = cleared.err().map(|error| chain(&error)).into_iter().collect();
            self.publish(Applied { faults, is_clear: self.is_clear, ..Applied::default() });
        }
        self.is_clear
    }

    async fn ensure(&mut self, member: Member) -> bool {
        self.is_clear = false;
        self.applied.send_modify(|applied| applied.is_clear = false);
        let generation = member.generation;
        let wanted = (member.node, member.view.clone());
        let names = Arc::clone(&self.names);
        let done = self.blocking(move |dataplane| pass(dataplane, &names, &member)).await;
        let mut applied = self.applied.borrow().clone();
        match done {
            Ok(Pass { plan, report, namespaces }) => {
                if report.repaired > 0 {
                    tracing::warn!(entries = report.repaired, "entries of cluster networks had been changed by others and were put right");
                }
                applied.generation = generation;
                applied.namespaces = namespaces;
                applied.refused.clone_from(&plan.refused);
                applied.faults = plan.refused.values().cloned().chain(report.faults).collect();
                applied.repaired += u64::try_from(report.repaired).unwrap_or(u64::MAX);
                applied.purged += u64::try_from(report.purged).unwrap_or(u64::MAX);
                self.plan = Some(plan);
            }
            Err(fault) => applied.faults = vec![fault],
        }
        let is_well = applied.generation == generation && applied.faults.len() == applied.refused.len();
        // With faults a task may still get new connections: managers then wait their longest before they stop one.
        self.done = is_well.then_some(wanted);
        if is_well {
            self.in_place.send_replace(generation);
        }
        self.publish(applied);
        is_well
    }

    /// Tells what was done; faults go to the log once.
    fn publish(&self, applied: Applied) {
        let known = self.applied.borrow().faults.clone();
        for fault in applied.faults.iter().filter(|fault| !known.contains(fault)) {
            tracing::warn!(fault, "cluster networks are not as they should be");
        }
        self.applied.send_replace(applied);
    }

    async fn serve(&mut self, request: Request) {
        match request {
            Request::Plug(place, reply) => drop(reply.send(self.plug(place).await)),
            Request::Unplug(network, address, reply) => {
                let unplugged = self.blocking(move |dataplane| dataplane.unplug(&network.to_string(), address)).await;
                drop(reply.send(unplugged.map_err(|error| chain(&error))));
            }
        }
    }

    async fn plug(&mut self, place: Place) -> Result<Plugged, String> {
        let id = place.network.to_string();
        let is_carried = |plan: &Option<Plan>| plan.as_ref().is_some_and(|plan| plan.desired.networks.contains_key(&id));
        let is_there = self.blocking({
            let id = id.clone();
            move |dataplane| dataplane.namespace(&id).is_ok()
        });
        // After a boot nothing is there yet.
        if !is_there.await || !is_carried(&self.plan) {
            self.look().await;
        }
        let Some(network) = self.plan.as_ref().and_then(|plan| plan.desired.networks.get(&id)) else {
            let refused = self.plan.as_ref().and_then(|plan| plan.refused.get(&id)).cloned();
            let faults = || self.applied.borrow().faults.join("; ");
            return Err(refused.unwrap_or_else(|| format!("this node does not carry network {id} {}", faults()).trim_end().to_owned()));
        };
        if !network.subnet.contains(place.address) {
            return Err(format!("address {} is not one of network {id}", place.address));
        }
        let (mtu, gateway) = (network.mtu, network.gateway);
        let (internal, ingress) = self.traits_of(place.network);
        let plugged = self.blocking(move |dataplane| {
            let Place { network, address, mac, endpoint } = place;
            dataplane.plug(&network.to_string(), address, &endpoint, Some(mac), mtu)
        });
        let link = plugged.await.map_err(|error| chain(&error))?;
        Ok(Plugged { link, gateway, internal, ingress })
    }

    /// Whether a network is internal, and whether it carries the mesh.
    fn traits_of(&self, network: NetworkId) -> (bool, bool) {
        let told = self.told.borrow();
        let table = told.member().and_then(|member| member.view.tables.get(&network));
        table.map_or((false, false), |table| (table.network.internal, table.network.ingress))
    }

    /// Runs what blocks on a thread for it.
    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce(&mut Dataplane) -> T + Send + 'static) -> T {
        let dataplane = Arc::clone(&self.dataplane);
        let done = tokio::task::spawn_blocking(move || {
            // A pass that panicked has not spoilt what the next one starts from: it compares with the kernel.
            work(&mut dataplane.lock().unwrap_or_else(PoisonError::into_inner))
        });
        match done.await {
            Ok(done) => done,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => std::future::pending().await, // The runtime is going down, and this loop with it.
            },
        }
    }
}

/// Whether both were told the same: what did not change stays the same allocation.
fn is_same(a: &NetworkView, b: &NetworkView) -> bool {
    let tables = |view: &NetworkView| view.tables.values().map(Arc::as_ptr).collect::<Vec<_>>();
    tables(a) == tables(b) && Arc::ptr_eq(&a.nodes, &b.nodes) && a.data_path_port == b.data_path_port
}

struct Pass {
    plan: Plan,
    report: Report,
    namespaces: BTreeMap<NetworkId, Netns>,
}

fn pass(dataplane: &mut Dataplane, names: &Names, member: &Member) -> Result<Pass, String> {
    // Where the network is there already, as after the agent's start, its tasks wait for answers.
    for fault in names.listen(&member.view) {
        tracing::debug!(fault, "names cannot be answered yet");
    }
    let (_, vtep) = place(member.node, &member.view).map_err(|error| error.to_string())?;
    let underlay = dataplane.underlay_mtu(vtep).map_err(|error| chain(&error))?;
    let plan = plan(member.node, &member.view, underlay.unwrap_or(MTU_DEFAULT)).map_err(|error| error.to_string())?;
    let mut report = dataplane.ensure(&plan.desired);
    report.faults.extend(names.listen(&member.view));
    let carried = member.view.tables.keys().filter_map(|id| Some((*id, dataplane.namespace(&id.to_string()).ok()?)));
    let namespaces = carried.collect();
    Ok(Pass { plan, report, namespaces })
}
