//! Names on cluster networks: a server on every gateway address of the node.
//!
//! A question is known by the network it came in at and the address it came from, which tell the task
//! and with it all networks of that task. What is known there is answered out of [`Tables`], anything
//! else is passed to the servers of the task or the host, as an engine's own resolver would. Nobody but
//! the tasks gets an answer, and nothing is cached: a change of the tables counts for the next question.
//!
//! **Invariant:** a name leads to no task that is not in service. **Invariant:** what the answer to a
//! question is follows from the question, the tables and a seed alone (`answer`); sockets and clocks are
//! elsewhere (`server`, `upstream`).

mod answer;
mod limits;
mod resolv_conf;
mod server;
mod upstream;
mod zone;

pub use server::{Counters, Server};
pub use zone::{Client, Forward, Tables, Zone};

#[cfg(test)]
mod tests;
