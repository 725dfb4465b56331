//! Keeps the log small by its bytes. openraft counts entries, and ten thousand of them are some megabytes as a rule but ten
//! gigabytes when each holds a config of a megabyte.

use super::RaftNode;
use std::time::Duration;

/// Between two looks. In that time a busy log grows by some ten megabytes.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// So many bytes of entries since the last snapshot are worth a new one, unless that one was larger: then as many as it has, so
/// that no more is written for snapshots than for the log.
const SINCE_SNAPSHOT_BYTES: u64 = 64 << 20;
/// Bytes of entries kept behind a snapshot for slow followers at most; slower ones get the snapshot.
const BEHIND_SNAPSHOT_BYTES_MAX: u64 = 32 << 20;

/// Runs until consensus stops.
pub(super) async fn keep_small(node: RaftNode) {
    let metrics = node.raft.metrics();
    let mut look = tokio::time::interval(LOOK_EVERY);
    // The end of the log at which a snapshot was last asked for.
    let mut asked_at = 0;
    loop {
        look.tick().await;
        if metrics.has_changed().is_err() {
            return;
        }
        let (snapshot, end) = {
            let metrics = metrics.borrow();
            (metrics.snapshot.map_or(0, |s| s.index + 1), metrics.last_log_index.map_or(0, |index| index + 1))
        };
        let stopped = look_once(&node, snapshot, end, &mut asked_at).await;
        if let Err(stopped) = stopped {
            tracing::debug!(%stopped, "the log is not kept small any more");
            return;
        }
    }
}

async fn look_once(node: &RaftNode, snapshot: u64, end: u64, asked_at: &mut u64) -> Result<(), openraft::error::Fatal<u64>> {
    let behind_from = node.log_usage.start_of_last(BEHIND_SNAPSHOT_BYTES_MAX, snapshot);
    if behind_from > 0 && node.log_usage.bytes(0..behind_from) > 0 {
        node.raft.trigger().purge_log(behind_from - 1).await?;
    }
    // One that is being built is not in the metrics yet; what came after it was asked for waits its turn.
    let since = node.log_usage.bytes(snapshot.max(*asked_at)..end);
    if since < SINCE_SNAPSHOT_BYTES {
        return Ok(());
    }
    let snapshots = std::sync::Arc::clone(&node.snapshots);
    let newest = crate::blocking::run(move || snapshots.newest_bytes()).await;
    let newest = match newest {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(error)) => {
            tracing::warn!(error = crate::chain(&error), "could not look at the newest snapshot");
            return Ok(());
        }
        // The runtime is shutting down.
        Err(_) => return Ok(()),
    };
    if since >= newest {
        tracing::debug!(since, newest, "the log has grown enough for a snapshot");
        node.raft.trigger().snapshot().await?;
        *asked_at = end;
    }
    Ok(())
}
