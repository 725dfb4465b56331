//! Work that blocks on the disk or takes long: on a thread of its own, or in place where a run must repeat exactly.

use std::sync::atomic::{AtomicBool, Ordering};
use tokio::task::JoinError;

static IN_PLACE: AtomicBool = AtomicBool::new(false);

/// From now on blocking work of this process is done in place. For the simulation: the order in which threads end is nothing
/// that a seed repeats.
pub fn do_in_place() {
    IN_PLACE.store(true, Ordering::Relaxed);
}

/// Whether blocking work is done in place.
#[must_use]
pub fn is_in_place() -> bool {
    IN_PLACE.load(Ordering::Relaxed)
}

/// Does the work and returns what it gives.
///
/// # Errors
/// When it panicked, or the runtime is shutting down.
pub async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, JoinError> {
    if is_in_place() { Ok(work()) } else { tokio::task::spawn_blocking(work).await }
}
