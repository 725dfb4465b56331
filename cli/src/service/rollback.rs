//! `service rollback`, which `service update --rollback` means too.

use super::flags::WaitFlags;
use super::progress;
use super::update::Stored;
use crate::failure::Outcome;
use crate::output::{print_line, warn};
use crate::session::Session;

/// Puts a service back to its previous spec and waits until it has converged, unless told not to. The cluster knows the
/// previous spec; doing it twice goes forth again.
///
/// # Errors
/// If the service was never updated, and if the rollback is paused after failures.
pub(super) async fn rollback(wait: WaitFlags, service: &str, session: &Session) -> Outcome {
    for warning in Stored::read(service, session).await?.roll_back(session).await? {
        warn(&warning);
    }
    print_line(service)?;
    if wait.detach.detach.unwrap_or_default() {
        return Ok(());
    }
    progress::wait(service, wait.quiet.unwrap_or_default(), session).await
}
