//! One world: hosts with managers and agents, clients and an operator. It is broken for a while, then healed, and must converge.

use crate::{
    agent::{self, Record},
    bug::Bug,
    checks,
    client::{self, Client, KEY_PREFIX, KEYS},
    disk::Disk,
    engine::Engine,
    host::Host,
    manager::{self, Running, Start, addr, node_id},
    net::Net,
    operator::Operator,
    system::{self, Dice},
    witness::Witness,
};
use std::{
    collections::BTreeSet,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use swarm_manager::store::Leadership;
use swarm_session::Generation;
use swarm_state::State;
use swarm_types::{NodeState, RemoteManager, Role, TaskId, TaskState};
use tokio::sync::watch;

/// How far each host's clock goes before the next host has its turn.
const TICK: Duration = Duration::from_millis(10);
/// Managers that the cluster begins with.
const FOUNDERS: usize = 3;
/// Nodes, each of which may become a manager.
pub(crate) const NODES: usize = 5;
const CLIENTS: usize = 3;
/// The founders have to find together in this time, on a whole network.
const FOUNDING_MAX: Duration = Duration::from_secs(30);
const BREAKING: Duration = Duration::from_secs(12);
/// A healed world has to agree by then: elections, sessions, grace of nodes, updates and restarts of tasks.
const HEALING_MAX: Duration = Duration::from_secs(120);

/// The last thing that happened, for a world that stands still.
static LAST: Mutex<String> = Mutex::new(String::new());

/// The last line of the story.
pub(crate) fn last_of_story() -> String {
    LAST.lock().map_or_else(|_| String::new(), |last| last.clone())
}

/// A host: an agent, and perhaps a manager.
pub(crate) struct Place {
    pub(crate) manager: Host,
    pub(crate) agent: Host,
    pub(crate) start: Start,
    pub(crate) agent_start: agent::Start,
    /// Tells the agent of the manager on its host.
    own: watch::Sender<Vec<String>>,
    /// Whether its manager is a member, or is becoming one.
    takes_part: bool,
    /// The role that the node was told, and how new that is.
    told: (u64, Role),
    /// The newest generation in this life of the agent.
    generation: Generation,
    /// It stands still until then, as a host that swaps does.
    pub(crate) stalled_until: Duration,
    /// When it is started again.
    pub(crate) manager_back: Option<Duration>,
    pub(crate) agent_back: Option<Duration>,
}

/// How a seed went.
pub(crate) struct Report {
    acknowledged: usize,
    reads: usize,
    crashes: usize,
    changes: usize,
    applied: u64,
    lived: Duration,
    /// Of all that was seen: equal for equal seeds.
    trace: u64,
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { acknowledged, reads, crashes, changes, applied, lived, trace } = self;
        write!(
            f,
            "{acknowledged} writes stored, {reads} reads, {crashes} crashes, {changes} changes of roles, {applied} entries in \
             {lived:.1?}, trace {trace:016x}"
        )
    }
}

pub(crate) struct World {
    pub(crate) dice: Dice,
    pub(crate) net: Net,
    pub(crate) witness: Witness,
    pub(crate) places: Vec<Place>,
    clients: Host,
    clients_stop: Arc<AtomicBool>,
    operator: Operator,
    pub(crate) now: Duration,
    raft_ids: u64,
    pub(crate) crashes: usize,
    is_healing: bool,
    /// The newest committed state that any manager has.
    newest: State,
    story: Vec<String>,
}

impl World {
    pub(crate) fn new(seed: u64, bug: Option<Bug>, dir: &Path) -> Self {
        let mut dice = Dice::new(seed);
        let net = Net::new(dice.next());
        let witness = Witness::default();
        let places = (0..NODES).map(|place| Place::new(place, bug, &mut dice, &net, &witness, dir)).collect();
        let (heal, content, changes) = (Arc::default(), Arc::default(), Arc::default());
        Self {
            places,
            dice,
            operator: Operator { nodes: NODES, net: net.clone(), heal, content, changes },
            net,
            witness,
            clients: Host::default(),
            clients_stop: Arc::default(),
            now: Duration::ZERO,
            raft_ids: NODES as u64,
            crashes: 0,
            is_healing: false,
            newest: State::default(),
            story: Vec::new(),
        }
    }

    /// Founds, breaks, heals.
    ///
    /// # Errors
    /// What must not be, with what was done before.
    pub(crate) fn live(mut self) -> Result<Report, String> {
        let lived = self.found().and_then(|()| self.break_it()).and_then(|()| self.heal());
        lived.map_err(|what| format!("{what}\nat {:?}, after\n  {}", self.now, self.story.join("\n  ")))?;
        let (acknowledged, reads) = self.witness.counts();
        let (applied, trace) = (self.newest.applied(), self.witness.trace());
        let changes = self.operator.changes.load(Ordering::Relaxed);
        Ok(Report { acknowledged, reads, crashes: self.crashes, changes, applied, lived: self.now, trace })
    }

    fn found(&mut self) -> Result<(), String> {
        self.places[..FOUNDERS].iter_mut().for_each(|place| place.takes_part = true);
        for place in 0..FOUNDERS {
            self.boot_manager(place);
            let joined = Arc::clone(&self.places[place].start.joined);
            self.until(FOUNDING_MAX, "the founders did not find together", move |_| *joined.lock().expect("not poisoned"))?;
        }
        (0..NODES).for_each(|place| self.boot_agent(place));
        let knows_all = |place: &Place| place.agent_start.record.lock().expect("not poisoned").managers.len() == FOUNDERS;
        self.until(FOUNDING_MAX, "not all agents were told of the founders", |w| w.places.iter().all(knows_all))?;
        let (net, witness, stop) = (self.net.clone(), self.witness.clone(), Arc::clone(&self.clients_stop));
        let operator = self.operator.clone();
        self.clients.start(async move {
            tokio::spawn(operator.run());
            for number in 0..CLIENTS {
                let client = Client { number, managers: NODES, net: net.clone(), witness: witness.clone(), stop: Arc::clone(&stop) };
                tokio::spawn(client.run());
            }
        });
        let has_all = |w: &Self| (0..KEYS).all(|number| w.newest.service_named(&format!("{KEY_PREFIX}{number}")).is_some());
        self.until(FOUNDING_MAX, "the services were not created", has_all)
    }

    fn boot_agent(&mut self, place: usize) {
        self.net.set_power(&manager::host(place), true);
        let there = &mut self.places[place];
        (there.agent_back, there.generation) = (None, Generation::default());
        there.agent.start(agent::run(there.agent_start.clone()));
    }

    fn boot_manager(&mut self, place: usize) {
        let there = &mut self.places[place];
        there.manager_back = None;
        there.manager.start(manager::run(there.start.clone()));
        there.own.send_replace(vec![addr(place)]);
    }

    /// The process ends; what it wrote stays written.
    pub(crate) fn stop_manager(&mut self, place: usize) {
        let there = &mut self.places[place];
        there.manager.crash();
        *there.start.running.lock().expect("not poisoned") = None;
        self.net.close(&addr(place));
    }

    fn break_it(&mut self) -> Result<(), String> {
        let end = self.now + BREAKING;
        while self.now < end {
            let calm = Duration::from_millis(50 + self.dice.below(1200) as u64);
            self.fault();
            let until = self.now + calm;
            while self.now < until {
                self.step()?;
            }
        }
        Ok(())
    }

    pub(crate) fn tell(&mut self, what: String) {
        let line = format!("{:?}: {what}", self.now);
        self.witness.saw(&line);
        line.clone_into(&mut LAST.lock().expect("not poisoned"));
        self.story.push(line);
    }

    /// One tick of everybody, then the checks.
    fn step(&mut self) -> Result<(), String> {
        self.now += TICK;
        system::set_time(u64::try_from(self.now.as_nanos()).expect("a short life"));
        for place in 0..NODES {
            let due = |back: Option<Duration>, now| back.is_some_and(|at| at <= now);
            if due(self.places[place].agent_back, self.now) {
                self.tell(format!("agent {place} starts again"));
                self.boot_agent(place);
            }
            if due(self.places[place].manager_back, self.now) {
                self.places[place].manager_back = None;
                if self.places[place].takes_part {
                    self.tell(format!("manager {place} starts again"));
                    self.boot_manager(place);
                }
            }
            let there = &self.places[place];
            if there.stalled_until <= self.now {
                there.manager.run(TICK);
                there.agent.run(TICK);
                self.supervise(place);
            }
        }
        self.clients.run(TICK);
        self.check()
    }

    /// Starts and ends the manager of a host as the agent's supervisor does, by the role that the node was told.
    fn supervise(&mut self, place: usize) {
        let there = &mut self.places[place];
        if !there.agent.is_up() {
            return;
        }
        let seen = there.agent_start.seen.lock().expect("not poisoned").clone();
        if let Some(orders) = seen.and_then(|seen| seen.orders.borrow().clone())
            && orders.generation.0 > there.told.0
        {
            there.told = (orders.generation.0, orders.role);
        }
        if std::mem::take(&mut *there.start.over.lock().expect("not poisoned")) {
            // It ends, and a renewal of the certificate tells what the node is now.
            if let Some(node) = self.newest.node(node_id(place)) {
                there.told = (self.newest.applied(), node.role);
            }
            self.tell(format!("manager {place} is no member any more"));
            self.wipe_manager(place);
        } else if there.told.1 == Role::Worker && there.takes_part {
            self.tell(format!("manager {place} is told to be a worker"));
            self.wipe_manager(place);
        } else if there.told.1 == Role::Manager && !there.takes_part {
            self.tell(format!("manager {place} is promoted"));
            self.join(place);
        }
    }

    /// A node that was away while all managers that it knew were replaced finds nobody. Its operator has to tell it.
    fn introduce_lost(&mut self) {
        let is_manager = |place: &usize| {
            let node = self.newest.node(node_id(*place));
            node.is_some_and(|node| node.api.spec.role == Role::Manager && node.manager_addr.is_some())
        };
        let remote = |place| RemoteManager { node_id: node_id(place), addr: addr(place) };
        let managers: Vec<RemoteManager> = (0..NODES).filter(is_manager).map(remote).collect();
        if managers.is_empty() {
            return;
        }
        for place in 0..NODES {
            let there = &self.places[place];
            let seen = there.agent_start.seen.lock().expect("not poisoned").clone();
            let has_session = seen.is_some_and(|seen| seen.session.borrow().manager.is_some());
            let knows_one = there.agent_start.record.lock().expect("not poisoned").managers.iter().any(|m| managers.contains(m));
            if there.agent.is_up() && !has_session && !knows_one {
                self.tell(format!("agent {place} knows none of the managers any more, and is told"));
                self.places[place].agent_start.record.lock().expect("not poisoned").managers.clone_from(&managers);
                self.places[place].agent.crash();
                self.boot_agent(place);
            }
        }
    }

    /// Nothing of the manager is left on its host.
    fn wipe_manager(&mut self, place: usize) {
        self.stop_manager(place);
        let there = &mut self.places[place];
        (there.takes_part, there.manager_back) = (false, None);
        *there.start.joined.lock().expect("not poisoned") = false;
        *there.start.over.lock().expect("not poisoned") = false;
        there.start.disk.wipe();
        std::fs::remove_dir_all(&there.start.dir).expect("its folder is there");
        std::fs::create_dir_all(&there.start.dir).expect("a folder");
        there.own.send_replace(vec![]);
    }

    /// A node that is no member asks to be one, under a new id.
    fn join(&mut self, place: usize) {
        self.raft_ids += 1;
        let there = &mut self.places[place];
        let known = there.agent_start.record.lock().expect("not poisoned").managers.iter().map(|m| m.addr.clone()).collect();
        (there.start.raft_id, there.start.join, there.start.found) = (self.raft_ids, known, None);
        there.takes_part = true;
        self.boot_manager(place);
    }

    fn check(&mut self) -> Result<(), String> {
        for place in &mut self.places {
            let running = place.start.running.lock().expect("not poisoned").clone();
            if let Some(running) = running {
                if let Leadership::Own { term } = *running.store.leadership().borrow() {
                    self.witness.leads(place.start.place, term);
                }
                let state = running.store.state();
                if state.applied() > self.newest.applied() {
                    checks::check(&self.newest, &state)?;
                    self.newest = state;
                }
            }
            let seen = place.agent_start.seen.lock().expect("not poisoned").clone();
            if let Some(generation) = seen.map(|seen| seen.worker.generation()) {
                if generation < place.generation {
                    return Err(format!("node {} went back from {:?} to {generation:?}", place.start.place, place.generation));
                }
                place.generation = generation;
            }
        }
        for place in &self.places {
            for task in place.agent_start.engine.take_stopped() {
                self.was_asked_for(place.start.place, task)?;
            }
            place.agent_start.engine.violation().map_or(Ok(()), Err)?;
        }
        self.witness.violation().map_or(Ok(()), Err)
    }

    /// A running container is stopped only if the cluster has decided so, whatever becomes of managers and links.
    fn was_asked_for(&self, place: usize, task: TaskId) -> Result<(), String> {
        match self.newest.task(task) {
            Some(known) if known.desired_state <= TaskState::Running && !known.status.state.is_terminal() => {
                Err(format!("node {place} stopped the container of task {task}, which is to be {}", known.desired_state))
            }
            _ => Ok(()),
        }
    }

    fn until(&mut self, most: Duration, what: &str, mut holds: impl FnMut(&Self) -> bool) -> Result<(), String> {
        let end = self.now + most;
        while !holds(self) {
            if self.now >= end {
                return Err(format!("{what} within {most:?}"));
            }
            self.step()?;
            if self.is_healing && self.now.subsec_millis() == 0 {
                self.introduce_lost();
            }
        }
        Ok(())
    }

    fn heal(&mut self) -> Result<(), String> {
        self.tell("everything heals".to_owned());
        self.is_healing = true;
        self.net.heal_cuts();
        self.net.set_weather(0, 2);
        for place in &mut self.places {
            place.stalled_until = Duration::ZERO;
            place.agent_back = place.agent_back.map(|_| Duration::ZERO);
            place.manager_back = place.manager_back.map(|_| Duration::ZERO);
        }
        self.until(HEALING_MAX, "no leader", |w| w.running().iter().any(|r| r.store.leadership().borrow().is_own()))?;
        self.operator.heal.store(true, Ordering::Relaxed);
        let content = Arc::clone(&self.operator.content);
        self.until(HEALING_MAX, "the operator cannot make all nodes active", |_| content.load(Ordering::Relaxed))?;
        // The clients go on for a while, and what they do must work again.
        let (before, _) = self.witness.counts();
        self.until(HEALING_MAX, "writes do not work again", |w| w.witness.counts().0 > before + 5)?;
        self.clients_stop.store(true, Ordering::Relaxed);
        let converged = self.until(HEALING_MAX, "no convergence", |w| w.difference().is_none());
        converged.map_err(|what| format!("{what}: {}", self.difference().unwrap_or_default()))?;
        self.tell("all is as it should be".to_owned());
        let names: BTreeSet<String> = self.newest.configs().map(|c| c.spec.name.clone()).collect();
        self.witness.listed(&self.witness.known(), &names, "in the end");
        for number in 0..KEYS {
            let key = format!("{KEY_PREFIX}{number}");
            let reading = self.witness.begin(CLIENTS, &key);
            let service = self.newest.service_named(&key);
            self.witness.has_read(reading, service.and_then(|s| client::value_of(s)));
        }
        self.witness.check_histories()?;
        self.witness.violation().map_or(Ok(()), Err)
    }

    fn running(&self) -> Vec<Running> {
        self.places.iter().filter_map(|p| p.start.running.lock().expect("not poisoned").clone()).collect()
    }

    /// What is not yet as it should be.
    fn difference(&self) -> Option<String> {
        self.managers_differ().or_else(|| self.nodes_differ()).or_else(|| self.services_differ())
    }

    fn managers_differ(&self) -> Option<String> {
        let running = self.running();
        let wanted: Vec<usize> =
            (0..NODES).filter(|place| self.newest.node(node_id(*place)).is_some_and(|node| node.api.spec.role == Role::Manager)).collect();
        let there: Vec<usize> = (0..NODES).filter(|place| self.places[*place].takes_part).collect();
        if wanted != there {
            return Some(format!("managers are to be on {wanted:?} and are on {there:?}"));
        }
        for member in &running {
            let (raft_id, store) = (member.raft.raft_id, &member.store);
            let (state, members) = (store.state(), store.peers());
            if state.applied() != self.newest.applied() {
                return Some(format!("raft id {raft_id} has applied {} of {}", state.applied(), self.newest.applied()));
            }
            if *store.leadership().borrow() == Leadership::None {
                return Some(format!("raft id {raft_id} knows no leader"));
            }
            if members.len() != wanted.len() || members.iter().any(|m| !m.voter) || !members.iter().any(|m| m.raft_id == raft_id) {
                return Some(format!("raft id {raft_id} has the members {members:?}"));
            }
        }
        (running.len() != wanted.len()).then(|| format!("{} of {} managers run", running.len(), wanted.len()))
    }

    fn nodes_differ(&self) -> Option<String> {
        for place in &self.places {
            let number = place.start.place;
            let seen = place.agent_start.seen.lock().expect("not poisoned").clone();
            if seen.is_none_or(|seen| seen.session.borrow().manager.is_none()) {
                return Some(format!("node {number} has no session"));
            }
            let Some(node) = self.newest.node(node_id(number)) else { return Some(format!("node {number} is gone")) };
            if node.api.status.state != NodeState::Ready {
                return Some(format!("node {number} is {:?}", node.api.status.state));
            }
            let runs = |t: &&Arc<swarm_state::Task>| t.desired_state == TaskState::Running && t.status.state == TaskState::Running;
            let wanted: BTreeSet<TaskId> = self.newest.tasks_of_node(node.id()).filter(runs).map(|t| t.id).collect();
            let there: BTreeSet<TaskId> = place.agent_start.engine.running().into_iter().collect();
            if wanted != there {
                return Some(format!("on node {number} are to run {wanted:?}, and run {there:?}"));
            }
        }
        None
    }

    fn services_differ(&self) -> Option<String> {
        for number in 0..KEYS {
            let key = format!("{KEY_PREFIX}{number}");
            let Some(service) = self.newest.service_named(&key) else { return Some(format!("{key} is not there")) };
            let wanted = service.current.spec.mode.replicated.as_ref().and_then(|r| r.replicas).unwrap_or(1);
            let tasks = || self.newest.tasks_of_service(service.id).filter(|t| t.desired_state <= TaskState::Running);
            let template = self.newest.spec(service.current.template);
            // What only the managers look at, like labels of a service, is in the template too and makes no other tasks.
            let is_same = |task: &swarm_state::Task| {
                let known = self.newest.spec(task.spec).zip(template);
                known.is_some_and(|(of, wanted)| of.template == wanted.template && of.endpoint == wanted.endpoint)
            };
            let running = tasks().filter(|t| t.status.state == TaskState::Running && is_same(t)).count() as u64;
            if running != wanted || tasks().count() as u64 != wanted {
                let told: Vec<String> = tasks().map(|t| format!("{} {} {}", t.slot, t.status.state, t.status.message)).collect();
                return Some(format!("{key}: {running} of {wanted} run: {told:?}"));
            }
        }
        None
    }
}

impl Place {
    fn new(place: usize, bug: Option<Bug>, dice: &mut Dice, net: &Net, witness: &Witness, dir: &Path) -> Self {
        let folder = dir.join(place.to_string());
        std::fs::create_dir_all(&folder).expect("a folder");
        let role = |place| if place < FOUNDERS { Role::Manager } else { Role::Worker };
        let (own, own_seen) = watch::channel(vec![]);
        let lies = (bug == Some(Bug::LyingDisk)).then(|| Dice::new(dice.next()));
        let founder = RemoteManager { node_id: node_id(0), addr: addr(0) };
        let start = Start {
            place,
            raft_id: place as u64 + 1,
            disk: Disk::new(&format!("disk-{place}"), lies),
            dir: folder,
            net: net.clone(),
            witness: witness.clone(),
            bug,
            join: vec![addr(0)],
            found: (place == 0).then(|| (1..NODES).map(|p| (p, role(p))).collect()),
            running: Arc::default(),
            joined: Arc::default(),
            over: Arc::default(),
        };
        let agent_start = agent::Start {
            place,
            port: agent::port(net, place),
            engine: Engine::new(),
            record: Arc::new(Mutex::new(Record { managers: vec![founder], orders: Generation::default() })),
            own: own_seen,
            seen: Arc::default(),
            is_nervous: bug == Some(Bug::NervousAgent),
        };
        Self {
            manager: Host::default(),
            agent: Host::default(),
            start,
            agent_start,
            own,
            takes_part: false,
            told: (0, if place < FOUNDERS { Role::Manager } else { Role::Worker }),
            generation: Generation::default(),
            stalled_until: Duration::ZERO,
            manager_back: None,
            agent_back: None,
        }
    }
}
