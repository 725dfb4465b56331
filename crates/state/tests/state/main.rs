//! The replicated state from outside: entries in, tables, indexes, events and snapshots out.

mod apply;
mod objects;
mod random;
