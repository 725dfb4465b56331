//! Throwing the state of a member away.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::files::{self, FileError};
use crate::keys::{self, KeysError};
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
        remove_file(&dir.join(keys::FILE_NAME))?;
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

/// Moves log, mark and snapshots out of `dir` into the folder `aside` in it, so that a member can
/// start anew and nothing is lost for whoever wants to look. The data key goes too if it cannot be
/// read; a readable one stays, locked or not as it was. The log must be closed. Blocks on the disk.
///
/// May be repeated until it succeeds, as long as the member was not started in between.
///
/// # Errors
/// The first step that failed.
pub fn set_aside(dir: &Path, aside: &str) -> Result<(), WipeError> {
    let to = dir.join(aside);
    files::ensure_dir(&to)?;
    let mut names = vec![LOG_DIR.to_owned(), SNAPSHOT_DIR.to_owned()];
    names.extend(mark_path(Path::new(LOG_DIR)).to_str().map(str::to_owned));
    let is_malformed = keys::is_malformed(dir).map_err(|error| match error {
        KeysError::File { doing, path, source } => WipeError { doing, path, source },
        other => WipeError { doing: "judge", path: dir.join(keys::FILE_NAME), source: std::io::Error::other(other) },
    })?;
    if is_malformed {
        names.push(keys::FILE_NAME.to_owned());
    }
    for name in names {
        let from = dir.join(&name);
        match std::fs::rename(&from, to.join(&name)) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            renamed => renamed.map_err(files::failed("set aside", &from))?,
        }
    }
    files::sync_dir(&to)?;
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
