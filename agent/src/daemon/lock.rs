//! One agent per state folder.

use nix::fcntl::{Flock, FlockArg};
use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Seek as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// The state folder cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another agent uses it.
    #[error("another agent{holder} uses the state folder {dir}")]
    Held {
        /// The folder.
        dir: PathBuf,
        /// ` (process N)`, if it told.
        holder: String,
    },
    /// The system refused.
    #[error("could not lock {path}")]
    Io {
        /// The lock file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// How long to wait for the lock. A program that a killed agent was just starting holds it until it runs.
const WAIT: Duration = Duration::from_secs(1);
const RETRY: Duration = Duration::from_millis(20);

/// Keeps other agents out until dropped, or until the process ends in whatever way.
#[derive(Debug)]
pub(super) struct StateLock {
    _file: Flock<File>,
}

impl StateLock {
    pub(super) fn take(path: &Path) -> Result<Self, LockError> {
        let failed = |source| LockError::Io { path: path.to_owned(), source };
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path).map_err(failed)?;
        let mut file = match lock(file) {
            Ok(file) => file,
            Err((mut file, nix::errno::Errno::EWOULDBLOCK)) => {
                let mut pid = String::new();
                let holder = match file.read_to_string(&mut pid) {
                    Ok(_) if !pid.trim().is_empty() => format!(" (process {})", pid.trim()),
                    _ => String::new(),
                };
                return Err(LockError::Held { dir: path.parent().unwrap_or(path).to_owned(), holder });
            }
            Err((_, errno)) => return Err(failed(errno.into())),
        };
        // For people who wonder who holds it; the lock itself does not depend on it.
        let text = std::process::id().to_string();
        file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(text.as_bytes())).map_err(failed)?;
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_agent_is_told_who_is_there() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("agent.lock");
        let first = StateLock::take(&path).expect("is free");
        let refused = StateLock::take(&path).expect_err("is held").to_string();
        assert!(refused.starts_with(&format!("another agent (process {}) uses", std::process::id())), "{refused}");
        drop(first);
        StateLock::take(&path).expect("is free again");
    }
}

fn lock(mut file: File) -> Result<Flock<File>, (File, nix::errno::Errno)> {
    let deadline = Instant::now() + WAIT;
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Err((given_back, nix::errno::Errno::EWOULDBLOCK)) if Instant::now() < deadline => {
                file = given_back;
                // There is nothing to be woken by but by asking again: a lock that blocks cannot be given up.
                std::thread::sleep(RETRY);
            }
            locked => return locked,
        }
    }
}
