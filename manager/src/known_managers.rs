//! The managers of the cluster as a file beside the log: whom to ask when the log itself cannot be read any more.

use crate::{member, raft::RaftNode};
use serde::{Deserialize, Serialize};
use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};
use swarm_types::{NodeId, RemoteManager};

const FILE: &str = "managers.json";
/// After a failure to write the file, as on a full disk, it is tried again.
const RETRY_EVERY: Duration = Duration::from_secs(5);

/// What the file holds. It exists from the moment on in which this manager became a member for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownManagers {
    /// The node whose folder this is.
    pub node_id: NodeId,
    /// The other managers.
    pub others: Vec<RemoteManager>,
}

impl KnownManagers {
    /// Reads it. One that cannot be understood is as good as none: it is only ever an additional hint.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn load(dir: &Path) -> io::Result<Option<Self>> {
        match member::load(&dir.join(FILE)) {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                tracing::warn!(path = %dir.join(FILE).display(), %error, "the file of the other managers cannot be understood");
                Ok(None)
            }
            read => read,
        }
    }

    /// Removes what an earlier membership left.
    ///
    /// # Errors
    /// When it is there and cannot be removed.
    pub fn remove(dir: &Path) -> io::Result<()> {
        match std::fs::remove_file(dir.join(FILE)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// Keeps the file up to date until consensus stops.
pub async fn keep(dir: PathBuf, node_id: NodeId, raft: RaftNode) {
    let mut metrics = raft.raft.metrics();
    let mut written: Option<KnownManagers> = None;
    loop {
        let current = {
            let metrics = metrics.borrow_and_update();
            let membership = metrics.membership_config.membership();
            // One that was taken out may have to ask those that it knew as a member.
            membership.get_node(&raft.raft_id).is_some().then(|| {
                let others = membership.nodes().filter(|(_, member)| member.node_id != node_id);
                let others = others.map(|(_, member)| RemoteManager { node_id: member.node_id, addr: member.addr.clone() });
                KnownManagers { node_id, others: others.collect() }
            })
        };
        let mut failed = false;
        if let Some(current) = current.filter(|current| written.as_ref() != Some(current)) {
            let (dir, value) = (dir.clone(), current.clone());
            let saved = tokio::task::spawn_blocking(move || member::save(&dir, FILE, &value)).await;
            match saved.unwrap_or_else(|stopped| Err(io::Error::other(stopped))) {
                Ok(()) => written = Some(current),
                Err(error) => {
                    tracing::warn!(%error, "could not write down who the other managers are");
                    failed = true;
                }
            }
        }
        if failed {
            tokio::time::sleep(RETRY_EVERY).await;
        } else if metrics.changed().await.is_err() {
            return;
        }
    }
}
