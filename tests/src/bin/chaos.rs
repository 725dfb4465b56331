//! Random kills and cuts under writers: `make chaos MINUTES=15 SEED=1`. The exit code tells whether everything that was
//! acknowledged is there and the containers are as desired.

use anyhow::{Context, Result};
use clap::Parser;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use swarm_tests::chaos;

/// Kills, stops and cuts off managers and agents of five hosts at random, heals them and checks that nothing was lost.
#[derive(Debug, Parser)]
struct Arguments {
    /// How long to break things.
    #[arg(long, default_value_t = 15.0)]
    minutes: f64,
    /// Chooses the faults; without it the clock does. It is printed.
    #[arg(long)]
    seed: Option<u64>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let seed = match arguments.seed {
        Some(seed) => seed,
        None => SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs(),
    };
    println!("seed {seed}");
    let span = Duration::try_from_secs_f64(arguments.minutes * 60.0).context("--minutes is no time")?;
    chaos::run(span, seed, |what| println!("{what}")).with_context(|| format!("seed {seed}"))?;
    println!("every acknowledged write is there, and the containers are as desired");
    Ok(())
}
