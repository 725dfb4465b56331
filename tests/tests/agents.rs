//! Agents that stop, die and come back, and what they are told at their start.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use swarm_testkit::{AgentOptions, AgentProc, Cluster, Output, Request, Role, SLEEP, bin_dir, run};
use swarm_tests::{Life, SOON, check_cluster, create_service, node_id, service_spec, task_containers, text_at, texts_at};

/// Tasks of the service that must not notice anything.
const TASKS: usize = 4;
const STEADY: &str = "steady";

#[test]
fn containers_outlive_their_agents() -> Result<()> {
    let cluster = Cluster::formed(1, 1)?;
    create_service(&cluster, 1, &service_spec(STEADY, SLEEP, TASKS as u64))?;
    cluster.wait_running(STEADY, TASKS, SOON)?;
    check_cluster(
        &cluster,
        &[
            ("SIGTERM and SIGINT", signals_end_an_agent_in_order),
            ("kill -9 of a worker's agent", a_killed_worker_agent_adopts),
            ("kill -9 of a manager's agent", a_manager_outlives_its_agent),
            ("kill -9 of agent and manager", agent_and_manager_die_together),
            ("an ordered restart of a manager's host", a_manager_host_restarts_in_order),
            ("a second agent on the same state", a_second_agent_is_refused),
        ],
    )
}

#[test]
fn agents_are_what_they_are_told() -> Result<()> {
    let cluster = Cluster::formed(1, 1)?;
    check_cluster(
        &cluster,
        &[
            ("the node's description", a_node_describes_its_host),
            ("wrong settings", wrong_settings_are_refused_by_name),
            ("settings from a file", settings_come_from_flags_and_file),
        ],
    )
}

/// Tasks and containers at a moment.
#[derive(Debug, PartialEq)]
struct Moment {
    /// Container of each task.
    tasks: BTreeMap<String, Value>,
    /// Containers of all hosts.
    containers: BTreeMap<String, Life>,
}

fn moment(cluster: &Cluster) -> Result<Moment> {
    let running = cluster.wait_running(STEADY, TASKS, SOON)?;
    // No task was replaced: there is none but those that run.
    let all = cluster.tasks(STEADY)?;
    ensure!(all.len() == TASKS, "more tasks than expected: {all:?}");
    let container = |task: &Value| task["Status"]["ContainerStatus"]["ContainerID"].clone();
    let tasks = running.iter().map(|task| (text_at(task, "/ID").unwrap_or_default(), container(task))).collect();
    let mut containers = BTreeMap::new();
    for host in cluster.bed().hosts() {
        containers.extend(task_containers(host)?);
    }
    ensure!(containers.len() == TASKS, "containers: {containers:?}");
    Ok(Moment { tasks, containers })
}

/// Checks that what is done between has no effect on tasks and containers.
fn unnoticed(cluster: &Cluster, between: impl FnOnce() -> Result<()>) -> Result<()> {
    let before = moment(cluster)?;
    between()?;
    cluster.wait_ready(1, 1)?;
    let after = moment(cluster)?;
    ensure!(before == after, "before: {before:?}\nafter: {after:?}");
    // What is asked for later reaches the agent, and only that: it has taken up its work.
    cluster.swarm(1, &["service", "update", "--detach", "--label-add", "touched=1", STEADY])?.ok()?;
    cluster.swarm(1, &["service", "scale", "--detach", &format!("{STEADY}={}", TASKS + 2)])?.ok()?;
    cluster.wait_running(STEADY, TASKS + 2, SOON)?;
    cluster.swarm(1, &["service", "scale", "--detach", &format!("{STEADY}={TASKS}")])?.ok()?;
    cluster.wait_running(STEADY, TASKS, SOON)?;
    cluster.until("the two gone", SOON, || {
        let tasks = cluster.tasks(STEADY)?;
        ensure!(tasks.len() == TASKS, "{tasks:?}");
        Ok(())
    })
}

fn signals_end_an_agent_in_order(cluster: &Cluster) -> Result<()> {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        unnoticed(cluster, || {
            let on_host = task_containers(cluster.host(2))?;
            ensure!(!on_host.is_empty(), "no task runs there");
            // This also checks the exit code.
            cluster.agent(2).stop_with(signal)?;
            ensure!(task_containers(cluster.host(2))? == on_host, "containers changed while it is away");
            cluster.agent(2).start_again()
        })
        .context(signal)?;
    }
    Ok(())
}

fn a_killed_worker_agent_adopts(cluster: &Cluster) -> Result<()> {
    unnoticed(cluster, || {
        cluster.agent(2).kill()?;
        cluster.agent(2).start_again()
    })
}

fn a_manager_outlives_its_agent(cluster: &Cluster) -> Result<()> {
    let agent = cluster.agent(1);
    let manager = agent.manager().context("no manager process")?;
    unnoticed(cluster, || {
        agent.kill()?;
        ensure!(manager.alive(), "the manager died with its agent");
        agent.start_again()?;
        // The agent answers for the cluster again as soon as it has found the manager.
        cluster.until("the manager behind the agent", SOON, || agent.api(&Request::get("/nodes"))?.json())?;
        Ok(())
    })?;
    let found = agent.manager().context("no manager process")?;
    ensure!(found.pid == manager.pid, "another manager: {manager:?} {found:?}");
    let managers = agent.host().processes().into_iter().filter(|process| process.program() == "swarm-manager");
    ensure!(managers.count() == 1, "more than one manager");
    Ok(())
}

fn agent_and_manager_die_together(cluster: &Cluster) -> Result<()> {
    let agent = cluster.agent(1);
    let manager = agent.manager().context("no manager process")?;
    unnoticed(cluster, || {
        agent.kill()?;
        manager.kill()?;
        agent.start_again()
    })?;
    let found = agent.manager().context("no manager process")?;
    ensure!(found.pid != manager.pid, "it was not killed");
    Ok(())
}

fn a_manager_host_restarts_in_order(cluster: &Cluster) -> Result<()> {
    unnoticed(cluster, || cluster.agent(1).restart())
}

fn a_second_agent_is_refused(cluster: &Cluster) -> Result<()> {
    let first = cluster.agent(2);
    let socket = first.host().run_dir().join("second.sock");
    let second = |state_dir: &Path, socket: &Path| -> Result<Output> {
        let mut command = first.host().command(bin_dir()?.join("swarm-agent"));
        command.arg("--state-dir").arg(state_dir);
        command.arg("--host").arg(format!("unix://{}", socket.display()));
        command.args(["--docker-host", &first.host().docker_url()]);
        run(command)
    };
    let output = second(&first.state_dir(), &socket)?;
    output.fails_with(&first.state_dir().display().to_string())?;
    ensure!(output.code() == Some(1) && !socket.exists(), "{output}");
    // Nor does it take the socket of one that runs.
    let output = second(&first.host().dir().join("elsewhere"), &first.socket())?;
    output.fails_with(&first.socket().display().to_string())?;
    ensure!(output.code() == Some(1), "{output}");
    ensure!(first.api(&Request::get("/_ping"))?.header("swarm") == Some("active/worker"));
    moment(cluster).map(drop)
}

fn a_node_describes_its_host(cluster: &Cluster) -> Result<()> {
    for number in [1, 2] {
        let engine = cluster.host(number).docker_api(&Request::get("/info"))?.json()?;
        let node = cluster.node(number)?;
        let told = &node["Description"];
        let cpus = engine["NCPU"].as_u64().context("no NCPU")?;
        for (pointer, expected) in [
            ("/Hostname", json!(cluster.host(number).hostname())),
            ("/Platform/Architecture", engine["Architecture"].clone()),
            ("/Platform/OS", engine["OSType"].clone()),
            ("/Resources/NanoCPUs", json!(cpus * 1_000_000_000)),
            ("/Resources/MemoryBytes", engine["MemTotal"].clone()),
            ("/Engine/EngineVersion", engine["ServerVersion"].clone()),
        ] {
            ensure!(told.pointer(pointer) == Some(&expected), "{pointer} should be {expected}: {told}");
        }
        let plugins = told["Engine"]["Plugins"].as_array().context("no plugins")?;
        let told: Vec<_> = plugins.iter().map(|plugin| (&plugin["Type"], &plugin["Name"])).collect();
        for (kind, names) in [("Volume", "Volume"), ("Network", "Network"), ("Log", "Log")] {
            for name in engine["Plugins"][names].as_array().context("no plugins of the engine")? {
                ensure!(told.contains(&(&json!(kind), name)), "{kind} {name} is missing: {told:?}");
            }
        }
        let shown = cluster.swarm(1, &["node", "inspect", "--pretty", cluster.host(number).hostname()])?.ok()?;
        for line in [
            format!("Hostname:              \t{}", cluster.host(number).hostname()),
            " Operating System:\tlinux".to_owned(),
            format!(" CPUs:\t\t\t{cpus}"),
            format!("Engine Version:\t\t{}", engine["ServerVersion"].as_str().unwrap_or_default()),
        ] {
            let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
            let found = shown.lines().any(|shown| squeezed(shown) == squeezed(&line));
            ensure!(found, "{line:?} is missing:\n{shown}");
        }
    }
    Ok(())
}

fn wrong_settings_are_refused_by_name(cluster: &Cluster) -> Result<()> {
    let host = cluster.host(2);
    let start = |args: &[&str]| -> Result<Output> {
        let mut command = host.command(bin_dir()?.join("swarm-agent"));
        command.args(args);
        run(command)
    };
    let state_dir = host.dir().join("wrong");
    let base = ["--state-dir", state_dir.to_str().context("a path that is not UTF-8")?];
    let socket = format!("unix://{}", host.run_dir().join("wrong.sock").display());
    for (args, named) in [
        (&["--frobnicate"][..], "--frobnicate"),
        (&["--host", "http://x"], "http://x"),
        (&["--host", &socket, "--host", &socket], &socket),
        (&["--label", "novalue"], "novalue"),
        (&["--hostname", ""], "hostname"),
        (&["--log-level", "loud"], "loud"),
        (&["--log-format", "xml"], "xml"),
        (&["--config", "/nowhere.toml"], "/nowhere.toml"),
    ] {
        let output = start(&[&base, args].concat())?;
        ensure!(!output.status.success() && output.stderr.contains(named), "{args:?} should be named: {output}");
    }
    let file = host.dir().join("agent.toml");
    let path = file.to_str().context("a path that is not UTF-8")?;
    for (content, named) in [
        ("frobnicate = true\n", "frobnicate"),
        ("state_dir = \"/x\"\n", "state_dir"),
        ("hostname = 5\n", "hostname"),
        ("log-level = \"loud\"\n", "loud"),
        ("label = \"a=b\"\n", "label"),
        ("hostname = \n", path),
    ] {
        fs::write(&file, content)?;
        let output = start(&[&base[..], &["--config", path]].concat())?;
        let is_named = output.stderr.contains(named) && output.stderr.contains(path);
        ensure!(!output.status.success() && is_named, "{content:?} should be named: {output}");
    }
    ensure!(!state_dir.exists(), "a refused agent made its folder");
    Ok(())
}

/// A further agent on the second host, with settings from both.
fn settings_come_from_flags_and_file(cluster: &Cluster) -> Result<()> {
    let host = cluster.host(2);
    let file = host.dir().join("third.toml");
    fs::write(
        &file,
        format!(
            "hostname = \"from-file\"\nlabel = [\"from=file\"]\nlog-format = \"json\"\nlog-level = \"debug\"\n\
             default-advertise-addr = \"{}\"\n",
            host.ip()
        ),
    )?;
    let agent = AgentProc::start(
        host,
        AgentOptions {
            name: "third".to_owned(),
            labels: vec!["rack=7".to_owned(), "empty=".to_owned(), "eq=a=b".to_owned()],
            extra_args: vec!["--config".to_owned(), file.display().to_string()],
            ..AgentOptions::default()
        },
    )?;
    let (manager, token) = cluster.join_token(Role::Worker)?;
    let remote = format!("{}:2377", cluster.host(manager).ip());
    agent.swarm(&["join", "--token", &token, &remote])?.ok()?;
    cluster.wait_ready(1, 2)?;
    let id = node_id(&agent)?;
    let node = cluster.swarm(1, &["node", "inspect", &id])?.json()?[0].clone();
    ensure!(node["Description"]["Hostname"] == "from-file", "{node}");
    let labels = json!({"rack": "7", "empty": "", "eq": "a=b"});
    ensure!(node["Description"]["Engine"]["Labels"] == labels, "{node}");
    let hostnames = texts_at(&cluster.nodes()?, "/Description/Hostname");
    ensure!(hostnames.contains("from-file"), "{hostnames:?}");
    for filter in ["label=rack=7", "label=empty"] {
        let found = cluster.swarm(1, &["node", "ls", "-q", "--filter", filter])?.ok()?;
        ensure!(found == id, "{filter}: {found}");
    }
    let log = fs::read_to_string(agent.log())?;
    for line in log.lines() {
        ensure!(serde_json::from_str::<Value>(line).is_ok_and(|value| value.is_object()), "not JSON: {line}");
    }
    ensure!(log.contains("\"DEBUG\""), "nothing at the asked level:\n{log}");
    agent.swarm(&["leave"])?.ok()?;
    agent.stop()
}
