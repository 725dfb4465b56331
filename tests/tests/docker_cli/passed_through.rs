//! What dockerd answers itself.

use std::fs;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use swarm_testkit::{BUSYBOX, Request, SLEEP, WEB_1};
use swarm_tests::{message_of, prints, refused};

use crate::{Scene, table};

pub(crate) fn containers_run(scene: &Scene) -> Result<()> {
    prints(scene.docker(1, &["run", "--rm", BUSYBOX, "echo", "a", "b"])?, "a b")?;
    let output = scene.docker(1, &["run", "--rm", BUSYBOX, "sh", "-c", "echo to stderr >&2; exit 7"])?;
    ensure!(output.code() == Some(7) && output.stderr == "to stderr\n", "{output}");

    let id = scene.docker(1, &["run", "--detach", "--name", "rest", SLEEP])?.ok()?;
    let shown = scene.docker(1, &["ps", "--no-trunc", "--format", "{{.ID}} {{.Names}} {{.Image}}"])?;
    prints(shown, &format!("{id} rest {SLEEP}"))?;
    // It is a container of dockerd's and of no swarm.
    prints(scene.cluster.host(1).docker(&["ps", "--quiet", "--no-trunc"])?, &id)?;
    prints(scene.docker(1, &["inspect", "--format", "{{.State.Status}}", "rest"])?, "running")?;
    prints(scene.docker(1, &["stop", "rest"])?, "rest")?;
    prints(scene.docker(1, &["wait", "rest"])?, "0")?;
    prints(scene.docker(1, &["rm", "rest"])?, "rest")?;
    scene.docker(1, &["inspect", "--type", "container", "rest"])?.fails_with("rest")?;
    // The engine's refusals come as they are.
    let refused = scene.docker(1, &["run", "--rm", "--name", "/bad name/", BUSYBOX])?;
    ensure!(refused.code() == Some(125), "{refused}");
    refused.fails_with("Error response from daemon: Invalid container name")
}

/// A context of a few megabytes goes in, and files in and out of containers.
pub(crate) fn images_are_built_and_files_copied(scene: &Scene) -> Result<()> {
    let host = scene.cluster.host(1);
    let context = host.dir().join("context");
    fs::create_dir_all(&context)?;
    fs::write(context.join("Dockerfile"), "FROM scratch\nCOPY big /big\nLABEL made=here\nCMD [\"/big\"]\n")?;
    let big: Vec<u8> = (0..5_u32 << 20).map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    fs::write(context.join("big"), &big)?;
    // Without its builder plugin the newer client has only the classic way.
    let built = scene.sh(1, &format!("DOCKER_BUILDKIT=0 $DOCKER build --tag built:1 {}", context.display()))?.ok()?;
    ensure!(built.contains("Successfully tagged built:1"), "{built}");
    prints(scene.docker(1, &["inspect", "--format", "{{.Config.Labels.made}}", "built:1"])?, "here")?;
    prints(scene.docker(1, &["images", "--format", "{{.Repository}}:{{.Tag}}", "built"])?, "built:1")?;

    scene.docker(1, &["create", "--name", "source", "built:1"])?.ok()?;
    let out = context.join("out");
    scene.docker(1, &["cp", "source:/big", &out.display().to_string()])?.ok()?;
    ensure!(fs::read(&out)? == big, "the file changed on its way");
    scene.docker(1, &["run", "--detach", "--name", "target", SLEEP])?.ok()?;
    scene.docker(1, &["cp", &out.display().to_string(), "target:/tmp/in"])?.ok()?;
    let sum = host.exec("md5sum", &[&out])?.ok()?;
    let copied = scene.docker(1, &["exec", "target", "md5sum", "/tmp/in"])?.ok()?;
    ensure!(sum.split(' ').next() == copied.split(' ').next(), "{sum} {copied}");
    scene.docker(1, &["rm", "--force", "source", "target"])?.ok()?;

    // An image goes out and in again.
    let file = context.join("image.tar");
    scene.docker(1, &["save", "--output", &file.display().to_string(), "built:1"])?.ok()?;
    scene.docker(1, &["rmi", "built:1"])?.ok()?;
    let loaded = scene.docker(1, &["load", "--input", &file.display().to_string()])?.ok()?;
    ensure!(loaded.contains("Loaded image: built:1"), "{loaded}");
    scene.docker(1, &["rmi", "built:1"])?.ok().map(drop)
}

pub(crate) fn other_objects_are_dockerds(scene: &Scene) -> Result<()> {
    let shown = scene.docker(1, &["images", "--format", "{{.Repository}}:{{.Tag}}"])?.lines()?;
    ensure!(shown.iter().any(|name| name == WEB_1), "{shown:?}");
    prints(scene.docker(1, &["volume", "create", "data"])?, "data")?;
    prints(scene.docker(1, &["volume", "ls", "--quiet"])?, "data")?;
    prints(scene.docker(1, &["volume", "rm", "data"])?, "data")?;
    let networks = scene.docker(1, &["network", "ls"])?.ok()?;
    let names: Vec<_> = table(&networks).iter().skip(1).map(|row| row[1].to_owned()).collect();
    ensure!(names == ["bridge", "host", "none"], "{networks}");
    let id = scene.docker(1, &["network", "create", "local"])?.ok()?;
    ensure!(id.len() == 64, "{id}");
    // Names that the engine keeps for itself.
    let refused = scene.docker(1, &["network", "create", "host"])?;
    refused.fails_with("operation is not permitted on predefined host network")?;
    prints(scene.docker(1, &["network", "rm", "local"])?, "local")?;
    scene.docker(1, &["pull", "example.invalid/none"])?.fails_with("lookup")
}

pub(crate) fn stats_are_shown(scene: &Scene) -> Result<()> {
    scene.docker(1, &["run", "--detach", "--name", "measured", SLEEP])?.ok()?;
    let shown = scene.docker(1, &["stats", "--no-stream", "--format", "{{.Name}} {{.PIDs}}"])?.ok()?;
    ensure!(shown.starts_with("measured "), "{shown}");
    let top = scene.docker(1, &["top", "measured"])?.ok()?;
    ensure!(top.contains("sleep"), "{top}");
    scene.docker(1, &["rm", "--force", "measured"])?.ok().map(drop)
}

/// Bodies and statuses are dockerd's own, to the byte.
pub(crate) fn answers_are_those_of_dockerd(scene: &Scene) -> Result<()> {
    let host = scene.cluster.host(1);
    for path in [
        "/version",
        "/images/swarm-test/web:1/json",
        "/containers/json?all=1",
        "/v1.41/networks/bridge",
        "/containers/nobody/json",
        "/v1.30/images/nothing/json",
        "/volumes",
        "/no/such/path",
    ] {
        let (ours, theirs) = (scene.cluster.api(1, &Request::get(path))?, host.docker_api(&Request::get(path))?);
        ensure!(ours.status == theirs.status && ours.body == theirs.body, "{path}: {ours}\nnot {theirs}");
    }
    let (mut ours, mut theirs) = (scene.cluster.api(1, &Request::get("/info"))?.json()?, host.docker_api(&Request::get("/info"))?.json()?);
    for info in [&mut ours, &mut theirs] {
        let info = info.as_object_mut().context("not an object")?;
        // What changes with every look.
        for field in ["Swarm", "SystemTime", "NFd", "NGoroutines", "NEventsListener"] {
            info.remove(field);
        }
    }
    ensure!(ours == theirs, "{ours}\nnot {theirs}");

    // Refused while the body is still on its way: the refusal arrives all the same.
    let path = "/containers/nobody/archive?path=/tmp";
    let upload = Request::new("PUT", path).raw_body("application/x-tar", vec![0; 64 << 20]);
    for _ in 0..5 {
        refused(&scene.cluster.api(1, &upload)?, 404, "No such container: nobody")?;
    }

    // While the engine is away that is said, and this agent can still be asked for itself.
    host.stop_dockerd()?;
    let answer = scene.cluster.api(1, &Request::get("/containers/json"))?;
    let message = message_of(&answer)?;
    ensure!(answer.status == 503 && message.contains("Is the docker daemon running?"), "{answer}");
    ensure!(scene.cluster.api(1, &Request::get("/_ping"))?.ok()? == "OK");
    host.start_dockerd()?;
    let back: Value = scene.cluster.api(1, &Request::get("/containers/json"))?.json()?;
    ensure!(back.is_array(), "{back}");
    Ok(())
}
