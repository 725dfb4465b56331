//! Which versions of the API are accepted.

use anyhow::{Context, Result, ensure};
use swarm_testkit::Request;
use swarm_tests::refused;

use crate::Scene;

/// From the first with services up to that of `docker-api.yaml`.
const MINORS: std::ops::RangeInclusive<u32> = 24..=56;

pub(crate) fn engine_calls_in_every_version(scene: &Scene) -> Result<()> {
    for minor in MINORS {
        for path in ["_ping", "info", "version", "containers/json", "images/json"] {
            let path = format!("/v1.{minor}/{path}");
            let answer = scene.cluster.api(1, &Request::get(&path))?;
            ensure!(answer.status == 200, "{path}: {answer}");
        }
    }
    let ping = scene.cluster.api(1, &Request::new("HEAD", "/_ping"))?;
    ensure!(ping.status == 200 && ping.body.is_empty(), "{ping}");
    for header in ["api-version", "docker-experimental", "ostype", "server", "swarm", "cache-control", "pragma"] {
        ensure!(ping.header(header).is_some(), "{header} is missing: {:?}", ping.headers);
    }
    let newest = ping.header("api-version").and_then(|version| version.strip_prefix("1."));
    let newest: u32 = newest.context("no version")?.parse()?;
    ensure!(MINORS.contains(&newest), "{newest}");
    scene.docker(1, &["version"])?.ok().map(drop)
}

pub(crate) fn cluster_calls_in_every_version(scene: &Scene) -> Result<()> {
    for minor in MINORS {
        for path in ["swarm", "nodes", "nodes/h2", "services", "tasks", "info"] {
            let path = format!("/v1.{minor}/{path}");
            let answer = scene.cluster.api(1, &Request::get(&path))?;
            ensure!(answer.status == 200, "{path}: {answer}");
        }
    }
    for version in ["1.24", "1.30", "1.41"] {
        let shown = scene.sh(1, &format!("DOCKER_API_VERSION={version} $DOCKER node ls --quiet"))?.lines()?;
        ensure!(shown.len() == 2, "{version}: {shown:?}");
    }
    Ok(())
}

pub(crate) fn others_are_refused(scene: &Scene) -> Result<()> {
    let old = "is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version";
    let new = "is too new. Maximum supported API version is 1.56";
    for (version, rest) in [("1.23", old), ("1.0", old), ("0.9", old), ("1.57", new), ("1.99", new), ("2.0", new)] {
        for path in ["info", "nodes", "containers/json"] {
            let answer = scene.cluster.api(1, &Request::get(&format!("/v{version}/{path}")))?;
            refused(&answer, 400, &format!("client version {version} {rest}"))?;
        }
    }
    Ok(())
}
