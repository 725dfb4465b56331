//! What the next pass has to look at: what changed, and what became due.

use crate::slots::SlotKey;
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    time::Duration,
};
use swarm_types::{NodeId, ServiceId, SpecId, Timestamp};

/// What of a service has to be looked at. The number of its slots and a running update always are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Every slot.
    pub(crate) whole: bool,
    /// These slots.
    pub(crate) slots: BTreeSet<SlotKey>,
}

/// What the next pass has to look at. A mark too many costs time; one too few would cost correctness.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    /// Everything.
    pub(crate) all: bool,
    services: BTreeMap<ServiceId, Mark>,
    /// Nodes that may have given more than they have.
    pub(crate) nodes: BTreeSet<NodeId>,
    /// Templates that may be unused.
    pub(crate) specs: BTreeSet<SpecId>,
    due: BTreeSet<(Timestamp, ServiceId, Option<SlotKey>)>,
    /// When attachments have to be looked at.
    pub(crate) loose_due: Option<Timestamp>,
    /// When removed networks have to be looked at.
    pub(crate) networks_due: Option<Timestamp>,
}

impl Marks {
    /// The service's number of slots and its update.
    pub(crate) fn service(&mut self, service: ServiceId) {
        self.services.entry(service).or_default();
    }

    /// The service with every slot.
    pub(crate) fn whole(&mut self, service: ServiceId) {
        self.services.entry(service).or_default().whole = true;
    }

    /// One slot.
    pub(crate) fn slot(&mut self, service: ServiceId, key: SlotKey) {
        self.services.entry(service).or_default().slots.insert(key);
    }

    /// A slot, or with `None` the service, is to be looked at then.
    pub(crate) fn due(&mut self, at: Timestamp, service: ServiceId, key: Option<SlotKey>) {
        self.due.insert((at, service, key));
    }

    /// Marks what became due.
    pub(crate) fn take_due(&mut self, now: Timestamp) {
        while let Some((at, service, key)) = self.due.first().copied().filter(|(at, ..)| *at <= now) {
            self.due.remove(&(at, service, key));
            match key {
                Some(key) => self.slot(service, key),
                None => self.service(service),
            }
        }
    }

    /// How long until something becomes due.
    pub(crate) fn next_due(&self, now: Timestamp) -> Option<Duration> {
        let next = self.due.first().map(|(at, ..)| *at);
        next.into_iter().chain(self.loose_due).chain(self.networks_due).min().map(|at| at.since(now))
    }

    /// The first marked service after this one; it is marked no more.
    pub(crate) fn take_service_after(&mut self, after: Option<ServiceId>) -> Option<(ServiceId, Mark)> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let id = self.services.range((from, Bound::Unbounded)).next().map(|(id, _)| *id)?;
        self.services.remove_entry(&id)
    }

    /// Puts back a mark that was not seen to.
    pub(crate) fn put_back(&mut self, service: ServiceId, mark: Mark) {
        let present = self.services.entry(service).or_default();
        present.whole |= mark.whole;
        present.slots.extend(mark.slots);
    }
}
