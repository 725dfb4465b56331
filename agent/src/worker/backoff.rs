//! How long to wait before a step is tried again.

use std::time::Duration;

/// First wait. An engine that restarts is away for about a second.
const FIRST: Duration = Duration::from_millis(100);

/// Longest wait. Whatever is known to have changed ends a wait early, so this only bounds what nobody tells of.
const LONGEST: Duration = Duration::from_secs(10);

/// Waits that double, spread by a seed so that the tasks of a node do not come all at once.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    failures: u32,
    seed: u64,
}

impl Backoff {
    /// Begins with no failures.
    pub(crate) fn new(seed: u64) -> Self {
        Self { failures: 0, seed }
    }

    /// A step succeeded.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// A step failed; wait so long before the next.
    pub(crate) fn next_wait(&mut self) -> Duration {
        let whole = FIRST.saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        // The upper half of the wait is spread; splitmix's multiplier mixes seed and turn well enough for that.
        let mixed = (self.seed ^ u64::from(self.failures)).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
        let share = mixed as f64 / f64::from(1 << 24);
        whole / 2 + (whole / 2).mul_f64(share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_to_a_bound_and_start_over_after_a_success() {
        for seed in [0, 1, 77, u64::MAX] {
            let mut backoff = Backoff::new(seed);
            let waits: Vec<Duration> = (0..40).map(|_| backoff.next_wait()).collect();
            assert!(waits[0] >= FIRST / 2 && waits[0] <= FIRST);
            assert!(waits.iter().all(|wait| *wait <= LONGEST));
            assert!(waits[10..].iter().all(|wait| *wait >= LONGEST / 2));
            backoff.reset();
            assert!(backoff.next_wait() <= FIRST);
        }
    }
}
