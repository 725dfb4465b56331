//! What a starting agent makes of what an earlier one left.

use super::{NodeContextOfHost, NodeStartError, node_loop::State};
use crate::{
    chain,
    daemon::{
        member::{Member, stop_left_over_manager},
        paths::wipe,
    },
    identity::record::{Found, RecordFile, settle},
};
use swarm_pki::CertStore;
use swarm_types::NodeId;
use tokio::time::Instant;

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
        (Found::Leaving(record), ..) => {
            tracing::info!("leaving the swarm was interrupted and goes on");
            stop_left_over_manager(host).await;
            let error = "this node is leaving its swarm".to_owned();
            Ok(State::Stuck { record, error, retry_at: Some(Instant::now()) })
        }
        (Found::Nothing, ..) => {
            stop_left_over_manager(host).await;
            wipe(&host.paths).map_err(NodeStartError::Wipe)?;
            Ok(State::Outside { error: String::new() })
        }
    }
}
