//! The manager as a process of the system.

use super::{LogFile, ManagerCommand};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde::{Deserialize, Serialize};
use std::{
    ffi::OsStr,
    fs, io,
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};

/// Between two looks whether a process that is not our child still runs.
const ALIVE_LOOK: Duration = Duration::from_millis(100);

/// A process that cannot be confused with a later one of the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Process id.
    pub pid: i32,
    /// Clock ticks after boot at which it started.
    pub start_time: u64,
}

impl Identity {
    /// The process that has this number now; `None` if there is none, or only its remains.
    #[must_use]
    pub fn of(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (state, start_time) = read_stat(&stat)?;
        (!matches!(state, "Z" | "X")).then_some(Self { pid, start_time })
    }

    /// Whether it still runs.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        Self::of(self.pid) == Some(*self)
    }

    fn signal(&self, signal: Signal) {
        if !self.is_alive() {
            return;
        }
        if let Err(errno) = kill(Pid::from_raw(self.pid), signal) {
            tracing::debug!(pid = self.pid, %errno, "the manager could not be signalled");
        }
    }
}

/// State and start time from `/proc/PID/stat`. The program's name, second there, may hold anything, also brackets.
fn read_stat(stat: &str) -> Option<(&str, u64)> {
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_ascii_whitespace();
    let state = fields.next()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}

/// The file that remembers which process the manager is.
#[derive(Debug, Clone)]
pub struct PidFile(PathBuf);

impl PidFile {
    /// The file at this path.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    fn read(&self) -> Option<Identity> {
        serde_json::from_slice(&fs::read(&self.0).ok()?).ok()
    }

    /// A failure costs a search through all processes at the next start, no more.
    fn write(&self, identity: Identity) {
        let text = serde_json::to_vec(&identity).expect("two numbers are plain JSON");
        if let Err(error) = fs::write(&self.0, text) {
            tracing::warn!(%error, path = %self.0.display(), "the manager's process id could not be saved");
        }
    }

    fn remove(&self) {
        match fs::remove_file(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, path = %self.0.display(), "the manager's process id could not be removed");
            }
            _ => {}
        }
    }
}

/// The manager could not be started.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartError {
    #[error("could not open {path}")]
    Log {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("could not start {bin}")]
    Spawn {
        bin: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// A running manager.
#[derive(Debug)]
pub(super) struct ManagerProcess {
    identity: Identity,
    /// `None` for one that an earlier agent started.
    child: Option<Child>,
    pid_file: PidFile,
    socket: PathBuf,
}

impl ManagerProcess {
    /// The manager that runs already, else a new one.
    pub(super) fn find_or_start(command: &ManagerCommand, log: &mut LogFile) -> Result<Self, StartError> {
        if let Some(found) = Self::find(command) {
            tracing::info!(pid = found.identity.pid, "found the manager that an earlier agent started");
            return Ok(found);
        }
        Self::start(command, log)
    }

    /// The manager of this state folder, by the file that remembers it or by its command line.
    pub(super) fn find(command: &ManagerCommand) -> Option<Self> {
        let pid_file = PidFile::new(&command.pid_file);
        let remembered = pid_file.read().filter(|identity| identity.is_alive() && is_manager_of(identity.pid, &command.socket));
        let identity = remembered.or_else(|| search(&command.socket))?;
        pid_file.write(identity);
        Some(Self { identity, child: None, pid_file, socket: command.socket.clone() })
    }

    fn start(command: &ManagerCommand, log: &mut LogFile) -> Result<Self, StartError> {
        let log_error = |source| StartError::Log { path: command.log_file.clone(), source };
        let out = log.open().map_err(log_error)?;
        let err = out.try_clone().map_err(log_error)?;
        let mut process = Command::new(&command.bin);
        process
            .args(command.args())
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            // The service manager's watch is over the agent alone.
            .env_remove("NOTIFY_SOCKET")
            .env_remove("WATCHDOG_USEC")
            .env_remove("WATCHDOG_PID");
        // SAFETY: setsid is async-signal-safe and touches no memory of the parent.
        unsafe {
            process.pre_exec(|| nix::unistd::setsid().map(|_| ()).map_err(io::Error::from));
        }
        let spawn = |source| StartError::Spawn { bin: command.bin.clone(), source };
        let child = process.spawn().map_err(spawn)?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).ok_or_else(|| spawn(io::Error::other("it ended at once")))?;
        // Not reaped yet, so its number cannot be of another process; remains have a start time too, but read as none.
        let start_time = Identity::of(pid).map_or(0, |identity| identity.start_time);
        let identity = Identity { pid, start_time };
        let pid_file = PidFile::new(&command.pid_file);
        pid_file.write(identity);
        tracing::info!(pid, "started the manager");
        Ok(Self { identity, child: Some(child), pid_file, socket: command.socket.clone() })
    }

    /// Waits for its end; the exit code if it is known. Cancel-safe.
    pub(super) async fn ended(&mut self) -> Option<i32> {
        match &mut self.child {
            Some(child) => match child.wait().await {
                Ok(status) => status.code(),
                Err(error) => {
                    tracing::warn!(%error, "could not wait for the manager");
                    None
                }
            },
            None => {
                while self.identity.is_alive() {
                    sleep(ALIVE_LOOK).await;
                }
                None
            }
        }
    }

    /// Asks it to stop, and after `within` ends it by force.
    pub(super) async fn stop(&mut self, within: Duration) {
        let begun = Instant::now();
        self.identity.signal(Signal::SIGTERM);
        if timeout(within, self.ended()).await.is_err() {
            tracing::warn!("the manager did not stop in time and is killed");
            self.identity.signal(Signal::SIGKILL);
            self.ended().await;
        }
        tracing::info!(after_ms = begun.elapsed().as_millis(), "the manager stopped");
        self.forget();
    }

    /// Removes what points to the process, which has ended.
    pub(super) fn forget(&self) {
        self.pid_file.remove();
        // A connection is refused quicker than one to a socket nobody serves is found out.
        if let Err(error) = fs::remove_file(&self.socket)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::debug!(%error, "the manager's socket could not be removed");
        }
    }
}

/// Whether a process is the manager with this private socket: its command line says so, and the socket's folder is the
/// same folder for it as for us. A manager in a container may have the same path for another folder.
fn is_manager_of(pid: i32, socket: &Path) -> bool {
    let Ok(cmdline) = fs::read(format!("/proc/{pid}/cmdline")) else {
        return false;
    };
    let args: Vec<&OsStr> = cmdline.split(|byte| *byte == 0).map(OsStr::from_bytes).collect();
    let says_so = args.windows(2).any(|pair| pair[0] == "--socket" && pair[1] == socket);
    says_so && socket.parent().is_some_and(|folder| is_same_folder(pid, folder))
}

fn is_same_folder(pid: i32, folder: &Path) -> bool {
    let Ok(below_root) = folder.strip_prefix("/") else {
        return false;
    };
    let id = |path: &Path| fs::metadata(path).map(|meta| (meta.dev(), meta.ino()));
    match (id(folder), id(&Path::new(&format!("/proc/{pid}/root")).join(below_root))) {
        (Ok(ours), Ok(theirs)) => ours == theirs,
        _ => false,
    }
}

/// Looks through all processes: the agent may have been killed before it wrote down which one it started.
fn search(socket: &Path) -> Option<Identity> {
    let own = i32::try_from(std::process::id()).ok()?;
    let pids = fs::read_dir("/proc").ok()?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| *pid != own && is_manager_of(*pid, socket)).find_map(Identity::of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_number_and_start() {
        let own = i32::try_from(std::process::id()).expect("a process id");
        let identity = Identity::of(own).expect("this process runs");
        assert!(identity.is_alive());
        assert!(!Identity { start_time: identity.start_time + 1, ..identity }.is_alive());
        let stat = "7 (a) b) (c) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4711 1 1";
        assert_eq!(read_stat(stat), Some(("S", 4711)));
        assert_eq!(read_stat("7 (a"), None);
    }
}
