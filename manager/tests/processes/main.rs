//! Three managers as processes of their own, killed, damaged and short of room, as their clients see them.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "../../../crates/raftlog/tests/it/common/disk.rs"]
mod disk;
mod full_disk;
mod power_cut;
mod rebuild;
mod world;
