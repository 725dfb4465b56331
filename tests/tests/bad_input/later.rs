//! What Docker offers and this version does not do yet: refused by name, never ignored.

use anyhow::{Context, Result, ensure};
use serde_json::json;
use swarm_testkit::{Output, SLEEP};
use swarm_tests::{message_of, service_spec};

use crate::Scene;

pub(crate) fn our_client_names_the_flag(scene: &Scene) -> Result<()> {
    let create = ["service", "create", "--name", "later"];
    let update = ["service", "update"];
    for (command, flags, named) in [
        (&create[..], &["--credential-spec", "file://x", SLEEP][..], "--credential-spec"),
        (&create, &["--with-registry-auth", SLEEP], "--with-registry-auth"),
        (&update, &["--credential-spec", "file://x", "web"], "--credential-spec"),
    ] {
        names(scene, &[command, flags].concat(), named)?;
    }
    names(scene, &["service", "logs", "web"], "service logs")?;
    names(scene, &["update", "--autolock"], "--autolock")?;
    // What nobody ever had is unknown, not late.
    for flag in ["--frobnicate", "--secrets"] {
        let output = scene.cluster.swarm(1, &[&create[..], &[flag, "x", SLEEP]].concat())?;
        ensure!(output.code() == Some(125), "{output}");
        output.fails_with(&format!("unknown flag: {flag}"))?;
    }
    Ok(())
}

/// The docker client knows these flags, so the daemon has to tell.
pub(crate) fn docker_is_told_the_flag(scene: &Scene) -> Result<()> {
    for (args, named) in [(&["service", "logs", "web"][..], "logs"), (&["swarm", "update", "--autolock"], "--autolock")] {
        told(scene, scene.cluster.docker(1, args)?, named)?;
    }
    scene.nothing_changes(|| {
        for (field, value, named) in [("Networks", json!([{"Target": "host"}, {"Target": "bridge"}]), "--network")] {
            let mut spec = service_spec("later", SLEEP, 1);
            spec["TaskTemplate"][field] = value;
            let answer = scene.post("/services/create", &spec)?;
            let message = message_of(&answer)?;
            ensure!(answer.status == 501 && message.contains(named), "{named}: {answer}");
        }
        Ok(())
    })
}

fn names(scene: &Scene, args: &[&str], named: &str) -> Result<()> {
    told(scene, scene.cluster.swarm(1, args)?, named).with_context(|| format!("{args:?}"))
}

fn told(scene: &Scene, output: Output, named: &str) -> Result<()> {
    ensure!(output.code().is_some_and(|code| code == 1 || code == 125), "{output}");
    ensure!(output.stderr.contains(named) && output.stderr.contains("yet"), "{named} should be named: {output}");
    let services = scene.get("/services")?.json()?;
    ensure!(services.as_array().is_some_and(|all| all.len() == 1), "{services}");
    Ok(())
}
