//! Acknowledged writes per second to three managers: configs of 300 bytes by 1, 32 and 256 clients.
//!
//! Ours is written to through the leader's own socket, where etcd and dockerd take their clients' writes too, and in the whole
//! run also through the agent, which is the way of a user. All write to the same disk, in turn.

use super::{Options, Row, runtime};
use crate::{
    docker_swarm,
    etcd::Etcd,
    load::{self, Load, Target},
    managers::Managers,
    report::Line,
};
use anyhow::{Context, Result};
use std::time::Duration;
use swarm_testkit::{Cluster, Request};

pub(super) const ROW: Row = Row { name: "writes", title: "Acknowledged writes/s, three managers, configs of 300 bytes", run };

const CLIENTS: [usize; 3] = [1, 32, 256];
const ROUNDS: usize = 3;
const ROUNDS_QUICK: usize = 2;
/// How long each is written to, each time.
const SPAN: Duration = Duration::from_secs(3);

/// What is wanted with so many clients: times Docker's, times etcd's.
fn wanted(clients: usize) -> (f64, f64) {
    match clients {
        1 => (1.0, 1.0),
        32 => (8.0, 1.5),
        _ => (1.0, 2.0),
    }
}

/// Who is compared.
struct Sides {
    docker: Option<Target>,
    etcd: Option<Target>,
    agent: Option<Target>,
    ours: Target,
}

fn run(options: Options) -> Result<Vec<Line>> {
    let runtime = runtime()?;
    runtime.block_on(async {
        // Before the clients' loops begin, so that it does not matter that this blocks.
        let cluster = if options.quick { None } else { Some(Cluster::formed(3, 0)?) };
        let managers = Managers::start(3).await?;
        let etcd = if Etcd::is_installed() { Some(Etcd::start().await?) } else { None };
        if let Some(cluster) = &cluster {
            docker_swarm::form(cluster, 3)?;
        }
        let sides = Sides {
            docker: cluster.as_ref().map(|c| Target::Configs(c.host(1).docker_socket())),
            agent: cluster.as_ref().map(|c| leading_agent(c).map(Target::Configs)).transpose()?,
            etcd: match &etcd {
                Some(etcd) => Some(Target::Etcd(etcd.leader().await?)),
                None => None,
            },
            ours: Target::Configs(managers.leader().await?.socket()),
        };
        let mut lines = Vec::new();
        for clients in CLIENTS {
            lines.extend(measure(&sides, clients, if options.quick { ROUNDS_QUICK } else { ROUNDS }).await?);
        }
        Ok(lines)
    })
}

fn leading_agent(cluster: &Cluster) -> Result<std::path::PathBuf> {
    let leads = cluster.agents().iter().find(|agent| {
        let asked = || -> Result<bool> {
            let own = agent.api(&Request::get("/info"))?.json()?["Swarm"]["NodeID"].clone();
            let nodes = agent.api(&Request::get("/nodes"))?.json()?;
            Ok(nodes.as_array().is_some_and(|n| n.iter().any(|n| n["ID"] == own && n["ManagerStatus"]["Leader"] == true)))
        };
        asked().unwrap_or(false)
    });
    Ok(leads.context("no manager leads")?.socket())
}

/// All sides in turn, several times; the median of each.
async fn measure(sides: &Sides, clients: usize, rounds: usize) -> Result<Vec<Line>> {
    let (mut docker, mut etcd, mut agent, mut ours) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        let tag = format!("{clients}-{round}");
        for (side, loads) in [(&sides.docker, &mut docker), (&sides.etcd, &mut etcd), (&sides.agent, &mut agent)] {
            if let Some(target) = side {
                loads.push(load::run(target, clients, SPAN, &tag).await.with_context(|| format!("writing to {target:?}"))?);
            }
        }
        ours.push(load::run(&sides.ours, clients, SPAN, &tag).await?);
    }
    let (docker, etcd, agent) = (median(docker), median(etcd), median(agent));
    let ours = median(ours).context("nothing was measured")?;
    let mut lines = vec![line(clients, "", docker.as_ref(), etcd.as_ref(), &ours)];
    if let Some(agent) = agent {
        lines.push(line(clients, ", through the agent", docker.as_ref(), etcd.as_ref(), &agent));
    }
    Ok(lines)
}

fn line(clients: usize, way: &str, docker: Option<&Load>, etcd: Option<&Load>, ours: &Load) -> Line {
    let text = |load: &Load| format!("{:.0}/s, p50 {:.1} ms, p99 {:.1} ms", load.rate(), load.quantile_ms(0.5), load.quantile_ms(0.99));
    let (times_docker, times_etcd) = wanted(clients);
    let ratio = |other: Option<&Load>| other.map(|o| ours.rate() / o.rate());
    let reached = [(ratio(docker), times_docker), (ratio(etcd), times_etcd)];
    let shown = |name: &str, ratio: Option<f64>| ratio.map(|r| format!("{r:.2} × {name}"));
    let ratios: Vec<String> = shown("Docker", ratio(docker)).into_iter().chain(shown("etcd", ratio(etcd))).collect();
    Line {
        what: format!("{clients} client{}{way}", if clients == 1 { "" } else { "s" }),
        docker: docker.map(text),
        etcd: etcd.map(text),
        ours: text(ours),
        ratio: ratios.join(", "),
        target: format!("≥ {times_docker} × Docker, ≥ {times_etcd} × etcd"),
        reached: Some(reached.iter().all(|(ratio, wanted)| ratio.is_none_or(|r| r >= *wanted))),
    }
}

fn median(mut loads: Vec<Load>) -> Option<Load> {
    loads.sort_by(|a, b| a.rate().total_cmp(&b.rate()));
    let middle = loads.len() / 2;
    loads.into_iter().nth(middle)
}
