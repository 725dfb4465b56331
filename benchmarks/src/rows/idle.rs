//! Resident memory of the daemons of one host while nothing happens.

use super::{Options, Row};
use crate::{
    docker_swarm,
    report::Line,
    usage::{Usage, mb},
};
use anyhow::{Context, Result};
use std::{thread, time::Duration};
use swarm_testkit::Cluster;

pub(super) const ROW: Row = Row { name: "idle", title: "Resident memory while idle, one manager host", run };

const RSS_MAX: u64 = 40_000_000;
/// How long nothing happens before the look.
const IDLE: Duration = Duration::from_secs(10);

fn run(options: Options) -> Result<Vec<Line>> {
    let cluster = Cluster::formed(1, 0)?;
    if !options.quick {
        docker_swarm::form(&cluster, 1)?;
    }
    thread::sleep(IDLE);
    let rss = |pid: u32| Ok::<_, anyhow::Error>(Usage::of(pid)?.rss);
    let agent = rss(cluster.agent(1).process().context("no agent")?.pid)?;
    let manager = rss(cluster.agent(1).manager().context("no manager")?.pid)?;
    let dockerd = rss(cluster.host(1).dockerd().context("no dockerd")?.pid)?;
    Ok(vec![Line {
        what: "manager + agent (Docker: all of dockerd, its swarm part cannot be told apart)".to_owned(),
        docker: (!options.quick).then(|| mb(dockerd)),
        ours: format!("{} ({} + {})", mb(manager + agent), mb(manager), mb(agent)),
        ratio: format!("{:.2} × dockerd", (manager + agent) as f64 / dockerd as f64),
        target: format!("≤ {}", mb(RSS_MAX)),
        reached: Some(manager + agent <= RSS_MAX),
        ..Line::default()
    }])
}
