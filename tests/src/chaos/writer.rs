//! Writers that write one config after the other, whatever happens, and remember what was acknowledged.

use serde_json::json;
use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use swarm_testkit::{Cluster, Request};

/// Between two writes of one writer: what is tested is not speed.
const PAUSE: Duration = Duration::from_millis(50);

/// What came of it, for all writers.
#[derive(Debug, Default)]
pub(super) struct Written {
    acknowledged: Mutex<Vec<(Instant, String)>>,
    unknown: AtomicUsize,
}

impl Written {
    /// Writes through one manager until it is over.
    pub(super) fn write(&self, cluster: &Cluster, through: u8, over: &AtomicBool) {
        for number in 0_u64.. {
            if over.load(Ordering::Relaxed) {
                return;
            }
            let name = format!("w{through}-{number}");
            let body = json!({"Name": name, "Data": "Y2hhb3M="});
            let answer = cluster.api(through, &Request::post("/configs/create", &body));
            if answer.is_ok_and(|answer| answer.status == 201) {
                self.acknowledged.lock().expect("no writer panics").push((Instant::now(), name));
            } else {
                self.unknown.fetch_add(1, Ordering::Relaxed);
            }
            thread::sleep(PAUSE);
        }
    }

    /// Names that were answered with 201.
    pub(super) fn acknowledged(&self) -> Vec<String> {
        self.acknowledged.lock().expect("no writer panics").iter().map(|(_, name)| name.clone()).collect()
    }

    /// Writes that were refused or not answered: they may be stored or not.
    pub(super) fn unknown(&self) -> usize {
        self.unknown.load(Ordering::Relaxed)
    }

    /// The longest time between two acknowledged writes.
    pub(super) fn longest_gap(&self) -> Duration {
        let mut times: Vec<_> = self.acknowledged.lock().expect("no writer panics").iter().map(|(at, _)| *at).collect();
        times.sort();
        times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
    }
}
