//! The planner: what it derives from the state, and its passes.

use crate::Plan;
use swarm_state::{Event, State};
use swarm_types::{IdSource, Timestamp};

/// Plans, and keeps what it derived from the state between passes.
#[derive(Debug)]
pub struct Planner {
    applied: u64,
}

impl Planner {
    /// Derives everything from a state; the first pass looks at all of it.
    #[must_use]
    pub fn new(state: &State) -> Self {
        Self { applied: state.applied() }
    }

    /// Takes in what an entry changed; `state` is the state after it.
    pub fn observe(&mut self, _events: &[Event], state: &State) {
        self.applied = state.applied();
    }

    /// Looks at everything again in the next pass, as after a batch that did not apply.
    pub fn invalidate(&mut self) {}

    /// One pass over what changed or became due.
    pub fn plan(&mut self, _state: &State, _now: Timestamp, _ids: &mut dyn IdSource) -> Plan {
        Plan::default()
    }
}
