//! Hollow nodes: how far the control plane carries, with real sessions over TLS to three real managers.

use super::{Options, Row, seconds};
use crate::{
    hollow::{self, Outcome},
    report::Line,
    usage::mb,
};
use anyhow::Result;
use std::time::Duration;

pub(super) const ROW: Row = Row { name: "hollow", title: "Hollow nodes: create → all tasks reported running", run };

/// Nodes and tasks of each run: the first size with a target, then the curve.
const RUNS: &[(usize, usize)] = &[(1000, 30_000), (250, 7_500), (2500, 75_000), (5000, 150_000)];
const RUNNING_MAX: Duration = Duration::from_secs(30);
const RSS_MAX: u64 = 300_000_000;

fn run(options: Options) -> Result<Vec<Line>> {
    // All cores: a thousand real nodes would have their own.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let runs = if options.quick { &RUNS[..1] } else { RUNS };
    let run = |(nodes, tasks): &(usize, usize)| runtime.block_on(hollow::run(*nodes, *tasks, |_| {})).map(|o| line(&o));
    runs.iter().map(run).collect()
}

fn line(outcome: &Outcome) -> Line {
    let has_target = outcome.nodes == RUNS[0].0;
    Line {
        what: format!(
            "{} nodes, {} tasks (nodes joined in {}; all tasks gone again in {})",
            outcome.nodes,
            outcome.tasks,
            seconds(outcome.joined),
            seconds(outcome.gone)
        ),
        ours: format!(
            "{}; largest manager {}; CPU of all managers {}, of the nodes {}; idle {:.2} cores",
            seconds(outcome.running),
            mb(outcome.rss_max),
            seconds(outcome.cpu),
            seconds(outcome.cpu_nodes),
            outcome.cpu_idle
        ),
        ratio: format!("{:.0} tasks/s", outcome.tasks as f64 / outcome.running.as_secs_f64()),
        target: if has_target { format!("≤ {} s, ≤ {}", RUNNING_MAX.as_secs(), mb(RSS_MAX)) } else { String::new() },
        reached: has_target.then_some(outcome.running <= RUNNING_MAX && outcome.rss_max <= RSS_MAX),
        ..Line::default()
    }
}
