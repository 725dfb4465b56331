//! What lies where in the state folder.

use crate::{chain, identity::record::RecordFile};
use std::{
    fs, io,
    path::{Path, PathBuf},
};
use swarm_pki::CertStore;

/// Paths of the state folder.
#[derive(Debug, Clone)]
pub(crate) struct Paths {
    /// The folder; also where certificates and the record are kept by those who own them.
    pub(crate) state_dir: PathBuf,
    /// Held by the agent that uses the folder.
    pub(crate) lock: PathBuf,
    /// The worker's records.
    pub(crate) worker: PathBuf,
    /// Where the files of secrets and configs are mounted; nothing of it is on a disk.
    pub(crate) files: PathBuf,
    /// Files that some containers have for their `resolv.conf`.
    pub(crate) resolvers: PathBuf,
    /// The manager's state.
    pub(crate) manager: PathBuf,
    /// The manager's private socket.
    pub(crate) manager_socket: PathBuf,
    /// Which process the manager is.
    pub(crate) manager_pid: PathBuf,
    /// What the manager prints. It outlives a membership: it may tell why one failed.
    pub(crate) manager_log: PathBuf,
    /// What a first manager is told.
    pub(crate) init: PathBuf,
}

impl Paths {
    pub(crate) fn new(state_dir: &Path) -> Self {
        let state_dir = std::path::absolute(state_dir).unwrap_or_else(|_| state_dir.to_owned());
        Self {
            lock: state_dir.join("agent.lock"),
            worker: state_dir.join("worker"),
            files: state_dir.join("files"),
            resolvers: state_dir.join("resolvers"),
            manager: state_dir.join("manager"),
            manager_socket: state_dir.join("manager.sock"),
            manager_pid: state_dir.join("manager.pid.json"),
            manager_log: state_dir.join("manager.log"),
            init: state_dir.join("init.json"),
            state_dir,
        }
    }

    /// Removes the state of a manager that must not run any more.
    pub(crate) fn wipe_manager(&self) -> io::Result<()> {
        remove_dir(&self.manager)?;
        remove_file(&self.manager_socket)?;
        remove_file(&self.manager_pid)
    }

    /// Removes everything that belongs to a membership except certificates and record. Nobody may use it any more.
    pub(crate) fn wipe(&self) -> io::Result<()> {
        self.wipe_manager()?;
        remove_dir(&self.worker)?;
        remove_dir(&self.resolvers)?;
        remove_file(&self.init)
    }
}

fn remove_dir(path: &Path) -> io::Result<()> {
    tolerate_absence(path, fs::remove_dir_all(path))
}

fn remove_file(path: &Path) -> io::Result<()> {
    tolerate_absence(path, fs::remove_file(path))
}

fn tolerate_absence(path: &Path, removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io::Error::new(error.kind(), format!("{}: {error}", path.display()))),
        _ => Ok(()),
    }
}

/// Removes certificates, state and record, in this order: the record is what a restart goes on from.
pub(crate) fn wipe(paths: &Paths) -> Result<(), String> {
    CertStore::new(&paths.state_dir).wipe().map_err(|error| chain(&error))?;
    paths.wipe().map_err(|error| error.to_string())?;
    RecordFile::new(&paths.state_dir).remove().map_err(|error| chain(&error))
}
