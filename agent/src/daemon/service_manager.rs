//! What a service manager such as systemd is told. Without one, nothing happens.

use sd_notify::NotifyState;

/// The API is served.
pub(super) fn ready() {
    tell(NotifyState::Ready);
}

/// The agent is on its way out.
pub(super) fn stopping() {
    tell(NotifyState::Stopping);
}

/// Tells that the agent lives, as often as the service manager wants it; runs until dropped.
pub(super) async fn keep_watchdog_quiet() {
    let Some(limit) = sd_notify::watchdog_enabled() else {
        return;
    };
    let mut beat = tokio::time::interval(limit / 2);
    loop {
        beat.tick().await;
        tell(NotifyState::Watchdog);
    }
}

fn tell(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "the service manager could not be told");
    }
}
