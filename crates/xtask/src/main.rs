//! Checks of the tree that no compiler makes: `cargo run -p xtask -- arrows | tidy`.
//!
//! Both only read. They are tests of this crate too, so that a test run fails on what they find.

mod arrows;
mod tidy;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};

fn main() -> ExitCode {
    let arg = std::env::args().nth(1).unwrap_or_default();
    let found = match arg.as_str() {
        "arrows" => arrows::check(),
        "tidy" => tidy::check(),
        _ => {
            eprintln!("usage: xtask arrows | tidy");
            return ExitCode::from(2);
        }
    };
    match found {
        Ok(faults) if faults.is_empty() => ExitCode::SUCCESS,
        Ok(faults) => {
            for fault in &faults {
                eprintln!("{fault}");
            }
            eprintln!("{arg}: {} to put right", faults.len());
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{arg}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The workspace's root.
fn root() -> Result<&'static Path> {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).context("this crate is two folders below the root")
}
