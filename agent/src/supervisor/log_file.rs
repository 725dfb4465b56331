//! What the manager prints.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

/// Bytes after which the file is moved aside; twice as many lie on the disk at most.
const BYTES_MAX: u64 = 16 << 20;
/// Bytes read from the end to find the last line.
const TAIL_BYTES: u64 = 16 << 10;

/// The file that the manager's output goes to.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    /// Where this run's output begins.
    begin: u64,
}

impl LogFile {
    pub(super) fn new(path: &Path) -> Self {
        let begin = fs::metadata(path).map_or(0, |meta| meta.size());
        Self { path: path.to_owned(), begin }
    }

    /// The file, open for a manager that is about to start.
    pub(super) fn open(&mut self) -> io::Result<File> {
        self.keep_short();
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&self.path)?;
        self.begin = file.metadata()?.size();
        Ok(file)
    }

    /// Copies a long file aside and empties it. The manager appends, so it goes on at the start; lines printed between the
    /// two steps are lost.
    pub(super) fn keep_short(&mut self) {
        if fs::metadata(&self.path).map_or(0, |meta| meta.size()) <= BYTES_MAX {
            return;
        }
        let aside = self.path.with_extension("log.1");
        let moved = fs::copy(&self.path, aside).and_then(|_| OpenOptions::new().write(true).open(&self.path)?.set_len(0));
        match moved {
            Ok(()) => self.begin = 0,
            Err(error) => {
                tracing::warn!(%error, path = %self.path.display(), "the manager's log could not be moved aside")
            }
        }
    }

    /// The last line of this run, to tell why it ended.
    pub(super) fn last_line(&self) -> Option<String> {
        let mut file = File::open(&self.path).ok()?;
        let end = file.metadata().ok()?.size();
        let begin = self.begin.max(end.saturating_sub(TAIL_BYTES)).min(end);
        file.seek(SeekFrom::Start(begin)).ok()?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes).ok()?;
        let text = String::from_utf8_lossy(&bytes);
        let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty())?;
        Some(line.trim_start_matches("swarm-manager: ").to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn only_this_runs_last_line_is_told_and_long_files_are_moved_aside() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("manager.log");
        fs::write(&path, "of an earlier run\n").expect("writes");
        let mut log = LogFile::new(&path);
        let mut file = log.open().expect("opens");
        assert_eq!(log.last_line(), None);
        file.write_all(b"one\nswarm-manager: two\n\n").expect("writes");
        assert_eq!(log.last_line().as_deref(), Some("two"));
        file.write_all(&vec![b'x'; BYTES_MAX as usize]).expect("writes");
        log.keep_short();
        file.write_all(b"three\n").expect("writes");
        assert_eq!(fs::read(&path).expect("reads"), b"three\n");
        assert_eq!(log.last_line().as_deref(), Some("three"));
    }
}
