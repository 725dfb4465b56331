//! `swarm-agent`: reads flags, starts the daemon, tells the outcome as an exit code.

use clap::Parser as _;
use std::process::ExitCode;
use swarm_agent::{chain, config::Flags, daemon};

fn main() -> ExitCode {
    let config = match Flags::parse().config() {
        Ok(config) => config,
        Err(error) => {
            eprintln!("swarm-agent: {}", chain(&error));
            return ExitCode::FAILURE;
        }
    };
    match daemon::run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("swarm-agent: {}", chain(&error));
            ExitCode::FAILURE
        }
    }
}
