//! The agent's side of a session with a manager.
//!
//! [`machine`] decides what is said and done (no I/O, no clock); [`run`] connects, moves frames and performs what the
//! machine decided; [`choice`] says whom to try next and when; [`dial`] is the way there.
//!
//! What always holds: every status is repeated until a manager has taken it; orders older than what the node holds are
//! refused; losing every manager changes nothing on this host.

pub mod choice;
mod dial;
pub mod machine;
mod run;
mod tasks;

pub use dial::{Dial, Opened, OverTls};
pub use run::{Session, SessionState};
pub use tasks::Tasks;
