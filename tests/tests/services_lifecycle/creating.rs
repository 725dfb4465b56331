//! `service create`: what it prints, what it waits for, and images.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use swarm_testkit::{Cluster, SLEEP};
use swarm_tests::services::{create, fails, hostnames, lines, live, remove, said, service, shows, swarm, task_lines, update, words};
use swarm_tests::{SOON, text_at};

use crate::is_spread;

pub(crate) fn images_of_the_host(cluster: &Cluster) -> Result<()> {
    let start = Instant::now();
    let line = format!("service create --detach --name local --replicas 3 {SLEEP}");
    let output = swarm(cluster, &line)?;
    let created = start.elapsed();
    cluster.wait_running("local", 3, SOON)?;
    let run = start.elapsed();
    println!("an image of the host: created after {created:?}, 3 tasks run after {run:?}");
    let warning = format!(
        "image {SLEEP} could not be accessed on a registry to record\nits digest. Each node will \
         access {SLEEP} independently,\npossibly leading to different nodes running \
         different\nversions of the image.\n"
    );
    ensure!(output.stderr.trim() == warning.trim(), "{output}");
    let id = output.ok()?;
    ensure!(id.len() == 25, "{id}");
    ensure!(created < Duration::from_secs(5), "{created:?}");
    ensure!(run < Duration::from_secs(15), "{run:?}");
    // No warning when nobody asked for a digest, and a name without a tag means the latest.
    let short = SLEEP.trim_end_matches(":latest");
    let line = format!("service create --detach --no-resolve-image --name short {short}");
    let quiet = swarm(cluster, &line)?;
    ensure!(quiet.status.success() && quiet.stderr.is_empty(), "{quiet}");
    let container = live(cluster, "short")?.container;
    ensure!(container["Config"]["Image"] == SLEEP);
    remove(cluster, &["local", "short"])
}

pub(crate) fn progress(cluster: &Cluster) -> Result<()> {
    let line = format!("service create --no-resolve-image --name shown --replicas 2 {SLEEP}");
    let shown = lines(cluster, &line)?;
    ensure!(cluster.running_tasks("shown")?.len() == 2, "it ended early");
    let id = text_at(&service(cluster, "shown")?, "/ID").context("no id")?;
    ensure!(shown.first() == Some(&id), "{shown:?}");
    let overall = |done: u8| format!("overall progress: {done} out of 2 tasks");
    ensure!(shown.get(1) == Some(&overall(0)), "{shown:?}");
    let all = shown.iter().position(|line| *line == overall(2));
    let rest = &shown[all.context("not all tasks are told")? + 1..];
    let [waits @ .., last] = rest else { anyhow::bail!("nothing was verified: {shown:?}") };
    let tail = " seconds to verify that tasks are stable...";
    let is_wait = |line: &String| line.starts_with("verify: Waiting ") && line.ends_with(tail);
    let verified = (1..=6).contains(&waits.len()) && waits.iter().all(is_wait);
    ensure!(verified, "{shown:?}");
    ensure!(*last == format!("verify: Service {id} converged"), "{last}");
    remove(cluster, &["shown"])
}

pub(crate) fn quiet(cluster: &Cluster) -> Result<()> {
    let start = Instant::now();
    let line = format!("service create --quiet --no-resolve-image --name quiet {SLEEP}");
    let id = said(cluster, &line)?;
    ensure!(id.len() == 25, "should print the id only: {id}");
    ensure!(cluster.running_tasks("quiet")?.len() == 1, "it ended early");
    ensure!(start.elapsed() >= Duration::from_secs(5), "not verified");
    remove(cluster, &["quiet"])
}

/// The progress says why; ending the wait ends nothing else.
pub(crate) fn progress_of_what_cannot_run(cluster: &Cluster) -> Result<()> {
    let line = format!("service create --no-resolve-image --name stuck --constraint node.hostname==none {SLEEP}");
    let folder = cluster.host(1).dir();
    let log = folder.join("stuck.out");
    let mut command = cluster.agent(1).swarm_command()?;
    command.args(words(&line)).stdin(Stdio::null()).stdout(File::create(&log)?).stderr(File::create(folder.join("stuck.err"))?);
    let mut child = command.spawn()?;
    let why = "1/1: no suitable node (scheduling constraints not satisfied on 3 nodes)";
    let shown = cluster.until("the reason in the progress", SOON, || {
        let text = fs::read_to_string(&log)?;
        ensure!(text.contains(why), "{text}");
        Ok(())
    });
    let mut processes = cluster.host(1).processes().into_iter();
    let client = processes.find(|process| process.program() == "swarm" && process.args.iter().any(|word| word == "stuck"));
    client.context("the client is gone")?.signal(Signal::SIGINT)?;
    let status = child.wait()?;
    shown?;
    let text = fs::read_to_string(&log)?;
    ensure!(status.success(), "{status}: {text}");
    let id = text_at(&service(cluster, "stuck")?, "/ID").context("no id")?;
    let words = format!("Operation continuing in background.\nUse `swarm service ps {id}` to check progress.\n");
    ensure!(text.ends_with(&words), "{text}");
    remove(cluster, &["stuck"])
}

pub(crate) fn global(cluster: &Cluster) -> Result<()> {
    let line = format!("service create --no-resolve-image --name each --mode global {SLEEP}");
    let shown = lines(cluster, &line)?;
    let all = "overall progress: 3 out of 3 tasks".to_owned();
    ensure!(shown.contains(&all), "{shown:?}");
    let tasks = cluster.wait_running("each", 3, SOON)?;
    is_spread(cluster, "each", &[("h1", 1), ("h2", 1), ("h3", 1)])?;
    let slots = tasks.iter().filter(|task| !task["Slot"].is_null());
    ensure!(slots.count() == 0, "{}", task_lines(cluster, "each")?);
    let ls = "service ls --filter name=each --format '{{.Mode}} {{.Replicas}}'";
    shows(cluster, ls, &["global 3/3"])?;
    let names = lines(cluster, "service ps --format {{.Name}} each")?;
    let wanted = hostnames(cluster)?.into_keys();
    let wanted: BTreeSet<_> = wanted.map(|id| format!("each.{id}")).collect();
    ensure!(BTreeSet::from_iter(names) == wanted);
    let why = "scale can only be used with replicated or replicated-job mode";
    fails(cluster, "service scale --detach each=2", 1, why)?;
    let why = "replicas can only be used with replicated";
    fails(cluster, "service update --detach --replicas 2 each", 1, why)?;
    // A constraint takes it from the nodes that do not fit.
    update(cluster, "each", "--constraint-add node.role==worker")?;
    cluster.wait_running("each", 2, SOON)?;
    is_spread(cluster, "each", &[("h2", 1), ("h3", 1)])?;
    remove(cluster, &["each"])
}

/// Makes a service on `h2` and waits for its tasks.
pub(crate) fn on_h2(cluster: &Cluster, name: &str, replicas: usize, more: &str) -> Result<String> {
    let line = format!("--name {name} --replicas {replicas} --constraint node.hostname==h2 {more} {SLEEP}");
    let id = create(cluster, &line)?;
    cluster.wait_running(name, replicas, SOON)?;
    Ok(id)
}
