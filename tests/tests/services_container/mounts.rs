//! Mounts beyond the plain ones, and their volumes.

use anyhow::{Context, Result, ensure};
use serde_json::json;
use swarm_testkit::{Cluster, Request, SLEEP};
use swarm_tests::services::{create, fields, live, mount_at, remove, task_lines};
use swarm_tests::{SOON, text_at};

use crate::HOST;

pub(crate) fn mounts(cluster: &Cluster) -> Result<()> {
    let host = cluster.host(HOST);
    let line = format!(
        "--name volumes --constraint node.hostname==h2 --mount target=/nameless
         --mount source=ram,target=/ram,volume-driver=local,volume-opt=type=tmpfs,volume-opt=device=tmpfs
         --mount source=ram,target=/again,readonly {SLEEP}"
    );
    create(cluster, &line)?;
    let volumes = live(cluster, "volumes")?;
    let nameless = mount_at(&volumes.container, "/nameless")?;
    let nameless = text_at(nameless, "/Name").with_context(|| format!("no name: {nameless}"))?;
    let ram = host.docker_api(&Request::get("/volumes/ram"))?.json()?;
    let expected = json!({"/Driver": "local", "/Options": {"type": "tmpfs", "device": "tmpfs"}});
    fields(&ram, &expected)?;
    let expected = json!({"/Name": "ram", "/RW": false});
    fields(mount_at(&volumes.container, "/again")?, &expected)?;
    remove(cluster, &["volumes"])?;
    cluster.until("the end of the nameless volume only", SOON, || {
        let gone = host.docker_api(&Request::get(&format!("/volumes/{nameless}")))?;
        ensure!(gone.status == 404, "{gone}");
        let kept = host.docker_api(&Request::get("/volumes/ram"))?;
        ensure!(kept.status == 200, "a named volume is the user's: {kept}");
        Ok(())
    })
}

pub(crate) fn missing_sources(cluster: &Cluster) -> Result<()> {
    let line = format!(
        "--name missing --constraint node.hostname==h2 --restart-condition none
         --mount type=bind,source=/not/there,target=/bind {SLEEP}"
    );
    create(cluster, &line)?;
    cluster.until("a task that says what is missing", SOON, || {
        let tasks = cluster.tasks("missing")?;
        let task = tasks.first().context("no task")?;
        let rejected = task["Status"]["State"] == "rejected";
        ensure!(rejected, "{}", task_lines(cluster, "missing")?);
        let text = text_at(task, "/Status/Err").unwrap_or_default();
        let why = "invalid bind mount source, source path not found: /not/there";
        ensure!(text.contains(why), "{text}");
        Ok(())
    })?;
    remove(cluster, &["missing"])
}
