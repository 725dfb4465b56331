//! Whom to try next, and after what pause. Pure: randomness is an argument.

use std::time::Duration;
use swarm_types::{NodeId, RemoteManager};

/// The back-off grows from the first of these to the second. Docker's numbers.
const PAUSE_STEP: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(8);

/// Pauses between attempts: a random part of a bound that doubles.
#[derive(Debug, Default)]
pub struct Backoff {
    bound: Duration,
}

impl Backoff {
    /// The next pause; `fraction` is from 0 to 1.
    pub fn pause(&mut self, fraction: f64) -> Duration {
        self.bound = (PAUSE_STEP + 2 * self.bound).min(PAUSE_MAX);
        self.bound.mul_f64(fraction.clamp(0.0, 1.0))
    }

    /// After a success.
    pub fn reset(&mut self) {
        self.bound = Duration::ZERO;
    }
}

/// This host's manager, if it has one.
#[derive(Debug, Clone, Copy)]
pub struct Own<'a> {
    /// This node.
    pub node_id: NodeId,
    /// Where its manager can be reached, the best first.
    pub addrs: &'a [String],
}

/// The addresses to try, in order: this host's own manager, then the others in random order. The own one comes after them if
/// the managers are known and it is none of them: it is on its way in, or was taken out and does not know yet. The one that was
/// just left comes last. `random` gives a number below its argument.
pub fn order(own: Own<'_>, managers: &[RemoteManager], left: Option<&str>, mut random: impl FnMut(usize) -> usize) -> Vec<String> {
    let is_one = managers.is_empty() || managers.iter().any(|m| m.node_id == own.node_id);
    let own = own.addrs;
    let mut addresses: Vec<String> = if is_one { own.to_vec() } else { Vec::new() };
    let mut others: Vec<&str> = managers.iter().map(|m| m.addr.as_str()).filter(|addr| !own.iter().any(|o| o == addr)).collect();
    while !others.is_empty() {
        addresses.push(others.swap_remove(random(others.len())).to_owned());
    }
    if !is_one {
        addresses.extend_from_slice(own);
    }
    if let Some(at) = left.and_then(|left| addresses.iter().position(|addr| addr == left)) {
        let last = addresses.remove(at);
        addresses.push(last);
    }
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each on a node of its own, the first on node 0.
    fn managers(addrs: &[&str]) -> Vec<RemoteManager> {
        let manager = |(n, addr): (u8, &&str)| RemoteManager { node_id: node(n), addr: (*addr).to_owned() };
        (0..).zip(addrs).map(manager).collect()
    }

    fn node(n: u8) -> NodeId {
        NodeId::from_random([n; 16])
    }

    #[test]
    fn own_manager_first_the_one_just_left_last() {
        let known = managers(&["a:1", "b:1", "c:1"]);
        let addrs = ["b:1".to_owned()];
        let (own, none) = (Own { node_id: node(1), addrs: &addrs }, Own { node_id: node(9), addrs: &[] });
        assert_eq!(order(own, &known, None, |_| 0), ["b:1", "a:1", "c:1"]);
        assert_eq!(order(own, &known, Some("b:1"), |n| n - 1), ["c:1", "a:1", "b:1"]);
        assert_eq!(order(none, &known, Some("z:1"), |_| 0), ["a:1", "c:1", "b:1"]);
        assert_eq!(order(own, &[], None, |_| 0), ["b:1"]);
        assert!(order(none, &[], Some("a:1"), |_| 0).is_empty());
    }

    #[test]
    fn a_manager_that_was_taken_out_is_not_asked_first() {
        let addrs = ["d:1".to_owned(), "e:1".to_owned()];
        let own = Own { node_id: node(7), addrs: &addrs };
        assert_eq!(order(own, &managers(&["a:1", "b:1"]), None, |_| 0), ["a:1", "b:1", "d:1", "e:1"]);
    }

    #[test]
    fn pauses_grow_to_eight_seconds_and_start_again() {
        let mut backoff = Backoff::default();
        let pauses: Vec<u128> = (0..9).map(|_| backoff.pause(1.0).as_millis()).collect();
        assert_eq!(pauses, [100, 300, 700, 1500, 3100, 6300, 8000, 8000, 8000]);
        assert_eq!(backoff.pause(0.0), Duration::ZERO);
        backoff.reset();
        assert_eq!(backoff.pause(0.5), Duration::from_millis(50));
    }
}
