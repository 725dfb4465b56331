//! 100,000 tasks placed on 1,000 nodes by the planner alone: its own example program, run beside us.

use super::{Options, Row};
use crate::report::Line;
use anyhow::{Context, Result, ensure};
use std::process::Command;

pub(super) const ROW: Row = Row { name: "place", title: "100,000 tasks placed on 1,000 nodes, planner alone", run };

const SECONDS_MAX: f64 = 0.5;
/// The same by SwarmKit's own benchmark on this kind of machine. It is not run again: it needs Go and SwarmKit's source.
const SWARMKIT_SECONDS: f64 = 51.0;

fn run(_: Options) -> Result<Vec<Line>> {
    let program = swarm_testkit::bin_dir()?.join("examples/place");
    let output = Command::new(&program).output();
    let output = output.with_context(|| format!("{} is not built: cargo build -p swarm-planner --example place", program.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let planning = text.lines().find_map(|l| l.strip_prefix("planning ")).and_then(|l| l.split(' ').next());
    let planning = planning.with_context(|| format!("it does not tell its time: {text}"))?;
    let took = seconds_of(planning).with_context(|| format!("{planning} is no time"))?;
    Ok(vec![Line {
        what: "processor time spent planning".to_owned(),
        docker: Some(format!("{SWARMKIT_SECONDS} s (SwarmKit's own benchmark, an earlier run)")),
        ours: planning.to_owned(),
        ratio: format!("{:.4} × SwarmKit", took / SWARMKIT_SECONDS),
        target: format!("≤ {SECONDS_MAX} s"),
        reached: Some(took <= SECONDS_MAX),
        ..Line::default()
    }])
}

/// A time as Rust prints it.
fn seconds_of(text: &str) -> Option<f64> {
    match text.strip_suffix("ms") {
        Some(number) => number.parse::<f64>().ok().map(|n| n / 1000.0),
        None => text.strip_suffix('s')?.parse().ok(),
    }
}
