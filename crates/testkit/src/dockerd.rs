//! The dockerd of one host.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::net::UnixStream;
use std::process::Child;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;

use crate::host::{Host, spawn_daemon, tail};
use crate::http::Request;
use crate::process::{self, Process};
use crate::wait;

/// How long a dockerd may take to answer, or to stop with all its containers.
const DEADLINE: Duration = Duration::from_secs(60);

/// A running dockerd, with the containerd that it starts for itself.
#[derive(Debug)]
pub(crate) struct Dockerd {
    /// The program that entered the host; it ends as dockerd does.
    child: Child,
    pub(crate) process: Process,
}

impl Dockerd {
    /// Starts dockerd on a host and waits until it answers.
    pub(crate) fn start(host: &Host, extra_args: &[&str]) -> Result<Self> {
        let dir = host.dir();
        let config = dir.join("daemon.json");
        fs::write(&config, "{}")?;
        // Left behind by a kill; its number may by now be that of another process.
        drop(fs::remove_file(dir.join("run/docker.pid")));

        let mut command = host.command("dockerd");
        command
            .arg("--config-file")
            .arg(&config)
            .arg("--data-root")
            .arg(host.docker_data())
            .args(["--exec-root", "/run/docker", "--pidfile", "/run/docker.pid"])
            .args(["--host", "unix:///run/docker.sock"])
            .args(["--storage-driver", storage_driver()])
            .args(["--cgroup-parent", &format!("/swarm-bed-{}", host.name().replace("-h", "/h"))])
            .args(["--iptables=true", "--log-level=info"])
            .args(["--default-address-pool", "base=172.30.0.0/16,size=24"])
            .args(extra_args);
        let mut child = spawn_daemon(command, &host.docker_log())?;
        let ready = wait::until("an answer from dockerd", DEADLINE, || {
            if let Some(status) = child.try_wait()? {
                return Ok(Err(status));
            }
            let stream = UnixStream::connect(host.docker_socket())?;
            Request::get("/_ping").send(stream, "docker")?.ok()?;
            Ok(Ok(()))
        });
        let log = || format!("dockerd of {}:\n{}", host.name(), tail(&host.docker_log(), 30));
        if let Err(status) = ready.with_context(log)? {
            bail!("dockerd ended with {status}: {}", log());
        }
        let process = entered(&child, OsStr::new("dockerd"))?;
        Ok(Self { child, process })
    }

    /// Stops dockerd and with it its containers.
    pub(crate) fn stop(mut self) -> Result<()> {
        self.process.signal(Signal::SIGTERM)?;
        process::wait_gone(self.process.pid, DEADLINE)?;
        let status = self.child.wait()?;
        ensure!(status.success(), "dockerd ended with {status}");
        Ok(())
    }

    /// Kills dockerd; its containers run on.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.process.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Collects a dockerd that ended with its host.
    pub(crate) fn collect(mut self) {
        drop(self.child.wait());
    }
}

/// The process that a host command became: the child of the program that entered the host.
pub(crate) fn entered(child: &Child, program: &OsStr) -> Result<Process> {
    let children = process::children(child.id());
    let found = children.iter().find(|process| OsStr::new(process.program()) == program);
    found.cloned().with_context(|| format!("no {program:?} among {children:?}"))
}

/// overlay2 where the kernel has it; the folder of the beds is on an ordinary file system.
fn storage_driver() -> &'static str {
    let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let on_overlay =
        nix::sys::statfs::statfs(&std::env::temp_dir()).is_ok_and(|fs| fs.filesystem_type() == nix::sys::statfs::OVERLAYFS_SUPER_MAGIC);
    if known.split_whitespace().any(|word| word == "overlay") && !on_overlay { "overlay2" } else { "vfs" }
}
