//! One member of the consensus group: opens the log, runs openraft, and gives out the [`Store`].

use super::{
    Member, Raft, TypeConfig, compaction,
    network::Network,
    proposer::Proposer,
    state_machine::{LoadError, StateMachine, save},
    step_aside,
};
use crate::{
    blocking,
    peer::{PeerError, Peers},
    room::{NoRoom, Room},
    store::{Leadership, Log, LogFuture, Peer, ProposeError, Publisher, ReadError, Store},
};
use futures_util::{StreamExt, stream::FuturesUnordered};
use http::StatusCode;
use openraft::{
    Config, RaftMetrics, ServerState, Snapshot, SnapshotPolicy, StorageError, Vote,
    error::{CheckIsLeaderError, Fatal, RaftError},
    raft::SnapshotResponse,
    storage::{RaftLogReader, RaftLogStorage, RaftStateMachine},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroUsize,
    path::Path,
    sync::Arc,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use swarm_raftlog::{Keys, LogError, LogStatus, LogUsage, RaftLog, SnapshotError, SnapshotStore};
use swarm_state::Batch;
use swarm_types::{RemoteManager, Version};
use tokio::sync::{Notify, watch};

/// A proposal or a linearizable read that no majority confirms fails after this time.
pub const QUORUM_TIMEOUT: Duration = Duration::from_secs(8);
/// A leader that no majority has answered for this time leads nobody: others may have elected another one long ago.
const QUORUM_LOST_AFTER_MS: u64 = 3_000;
/// A learner that lags by no more entries than this is made a voter.
const CATCH_UP_LAG_MAX: u64 = 100;
/// A member that has known no leader for this time asks whether it still is one. Longer than an election takes.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(3);
/// A manager without contact to its leader asks for the read index again after this pause.
const READ_INDEX_RETRY: Duration = Duration::from_millis(100);

/// Times and bounds of consensus. The defaults suit a LAN: failover is the lease (= `election_ms.1`) plus a random election
/// timeout, about 0.9 s, and no false election was seen on a loaded machine.
#[derive(Debug, Clone)]
pub struct Tuning {
    /// Between two heartbeats; also how long an append may take before it is sent again.
    pub heartbeat_ms: u64,
    /// A follower without a heartbeat for a random time in this range stands for election.
    pub election_ms: (u64, u64),
    /// Log entries between two snapshots.
    pub snapshot_interval: u64,
    /// Entries kept behind a snapshot for slow followers.
    pub entries_for_slow_followers: u64,
    /// Older snapshots kept.
    pub old_snapshots: u64,
}

impl Default for Tuning {
    fn default() -> Self {
        Self { heartbeat_ms: 100, election_ms: (300, 500), snapshot_interval: 10_000, entries_for_slow_followers: 500, old_snapshots: 0 }
    }
}

/// Why consensus could not be started.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The log.
    #[error("could not open the log")]
    Log(#[from] LogError),
    /// The snapshot files.
    #[error("could not open the snapshots")]
    Snapshots(#[from] SnapshotError),
    /// The newest snapshot.
    #[error("could not load the state")]
    Load(#[from] LoadError),
    /// The log begins after the newest snapshot ends: the member cannot be restored from its own disk.
    #[error("the log begins at {purged} but the newest snapshot ends at {snapshot}")]
    Gap {
        /// Last purged index.
        purged: u64,
        /// Last index in the snapshot.
        snapshot: u64,
    },
    /// openraft refused.
    #[error("could not start consensus: {0}")]
    Raft(String),
}

/// A running member.
#[derive(Clone)]
pub struct RaftNode {
    /// openraft's handle.
    pub raft: Raft,
    /// Its id in Raft.
    pub raft_id: u64,
    /// Connections to the other managers.
    pub peers: Arc<Peers>,
    store: Store,
    log_status: watch::Receiver<LogStatus>,
    /// Somebody says that this member was taken out.
    told_out: Arc<Notify>,
    /// Room on the disk of the state folder.
    pub room: Room,
    pub(super) snapshots: Arc<SnapshotStore<TypeConfig>>,
    pub(super) log_usage: LogUsage,
    /// What the last leader's snapshot that did not fit took until then; zero if it did.
    snapshot_bytes: Arc<AtomicU64>,
}

impl RaftNode {
    /// Opens the member's state in `dir` and starts consensus. The member takes part once it is initialized or added.
    ///
    /// # Errors
    /// [`OpenError`]
    pub async fn open(dir: &Path, keys: &Keys, raft_id: u64, peers: Arc<Peers>, tuning: &Tuning) -> Result<Self, OpenError> {
        let log = RaftLog::<TypeConfig>::open(dir, keys).await?;
        Self::open_on(log, dir, keys, raft_id, peers, tuning).await
    }

    /// Like [`open`](Self::open), over a log that the caller opened; snapshots are in `dir`.
    ///
    /// # Errors
    /// [`OpenError`]
    pub async fn open_on(
        mut log: RaftLog<TypeConfig>,
        dir: &Path,
        keys: &Keys,
        raft_id: u64,
        peers: Arc<Peers>,
        tuning: &Tuning,
    ) -> Result<Self, OpenError> {
        let keep = usize::try_from(tuning.old_snapshots).unwrap_or(usize::MAX).saturating_add(1);
        let keep = NonZeroUsize::new(keep).unwrap_or(NonZeroUsize::MIN);
        let snapshots = Arc::new(SnapshotStore::open(dir, keys, keep)?);
        let room = Room::new(dir);
        let (log_status, log_usage) = (log.status(), log.usage());
        let machine = match load_machine(Arc::clone(&snapshots), &room, &mut log).await {
            Ok(machine) => machine,
            Err(error) => {
                // Whoever is told may open the folder again at once.
                let mut status = log.status();
                drop(log);
                let _ = status.wait_for(|s| matches!(s, LogStatus::Closed(_))).await;
                return Err(error);
            }
        };
        let publisher = machine.publisher();
        let config = Config {
            cluster_name: "swarm".into(),
            heartbeat_interval: tuning.heartbeat_ms,
            election_timeout_min: tuning.election_ms.0,
            election_timeout_max: tuning.election_ms.1,
            install_snapshot_timeout: 5_000,
            snapshot_policy: SnapshotPolicy::LogsSinceLast(tuning.snapshot_interval.max(1)),
            max_in_snapshot_log_to_keep: tuning.entries_for_slow_followers,
            // As many as are kept: then the log is never longer than twice that behind a snapshot.
            purge_batch_size: tuning.entries_for_slow_followers.clamp(1, 2_000),
            max_payload_entries: 64,
            replication_lag_threshold: CATCH_UP_LAG_MAX,
            ..Config::default()
        };
        let config = config.validate().map_err(|e| OpenError::Raft(e.to_string()))?;
        let network = Network { raft_id, peers: Arc::clone(&peers) };
        let raft = Raft::new(raft_id, Arc::new(config), network, log, machine).await.map_err(|e| OpenError::Raft(e.to_string()))?;
        let told_out = Arc::new(Notify::new());
        let store = store_over(&raft, raft_id, &publisher, Arc::clone(&peers), Arc::clone(&told_out), room.clone());
        let snapshot_bytes = Arc::default();
        let node = Self { raft, raft_id, peers, store, log_status, told_out, room, snapshots, log_usage, snapshot_bytes };
        tokio::spawn(compaction::keep_small(node.clone()));
        tokio::spawn(step_aside::keep_out_of_the_way(node.clone()));
        Ok(node)
    }

    /// The replicated state.
    #[must_use]
    pub fn store(&self) -> Store {
        self.store.clone()
    }

    /// Whether a leader's snapshot may be received: one that did not fit would be sent in vain again and again.
    ///
    /// # Errors
    /// [`NoRoom`]
    pub fn check_room_for_snapshot(&self) -> Result<(), NoRoom> {
        self.room.check(self.snapshot_bytes.load(Ordering::Relaxed))
    }

    /// Remembers what a leader's snapshot took, if it did not fit.
    pub fn snapshot_received(&self, bytes: u64, fitted: bool) {
        self.snapshot_bytes.store(if fitted { 0 } else { bytes }, Ordering::Relaxed);
    }

    /// Ends when this member does not lead, or consensus stops.
    pub(super) async fn deposed(&self) {
        let mut metrics = self.raft.metrics();
        // With consensus gone it does not lead either.
        let _ = metrics.wait_for(|m| m.state != ServerState::Leader).await;
    }

    /// Takes a leader's snapshot: writes it down, then hands it to consensus.
    ///
    /// In this order because openraft purges the log up to a snapshot without waiting for it to be installed: a crash in between
    /// would leave neither. A snapshot holds committed entries only, so having one that consensus did not take is harmless.
    ///
    /// # Errors
    /// When consensus has stopped, or the disk refuses.
    pub async fn install_snapshot(
        &self,
        vote: Vote<u64>,
        snapshot: Snapshot<TypeConfig>,
    ) -> Result<Result<SnapshotResponse<u64>, Fatal<u64>>, StorageError<u64>> {
        let applied = self.raft.metrics().borrow().last_applied;
        if snapshot.meta.last_log_id > applied {
            save(&self.snapshots, &snapshot.meta, &snapshot.snapshot.0, &self.room).await?;
        }
        Ok(self.raft.install_full_snapshot(vote, snapshot).await)
    }

    /// Makes a group of this member alone. Does nothing if it is in a group already.
    ///
    /// # Errors
    /// openraft's message.
    pub async fn initialize(&self, member: Member) -> Result<(), OpenError> {
        let failed = |e: &dyn std::fmt::Display| OpenError::Raft(e.to_string());
        if self.raft.is_initialized().await.map_err(|e| failed(&e))? {
            return Ok(());
        }
        self.raft.initialize(BTreeMap::from([(self.raft_id, member)])).await.map_err(|e| failed(&e))
    }

    /// Whether Raft's membership, as far as this member knows it, has it as a voter.
    #[must_use]
    pub fn is_voter(&self) -> bool {
        let metrics = self.raft.metrics();
        metrics.borrow().membership_config.membership().voter_ids().any(|id| id == self.raft_id)
    }

    /// Whether it leads and is in the group that it leads.
    pub(super) fn is_leading_member(&self) -> bool {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        metrics.state == ServerState::Leader && metrics.membership_config.membership().get_node(&self.raft_id).is_some()
    }

    /// Waits until this member itself knows, for good, that it is in the group. Others may know it earlier: while it reads the
    /// group's past, it meets memberships without itself.
    pub async fn until_member(&self) -> Result<(), OpenError> {
        let mut metrics = self.raft.metrics();
        let known = metrics.wait_for(|m| m.membership_config.membership().get_node(&self.raft_id).is_some() && is_settled(m));
        known.await.map(|_| ()).map_err(|_| OpenError::Raft("consensus stopped".into()))
    }

    /// Somebody says that this member was taken out of the group. It does not believe that, but asks the leader at once.
    pub fn told_out(&self) {
        self.told_out.notify_one();
    }

    /// Ends when the group, as its leader says, has no member of this id any more. The log does not tell a member of its end,
    /// since nobody sends it the entry that takes it out: it asks when it begins, when it is told to, and whenever it has known no
    /// leader for a while.
    pub async fn forgotten(&self) {
        while !self.is_forgotten().await {
            // Both are cancel-safe.
            tokio::select! {
                () = self.leaderless() => {}
                () = self.told_out.notified() => {}
            }
        }
    }

    /// Ends when no leader was known for [`FORGOTTEN_AFTER`]; never when consensus stops, because there is nothing to ask for.
    async fn leaderless(&self) {
        let mut leadership = self.store.leadership();
        loop {
            if leadership.wait_for(|l| *l == Leadership::None).await.is_err() {
                return std::future::pending().await;
            }
            let led = tokio::time::timeout(FORGOTTEN_AFTER, leadership.wait_for(|l| *l != Leadership::None)).await;
            match led.map(|led| led.map(|_| ())) {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return std::future::pending().await,
                Err(_) => return,
            }
        }
    }

    /// Asks all others at a time, since only the one that leads can tell.
    async fn is_forgotten(&self) -> bool {
        let ask = |addr: String| async move {
            let asked = self.peers.call::<_, bool>(&addr, "/raft/is-member", &self.raft_id);
            match tokio::time::timeout(QUORUM_TIMEOUT, asked).await {
                Ok(Ok(is_member)) => return Some(is_member),
                Ok(Err(error)) => tracing::debug!(%error, "a manager does not say whether this one is a member"),
                Err(_) => tracing::debug!(addr, "a manager did not say in time whether this one is a member"),
            }
            None
        };
        let others = self.store.peers().into_iter().filter(|p| p.raft_id != self.raft_id);
        let mut answers: FuturesUnordered<_> = others.map(|p| ask(p.addr)).collect();
        while let Some(answer) = answers.next().await {
            if let Some(is_member) = answer {
                return !is_member;
            }
        }
        false
    }

    /// Whether the group has a member of this id, as its leader knows for good: a membership that is not committed yet does not
    /// count, since another leader may not have it.
    ///
    /// # Errors
    /// [`ReadError::NoLeader`] when this manager does not lead, or no majority confirms in time that it does.
    pub async fn has_member(&self, raft_id: u64) -> Result<bool, ReadError> {
        let known = async {
            let index = leader_read_index(&self.raft, &self.store.leadership()).await?;
            let mut metrics = self.raft.metrics();
            let settled = metrics.wait_for(|m| m.last_applied.is_some_and(|l| l.index >= index) && is_settled(m)).await;
            let metrics = settled.map_err(|_| ReadError::Closed("consensus stopped".into()))?;
            Ok(metrics.membership_config.membership().get_node(&raft_id).is_some())
        };
        tokio::time::timeout(QUORUM_TIMEOUT, known).await.unwrap_or(Err(ReadError::NoLeader))
    }

    /// The ids of all voters while a change of theirs is half done: until it is finished, a majority of the old ones and one of
    /// the new ones are needed for everything.
    #[must_use]
    pub fn half_changed_voters(&self) -> Option<BTreeSet<u64>> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        let membership = metrics.membership_config.membership();
        (membership.get_joint_config().len() > 1).then(|| membership.voter_ids().collect())
    }

    /// Ends when this member knows by its log, for good, that it is none. With whoever took itself out it is so: it led until
    /// then. Had it gone before the others have the entry too, they would wait for its vote.
    ///
    /// # Errors
    /// When consensus stops.
    pub async fn expelled(&self) -> Result<(), OpenError> {
        let mut metrics = self.raft.metrics();
        let expelled = metrics.wait_for(|m| {
            let membership = m.membership_config.membership();
            membership.nodes().next().is_some() && membership.get_node(&self.raft_id).is_none() && is_settled(m)
        });
        expelled.await.map(|_| ()).map_err(|_| OpenError::Raft("consensus stopped".into()))
    }

    /// Ends when the member cannot go on: its log failed, or consensus stopped by itself. With the reason.
    pub async fn failed(&self) -> String {
        let mut log = self.log_status.clone();
        let mut metrics = self.raft.metrics();
        tokio::select! {
            status = log.wait_for(|s| matches!(s, LogStatus::Failed(_) | LogStatus::Closed(_))) => match status.as_deref() {
                Ok(LogStatus::Failed(error) | LogStatus::Closed(Some(error))) => crate::chain(&**error),
                _ => "the log was closed".to_owned(),
            },
            stopped = metrics.wait_for(|m| m.running_state.is_err()) => match stopped.as_deref() {
                Ok(metrics) => metrics.running_state.as_ref().err().map_or_else(String::new, ToString::to_string),
                Err(_) => "consensus stopped".to_owned(),
            },
        }
    }

    /// Stops consensus; what was acknowledged is on disk already.
    pub async fn shutdown(&self) {
        if let Err(error) = self.raft.shutdown().await {
            tracing::warn!(%error, "consensus did not stop in order");
        }
    }
}

/// Whether the newest membership that a member knows is committed.
fn is_settled(metrics: &RaftMetrics<u64, Member>) -> bool {
    metrics.last_applied >= *metrics.membership_config.log_id()
}

/// The state machine as it is on disk.
async fn load_machine(
    snapshots: Arc<SnapshotStore<TypeConfig>>,
    room: &Room,
    log: &mut RaftLog<TypeConfig>,
) -> Result<StateMachine, OpenError> {
    let failed = |e: &dyn std::fmt::Display| OpenError::Raft(e.to_string());
    let (held, room) = (log.held(), room.clone());
    let machine = blocking::run(move || StateMachine::load(snapshots, room, &held)).await;
    let mut machine = machine.map_err(|e| failed(&e))??;
    // A crash between writing a leader's snapshot and handing it to consensus leaves the log as it was. Where the two differ,
    // the snapshot is what was committed.
    if let (Some(last), _) = machine.applied_state().await.map_err(|e| failed(&e))? {
        let logged = log.try_get_log_entries(last.index..=last.index).await.map_err(|e| failed(&e))?;
        if logged.first().is_some_and(|entry| entry.log_id != last) {
            log.truncate(last).await.map_err(|e| failed(&e))?;
        }
    }
    let (purged, held) = (log.last_purged().map_or(0, |l| l.index), machine.publisher().state().applied());
    if purged > held { Err(OpenError::Gap { purged, snapshot: held }) } else { Ok(machine) }
}

fn store_over(raft: &Raft, raft_id: u64, publisher: &Publisher, peers: Arc<Peers>, told_out: Arc<Notify>, room: Room) -> Store {
    let leadership = watch::Sender::new(Leadership::None);
    let receiver = leadership.subscribe();
    tokio::spawn(watch_leadership(raft.clone(), raft_id, leadership));
    let (leads, proposer) = (receiver.clone(), Proposer::start(raft.clone(), room));
    let log = RaftBackedLog { proposer, raft: raft.clone(), raft_id, peers, told_out, leads };
    Store::new(publisher, receiver, Arc::new(log))
}

async fn watch_leadership(raft: Raft, raft_id: u64, leadership: watch::Sender<Leadership>) {
    let mut metrics = raft.metrics();
    // The term this member leads in, and the end of its log when that was first seen. A leader that was restarted goes on in
    // its old term, and must apply again what it acknowledged before.
    let mut began: Option<(u64, u64)> = None;
    loop {
        let now = {
            let metrics = metrics.borrow_and_update();
            if metrics.state != ServerState::Leader {
                began = None;
            } else if began.is_none_or(|(term, _)| term != metrics.current_term) {
                began = Some((metrics.current_term, metrics.last_log_index.unwrap_or(0)));
            }
            let applied = metrics.last_applied.map_or(0, |l| l.index);
            match leadership_of(&metrics, raft_id) {
                Leadership::Own { .. } if began.is_none_or(|(_, end)| applied < end) => Leadership::None,
                known => known,
            }
        };
        leadership.send_if_modified(|old| {
            let changed = *old != now;
            if changed {
                tracing::info!(leader = ?now, "leadership changed");
                *old = now;
            }
            changed
        });
        if metrics.changed().await.is_err() {
            leadership.send_replace(Leadership::None);
            return;
        }
    }
}

fn leadership_of(metrics: &RaftMetrics<u64, Member>, raft_id: u64) -> Leadership {
    match metrics.current_leader {
        Some(id) if id == raft_id => {
            // Until an entry of its own term is applied, a new leader may lack writes that its predecessor acknowledged.
            let caught_up = metrics.last_applied.is_some_and(|l| l.leader_id.term == metrics.current_term);
            let is_alone = metrics.membership_config.membership().voter_ids().take(2).count() < 2;
            let is_heard = is_alone || metrics.millis_since_quorum_ack.is_some_and(|since| since < QUORUM_LOST_AFTER_MS);
            if metrics.state == ServerState::Leader && caught_up && is_heard {
                Leadership::Own { term: metrics.current_term }
            } else {
                Leadership::None
            }
        }
        // Who is out is led by nobody, and hears of no other leader any more.
        Some(_) if metrics.membership_config.membership().get_node(&raft_id).is_none() => Leadership::None,
        Some(id) => match metrics.membership_config.membership().get_node(&id) {
            Some(member) => Leadership::Other(RemoteManager { node_id: member.node_id, addr: member.addr.clone() }),
            None => Leadership::None,
        },
        None => Leadership::None,
    }
}

struct RaftBackedLog {
    raft: Raft,
    raft_id: u64,
    proposer: Proposer,
    peers: Arc<Peers>,
    told_out: Arc<Notify>,
    leads: watch::Receiver<Leadership>,
}

/// Body of `POST /raft/read-index`.
#[derive(Debug, Serialize, Deserialize)]
pub struct ReadIndexRequest {
    /// The member that asks. One that is none hears so, since it waits in vain for what it reads.
    #[serde(default)]
    pub raft_id: Option<u64>,
}

impl RaftBackedLog {
    async fn read_index_once(&self) -> Result<u64, ReadError> {
        let own = self.raft.metrics().borrow().current_leader == Some(self.raft_id);
        if own {
            return leader_read_index(&self.raft, &self.leads).await;
        }
        let leader = leadership_of(&self.raft.metrics().borrow(), self.raft_id);
        let Leadership::Other(leader) = leader else { return Err(ReadError::NoLeader) };
        let mut metrics = self.raft.metrics();
        let asked = metrics.borrow().current_leader;
        let request = ReadIndexRequest { raft_id: Some(self.raft_id) };
        let answer = tokio::select! {
            answer = self.peers.call::<_, u64>(&leader.addr, "/raft/read-index", &request) => answer,
            // A leader that fell silent is replaced long before its connection breaks.
            _ = metrics.wait_for(|m| m.current_leader != asked) => return Err(ReadError::NoLeader),
        };
        answer.map_err(|error| {
            tracing::debug!(%error, "the leader gave no read index");
            match error {
                PeerError::Status { status: StatusCode::GONE, message, .. } => {
                    self.told_out.notify_one();
                    ReadError::Closed(message)
                }
                _ => ReadError::NoLeader,
            }
        })
    }
}

/// An index that holds every write acknowledged before the call; confirmed by a majority.
///
/// openraft alone does not know one right after a leader was restarted: it goes on in its old term without an entry of its own
/// there, and what it acknowledged last it may not have noted as committed. Our own leadership begins after all that is applied.
///
/// # Errors
/// [`ReadError::NoLeader`] when this manager does not lead or no majority answers.
pub async fn leader_read_index(raft: &Raft, leads: &watch::Receiver<Leadership>) -> Result<u64, ReadError> {
    if !leads.borrow().is_own() {
        return Err(ReadError::NoLeader);
    }
    match raft.get_read_log_id().await {
        Ok((read, _applied)) => Ok(read.map_or(0, |l| l.index)),
        Err(RaftError::APIError(CheckIsLeaderError::ForwardToLeader(_) | CheckIsLeaderError::QuorumNotEnough(_))) => {
            Err(ReadError::NoLeader)
        }
        Err(RaftError::Fatal(fatal)) => Err(ReadError::Closed(fatal.to_string())),
    }
}

impl Log for RaftBackedLog {
    fn propose(&self, batch: Batch) -> LogFuture<'_, Result<Version, ProposeError>> {
        Box::pin(async move {
            match tokio::time::timeout(QUORUM_TIMEOUT, self.proposer.propose(batch)).await {
                Ok(result) => result,
                Err(_) => Err(ProposeError::NoQuorum),
            }
        })
    }

    fn read_index(&self) -> LogFuture<'_, Result<u64, ReadError>> {
        Box::pin(async move {
            let deadline = tokio::time::Instant::now() + QUORUM_TIMEOUT;
            loop {
                match tokio::time::timeout_at(deadline, self.read_index_once()).await {
                    Ok(Ok(index)) => return Ok(index),
                    Ok(Err(ReadError::Closed(reason))) => return Err(ReadError::Closed(reason)),
                    Err(_) => return Err(ReadError::NoLeader),
                    // An election may be under way: ask again when the metrics change, at the latest after the pause.
                    Ok(Err(ReadError::NoLeader)) => {
                        let mut metrics = self.raft.metrics();
                        metrics.borrow_and_update();
                        let _ = tokio::time::timeout(READ_INDEX_RETRY, metrics.changed()).await;
                        if tokio::time::Instant::now() >= deadline {
                            return Err(ReadError::NoLeader);
                        }
                    }
                }
            }
        })
    }

    fn peers(&self) -> Vec<Peer> {
        let metrics = self.raft.metrics().borrow().clone();
        let membership = metrics.membership_config.membership();
        let leads = metrics.state == ServerState::Leader;
        let voters: Vec<u64> = membership.voter_ids().collect();
        let peer = |(id, member): (&u64, &Member)| Peer {
            node_id: member.node_id,
            raft_id: *id,
            addr: member.addr.clone(),
            voter: voters.contains(id),
            leader: metrics.current_leader == Some(*id),
            reachable: if *id == self.raft_id {
                Some(true)
            } else if leads {
                Some(self.peers.answered(&member.addr).unwrap_or(false))
            } else {
                None
            },
        };
        membership.nodes().map(peer).collect()
    }
}
