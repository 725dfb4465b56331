//! What happened in the cluster lately, as Docker's event stream tells it.
//!
//! What always holds: every manager tells the events of its own replicated state, so all of them tell the same ones in the
//! same order; a reader that is slow or comes late reads from the same bounded ring and never holds anything up.
//!
//! Deliberately absent: events of tasks (Docker has none), and of what only a leader knows.

use crate::store::Store;
use serde::Serialize;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
    time::SystemTime,
};
use swarm_state::{Event as Change, Key, Node, Object, Service};
use swarm_types::Timestamp;
use tokio::sync::{broadcast::error::RecvError, watch};

/// Events kept for readers that come late or lag. Docker keeps 256 for a host; a cluster has more to tell.
const KEPT_MAX: usize = 4096;

/// One event of the cluster. Its serde form is an entry of `GET /events`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClusterEvent {
    /// `node`, `service` and so on.
    #[serde(rename = "Type")]
    pub kind: &'static str,
    /// `create`, `update` or `remove`.
    #[serde(rename = "Action")]
    pub action: &'static str,
    /// What it happened to.
    #[serde(rename = "Actor")]
    pub actor: Actor,
    /// Always `swarm`.
    pub scope: &'static str,
    /// Whole seconds since the Unix epoch.
    pub time: i64,
    /// Nanoseconds since the Unix epoch.
    #[serde(rename = "timeNano")]
    pub time_nano: i64,
}

/// The object of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Actor {
    /// Its id.
    #[serde(rename = "ID")]
    pub id: String,
    /// Its name, and what an update changed.
    #[serde(rename = "Attributes")]
    pub attributes: BTreeMap<String, String>,
}

/// Events by number, oldest first. The first one kept has the number `first`.
#[derive(Debug, Default)]
struct Ring {
    first: u64,
    kept: VecDeque<Arc<ClusterEvent>>,
}

/// The events of this manager's state. Cheap to clone.
#[derive(Debug, Clone)]
pub struct EventLog {
    ring: Arc<Mutex<Ring>>,
    /// The number that the next event gets.
    next: watch::Sender<u64>,
}

impl Default for EventLog {
    fn default() -> Self {
        Self { ring: Arc::default(), next: watch::Sender::new(0) }
    }
}

impl EventLog {
    /// Records the events of a state until that state ends. A state that came whole, from a leader's snapshot, tells no
    /// single changes: what happened meanwhile is in the logs of other managers. Everything from this call on is recorded, not
    /// only from when the future first runs.
    pub fn record(self, store: &Store) -> impl Future<Output = ()> + Send + 'static {
        let mut committed = store.subscribe();
        async move {
            loop {
                match committed.recv().await {
                    Ok(entry) => {
                        let now = Timestamp::from_system(SystemTime::now());
                        self.add(entry.events.iter().filter_map(|change| describe(change, now)));
                    }
                    Err(RecvError::Lagged(entries)) => tracing::warn!(entries, "changes came faster than their events could be told"),
                    Err(RecvError::Closed) => return,
                }
            }
        }
    }

    /// Appends events.
    pub fn add(&self, events: impl IntoIterator<Item = ClusterEvent>) {
        let mut ring = self.ring.lock().expect("nothing panics while holding it");
        let before = ring.kept.len();
        ring.kept.extend(events.into_iter().map(Arc::new));
        let added = ring.kept.len() - before;
        let surplus = ring.kept.len().saturating_sub(KEPT_MAX);
        ring.kept.drain(..surplus);
        ring.first += u64::try_from(surplus).unwrap_or(u64::MAX);
        drop(ring);
        if added > 0 {
            self.next.send_modify(|next| *next += u64::try_from(added).unwrap_or(u64::MAX));
        }
    }

    /// A reader of everything that is kept and all that comes.
    #[must_use]
    pub fn reader(&self) -> EventReader {
        let next = self.next.subscribe();
        EventReader { ring: Arc::clone(&self.ring), next, at: 0 }
    }
}

/// Reads events in order. One that falls further behind than the ring reaches goes on with the oldest kept.
#[derive(Debug)]
pub struct EventReader {
    ring: Arc<Mutex<Ring>>,
    next: watch::Receiver<u64>,
    /// The number of the event to read next.
    at: u64,
}

impl EventReader {
    /// The next event if it is there already.
    pub fn ready(&mut self) -> Option<Arc<ClusterEvent>> {
        let ring = self.ring.lock().expect("nothing panics while holding it");
        self.at = self.at.max(ring.first);
        let event = ring.kept.get(usize::try_from(self.at - ring.first).ok()?).cloned()?;
        self.at += 1;
        Some(event)
    }

    /// The next event once it happens; `None` when the log ends. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Arc<ClusterEvent>> {
        loop {
            self.next.borrow_and_update();
            if let Some(event) = self.ready() {
                return Some(event);
            }
            self.next.changed().await.ok()?;
        }
    }
}

/// The event of a change; `None` for what Docker tells none of. `now` dates removals.
#[must_use]
pub fn describe(change: &Change, now: Timestamp) -> Option<ClusterEvent> {
    let kind = kind(change.key)?;
    let (id, name) = change.new.as_ref().or(change.old.as_ref()).and_then(named)?;
    let mut attributes = BTreeMap::from([("name".to_owned(), name)]);
    if let (Some(Object::Network(old)), Some(Object::Network(new))) = (&change.old, &change.new)
        && old.is_same_to_nodes(new)
    {
        // Only who gives out addresses can tell the difference.
        return None;
    }
    let (action, time) = match (&change.old, &change.new) {
        (None, Some(new)) => ("create", times(new).0),
        (Some(old), Some(new)) => {
            describe_update(old, new, &mut attributes);
            ("update", times(new).1)
        }
        _ => ("remove", now),
    };
    let time_nano = time.as_nanos();
    let actor = Actor { id, attributes };
    Some(ClusterEvent { kind, action, actor, scope: "swarm", time: time_nano.div_euclid(1_000_000_000), time_nano })
}

fn kind(key: Key) -> Option<&'static str> {
    match key {
        Key::Node(_) => Some("node"),
        Key::Service(_) => Some("service"),
        Key::Network(_) => Some("network"),
        Key::Secret(_) => Some("secret"),
        Key::Config(_) => Some("config"),
        Key::Cluster | Key::Task(_) | Key::Spec(_) => None,
    }
}

fn named(object: &Object) -> Option<(String, String)> {
    match object {
        Object::Node(node) => {
            let name = Some(&node.api.spec.name).filter(|name| !name.is_empty()).unwrap_or(&node.api.description.hostname);
            Some((node.id().to_string(), name.clone()))
        }
        Object::Service(service) => Some((service.id.to_string(), service.current.spec.name.clone())),
        Object::Network(network) => Some((network.id.to_string(), network.spec.name.clone())),
        Object::Secret(secret) => Some((secret.id.to_string(), secret.spec.name.clone())),
        Object::Config(config) => Some((config.id.to_string(), config.spec.name.clone())),
        Object::Cluster(_) | Object::Task(_) | Object::Spec(_) => None,
    }
}

/// When the object was made and last changed.
fn times(object: &Object) -> (Timestamp, Timestamp) {
    match object {
        Object::Node(node) => (node.api.created_at, node.api.updated_at),
        Object::Service(service) => (service.created_at, service.updated_at),
        Object::Network(network) => (network.created_at, network.created_at),
        Object::Secret(secret) => (secret.created_at, secret.updated_at),
        Object::Config(config) => (config.created_at, config.updated_at),
        Object::Cluster(_) | Object::Task(_) | Object::Spec(_) => Default::default(),
    }
}

fn describe_update(old: &Object, new: &Object, attributes: &mut BTreeMap<String, String>) {
    let mut changed = |what: &str, old: Option<String>, new: Option<String>| {
        if old != new {
            let values = [("old", old), ("new", new)];
            attributes.extend(values.into_iter().filter_map(|(side, value)| Some((format!("{what}.{side}"), value?))));
        }
    };
    match (old, new) {
        (Object::Node(old), Object::Node(new)) => {
            let words = |node: &Node| {
                let spec = &node.api.spec;
                [
                    ("availability", spec.availability.to_string()),
                    ("role", spec.role.to_string()),
                    ("state", node.api.status.state.to_string()),
                ]
            };
            for ((what, old), (_, new)) in words(old).into_iter().zip(words(new)) {
                changed(what, Some(old), Some(new));
            }
        }
        (Object::Service(old), Object::Service(new)) => {
            let image = |s: &Service| s.current.spec.task_template.container_spec.as_ref().map(|c| c.image.clone());
            let replicas = |s: &Service| s.current.spec.mode.replicated.as_ref().and_then(|r| r.replicas).map(|r| r.to_string());
            let update = |s: &Service| s.update.as_ref().map(|u| u.state.to_string());
            changed("image", image(old), image(new));
            changed("replicas", replicas(old), replicas(new));
            changed("updatestate", update(old), update(new));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(n: i64) -> ClusterEvent {
        let actor = Actor { id: n.to_string(), attributes: BTreeMap::new() };
        ClusterEvent { kind: "node", action: "update", actor, scope: "swarm", time: n, time_nano: n * 1_000_000_000 }
    }

    #[tokio::test]
    async fn late_and_slow_readers_miss_only_what_is_not_kept() {
        let log = EventLog::default();
        let mut early = log.reader();
        log.add((0..3).map(event));
        let mut late = log.reader();
        assert_eq!(late.ready().map(|e| e.time), Some(0));
        let kept = i64::try_from(KEPT_MAX).expect("small");
        log.add((3..kept + 10).map(event));
        assert_eq!(early.ready().map(|e| e.time), Some(10));
        assert_eq!(late.next().await.map(|e| e.time), Some(10));
        let mut rest = 0;
        while late.ready().is_some() {
            rest += 1;
        }
        assert_eq!(rest, KEPT_MAX - 1);
        drop(log);
        assert_eq!(late.next().await, None);
    }
}
