//! The rows of the table in the design, each a measurement of its own.

mod create;
mod failover;
mod hollow;
mod host_gone;
mod idle;
mod list;
mod place;
mod writes;

use crate::report::Line;
use anyhow::Result;
use std::time::Duration;

/// How a row is to be measured.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Less of everything, and without Docker Swarm: to see quickly what a change did.
    pub quick: bool,
}

/// One row.
#[derive(Clone, Copy)]
pub struct Row {
    /// What it is called on the command line.
    pub name: &'static str,
    /// What it tells.
    pub title: &'static str,
    /// Measures it.
    pub run: fn(Options) -> Result<Vec<Line>>,
}

/// All rows, in the order they are run.
pub const ROWS: &[Row] = &[writes::ROW, failover::ROW, host_gone::ROW, place::ROW, create::ROW, hollow::ROW, idle::ROW, list::ROW];

/// A runtime for the clients of a measurement: one thread, so that they do not crowd out what is measured.
fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn worst(times: &[Duration]) -> Duration {
    times.iter().max().copied().unwrap_or_default()
}

fn millis(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

/// How many times as long as theirs ours is, in words.
fn times(ours: Duration, theirs: Option<Duration>) -> String {
    theirs.map_or_else(String::new, |theirs| format!("{:.3} × Docker", ours.as_secs_f64() / theirs.as_secs_f64()))
}
