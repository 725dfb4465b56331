//! Decides what runs where.
//!
//! One pass ([`Planner::plan`]) takes the immutable state and the time, and returns one batch of finished changes: slots
//! are filled and emptied, ended tasks replaced, updates moved on, nodes chosen, history forgotten. Tasks are born
//! assigned where a node fits, and wait with the reason in their status where none does.
//!
//! What always holds:
//! - Everything a pass needs is in the state; what the planner keeps besides is derived from it and can be dropped at any
//!   time. A pass of a new planner plans the same as one that took in every event.
//! - Planning is idempotent: a batch that did not apply is planned again, and after it applied nothing more is planned
//!   until something changes or becomes due.
//! - No node is given more than it has, no host port twice.
//!
//! Deliberately absent: clocks, randomness and I/O (time and ids are arguments), and any opinion on whether a node lives.

mod addresses;
pub mod attachments;
pub mod commands;
pub mod constraint;
pub mod defaults;
mod draft;
mod global;
mod id_map;
mod job;
mod loose;
mod lost;
mod marks;
pub mod networks;
mod orchestrate;
pub mod plan;
pub mod planner;
mod quiet;
mod reaper;
mod replicated;
mod restart;
mod scheduler;
pub mod service_status;
mod slots;
pub mod statuses;
mod template;
#[cfg(test)]
mod testing;
mod up_to_date;
mod updater;

pub use addresses::Room;
pub use attachments::{Asked, AttachPlan, AttachRefused, attach_container, detach_containers};
pub use commands::{NODE_DELETED, NoPreviousSpec, new_service, remove_node, remove_service, rollback_service, update_service};
pub use constraint::{Constraint, ConstraintError, SpreadKey, parse_constraints};
pub use defaults::insert_defaults;
pub use networks::{NetworkInUse, NetworkRefused, new_network, remove_network};
pub use plan::{CHANGES_PER_PASS_MAX, Plan, Refusal};
pub use planner::Planner;
pub use service_status::{replicas, service_status};
pub use statuses::{Recorded, ReportError, record_statuses};
pub use up_to_date::is_up_to_date;

use swarm_state::State;
use swarm_types::{IdSource, Timestamp};

/// One full pass over a state: the same as a planner's that took in everything that led to it.
pub fn plan(state: &State, now: Timestamp, ids: &mut dyn IdSource) -> Plan {
    Planner::new(state).plan(state, now, ids)
}
