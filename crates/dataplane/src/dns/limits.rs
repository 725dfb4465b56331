//! How much one client, and all of them, may have under way.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Counts what is under way, by client.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    under_way: Arc<Mutex<HashMap<IpAddr, usize>>>,
    each_max: usize,
    all_max: usize,
}

/// One thing under way, until it is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    limits: Limits,
    client: IpAddr,
}

impl Limits {
    pub(crate) fn new(each_max: usize, all_max: usize) -> Self {
        Self { under_way: Arc::default(), each_max, all_max }
    }

    /// Counts one more for a client, unless it or all together have enough. A client cannot take the last
    /// places of all for itself, since it gets half of those that are free at most.
    pub(crate) fn take(&self, client: IpAddr) -> Option<Permit> {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = under_way.values().sum();
        let own = under_way.get(&client).copied().unwrap_or(0);
        if own >= self.each_max || all >= self.all_max || (own > 0 && own >= self.all_max - all) {
            return None;
        }
        under_way.insert(client, own + 1);
        Some(Permit { limits: self.clone(), client })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut under_way = self.limits.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = under_way.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                under_way.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greedy_client_leaves_room_for_others() {
        let limits = Limits::new(8, 10);
        let [greedy, modest] = [1, 2].map(|last| IpAddr::from([10, 0, 0, last]));
        let taken: Vec<_> = std::iter::from_fn(|| limits.take(greedy)).collect();
        assert_eq!(taken.len(), 5);
        let other = limits.take(modest).expect("room");
        drop(taken);
        assert!(limits.take(greedy).is_some());
        drop(other);
        assert!(limits.under_way.lock().expect("no panic").is_empty());
    }
}
