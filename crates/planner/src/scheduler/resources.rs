//! Generic resources: counted ones, and named pieces that are handed out.

use std::collections::{BTreeMap, BTreeSet};
use swarm_types::GenericResource;

/// Generic resources of a node that tasks hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct GenericUse {
    counts: BTreeMap<String, i64>,
    /// Kind and name of a piece, and how many tasks hold it: more than one only after the node changed its mind.
    pieces: BTreeMap<(String, String), u32>,
}

impl GenericUse {
    /// Adds (or with a negative sign takes away) what a task holds.
    pub(crate) fn weigh(&mut self, held: &[GenericResource], sign: i64) {
        for resource in held {
            match resource {
                GenericResource::Discrete { kind, value } => {
                    let count = self.counts.entry(kind.clone()).or_default();
                    *count += sign * value;
                    if *count == 0 {
                        self.counts.remove(kind);
                    }
                }
                GenericResource::Named { kind, value } => {
                    let piece = (kind.clone(), value.clone());
                    let holders = self.pieces.entry(piece.clone()).or_default();
                    *holders = if sign < 0 { holders.saturating_sub(1) } else { *holders + 1 };
                    if *holders == 0 {
                        self.pieces.remove(&piece);
                    }
                }
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.counts.is_empty() && self.pieces.is_empty()
    }

    /// Whether all that is held is among what the node has.
    pub(crate) fn is_within(&self, total: &[GenericResource]) -> bool {
        if self.is_empty() {
            return true;
        }
        let (counts, pieces) = sort(total);
        self.counts.iter().all(|(kind, held)| counts.get(kind.as_str()).is_some_and(|has| held <= has))
            && self.pieces.iter().all(|((kind, name), holders)| {
                *holders == 1 && pieces.get(kind.as_str()).is_some_and(|names| names.contains(name.as_str()))
            })
    }

    /// What a task that asks for these counts gets of what is free; `None` if there is not enough. A kind that the node has
    /// as a count is given as a count, one that it has in pieces is given piece by piece, in order of name.
    pub(crate) fn claim(&self, total: &[GenericResource], asked: &[(String, i64)]) -> Option<Vec<GenericResource>> {
        if asked.is_empty() {
            return Some(Vec::new());
        }
        let (counts, pieces) = sort(total);
        let mut given = Vec::new();
        for (kind, wanted) in asked.iter().filter(|(_, wanted)| *wanted > 0) {
            if let Some(has) = counts.get(kind.as_str()) {
                let held = self.counts.get(kind).copied().unwrap_or(0);
                if has - held < *wanted {
                    return None;
                }
                given.push(GenericResource::Discrete { kind: kind.clone(), value: *wanted });
            } else {
                let names = pieces.get(kind.as_str())?;
                let free = names.iter().filter(|name| !self.pieces.contains_key(&(kind.clone(), (**name).to_owned())));
                let wanted = usize::try_from(*wanted).ok()?;
                let taken: Vec<_> = free.take(wanted).collect();
                if taken.len() < wanted {
                    return None;
                }
                given.extend(taken.into_iter().map(|name| GenericResource::Named { kind: kind.clone(), value: (*name).to_owned() }));
            }
        }
        Some(given)
    }
}

type Sorted<'a> = (BTreeMap<&'a str, i64>, BTreeMap<&'a str, BTreeSet<&'a str>>);

fn sort(total: &[GenericResource]) -> Sorted<'_> {
    let (mut counts, mut pieces) = Sorted::default();
    for resource in total {
        match resource {
            GenericResource::Discrete { kind, value } => *counts.entry(kind.as_str()).or_default() += value,
            GenericResource::Named { kind, value } => {
                pieces.entry(kind.as_str()).or_default().insert(value.as_str());
            }
        }
    }
    (counts, pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(kind: &str, value: i64) -> GenericResource {
        GenericResource::Discrete { kind: kind.into(), value }
    }

    fn piece(kind: &str, value: &str) -> GenericResource {
        GenericResource::Named { kind: kind.into(), value: value.into() }
    }

    #[test]
    fn counts_and_pieces_are_given_while_they_last() {
        let total = [count("SSD", 3), piece("GPU", "b"), piece("GPU", "a"), piece("GPU", "c")];
        let mut used = GenericUse::default();
        let asked = [("SSD".to_owned(), 2), ("GPU".to_owned(), 2)];
        let first = used.claim(&total, &asked).expect("there is enough");
        assert_eq!(first, [count("SSD", 2), piece("GPU", "a"), piece("GPU", "b")]);
        used.weigh(&first, 1);
        assert_eq!(used.claim(&total, &asked), None);
        assert_eq!(used.claim(&total, &[("GPU".to_owned(), 1)]), Some(vec![piece("GPU", "c")]));
        assert_eq!(used.claim(&total, &[("FPGA".to_owned(), 1)]), None);
        assert!(used.is_within(&total));
        assert!(!used.is_within(&[count("SSD", 1), piece("GPU", "a"), piece("GPU", "b")]));
        assert!(!used.is_within(&[count("SSD", 2), piece("GPU", "a")]));
        used.weigh(&first, -1);
        assert!(used.is_empty());
    }
}
