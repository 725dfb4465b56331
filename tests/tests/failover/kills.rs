//! The leader's processes are killed under writes, again and again.

use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use swarm_testkit::Cluster;

use crate::writer::{Written, everywhere};
use crate::{HOSTS, MANAGERS, WORKERS, kill_both, leader, lives, sessions, sessions_unbroken, untouched};

/// Leaders that are killed.
const ROUNDS: usize = 6;
/// A second is what it should take, and one and a half at worst; the machine may be busy.
const NEXT_WRITE_MAX: Duration = Duration::from_secs(5);

pub(crate) fn leaders_are_killed(cluster: &Cluster) -> Result<()> {
    let before = lives(cluster, 1..=HOSTS)?;
    let mut times = Vec::new();
    for round in 0..ROUNDS {
        let (leads, others) = leader(cluster)?;
        let agents = sessions(cluster)?;
        let written = Written::default();
        thread::scope(|scope| {
            let prefix = format!("killed-{round}");
            let writers = others.map(|through| {
                let (written, prefix) = (&written, prefix.clone());
                scope.spawn(move || written.write(cluster, through, &prefix))
            });
            let killed = kill_among_writes(cluster, &written, leads);
            written.stop();
            writers.into_iter().try_for_each(|writer| writer.join().map_err(|_| anyhow!("a writer panicked")))?;
            killed
        })?;
        times.push(written.longest_gap());
        sessions_unbroken(cluster, &agents, leads)?;
        cluster.agent(leads).start_again()?;
        cluster.wait_ready(MANAGERS, WORKERS)?;
        everywhere(cluster, &written.names())?;
    }
    untouched(cluster, &before)?;
    println!("without a write around each kill: {times:.0?}");
    times.sort();
    println!("median {:?}, worst {:?}", times[ROUNDS / 2], times[ROUNDS - 1]);
    ensure!(times[ROUNDS - 1] <= NEXT_WRITE_MAX, "the next write took {:?}", times[ROUNDS - 1]);
    Ok(())
}

fn kill_among_writes(cluster: &Cluster, written: &Written, leads: u8) -> Result<()> {
    written.more(cluster, 20)?;
    kill_both(cluster, leads)?;
    written.more(cluster, 20)
}
