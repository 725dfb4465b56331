//! `service ls` with 200 services: the whole process, from start to end.

use super::{Options, Row, median};
use crate::{docker_swarm, report::Line};
use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::{
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};
use swarm_testkit::{Cluster, Request, Response, bin_dir, docker_client};

pub(super) const ROW: Row = Row { name: "list", title: "`service ls` with 200 services, whole process", run };

const SERVICES: usize = 200;
const ROUNDS: usize = 21;
const TOOK_MAX: Duration = Duration::from_millis(20);

fn run(options: Options) -> Result<Vec<Line>> {
    let cluster = Cluster::formed(1, 0)?;
    fill(|request| cluster.api(1, request))?;
    let socket = cluster.agent(1).url();
    let own = bin_dir()?.join("swarm");
    let docker = match docker_client(20) {
        Some(client) if !options.quick => {
            docker_swarm::form(&cluster, 1)?;
            fill(|request| cluster.host(1).docker_api(request))?;
            Some((client.path.clone(), cluster.host(1).docker_url()))
        }
        _ => None,
    };
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(list(&own, &socket)?);
        if let Some((client, url)) = &docker {
            theirs.push(list(client, url)?);
        }
    }
    let shown = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1000.0);
    let (ours, theirs) = (median(&ours), docker.map(|_| median(&theirs)));
    Ok(vec![Line {
        what: format!("median of {ROUNDS}"),
        docker: theirs.map(shown),
        ours: shown(ours),
        ratio: super::times(ours, theirs),
        target: format!("≤ {}", shown(TOOK_MAX)),
        reached: Some(ours <= TOOK_MAX),
        ..Line::default()
    }])
}

fn fill(api: impl Fn(&Request) -> Result<Response>) -> Result<()> {
    for number in 0..SERVICES {
        let spec = json!({
            "Name": format!("service-{number}"),
            "TaskTemplate": {"ContainerSpec": {"Image": "none"}},
            "Mode": {"Replicated": {"Replicas": 0}},
        });
        api(&Request::post("/services/create", &spec))?.ok()?;
    }
    Ok(())
}

/// One run; the sockets are reached by the same paths in and outside the hosts.
fn list(client: &Path, url: &str) -> Result<Duration> {
    let mut command = Command::new(client);
    command.args(["service", "ls"]).env("DOCKER_HOST", url).stdin(Stdio::null());
    let begun = Instant::now();
    let output = command.output().with_context(|| format!("could not run {}", client.display()))?;
    let took = begun.elapsed();
    let lines = String::from_utf8_lossy(&output.stdout).lines().count();
    ensure!(output.status.success() && lines == SERVICES + 1, "{lines} lines: {}", String::from_utf8_lossy(&output.stderr));
    Ok(took)
}
