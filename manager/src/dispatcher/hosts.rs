//! Which managers' hosts are dead, as a new leader finds out by itself.
//!
//! An agent keeps its session with the manager of its own host if there is one. So when a whole host dies, nobody else holds a
//! session whose end would tell, and a new leader would have to wait for the agent as long as for those it knows nothing of.
//! Whether a host is there is easier to see than whether its agent is: a system that runs takes or refuses a connection, even
//! when its manager was killed or stands still. Only one that does neither is dead, or cut off, which is the same to us.

use super::LeaderLink;
use crate::store::Store;
use std::{sync::Arc, time::Duration};
use swarm_types::NodeId;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};

/// Between two tries.
const TRY_EVERY: Duration = Duration::from_millis(250);
/// A host counts as dead when it has not answered for this time: longer than a link takes to settle.
const SILENT_FOR: Duration = Duration::from_secs(4);
/// Hosts found dead that may wait to be read; as many as one could have managers.
const FOUND_MAX: usize = 64;

/// Looks at the hosts of all other managers, once each. Those that are found dead come out; dropping the receiver ends it.
pub(super) fn find_dead(store: &Store, link: &Arc<dyn LeaderLink>) -> mpsc::Receiver<NodeId> {
    let (found, receiver) = mpsc::channel(FOUND_MAX);
    for peer in store.peers().into_iter().filter(|peer| !peer.leader) {
        let (found, link) = (found.clone(), Arc::clone(link));
        tokio::spawn(async move {
            // Both are cancel-safe.
            tokio::select! {
                is_dead = is_dead(&*link, &peer.addr) => if is_dead && found.send(peer.node_id).await.is_err() {
                    tracing::debug!(node = %peer.node_id, "a host is dead, but this manager leads no more");
                },
                () = found.closed() => {}
            }
        });
    }
    receiver
}

/// Whether nothing is heard of a host for [`SILENT_FOR`]; `false` as soon as something is.
async fn is_dead(link: &dyn LeaderLink, addr: &str) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < SILENT_FOR {
        if link.host_answers(addr).await {
            return false;
        }
        sleep(TRY_EVERY).await;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatcher::{LeaderAnswer, LeaderMessage, LinkError, LinkFuture};

    struct Hosts(bool);

    impl LeaderLink for Hosts {
        fn send(&self, _message: LeaderMessage) -> LinkFuture<'_, Result<LeaderAnswer, LinkError>> {
            Box::pin(async { Err(LinkError::NoLeader) })
        }

        fn host_answers<'a>(&'a self, _addr: &'a str) -> LinkFuture<'a, bool> {
            Box::pin(async { self.0 })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_is_dead_after_some_silence_and_alive_with_one_answer() {
        let begun = Instant::now();
        assert!(!is_dead(&Hosts(true), "10.0.0.2:2377").await);
        assert_eq!(begun.elapsed(), Duration::ZERO);
        assert!(is_dead(&Hosts(false), "10.0.0.2:2377").await);
        assert_eq!(begun.elapsed(), SILENT_FOR);
    }
}
