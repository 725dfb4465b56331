//! Somebody who writes one config after the other and remembers what was acknowledged.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use swarm_testkit::{Cluster, Request, Response};
use swarm_tests::{LATER, texts_at};

use crate::MANAGERS;

/// Between two writes of one writer: what is tested is not speed.
const PAUSE: Duration = Duration::from_millis(10);

/// What was written, by all writers.
#[derive(Default)]
pub(crate) struct Written {
    acknowledged: Mutex<Vec<(Instant, String)>>,
    stop: AtomicBool,
}

impl Written {
    /// Writes through one manager until told to stop.
    pub(crate) fn write(&self, cluster: &Cluster, through: u8, prefix: &str) {
        for number in 0_u64.. {
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            // A name of its own for each try: one that failed may have been stored all the same.
            let name = format!("{prefix}-{through}-{number}");
            if write_one(cluster, through, &name).is_ok_and(|answer| answer.status == 201) {
                self.acknowledged.lock().expect("no writer panics").push((Instant::now(), name));
            }
            thread::sleep(PAUSE);
        }
    }

    /// Waits until this many more are acknowledged.
    pub(crate) fn more(&self, cluster: &Cluster, count: usize) -> Result<()> {
        let written = || self.acknowledged.lock().expect("no writer panics").len();
        let wanted = written() + count;
        cluster.until("more writes", LATER, || {
            ensure!(written() >= wanted, "{} of {wanted}", written());
            Ok(())
        })
    }

    /// Tells the writers to stop.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// The longest time between two acknowledged writes: what one that came just before a fault has to wait for the next.
    pub(crate) fn longest_gap(&self) -> Duration {
        let mut times: Vec<_> = self.acknowledged.lock().expect("no writer panics").iter().map(|(at, _)| *at).collect();
        times.sort();
        times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
    }

    /// The names that were acknowledged.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        self.acknowledged.lock().expect("no writer panics").iter().map(|(_, name)| name.clone()).collect()
    }
}

/// One try.
pub(crate) fn write_one(cluster: &Cluster, through: u8, name: &str) -> Result<Response> {
    cluster.api(through, &Request::post("/configs/create", &json!({"Name": name, "Data": "d3JpdHRlbg=="})))
}

/// Checks that every manager has these writes.
pub(crate) fn everywhere(cluster: &Cluster, names: &BTreeSet<String>) -> Result<()> {
    for number in 1..=MANAGERS {
        let found = found(cluster, number)?;
        let lost: Vec<_> = names.difference(&found).collect();
        ensure!(lost.is_empty(), "h{number} does not know writes that were acknowledged: {lost:?}");
    }
    Ok(())
}

/// The names that a manager has.
pub(crate) fn found(cluster: &Cluster, number: u8) -> Result<BTreeSet<String>> {
    let answer = cluster.api(number, &Request::get("/configs"))?;
    ensure!(answer.status == 200, "{answer}");
    Ok(texts_at(answer.json()?.as_array().context("not a list")?, "/Spec/Name"))
}
