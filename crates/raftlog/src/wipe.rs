//! Throwing the state of a member away.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::files::{self, FileError};
use crate::log::LOG_DIR;
use crate::sled_backend::mark_path;
use crate::snapshot::SNAPSHOT_DIR;

/// How much to throw away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wipe {
    /// Log, vote and snapshots. The data key stays, locked or not as it was.
    State,
    /// Everything, the data key too: what is left on the disk's free blocks can be read by nobody.
    StateAndKeys,
}

/// A step of wiping failed; what was wiped before stays wiped, and wiping again goes on.
#[derive(Debug, thiserror::Error)]
#[error("could not {doing} {path}")]
pub struct WipeError {
    /// The step.
    pub doing: &'static str,
    /// The file or directory.
    pub path: PathBuf,
    /// What the operating system said.
    #[source]
    pub source: std::io::Error,
}

impl From<FileError> for WipeError {
    fn from(error: FileError) -> Self {
        WipeError { doing: error.doing, path: error.path, source: error.source }
    }
}

/// Throws away the state in `dir`, whatever its condition. The log must be closed. Blocks on the
/// disk; may be repeated, also when there is nothing.
///
/// The member must not come back under its old Raft id: its vote is forgotten too.
///
/// # Errors
/// The first step that failed.
pub fn wipe(dir: &Path, what: Wipe) -> Result<(), WipeError> {
    if !dir.is_dir() {
        return Ok(());
    }
    if what == Wipe::StateAndKeys {
        // First, so that a wipe that is cut short leaves nothing readable.
        remove_file(&dir.join("dek.json"))?;
        remove_file(&dir.join("dek.tmp"))?;
    }
    for name in [LOG_DIR, SNAPSHOT_DIR] {
        discard(dir, name)?;
    }
    // After the database: a crash between the two leaves a mark that asks for a wipe, while a database
    // without its mark could be anything.
    remove_file(&mark_path(&dir.join(LOG_DIR)))?;
    files::sync_dir(dir)?;
    Ok(())
}

/// Finishes a wipe that a crash cut short.
pub(crate) fn sweep(dir: &Path, name: &str) -> Result<(), FileError> {
    let discarded = discarded(dir, name);
    match std::fs::remove_dir_all(&discarded) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(files::failed("remove", &discarded)(error)),
        _ => Ok(()),
    }
}

/// Renames before removing: half a database must never be found under its name.
fn discard(dir: &Path, name: &str) -> Result<(), FileError> {
    sweep(dir, name)?;
    let path = dir.join(name);
    let discarded = discarded(dir, name);
    match std::fs::rename(&path, &discarded) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        renamed => renamed.map_err(files::failed("set aside", &path))?,
    }
    files::sync_dir(dir)?;
    sweep(dir, name)?;
    files::sync_dir(dir)
}

fn discarded(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.discarded"))
}

fn remove_file(path: &Path) -> Result<(), FileError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(files::failed("remove", path)(error)),
        _ => Ok(()),
    }
}
