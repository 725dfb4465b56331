//! Worlds in, plans out, asserted as text. Every plan is also checked to be what a full pass would decide.

mod global;
mod jobs;
mod lifecycle;
mod networks;
mod nodes;
mod placement;
mod random;
mod restart;
mod status;
mod updates;
mod world;
