//! Flags that later versions bring: a clear error that names them, and nothing done.

use anyhow::{Result, ensure};
use swarm_testkit::{Cluster, Request, SLEEP};
use swarm_tests::services::{all_containers, create, fails, remove, service, swarm};

const CREATE: &[&str] = &["--credential-spec file://x", "--with-registry-auth"];

const UPDATE: &[&str] = &["--credential-spec file://x", "--with-registry-auth"];

pub(crate) fn refused(cluster: &Cluster) -> Result<()> {
    create(cluster, &format!("--name old --replicas 0 {SLEEP}"))?;
    let before = service(cluster, "old")?;
    for flags in CREATE {
        let line = format!("service create --detach --name new {flags} {SLEEP}");
        names(cluster, &line, flags)?;
    }
    for flags in UPDATE {
        names(cluster, &format!("service update --detach {flags} old"), flags)?;
    }
    names(cluster, "service logs old", "swarm service logs")?;
    ensure!(service(cluster, "old")? == before);
    let found = cluster.api(1, &Request::get("/services/new"))?;
    ensure!(found.status == 404, "a refused service is there: {found}");
    for number in 1..=3 {
        ensure!(all_containers(cluster, number, "new")?.is_empty());
    }
    // What no version has is another error.
    let line = format!("service create --no-such-flag {SLEEP}");
    fails(cluster, &line, 125, "--no-such-flag")?;
    remove(cluster, &["old"])
}

/// Checks that a command is refused with an error that names what is not there yet.
fn names(cluster: &Cluster, line: &str, what: &str) -> Result<()> {
    let output = swarm(cluster, line)?;
    let flag = what.split(' ').next().unwrap_or_default();
    let named = output.stderr.contains(&format!("\"{flag}"));
    let clear = output.stderr.contains("is not supported by this version of Swarm yet");
    let refused = output.code() == Some(1) && output.stdout.is_empty();
    ensure!(named && clear && refused, "should name {flag}: {output}");
    Ok(())
}
