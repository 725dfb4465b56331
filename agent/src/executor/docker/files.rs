//! Files of tasks in memory: a tmpfs of the agent's own, with a folder per task, from where the engine binds them read-only.
//!
//! Nothing of them reaches a disk: the folder is covered by a tmpfs, unswappable where the kernel can do that, before the
//! first file is written.

use super::super::{ExecutorError, TaskFile};
use bollard::models::{Mount, MountType};
use nix::{
    errno::Errno,
    mount::{MntFlags, MsFlags, mount, umount2},
    sys::statfs::{TMPFS_MAGIC, statfs},
    unistd::{Gid, Uid, chown},
};
use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};
use swarm_types::TaskId;

/// The folder of the files of all tasks. Cloning is cheap.
#[derive(Debug, Clone)]
pub(super) struct TaskFiles {
    root: PathBuf,
    /// Tasks whose files were written in this life of the agent and not removed. Held while anything in the folder is
    /// touched, so that nothing is written while its tmpfs is taken away, nor taken for a leftover.
    written: Arc<Mutex<BTreeSet<TaskId>>>,
}

impl TaskFiles {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root, written: Arc::default() }
    }

    /// Writes the files of a task, over those of an earlier try, and gives the mounts that bring them into its container.
    pub(super) async fn write(&self, task: TaskId, files: &[TaskFile]) -> Result<Vec<Mount>, ExecutorError> {
        let files = files.to_vec();
        let writing = move |root: &Path, written: &mut BTreeSet<TaskId>| {
            written.insert(task);
            write_all(root, task, &files)
        };
        self.locked("the files of secrets and configs cannot be written", writing).await
    }

    /// Removes the files of a task. None is no error.
    pub(super) async fn remove(&self, task: TaskId) -> Result<(), ExecutorError> {
        let removing = move |root: &Path, written: &mut BTreeSet<TaskId>| {
            remove_folder(&root.join(task.as_str()))?;
            written.remove(&task);
            Ok(())
        };
        self.locked("the files of a task cannot be removed", removing).await
    }

    /// Removes what an earlier life of the agent left of all tasks but these.
    pub(super) async fn retain(&self, tasks: &BTreeSet<TaskId>) -> Result<(), ExecutorError> {
        let tasks = tasks.clone();
        let removing = move |root: &Path, written: &mut BTreeSet<TaskId>| {
            for (task, folder) in folders(root)? {
                if !tasks.contains(&task) && !written.contains(&task) {
                    remove_folder(&folder)?;
                }
            }
            Ok(())
        };
        self.locked("files of tasks that are gone cannot be removed", removing).await
    }

    /// Removes the files of all tasks, and the file system that they were in.
    pub(super) async fn clear(&self) -> Result<(), ExecutorError> {
        let clearing = |root: &Path, written: &mut BTreeSet<TaskId>| {
            for (_, folder) in folders(root)? {
                remove_folder(&folder)?;
            }
            written.clear();
            if !root.exists() {
                return Ok(());
            }
            if is_covered(root)? {
                umount2(root, MntFlags::MNT_DETACH)?;
            }
            fs::remove_dir(root)
        };
        self.locked("the files of secrets and configs cannot be taken away", clearing).await
    }

    /// Does something with the folder that nothing else touches meanwhile. Goes on to its end when dropped.
    async fn locked<T: Send + 'static>(
        &self,
        what: &'static str,
        act: impl FnOnce(&Path, &mut BTreeSet<TaskId>) -> io::Result<T> + Send + 'static,
    ) -> Result<T, ExecutorError> {
        let Self { root, written } = self.clone();
        let acting = tokio::task::spawn_blocking(move || act(&root, &mut written.lock().expect("nothing panics while holding it")));
        let done = acting.await.unwrap_or_else(|error| Err(io::Error::other(error)));
        done.map_err(|source| ExecutorError::Unready { what: format!("{what}: {source}"), source: Some(source.into()) })
    }
}

/// The folders of tasks that are there.
fn folders(root: &Path) -> io::Result<Vec<(TaskId, PathBuf)>> {
    let entries = match fs::read_dir(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let task = path.file_name().and_then(|name| name.to_str()).and_then(|name| TaskId::parse(name).ok());
        found.extend(task.map(|task| (task, path)));
    }
    Ok(found)
}

fn remove_folder(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn write_all(root: &Path, task: TaskId, files: &[TaskFile]) -> io::Result<Vec<Mount>> {
    ensure_in_memory(root)?;
    let folder = root.join(task.as_str());
    remove_folder(&folder)?;
    fs::DirBuilder::new().mode(0o700).create(&folder)?;
    let numbered = files.iter().enumerate();
    numbered.map(|(number, file)| write_one(&folder.join(number.to_string()), file)).collect()
}

fn write_one(path: &Path, file: &TaskFile) -> io::Result<Mount> {
    let mut opened = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    io::Write::write_all(&mut opened, file.contents.bytes())?;
    chown(path, Some(Uid::from_raw(file.uid)), Some(Gid::from_raw(file.gid)))?;
    // After the owner: changing that clears bits.
    opened.set_permissions(fs::Permissions::from_mode(file.mode))?;
    Ok(Mount {
        typ: Some(MountType::BIND),
        source: Some(path.display().to_string()),
        target: Some(file.target.clone()),
        read_only: Some(true),
        ..Mount::default()
    })
}

/// Covers the folder with a tmpfs of its own.
fn ensure_in_memory(root: &Path) -> io::Result<()> {
    fs::create_dir_all(root)?;
    if is_covered(root)? {
        return Ok(());
    }
    // Programs may be run: scripts are often brought in as configs.
    let flags = MsFlags::MS_NODEV | MsFlags::MS_NOSUID;
    let cover = |options: &str| mount(Some("swarm-files"), root, Some("tmpfs"), flags, Some(options));
    match cover("mode=0700,noswap") {
        // Linux before 6.4 does not know the option, nor does a user namespace grant it.
        Err(Errno::EINVAL) => cover("mode=0700")?,
        covered => covered?,
    }
    tracing::info!(path = %root.display(), "mounted a file system in memory for secrets and configs");
    Ok(())
}

/// Whether the folder is where a tmpfs is mounted.
fn is_covered(root: &Path) -> io::Result<bool> {
    let above = root.parent().unwrap_or(root);
    Ok(fs::metadata(root)?.dev() != fs::metadata(above)?.dev() && statfs(root)?.filesystem_type() == TMPFS_MAGIC)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(n: u8) -> TaskId {
        TaskId::from_random([n; 16])
    }

    fn file(target: &str, uid: u32, mode: u32) -> TaskFile {
        TaskFile { target: target.into(), uid, gid: 7, mode, contents: b"hidden".to_vec().into() }
    }

    fn has_folder(files: &TaskFiles, task: TaskId) -> bool {
        files.root.join(task.as_str()).exists()
    }

    #[tokio::test]
    async fn files_are_in_memory_and_leave_nothing() {
        if !Uid::effective().is_root() {
            return; // Mounting is for root only, and so is the agent.
        }
        let dir = tempfile::tempdir().expect("a folder");
        let files = TaskFiles::new(dir.path().join("files"));
        files.clear().await.expect("nothing to clear");
        let mounts = files.write(task(1), &[file("/a", 5, 0o400), file("/b", 0, 0o4755)]).await.expect("written");
        let source = PathBuf::from(mounts[0].source.as_deref().expect("a source"));
        let made = fs::metadata(&source).expect("a file");
        assert_eq!((made.uid(), made.gid(), made.mode() & 0o7777), (5, 7, 0o400));
        assert_eq!(fs::metadata(mounts[1].source.as_deref().expect("a source")).expect("a file").mode() & 0o7777, 0o4755);
        assert_eq!((mounts[0].target.as_deref(), mounts[0].read_only), (Some("/a"), Some(true)));
        assert_eq!(fs::read(&source).expect("readable"), b"hidden");
        assert!(is_covered(&files.root).expect("a folder"));
        // A later life of the agent has the same file system, and removes what no task needs.
        let later = TaskFiles::new(files.root.clone());
        later.write(task(2), &[file("/a", 0, 0o444)]).await.expect("written");
        later.write(task(3), &[file("/a", 0, 0o444)]).await.expect("written");
        later.remove(task(3)).await.expect("removed");
        assert!(has_folder(&later, task(1)) && !has_folder(&later, task(3)));
        later.retain(&BTreeSet::new()).await.expect("cleaned");
        assert!(!has_folder(&later, task(1)) && has_folder(&later, task(2)));
        later.clear().await.expect("cleared");
        assert!(!files.root.exists());
    }
}
