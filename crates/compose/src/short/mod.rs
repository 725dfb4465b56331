//! Short forms of ports and volumes.

pub mod port;
pub(crate) mod volume;
