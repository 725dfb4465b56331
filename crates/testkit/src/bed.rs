//! A bed: hosts on a switch, swept when it is dropped.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread;

use anyhow::{Context, Result, anyhow, ensure};

use crate::guard::{self, Guard, KEPT, MARK};
use crate::host::{HTTP_DEADLINE, Host};
use crate::http::{Request, Response};
use crate::images;
use crate::output::run;
use crate::switch::{Switch, connect_from, netns_path};

/// How many beds a machine can hold at once: the number is the third byte of their addresses.
const BEDS_MAX: u8 = 250;
/// How many hosts a bed can have: what its /24 has room for, rounded down.
const HOSTS_MAX: u8 = 200;
/// What all names of beds begin with.
const PREFIX: &str = "swb";

/// Hosts on a switch of their own, each with its own dockerd that has the [test images](crate::WEB_1).
///
/// Dropping it removes all of it and waits until that is done.
#[derive(Debug)]
pub struct Bed {
    name: String,
    dir: PathBuf,
    switch: Arc<Switch>,
    hosts: Vec<Arc<Host>>,
    /// `None` for a bed that is to stay.
    guard: Option<Guard>,
}

impl Bed {
    /// Makes a bed of `hosts` hosts and waits until every dockerd answers and has the images.
    ///
    /// # Errors
    /// When the machine lacks something (`scripts/setup.sh` installs it) or a dockerd does not start.
    /// What was made by then is removed.
    pub fn up(hosts: u8) -> Result<Self> {
        let bed = Self::new(hosts, false)?;
        bed.start()?;
        Ok(bed)
    }

    /// As [`Bed::up`], for a bed that stays when this process ends; [`KeptBed::remove`] removes it.
    ///
    /// # Errors
    /// As [`Bed::up`], but what was made by then stays until it is removed.
    pub fn up_kept(hosts: u8) -> Result<Self> {
        let bed = Self::new(hosts, true)?;
        bed.start()?;
        Ok(bed)
    }

    /// The bed's name, which the names of its namespaces begin with.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The bed's folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A host by its number, from 1.
    ///
    /// # Panics
    /// When there is no such host.
    #[must_use]
    pub fn host(&self, number: u8) -> &Arc<Host> {
        let index = usize::from(number).checked_sub(1);
        index.and_then(|index| self.hosts.get(index)).unwrap_or_else(|| panic!("{} has no host {number}", self.name))
    }

    /// All hosts, in the order of their numbers.
    #[must_use]
    pub fn hosts(&self) -> &[Arc<Host>] {
        &self.hosts
    }

    /// Address of the switch: the client of [`Bed::http_get_from_outside`].
    #[must_use]
    pub fn outside_address(&self) -> Ipv4Addr {
        self.switch.outside_address()
    }

    /// GETs `path` from a web server on a host, as a client that is no host of the cluster.
    ///
    /// # Errors
    /// When no whole answer comes.
    pub fn http_get_from_outside(&self, to: impl Into<SocketAddr>, path: &str) -> Result<Response> {
        let to = to.into();
        let netns = netns_path(&self.switch.netns());
        let stream = connect_from(&netns, to, HTTP_DEADLINE)?;
        stream.set_read_timeout(Some(HTTP_DEADLINE))?;
        Request::get(path).send(stream, &to.to_string())
    }

    fn new(hosts: u8, kept: bool) -> Result<Self> {
        ensure!((1..=HOSTS_MAX).contains(&hosts), "a bed has 1 to {HOSTS_MAX} hosts");
        ensure!(nix::unistd::geteuid().is_root(), "a test bed needs root, for namespaces and dockerd");
        ensure_cgroups()?;
        let base = guard::base();
        let lock = guard::lock_base(&base)?;
        let (number, dir) = (1..=BEDS_MAX)
            .map(|number| (number, base.join(number.to_string())))
            .find(|(number, dir)| !dir.exists() && !netns_path(&format!("{PREFIX}{number}-sw")).exists())
            .context("too many test beds: `testbed clean` removes what crashed runs left")?;
        let name = format!("{PREFIX}{number}");
        fs::create_dir(&dir)?;
        fs::write(dir.join("name"), &name)?;
        let guard = if kept {
            fs::write(dir.join(KEPT), "")?;
            None
        } else {
            Some(Guard::start(&dir)?)
        };
        drop(lock);

        let switch = Arc::new(Switch::new(&name, number));
        let hosts = (1..=hosts).map(|number| Arc::new(Host::new(number, &name, &dir, Arc::clone(&switch)))).collect();
        Ok(Self { name, dir, switch, hosts, guard })
    }

    fn start(&self) -> Result<()> {
        fs::create_dir(self.dir.join("home"))?;
        // TEST-NET-1: never a real server, and there is no route to it.
        fs::write(self.dir.join("resolv.conf"), "nameserver 192.0.2.53\n")?;
        let mut names = "127.0.0.1 localhost\n".to_owned();
        for host in &self.hosts {
            names.push_str(&format!("{} {}\n", host.ip(), host.hostname()));
        }
        fs::write(self.dir.join("hosts"), names)?;
        self.switch.create()?;
        // Plugging is short and serial; what takes time is dockerd.
        thread::scope(|scope| {
            let archive = scope.spawn(images::build);
            let mut starting = Vec::new();
            for host in &self.hosts {
                fs::create_dir(host.dir())?;
                host.boot()?;
                starting.push(scope.spawn(|| host.start_dockerd()));
            }
            let archive = join(archive)??;
            for (host, started) in self.hosts.iter().zip(starting) {
                join(started)??;
                host.load_images(&archive)?;
            }
            Ok(())
        })
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        if let Some(guard) = self.guard.take() {
            drop(guard);
            for host in &self.hosts {
                host.collect();
            }
        }
    }
}

/// A bed that was made to stay.
#[derive(Debug)]
pub struct KeptBed {
    dir: PathBuf,
    name: String,
}

impl KeptBed {
    /// All kept beds of this machine, oldest number first.
    ///
    /// # Errors
    /// When the beds' folder cannot be read.
    pub fn all() -> Result<Vec<Self>> {
        let mut found = Vec::new();
        for dir in bed_dirs()? {
            if dir.join(KEPT).exists() {
                let name = fs::read_to_string(dir.join("name"))?;
                found.push(Self { dir, name });
            }
        }
        Ok(found)
    }

    /// The bed's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The bed's folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A command inside host `number`, with the caller's environment.
    ///
    /// # Errors
    /// When the bed has no such host, or it does not run.
    pub fn command(&self, number: u8, program: &str) -> Result<Command> {
        let file = self.dir.join(format!("h{number}/init.pid"));
        let init = fs::read_to_string(&file).with_context(|| format!("{} has no host {number}", self.name))?;
        let mut command = Command::new("nsenter");
        command
            .args(["--target", init.trim()])
            .args(["--mount", "--uts", "--ipc", "--net", "--pid", "--"])
            .arg(program)
            .env(MARK, &self.dir);
        Ok(command)
    }

    /// Removes the bed.
    ///
    /// # Errors
    /// When something of it cannot be removed, and when called from within a host of the bed.
    pub fn remove(self) -> Result<()> {
        ensure!(std::env::var_os(MARK).is_none(), "this shell is in a host of the bed: leave it first");
        guard::sweep(&self.dir)
    }
}

/// Removes beds whose test is gone without having swept them, and tells their names. Beds in use and
/// kept ones stay.
///
/// # Errors
/// When something cannot be removed.
pub fn sweep_leftovers() -> Result<Vec<String>> {
    let base = guard::base();
    let _lock = guard::lock_base(&base)?;
    let mut swept = Vec::new();
    for dir in bed_dirs()? {
        if !dir.join(KEPT).exists() && !guard::is_guarded(&dir) {
            guard::sweep(&dir)?;
            swept.push(dir.display().to_string());
        }
    }
    // Namespaces whose folder is gone, as after a cleaning of the temporary folder.
    let list = fs::read_dir("/run/netns")
        .map(|entries| entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect::<Vec<_>>());
    for netns in list.unwrap_or_default() {
        if let Some(number) = bed_number(&netns)
            && !base.join(number).exists()
        {
            let mut command = Command::new("ip");
            command.args(["netns", "del", &netns]);
            run(command)?.ok()?;
            swept.push(netns);
        }
    }
    Ok(swept)
}

/// The folders of all beds, by number.
fn bed_dirs() -> Result<Vec<PathBuf>> {
    let base = guard::base();
    let Ok(entries) = fs::read_dir(&base) else {
        return Ok(Vec::new());
    };
    let mut numbers: Vec<u8> = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    numbers.sort_unstable();
    let dir = |number: u8| base.join(number.to_string());
    Ok(numbers.into_iter().map(dir).collect())
}

/// The number in a namespace's name such as `swb3-h1`.
fn bed_number(netns: &str) -> Option<&str> {
    let (number, kind) = netns.strip_prefix(PREFIX)?.split_once('-')?;
    let ours = kind == "sw" || kind.strip_prefix('h')?.parse::<u8>().is_ok();
    (ours && number.parse::<u8>().is_ok()).then_some(number)
}

/// Mounts the cgroup file systems when the machine has none, as one without an init system.
fn ensure_cgroups() -> Result<()> {
    let mounted = |path: &str| Path::new("/sys/fs/cgroup").join(path).exists();
    if mounted("cgroup.controllers") || mounted("pids/tasks") {
        return Ok(());
    }
    run(Command::new("cgroupfs-mount"))
        .and_then(crate::Output::ok)
        .context("no cgroups are mounted, and cgroupfs-mount could not mount them")?;
    Ok(())
}

fn join<T>(thread: thread::ScopedJoinHandle<'_, T>) -> Result<T> {
    thread.join().map_err(|_| anyhow!("a helper thread panicked"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_namespaces_have_a_number() {
        assert_eq!(bed_number("swb3-h1"), Some("3"));
        assert_eq!(bed_number("swb12-sw"), Some("12"));
        for other in ["swb3", "swb-h1", "swb3-x", "swbx-h1", "other"] {
            assert_eq!(bed_number(other), None, "{other}");
        }
    }
}
