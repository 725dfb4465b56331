//! One host of a bed.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;

use crate::agent::bin_dir;
use crate::client::{DockerClient, oldest_docker_client};
use crate::dockerd::Dockerd;
use crate::guard::MARK;
use crate::http::{Request, Response};
use crate::output::{Output, run};
use crate::process::{self, Process};
use crate::switch::{Switch, connect_from, netns_path};
use crate::{images, wait};

const INIT_SCRIPT: &str = include_str!("scripts/host_init.sh");

/// How long the helpers wait for a connection and for each part of an HTTP answer.
pub const HTTP_DEADLINE: Duration = Duration::from_secs(30);

/// A host: namespaces of its own, an address on the bed's switch, a private `/run`, a dockerd.
///
/// Folders under [`Host::dir`] have the same path inside and outside the host; `/run` of the host is
/// [`Host::run_dir`] outside. Its disk survives [`Host::power_off`], its `/run` does not.
#[derive(Debug)]
pub struct Host {
    number: u8,
    name: String,
    hostname: String,
    dir: PathBuf,
    bed_dir: PathBuf,
    switch: Arc<Switch>,
    power: Mutex<Option<Power>>,
}

/// What there is of a host only while it is on.
#[derive(Debug)]
struct Power {
    /// The program that made the namespaces and waits for their first process.
    child: Child,
    /// The first process; all others of the host end with it.
    init: u32,
    pid_namespace: u64,
    dockerd: Option<Dockerd>,
}

impl Host {
    pub(crate) fn new(number: u8, bed_name: &str, bed_dir: &Path, switch: Arc<Switch>) -> Self {
        let hostname = format!("h{number}");
        Self {
            number,
            name: format!("{bed_name}-{hostname}"),
            dir: bed_dir.join(&hostname),
            hostname,
            bed_dir: bed_dir.to_owned(),
            switch,
            power: Mutex::new(None),
        }
    }

    /// The host's number, from 1.
    #[must_use]
    pub fn number(&self) -> u8 {
        self.number
    }

    /// Name of its network namespace, such as `swb3-h1`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its hostname, `h1` and so on. The hosts of a bed know each other's names.
    #[must_use]
    pub fn hostname(&self) -> &str {
        &self.hostname
    }

    /// Its address on the switch.
    #[must_use]
    pub fn ip(&self) -> Ipv4Addr {
        self.switch.address(self.number)
    }

    /// Its folder: logs, dockerd's data and whatever a test puts there.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What is `/run` inside the host.
    #[must_use]
    pub fn run_dir(&self) -> PathBuf {
        self.dir.join("run")
    }

    /// dockerd's data folder.
    #[must_use]
    pub fn docker_data(&self) -> PathBuf {
        self.dir.join("docker")
    }

    /// dockerd's socket, by a path that is good inside and outside the host.
    #[must_use]
    pub fn docker_socket(&self) -> PathBuf {
        self.run_dir().join("docker.sock")
    }

    /// dockerd's socket as docker clients take it.
    #[must_use]
    pub fn docker_url(&self) -> String {
        format!("unix://{}", self.docker_socket().display())
    }

    /// dockerd's log file.
    #[must_use]
    pub fn docker_log(&self) -> PathBuf {
        self.dir.join("dockerd.log")
    }

    /// A command that will run inside the host, as root in `/`, with a small environment: the folder of
    /// our programs is first in `PATH`, and no setting of the machine's user is seen.
    ///
    /// When the host is off the command fails.
    #[must_use]
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let init = self.power().as_ref().map_or(0, |power| power.init);
        let mut command = Command::new("nsenter");
        command.args(["--target", &init.to_string()]).args(["--mount", "--uts", "--ipc", "--net", "--pid", "--"]).arg(program);
        self.set_environment(&mut command);
        command
    }

    /// Runs a program inside the host to its end.
    ///
    /// # Errors
    /// When it cannot be started or hangs. Whether it succeeded is in the answer.
    pub fn exec<S: AsRef<OsStr>>(&self, program: &str, args: &[S]) -> Result<Output> {
        let mut command = self.command(program);
        command.args(args);
        run(command)
    }

    /// Runs a shell script inside the host to its end.
    ///
    /// # Errors
    /// As [`Host::exec`].
    pub fn sh(&self, script: &str) -> Result<Output> {
        self.exec("sh", &["-c", script])
    }

    /// A docker command to be run inside the host, for the daemon or agent behind `url`.
    #[must_use]
    pub fn docker_command(&self, client: &DockerClient, url: &str) -> Command {
        let mut command = self.command(&client.path);
        command.env("DOCKER_HOST", url);
        command
    }

    /// Runs the machine's oldest docker client against the host's dockerd.
    ///
    /// # Errors
    /// As [`Host::exec`], and when the machine has no docker client.
    pub fn docker(&self, args: &[&str]) -> Result<Output> {
        let client = oldest_docker_client().context("no docker client: run scripts/setup.sh")?;
        let mut command = self.docker_command(client, &self.docker_url());
        command.args(args);
        run(command)
    }

    /// Sends a request to the host's dockerd.
    ///
    /// # Errors
    /// When no whole answer comes.
    pub fn docker_api(&self, request: &Request) -> Result<Response> {
        self.unix_request(&self.docker_socket(), request)
    }

    /// Sends a request to a unix socket, whose path is one of the outside.
    ///
    /// # Errors
    /// When no whole answer comes.
    pub fn unix_request(&self, socket: &Path, request: &Request) -> Result<Response> {
        let stream = UnixStream::connect(socket).with_context(|| format!("could not connect to {}", socket.display()))?;
        stream.set_read_timeout(Some(HTTP_DEADLINE))?;
        stream.set_write_timeout(Some(HTTP_DEADLINE))?;
        request.send(stream, "docker")
    }

    /// Connects from the host to an address, within `deadline`.
    ///
    /// # Errors
    /// When it is refused, unreachable or silent.
    pub fn connect(&self, to: impl Into<SocketAddr>, deadline: Duration) -> Result<TcpStream> {
        connect_from(&netns_path(&self.name), to.into(), deadline).with_context(|| format!("from {}", self.name))
    }

    /// GETs `path` from a web server at `to`, as a client on this host.
    ///
    /// # Errors
    /// When no whole answer comes.
    pub fn http_get(&self, to: impl Into<SocketAddr>, path: &str) -> Result<Response> {
        let to = to.into();
        let stream = self.connect(to, HTTP_DEADLINE)?;
        stream.set_read_timeout(Some(HTTP_DEADLINE))?;
        stream.set_write_timeout(Some(HTTP_DEADLINE))?;
        Request::get(path).send(stream, &to.to_string())
    }

    /// All processes of the host, without those in containers.
    #[must_use]
    pub fn processes(&self) -> Vec<Process> {
        let namespace = self.power().as_ref().map(|power| power.pid_namespace);
        let mut found = process::all();
        found.retain(|process| namespace.is_some() && process.pid_namespace == namespace);
        found
    }

    /// Starts dockerd and waits until it answers.
    ///
    /// # Errors
    /// When it runs already, does not start, or the host is off.
    pub fn start_dockerd(&self) -> Result<()> {
        self.start_dockerd_with(&[])
    }

    /// As [`Host::start_dockerd`], with more flags for dockerd, such as `--live-restore`.
    ///
    /// # Errors
    /// As [`Host::start_dockerd`].
    pub fn start_dockerd_with(&self, extra_args: &[&str]) -> Result<()> {
        ensure!(self.dockerd().is_none(), "dockerd of {} runs", self.name);
        if let Ok(ended) = self.take_dockerd() {
            ended.collect();
        }
        let dockerd = Dockerd::start(self, extra_args)?;
        let mut power = self.power();
        let power = power.as_mut().with_context(|| format!("{} is off", self.name))?;
        power.dockerd = Some(dockerd);
        Ok(())
    }

    /// Stops dockerd in order, and with it the host's containers.
    ///
    /// # Errors
    /// When it does not run or does not stop.
    pub fn stop_dockerd(&self) -> Result<()> {
        self.take_dockerd()?.stop()
    }

    /// Kills dockerd and its containerd with SIGKILL. Its containers run on.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill_dockerd(&self) -> Result<()> {
        self.take_dockerd()?.kill()
    }

    /// The dockerd process, for signals to it; `None` while it does not run.
    #[must_use]
    pub fn dockerd(&self) -> Option<Process> {
        let power = self.power();
        let dockerd = power.as_ref()?.dockerd.as_ref()?;
        Some(dockerd.process.clone()).filter(Process::alive)
    }

    /// Cuts the host off the network, both directions, without a word to anybody.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn cut(&self) -> Result<()> {
        self.switch.set_link(self.number, false)
    }

    /// Undoes [`Host::cut`].
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn heal(&self) -> Result<()> {
        self.switch.set_link(self.number, true)
    }

    /// Drops what this host sends to `to`; the other direction is not touched.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn block_to(&self, to: &Host) -> Result<()> {
        self.switch.set_blocked(self.number, to.number, true)
    }

    /// Undoes [`Host::block_to`].
    ///
    /// # Errors
    /// When it was not blocked.
    pub fn unblock_to(&self, to: &Host) -> Result<()> {
        self.switch.set_blocked(self.number, to.number, false)
    }

    /// Kills every process of the host at once, containers included. Its connections are closed by the
    /// kernel, so peers hear of it. The host is off afterwards.
    ///
    /// # Errors
    /// When it is off already.
    pub fn kill_all(&self) -> Result<()> {
        let power = self.power().take();
        let mut power = power.with_context(|| format!("{} is off", self.name))?;
        // The kernel ends all processes of the namespace before it lets its first one go.
        process::send(power.init, Signal::SIGKILL)?;
        power.child.wait()?;
        if let Some(dockerd) = power.dockerd {
            dockerd.collect();
        }
        Ok(())
    }

    /// Pulls the plug: the host is silent at once and everything on it ends. Its disk is kept.
    ///
    /// # Errors
    /// When it is off already.
    pub fn power_off(&self) -> Result<()> {
        self.cut()?;
        self.kill_all()
    }

    /// Boots the host again after [`Host::power_off`] or [`Host::kill_all`]: an empty `/run`, fresh
    /// network, dockerd running. Agents are to be started by the test.
    ///
    /// # Errors
    /// When it is on, or something does not start.
    pub fn power_on(&self) -> Result<()> {
        self.power_on_without_dockerd()?;
        self.start_dockerd()
    }

    /// As [`Host::power_on`], leaving out dockerd.
    ///
    /// # Errors
    /// As [`Host::power_on`].
    pub fn power_on_without_dockerd(&self) -> Result<()> {
        ensure!(self.power().is_none(), "{} is on", self.name);
        self.switch.unplug(self.number)?;
        self.boot()
    }

    /// Makes the host's namespaces, with nothing running in them.
    pub(crate) fn boot(&self) -> Result<()> {
        self.switch.plug(self.number)?;
        let run_dir = self.run_dir();
        if run_dir.exists() {
            fs::remove_dir_all(&run_dir)?;
        }
        fs::create_dir_all(&run_dir)?;
        fs::create_dir_all(self.docker_data())?;
        for name in ["booted", "init.pid"] {
            drop(fs::remove_file(self.dir.join(name)));
        }

        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net={}", netns_path(&self.name).display()))
            .args(["unshare", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child"])
            .args(["--propagation", "private", "sh", "-c", INIT_SCRIPT, "host"])
            .arg(&self.dir)
            .arg(&self.hostname)
            .arg(&self.bed_dir);
        self.set_environment(&mut command);
        let log = self.dir.join("init.log");
        let mut child = spawn_daemon(command, &log)?;
        let booted = wait::until("boot", Duration::from_secs(30), || {
            if let Some(status) = child.try_wait()? {
                return Ok(Err(status));
            }
            ensure!(self.dir.join("booted").exists(), "its first process is at work");
            Ok(Ok(()))
        });
        if let Err(status) = booted? {
            bail!("{} did not boot: {status}: {}", self.name, tail(&log, 10));
        }
        let init = fs::read_to_string(self.dir.join("init.pid"))?;
        let init = init.trim().parse().context("init.pid holds no number")?;
        let pid_namespace = process::pid_namespace(init).context("the host ended at once")?;
        *self.power() = Some(Power { child, init, pid_namespace, dockerd: None });
        Ok(())
    }

    /// Gives the images of the bed to dockerd.
    pub(crate) fn load_images(&self, archive: &[u8]) -> Result<()> {
        let request = Request::new("POST", "/images/load?quiet=1").raw_body("application/x-tar", archive.to_vec());
        let answer = self.docker_api(&request)?.ok()?;
        // A failure while loading comes in the body, after the status.
        ensure!(!answer.contains("errorDetail"), "{answer}");
        ensure!(answer.contains(images::WEB_1), "{answer}");
        Ok(())
    }

    /// Collects the ended programs of a host that was swept, so that no zombies stay.
    pub(crate) fn collect(&self) {
        if let Some(mut power) = self.power().take() {
            drop(power.child.wait());
            if let Some(dockerd) = power.dockerd {
                dockerd.collect();
            }
        }
    }

    fn set_environment(&self, command: &mut Command) {
        let system = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        let path = match bin_dir() {
            Ok(ours) => format!("{}:{system}", ours.display()),
            Err(_) => system.to_owned(),
        };
        command
            .env_clear()
            .env(MARK, &self.bed_dir)
            .env("HOME", self.bed_dir.join("home"))
            .env("LANG", "C.UTF-8")
            .env("PATH", path)
            .env("RUST_BACKTRACE", "1")
            .env("TERM", "xterm");
        // The coverage and log settings of whoever runs the tests reach our programs.
        for name in ["RUST_LOG", "LLVM_PROFILE_FILE"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
    }

    fn take_dockerd(&self) -> Result<Dockerd> {
        let mut power = self.power();
        let dockerd = power.as_mut().and_then(|power| power.dockerd.take());
        dockerd.with_context(|| format!("dockerd of {} does not run", self.name))
    }

    fn power(&self) -> MutexGuard<'_, Option<Power>> {
        self.power.lock().expect("no holder of this lock panics")
    }
}

/// Starts a program that runs on: no input, output appended to a log, out of reach of the terminal.
pub(crate) fn spawn_daemon(mut command: Command, log: &Path) -> Result<Child> {
    let file = OpenOptions::new().create(true).append(true).open(log).with_context(|| format!("could not open {}", log.display()))?;
    command.process_group(0).stdin(Stdio::null()).stdout(File::try_clone(&file)?).stderr(file);
    command.spawn().with_context(|| format!("could not start {:?}", command.get_program()))
}

/// The last lines of a file, for failure texts.
pub(crate) fn tail(path: &Path, lines: usize) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    // dockerd tells of every state of its connection to containerd.
    let told = |line: &&str| !line.contains("msg=\"[core] ");
    let all: Vec<_> = text.lines().filter(told).collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
