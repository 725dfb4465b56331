//! Applying a log entry: checks what each batch claims, stores it, and tells what changed.

use crate::{Batch, Change, Conflict, Guard, Key, Object, Service, State, holds};
use std::{net::IpAddr, sync::Arc};
use swarm_types::{Actor, NetworkId, SpecId, Version};

/// One changed object, for those who watch the state.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Which object.
    pub key: Key,
    /// Before; `None` when it was created.
    pub old: Option<Object>,
    /// After; `None` when it was deleted.
    pub new: Option<Object>,
}

/// What applying one entry did.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Applied {
    /// One result per batch, in order: the version its objects now have.
    pub results: Vec<Result<Version, Conflict>>,
    /// Every change, in order.
    pub events: Vec<Event>,
}

impl State {
    /// Applies the entry at log index `index`. Batches that conflict leave no trace but their result.
    pub fn apply(&mut self, index: u64, entry: Vec<Batch>) -> Applied {
        let mut applied = Applied::default();
        for batch in entry {
            // One object to store is refused before it is stored, so there is nothing to take back.
            let before = if matches!(batch.changes[..], [Change::Put { .. }]) { None } else { Some(self.clone()) };
            let events_before = applied.events.len();
            match self.apply_batch(index, batch, &mut applied) {
                Ok(()) => applied.results.push(Ok(Version { index })),
                Err(conflict) => {
                    if let Some(before) = before {
                        *self = before;
                    }
                    applied.events.truncate(events_before);
                    applied.results.push(Err(conflict));
                }
            }
        }
        self.applied = index;
        applied
    }

    /// Marks an index without changes (membership entries, blank entries) as applied.
    pub fn skip(&mut self, index: u64) {
        self.applied = index;
    }

    fn apply_batch(&mut self, index: u64, batch: Batch, applied: &mut Applied) -> Result<(), Conflict> {
        for guard in &batch.guards {
            self.check_guard(*guard)?;
        }
        let mut specs_deleted = Vec::new();
        for change in batch.changes {
            let (key, old, new) = match change {
                Change::Put { replaces, object } => {
                    let key = object.key();
                    self.check_version(key, replaces, matches!(object, Object::Spec(_)))?;
                    self.check_object(&object, batch.by)?;
                    if self.take_cursors(&object) {
                        continue;
                    }
                    let new = stamped(object, index);
                    (key, self.put(new.clone()), Some(new))
                }
                Change::Delete { replaces, key } => {
                    let stored = self.version(key).ok_or(Conflict::Version { key, expected: replaces, stored: Version::default() })?;
                    if stored != replaces {
                        return Err(Conflict::Version { key, expected: replaces, stored });
                    }
                    if let Key::Spec(id) = key {
                        specs_deleted.push(id);
                        // Its uses are checked when the whole batch is in, and need the count to survive until then.
                        let uses = self.spec_uses.get(&id).copied();
                        let old = self.take(key);
                        if let Some(uses) = uses {
                            self.spec_uses.insert(id, uses);
                        }
                        self.changed.insert(key.table(), index);
                        applied.events.push(Event { key, old, new: None });
                        continue;
                    }
                    if let Key::Network(id) = key
                        && self.addresses_of(id).next().is_some()
                    {
                        return Err(Conflict::Network(id));
                    }
                    (key, self.take(key), None)
                }
            };
            self.changed.insert(key.table(), index);
            applied.events.push(Event { key, old, new });
        }
        self.settle_deleted_specs(specs_deleted)
    }

    /// Stores a network of which only the cursors moved, under the version it has: whoever relies on the network, or on the
    /// table of networks, is not concerned. Whether this was such a change.
    fn take_cursors(&mut self, object: &Object) -> bool {
        let Object::Network(new) = object else { return false };
        let only_hints = self.network(new.id).is_some_and(|stored| stored.differs_in_cursors_only(new));
        if only_hints {
            self.put(object.clone());
        }
        only_hints
    }

    fn settle_deleted_specs(&mut self, deleted: Vec<SpecId>) -> Result<(), Conflict> {
        for id in deleted {
            if self.spec_uses.get(&id).copied().unwrap_or(0) > 0 {
                return Err(Conflict::Spec(id));
            }
            self.spec_uses.remove(&id);
        }
        Ok(())
    }

    fn check_guard(&self, guard: Guard) -> Result<(), Conflict> {
        let holds = match guard {
            Guard::At(key, version) => self.version(key) == Some(version),
            Guard::Unchanged(table, index) => self.changed(table) <= index,
        };
        if holds { Ok(()) } else { Err(Conflict::Guard(guard)) }
    }

    fn check_version(&self, key: Key, expected: Version, immutable: bool) -> Result<(), Conflict> {
        match self.version(key) {
            None if expected == Version::default() => Ok(()),
            Some(stored) if stored == expected && !immutable && stored != Version::default() => Ok(()),
            stored => Err(Conflict::Version { key, expected, stored: stored.unwrap_or_default() }),
        }
    }

    fn check_object(&self, object: &Object, by: Actor) -> Result<(), Conflict> {
        match object {
            Object::Service(service) => {
                if let Some(holder) = self.service_named(&service.current.spec.name).filter(|s| s.id != service.id) {
                    return Err(Conflict::NameTaken { holder: Key::Service(holder.id) });
                }
                self.check_spec(service.current.template)?;
                self.check_endpoint(service)?;
                service.previous.as_ref().map_or(Ok(()), |p| self.check_spec(p.template))
            }
            Object::Task(task) => {
                self.check_spec(task.spec)?;
                for address in holds::addresses(task) {
                    self.check_address(address, Key::Task(task.id))?;
                }
                let Some(old) = self.tasks.get(&task.id) else { return Ok(()) };
                let (from, to) = (old.status.state, task.status.state);
                if from != to && !from.allows(to, by) {
                    return Err(Conflict::Move { task: task.id, from, to });
                }
                if task.desired_state < old.desired_state {
                    return Err(Conflict::Move { task: task.id, from: old.desired_state, to: task.desired_state });
                }
                Ok(())
            }
            Object::Network(network) if network.is_removed() => Ok(()),
            Object::Network(network) => match self.network_named(&network.spec.name).filter(|n| n.id != network.id) {
                Some(holder) => Err(Conflict::NameTaken { holder: Key::Network(holder.id) }),
                None => Ok(()),
            },
            Object::Secret(secret) => match self.secret_named(&secret.spec.name).filter(|s| s.id != secret.id) {
                Some(holder) => Err(Conflict::NameTaken { holder: Key::Secret(holder.id) }),
                None => Ok(()),
            },
            Object::Config(config) => match self.config_named(&config.spec.name).filter(|c| c.id != config.id) {
                Some(holder) => Err(Conflict::NameTaken { holder: Key::Config(holder.id) }),
                None => Ok(()),
            },
            Object::Cluster(_) | Object::Node(_) | Object::Spec(_) => Ok(()),
        }
    }

    fn check_endpoint(&self, service: &Service) -> Result<(), Conflict> {
        for (protocol, port) in holds::ports(service) {
            if let Some(holder) = self.port_holder(protocol, port).filter(|id| *id != service.id) {
                return Err(Conflict::PortTaken { port, protocol, holder });
            }
        }
        holds::virtual_addresses(service).try_for_each(|address| self.check_address(address, Key::Service(service.id)))
    }

    fn check_address(&self, (network, address): (NetworkId, IpAddr), holder: Key) -> Result<(), Conflict> {
        match self.address_holder(network, address) {
            Some(other) if other != holder => Err(Conflict::AddressTaken { network, address, holder: other }),
            Some(_) => Ok(()),
            None if self.networks.contains_key(&network) => Ok(()),
            None => Err(Conflict::Network(network)),
        }
    }

    fn check_spec(&self, id: SpecId) -> Result<(), Conflict> {
        if self.specs.contains_key(&id) { Ok(()) } else { Err(Conflict::Spec(id)) }
    }
}

/// The object with its version set to the log index, and that of its spec where the change asks for it.
fn stamped(object: Object, index: u64) -> Object {
    let version = Version { index };
    match object {
        Object::Cluster(mut c) => {
            Arc::make_mut(&mut c).api.version = version;
            Object::Cluster(c)
        }
        Object::Node(mut n) => {
            let node = Arc::make_mut(&mut n);
            node.api.version = version;
            stamp_spec(&mut node.spec_version, version);
            Object::Node(n)
        }
        Object::Service(mut s) => {
            let service = Arc::make_mut(&mut s);
            service.version = version;
            stamp_spec(&mut service.spec_version, version);
            Object::Service(s)
        }
        Object::Task(mut t) => {
            Arc::make_mut(&mut t).version = version;
            Object::Task(t)
        }
        Object::Network(mut n) => {
            Arc::make_mut(&mut n).version = version;
            Object::Network(n)
        }
        Object::Spec(s) => Object::Spec(s),
        Object::Secret(mut s) => {
            Arc::make_mut(&mut s).version = version;
            Object::Secret(s)
        }
        Object::Config(mut c) => {
            Arc::make_mut(&mut c).version = version;
            Object::Config(c)
        }
    }
}

/// Zero is how a change says that it is one of the spec.
fn stamp_spec(spec_version: &mut Version, version: Version) {
    if *spec_version == Version::default() {
        *spec_version = version;
    }
}
