//! Worlds in, plans out, asserted as text. Every plan is also checked to be what a full pass would decide.

mod lifecycle;
mod world;
