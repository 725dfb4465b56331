//! Network namespaces: made, pinned to a name, entered.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};

use crate::error::Error;

/// Where `ip netns` looks for them, so that an operator can, too.
const FOLDER: &str = "/run/netns";

/// An open network namespace. It lives at least as long as this value.
#[derive(Debug, Clone)]
pub struct Netns {
    path: PathBuf,
    file: Arc<File>,
}

impl Netns {
    /// The namespace of the calling thread.
    ///
    /// # Errors
    /// [`Error::Namespace`] when `/proc` cannot be read.
    pub fn current() -> Result<Self, Error> {
        Self::open(Path::new("/proc/thread-self/ns/net"))
    }

    /// The namespace of that name, if there is one.
    ///
    /// # Errors
    /// [`Error::Namespace`] when it cannot be opened.
    pub fn find(name: &str) -> Result<Option<Self>, Error> {
        let path = Path::new(FOLDER).join(name);
        // A file that is no namespace is left where pinning it was cut short.
        match is_pinned(&path) {
            true => Self::open(&path).map(Some),
            false => Ok(None),
        }
    }

    /// The namespace of a network of the agent with this prefix, if there is one.
    ///
    /// # Errors
    /// [`Error::Namespace`] when it cannot be opened.
    pub fn of_network(prefix: crate::Prefix, network: &str) -> Result<Option<Self>, Error> {
        Self::find(&prefix.namespace(network))
    }

    /// The namespace of that name, made now if there is none. Whether it was made is the second value.
    ///
    /// # Errors
    /// [`Error::Namespace`] when it cannot be made, pinned or opened.
    pub fn ensure(name: &str) -> Result<(Self, bool), Error> {
        if let Some(found) = Self::find(name)? {
            return Ok((found, false));
        }
        let path = Path::new(FOLDER).join(name);
        let failed = |source| Error::Namespace { action: "make", path: path.clone(), source };
        fs::create_dir_all(FOLDER).map_err(failed)?;
        File::create(&path).map_err(failed)?;
        // A thread of its own, since it stays in the namespace that it makes.
        on_a_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET)?;
            let own = Path::new("/proc/thread-self/ns/net");
            mount(Some(own), &path, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
            Ok(())
        })
        .map_err(failed)?;
        Ok((Self::open(&path)?, true))
    }

    /// Takes the name away. The namespace and its devices go when nothing else holds it.
    ///
    /// # Errors
    /// [`Error::Namespace`] when it is there and cannot be removed.
    pub fn remove(name: &str) -> Result<(), Error> {
        let path = Path::new(FOLDER).join(name);
        let failed = |source| Error::Namespace { action: "remove", path: path.clone(), source };
        if is_pinned(&path) {
            umount2(&path, MntFlags::MNT_DETACH).map_err(|error| failed(error.into()))?;
        }
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
            _ => Ok(()),
        }
    }

    /// The names that begin with `prefix`.
    ///
    /// # Errors
    /// [`Error::Namespace`] when the folder cannot be read.
    pub fn names(prefix: &str) -> Result<Vec<String>, Error> {
        let failed = |source| Error::Namespace { action: "list", path: FOLDER.into(), source };
        let entries = match fs::read_dir(FOLDER) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let name = entry.map_err(failed)?.file_name();
            names.extend(name.to_str().filter(|name| name.starts_with(prefix)).map(str::to_owned));
        }
        Ok(names)
    }

    fn open(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(|source| Error::Namespace { action: "open", path: path.into(), source })?;
        Ok(Self { path: path.into(), file: Arc::new(file) })
    }

    /// What tells it from every other namespace there is.
    pub(crate) fn id(&self) -> Result<u64, Error> {
        let failed = |source| Error::Namespace { action: "look at", path: self.path.clone(), source };
        Ok(self.file.metadata().map_err(failed)?.ino())
    }

    /// Its descriptor, good while `self` lives.
    pub(crate) fn fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    /// Runs `work` on a thread inside the namespace and waits for it.
    ///
    /// # Errors
    /// [`Error::Namespace`] when it cannot be entered; else what `work` says.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> Result<T, Error> + Send) -> Result<T, Error> {
        let result = on_a_thread(|| {
            setns(self.file.as_fd(), CloneFlags::CLONE_NEWNET)?;
            Ok(work())
        });
        result.map_err(|source| Error::Namespace { action: "enter", path: self.path.clone(), source })?
    }
}

/// Whether a namespace is mounted there, and not a mere file.
fn is_pinned(path: &Path) -> bool {
    nix::sys::statfs::statfs(path).is_ok_and(|it| it.filesystem_type() == nix::sys::statfs::NSFS_MAGIC)
}

fn on_a_thread<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("netns".into()).spawn_scoped(scope, work)?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
