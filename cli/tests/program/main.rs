//! The program as its users see it, run against a daemon that answers from a table.

mod commands;
mod lines;
mod stacks;
mod streams;
mod support;
