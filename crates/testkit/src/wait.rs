//! Waiting for a condition with a deadline.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

/// Pause between two probes. Short against everything that tests wait for, long enough to leave the
/// processor to the daemons that are being waited for.
const PROBE_PAUSE: Duration = Duration::from_millis(20);

/// Calls `probe` until it answers `Ok`, and returns its value.
///
/// An `Err` from the probe means "not yet" and tells why: `anyhow::ensure!` in the closure gives a good
/// text. The probe is called at least once, however short the deadline.
///
/// # Errors
/// After `deadline`: names `what` was waited for and the last reason of the probe.
pub fn until<T>(what: &str, deadline: Duration, mut probe: impl FnMut() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    loop {
        match probe() {
            Ok(value) => return Ok(value),
            Err(reason) if start.elapsed() >= deadline => {
                return Err(anyhow!("{what}: not within {deadline:?}: {reason:#}"));
            }
            Err(_) => std::thread::sleep(PROBE_PAUSE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_of_the_first_success_is_returned() {
        let mut calls = 0;
        let value = until("three calls", Duration::from_secs(5), || {
            calls += 1;
            anyhow::ensure!(calls >= 3, "only {calls}");
            Ok(calls)
        });
        assert_eq!(value.unwrap(), 3);
    }

    #[test]
    fn a_missed_deadline_tells_what_and_why() {
        let error = until::<()>("the moon", Duration::ZERO, || Err(anyhow!("still cheese")));
        assert_eq!(error.unwrap_err().to_string(), "the moon: not within 0ns: still cheese");
    }
}
