//! `make bench`: measures the rows of the design's table and keeps what came out.

use anyhow::{Result, bail};
use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;
use swarm_benchmarks::{
    report,
    rows::{Options, ROWS, Row},
};

/// Measures this project beside Docker Swarm and etcd.
#[derive(Debug, Parser)]
struct Arguments {
    /// Rows to measure; all when none is named. `list` names them.
    rows: Vec<String>,
    /// Less of everything, without Docker Swarm; nothing is kept.
    #[arg(long)]
    quick: bool,
    /// File that the figures are kept in.
    #[arg(long)]
    results: Option<PathBuf>,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    if arguments.rows == ["list"] {
        ROWS.iter().for_each(|row| println!("{:<12}{}", row.name, row.title));
        return Ok(ExitCode::SUCCESS);
    }
    let mut failed = false;
    for row in chosen(&arguments.rows)? {
        let machine = report::machine();
        println!("## {}\n", row.title);
        match (row.run)(Options { quick: arguments.quick }) {
            Ok(lines) => {
                let table = report::table(&lines);
                println!("{table}");
                if let (Some(path), false) = (&arguments.results, arguments.quick) {
                    report::save(path, row.title, &format!("`make bench ROW={}` — {machine}\n\n{table}", row.name))?;
                }
            }
            Err(error) => {
                println!("not measured: {error:#}\n");
                failed = true;
            }
        }
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn chosen(names: &[String]) -> Result<Vec<Row>> {
    if names.is_empty() {
        return Ok(ROWS.to_vec());
    }
    let find = |name: &String| match ROWS.iter().find(|row| row.name == name) {
        Some(row) => Ok(*row),
        None => bail!("there is no row {name}: {}", ROWS.iter().map(|row| row.name).collect::<Vec<_>>().join(", ")),
    };
    names.iter().map(find).collect()
}
