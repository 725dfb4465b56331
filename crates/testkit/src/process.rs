//! Processes of the machine, as /proc tells them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::wait;

/// A process, by its id outside the hosts.
#[derive(Debug, Clone)]
pub struct Process {
    /// Process id in the machine's own namespace.
    pub pid: u32,
    /// The parent's id, 0 when it is outside what can be seen.
    pub parent: u32,
    /// The program file; `None` for kernel threads and for processes that are just ending.
    pub exe: Option<PathBuf>,
    /// The command line, its first word being the program's name as it was called.
    pub args: Vec<String>,
    /// Whether the process has ended and only waits to be collected.
    pub zombie: bool,
    /// Inode number of its process namespace, which tells the hosts apart. Containers have their own.
    pub(crate) pid_namespace: Option<u64>,
}

impl Process {
    /// File name of the program, without its folder.
    #[must_use]
    pub fn program(&self) -> &str {
        self.exe.as_deref().and_then(Path::file_name).and_then(|name| name.to_str()).unwrap_or_default()
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// When there is no such process any more.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        send(self.pid, signal)
    }

    /// Sends SIGKILL and waits until the process is gone.
    ///
    /// # Errors
    /// When there was no such process, or when it is still there after ten seconds.
    pub fn kill(&self) -> Result<()> {
        send(self.pid, Signal::SIGKILL)?;
        wait_gone(self.pid, Duration::from_secs(10))
    }

    /// Whether the process runs: it exists and is no zombie.
    #[must_use]
    pub fn alive(&self) -> bool {
        read(self.pid).is_some_and(|process| !process.zombie)
    }
}

pub(crate) fn send(pid: u32, signal: Signal) -> Result<()> {
    kill(to_pid(pid), signal).with_context(|| format!("could not send {signal} to process {pid}"))
}

/// Waits until a process has ended (it may still be a zombie).
pub(crate) fn wait_gone(pid: u32, deadline: Duration) -> Result<()> {
    wait::until(&format!("end of process {pid}"), deadline, || {
        let left = read(pid).filter(|process| !process.zombie);
        ensure!(left.is_none(), "it runs");
        Ok(())
    })
}

/// All processes of the machine. One that ends while this looks may be missing.
pub(crate) fn all() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter_map(read).collect()
}

/// The processes whose parent is `pid`.
pub(crate) fn children(pid: u32) -> Vec<Process> {
    let mut found = all();
    found.retain(|process| process.parent == pid);
    found
}

/// Kills a process and its descendants. Those that end by themselves meanwhile are no failure.
pub(crate) fn kill_tree(pid: u32) {
    for child in children(pid) {
        kill_tree(child.pid);
    }
    let _ = kill(to_pid(pid), Signal::SIGKILL);
}

pub(crate) fn pid_namespace(pid: u32) -> Option<u64> {
    let link = fs::read_link(format!("/proc/{pid}/ns/pid")).ok()?;
    // The link reads `pid:[4026531836]`.
    let digits = link.to_str()?.strip_prefix("pid:[")?.strip_suffix(']')?;
    digits.parse().ok()
}

fn read(pid: u32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The program's name stands in parentheses and may hold spaces and parentheses itself.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let cmdline = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let args =
        cmdline.split(|byte| *byte == 0).filter(|word| !word.is_empty()).map(|word| String::from_utf8_lossy(word).into_owned()).collect();
    Some(Process {
        pid,
        parent,
        exe: fs::read_link(format!("/proc/{pid}/exe")).ok(),
        args,
        zombie: matches!(state, "Z" | "X"),
        pid_namespace: pid_namespace(pid),
    })
}

fn to_pid(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).expect("process ids are below 2^22"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_seen_as_it_is() {
        let own = read(std::process::id()).unwrap();
        assert_eq!(own.exe, std::env::current_exe().ok());
        assert!(own.alive());
        assert_eq!(own.pid_namespace, pid_namespace(own.pid));
    }

    #[test]
    fn a_tree_is_killed_with_its_leaves() {
        let mut child = std::process::Command::new("sh").args(["-c", "sleep 1000; true"]).spawn().unwrap();
        let leaf = wait::until("a leaf", Duration::from_secs(10), || {
            let leaves = children(child.id());
            ensure!(leaves.len() == 1, "{leaves:?}");
            Ok(leaves[0].pid)
        })
        .unwrap();
        kill_tree(child.id());
        child.wait().unwrap();
        wait_gone(leaf, Duration::from_secs(10)).unwrap();
    }
}
