//! Which managers' hosts are dead, as a new leader finds out by itself.
//!
//! An agent keeps its session with the manager of its own host if there is one. So when a whole host dies, nobody else holds a
//! session whose end would tell, and a new leader would have to wait for the agent as long as for those it knows nothing of.
//! Whether a host is there is easier to see than whether its agent is: a system that runs takes or refuses a connection, even
//! when its manager was killed or stands still. Only one that does neither is dead, or cut off, which is the same to us.

use crate::store::Store;
use std::{io, time::Duration};
use swarm_types::NodeId;
use tokio::{
    net::TcpStream,
    sync::mpsc,
    time::{Instant, sleep, timeout},
};

/// A host that takes longer than this to take or refuse a connection has not answered this time.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// Between two tries.
const TRY_EVERY: Duration = Duration::from_millis(250);
/// A host counts as dead when it has not answered for this time: longer than a link takes to settle.
const SILENT_FOR: Duration = Duration::from_secs(4);
/// Hosts found dead that may wait to be read; as many as one could have managers.
const FOUND_MAX: usize = 64;

/// Looks at the hosts of all other managers, once each. Those that are found dead come out; dropping the receiver ends it.
pub(super) fn find_dead(store: &Store) -> mpsc::Receiver<NodeId> {
    let (found, receiver) = mpsc::channel(FOUND_MAX);
    for peer in store.peers().into_iter().filter(|peer| !peer.leader) {
        let found = found.clone();
        tokio::spawn(async move {
            // Both are cancel-safe.
            tokio::select! {
                is_dead = is_dead(&peer.addr) => if is_dead && found.send(peer.node_id).await.is_err() {
                    tracing::debug!(node = %peer.node_id, "a host is dead, but this manager leads no more");
                },
                () = found.closed() => {}
            }
        });
    }
    receiver
}

/// Whether nothing is heard of a host for [`SILENT_FOR`]; `false` as soon as something is.
async fn is_dead(addr: &str) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < SILENT_FOR {
        if answers(addr).await {
            return false;
        }
        sleep(TRY_EVERY).await;
    }
    true
}

async fn answers(addr: &str) -> bool {
    match timeout(ANSWER_TIMEOUT, TcpStream::connect(addr)).await {
        Ok(Ok(_)) => true,
        // A refusal and the like come from the host itself; these come from the network before it.
        Ok(Err(error)) => !matches!(
            error.kind(),
            io::ErrorKind::TimedOut | io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable | io::ErrorKind::NetworkDown
        ),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn a_host_answers_with_its_manager_and_without() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("an address").to_string();
        // Nobody accepts: a manager that stands still.
        assert!(answers(&addr).await);
        drop(listener);
        assert!(answers(&addr).await, "refused by the host itself");
        assert!(!is_dead(&addr).await);
    }
}
