//! The leader's host is cut off among writes: it steps down, and what it could not confirm never comes true.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use swarm_testkit::{Cluster, Request, Response};
use swarm_tests::services::task_lines;
use swarm_tests::{LATER, SOON};

use crate::majority::says_so;
use crate::writer::{Written, everywhere, found, write_one};
use crate::{HOSTS, MANAGERS, REPLICAS, STEADY, WORKERS, leader, lives, sessions, sessions_unbroken, untouched};

/// A host that falls silent is missed as soon as a broken one, by Raft's heartbeats; the machine may be busy.
const NEXT_WRITE_MAX: Duration = Duration::from_secs(8);
/// A write or a read that no majority confirms is given up after 8 s.
const REFUSED_WITHIN: Duration = Duration::from_secs(15);
/// Tasks of a leader's silent host should run elsewhere after 12 s.
const ELSEWHERE_WITHIN: Duration = Duration::from_secs(30);
/// Callers of each kind that ask the leader right after it was cut off.
const CALLERS: usize = 4;

pub(crate) fn leader_is_cut_off(cluster: &Cluster) -> Result<()> {
    let (leads, others) = leader(cluster)?;
    let node = cluster.node(leads)?["ID"].clone();
    let kept = lives(cluster, (1..=HOSTS).filter(|number| *number != leads))?;
    let agents = sessions(cluster)?;
    let written = Written::default();
    let begun = thread::scope(|scope| {
        let writers = others.map(|through| {
            let written = &written;
            scope.spawn(move || written.write(cluster, through, "cut"))
        });
        let cut = cut_among_writes(cluster, &written, leads);
        written.stop();
        writers.into_iter().try_for_each(|writer| writer.join().map_err(|_| anyhow!("a writer panicked")))?;
        cut
    })?;
    let next = written.longest_gap();
    println!("without a write around the cut: {next:?}");
    ensure!(next <= NEXT_WRITE_MAX, "the next write took {next:?}");
    says_so(cluster, leads)?;
    cluster.until("its tasks elsewhere", LATER, || {
        let through = cluster.api(others[0], &Request::get("/tasks").query("filters", r#"{"desired-state":["running"]}"#))?.json()?;
        let tasks = through.as_array().context("not a list")?;
        let elsewhere = tasks.iter().filter(|task| task["NodeID"] != node && task["Status"]["State"] == "running").count();
        ensure!(elsewhere == REPLICAS && tasks.len() == REPLICAS, "{}", task_lines(cluster, STEADY)?);
        Ok(())
    })?;
    let elsewhere = begun.elapsed();
    println!("its tasks run elsewhere after {elsewhere:?}");
    ensure!(elsewhere <= ELSEWHERE_WITHIN, "its tasks were elsewhere only after {elsewhere:?}");
    sessions_unbroken(cluster, &agents, leads)?;
    cluster.host(leads).heal()?;
    cluster.wait_ready(MANAGERS, WORKERS)?;
    cluster.wait_running(STEADY, REPLICAS, SOON)?;
    untouched(cluster, &kept)?;
    everywhere(cluster, &written.names())?;
    for number in 1..=MANAGERS {
        let back: BTreeSet<_> = found(cluster, number)?.into_iter().filter(|name| name.starts_with("unconfirmed")).collect();
        ensure!(back.is_empty(), "h{number} has writes that were refused: {back:?}");
    }
    Ok(())
}

/// Cuts the leader off and asks it at once. Gives the moment.
fn cut_among_writes(cluster: &Cluster, written: &Written, leads: u8) -> Result<Instant> {
    written.more(cluster, 20)?;
    let begun = Instant::now();
    cluster.host(leads).cut()?;
    thread::scope(|scope| {
        let ask = |what: String, call: Box<dyn FnOnce() -> Result<Response> + Send>| {
            scope.spawn(move || -> Result<Duration> {
                let begun = Instant::now();
                let answer = call()?;
                ensure!(answer.status >= 500, "{what} on a leader without a majority: {answer}");
                Ok(begun.elapsed())
            })
        };
        let writes = (0..CALLERS).map(|n| {
            let name = format!("unconfirmed-{n}");
            ask(name.clone(), Box::new(move || write_one(cluster, leads, &name)))
        });
        let mut calls: Vec<_> = writes.collect();
        for path in ["/configs", "/nodes", "/services", "/tasks"] {
            calls.push(ask(path.to_owned(), Box::new(move || cluster.api(leads, &Request::get(path)))));
        }
        let mut longest = Duration::ZERO;
        for call in calls {
            longest = longest.max(call.join().map_err(|_| anyhow!("a caller panicked"))??);
        }
        println!("cut off, it refused all calls within {longest:?}");
        ensure!(longest <= REFUSED_WITHIN, "refused only after {longest:?}");
        Ok(())
    })?;
    written.more(cluster, 20)?;
    Ok(begun)
}
