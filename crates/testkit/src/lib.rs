//! Test hosts on one machine, and Swarm clusters on them.
//!
//! A [`Bed`] is a handful of hosts that are as separate as the kernel can make them: each has its own
//! network, process, mount and hostname namespace, its own address on a common switch, its own `/run`
//! and its own dockerd. A [`Cluster`] adds one agent to each.
//!
//! What always holds: nothing of a bed outlives it. A guard process holds a pipe to the test and removes
//! hosts, containers and folders when the pipe closes, be it by a normal end, a panic or `kill -9`.
//! Nothing is reached outside the bed: its hosts have no route out.
//!
//! Root is needed, and the programs that `scripts/setup.sh` installs.

mod agent;
mod archive;
mod bed;
mod client;
mod cluster;
mod dockerd;
mod guard;
mod host;
mod http;
mod images;
mod output;
mod process;
mod switch;
mod wait;

pub use agent::{AgentOptions, AgentProc, bin_dir};
pub use bed::{Bed, KeptBed, sweep_leftovers};
pub use client::{DockerClient, docker_client};
pub use cluster::{Cluster, Role};
pub use host::{HTTP_DEADLINE, Host};
pub use http::{Request, Response};
pub use images::{BUSYBOX, EXIT, HEALTH, SLEEP, WEB_1, WEB_2};
pub use output::{COMMAND_DEADLINE, Output, run, run_with_input, run_within};
pub use process::Process;
pub use wait::until;
