//! The cluster's part of `/info`.

use super::swarm;
use crate::store::Peer;
use swarm_state::State;
use swarm_types::Swarm;

/// How many nodes and managers there are, and the cluster without its tokens; `None` before there is one.
#[must_use]
pub fn cluster_info(state: &State, peers: &[Peer]) -> (u64, u64, Option<Swarm>) {
    let managers = state.nodes().filter(|node| peers.iter().any(|peer| peer.node_id == node.id())).count();
    let cluster = state.cluster().map(|cluster| swarm::shown(cluster, false));
    (state.node_count() as u64, managers as u64, cluster)
}
