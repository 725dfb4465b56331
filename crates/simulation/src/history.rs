//! Whether what clients saw of one key can be told as one thing after the other: linearizability of a register that is read,
//! and written over the value it was read with.
//!
//! The search is that of Wing and Gong, with the memory of Lowe: a depth-first search for an order of the operations that agrees
//! with what they returned and in which an operation that had ended comes before one that began later. What was tried once, the
//! same operations done and the same value reached, is not tried again.

use std::collections::HashSet;

/// What was asked of the register, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// Saw this value; `None` if the key was not there.
    Read(Option<String>),
    /// Put `value` where `over` was. No two writes have the same value.
    Write {
        /// What the writer had read.
        over: Option<String>,
        /// What it wrote.
        value: String,
    },
}

/// One operation of one client. Moments are numbers that rise with each thing that happens.
#[derive(Debug, Clone)]
pub(crate) struct Operation {
    pub(crate) who: usize,
    pub(crate) what: What,
    pub(crate) begun: u64,
    /// `None` if nobody knows whether it was done, or will be.
    pub(crate) ended: Option<u64>,
}

impl std::fmt::Display for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ended = self.ended.map_or_else(|| "?".to_owned(), |ended| ended.to_string());
        write!(f, "client {} from {} to {ended}: ", self.who, self.begun)?;
        let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
        match &self.what {
            What::Read(seen) => write!(f, "reads {}", shown(seen)),
            What::Write { over, value } => write!(f, "writes {value} over {}", shown(over)),
        }
    }
}

/// Beginnings and ends in their order, as a list out of which pairs are taken and put back.
struct Events {
    /// Operation, and whether this is its end.
    what: Vec<(usize, bool)>,
    next: Vec<usize>,
    previous: Vec<usize>,
    begin_of: Vec<usize>,
    end_of: Vec<usize>,
}

/// The list's both ends.
const HEAD: usize = 0;

impl Events {
    fn of(operations: &[Operation]) -> Self {
        let mut moments: Vec<(u64, usize, bool)> = Vec::new();
        for (number, operation) in operations.iter().enumerate() {
            moments.push((operation.begun, number, false));
            moments.push((operation.ended.unwrap_or(u64::MAX), number, true));
        }
        moments.sort_unstable();
        let count = moments.len() + 1;
        let mut events = Self {
            what: vec![(usize::MAX, false)],
            next: (0..count).map(|at| (at + 1) % count).collect(),
            previous: (0..count).map(|at| (at + count - 1) % count).collect(),
            begin_of: vec![0; operations.len()],
            end_of: vec![0; operations.len()],
        };
        for (at, (_, number, is_end)) in moments.into_iter().enumerate() {
            events.what.push((number, is_end));
            let place = if is_end { &mut events.end_of } else { &mut events.begin_of };
            place[number] = at + 1;
        }
        events
    }

    fn take_out(&mut self, operation: usize) {
        for at in [self.begin_of[operation], self.end_of[operation]] {
            let (before, after) = (self.previous[at], self.next[at]);
            (self.next[before], self.previous[after]) = (after, before);
        }
    }

    /// Undoes the last [`Self::take_out`] that is not undone.
    fn put_back(&mut self, operation: usize) {
        for at in [self.end_of[operation], self.begin_of[operation]] {
            let (before, after) = (self.previous[at], self.next[at]);
            (self.next[before], self.previous[after]) = (at, at);
        }
    }
}

/// # Errors
/// What cannot be explained: an operation that fits nowhere, with the longest order that was found without it.
pub(crate) fn check(operations: &[Operation]) -> Result<(), String> {
    let mut events = Events::of(operations);
    let mut tried: HashSet<(Vec<u64>, Option<&str>)> = HashSet::new();
    let mut done = vec![0_u64; operations.len().div_ceil(64)];
    let mut value: Option<&str> = None;
    let mut order: Vec<(usize, Option<&str>)> = Vec::new();
    let mut best: (usize, String) = (0, String::new());
    let mut at = events.next[HEAD];
    while at != HEAD {
        let (number, is_end) = events.what[at];
        let operation = &operations[number];
        if !is_end {
            if let Some(after) = outcome(&operation.what, value) {
                let mut then = done.clone();
                then[number / 64] |= 1 << (number % 64);
                if tried.insert((then.clone(), after)) {
                    order.push((number, value));
                    (done, value) = (then, after);
                    events.take_out(number);
                    at = events.next[HEAD];
                    continue;
                }
            }
            at = events.next[at];
            continue;
        }
        // Only what need not have happened is left.
        if operation.ended.is_none() {
            return Ok(());
        }
        if best.1.is_empty() || order.len() > best.0 {
            let told: Vec<String> = order.iter().rev().take(12).rev().map(|(n, _)| operations[*n].to_string()).collect();
            best = (order.len(), format!("({operation}) fits nowhere after\n    {}", told.join("\n    ")));
        }
        let Some((last, before)) = order.pop() else { return Err(best.1) };
        done[last / 64] &= !(1 << (last % 64));
        value = before;
        events.put_back(last);
        at = events.next[events.begin_of[last]];
    }
    Ok(())
}

/// The value after the operation, if it can happen now.
fn outcome<'a>(what: &'a What, value: Option<&'a str>) -> Option<Option<&'a str>> {
    match what {
        What::Read(seen) => (seen.as_deref() == value).then_some(value),
        What::Write { over, value: new } => (over.as_deref() == value).then_some(Some(new)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `r=x 3-5` reads, `a>b 3-5` writes b over a, `-` is nothing, `3-?` never ended.
    fn history(lines: &[&str]) -> Vec<Operation> {
        let value = |text: &str| (text != "-").then(|| text.to_owned());
        let one = |(who, line): (usize, &&str)| {
            let (what, when) = line.split_once(' ').expect("two parts");
            let (begun, ended) = when.split_once('-').expect("two moments");
            let what = match what.split_once('>') {
                Some((over, new)) => What::Write { over: value(over), value: new.to_owned() },
                None => What::Read(value(what.trim_start_matches("r="))),
            };
            Operation { who, what, begun: begun.parse().expect("a number"), ended: ended.parse().ok() }
        };
        lines.iter().enumerate().map(one).collect()
    }

    fn is_linearizable(lines: &[&str]) -> bool {
        check(&history(lines)).is_ok()
    }

    #[test]
    fn what_happened_in_some_order_is_fine() {
        assert!(is_linearizable(&[]));
        assert!(is_linearizable(&["->a 1-2", "r=a 3-4", "a>b 5-6", "r=b 7-8"]));
        // A read beside a write may see either.
        assert!(is_linearizable(&["->a 1-2", "a>b 3-9", "r=a 4-5", "r=b 6-7"]));
        // The later one of two that overlap came first.
        assert!(is_linearizable(&["b>a 1-10", "->b 2-9", "r=a 11-12"]));
    }

    #[test]
    fn lost_writes_stale_reads_and_double_writes_are_noticed() {
        assert!(!is_linearizable(&["->a 1-2", "r=- 3-4"]));
        assert!(!is_linearizable(&["->a 1-2", "a>b 3-4", "r=a 5-6"]));
        assert!(!is_linearizable(&["->a 1-2", "a>b 3-6", "a>c 4-5"]));
        assert!(!is_linearizable(&["->a 1-2", "a>b 3-9", "r=b 4-5", "r=a 6-7"]));
        assert!(!is_linearizable(&["r=x 1-2"]));
    }

    #[test]
    fn what_has_no_answer_may_happen_late_or_never() {
        assert!(is_linearizable(&["->a 1-2", "a>b 3-?", "r=a 4-5", "r=a 8-9"]));
        assert!(is_linearizable(&["->a 1-2", "a>b 3-?", "r=a 4-5", "r=b 8-9"]));
        assert!(!is_linearizable(&["->a 1-2", "a>b 3-?", "r=b 4-5", "r=a 8-9"]));
    }

    #[test]
    fn long_histories_are_quick() {
        let mut lines = vec!["->0 1-2".to_owned()];
        for n in 0_usize..400 {
            let from = 3 + n * 10;
            lines.push(format!("{n}>{} {from}-{}", n + 1, from + 9));
            lines.push(format!("{n}>x{n} {}-?", from + 1));
            lines.push(format!("r={n} {}-{}", from + 2, from + 8));
        }
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        assert!(is_linearizable(&lines));
    }
}
