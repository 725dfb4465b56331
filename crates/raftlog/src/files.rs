//! File operations that are durable when they return.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Only the daemon's user reads anything of this room.
pub(crate) const PRIVATE_DIR_MODE: u32 = 0o700;
pub(crate) const PRIVATE_FILE_MODE: u32 = 0o600;

/// A file operation that failed, with what it was and where.
#[derive(Debug, thiserror::Error)]
#[error("could not {doing} {path}")]
pub(crate) struct FileError {
    pub(crate) doing: &'static str,
    pub(crate) path: PathBuf,
    #[source]
    pub(crate) source: io::Error,
}

/// Attaches what was being done to which path to an I/O error.
pub(crate) fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_path_buf();
    move |source| FileError { doing, path, source }
}

/// Makes the entries of a directory (creations, renames, removals) durable.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), FileError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed("sync directory", dir))
}

/// Makes a directory exist, private to this user, and its entry in the parent durable.
pub(crate) fn ensure_dir(dir: &Path) -> Result<(), FileError> {
    if dir.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(PRIVATE_DIR_MODE).create(dir).map_err(failed("create directory", dir))?;
    match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_dir(parent),
        _ => Ok(()),
    }
}

/// Creates a private file for writing, emptying one that is left from before.
pub(crate) fn create_private(path: &Path) -> Result<File, FileError> {
    OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(PRIVATE_FILE_MODE).open(path).map_err(failed("create", path))
}

/// Replaces a file in one step: after a crash it holds either the old bytes or the new ones.
pub(crate) fn replace_private(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let temporary = path.with_extension("tmp");
    let mut file = create_private(&temporary)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed("write", &temporary))?;
    publish(&temporary, path)
}

/// Fails unless the disk takes this many bytes more. They are written and removed again: what the disk
/// says of itself knows nothing of quotas.
pub(crate) fn require_room(dir: &Path, bytes: usize) -> Result<(), FileError> {
    let path = dir.join("room.tmp");
    let mut file = create_private(&path)?;
    let written = file.write_all(&vec![0; bytes]).and_then(|()| file.sync_all()).map_err(failed("find room for", &path));
    std::fs::remove_file(&path).map_err(failed("remove", &path))?;
    written
}

/// Renames a finished and synced file to its final name, durably.
pub(crate) fn publish(temporary: &Path, path: &Path) -> Result<(), FileError> {
    std::fs::rename(temporary, path).map_err(failed("rename to", path))?;
    match path.parent() {
        Some(parent) => sync_dir(parent),
        None => Ok(()),
    }
}
