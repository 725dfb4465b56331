//! Cleaning up after a bed, also when its test cannot do it any more.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use nix::fcntl::{Flock, FlockArg};

use crate::output::run;

const SWEEP_SCRIPT: &str = include_str!("scripts/sweep.sh");
const GUARD_SCRIPT: &str = include_str!("scripts/guard.sh");

/// Set for every process that is started for a bed, with the bed's folder: what is swept by it.
pub(crate) const MARK: &str = "SWARM_BED";
/// Present in a bed's folder when the bed was asked to stay.
pub(crate) const KEPT: &str = "kept";

/// A process that sweeps the bed when this value is dropped or its process ends.
#[derive(Debug)]
pub(crate) struct Guard(Child);

impl Guard {
    /// Starts the guard and waits until it holds the bed's lock.
    pub(crate) fn start(bed_dir: &Path) -> Result<Self> {
        fs::write(bed_dir.join("sweep.sh"), SWEEP_SCRIPT)?;
        let script = bed_dir.join("guard.sh");
        fs::write(&script, GUARD_SCRIPT)?;
        // In a process group of its own, so that it survives what is sent to the test's group. Its
        // working folder keeps no other folder busy.
        let mut child = Command::new("sh")
            .process_group(0)
            .arg(&script)
            .arg(bed_dir)
            .env_remove(MARK)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(bed_dir.join("guard.log"))?)
            .spawn()
            .context("could not start the guard")?;
        let mut line = String::new();
        let stdout = child.stdout.take().expect("standard output is piped");
        BufReader::new(stdout).read_line(&mut line)?;
        ensure!(line == "guarding\n", "the guard of {} did not start", bed_dir.display());
        Ok(Self(child))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        if let Err(error) = self.0.wait() {
            eprintln!("could not wait for the bed's guard: {error}");
        }
    }
}

/// Removes a bed that has no guard.
pub(crate) fn sweep(bed_dir: &Path) -> Result<()> {
    // From a copy outside the bed, which the script removes.
    let mut command = Command::new("sh");
    command.args(["-c", SWEEP_SCRIPT, "sweep"]).arg(bed_dir).env_remove(MARK);
    run(command)?.ok()?;
    ensure!(!bed_dir.exists(), "{} is still there", bed_dir.display());
    Ok(())
}

/// Whether a running guard holds the bed.
pub(crate) fn is_guarded(bed_dir: &Path) -> bool {
    let Ok(file) = File::open(bed_dir.join("lock")) else {
        return false;
    };
    Flock::lock(file, FlockArg::LockExclusiveNonblock).is_err()
}

/// Held while beds are numbered or looked through, so that half-made ones are not seen.
pub(crate) fn lock_base(base: &Path) -> Result<Flock<File>> {
    fs::create_dir_all(base).with_context(|| format!("could not make {}", base.display()))?;
    let path = base.join("lock");
    let file = File::create(&path).with_context(|| format!("could not open {}", path.display()))?;
    Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, error)| error).with_context(|| format!("could not lock {}", path.display()))
}

/// The folder of all beds of this machine.
pub(crate) fn base() -> PathBuf {
    std::env::temp_dir().join("swarm-bed")
}
