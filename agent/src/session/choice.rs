//! Whom to try next, and after what pause. Pure: randomness is an argument.

use std::time::Duration;
use swarm_types::RemoteManager;

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

/// The addresses to try, in order: this host's own manager, then the others in random order. The one that was just left
/// comes last. `random` gives a number below its argument.
pub fn order(own: &[String], managers: &[RemoteManager], left: Option<&str>, mut random: impl FnMut(usize) -> usize) -> Vec<String> {
    let mut addresses: Vec<String> = own.to_vec();
    let mut others: Vec<&str> = managers.iter().map(|m| m.addr.as_str()).filter(|addr| !own.iter().any(|o| o == addr)).collect();
    while !others.is_empty() {
        addresses.push(others.swap_remove(random(others.len())).to_owned());
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
    use swarm_types::NodeId;

    fn managers(addrs: &[&str]) -> Vec<RemoteManager> {
        addrs.iter().map(|addr| RemoteManager { node_id: NodeId::from_random([1; 16]), addr: (*addr).to_owned() }).collect()
    }

    #[test]
    fn own_manager_first_the_one_just_left_last() {
        let known = managers(&["a:1", "b:1", "c:1"]);
        let own = ["b:1".to_owned()];
        assert_eq!(order(&own, &known, None, |_| 0), ["b:1", "a:1", "c:1"]);
        assert_eq!(order(&own, &known, Some("b:1"), |n| n - 1), ["c:1", "a:1", "b:1"]);
        assert_eq!(order(&[], &known, Some("z:1"), |_| 0), ["a:1", "c:1", "b:1"]);
        assert!(order(&[], &[], Some("a:1"), |_| 0).is_empty());
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
