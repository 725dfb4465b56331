//! Hosts, daemons and connections that fail: workloads go on, move where they have to, and are never doubled.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::{Value, json};
use swarm_testkit::{Cluster, Request, SLEEP};
use swarm_tests::services::{
    all_containers, check_every, create, gone, inspect, live, node_of, remove, said, service,
    shows, spread, task_lines,
};
use swarm_tests::{LATER, Life, SOON, create_service, service_spec, task_containers, text_at};

/// The limit for moving tasks away from a host whose connections broke; 6 s is what they should take.
const BROKEN: Duration = Duration::from_secs(15);
/// The limit for moving tasks away from a host that fell silent; 12 s is what they should take.
const SILENT: Duration = Duration::from_secs(30);

#[test]
fn workers_that_fail_lose_their_tasks() -> Result<()> {
    let cluster = Cluster::formed(1, 2)?;
    check_every(
        &cluster,
        &[
            (
                "a worker that is cut off keeps its containers and catches up",
                worker_cut_off,
            ),
            ("a killed host", killed_host),
            ("a host without power", host_without_power),
        ],
    )
}

#[test]
fn daemons_that_fail_lose_nothing() -> Result<()> {
    let cluster = Cluster::formed(1, 2)?;
    check_every(
        &cluster,
        &[
            ("dockerd stops and starts", dockerd_stops_and_starts),
            (
                "the agent is killed while its service grows",
                agent_killed_while_scaling_up,
            ),
            ("the agent is restarted", agent_is_restarted),
            ("the only manager is killed", only_manager_is_killed),
        ],
    )
}

#[test]
fn three_managers_survive_one() -> Result<()> {
    let cluster = Cluster::formed(3, 0)?;
    check_every(
        &cluster,
        &[
            ("the leader's manager is killed", leaders_manager_is_killed),
            ("a manager's host is killed", managers_host_is_killed),
        ],
    )
}

/// All containers of tasks on the hosts that are on, with their starts.
fn lives(cluster: &Cluster, numbers: &[u8]) -> Result<BTreeMap<String, Life>> {
    let mut all = BTreeMap::new();
    for number in numbers {
        all.extend(task_containers(cluster.host(*number))?);
    }
    Ok(all)
}

/// Waits until `count` tasks of a service run and none of them is on the node. Gives the time it took since `start`.
fn moved_away(
    cluster: &Cluster,
    name: &str,
    count: usize,
    node: &str,
    start: Instant,
    limit: Duration,
) -> Result<Duration> {
    cluster.until(&format!("{count} tasks of {name} elsewhere"), LATER, || {
        let tasks = cluster.running_tasks(name)?;
        let elsewhere = tasks.iter().filter(|task| task["NodeID"] != node).count();
        ensure!(
            elsewhere == count && tasks.len() == count,
            "{}",
            task_lines(cluster, name)?
        );
        Ok(())
    })?;
    let took = start.elapsed();
    ensure!(
        took < limit,
        "tasks of {name} were elsewhere only after {took:?}, limit {limit:?}"
    );
    Ok(took)
}

fn wait_state(cluster: &Cluster, number: u8, state: &str) -> Result<()> {
    cluster.until(&format!("h{number} {state}"), LATER, || {
        let node = cluster.node(number)?;
        ensure!(node["Status"]["State"] == state, "{}", node["Status"]);
        Ok(())
    })
}

fn worker_cut_off(cluster: &Cluster) -> Result<()> {
    let node = node_of(cluster, 3)?;
    create(cluster, &format!("--name work --replicas 6 {SLEEP}"))?;
    create(cluster, &format!("--name ends --mode global {SLEEP}"))?;
    create(cluster, &format!("--name stays --mode global {SLEEP}"))?;
    for (name, count) in [("work", 6), ("ends", 3), ("stays", 3)] {
        cluster.wait_running(name, count, SOON)?;
    }
    let there = task_containers(cluster.host(3))?;
    ensure!(there.len() == 4, "{there:?}");
    let start = Instant::now();
    cluster.host(3).cut()?;
    let took = moved_away(cluster, "work", 6, &node, start, SILENT)?;
    println!("tasks of a host that is cut off run elsewhere after {took:?}");
    said(cluster, "service rm ends")?;
    // Cut off, it goes on as it was.
    ensure!(
        task_containers(cluster.host(3))? == there,
        "containers of a host that is cut off were touched"
    );
    let old = all_containers(cluster, 3, "stays")?;

    let start = Instant::now();
    cluster.host(3).heal()?;
    wait_state(cluster, 3, "ready")?;
    println!("healed, the host is ready after {:?}", start.elapsed());
    gone(cluster, &["ends"], SOON)?;
    let tasks = cluster.wait_running("work", 6, SOON)?;
    ensure!(
        tasks.iter().all(|task| task["NodeID"] != node.as_str()),
        "nothing moves back: {}",
        task_lines(cluster, "work")?
    );
    cluster.wait_running("stays", 3, SOON)?;
    println!("and has what it should have after {:?}", start.elapsed());
    let new = all_containers(cluster, 3, "stays")?;
    ensure!(new.len() <= old.len() + 1, "{new:?}");
    remove(cluster, &["work", "stays"])
}

fn killed_host(cluster: &Cluster) -> Result<()> {
    let node = node_of(cluster, 3)?;
    create(cluster, &format!("--name moves --replicas 6 {SLEEP}"))?;
    create(cluster, &format!("--name each --mode global {SLEEP}"))?;
    cluster.wait_running("moves", 6, SOON)?;
    cluster.wait_running("each", 3, SOON)?;
    let others = lives(cluster, &[1, 2])?;
    let start = Instant::now();
    cluster.host(3).kill_all()?;
    let took = moved_away(cluster, "moves", 6, &node, start, BROKEN)?;
    println!("tasks of a killed host run elsewhere after {took:?}");
    let after = lives(cluster, &[1, 2])?;
    ensure!(
        others.iter().all(|(id, life)| after.get(id) == Some(life)),
        "containers of other hosts were touched"
    );
    shows(
        cluster,
        "node ls --format '{{.Hostname}} {{.Status}}' --filter name=h3",
        &["h3 Down"],
    )?;

    let start = Instant::now();
    cluster.host(3).power_on()?;
    cluster.agent(3).start_again()?;
    wait_state(cluster, 3, "ready")?;
    println!("booted, the host is ready after {:?}", start.elapsed());
    cluster.wait_running("each", 3, SOON)?;
    let tasks = cluster.wait_running("moves", 6, SOON)?;
    ensure!(
        tasks.iter().all(|task| task["NodeID"] != node.as_str()),
        "nothing moves back: {}",
        task_lines(cluster, "moves")?
    );
    ensure!(
        spread(cluster, "each")?.len() == 3,
        "{:?}",
        spread(cluster, "each")?
    );
    remove(cluster, &["moves", "each"])?;
    nothing_left(cluster, 3, &["moves", "each"])
}

/// Waits until not even ended containers of the services are on a host.
fn nothing_left(cluster: &Cluster, number: u8, names: &[&str]) -> Result<()> {
    cluster.until(&format!("nothing of {names:?} on h{number}"), SOON, || {
        for name in names {
            let left = all_containers(cluster, number, name)?;
            ensure!(left.is_empty(), "{name}: {left:?}");
        }
        Ok(())
    })
}

fn host_without_power(cluster: &Cluster) -> Result<()> {
    let node = node_of(cluster, 2)?;
    create(
        cluster,
        &format!("--name power --replicas 4 --constraint node.role==worker {SLEEP}"),
    )?;
    cluster.wait_running("power", 4, SOON)?;
    ensure!(
        spread(cluster, "power")?.get("h2") == Some(&2),
        "{:?}",
        spread(cluster, "power")?
    );
    let start = Instant::now();
    cluster.host(2).power_off()?;
    let took = moved_away(cluster, "power", 4, &node, start, SILENT)?;
    println!("tasks of a host without power run elsewhere after {took:?}");
    // Removed while its host was off: it goes when the host is back.
    said(cluster, "service rm power")?;
    cluster.host(2).power_on()?;
    cluster.agent(2).start_again()?;
    wait_state(cluster, 2, "ready")?;
    nothing_left(cluster, 2, &["power"])
}

fn dockerd_stops_and_starts(cluster: &Cluster) -> Result<()> {
    create(
        cluster,
        &format!("--name engine --replicas 6 --restart-delay 1s {SLEEP}"),
    )?;
    create(
        cluster,
        &format!("--name pinned --constraint node.hostname==h3 --restart-delay 1s {SLEEP}"),
    )?;
    cluster.wait_running("engine", 6, SOON)?;
    cluster.wait_running("pinned", 1, SOON)?;
    let others = lives(cluster, &[1, 2])?;
    let agent = cluster.agent(3).process().context("no agent")?.pid;
    cluster.host(3).stop_dockerd()?;
    cluster.host(3).start_dockerd()?;
    let start = Instant::now();
    let back = live(cluster, "pinned")?;
    println!(
        "dockerd is back, tasks run on its host again after {:?}",
        start.elapsed()
    );
    ensure!(back.host == 3, "it is on host {}", back.host);
    cluster.wait_running("engine", 6, SOON)?;
    ensure!(
        cluster
            .agent(3)
            .process()
            .is_some_and(|process| process.pid == agent),
        "the agent ended"
    );
    let after = lives(cluster, &[1, 2])?;
    ensure!(
        others.iter().all(|(id, life)| after.get(id) == Some(life)),
        "containers of other hosts were touched"
    );

    // Killed it leaves its containers running: they are found again or replaced, but never doubled.
    cluster.host(3).kill_dockerd()?;
    cluster.host(3).start_dockerd()?;
    cluster.wait_running("engine", 6, LATER)?;
    cluster.wait_running("pinned", 1, LATER)?;
    remove(cluster, &["engine", "pinned"])
}

fn agent_killed_while_scaling_up(cluster: &Cluster) -> Result<()> {
    create(
        cluster,
        &format!("--name grows --replicas 2 --constraint node.hostname==h3 {SLEEP}"),
    )?;
    cluster.wait_running("grows", 2, SOON)?;
    let before = task_containers(cluster.host(3))?;
    said(cluster, "service scale --detach grows=12")?;
    // In the middle: some of the new ones are there, not all.
    cluster.until("some of the new containers", SOON, || {
        let made = all_containers(cluster, 3, "grows")?.len();
        ensure!(made >= 4, "{made} containers");
        Ok(())
    })?;
    cluster.agent(3).kill()?;
    let made = all_containers(cluster, 3, "grows")?;
    println!("killed the agent with {} of 12 containers made", made.len());
    cluster.agent(3).start_again()?;
    cluster.wait_running("grows", 12, LATER)?;
    let all = all_containers(cluster, 3, "grows")?;
    let tasks: BTreeSet<_> = all.iter().map(|(task, _)| task).collect();
    ensure!(
        tasks.len() == all.len() && all.len() == 12,
        "tasks with two containers, or lost ones: {all:?}"
    );
    ensure!(
        made.iter().all(|pair| all.contains(pair)),
        "containers were replaced: {made:?} {all:?}"
    );
    let after = task_containers(cluster.host(3))?;
    ensure!(
        before.iter().all(|(id, life)| after.get(id) == Some(life)),
        "containers were restarted"
    );
    ensure!(
        cluster.tasks("grows")?.len() == 12,
        "tasks failed: {}",
        task_lines(cluster, "grows")?
    );
    remove(cluster, &["grows"])
}

fn agent_is_restarted(cluster: &Cluster) -> Result<()> {
    create(
        cluster,
        &format!("--name adopted --mode global --restart-delay 0s {SLEEP}"),
    )?;
    let tasks = cluster.wait_running("adopted", 3, SOON)?;
    let before = lives(cluster, &[1, 2, 3])?;
    cluster.agent(3).restart()?;
    cluster.agent(2).stop()?;
    // One that ends while nobody looks is noticed afterwards.
    let victim = tasks
        .iter()
        .map(|task| inspect(cluster, task))
        .find(|live| live.as_ref().is_ok_and(|live| live.host == 2));
    let victim = victim.context("no task on h2")??;
    cluster.host(2).docker(&["kill", &victim.id()?])?.ok()?;
    cluster.agent(2).start_again()?;
    cluster.until("a successor of what ended meanwhile", LATER, || {
        let running = cluster.running_tasks("adopted")?;
        ensure!(running.len() == 3, "{}", task_lines(cluster, "adopted")?);
        ensure!(
            running.iter().all(|task| task["ID"] != victim.task["ID"]),
            "{}",
            task_lines(cluster, "adopted")?
        );
        Ok(())
    })?;
    cluster.wait_running("adopted", 3, SOON)?;
    let mut kept = before.clone();
    kept.remove(&victim.id()?);
    let after = lives(cluster, &[1, 2, 3])?;
    ensure!(
        kept.iter().all(|(id, life)| after.get(id) == Some(life)),
        "{before:?}\n{after:?}"
    );
    let failed = cluster
        .tasks("adopted")?
        .iter()
        .filter(|task| task["DesiredState"] != "running")
        .count();
    ensure!(failed == 1, "{}", task_lines(cluster, "adopted")?);
    remove(cluster, &["adopted"])
}

fn only_manager_is_killed(cluster: &Cluster) -> Result<()> {
    create(cluster, &format!("--name alone --mode global {SLEEP}"))?;
    cluster.wait_running("alone", 3, SOON)?;
    let before = lives(cluster, &[1, 2, 3])?;
    let start = Instant::now();
    cluster.agent(1).manager().context("no manager")?.kill()?;
    let id = cluster.until("a write", LATER, || {
        create_service(cluster, 1, &service_spec("after", SLEEP, 3))
    })?;
    println!(
        "the only manager was killed, it takes writes again after {:?}",
        start.elapsed()
    );
    cluster.wait_running("after", 3, LATER)?;
    ensure!(
        service(cluster, "after")?["ID"] == id.as_str(),
        "another service"
    );
    cluster.wait_ready(1, 2)?;
    cluster.wait_running("alone", 3, SOON)?;
    let after = lives(cluster, &[1, 2, 3])?;
    ensure!(
        before.iter().all(|(id, life)| after.get(id) == Some(life)),
        "containers were touched"
    );
    remove(cluster, &["alone", "after"])
}

/// The number of the host whose manager leads.
fn leader(cluster: &Cluster) -> Result<u8> {
    let nodes = cluster.nodes()?;
    let leader = nodes
        .iter()
        .find(|node| node["ManagerStatus"]["Leader"] == true);
    let leader = leader.with_context(|| format!("nobody leads: {nodes:?}"))?;
    let hostname = text_at(leader, "/Description/Hostname").context("no hostname")?;
    let number = hostname
        .strip_prefix('h')
        .and_then(|number| number.parse().ok());
    number.with_context(|| format!("not a host: {hostname}"))
}

/// What a writer was told.
struct Written {
    /// Names of services whose creation was acknowledged.
    acknowledged: Vec<String>,
    /// When the last acknowledgement before and the first one after the longest gap came.
    gap: Duration,
}

/// Creates services without tasks on the hosts in turn until it is told to stop.
fn write(cluster: &Cluster, hosts: &[u8], stop: &AtomicBool) -> Written {
    let mut written = Written {
        acknowledged: Vec::new(),
        gap: Duration::ZERO,
    };
    let mut last = Instant::now();
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let name = format!("written-{number}");
        let host = hosts[number % hosts.len()];
        // One that was not acknowledged may be there or not.
        if create_service(cluster, host, &service_spec(&name, SLEEP, 0)).is_ok() {
            written.acknowledged.push(name);
            written.gap = written.gap.max(last.elapsed());
            last = Instant::now();
        }
    }
    written
}

fn leaders_manager_is_killed(cluster: &Cluster) -> Result<()> {
    create(cluster, &format!("--name runs --replicas 6 {SLEEP}"))?;
    cluster.wait_running("runs", 6, SOON)?;
    let before = lives(cluster, &[1, 2, 3])?;
    let leads = leader(cluster)?;
    let others: Vec<u8> = (1..=3).filter(|number| *number != leads).collect();
    let stop = AtomicBool::new(false);
    let (written, next) = thread::scope(|scope| {
        let writer = scope.spawn(|| write(cluster, &others, &stop));
        let killed = (|| {
            let count = || {
                Ok::<_, anyhow::Error>(
                    cluster
                        .api(others[0], &Request::get("/services"))?
                        .json()?
                        .as_array()
                        .map_or(0, Vec::len),
                )
            };
            cluster.until("some writes", SOON, || {
                ensure!(count()? > 5, "only {}", count()?);
                Ok(())
            })?;
            let start = Instant::now();
            cluster
                .agent(leads)
                .manager()
                .context("no manager")?
                .kill()?;
            cluster.until("a write under the next leader", LATER, || {
                create_service(cluster, others[0], &service_spec("first-after", SLEEP, 0))
            })?;
            let next = start.elapsed();
            let at = count()?;
            cluster.until("more writes", LATER, || {
                ensure!(count()? > at + 5, "only {}", count()?);
                Ok(())
            })?;
            Ok::<_, anyhow::Error>(next)
        })();
        stop.store(true, Ordering::Relaxed);
        let written = writer.join().map_err(|_| anyhow!("the writer panicked"));
        Ok::<_, anyhow::Error>((written?, killed?))
    })?;
    println!(
        "the leader's manager was killed: next write after {next:?}, longest gap of the writer {:?}, {} acknowledged",
        written.gap,
        written.acknowledged.len()
    );
    ensure!(next < SOON, "the next write took {next:?}");
    cluster.wait_ready(3, 0)?;
    for number in 1..=3 {
        let Value::Array(services) = cluster.api(number, &Request::get("/services"))?.json()?
        else {
            return Err(anyhow!("not a list"));
        };
        let found: BTreeSet<_> = services
            .iter()
            .filter_map(|service| text_at(service, "/Spec/Name"))
            .collect();
        let lost: Vec<_> = written
            .acknowledged
            .iter()
            .filter(|name| !found.contains(*name))
            .collect();
        ensure!(
            lost.is_empty(),
            "h{number} does not know writes that were acknowledged: {lost:?}"
        );
        ensure!(
            found.contains("first-after"),
            "h{number} does not know the first write"
        );
    }
    // Nothing was restarted for it, on no host.
    cluster.wait_running("runs", 6, SOON)?;
    let after = lives(cluster, &[1, 2, 3])?;
    ensure!(
        after == before,
        "containers were touched:\n{before:?}\n{after:?}"
    );
    ensure!(
        cluster.tasks("runs")?.len() == 6,
        "{}",
        task_lines(cluster, "runs")?
    );
    ensure!(
        cluster
            .agents()
            .iter()
            .all(|agent| agent.manager().is_some()),
        "a manager was not started again"
    );
    let mut names: Vec<_> = written.acknowledged.iter().map(String::as_str).collect();
    names.extend(["first-after", "runs"]);
    remove(cluster, &names)
}

fn managers_host_is_killed(cluster: &Cluster) -> Result<()> {
    create(cluster, &format!("--name three --replicas 6 {SLEEP}"))?;
    cluster.wait_running("three", 6, SOON)?;
    let leads = leader(cluster)?;
    let node = node_of(cluster, leads)?;
    let others: Vec<u8> = (1..=3).filter(|number| *number != leads).collect();
    let before = lives(cluster, &others)?;
    let start = Instant::now();
    cluster.host(leads).kill_all()?;
    let created = cluster.until("a write without the dead manager", LATER, || {
        create_service(cluster, others[1], &service_spec("two-of-three", SLEEP, 2))
    })?;
    println!(
        "the leader's host was killed, next write after {:?}",
        start.elapsed()
    );
    let took = moved_away(cluster, "three", 6, &node, start, Duration::from_secs(60))?;
    println!("its tasks run elsewhere after {took:?}");
    cluster.wait_running("two-of-three", 2, SOON)?;
    let after = lives(cluster, &others)?;
    ensure!(
        before.iter().all(|(id, life)| after.get(id) == Some(life)),
        "containers of other hosts were touched"
    );
    for number in &others {
        let found = cluster
            .api(*number, &Request::get(&format!("/services/{created}")))?
            .json()?;
        ensure!(found["Spec"]["Name"] == "two-of-three", "{found}");
    }
    cluster.until("what is said of the dead manager", LATER, || {
        let node = cluster.node(leads)?;
        ensure!(node["Status"]["State"] == "down", "{}", node["Status"]);
        ensure!(
            node["ManagerStatus"]["Reachability"] == "unreachable",
            "{}",
            node["ManagerStatus"]
        );
        ensure!(
            node["ManagerStatus"]["Leader"] != true,
            "{}",
            node["ManagerStatus"]
        );
        Ok(())
    })?;
    let on = cluster
        .swarm(
            others[0],
            &[
                "service",
                "ls",
                "--format",
                "{{.Replicas}}",
                "--filter",
                "name=three",
            ],
        )?
        .ok()?;
    ensure!(on == "6/6", "{on}");

    cluster.host(leads).power_on()?;
    cluster.agent(leads).start_again()?;
    cluster.wait_ready(3, 0)?;
    let back = cluster
        .api(leads, &Request::get("/services/two-of-three"))?
        .json()?;
    ensure!(
        back["ID"] == created.as_str()
            && back["Spec"]["Mode"] == json!({"Replicated": {"Replicas": 2}}),
        "{back}"
    );
    nothing_running(cluster, leads, "three")?;
    cluster.wait_running("three", 6, SOON)?;
    cluster
        .swarm(leads, &["service", "rm", "three", "two-of-three"])?
        .ok()?;
    gone(cluster, &["three", "two-of-three"], SOON)
}

/// Waits until no container of a service runs on a host.
fn nothing_running(cluster: &Cluster, number: u8, name: &str) -> Result<()> {
    cluster.until(
        &format!("nothing of {name} running on h{number}"),
        SOON,
        || {
            let left: Vec<_> = cluster
                .containers(name)?
                .into_iter()
                .filter(|(host, _)| *host == number)
                .collect();
            ensure!(left.is_empty(), "{left:?}");
            Ok(())
        },
    )
}
