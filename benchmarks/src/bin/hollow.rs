//! Hollow nodes: `cargo run --release -p swarm-benchmarks --bin hollow -- 1000:30000 5000:150000`, each pair being nodes and
//! tasks of a run of its own. `swarm-manager` must be built too.

use anyhow::{Context, Result};
use swarm_benchmarks::{hollow, usage::mb};

fn main() -> Result<()> {
    let mut runs: Vec<String> = std::env::args().skip(1).collect();
    if runs.is_empty() {
        runs.push("1000:30000".to_owned());
    }
    // All cores: a thousand real nodes would have their own.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    for pair in runs {
        let (nodes, tasks) = pair.split_once(':').context("a run is NODES:TASKS")?;
        let outcome = runtime.block_on(hollow::run(nodes.parse()?, tasks.parse()?, |what| eprintln!("{what}")))?;
        println!(
            "{nodes} nodes, {tasks} tasks: joined {:.1?}, running {:.1?}, gone {:.1?}; largest manager {}, managers' CPU {:.1?}, \
             nodes' CPU {:.1?}, managers idle {:.2} cores",
            outcome.joined,
            outcome.running,
            outcome.gone,
            mb(outcome.rss_max),
            outcome.cpu,
            outcome.cpu_nodes,
            outcome.cpu_idle
        );
    }
    Ok(())
}
