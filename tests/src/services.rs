//! What tests of services and nodes share: making services, finding their containers, comparing what is found.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::{Value, json};
use swarm_testkit::{Cluster, Output, Request};

use crate::{Check, SOON, inspect_container, text_at};

/// Does all checks on one cluster, going on past failures, and prints how long each took.
///
/// # Errors
/// All failures with the names of their checks, then the end of every daemon's log.
pub fn check_every(cluster: &Cluster, checks: &[Check<Cluster>]) -> Result<()> {
    let mut failures = Vec::new();
    for (name, check) in checks {
        let start = Instant::now();
        let result = check(cluster);
        let verdict = if result.is_ok() { "holds" } else { "FAILS" };
        println!("{name}: {verdict} after {:?}", start.elapsed());
        if let Err(error) = result {
            failures.push(format!("check \"{name}\": {error:#}"));
        }
    }
    if failures.is_empty() {
        return Ok(());
    }
    Err(anyhow!("{}\n{}", failures.join("\n"), cluster.logs()))
}

/// The words of a command line, as a shell would split it: white space separates, single or double
/// quotes keep together. Nothing else has a meaning.
#[must_use]
pub fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// Runs our client on the first host with a command line.
///
/// # Errors
/// When it cannot be run. Whether it succeeded is in the answer.
pub fn swarm(cluster: &Cluster, line: &str) -> Result<Output> {
    let words = words(line);
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    cluster.swarm(1, &words)
}

/// Runs `swarm service create` on the first host with these flags, image and arguments, not waiting for
/// the tasks and not asking a registry. Gives the id.
///
/// # Errors
/// When it is refused.
pub fn create(cluster: &Cluster, line: &str) -> Result<String> {
    let line = format!("service create --detach --no-resolve-image {line}");
    let id = swarm(cluster, &line)?.ok()?;
    ensure!(id.len() == 25, "not the id of a service: {id:?}");
    Ok(id)
}

/// Runs `swarm service update` on the first host with these flags, not waiting for the tasks.
///
/// # Errors
/// When it is refused.
pub fn update(cluster: &Cluster, service: &str, flags: &str) -> Result<()> {
    let line = format!("service update --detach --no-resolve-image {flags} {service}");
    let said = swarm(cluster, &line)?.ok()?;
    ensure!(said == service, "should have printed {service}, not {said:?}");
    Ok(())
}

/// Runs a command of our client on the first host that has to succeed, and gives what it printed.
///
/// # Errors
/// When it fails.
pub fn said(cluster: &Cluster, line: &str) -> Result<String> {
    swarm(cluster, line)?.ok()
}

/// As [`said`], as lines.
///
/// # Errors
/// When it fails.
pub fn lines(cluster: &Cluster, line: &str) -> Result<Vec<String>> {
    swarm(cluster, line)?.lines()
}

/// Runs a command of our client on the first host that has to print exactly these lines.
///
/// # Errors
/// When it fails or prints others.
pub fn shows(cluster: &Cluster, line: &str, wanted: &[&str]) -> Result<()> {
    let found = lines(cluster, line)?;
    ensure!(found == wanted, "{line} should print {wanted:?}, not {found:?}");
    Ok(())
}

/// Runs a command of our client on the first host that has to fail with this exit code and to say this
/// among other things.
///
/// # Errors
/// When it succeeds or says something else.
pub fn fails(cluster: &Cluster, line: &str, code: i32, text: &str) -> Result<()> {
    let output = swarm(cluster, line)?;
    ensure!(output.code() == Some(code) && output.stderr.contains(text), "should have ended with {code} and said {text:?}: {output}");
    Ok(())
}

/// A service as the API gives it.
///
/// # Errors
/// When there is none.
pub fn service(cluster: &Cluster, name: &str) -> Result<Value> {
    cluster.ask(&Request::get(&format!("/services/{name}")))
}

/// A container and where it is.
#[derive(Debug, Clone)]
pub struct Live {
    /// Number of its host.
    pub host: u8,
    /// Its task, as the API gives it.
    pub task: Value,
    /// What dockerd says of it.
    pub container: Value,
}

impl Live {
    /// The container's id.
    ///
    /// # Errors
    /// When dockerd told none.
    pub fn id(&self) -> Result<String> {
        text_at(&self.container, "/Id").context("a container without id")
    }

    /// Runs a command in the container and gives what it printed.
    ///
    /// # Errors
    /// When the command fails.
    pub fn exec(&self, cluster: &Cluster, words: &[&str]) -> Result<String> {
        self.run(cluster, words)?.ok()
    }

    /// As [`Live::exec`], for a command that may fail.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn run(&self, cluster: &Cluster, words: &[&str]) -> Result<Output> {
        let id = self.id()?;
        cluster.host(self.host).docker(&[&["exec", &id], words].concat())
    }
}

/// Waits until a service has exactly one running task and gives its container.
///
/// # Errors
/// When it does not get there.
pub fn live(cluster: &Cluster, name: &str) -> Result<Live> {
    let tasks = cluster.wait_running(name, 1, SOON)?;
    inspect(cluster, &tasks[0])
}

/// The container of a task.
///
/// # Errors
/// When it has none.
pub fn inspect(cluster: &Cluster, task: &Value) -> Result<Live> {
    let (host, container) = inspect_container(cluster, task)?;
    Ok(Live { host, task: task.clone(), container })
}

/// Waits until another task than `before` is the only running one of a service, and gives its container.
///
/// # Errors
/// When it does not get there.
pub fn replaced(cluster: &Cluster, name: &str, before: &Live) -> Result<Live> {
    let id = text_at(&before.task, "/ID").context("a task without id")?;
    let task = cluster.until(&format!("another task of {name}"), SOON, || {
        let tasks = cluster.running_tasks(name)?;
        ensure!(tasks.len() == 1, "{} tasks run", tasks.len());
        ensure!(tasks[0]["ID"] != id.as_str(), "{id} runs: {}", task_lines(cluster, name)?);
        let containers = cluster.containers(name)?;
        ensure!(containers.len() == 1, "containers: {containers:?}");
        Ok(tasks[0].clone())
    })?;
    inspect(cluster, &task)
}

/// Compares fields of a JSON value with those of `expected`, an object whose keys are pointers.
///
/// # Errors
/// All that differ.
pub fn fields(value: &Value, expected: &Value) -> Result<()> {
    let null = Value::Null;
    let expected = expected.as_object().context("not an object")?;
    let wrong: Vec<_> = expected
        .iter()
        .map(|(pointer, wanted)| (pointer, wanted, value.pointer(pointer).unwrap_or(&null)))
        .filter(|(_, wanted, found)| wanted != found)
        .map(|(pointer, wanted, found)| format!("{pointer} should be {wanted}, is {found}"))
        .collect();
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// Checks that fields of a JSON value are absent or say nothing: null, zero, false, no text, no item.
///
/// # Errors
/// All that say something.
pub fn empty(value: &Value, pointers: &[&str]) -> Result<()> {
    let says_nothing = |found: &Value| match found {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    };
    let said: Vec<_> = pointers
        .iter()
        .filter_map(|pointer| Some((pointer, value.pointer(pointer)?)))
        .filter(|(_, found)| !says_nothing(found))
        .map(|(pointer, found)| format!("{pointer} should be empty, is {found}"))
        .collect();
    ensure!(said.is_empty(), "{}", said.join("\n"));
    Ok(())
}

/// Checks that a list of texts has some texts and has others not.
///
/// # Errors
/// All that are missing or there by mistake.
pub fn has_texts(list: &Value, wanted: &[&str], unwanted: &[&str]) -> Result<()> {
    let found: BTreeSet<&str> = list.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let missing: Vec<_> = wanted.iter().filter(|text| !found.contains(*text)).collect();
    let left: Vec<_> = unwanted.iter().filter(|text| found.contains(*text)).collect();
    ensure!(missing.is_empty() && left.is_empty(), "missing: {missing:?}, should not be there: {left:?}, in {found:?}");
    Ok(())
}

/// A mount of a container by where it is inside.
///
/// # Errors
/// When there is none.
pub fn mount_at<'a>(container: &'a Value, target: &str) -> Result<&'a Value> {
    let mounts = container["Mounts"].as_array().context("no list of mounts")?;
    let found = mounts.iter().find(|mount| mount["Destination"] == target);
    found.with_context(|| format!("nothing is mounted at {target}: {mounts:?}"))
}

/// How many running tasks a service has on each host, by the hosts' names.
///
/// # Errors
/// When the cluster does not answer.
pub fn spread(cluster: &Cluster, name: &str) -> Result<BTreeMap<String, usize>> {
    let names = hostnames(cluster)?;
    let mut count = BTreeMap::new();
    for task in cluster.running_tasks(name)? {
        let node = text_at(&task, "/NodeID").context("a running task without node")?;
        let host = names.get(&node).with_context(|| format!("no node {node}"))?;
        *count.entry(host.clone()).or_default() += 1;
    }
    Ok(count)
}

/// The hostnames of all nodes, by the nodes' ids.
///
/// # Errors
/// When the cluster does not answer.
pub fn hostnames(cluster: &Cluster) -> Result<BTreeMap<String, String>> {
    let pair = |node: &Value| Some((text_at(node, "/ID")?, text_at(node, "/Description/Hostname")?));
    Ok(cluster.nodes()?.iter().filter_map(pair).collect())
}

/// The id of the node on a host.
///
/// # Errors
/// When there is none.
pub fn node_of(cluster: &Cluster, number: u8) -> Result<String> {
    text_at(&cluster.node(number)?, "/ID").context("a node without id")
}

/// Waits until a service has `count` tasks that cannot be placed and all of them say exactly `why`.
///
/// # Errors
/// When they do not.
pub fn waits_because(cluster: &Cluster, name: &str, count: usize, why: &str) -> Result<()> {
    cluster.until(&format!("{count} tasks of {name} that wait"), SOON, || {
        let tasks = cluster.tasks(name)?;
        let waiting: Vec<_> = tasks.iter().filter(|task| task["Status"]["State"] == "pending").collect();
        ensure!(waiting.len() == count, "{} wait: {}", waiting.len(), task_lines(cluster, name)?);
        for task in waiting {
            ensure!(task["Status"]["Err"] == why, "it says {}", task["Status"]["Err"]);
        }
        Ok(())
    })
}

/// Removes services and waits until none of their containers runs on a host that is on.
///
/// # Errors
/// When one is refused or stays.
pub fn remove(cluster: &Cluster, names: &[&str]) -> Result<()> {
    let removed = lines(cluster, &format!("service rm {}", names.join(" ")))?;
    ensure!(removed == names, "should have printed {names:?}, not {removed:?}");
    gone(cluster, names, SOON)
}

/// Waits until no container of the services runs on a host that is on.
///
/// # Errors
/// When one stays.
pub fn gone(cluster: &Cluster, names: &[&str], deadline: Duration) -> Result<()> {
    cluster.until(&format!("no container of {names:?}"), deadline, || {
        for name in names {
            let left = cluster.containers(name)?;
            ensure!(left.is_empty(), "{name}: {left:?}");
        }
        Ok(())
    })
}

/// A tasks' table for failure texts.
///
/// # Errors
/// When the cluster does not answer.
pub fn task_lines(cluster: &Cluster, name: &str) -> Result<String> {
    let line = |task: &Value| {
        let status = &task["Status"];
        format!(
            "\n{} slot {} on {}: {} wanted {} {} {}",
            task["ID"], task["Slot"], task["NodeID"], status["State"], task["DesiredState"], status["Message"], status["Err"]
        )
    };
    Ok(cluster.tasks(name)?.iter().map(line).collect())
}

/// Containers of a service on a host, those that ended too: id of the task and id of the container.
///
/// # Errors
/// When dockerd does not answer.
pub fn all_containers(cluster: &Cluster, number: u8, name: &str) -> Result<Vec<(String, String)>> {
    let filters = json!({"label": [format!("com.docker.swarm.service.name={name}")]}).to_string();
    let request = Request::get("/containers/json?all=1").query("filters", &filters);
    let Value::Array(list) = cluster.host(number).docker_api(&request)?.json()? else { bail!("not a list") };
    let pair = |container: &Value| {
        let task = container["Labels"]["com.docker.swarm.task.id"].as_str()?;
        Some((task.to_owned(), container["Id"].as_str()?.to_owned()))
    };
    list.iter().map(|container| pair(container).with_context(|| format!("not a task's: {container}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn command_lines_are_split_as_by_a_shell() {
        assert_eq!(words("a  b\n c"), ["a", "b", "c"]);
        assert_eq!(words("--x='a b' \"it's\" '' {{.A}}"), ["--x=a b", "it's", "", "{{.A}}"]);
    }
}
