//! `docker service …`.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use swarm_testkit::{Output, SLEEP, WEB_1, WEB_2};
use swarm_tests::{SOON, inspect_container, prints, text_at};

use crate::{Scene, table};

const PUBLISH: &str = "mode=host,published=8080,target=8080";

pub(crate) fn a_service_is_created_with_progress(scene: &Scene) -> Result<()> {
    let cluster = &scene.cluster;
    let args = [
        "service",
        "create",
        "--name",
        "web",
        "--replicas",
        "2",
        "--publish",
        PUBLISH,
        "--env",
        "NODE={{.Node.Hostname}}",
        "--hostname",
        "{{.Service.Name}}-{{.Task.Slot}}",
        "--label",
        "tier=front",
        WEB_1,
    ];
    let output = scene.docker(1, &args)?;
    // Images of this bed are in no registry: that is a warning and no more.
    let warning = format!("image {WEB_1} could not be accessed on a registry to record\nits digest.");
    ensure!(output.stderr.contains(&warning), "{output}");
    let id = converges(scene, output, 2)?;
    let tasks = cluster.wait_running("web", 2, SOON)?;
    ensure!(tasks.iter().all(|task| task["ServiceID"] == id), "{tasks:?}");

    for number in [1, 2] {
        let address = (cluster.host(number).ip(), 8080);
        let page = cluster.bed().http_get_from_outside(address, "/")?.ok()?;
        ensure!(page.starts_with("web-") && page.ends_with(" 1"), "{page}");
        let environment = cluster.bed().http_get_from_outside(address, "/cgi-bin/env")?.ok()?;
        ensure!(environment.contains(&format!("NODE=h{number}\n")), "{environment}");
    }
    let exists = "rpc error: code = AlreadyExists desc = name conflicts with an existing object: \
        service web already exists";
    let again = scene.docker(1, &["service", "create", "--name", "web", "--detach", WEB_1])?;
    ensure!(again.code() == Some(1) && again.stderr.ends_with(&format!("Error response from daemon: {exists}\n")), "{again}");

    // A look-up of an image that is on the host costs no time.
    let start = Instant::now();
    let args = ["service", "create", "--name", "detached", "--detach", "--replicas", "0", "--quiet", SLEEP];
    let id = scene.docker(1, &args)?.ok()?;
    ensure!(id.len() == 25, "{id}");
    ensure!(start.elapsed() < SOON / 3, "it took {:?}", start.elapsed());
    prints(scene.docker(1, &["service", "rm", "detached"])?, "detached")
}

pub(crate) fn a_service_is_shown(scene: &Scene) -> Result<()> {
    let service = scene.docker(1, &["service", "inspect", "web"])?.json()?[0].clone();
    let id = text_at(&service, "/ID").context("no id")?;
    ensure!(service["Spec"]["Labels"] == json!({"tier": "front"}), "{service}");
    ensure!(service["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"] == WEB_1, "{service}");
    // Asked to insert defaults.
    ensure!(service["Spec"]["TaskTemplate"]["ContainerSpec"]["StopGracePeriod"] == 10_000_000_000_u64, "{service}");

    let shown = scene.docker(1, &["service", "ls"])?.ok()?;
    let header = vec!["ID", "NAME", "MODE", "REPLICAS", "IMAGE", "PORTS"];
    ensure!(table(&shown) == [header, vec![&id[..12], "web", "replicated", "2/2", WEB_1]], "{shown}");
    for (filter, found) in [("name=we", &id[..12]), ("label=tier=front", &id[..12]), ("mode=global", ""), ("id=x", "")] {
        prints(scene.docker(1, &["service", "ls", "-q", "--filter", filter])?, found)?;
    }

    let shown = scene.docker(1, &["service", "ps", "web"])?.ok()?;
    let rows = table(&shown);
    let names: Vec<_> = rows.iter().skip(1).map(|row| row[1]).collect();
    ensure!(names == ["web.1", "web.2"], "{shown}");
    for row in &rows[1..] {
        ensure!(row[2] == WEB_1 && ["h1", "h2"].contains(&row[3]) && row[4] == "Running", "{shown}");
        ensure!(row[5].starts_with("Running ") && row.last() == Some(&"*:8080->8080/tcp"), "{shown}");
    }
    let missing = scene.docker(1, &["service", "ps", "web", "nothing"])?;
    ensure!(missing.code() == Some(1) && table(&missing.stdout).len() == 3, "{missing}");
    missing.fails_with("no such service: nothing")?;
    prints(scene.docker(1, &["node", "ps", "h2", "--format", "{{.Node}} {{.DesiredState}}"])?, "h2 Running")?;

    let pretty = scene.docker(1, &["service", "inspect", "--pretty", "web"])?.ok()?;
    for part in ["Name:\t\tweb", " tier=front", "Service Mode:\tReplicated", " Replicas:\t2", WEB_1, "PublishMode = host"] {
        ensure!(pretty.contains(part), "{part:?} is missing:\n{pretty}");
    }
    let missing = scene.docker(1, &["service", "inspect", "nothing"])?;
    ensure!(missing.code() == Some(1) && missing.stdout.trim() == "[]", "{missing}");
    missing.fails_with("no such service: nothing")
}

pub(crate) fn a_service_is_updated_with_progress(scene: &Scene) -> Result<()> {
    let cluster = &scene.cluster;
    let old = cluster.running_tasks("web")?;
    let args = ["service", "update", "--image", WEB_2, "--env-add", "ADDED=yes", "--limit-memory", "64m", "web"];
    let output = scene.docker(1, &args)?;
    ensure!(output.stdout.starts_with("web\n"), "{output}");
    converges(scene, output, 2)?;
    let new = cluster.wait_running("web", 2, SOON)?;
    ensure!(new.iter().all(|task| old.iter().all(|old| old["ID"] != task["ID"])), "{old:?} {new:?}");
    for task in &new {
        let (number, container) = inspect_container(cluster, task)?;
        ensure!(container["HostConfig"]["Memory"] == 64 << 20, "{container}");
        let page = cluster.bed().http_get_from_outside((cluster.host(number).ip(), 8080), "/")?.ok()?;
        ensure!(page.ends_with(" 2"), "{page}");
    }
    // The old tasks stay as history.
    let shown = scene.docker(1, &["service", "ps", "web"])?.ok()?;
    ensure!(shown.contains(" \\_ web.1") && shown.contains(" \\_ web.2") && shown.contains("Shutdown"), "{shown}");
    Ok(())
}

pub(crate) fn a_service_is_scaled_and_removed(scene: &Scene) -> Result<()> {
    let cluster = &scene.cluster;
    let output = scene.docker(1, &["service", "scale", "web=1"])?;
    ensure!(output.stdout.starts_with("web scaled to 1\n"), "{output}");
    converges(scene, output, 1)?;
    cluster.wait_running("web", 1, SOON)?;
    prints(scene.docker(1, &["service", "scale", "--detach", "web=2"])?, "web scaled to 2")?;
    cluster.wait_running("web", 2, SOON)?;
    let output = scene.docker(1, &["service", "scale", "nothing=2"])?;
    ensure!(output.code() == Some(1), "{output}");
    output.fails_with("nothing")?;

    let output = scene.docker(1, &["service", "rm", "web", "nothing"])?;
    ensure!(output.code() == Some(1) && output.stdout == "web\n", "{output}");
    scene.finds_no(&output, "service", "nothing")?;
    cluster.until("no container of web", SOON, || {
        let left = cluster.containers("web")?;
        ensure!(left.is_empty(), "{left:?}");
        Ok(())
    })?;
    scene.finds_no(&scene.docker(1, &["service", "rm", "web"])?, "service", "web")
}

pub(crate) fn a_terminal_gets_bars(scene: &Scene) -> Result<()> {
    let cluster = &scene.cluster;
    let shown = scene.terminal(1, &format!("service create --name everywhere --mode global {SLEEP}"))?.ok()?;
    for number in [1, 2] {
        let id = swarm_tests::node_id(cluster.agent(number))?;
        let bar = format!("{}: running", &id[..12]);
        ensure!(shown.contains(&bar), "{bar:?} is missing:\n{shown}");
    }
    ensure!(shown.contains("[==================================================>]"), "{shown}");
    ensure!(shown.contains("overall progress: 2 out of 2 tasks"), "{shown}");
    cluster.wait_running("everywhere", 2, SOON)?;
    let shown = scene.docker(1, &["service", "ls", "--format", "{{.Mode}} {{.Replicas}}"])?.ok()?;
    ensure!(shown == "global 2/2", "{shown}");
    let output = scene.docker(1, &["service", "scale", "everywhere=2"])?;
    output.fails_with("everywhere: scale can only be used with replicated")?;
    prints(scene.docker(1, &["service", "rm", "everywhere"])?, "everywhere")
}

/// Checks that a command waited until the service had converged, and gives the id or name it printed first.
fn converges(scene: &Scene, output: Output, tasks: u64) -> Result<String> {
    let shown = output.to_string();
    let stdout = output.ok()?;
    let first = stdout.lines().next().unwrap_or_default().to_owned();
    let progress = format!("overall progress: {tasks} out of {tasks} tasks");
    ensure!(stdout.contains(&progress), "{progress:?} is missing: {shown}");
    // 28 names the service.
    let service = if scene.client.version.0 >= 28 { "verify: Service " } else { "verify: Service converged" };
    ensure!(stdout.contains(service) && stdout.ends_with("converged"), "{shown}");
    Ok(first)
}
