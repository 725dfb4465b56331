//! Tests of the log and the snapshots from outside, on real files.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;
mod damage;
mod full_disk;
mod kill;
mod log;
mod power_cut;
mod snapshots;
mod suite;

/// The life of a process that other tests start and stop; nothing in a normal run.
#[test]
fn child() {
    common::workload::run_if_child();
}
