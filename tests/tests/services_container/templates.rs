//! Go templates in variables, hostname and mounts.

use anyhow::{Context, Result, ensure};
use serde_json::json;
use swarm_testkit::{Cluster, Request, SLEEP};
use swarm_tests::services::{create, has_texts, inspect, mount_at, remove, swarm};
use swarm_tests::{SOON, text_at};

use crate::HOST;

pub(crate) fn replicated(cluster: &Cluster) -> Result<()> {
    let line = format!(
        "--name tpl --constraint node.hostname==h2 --replicas 2 --label tier=front
         --hostname {{{{.Service.Name}}}}-{{{{.Task.Slot}}}}-{{{{.Node.Hostname}}}}
         --env 'SERVICE={{{{.Service.ID}}}} {{{{.Service.Name}}}} {{{{.Service.Labels.tier}}}}'
         --env 'NODE={{{{.Node.ID}}}} {{{{.Node.Platform.OS}}}} {{{{.Node.Platform.Architecture}}}}'
         --env 'TASK={{{{.Task.ID}}}} {{{{.Task.Name}}}} {{{{.Task.Slot}}}}' --env PLAIN=a{{b}}c
         --env 'JOINED={{{{join \"-\" .Service.Name .Task.Slot}}}}'
         --mount 'source=tpl-{{{{.Task.Slot}}}},target=/data/{{{{.Task.Slot}}}},volume-label=of={{{{.Task.Slot}}}}'
         {SLEEP}"
    );
    let id = create(cluster, &line)?;
    let node = cluster.node(HOST)?;
    let node_id = text_at(&node, "/ID").context("no node id")?;
    let architecture = "/Description/Platform/Architecture";
    let architecture = text_at(&node, architecture).context("no architecture")?;
    for task in cluster.wait_running("tpl", 2, SOON)? {
        let slot = &task["Slot"];
        let task_id = text_at(&task, "/ID").context("no id")?;
        let found = inspect(cluster, &task)?.container;
        ensure!(found["Config"]["Hostname"] == format!("tpl-{slot}-h2"));
        let env = [
            format!("SERVICE={id} tpl front"),
            format!("NODE={node_id} linux {architecture}"),
            format!("TASK={task_id} tpl.{slot}.{task_id} {slot}"),
            format!("JOINED=tpl-{slot}"),
            "PLAIN=a{b}c".to_owned(),
        ];
        let env = env.each_ref().map(String::as_str);
        has_texts(&found["Config"]["Env"], &env, &[])?;
        let mount = mount_at(&found, &format!("/data/{slot}"))?;
        ensure!(mount["Name"] == format!("tpl-{slot}"), "{mount}");
        let volume = Request::get(&format!("/volumes/tpl-{slot}"));
        let volume = cluster.host(HOST).docker_api(&volume)?.json()?;
        ensure!(volume["Labels"] == json!({"of": slot.to_string()}));
    }
    remove(cluster, &["tpl"])
}

pub(crate) fn global(cluster: &Cluster) -> Result<()> {
    let line = format!("--name tplg --mode global --hostname {{{{.Node.Hostname}}}} --env SLOT={{{{.Task.Slot}}}} {SLEEP}");
    create(cluster, &line)?;
    for task in cluster.wait_running("tplg", 3, SOON)? {
        let found = inspect(cluster, &task)?;
        let node = text_at(&task, "/NodeID").context("no node")?;
        let config = &found.container["Config"];
        ensure!(config["Hostname"] == format!("h{}", found.host));
        has_texts(&config["Env"], &[&format!("SLOT={node}")], &[])?;
        let id = text_at(&task, "/ID").context("no id")?;
        ensure!(found.container["Name"] == format!("/tplg.{node}.{id}"));
    }
    remove(cluster, &["tplg"])
}

pub(crate) fn refused(cluster: &Cluster) -> Result<()> {
    for flag in ["--env 'A={{.Nothing}}'", "--hostname '{{.Node.Hostname'", "--env 'A={{.Task.Slot | nope}}'"] {
        let line = format!("service create --detach --no-resolve-image --name bad {flag} {SLEEP}");
        let refused = swarm(cluster, &line)?;
        let told = refused.stderr.starts_with("Error response from daemon: ");
        ensure!(refused.code() == Some(1) && told, "{refused}");
    }
    let found = cluster.api(1, &Request::get("/services/bad"))?;
    ensure!(found.status == 404, "a refused service is there: {found}");
    Ok(())
}
