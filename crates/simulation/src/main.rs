//! Managers, agents and clients on one thread with virtual time, in a world made of a seed.
//!
//! First the world is broken: messages are lost and late, hosts are cut off, crash, lose what they had not synced, stand still,
//! are promoted and demoted. What must always hold is checked at every step. Then everything heals, and the cluster must become
//! what was asked for. What clients were told is checked for linearizability.
//!
//! Each seed lives in a process of its own, since hash seeds and counters of a process are part of what a seed repeats.
//! `make sim SEED=7` runs one again; `SIM_LOG=swarm_manager=debug` lets the rooms tell what they do.

mod agent;
mod bug;
mod checks;
mod client;
mod disk;
mod engine;
mod faults;
mod history;
mod host;
mod manager;
mod net;
mod operator;
mod runner;
mod system;
mod witness;
mod world;

use anyhow::{Context, Result, bail};
use bug::Bug;
use clap::Parser;
use std::{ops::Range, process::ExitCode, time::Duration};
use world::World;

/// A seed takes about a second of processor time; one that takes so long hangs.
const SEED_MAX: Duration = Duration::from_secs(120);

/// What is asked of the program.
#[derive(Parser)]
#[command(about = "Simulates a cluster in worlds made of seeds")]
struct Ask {
    /// One world, in this process
    #[arg(long, conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Worlds from..to, each in a process of its own
    #[arg(long, value_parser = range)]
    seeds: Option<Range<u64>>,
    /// Worlds at a time; by default one for each processor
    #[arg(long)]
    jobs: Option<usize>,
    /// A fault to build in, which has to be noticed
    #[arg(long, value_enum)]
    bug: Option<Bug>,
    /// Stop at the first world that fails
    #[arg(long)]
    until_failure: bool,
}

fn range(text: &str) -> Result<Range<u64>> {
    let (from, to) = text.split_once("..").context("two numbers with .. between them are needed")?;
    Ok(from.parse()?..to.parse()?)
}

fn main() -> Result<ExitCode> {
    let ask = Ask::parse();
    match (ask.seed, ask.seeds) {
        (Some(seed), None) => Ok(live(seed, ask.bug)),
        (None, Some(seeds)) => {
            let jobs = ask.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
            runner::run(seeds, ask.bug, jobs, ask.until_failure)
        }
        _ => bail!("--seed or --seeds is needed"),
    }
}

/// Lives in the world of a seed, on a thread that knows nothing of before.
fn live(seed: u64, bug: Option<Bug>) -> ExitCode {
    if let Ok(filter) = std::env::var("SIM_LOG") {
        tracing_subscriber::fmt().with_env_filter(tracing_subscriber::EnvFilter::new(filter)).without_time().init();
    }
    swarm_manager::blocking::do_in_place();
    // Of a loop that panics the others would only notice that it is gone.
    std::panic::set_hook(Box::new(move |panic| {
        println!("seed {seed} failed: {panic}\nafter\n  {}", world::last_of_story());
        std::process::exit(1);
    }));
    // For snapshots and keys; in memory where that is possible, since nobody cuts the power of this machine.
    let memory = std::path::Path::new("/dev/shm");
    let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    let dir = dir.expect("a folder can be made");
    let path = dir.path().to_owned();
    std::thread::spawn(move || {
        std::thread::sleep(SEED_MAX);
        println!("seed {seed} failed: it does not come to an end; the last that happened was\n  {}", world::last_of_story());
        std::process::exit(1);
    });
    system::enter(seed);
    let world = std::thread::Builder::new().stack_size(16 << 20).spawn(move || World::new(seed, bug, &path).live());
    let lived = world.expect("a thread starts").join().expect("a panic ends the process");
    drop(dir);
    match lived {
        Ok(report) => {
            println!("seed {seed}: {report}");
            ExitCode::SUCCESS
        }
        Err(what) => {
            println!("seed {seed} failed: {what}");
            ExitCode::FAILURE
        }
    }
}
