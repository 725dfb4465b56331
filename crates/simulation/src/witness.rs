//! Sees what every manager commits and every client is told, and knows what must never be.

use crate::history::{self, Operation, What};
use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex},
};
use swarm_manager::store::Committed;
use swarm_state::Event;
use tokio::sync::broadcast;

/// How a write ended for its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Outcome {
    Stored,
    /// Refused for good: it must never be seen.
    Refused,
    Unknown,
}

/// An operation on a key, under way.
pub(crate) struct Begun {
    who: usize,
    key: String,
    moment: u64,
}

#[derive(Default)]
struct Inner {
    /// What each log index changed, and who said so first.
    entries: BTreeMap<u64, (usize, Vec<Event>)>,
    leaders: BTreeMap<u64, usize>,
    /// Names that every later read must have.
    known: BTreeSet<String>,
    refused: BTreeSet<String>,
    histories: BTreeMap<String, Vec<Operation>>,
    /// Of writes that no client was told the end of.
    open: BTreeMap<(String, u64), Operation>,
    moment: u64,
    acknowledged: usize,
    reads: usize,
    violation: Option<String>,
    /// Of everything that was seen, in its order.
    trace: DefaultHasher,
}

/// Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Witness(Arc<Mutex<Inner>>);

impl Witness {
    fn with<T>(&self, work: impl FnOnce(&mut Inner) -> T) -> T {
        work(&mut self.0.lock().expect("nothing panics while holding it"))
    }

    pub(crate) fn violation(&self) -> Option<String> {
        self.with(|w| w.violation.clone())
    }

    /// Writes acknowledged and reads answered.
    pub(crate) fn counts(&self) -> (usize, usize) {
        self.with(|w| (w.acknowledged, w.reads))
    }

    /// A number made of everything that was seen: equal for equal courses of a world.
    pub(crate) fn trace(&self) -> u64 {
        self.with(|w| w.trace.finish())
    }

    /// Something else that happened, for the trace.
    pub(crate) fn saw(&self, what: impl Hash) {
        self.with(|w| what.hash(&mut w.trace));
    }

    /// Every manager applies the same at each index.
    pub(crate) async fn watch(self, place: usize, mut changes: broadcast::Receiver<Arc<Committed>>) {
        loop {
            match changes.recv().await {
                Ok(committed) if committed.replaced => {}
                Ok(committed) => self.with(|w| w.committed(place, &committed)),
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return,
            }
        }
    }

    /// A manager leads in a term.
    pub(crate) fn leads(&self, place: usize, term: u64) {
        self.with(|w| {
            let first = *w.leaders.entry(term).or_insert(place);
            if first != place {
                w.fail(format!("managers {first} and {place} both lead in term {term}"));
            }
        });
    }

    /// A client created something.
    pub(crate) fn created(&self, name: &str, outcome: Outcome) {
        self.with(|w| {
            (name, outcome).hash(&mut w.trace);
            match outcome {
                Outcome::Stored => {
                    w.acknowledged += 1;
                    w.known.insert(name.to_owned());
                }
                Outcome::Refused => drop(w.refused.insert(name.to_owned())),
                Outcome::Unknown => {}
            }
        });
    }

    /// What a read that begins now must see at least.
    pub(crate) fn known(&self) -> BTreeSet<String> {
        self.with(|w| w.known.clone())
    }

    /// A read that had to see `expected` saw `names`.
    pub(crate) fn listed(&self, expected: &BTreeSet<String>, names: &BTreeSet<String>, who: &str) {
        self.with(|w| {
            (who, names.len()).hash(&mut w.trace);
            w.reads += 1;
            if let Some(lost) = expected.difference(names).next() {
                w.fail(format!("{who}: a read does not see {lost}, which was stored or seen before it began"));
            }
            if let Some(ghost) = w.refused.intersection(names).next().cloned() {
                w.fail(format!("{who}: {ghost} was refused for good and is there"));
            }
            w.known.extend(names.iter().cloned());
        });
    }

    /// A client begins to read or write a key.
    pub(crate) fn begin(&self, who: usize, key: &str) -> Begun {
        self.with(|w| {
            w.moment += 1;
            Begun { who, key: key.to_owned(), moment: w.moment }
        })
    }

    /// It was told what is there.
    pub(crate) fn has_read(&self, begun: Begun, value: Option<&str>) {
        self.with(|w| {
            w.reads += 1;
            w.end(begun, What::Read(value.map(str::to_owned)));
        });
    }

    /// It sends a write. As long as nothing else is said, the write may happen at any time or never.
    pub(crate) fn writes(&self, begun: &Begun, over: Option<&str>, value: &str) {
        let what = What::Write { over: over.map(str::to_owned), value: value.to_owned() };
        self.with(|w| {
            let operation = Operation { who: begun.who, what, begun: begun.moment, ended: None };
            w.open.insert((begun.key.clone(), begun.moment), operation);
        });
    }

    /// How the write ended.
    pub(crate) fn has_written(&self, begun: Begun, outcome: Outcome) {
        self.with(|w| {
            (begun.moment, outcome).hash(&mut w.trace);
            if outcome == Outcome::Unknown {
                return;
            }
            let Some(operation) = w.open.remove(&(begun.key.clone(), begun.moment)) else { return };
            // One that was refused never happened: whoever sees its value sees what nobody wrote.
            if outcome == Outcome::Stored {
                w.acknowledged += 1;
                w.end(begun, operation.what);
            }
        });
    }

    /// Whether what clients saw of each key can be told as one thing after the other.
    ///
    /// # Errors
    /// What cannot.
    pub(crate) fn check_histories(&self) -> Result<(), String> {
        self.with(|w| {
            for (key, history) in &w.histories {
                let open = w.open.iter().filter(|((of, _), _)| of == key).map(|(_, operation)| operation.clone());
                let all: Vec<Operation> = history.iter().cloned().chain(open).collect();
                history::check(&all).map_err(|why| format!("{key} is not linearizable: {why}"))?;
            }
            Ok(())
        })
    }
}

impl Inner {
    fn committed(&mut self, place: usize, committed: &Committed) {
        let (index, events) = (committed.index, &committed.events);
        (place, index, events.len()).hash(&mut self.trace);
        match self.entries.get(&index) {
            None => drop(self.entries.insert(index, (place, events.clone()))),
            Some((first, known)) if known != events => {
                let what = format!("index {index}: manager {first} applied {known:?}, manager {place} {events:?}");
                self.fail(what);
            }
            Some(_) => {}
        }
    }

    fn end(&mut self, begun: Begun, what: What) {
        self.moment += 1;
        (begun.who, &begun.key, begun.moment, self.moment).hash(&mut self.trace);
        let operation = Operation { who: begun.who, what, begun: begun.moment, ended: Some(self.moment) };
        self.histories.entry(begun.key).or_default().push(operation);
    }

    /// The first one counts.
    fn fail(&mut self, what: String) {
        self.violation.get_or_insert(what);
    }
}
