//! A bed with an agent on each host, formed into a cluster.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::{Value, json};

use crate::agent::{AgentOptions, AgentProc};
use crate::bed::Bed;
use crate::host::{Host, tail};
use crate::http::{Request, Response};
use crate::output::Output;
use crate::wait;

/// How long forming a cluster may take, for each node.
const JOIN_DEADLINE: Duration = Duration::from_secs(60);
/// How much of each log a failure text shows.
const LOG_LINES: usize = 25;
/// Names a folder to which the logs of every cluster are copied at its end.
const LOGS_VARIABLE: &str = "SWARM_TEST_LOGS";

/// What a node joins as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Runs tasks.
    Worker,
    /// Runs tasks and takes part in the control plane.
    Manager,
}

/// A bed with one agent on each host.
///
/// Hosts are named by number, from 1. A failed [`Cluster::until`] shows the end of every daemon's log;
/// a panic prints them.
#[derive(Debug)]
pub struct Cluster {
    // Dropped before the bed: the order of these fields matters.
    agents: Vec<AgentProc>,
    bed: Bed,
}

impl Cluster {
    /// Makes a bed of `hosts` hosts with an agent on each. No node is in a swarm.
    ///
    /// # Errors
    /// As [`Bed::up`], and when an agent does not start.
    pub fn up(hosts: u8) -> Result<Self> {
        Self::on(Bed::up(hosts)?)
    }

    /// Starts an agent on each host of a bed.
    ///
    /// # Errors
    /// When one does not start.
    pub fn on(bed: Bed) -> Result<Self> {
        let agents = bed.hosts().iter().map(|host| AgentProc::start(host, AgentOptions::default())).collect::<Result<_>>()?;
        Ok(Self { agents, bed })
    }

    /// Makes a cluster: the first `managers` hosts are managers, `workers` more are workers. All nodes
    /// are ready when it is returned.
    ///
    /// # Errors
    /// As [`Cluster::up`], and when a node does not join.
    pub fn formed(managers: u8, workers: u8) -> Result<Self> {
        ensure!(managers > 0, "a cluster needs a manager");
        let cluster = Self::up(managers + workers)?;
        cluster.init(1)?;
        for number in 2..=managers + workers {
            let role = if number <= managers { Role::Manager } else { Role::Worker };
            cluster.join(number, role)?;
        }
        cluster.wait_ready(managers, workers)?;
        Ok(cluster)
    }

    /// The bed.
    #[must_use]
    pub fn bed(&self) -> &Bed {
        &self.bed
    }

    /// A host by its number, from 1.
    ///
    /// # Panics
    /// When there is no such host.
    #[must_use]
    pub fn host(&self, number: u8) -> &Arc<Host> {
        self.bed.host(number)
    }

    /// The agent of a host.
    ///
    /// # Panics
    /// When there is no such host.
    #[must_use]
    pub fn agent(&self, number: u8) -> &AgentProc {
        let found = self.agents.iter().find(|agent| agent.host().number() == number);
        found.unwrap_or_else(|| panic!("{} has no host {number}", self.bed.name()))
    }

    /// All agents, in the order of their hosts.
    #[must_use]
    pub fn agents(&self) -> &[AgentProc] {
        &self.agents
    }

    /// Starts a new swarm on a host, with its address on the switch.
    ///
    /// # Errors
    /// When `swarm init` fails.
    pub fn init(&self, number: u8) -> Result<()> {
        let address = self.host(number).ip().to_string();
        self.swarm(number, &["init", "--advertise-addr", &address])?.ok()?;
        Ok(())
    }

    /// Lets a host join the swarm of the first host that is a manager of one.
    ///
    /// # Errors
    /// When there is none, or `swarm join` fails.
    pub fn join(&self, number: u8, role: Role) -> Result<()> {
        let (manager, token) = self.join_token(role)?;
        let address = self.host(number).ip().to_string();
        let remote = format!("{}:2377", self.host(manager).ip());
        let args = ["join", "--token", &token, "--advertise-addr", &address, &remote];
        self.swarm(number, &args)?.ok()?;
        Ok(())
    }

    /// The number of a host that is a manager, and the token for a role.
    ///
    /// # Errors
    /// When no host is a manager.
    pub fn join_token(&self, role: Role) -> Result<(u8, String)> {
        let field = match role {
            Role::Worker => "Worker",
            Role::Manager => "Manager",
        };
        for agent in &self.agents {
            let Ok(answer) = agent.api(&Request::get("/swarm")) else {
                continue;
            };
            if let Ok(swarm) = answer.json()
                && let Some(token) = swarm["JoinTokens"][field].as_str()
            {
                return Ok((agent.host().number(), token.to_owned()));
            }
        }
        bail!("no host is a manager\n{}", self.logs())
    }

    /// Waits until all nodes are ready and all managers reachable, as any manager tells it.
    ///
    /// # Errors
    /// When they are not in time.
    pub fn wait_ready(&self, managers: u8, workers: u8) -> Result<()> {
        let wanted = usize::from(managers) + usize::from(workers);
        self.until("all nodes ready", JOIN_DEADLINE, || {
            let nodes = self.nodes()?;
            let ready = nodes.iter().filter(|node| node["Status"]["State"] == "ready");
            let (ready, total) = (ready.count(), nodes.len());
            ensure!(ready == wanted, "{ready} of {total} nodes are ready, not {wanted}");
            let reachable = nodes.iter().filter(|node| node["ManagerStatus"]["Reachability"] == "reachable").count();
            ensure!(reachable == usize::from(managers), "{reachable} managers are reachable, not {managers}");
            Ok(())
        })
    }

    /// Runs our own client on a host, against its agent.
    ///
    /// # Errors
    /// As [`AgentProc::swarm`].
    pub fn swarm(&self, number: u8, args: &[&str]) -> Result<Output> {
        self.agent(number).swarm(args)
    }

    /// Runs the machine's oldest docker client on a host, against its agent.
    ///
    /// # Errors
    /// As [`AgentProc::docker`].
    pub fn docker(&self, number: u8, args: &[&str]) -> Result<Output> {
        self.agent(number).docker(args)
    }

    /// Sends a request to the agent of a host.
    ///
    /// # Errors
    /// When no whole answer comes.
    pub fn api(&self, number: u8, request: &Request) -> Result<Response> {
        self.agent(number).api(request)
    }

    /// Sends a GET request to the agents in turn and gives the first answer below 300, as JSON: what the
    /// cluster says, whichever of its managers are there.
    ///
    /// # Errors
    /// When no agent answers so.
    pub fn ask(&self, request: &Request) -> Result<Value> {
        let mut refusals = String::new();
        for agent in &self.agents {
            match agent.api(request).and_then(|answer| answer.json()) {
                Ok(value) => return Ok(value),
                Err(error) => refusals.push_str(&format!("\n{}: {error:#}", agent.host().name())),
            }
        }
        bail!("no agent answers {request:?}:{refusals}")
    }

    /// All nodes, as `GET /nodes` gives them.
    ///
    /// # Errors
    /// As [`Cluster::ask`].
    pub fn nodes(&self) -> Result<Vec<Value>> {
        list(self.ask(&Request::get("/nodes"))?)
    }

    /// The node on a host, found by the host's name.
    ///
    /// # Errors
    /// As [`Cluster::ask`], and when there is none.
    pub fn node(&self, number: u8) -> Result<Value> {
        let hostname = self.host(number).hostname();
        let nodes = self.nodes()?;
        let found = nodes.into_iter().find(|node| node["Description"]["Hostname"] == hostname);
        found.with_context(|| format!("no node is named {hostname}"))
    }

    /// All tasks of a service, as `GET /tasks` gives them, old ones too.
    ///
    /// # Errors
    /// As [`Cluster::ask`].
    pub fn tasks(&self, service: &str) -> Result<Vec<Value>> {
        let filters = json!({"service": [service]}).to_string();
        list(self.ask(&Request::get("/tasks").query("filters", &filters))?)
    }

    /// The tasks of a service that run and are meant to.
    ///
    /// # Errors
    /// As [`Cluster::ask`].
    pub fn running_tasks(&self, service: &str) -> Result<Vec<Value>> {
        let mut tasks = self.tasks(service)?;
        tasks.retain(|task| task["DesiredState"] == "running" && task["Status"]["State"] == "running");
        Ok(tasks)
    }

    /// Waits until exactly `count` tasks of a service run, and dockerd runs exactly as many containers
    /// of it on the hosts that are on. Gives the tasks.
    ///
    /// # Errors
    /// When they do not in time.
    pub fn wait_running(&self, service: &str, count: usize, deadline: Duration) -> Result<Vec<Value>> {
        self.until(&format!("{count} tasks of {service}"), deadline, || {
            let tasks = self.running_tasks(service)?;
            if tasks.len() != count {
                let states: Vec<_> = self.tasks(service)?.iter().map(task_text).collect();
                bail!("{} run:\n{}", tasks.len(), states.join("\n"));
            }
            let containers = self.containers(service)?;
            ensure!(containers.len() == count, "containers: {containers:?}");
            Ok(tasks)
        })
    }

    /// The running containers of a service, asked from the dockerd of every host that has one running:
    /// number of the host, and id.
    ///
    /// # Errors
    /// When a dockerd does not answer.
    pub fn containers(&self, service: &str) -> Result<Vec<(u8, String)>> {
        let label = format!("com.docker.swarm.service.name={service}");
        let filters = json!({"label": [label]}).to_string();
        let mut found = Vec::new();
        for host in self.bed.hosts().iter().filter(|host| host.dockerd().is_some()) {
            let request = Request::get("/containers/json").query("filters", &filters);
            for container in list(host.docker_api(&request)?.json()?)? {
                let id = container["Id"].as_str().context("a container without id")?;
                found.push((host.number(), id.to_owned()));
            }
        }
        Ok(found)
    }

    /// As [`until`](crate::until); the failure text has the end of every daemon's log.
    ///
    /// # Errors
    /// After `deadline`.
    pub fn until<T>(&self, what: &str, deadline: Duration, probe: impl FnMut() -> Result<T>) -> Result<T> {
        // The reason first: it is what the reader looks for.
        wait::until(what, deadline, probe).map_err(|error| anyhow!("{error:#}\n{}", self.logs()))
    }

    /// The end of every daemon's log, for failure texts.
    #[must_use]
    pub fn logs(&self) -> String {
        let mut text = String::new();
        for log in self.log_files() {
            let name = log.strip_prefix(self.bed.dir()).unwrap_or(&log);
            let tail = tail(&log, LOG_LINES);
            if !tail.is_empty() {
                text.push_str(&format!("---- {}\n{tail}\n", name.display()));
            }
        }
        text
    }

    /// Lets the agents run on when this process ends, on a bed that was [made to stay](Bed::up_kept).
    pub fn keep(mut self) {
        for agent in &mut self.agents {
            agent.keep();
        }
    }

    /// The logs of dockerd and agent in each host's folder, and the manager's in the agent's folder.
    fn log_files(&self) -> Vec<PathBuf> {
        let hosts = self.bed.hosts().iter().map(|host| host.dir().to_owned());
        let states = self.agents.iter().map(AgentProc::state_dir);
        let mut files: Vec<_> = hosts
            .chain(states)
            .filter_map(|folder| fs::read_dir(folder).ok())
            .flat_map(|entries| entries.flatten().map(|entry| entry.path()))
            .filter(|path| path.extension().is_some_and(|e| e == "log"))
            .collect();
        files.sort();
        files
    }

    fn copy_logs(&self, to: &Path) -> Result<()> {
        let test = std::thread::current();
        let test = test.name().unwrap_or("unnamed").replace("::", "-");
        for log in self.log_files() {
            let path = to.join(&test).join(log.strip_prefix(self.bed.dir())?);
            fs::create_dir_all(path.parent().expect("a joined path has a parent"))?;
            fs::copy(&log, path)?;
        }
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.logs());
        }
        if let Some(folder) = std::env::var_os(LOGS_VARIABLE)
            && let Err(error) = self.copy_logs(Path::new(&folder))
        {
            eprintln!("could not keep the logs: {error:#}");
        }
    }
}

fn list(value: Value) -> Result<Vec<Value>> {
    match value {
        Value::Array(items) => Ok(items),
        other => bail!("not a list: {other}"),
    }
}

/// A task on one line.
fn task_text(task: &Value) -> String {
    let field = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    format!(
        "{} slot {} on {}: {} (wanted {}) {} {}",
        field(&task["ID"]),
        task["Slot"],
        field(&task["NodeID"]),
        field(&task["Status"]["State"]),
        field(&task["DesiredState"]),
        field(&task["Status"]["Message"]),
        field(&task["Status"]["Err"]),
    )
}
