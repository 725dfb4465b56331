//! A swarm-agent on a host.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;

use crate::client::{DockerClient, oldest_docker_client};
use crate::dockerd::entered;
use crate::host::{Host, spawn_daemon, tail};
use crate::http::{Request, Response};
use crate::output::{Output, run};
use crate::process::{self, Process};
use crate::wait;

/// How long an agent may take to answer after its start, and to stop after SIGTERM.
const DEADLINE: Duration = Duration::from_secs(30);

/// The folder with `swarm`, `swarm-agent` and `swarm-manager`: the one that `SWARM_BIN_DIR` names, else
/// the build folder that the running program is in.
///
/// # Errors
/// When the programs are not there: they were not built.
pub fn bin_dir() -> Result<PathBuf> {
    if let Some(dir) = std::env::var_os("SWARM_BIN_DIR") {
        return Ok(dir.into());
    }
    let own = std::env::current_exe().context("the running program has no path")?;
    own.ancestors()
        .skip(1)
        .take(3)
        .find(|dir| dir.join("swarm-agent").exists())
        .map(Path::to_owned)
        .context("swarm-agent is not built: `cargo build --workspace`")
}

/// How an agent is started. [`Default`] is one agent for the whole host.
#[derive(Debug, Clone)]
pub struct AgentOptions {
    /// Tells the agents of one host apart: names its state folder, socket and log. Default `swarm`.
    pub name: String,
    /// The hostname that the node reports; default the host's own.
    pub hostname: Option<String>,
    /// Engine labels, as `key=value`.
    pub labels: Vec<String>,
    /// More flags, at the end.
    pub extra_args: Vec<String>,
    /// More environment.
    pub env: Vec<(String, String)>,
}

impl Default for AgentOptions {
    fn default() -> Self {
        Self { name: "swarm".to_owned(), hostname: None, labels: Vec::new(), extra_args: Vec::new(), env: Vec::new() }
    }
}

/// An agent on a host, running or stopped. Its folder stays between the two.
///
/// Dropping it kills the agent; its manager and containers end with the bed.
#[derive(Debug)]
pub struct AgentProc {
    host: Arc<Host>,
    options: AgentOptions,
    running: Mutex<Option<Running>>,
    kept: bool,
}

#[derive(Debug)]
struct Running {
    /// The program that entered the host; it ends as the agent does.
    child: Child,
    process: Process,
}

impl AgentProc {
    /// Starts an agent and waits until its socket answers.
    ///
    /// # Errors
    /// When it does not start: the end of its log is in the text.
    pub fn start(host: &Arc<Host>, options: AgentOptions) -> Result<Self> {
        let agent = Self { host: Arc::clone(host), options, running: Mutex::new(None), kept: false };
        agent.start_again()?;
        Ok(agent)
    }

    /// The host it is on.
    #[must_use]
    pub fn host(&self) -> &Arc<Host> {
        &self.host
    }

    /// Its state folder.
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        self.host.dir().join(&self.options.name)
    }

    /// Its socket, by a path that is good inside and outside the host.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.host.run_dir().join(format!("{}.sock", self.options.name))
    }

    /// Its socket as docker clients take it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// Its log file; what its manager prints is there too when the agent passes it on.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.host.dir().join(format!("{}.log", self.options.name))
    }

    /// The command that starts it, for tests that want to see it fail.
    ///
    /// # Errors
    /// When our programs are not built.
    pub fn command(&self) -> Result<Command> {
        let bin_dir = bin_dir()?;
        let mut command = self.host.command(bin_dir.join("swarm-agent"));
        command
            .arg("--state-dir")
            .arg(self.state_dir())
            .args(["--host", &self.url(), "--docker-host", &self.host.docker_url()])
            .arg("--manager-bin")
            .arg(bin_dir.join("swarm-manager"));
        if let Some(hostname) = &self.options.hostname {
            command.args(["--hostname", hostname]);
        }
        for label in &self.options.labels {
            command.args(["--label", label]);
        }
        command.args(&self.options.extra_args).envs(self.options.env.iter().map(|(name, value)| (name, value)));
        Ok(command)
    }

    /// Starts a stopped agent again on its old state and waits until its socket answers.
    ///
    /// # Errors
    /// When it runs already or does not start.
    pub fn start_again(&self) -> Result<()> {
        ensure!(self.process().is_none(), "the agent of {} runs", self.host.name());
        // One that ended by itself or with its host.
        if let Some(mut ended) = self.running().take() {
            ended.child.wait()?;
        }
        let mut child = spawn_daemon(self.command()?, &self.log())?;
        let ready = wait::until("an answer from the agent", DEADLINE, || {
            if let Some(status) = child.try_wait()? {
                return Ok(Err(status));
            }
            self.api(&Request::get("/_ping"))?.ok()?;
            Ok(Ok(()))
        });
        let context = || format!("agent of {}:\n{}", self.host.name(), tail(&self.log(), 30));
        match ready {
            Ok(Ok(())) => {}
            Ok(Err(status)) => bail!("it ended with {status}: {}", context()),
            Err(error) => {
                process::kill_tree(child.id());
                child.wait()?;
                return Err(error.context(context()));
            }
        }
        let process = entered(&child, OsStr::new("swarm-agent"))?;
        *self.running() = Some(Running { child, process });
        Ok(())
    }

    /// Stops the agent with SIGTERM and checks that it ends with exit code 0.
    ///
    /// # Errors
    /// When it does not run, does not end in time or ends otherwise.
    pub fn stop(&self) -> Result<()> {
        self.stop_with(Signal::SIGTERM)
    }

    /// As [`AgentProc::stop`], with another signal.
    ///
    /// # Errors
    /// As [`AgentProc::stop`].
    pub fn stop_with(&self, signal: Signal) -> Result<()> {
        let mut running = self.take()?;
        running.process.signal(signal)?;
        let ended = process::wait_gone(running.process.pid, DEADLINE);
        if let Err(error) = ended {
            running.process.kill()?;
            running.child.wait()?;
            return Err(error.context(format!("after {signal}:\n{}", tail(&self.log(), 30))));
        }
        let status = running.child.wait()?;
        ensure!(status.success(), "after {signal} the agent of {} ended with {status}:\n{}", self.host.name(), tail(&self.log(), 30));
        Ok(())
    }

    /// Kills the agent with SIGKILL. Its manager and containers run on.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill(&self) -> Result<()> {
        let mut running = self.take()?;
        running.process.kill()?;
        running.child.wait()?;
        Ok(())
    }

    /// Stops the agent in order and starts it again.
    ///
    /// # Errors
    /// As [`AgentProc::stop`] and [`AgentProc::start_again`].
    pub fn restart(&self) -> Result<()> {
        self.stop()?;
        self.start_again()
    }

    /// The agent's process; `None` while it does not run.
    #[must_use]
    pub fn process(&self) -> Option<Process> {
        let running = self.running();
        let process = running.as_ref().map(|running| running.process.clone());
        process.filter(Process::alive)
    }

    /// The manager process of this agent; `None` when there is none.
    ///
    /// It is looked for by program and state folder, so it is also found after its agent's end.
    #[must_use]
    pub fn manager(&self) -> Option<Process> {
        let state_dir = self.state_dir().display().to_string();
        // As a flag's value or a path below the folder, but not that of an agent with a longer name.
        let names_it = |word: &String| word.split_once(&state_dir).is_some_and(|(_, rest)| rest.is_empty() || rest.starts_with('/'));
        self.host
            .processes()
            .into_iter()
            .find(|process| process.program() == "swarm-manager" && !process.zombie && process.args.iter().any(names_it))
    }

    /// Sends a request to the agent's socket.
    ///
    /// # Errors
    /// When no whole answer comes.
    pub fn api(&self, request: &Request) -> Result<Response> {
        self.host.unix_request(&self.socket(), request)
    }

    /// A command of our own client on the host, for this agent.
    ///
    /// # Errors
    /// When our programs are not built.
    pub fn swarm_command(&self) -> Result<Command> {
        let mut command = self.host.command(bin_dir()?.join("swarm"));
        command.env("DOCKER_HOST", self.url());
        Ok(command)
    }

    /// Runs our own client against this agent.
    ///
    /// # Errors
    /// When it cannot be started or hangs. Whether it succeeded is in the answer.
    pub fn swarm(&self, args: &[&str]) -> Result<Output> {
        let mut command = self.swarm_command()?;
        command.args(args);
        run(command)
    }

    /// Runs the machine's oldest docker client against this agent.
    ///
    /// # Errors
    /// As [`AgentProc::swarm`].
    pub fn docker(&self, args: &[&str]) -> Result<Output> {
        let client = oldest_docker_client().context("no docker client: run scripts/setup.sh")?;
        self.docker_with(client, args)
    }

    /// Runs a docker client of a certain version against this agent.
    ///
    /// # Errors
    /// As [`AgentProc::swarm`].
    pub fn docker_with(&self, client: &DockerClient, args: &[&str]) -> Result<Output> {
        let mut command = self.host.docker_command(client, &self.url());
        command.args(args);
        run(command)
    }

    /// The last lines of the agent's log.
    #[must_use]
    pub fn log_tail(&self, lines: usize) -> String {
        tail(&self.log(), lines)
    }

    /// Lets the agent run on when this value is dropped.
    pub(crate) fn keep(&mut self) {
        self.kept = true;
    }

    fn take(&self) -> Result<Running> {
        let running = self.running().take();
        running.with_context(|| format!("the agent of {} does not run", self.host.name()))
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().expect("no holder of this lock panics")
    }
}

impl Drop for AgentProc {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        if let Some(mut running) = self.running().take() {
            // It may have ended by itself: the wait tells nothing that matters any more.
            process::kill_tree(running.child.id());
            drop(running.child.wait());
        }
    }
}
