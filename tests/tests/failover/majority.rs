//! Two of three managers are gone: nothing is written or read, tasks run on, and all goes on by itself when they are back.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::Value;
use swarm_testkit::{Cluster, Request};
use swarm_tests::{LATER, SOON, task_containers, text, text_at};

use crate::writer::{everywhere, found, write_one};
use crate::{HOSTS, MANAGERS, REPLICAS, STEADY, WORKERS, kill_both, leader, lives, untouched};

/// A write or a read that no majority confirms is given up after 8 s; the machine may be busy.
const REFUSED_WITHIN: Duration = Duration::from_secs(15);

pub(crate) fn is_lost(cluster: &Cluster) -> Result<()> {
    let (leads, others) = leader(cluster)?;
    let before = lives(cluster, 1..=HOSTS)?;
    ensure!(write_one(cluster, leads, "before-the-loss")?.status == 201);
    for number in others {
        kill_both(cluster, number)?;
    }
    // The leader still takes itself for one: what it is asked to write is in its log, and may be stored when the others are back.
    let mut refused = vec![is_refused(cluster, leads, "perhaps")?];
    says_so(cluster, leads)?;
    cluster.agent(leads).manager().context("the last manager is gone")?.kill()?;
    let alone = cluster.until("the last manager again", SOON, || cluster.agent(leads).manager().context("no manager"))?;
    says_so(cluster, leads)?;
    refused.push(is_refused(cluster, leads, "never")?);
    println!("without a majority calls were refused after {refused:.1?}");
    // A task that ends meanwhile stays as it is: nobody can decide anything about it.
    let worker = cluster.host(HOSTS);
    let (victim, _) = task_containers(worker)?.into_iter().next().context("no task on the last host")?;
    worker.docker(&["kill", &victim])?.ok()?;
    untouched(cluster, &before.iter().filter(|(id, _)| **id != victim).map(|(id, life)| (id.clone(), life.clone())).collect())?;
    // All three at once, as after a power cut.
    cluster.agent(leads).kill()?;
    alone.kill()?;
    let begun = Instant::now();
    thread::scope(|scope| {
        let starts: Vec<_> = (1..=MANAGERS).map(|n| scope.spawn(move || cluster.agent(n).start_again())).collect();
        starts.into_iter().try_for_each(|start| start.join().map_err(|_| anyhow!("a start panicked"))?)
    })?;
    cluster.until("a write", LATER, || {
        let answer = write_one(cluster, others[0], "after-the-loss")?;
        ensure!(answer.status == 201 || answer.text().contains("already exists"), "{answer}");
        Ok(())
    })?;
    println!("all three managers started at once: the first write was taken after {:?}", begun.elapsed());
    cluster.wait_ready(MANAGERS, WORKERS)?;
    cluster.wait_running(STEADY, REPLICAS, LATER)?;
    println!("everything as it should be after {:?}", begun.elapsed());
    let kept = before.into_iter().filter(|(id, _)| *id != victim).collect();
    untouched(cluster, &kept)?;
    let tasks: Vec<Value> = cluster.tasks(STEADY)?;
    ensure!(tasks.len() == REPLICAS + 1, "one task was to be replaced: {tasks:?}");
    everywhere(cluster, &BTreeSet::from(["before-the-loss", "after-the-loss"].map(str::to_owned)))?;
    ensure!(!found(cluster, 1)?.contains("never"), "a write that was refused by one that knew of no leader is there");
    Ok(())
}

/// Writes and reads on this manager, all at a time, fail with Docker's text, each within the bound. Gives the longest time.
fn is_refused(cluster: &Cluster, number: u8, name: &str) -> Result<Duration> {
    let call = |read: Option<&str>| -> Result<Duration> {
        let begun = Instant::now();
        let answer = match read {
            None => write_one(cluster, number, name)?,
            Some(path) => cluster.api(number, &Request::get(path))?,
        };
        ensure!(answer.status >= 500 && answer.text().contains(text::NO_LEADER), "{read:?}: {answer}");
        Ok(begun.elapsed())
    };
    let longest = thread::scope(|scope| {
        let calls: Vec<_> = [None, Some("/nodes"), Some("/services")].map(|read| scope.spawn(move || call(read))).into();
        let times: Result<Vec<_>> = calls.into_iter().map(|call| call.join().map_err(|_| anyhow!("a caller panicked"))?).collect();
        times.map(|times| times.into_iter().max().unwrap_or_default())
    })?;
    ensure!(longest <= REFUSED_WITHIN, "refused only after {longest:?}");
    Ok(longest)
}

/// Waits until `/info` tells of the missing majority.
pub(crate) fn says_so(cluster: &Cluster, number: u8) -> Result<()> {
    cluster.until("a manager that says it has no majority", SOON, || {
        let info = cluster.api(number, &Request::get("/info"))?.json()?;
        let error = text_at(&info, "/Swarm/Error").unwrap_or_default();
        ensure!(error.contains("does not have a leader"), "/info says {error:?}");
        Ok(())
    })
}
