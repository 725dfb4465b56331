//! Stand-ins for what an agent talks to, and a client that shows every byte.

#![allow(dead_code, reason = "each test program uses its part")]

pub(crate) mod agent;
pub(crate) mod bench;
pub(crate) mod cluster;
pub(crate) mod engine;
pub(crate) mod raw;

use std::time::Duration;

/// How long anything in a test may take before it counts as hanging.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Waits for a condition.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = tokio::time::Instant::now() + DEADLINE;
    while !condition() {
        assert!(tokio::time::Instant::now() < end, "{what} did not come about");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits for a future that must not hang.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what} did not come about"),
    }
}
