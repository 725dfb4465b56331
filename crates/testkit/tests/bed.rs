//! The test bed itself: what cluster tests rely on.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use swarm_testkit::{BUSYBOX, Bed, EXIT, HEALTH, Request, SLEEP, WEB_1, WEB_2, docker_client, run, until};

const SOON: Duration = Duration::from_secs(30);

type Check = fn(&Bed) -> Result<()>;

const CHECKS: &[(&str, Check)] = &[
    ("hosts", hosts_are_separate_and_reach_each_other),
    ("images", images_do_what_they_promise),
    ("links", links_can_be_cut),
    ("dockerd", dockerd_can_be_stopped_and_killed),
    ("power", a_host_can_lose_its_power),
];

/// Everything that three hosts are expected to do, on one bed: making one takes seconds.
#[test]
fn three_hosts_with_a_dockerd_each() -> Result<()> {
    let start = Instant::now();
    let bed = Bed::up(3)?;
    println!("up after {:?}", start.elapsed());

    for (name, check) in CHECKS {
        let start = Instant::now();
        check(&bed).context(*name)?;
        println!("{name}: {:?}", start.elapsed());
    }

    let (name, dir) = (bed.name().to_owned(), bed.dir().to_owned());
    let start = Instant::now();
    drop(bed);
    println!("down after {:?}", start.elapsed());
    nothing_is_left(&name, &dir)
}

fn hosts_are_separate_and_reach_each_other(bed: &Bed) -> Result<()> {
    for host in bed.hosts() {
        ensure!(host.exec("hostname", &[""; 0])?.ok()? == host.hostname());
        ensure!(host.sh("ls /sys/class/net")?.ok()?.contains("eth0"));
        ensure!(host.docker(&["info", "--format", "{{.Name}}"])?.ok()? == host.hostname());
        for other in bed.hosts() {
            host.exec("busybox", &["ping", "-c1", "-W2", other.hostname()])?.ok()?;
        }
        // No way out, and that is known at once.
        let start = Instant::now();
        host.docker(&["pull", "example.invalid/none"])?.fails_with("lookup")?;
        ensure!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    }
    // Orphans are collected by the host.
    let host = bed.host(1);
    host.sh("(sh -c 'exit 0' & sh -c 'sleep 0.1' &) & exit 0")?.ok()?;
    until("no zombies", SOON, || {
        let processes = host.processes();
        ensure!(processes.iter().all(|process| !process.zombie), "{processes:?}");
        Ok(())
    })?;
    let programs: Vec<_> = host.processes().iter().map(|p| p.program().to_owned()).collect();
    for program in ["sleep", "dockerd", "containerd"] {
        ensure!(programs.iter().any(|name| name == program), "{programs:?}");
    }
    Ok(())
}

fn images_do_what_they_promise(bed: &Bed) -> Result<()> {
    let host = bed.host(1);
    for (image, version, port) in [(WEB_1, "1", 8081), (WEB_2, "2", 8082)] {
        let publish = format!("{port}:8080");
        let name = format!("web{version}");
        let args = ["run", "-d", "--name", &name, "--hostname", &name, "--publish", &publish];
        host.docker(&[&args[..], &[image]].concat())?.ok()?;
        let address = (host.ip(), port);
        until("a web page", SOON, || {
            let page = bed.host(2).http_get(address, "/")?.ok()?;
            ensure!(page == format!("{name} {version}"), "{page:?}");
            Ok(())
        })?;
        let page = bed.http_get_from_outside(address, "/cgi-bin/client")?.ok()?;
        ensure!(page.contains(&bed.outside_address().to_string()), "{page:?}");
        let page = bed.http_get_from_outside(address, "/cgi-bin/env")?.ok()?;
        ensure!(page.contains(&format!("VERSION={version}")), "{page:?}");
        stops_at_once(bed, &name)?;
    }

    host.docker(&["run", "-d", "--name", "rest", "--memory", "32m", "--stop-signal", "USR1", SLEEP])?.ok()?;
    until("the trap is set", SOON, || {
        ensure!(host.docker(&["logs", "rest"])?.ok()?.contains("started"));
        Ok(())
    })?;
    stops_at_once(bed, "rest")?;
    ensure!(host.docker(&["logs", "rest"])?.ok()?.contains("stopped by USR1"));

    let start = Instant::now();
    let ended = host.docker(&["run", "--rm", EXIT, "1", "7"])?;
    ensure!(ended.code() == Some(7), "{ended}");
    ensure!(start.elapsed() >= Duration::from_secs(1));

    let user = host.docker(&["run", "--rm", "--user", "app:extra", BUSYBOX, "id"])?.ok()?;
    ensure!(user.starts_with("uid=1000(app) gid=2000(extra)"), "{user}");

    host.docker(&["run", "-d", "--name", "health", HEALTH])?.ok()?;
    let health_is = |wanted: &str| {
        until(wanted, SOON, || {
            let format = "{{.State.Health.Status}}";
            let status = host.docker(&["inspect", "--format", format, "health"])?.ok()?;
            ensure!(status == wanted, "{status}");
            Ok(())
        })
    };
    health_is("healthy")?;
    host.docker(&["exec", "health", "touch", "/tmp/sick"])?.ok()?;
    health_is("unhealthy")?;
    stops_at_once(bed, "health")?;

    if let Some(client) = docker_client(28) {
        let mut command = host.docker_command(client, &host.docker_url());
        command.args(["ps", "--all", "--quiet"]);
        ensure!(run(command)?.lines()?.len() == 4);
    }
    Ok(())
}

fn stops_at_once(bed: &Bed, container: &str) -> Result<()> {
    let start = Instant::now();
    bed.host(1).docker(&["stop", container])?.ok()?;
    // Docker would kill it after ten seconds.
    ensure!(start.elapsed() < Duration::from_secs(5), "{container}: {:?}", start.elapsed());
    Ok(())
}

fn links_can_be_cut(bed: &Bed) -> Result<()> {
    let (one, two, three) = (bed.host(1), bed.host(2), bed.host(3));
    let server = one.docker(&["run", "-d", "--network", "host", WEB_1])?.ok()?;
    let asks = |from: &swarm_testkit::Host| from.connect((one.ip(), 8080), Duration::from_millis(300));
    until("a server", SOON, || asks(two))?;

    one.cut()?;
    ensure!(asks(two).is_err() && asks(three).is_err());
    one.heal()?;
    until("the healed link", SOON, || asks(two))?;
    until("the healed link", SOON, || asks(three))?;

    // What host 2 says does not reach host 1; host 3 is not touched, and no other direction.
    two.block_to(one)?;
    ensure!(asks(two).is_err());
    ensure!(asks(three).is_ok());
    two.unblock_to(one)?;
    until("the unblocked way", SOON, || asks(two))?;
    one.docker(&["rm", "--force", &server])?.ok()?;
    Ok(())
}

fn dockerd_can_be_stopped_and_killed(bed: &Bed) -> Result<()> {
    let host = bed.host(2);
    let shims = || host.processes().iter().filter(|p| p.program().contains("shim")).count();
    host.docker(&["run", "-d", "--name", "one", SLEEP])?.ok()?;
    ensure!(shims() == 1);
    host.kill_dockerd()?;
    ensure!(shims() == 1, "containers outlive a killed dockerd");
    ensure!(host.docker(&["ps"])?.code() == Some(1));
    host.start_dockerd()?;
    host.docker(&["start", "one"])?.ok()?;

    host.stop_dockerd()?;
    ensure!(shims() == 0, "containers end with a stopped dockerd");
    host.start_dockerd_with(&["--live-restore"])?;
    host.docker(&["start", "one"])?.ok()?;
    host.stop_dockerd()?;
    ensure!(shims() == 1, "containers outlive dockerd with live restore");
    host.start_dockerd_with(&["--live-restore"])?;
    ensure!(host.docker(&["ps", "--quiet"])?.lines()?.len() == 1);
    Ok(())
}

fn a_host_can_lose_its_power(bed: &Bed) -> Result<()> {
    let host = bed.host(3);
    host.docker(&["run", "-d", "--name", "one", SLEEP])?.ok()?;
    fs::write(host.run_dir().join("gone"), "")?;
    fs::write(host.dir().join("kept"), "")?;
    host.power_off()?;
    ensure!(host.processes().is_empty());
    ensure!(host.sh("true")?.code() != Some(0));
    host.power_on()?;
    ensure!(!host.run_dir().join("gone").exists());
    ensure!(host.dir().join("kept").exists());
    let state = host.docker_api(&Request::get("/containers/one/json"))?.json()?;
    ensure!(state["State"]["Running"] == false, "{state}");
    host.docker(&["start", "one"])?.ok()?;
    bed.host(1).exec("busybox", &["ping", "-c1", "-W5", "h3"])?.ok()?;
    Ok(())
}

/// A test that is killed leaves nothing either: its guard sees to that.
#[test]
fn a_killed_test_is_cleaned_up_after() -> Result<()> {
    let own = std::env::current_exe()?;
    let mut child =
        Command::new(own).args(["--exact", "holds_a_bed", "--ignored", "--nocapture"]).stdout(std::process::Stdio::piped()).spawn()?;
    let stdout = child.stdout.take().context("piped")?;
    let line = std::io::BufRead::lines(std::io::BufReader::new(stdout))
        .find_map(|line| line.ok()?.split_once("bed: ").map(|(_, rest)| rest.to_owned()))
        .context("the test ended without a bed")?;
    let (name, dir) = line.split_once(' ').context("name and folder")?;
    let (name, dir) = (name.to_owned(), dir.to_owned());
    child.kill()?;
    child.wait()?;
    until("the sweep", SOON, || nothing_is_left(&name, Path::new(&dir)))
}

/// Not a test by itself: the one above starts it in a process of its own and kills it.
#[test]
#[ignore = "waits to be killed"]
fn holds_a_bed() -> Result<()> {
    let bed = Bed::up(1)?;
    bed.host(1).docker(&["run", "-d", SLEEP])?.ok()?;
    println!("\nbed: {} {}", bed.name(), bed.dir().display());
    until("to be killed", Duration::from_secs(120), || anyhow::bail!("still here"))
}

fn nothing_is_left(name: &str, dir: &Path) -> Result<()> {
    ensure!(!dir.exists(), "{} is left", dir.display());
    let mut netns = Command::new("ip");
    netns.args(["netns", "list"]);
    let netns = run(netns)?.ok()?;
    let prefix = format!("{name}-");
    ensure!(!netns.lines().any(|line| line.starts_with(&prefix)), "{netns}");
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let inside = format!("{}/", dir.display());
    ensure!(!mounts.contains(&inside) && !mounts.contains(&prefix), "{mounts}");
    for entry in fs::read_dir("/proc")?.flatten() {
        let cmdline = fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
        let sweeps = cmdline.contains("sweep.sh");
        ensure!(sweeps || !cmdline.contains(&inside), "a process is left: {cmdline}");
    }
    let mut groups = Command::new("find");
    groups.args(["/sys/fs/cgroup", "-type", "d", "-name", &format!("swarm-bed-{name}")]);
    let groups = run(groups)?.stdout;
    ensure!(groups.is_empty(), "{groups}");
    Ok(())
}
