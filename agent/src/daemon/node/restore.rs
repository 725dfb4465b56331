//! What a starting agent makes of what an earlier one left.

use super::{NodeContextOfHost, NodeStartError, node_loop::State};
use crate::{
    chain,
    daemon::{
        member::{Member, stop_left_over_manager},
        paths::wipe,
    },
    identity::{
        ca_calls,
        record::{Found, NodeRecord, RecordFile, settle},
        role_of,
    },
    supervisor,
};
use std::{sync::Arc, time::Duration};
use swarm_pki::{CertStore, LiveIdentity, Stored};
use swarm_types::{NodeId, Role};
use tokio::time::{Instant, timeout};

/// How long the other managers may take to let this one out of their group.
const LEAVE_GROUP_TIMEOUT: Duration = Duration::from_secs(10);

/// Reads the state folder, finishes what was interrupted, and starts the loops of a member.
pub(crate) async fn restore(host: &NodeContextOfHost) -> Result<State, NodeStartError> {
    let record = RecordFile::new(&host.paths.state_dir).load()?;
    let certificates = CertStore::new(&host.paths.state_dir);
    let stored = certificates.settle().and_then(|()| certificates.load());
    let (stored, damage) = match stored {
        Ok(stored) => (stored, "its certificate is missing".to_owned()),
        Err(error) => (None, chain(&error)),
    };
    let certificate_of = stored.as_ref().and_then(|stored| NodeId::parse(&stored.credentials.identity().node_id).ok());
    match (settle(record, certificate_of), stored, certificate_of) {
        (Found::Member(record), Some(stored), Some(node_id)) => {
            RecordFile::new(&host.paths.state_dir).save(&record)?;
            tracing::info!(node = %node_id, "this host is in a swarm");
            Ok(State::Member(Box::new(Member::start(host.clone(), record, node_id, stored, None))))
        }
        (Found::Member(record) | Found::Broken(record), ..) => {
            let error = format!("this node cannot take part in its swarm: {damage}. Leave the swarm and join again.");
            tracing::error!(error, "this host is a broken member of a swarm");
            stop_left_over_manager(host).await;
            Ok(State::Stuck { record, error, retry_at: None })
        }
        (Found::Leaving(record), stored, _) => {
            tracing::info!("leaving the swarm was interrupted and goes on");
            // Of two managers each is needed to let the other go, so the one that may still run is asked before it is stopped.
            if stored.as_ref().is_some_and(|s| role_of(s.credentials.identity().role) == Role::Manager) {
                supervisor::leave_group(&host.paths.manager_socket).await;
            }
            stop_left_over_manager(host).await;
            leave_group(&record, stored).await;
            let error = "this node is leaving its swarm".to_owned();
            Ok(State::Stuck { record, error, retry_at: Some(Instant::now()) })
        }
        (Found::Nothing, ..) => {
            stop_left_over_manager(host).await;
            wipe(&host.paths).map_err(NodeStartError::Wipe)?;
            host.networks.outside();
            Ok(State::Outside { error: String::new() })
        }
    }
}

/// Takes the manager of this host out of the group if an interrupted leave has not: as long as it counts there, the others need
/// more than half of too many. Asks each of them, since only the one that leads can do it; who is out already is let out again.
/// A failure is only logged, as in a leave that was not interrupted: the node goes in any case.
async fn leave_group(record: &NodeRecord, stored: Option<Stored>) {
    let Some(Stored { roots, credentials }) = stored else { return };
    let Ok(own) = NodeId::parse(&credentials.identity().node_id) else { return };
    if role_of(credentials.identity().role) == Role::Worker {
        return;
    }
    let identity = Arc::new(LiveIdentity::new(credentials));
    let asked = async {
        for manager in record.managers.iter().filter(|manager| manager.node_id != own) {
            match ca_calls::leave_group(&manager.addr, Arc::clone(&identity), &roots, own).await {
                Ok(()) => return,
                Err(error) => tracing::info!(addr = manager.addr, %error, "a manager did not let this one out of the group"),
            }
        }
    };
    if timeout(LEAVE_GROUP_TIMEOUT, asked).await.is_err() {
        tracing::warn!("the other managers did not let this one out of their group in time");
    }
}
