//! What a restarted agent has to know: the assignment, and a record per task. In sled.
//!
//! It is a cache. Managers have the assignment, the engine has the containers with their tasks' ids on them, so whatever
//! is lost or unreadable here is found again, and the worst a lost record costs is a report without its first words. So
//! writes are not waited for: they reach the disk within [`FLUSH_EVERY`]. A database that cannot be read is set aside
//! and begun anew: an agent that does not start would be worse than one that has forgotten.

use super::record::{RecordsById, TaskRecord};
use crate::executor::NodeContext;
use serde::{Serialize, de::DeserializeOwned};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};
use swarm_session::{
    AgentView, AssignedTask, Generation, NetworkEndpoint, NetworkService, NetworkTable, NetworkView, NodeNetwork, SharedSpec,
};
use swarm_types::{NetworkId, NodeId, SpecId, TaskId};

/// Longest time that a change is only in memory. A crash in between loses what can be found again.
pub(super) const FLUSH_EVERY: Duration = Duration::from_millis(200);

/// How long to wait for a database that is in use. An opening that was given up goes on to its end beside us, and sled's own
/// threads hold the lock for some milliseconds after it was closed.
const LOCK_WAIT: Duration = Duration::from_secs(2);
const LOCK_RETRY: Duration = Duration::from_millis(10);

/// Memory for pages; a node's records are far smaller.
const CACHE_BYTES: u64 = 4 << 20;

/// The records cannot be opened or written.
#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    /// The folder cannot be used, or another agent uses it.
    #[error("could not open the task records in {path}")]
    Open {
        /// The folder.
        path: PathBuf,
        /// What the database said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The database refused a change.
    #[error("could not write task records")]
    Write(#[from] sled::Error),
    /// A value could not be encoded.
    #[error("could not encode a task record")]
    Encode(#[from] rmp_serde::encode::Error),
    /// Data did not reach the disk.
    #[error("could not write task records to disk")]
    Sync(#[from] std::io::Error),
}

/// What was found on disk.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Found {
    pub(super) view: AgentView,
    pub(super) records: RecordsById,
    pub(super) node: Option<NodeContext>,
}

/// The database. Cloning is cheap.
#[derive(Clone)]
pub(super) struct Records {
    /// `None` keeps nothing.
    disk: Option<Disk>,
}

#[derive(Clone)]
struct Disk {
    db: sled::Db,
    dir: PathBuf,
}

const OWNER: &str = "owner";
const NODE: &str = "node";
const GENERATION: &str = "generation";
const SPEC: &str = "spec/";
const TASK: &str = "task/";
const RECORD: &str = "record/";
/// A network, without what is on it.
const NETWORK: &str = "network/";
const ENDPOINT: &str = "endpoint/";
const SERVICE: &str = "service/";
const DATA_PATH_NODES: &str = "data-path-nodes";
const DATA_PATH_PORT: &str = "data-path-port";

impl Records {
    /// Records of a worker that is never restarted: nothing is kept.
    pub(super) fn nowhere() -> Self {
        Self { disk: None }
    }

    /// Whether there is a disk that they have to reach.
    pub(super) fn are_kept(&self) -> bool {
        self.disk.is_some()
    }

    /// Opens the records of `owner` in `dir`. Those of another node are dropped. Blocks on the disk.
    pub(super) fn open(dir: &Path, owner: NodeId) -> Result<(Self, Found), RecordsError> {
        let refused = |source: Box<dyn std::error::Error + Send + Sync>| RecordsError::Open { path: dir.to_owned(), source };
        fs::create_dir_all(dir).map_err(|error| refused(error.into()))?;
        match Self::read_unlocked(dir, owner) {
            Ok(opened) => return Ok(opened),
            Err(Unreadable::Busy(error)) => return Err(refused(error.into())),
            Err(Unreadable::Broken(why)) => {
                let aside = dir.with_extension("broken");
                tracing::error!(error = %why, aside = %aside.display(), "task records are unreadable, beginning anew");
                set_aside(dir, &aside).map_err(|error| refused(error.into()))?;
            }
        }
        Self::read(dir, owner).map_err(|error| match error {
            Unreadable::Busy(error) => refused(error.into()),
            Unreadable::Broken(why) => refused(why.into()),
        })
    }

    /// Reads the database once nobody else has it.
    fn read_unlocked(dir: &Path, owner: NodeId) -> Result<(Self, Found), Unreadable> {
        let deadline = Instant::now() + LOCK_WAIT;
        loop {
            match Self::read(dir, owner) {
                Err(Unreadable::Busy(sled::Error::Io(error)))
                    if error.to_string().starts_with("could not acquire lock") && Instant::now() < deadline =>
                {
                    // There is nothing to be woken by: sled can only be asked again.
                    std::thread::sleep(LOCK_RETRY);
                }
                read => return read,
            }
        }
    }

    fn read(dir: &Path, owner: NodeId) -> Result<(Self, Found), Unreadable> {
        // sled meets pages it cannot read with a panic.
        let opened = std::panic::catch_unwind(|| {
            let db = sled::Config::new().path(dir).mode(sled::Mode::LowSpace).cache_capacity(CACHE_BYTES).flush_every_ms(None).open()?;
            let disk = Disk { db, dir: dir.to_owned() };
            let found = disk.load(owner)?;
            Ok((Self { disk: Some(disk) }, found))
        });
        opened.unwrap_or_else(|_| Err(Unreadable::Broken("the database panicked".into())))
    }

    /// Writes what an assignment made of the view: all of it, or nothing.
    pub(super) fn save_view(&self, old: &AgentView, new: &AgentView) -> Result<(), RecordsError> {
        let Some(Disk { db, .. }) = &self.disk else { return Ok(()) };
        let mut batch = sled::Batch::default();
        let gone_specs = old.specs.keys().filter(|id| !new.specs.contains_key(id));
        gone_specs.for_each(|id| batch.remove(spec_key(*id).as_bytes()));
        for (id, spec) in &new.specs {
            if !old.specs.get(id).is_some_and(|held| Arc::ptr_eq(held, spec)) {
                batch.insert(spec_key(*id).as_bytes(), encode(spec)?);
            }
        }
        let gone_tasks = old.tasks.keys().filter(|id| !new.tasks.contains_key(id));
        gone_tasks.for_each(|id| batch.remove(task_key(*id).as_bytes()));
        for (id, task) in &new.tasks {
            if old.tasks.get(id) != Some(task) {
                batch.insert(task_key(*id).as_bytes(), encode(task)?);
            }
        }
        save_networks(&mut batch, &old.networks, &new.networks)?;
        batch.insert(GENERATION, encode(&new.generation)?);
        Ok(db.apply_batch(batch)?)
    }

    /// Writes a task's record.
    pub(super) fn save_record(&self, id: TaskId, record: &TaskRecord) -> Result<(), RecordsError> {
        let Some(Disk { db, .. }) = &self.disk else { return Ok(()) };
        db.insert(record_key(id), encode(record)?)?;
        Ok(())
    }

    /// Forgets a task's record.
    pub(super) fn forget_record(&self, id: TaskId) -> Result<(), RecordsError> {
        let Some(Disk { db, .. }) = &self.disk else { return Ok(()) };
        db.remove(record_key(id))?;
        Ok(())
    }

    /// Writes what tasks need to know of the node.
    pub(super) fn save_node(&self, node: &NodeContext) -> Result<(), RecordsError> {
        let Some(Disk { db, .. }) = &self.disk else { return Ok(()) };
        db.insert(NODE, encode(node)?)?;
        Ok(())
    }

    /// Forgets everything but whose the records are.
    pub(super) fn clear(&self, owner: NodeId) -> Result<(), RecordsError> {
        let Some(Disk { db, .. }) = &self.disk else { return Ok(()) };
        db.clear()?;
        db.insert(OWNER, encode(&owner)?)?;
        Ok(())
    }

    /// Waits until all changes so far are on the disk. Blocks.
    pub(super) fn flush(&self) -> Result<(), RecordsError> {
        let Some(Disk { db, dir }) = &self.disk else { return Ok(()) };
        db.flush()?;
        // sled starts the writing but does not wait for the disk.
        fs::File::open(dir.join("db"))?.sync_data()?;
        Ok(())
    }
}

impl Disk {
    fn load(&self, owner: NodeId) -> Result<Found, Unreadable> {
        if self.value::<NodeId>(OWNER)? != Some(owner) {
            self.db.clear()?;
            self.db.insert(OWNER, encode(&owner)?)?;
            return Ok(Found::default());
        }
        let view = AgentView {
            generation: self.value::<Generation>(GENERATION)?.unwrap_or_default(),
            specs: self.values::<Arc<SharedSpec>>(SPEC)?.map(|s| (s.id, s)).collect(),
            tasks: self.values::<AssignedTask>(TASK)?.map(|t| (t.id, t)).collect(),
            networks: self.load_networks()?,
        };
        if let Some(task) = view.tasks.values().find(|task| !view.specs.contains_key(&task.spec)) {
            return Err(Unreadable::Broken(format!("the template of task {} is missing", task.id)));
        }
        let mut records = BTreeMap::new();
        for entry in self.db.scan_prefix(RECORD) {
            let (key, value) = entry?;
            let id = std::str::from_utf8(&key[RECORD.len()..]).ok().and_then(|id| id.parse().ok());
            let id: TaskId = id.ok_or_else(|| Unreadable::Broken("a record without an id".into()))?;
            records.insert(id, decode::<TaskRecord>(&value)?);
        }
        Ok(Found { view, records, node: self.value(NODE)? })
    }

    fn load_networks(&self) -> Result<NetworkView, Unreadable> {
        let mut tables: BTreeMap<NetworkId, NetworkTable> = self
            .values::<NodeNetwork>(NETWORK)?
            .map(|network| (network.id, NetworkTable { network, endpoints: BTreeMap::new(), services: BTreeMap::new() }))
            .collect();
        let lost = |id| Unreadable::Broken(format!("network {id} is missing"));
        for endpoint in self.values::<NetworkEndpoint>(ENDPOINT)? {
            let table = tables.get_mut(&endpoint.network).ok_or_else(|| lost(endpoint.network))?;
            table.endpoints.insert(endpoint.task, endpoint);
        }
        for service in self.values::<NetworkService>(SERVICE)? {
            let table = tables.get_mut(&service.network).ok_or_else(|| lost(service.network))?;
            table.services.insert(service.service, service);
        }
        Ok(NetworkView {
            tables: tables.into_iter().map(|(id, table)| (id, Arc::new(table))).collect(),
            nodes: self.value(DATA_PATH_NODES)?.unwrap_or_default(),
            data_path_port: self.value(DATA_PATH_PORT)?.unwrap_or_default(),
        })
    }

    fn value<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Unreadable> {
        self.db.get(key)?.map(|value| decode(&value)).transpose()
    }

    fn values<T: DeserializeOwned>(&self, prefix: &str) -> Result<impl Iterator<Item = T> + use<T>, Unreadable> {
        let values: Result<Vec<T>, Unreadable> = self.db.scan_prefix(prefix).values().map(|value| decode(&value?)).collect();
        values.map(Vec::into_iter)
    }
}

/// Writes what changed of the networks: tables that are the same allocation are not looked into.
fn save_networks(batch: &mut sled::Batch, old: &NetworkView, new: &NetworkView) -> Result<(), RecordsError> {
    for id in old.tables.keys().chain(new.tables.keys()) {
        let (before, after) = (old.tables.get(id), new.tables.get(id));
        if before.zip(after).is_some_and(|(a, b)| Arc::ptr_eq(a, b)) {
            continue;
        }
        let network = |table: Option<&Arc<NetworkTable>>| table.map(|t| (*id, t.network.clone())).into_iter().collect();
        save_map(batch, &network(before), &network(after), |id| format!("{NETWORK}{id}"))?;
        let empty = BTreeMap::new();
        let of = |table| Option::<&Arc<NetworkTable>>::map_or(table, &empty, |t| &t.endpoints);
        save_map(batch, of(before), of(after), |task| format!("{ENDPOINT}{id}/{task}"))?;
        let empty = BTreeMap::new();
        let of = |table| Option::<&Arc<NetworkTable>>::map_or(table, &empty, |t| &t.services);
        save_map(batch, of(before), of(after), |service| format!("{SERVICE}{id}/{service}"))?;
    }
    if !Arc::ptr_eq(&old.nodes, &new.nodes) {
        batch.insert(DATA_PATH_NODES, encode(&new.nodes)?);
    }
    if old.data_path_port != new.data_path_port {
        batch.insert(DATA_PATH_PORT, encode(&new.data_path_port)?);
    }
    Ok(())
}

fn save_map<K: Ord, V: Serialize + PartialEq>(
    batch: &mut sled::Batch,
    old: &BTreeMap<K, V>,
    new: &BTreeMap<K, V>,
    key: impl Fn(&K) -> String,
) -> Result<(), RecordsError> {
    for gone in old.keys().filter(|k| !new.contains_key(k)) {
        batch.remove(key(gone).as_bytes());
    }
    for (id, value) in new {
        if old.get(id) != Some(value) {
            batch.insert(key(id).as_bytes(), encode(value)?);
        }
    }
    Ok(())
}

fn spec_key(id: SpecId) -> String {
    format!("{SPEC}{id}")
}

fn task_key(id: TaskId) -> String {
    format!("{TASK}{id}")
}

fn record_key(id: TaskId) -> String {
    format!("{RECORD}{id}")
}

fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, rmp_serde::encode::Error> {
    rmp_serde::to_vec_named(value)
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Unreadable> {
    rmp_serde::from_slice(bytes).map_err(|error| Unreadable::Broken(error.to_string()))
}

/// Moves a broken database out of the way. Only the last one is kept.
fn set_aside(dir: &Path, aside: &Path) -> std::io::Result<()> {
    match fs::remove_dir_all(aside) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::rename(dir, aside)?;
    fs::create_dir_all(dir)
}

/// Why a database cannot be used as it is.
enum Unreadable {
    /// It may be sound: another process holds it, or the disk fails.
    Busy(sled::Error),
    /// Its content makes no sense.
    Broken(String),
}

impl From<sled::Error> for Unreadable {
    fn from(error: sled::Error) -> Self {
        match error {
            sled::Error::Io(_) => Self::Busy(error),
            error => Self::Broken(error.to_string()),
        }
    }
}

impl From<rmp_serde::encode::Error> for Unreadable {
    fn from(error: rmp_serde::encode::Error) -> Self {
        Self::Broken(error.to_string())
    }
}

#[cfg(test)]
mod tests;
