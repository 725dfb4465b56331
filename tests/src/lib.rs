//! What cluster tests share: expectations about commands, hosts and containers.
//!
//! The tests stand in `tests/`, one file per matter. Each test makes one bed and does many checks on it, because making a
//! bed takes longer than most checks. Nothing here knows the product from within: what is checked is what a user, a
//! Docker client, openssl or dockerd would see.

pub mod chaos;
pub mod services;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use swarm_testkit::{AgentProc, Cluster, Host, Output, Request, Response};

/// For what needs no time-out of the product to pass. Generous: the machine may be busy.
pub const SOON: Duration = Duration::from_secs(30);
/// For what happens after heartbeats, elections or restart delays have run out.
pub const LATER: Duration = Duration::from_secs(90);

/// One check of several on one bed, with a name for failure texts.
pub type Check<T> = (&'static str, fn(&T) -> Result<()>);

/// Does all checks in order and prints how long each took.
///
/// # Errors
/// The first failure, with the check's name.
pub fn check_all<T>(on: &T, checks: &[Check<T>]) -> Result<()> {
    for (name, check) in checks {
        let start = Instant::now();
        check(on).with_context(|| format!("check \"{name}\""))?;
        println!("{name}: {:?}", start.elapsed());
    }
    Ok(())
}

/// As [`check_all`] on a cluster; a failure shows the end of every daemon's log.
///
/// # Errors
/// As [`check_all`].
pub fn check_cluster(cluster: &Cluster, checks: &[Check<Cluster>]) -> Result<()> {
    check_all(cluster, checks).map_err(|error| anyhow::anyhow!("{error:#}\n{}", cluster.logs()))
}

/// The texts of Docker for what a node may not do.
pub mod text {
    /// Cluster calls outside a swarm.
    pub const NO_SWARM: &str = "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to \
         connect this node to swarm and try again.";
    /// Cluster calls on a worker.
    pub const WORKER: &str = "This node is not a swarm manager. Worker nodes can't be used to view or modify cluster state. \
         Please run this command on a manager node or promote the current node to a manager.";
    /// `init` and `join` of a member.
    pub const ALREADY: &str = "This node is already part of a swarm. Use \"docker swarm leave\" to leave this swarm and \
         join another one.";
    /// `leave` outside a swarm.
    pub const NOT_PART: &str = "This node is not part of a swarm";
    /// `join` with a token of the right form that the cluster does not know.
    pub const TOKEN: &str = "rpc error: code = InvalidArgument desc = A valid join token is necessary to join this cluster";
    /// `join` that found nobody to let it in within twenty seconds.
    pub const JOIN_TIMEOUT: &str = "Timeout was reached before node joined. The attempt to join the swarm will \
         continue in the background. Use the \"docker info\" command to see the current swarm status of your node.";
    /// Cluster calls while too few managers are there.
    pub const NO_LEADER: &str = "rpc error: code = Unknown desc = The swarm does not have a leader. It's possible that too \
         few managers are online. Make sure more than half of the managers are online.";
    /// An update of what was updated meanwhile.
    pub const OUT_OF_SEQUENCE: &str = "rpc error: code = Unknown desc = update out of sequence";
}

/// Checks that a command succeeded, printed exactly this on standard output (white space at its end aside) and nothing on
/// standard error.
///
/// # Errors
/// Shows both texts.
pub fn prints(output: Output, expected: &str) -> Result<()> {
    ensure!(output.stderr.is_empty(), "should be quiet on stderr: {output}");
    let shown = output.to_string();
    let stdout = output.ok()?;
    ensure!(stdout == expected.trim_end(), "should have printed:\n{expected}\nnot: {shown}");
    Ok(())
}

/// Checks that a command failed with this exit code, said exactly this on standard error and nothing else.
///
/// # Errors
/// Shows both texts.
pub fn says(output: &Output, code: i32, expected: &str) -> Result<()> {
    let is_so = output.code() == Some(code) && output.stderr.trim_end() == expected && output.stdout.is_empty();
    ensure!(is_so, "should have ended with {code} and said:\n{expected}\nnot: {output}");
    Ok(())
}

/// Checks that a command failed because the daemon answered with exactly this error.
///
/// # Errors
/// Shows both texts.
pub fn daemon_says(output: &Output, expected: &str) -> Result<()> {
    says(output, 1, &format!("Error response from daemon: {expected}"))
}

/// Checks that a request was refused with this status and exactly this message.
///
/// # Errors
/// Shows both.
pub fn refused(answer: &Response, status: u16, message: &str) -> Result<()> {
    let found = message_of(answer)?;
    ensure!(answer.status == status && found == message, "should have answered {status} {message:?}, not {} {found:?}", answer.status);
    Ok(())
}

/// The message of an error answer: JSON with `message` and nothing else, as Docker's clients read it.
///
/// # Errors
/// When the answer is not of that form.
pub fn message_of(answer: &Response) -> Result<String> {
    let body: BTreeMap<String, String> = serde_json::from_slice(&answer.body).with_context(|| format!("not an error's form: {answer}"))?;
    ensure!(answer.header("content-type") == Some("application/json"), "content type of {answer}");
    match body.into_iter().collect::<Vec<_>>().as_slice() {
        [(name, message)] if name == "message" && !message.is_empty() => Ok(message.clone()),
        other => bail!("not an error's form: {other:?}"),
    }
}

/// What `GET /info` says under `Swarm`.
///
/// # Errors
/// When the agent does not answer.
pub fn swarm_info(agent: &AgentProc) -> Result<Value> {
    Ok(agent.api(&Request::get("/info"))?.json()?["Swarm"].clone())
}

/// The id of the node an agent is.
///
/// # Errors
/// When it is none.
pub fn node_id(agent: &AgentProc) -> Result<String> {
    let info = swarm_info(agent)?;
    text_at(&info, "/NodeID").filter(|id| !id.is_empty()).with_context(|| format!("not in a swarm: {info}"))
}

/// A text inside a JSON value, by its [pointer](Value::pointer).
#[must_use]
pub fn text_at(value: &Value, pointer: &str) -> Option<String> {
    value.pointer(pointer)?.as_str().map(str::to_owned)
}

/// The same text of each value of a list.
#[must_use]
pub fn texts_at(values: &[Value], pointer: &str) -> BTreeSet<String> {
    values.iter().filter_map(|value| text_at(value, pointer)).collect()
}

/// Files below an agent's state folder, with their paths inside it. Sockets, folders and logs are left out.
///
/// # Errors
/// When a folder cannot be read.
pub fn state_files(agent: &AgentProc) -> Result<BTreeSet<String>> {
    let base = agent.state_dir();
    let mut files = BTreeSet::new();
    collect_files(&base, &base, &mut files)?;
    Ok(files)
}

fn collect_files(base: &Path, folder: &Path, files: &mut BTreeSet<String>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("could not read {}", folder.display()))? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            collect_files(base, &entry.path(), files)?;
        } else if kind.is_file() && entry.path().extension().is_none_or(|kind| kind != "log") {
            files.insert(entry.path().strip_prefix(base)?.display().to_string());
        }
    }
    Ok(())
}

/// Checks that an agent is in no swarm and that nothing of one is left in its state: no manager process, and no file but
/// those that a fresh agent has. Containers are for the caller to look at: other agents may have some on the same host.
///
/// # Errors
/// Names what is left.
pub fn is_outside(agent: &AgentProc, fresh: &BTreeSet<String>) -> Result<()> {
    let info = swarm_info(agent)?;
    ensure!(
        info["LocalNodeState"] == "inactive" && info["NodeID"] == "" && info["ControlAvailable"] == false,
        "not outside a swarm: {info}"
    );
    ensure!(info["Error"] == "", "an error is left: {info}");
    ensure!(agent.manager().is_none(), "a manager is left: {:?}", agent.manager());
    let left: Vec<_> = state_files(agent)?.difference(fresh).cloned().collect();
    ensure!(left.is_empty(), "files are left: {left:?}");
    Ok(())
}

/// A spec of a replicated service.
#[must_use]
pub fn service_spec(name: &str, image: &str, replicas: u64) -> Value {
    json!({
        "Name": name,
        "TaskTemplate": {"ContainerSpec": {"Image": image}},
        "Mode": {"Replicated": {"Replicas": replicas}},
    })
}

/// Makes a service by the API of a host's agent. Gives its id.
///
/// # Errors
/// When it is refused.
pub fn create_service(cluster: &Cluster, number: u8, spec: &Value) -> Result<String> {
    let answer = cluster.api(number, &Request::post("/services/create", spec))?;
    ensure!(answer.status == 201, "{answer}");
    text_at(&answer.json()?, "/ID").context("an answer without an id")
}

/// Removes a service and waits until its containers are gone.
///
/// # Errors
/// When it is refused or they stay.
pub fn remove_service(cluster: &Cluster, number: u8, name: &str) -> Result<()> {
    prints(cluster.swarm(number, &["service", "rm", name])?, name)?;
    cluster.until(&format!("no container of {name}"), SOON, || {
        let left = cluster.containers(name)?;
        ensure!(left.is_empty(), "{left:?}");
        Ok(())
    })
}

/// What does not change in a container's life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Life {
    /// When it was started.
    pub started_at: String,
    /// Its first process.
    pub pid: i64,
}

/// The running containers on a host that carry the labels of a task, as its dockerd tells: id and life.
///
/// # Errors
/// When dockerd does not answer.
pub fn task_containers(host: &Host) -> Result<BTreeMap<String, Life>> {
    let filters = json!({"label": ["com.docker.swarm.task"]}).to_string();
    let list = host.docker_api(&Request::get("/containers/json").query("filters", &filters))?.json()?;
    let mut found = BTreeMap::new();
    for container in list.as_array().context("not a list of containers")? {
        let id = text_at(container, "/Id").context("a container without id")?;
        let state = host.docker_api(&Request::get(&format!("/containers/{id}/json")))?.json()?["State"].clone();
        let started_at = text_at(&state, "/StartedAt").context("a container without start")?;
        found.insert(id, Life { started_at, pid: state["Pid"].as_i64().unwrap_or_default() });
    }
    Ok(found)
}

/// The container of a task: number of its host and what its dockerd says of it.
///
/// # Errors
/// When the task has none.
pub fn inspect_container(cluster: &Cluster, task: &Value) -> Result<(u8, Value)> {
    let id = text_at(task, "/Status/ContainerStatus/ContainerID").with_context(|| format!("no container: {task}"))?;
    for host in cluster.bed().hosts() {
        let answer = host.docker_api(&Request::get(&format!("/containers/{id}/json")))?;
        if answer.status == 200 {
            return Ok((host.number(), answer.json()?));
        }
    }
    bail!("no host has container {id}")
}
