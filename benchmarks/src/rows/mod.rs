//! The rows of the table in the design, each a measurement of its own.

mod writes;

use crate::report::Line;
use anyhow::Result;

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
pub const ROWS: &[Row] = &[writes::ROW];

/// A runtime for the clients of a measurement: one thread, so that they do not crowd out what is measured.
fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}
