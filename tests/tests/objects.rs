//! Secrets and configs on a cluster of one host, by our client and the docker command line.

use anyhow::{Context, Result, ensure};
use std::fs;
use swarm_testkit::{Cluster, Output, run_with_input};
use swarm_tests::{Check, check_cluster, daemon_says, prints, says};

/// Nothing else on the host says this.
const SECRET: &str = "a-secret-that-nobody-may-find";

/// Runs our client on the host with standard input.
fn swarm_with(cluster: &Cluster, args: &[&str], input: &[u8]) -> Result<Output> {
    let mut command = cluster.agent(1).swarm_command()?;
    command.args(args);
    run_with_input(command, input)
}

fn created(output: Output) -> Result<String> {
    let id = output.ok()?;
    ensure!(id.len() == 25, "not an id: {id}");
    Ok(id)
}

fn both_clients_create_list_and_remove(cluster: &Cluster) -> Result<()> {
    for kind in ["secret", "config"] {
        let label = ["--label", "colour=red"];
        let ours = created(swarm_with(cluster, &[&[kind, "create"], &label[..], &["ours", "-"]].concat(), b"by stdin")?)?;
        let file = cluster.host(1).run_dir().join(kind);
        fs::write(&file, "by file").context("could not write a file for a client")?;
        let path = file.to_str().context("the folder has a name that is no text")?;
        let dockers = created(cluster.docker(1, &[kind, "create", "dockers", path])?)?;
        for (filter, found) in [
            ("name=our", ours.as_str()),
            ("label=colour=red", &ours),
            ("label=colour", &ours),
            (&format!("id={dockers}"), &dockers),
            ("name=none", ""),
        ] {
            prints(cluster.swarm(1, &[kind, "ls", "--quiet", "--filter", filter])?, found)?;
            prints(cluster.docker(1, &[kind, "ls", "--quiet", "--filter", filter])?, found)?;
        }
        let format = ["--format", "{{.ID}} {{.Name}} {{.Labels}}"];
        let table = format!("{dockers} dockers \n{ours} ours colour=red");
        prints(cluster.swarm(1, &[&[kind, "ls"], &format[..]].concat())?, &table)?;
        prints(cluster.docker(1, &[&[kind, "ls"], &format[..]].concat())?, &table)?;
        // Only the headings: how long ago something was may differ by the second.
        let headings = |output: Output| -> Result<Option<String>> { Ok(output.lines()?.into_iter().next()) };
        let ours_shows = headings(cluster.swarm(1, &[kind, "ls"])?)?;
        ensure!(ours_shows == headings(cluster.docker(1, &[kind, "ls"])?)?, "the clients show different tables: {ours_shows:?}");

        let taken = swarm_with(cluster, &[kind, "create", "OURS", "-"], b"x")?;
        daemon_says(&taken, &format!("rpc error: code = AlreadyExists desc = {kind} OURS already exists"))?;
        prints(cluster.swarm(1, &[kind, "rm", "ours", &dockers])?, &format!("ours\n{dockers}"))?;
        daemon_says(&cluster.swarm(1, &[kind, "rm", "ours"])?, &format!("{kind} ours not found"))?;
        prints(cluster.docker(1, &[kind, "ls", "--quiet"])?, "")?;
    }
    Ok(())
}

fn only_configs_show_their_contents(cluster: &Cluster) -> Result<()> {
    created(swarm_with(cluster, &["secret", "create", "hidden", "-"], SECRET.as_bytes())?)?;
    created(swarm_with(cluster, &["config", "create", "open", "-"], b"what everybody may read")?)?;
    let shown = cluster.swarm(1, &["config", "inspect", "--pretty", "open"])?.ok()?;
    ensure!(shown.ends_with("Data:\nwhat everybody may read"), "{shown}");
    let json = cluster.swarm(1, &["config", "inspect", "open"])?.json()?;
    ensure!(json[0]["Spec"]["Data"] == "d2hhdCBldmVyeWJvZHkgbWF5IHJlYWQ=", "{json}");
    for client in [cluster.swarm(1, &["secret", "inspect", "hidden"])?, cluster.docker(1, &["secret", "inspect", "hidden"])?] {
        let json = client.json()?;
        ensure!(json[0]["Spec"]["Name"] == "hidden" && json[0]["Spec"].get("Data").is_none(), "{json}");
    }
    // Neither the log of Raft nor what the programs print has it in clear.
    let found = cluster.host(1).exec("grep", &["-rlF", SECRET, &cluster.agent(1).state_dir().display().to_string()])?;
    // Files that vanish meanwhile are an error to it and none to us.
    ensure!(found.code() != Some(0) && found.stdout.is_empty(), "a secret lies about: {found}");
    let log = fs::read_to_string(cluster.agent(1).log()).context("the agent has no log")?;
    ensure!(!log.contains(SECRET), "a secret is in the agent's log");
    cluster.swarm(1, &["secret", "rm", "hidden"])?.ok()?;
    prints(cluster.docker(1, &["config", "rm", "open"])?, "open")
}

fn sizes_have_bounds(cluster: &Cluster) -> Result<()> {
    for (kind, bytes_end) in [("secret", 512_000), ("config", 1_024_000)] {
        let largest: Vec<u8> = (0..bytes_end - 1).map(|n: u32| n.to_be_bytes()[3]).collect();
        created(swarm_with(cluster, &[kind, "create", "large", "-"], &largest)?)?;
        prints(cluster.swarm(1, &[kind, "rm", "large"])?, "large")?;
        let text = format!("rpc error: code = InvalidArgument desc = {kind} data must be larger than 0 and less than {bytes_end} bytes");
        daemon_says(&swarm_with(cluster, &[kind, "create", "large", "-"], &[&largest[..], b"x"].concat())?, &text)?;
    }
    says(&swarm_with(cluster, &["secret", "create", "empty", "-"], b"")?, 1, "error reading from STDIN: data is empty")?;
    says(&cluster.swarm(1, &["secret", "create", "nothing"])?, 1, "secret file is required")?;
    let missing = "error reading content from \"/no/such\": open /no/such: no such file or directory";
    says(&cluster.swarm(1, &["config", "create", "missing", "/no/such"])?, 1, missing)
}

const CHECKS: &[Check<Cluster>] = &[
    ("create, ls and rm", both_clients_create_list_and_remove),
    ("contents", only_configs_show_their_contents),
    ("sizes", sizes_have_bounds),
];

#[test]
fn secrets_and_configs_are_kept() -> Result<()> {
    check_cluster(&Cluster::formed(1, 0)?, CHECKS)
}
