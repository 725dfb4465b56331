//! Waiting until a service has converged, and telling how far it is.
//!
//! [`Tracker`] decides: it is given what the API answers and the time, and gives back what to show and whether to go on.
//! [`Screen`] draws that. [`wait`] asks the API. Only the last one does I/O or knows a clock.

mod job;
mod screen;
mod slots;
mod tracker;
mod wait;

pub(crate) use screen::Screen;
pub(crate) use tracker::{Step, Tracker};
pub(crate) use wait::wait;

/// Something to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shown {
    /// The state of one thing; it replaces what was shown of the same thing.
    Line {
        /// What it is about, such as `overall progress` or `1/3`.
        id: String,
        /// Its state.
        text: String,
        /// How far it is, in steps of how many.
        bar: Option<(u64, u64)>,
    },
    /// A line by itself. What was shown before stays as it is.
    Text(String),
}

impl Shown {
    fn line(id: impl Into<String>, text: impl Into<String>) -> Self {
        Self::Line { id: id.into(), text: text.into(), bar: None }
    }
}
