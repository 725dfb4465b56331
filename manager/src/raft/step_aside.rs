//! A leader without room on its disk lets another manager lead.
//!
//! openraft 0.9 cannot hand leadership over. So the leader falls silent until the others have elected one of them, and does not
//! stand for election while it lacks room and somebody else has some. When nobody has, things stay as they are: such a leader
//! refuses writes with the reason and still answers reads.

use super::{RaftNode, membership::Hello};
use crate::store::Peer;
use futures_util::future::join_all;
use std::time::Duration;

/// Between two looks at the disk.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Another manager says within this time whether it has room.
const ASK_TIMEOUT: Duration = Duration::from_secs(1);
/// A leader that fell silent is replaced within this time or goes on: perhaps the others cannot reach each other.
const SILENT_MAX: Duration = Duration::from_secs(3);

/// Runs until consensus stops.
pub(super) async fn keep_out_of_the_way(node: RaftNode) {
    let mut leadership = node.store().leadership();
    let (mut was_full, mut stands) = (false, true);
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        if leadership.has_changed().is_err() {
            return;
        }
        let full = node.room.check(0).err();
        if full.is_some() != was_full {
            was_full = full.is_some();
            match &full {
                Some(error) => tracing::error!(%error, "writes are refused until there is room"),
                None => tracing::info!("there is room on the disk again"),
            }
        }
        let give_way = full.is_some() && somebody_has_room(&node).await;
        if give_way == stands {
            stands = !give_way;
            node.raft.runtime_config().elect(stands);
        }
        if give_way && leadership.borrow_and_update().is_own() {
            tracing::warn!("another manager has room on its disk and shall lead");
            node.raft.runtime_config().heartbeat(false);
            let replaced = tokio::time::timeout(SILENT_MAX, node.deposed()).await;
            node.raft.runtime_config().heartbeat(true);
            if replaced.is_err() {
                tracing::warn!("no other manager was elected; this one goes on leading without room on its disk");
            }
        }
    }
}

async fn somebody_has_room(node: &RaftNode) -> bool {
    let is_other = |peer: &Peer| peer.voter && peer.raft_id != node.raft_id;
    let others: Vec<Peer> = node.store().peers().into_iter().filter(is_other).collect();
    let ask = async |peer: &Peer| {
        let hello = tokio::time::timeout(ASK_TIMEOUT, node.peers.call::<_, Hello>(&peer.addr, "/raft/hello", &())).await;
        matches!(hello, Ok(Ok(hello)) if hello.raft_id == peer.raft_id && hello.has_room)
    };
    join_all(others.iter().map(ask)).await.contains(&true)
}
