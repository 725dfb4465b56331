//! Test hosts for humans: a small cluster on this machine to try things on.

use std::os::unix::process::CommandExt as _;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use swarm_testkit::{Bed, Cluster, KeptBed, bin_dir, sweep_leftovers};

const USAGE: &str = "usage: testbed up [HOSTS] | shell [hN] | list | down | clean

up [HOSTS]   make hosts (3 unless told otherwise), each with its own dockerd, and an agent on each when
             the programs are built; they stay until `down`
shell [hN]   a root shell on a host (h1 unless told otherwise); `swarm` and `docker` there talk to its agent
list         what beds there are
down         remove the beds made by `up`
clean        remove what crashed test runs left behind";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args.as_slice() {
        ["up"] => up("3"),
        ["up", hosts] => up(hosts),
        ["shell"] => shell("h1"),
        ["shell", host] => shell(host),
        ["list"] => list(),
        ["down"] => down(),
        ["clean"] => clean(),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("testbed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn up(hosts: &str) -> Result<()> {
    let hosts = hosts.parse().with_context(|| format!("{hosts:?} is no number of hosts"))?;
    let bed = Bed::up_kept(hosts)?;
    let name = bed.name().to_owned();
    println!("{name}: {hosts} hosts, logs and data in {}", bed.dir().display());
    for host in bed.hosts() {
        println!("  {}  {}  dockerd at {}", host.hostname(), host.ip(), host.docker_url());
    }
    if bin_dir().is_ok() {
        let first = bed.host(1).ip();
        let cluster = Cluster::on(bed).context("the hosts are up (`testbed down` removes them)")?;
        cluster.keep();
        println!("\nEvery host has an agent. On h1 (`testbed shell h1`):");
        println!("  swarm init --advertise-addr {first}");
        println!("and on the others what it says, with `--advertise-addr` of their own.");
    } else {
        println!("\nNo agents: the programs are not built.");
    }
    println!("`testbed down` removes all of it.");
    Ok(())
}

fn shell(host: &str) -> Result<()> {
    let number = host.trim_start_matches('h');
    let number = number.parse().with_context(|| format!("{host:?} is no host"))?;
    let beds = KeptBed::all()?;
    let bed = beds.last().context("there is no bed: `testbed up` makes one")?;
    let mut command = bed.command(number, "bash")?;
    let socket = bed.dir().join(format!("h{number}/run/swarm.sock"));
    if socket.exists() {
        command.env("DOCKER_HOST", format!("unix://{}", socket.display()));
    }
    if let Ok(bin_dir) = bin_dir() {
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{path}", bin_dir.display()));
    }
    command.args(["--norc", "-i"]).env("PS1", "\\h# ");
    Err(command.exec()).context("could not enter the host")
}

fn list() -> Result<()> {
    for bed in KeptBed::all()? {
        println!("{}  {}", bed.name(), bed.dir().display());
    }
    Ok(())
}

fn down() -> Result<()> {
    let mut failed = 0;
    for bed in KeptBed::all()? {
        let name = bed.name().to_owned();
        match bed.remove() {
            Ok(()) => println!("{name} removed"),
            Err(error) => {
                eprintln!("{name}: {error:#}");
                failed += 1;
            }
        }
    }
    if failed > 0 {
        bail!("{failed} beds could not be removed");
    }
    Ok(())
}

fn clean() -> Result<()> {
    for name in sweep_leftovers()? {
        println!("{name} removed");
    }
    Ok(())
}
