//! Many worlds beside each other.

use crate::bug::Bug;
use anyhow::{Context, Result};
use std::{
    ops::Range,
    process::{Command, ExitCode, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

/// Runs all seeds, prints those that fail at once, and a line in the end. Fails when one did.
pub(crate) fn run(seeds: Range<u64>, bug: Option<Bug>, jobs: usize, until_failure: bool) -> Result<ExitCode> {
    let begun = Instant::now();
    let next = AtomicU64::new(seeds.start);
    let stop = AtomicBool::new(false);
    let failed = Mutex::new(Vec::new());
    let lived = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let worker = || -> Result<()> {
            while !stop.load(Ordering::Relaxed) {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= seeds.end {
                    break;
                }
                lived.fetch_add(1, Ordering::Relaxed);
                if let Some(what) = run_one(seed, bug)? {
                    println!("{what}\n");
                    failed.lock().expect("nothing panics while holding it").push(seed);
                    stop.fetch_or(until_failure, Ordering::Relaxed);
                }
            }
            Ok(())
        };
        let workers: Vec<_> = (0..jobs.max(1)).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("a worker does not panic"))
    })?;
    let mut failed = failed.into_inner().expect("nothing panics while holding it");
    failed.sort_unstable();
    println!("{} worlds in {:.1?}; failed: {failed:?}", lived.into_inner(), begun.elapsed());
    Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What the world of the seed said if it failed.
fn run_one(seed: u64, bug: Option<Bug>) -> Result<Option<String>> {
    let begun = Instant::now();
    let mut command = Command::new(std::env::current_exe().context("this program has no path")?);
    command.arg("--seed").arg(seed.to_string());
    if let Some(bug) = bug {
        let name = clap::ValueEnum::to_possible_value(&bug).context("the fault has a name")?;
        command.arg("--bug").arg(name.get_name());
    }
    let output = command.stdin(Stdio::null()).output().context("this program does not start")?;
    if output.status.success() {
        return Ok(None);
    }
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let took = begun.elapsed();
    Ok(Some(format!("seed {seed} failed after {took:.1?} ({}); again with `make sim SEED={seed}`\n{said}", output.status)))
}
