//! Secrets and configs by our client and the docker command line.

use anyhow::{Context, Result, ensure};
use std::fs;
use std::process::Command;
use swarm_testkit::{Cluster, Output, SLEEP, run, run_with_input};
use swarm_tests::services::{create, live, remove, replaced, swarm, update};
use swarm_tests::{Check, SOON, check_cluster, daemon_says, prints, says};

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
    nothing_lies_about(cluster)?;
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

fn services_get_files_in_memory(cluster: &Cluster) -> Result<()> {
    created(swarm_with(cluster, &["secret", "create", "key", "-"], SECRET.as_bytes())?)?;
    created(swarm_with(cluster, &["config", "create", "plain", "-"], b"as it is")?)?;
    let template = "{{.Service.Name}} {{.Task.Slot}} {{env \"COLOUR\"}} {{secret \"/etc/key\"}}";
    created(swarm_with(cluster, &["config", "create", "--template-driver", "golang", "expanded", "-"], template.as_bytes())?)?;
    create(
        cluster,
        &format!(
            "--name uses --constraint node.role==worker --env COLOUR=red --hostname '{{{{.Service.Name}}}}-{{{{.Task.Slot}}}}' \
             --secret key --secret source=key,target=/etc/key,uid=12,gid=34,mode=0400 \
             --config plain --config source=expanded,target=/etc/expanded {SLEEP}"
        ),
    )?;
    let uses = live(cluster, "uses")?;
    for (path, contents) in
        [("/run/secrets/key", SECRET), ("/etc/key", SECRET), ("/plain", "as it is"), ("/etc/expanded", &format!("uses 1 red {SECRET}"))]
    {
        let found = uses.exec(cluster, &["cat", path])?;
        ensure!(found == contents, "{path} has {found:?}");
    }
    let owner = uses.exec(cluster, &["stat", "-c", "%u %g %a", "/etc/key"])?;
    ensure!(owner == "12 34 400", "{owner}");
    ensure!(uses.exec(cluster, &["stat", "-c", "%u %g %a", "/plain"])? == "0 0 444");
    ensure!(uses.run(cluster, &["sh", "-c", "echo x >/plain"])?.code() != Some(0), "a config can be written");
    ensure!(uses.exec(cluster, &["hostname"])? == "uses-1");
    ensure!(!uses.container.to_string().contains(SECRET), "the secret is in the container's description");
    let pretty = cluster.swarm(1, &["service", "inspect", "--pretty", "uses"])?.ok()?;
    ensure!(pretty.contains("Secrets:\n Target:\tkey\n  Source:\tkey"), "{pretty}");
    ensure!(files(cluster, 2)?.len() == 1, "the files of one task should be there: {:?}", files(cluster, 2)?);
    ensure!(files(cluster, 1)?.is_empty(), "a node without such a task has files: {:?}", files(cluster, 1)?);
    nothing_lies_about(cluster)
}

/// The tasks that have files in memory on a host.
fn files(cluster: &Cluster, number: u8) -> Result<Vec<String>> {
    let folder = cluster.agent(number).state_dir().join("files");
    cluster.host(number).sh(&format!("ls {} 2>/dev/null || true", folder.display()))?.lines()
}

/// Neither the log of Raft, nor the agents' records, nor what the programs print has the secret in clear. Mounts are the
/// hosts' own, so from outside only what is on the disk is seen.
fn nothing_lies_about(cluster: &Cluster) -> Result<()> {
    for number in [1, 2] {
        let mut grep = Command::new("grep");
        grep.args(["--recursive", "--files-with-matches", "--fixed-strings", "--no-messages", SECRET]).arg(cluster.host(number).dir());
        let found = run(grep)?;
        // Files that vanish meanwhile are an error to it and none to us.
        ensure!(found.code() != Some(0) && found.stdout.is_empty(), "a secret lies about: {found}");
    }
    Ok(())
}

fn what_is_used_stays(cluster: &Cluster) -> Result<()> {
    let text = |kind: &str, name: &str| {
        format!("rpc error: code = InvalidArgument desc = {kind} '{name}' is in use by the following service: uses")
    };
    daemon_says(&cluster.swarm(1, &["secret", "rm", "key"])?, &text("secret", "key"))?;
    daemon_says(&cluster.swarm(1, &["config", "rm", "plain"])?, &text("config", "plain"))?;
    says(&cluster.swarm(1, &["service", "create", "--secret", "none", SLEEP])?, 1, "secret not found: none")
}

fn the_docker_command_gives_them_too(cluster: &Cluster) -> Result<()> {
    let files = ["--secret", "source=key,target=other", "--config", "source=plain,target=/etc/plain,mode=0440"];
    let line = [&["service", "create", "--detach", "--quiet", "--no-resolve-image", "--name", "docked"], &files[..], &[SLEEP]].concat();
    cluster.docker(1, &line)?.ok()?;
    let docked = live(cluster, "docked")?;
    ensure!(docked.exec(cluster, &["cat", "/run/secrets/other", "/etc/plain"])? == format!("{SECRET}as it is"));
    let update = ["service", "update", "--detach", "--quiet", "--secret-rm", "key", "--config-rm", "plain", "docked"];
    cluster.docker(1, &update)?.ok()?;
    let bare = replaced(cluster, "docked", &docked)?;
    ensure!(bare.run(cluster, &["ls", "/run/secrets/other"])?.code() != Some(0), "a removed secret is still there");
    remove(cluster, &["docked"])
}

fn a_restarted_agent_leaves_tasks_alone_and_gets_secrets_again(cluster: &Cluster) -> Result<()> {
    let before = live(cluster, "uses")?;
    cluster.agent(2).kill()?;
    cluster.agent(2).start_again()?;
    cluster.wait_ready(1, 1)?;
    let after = live(cluster, "uses")?;
    ensure!(before.id()? == after.id()?, "another container runs");
    ensure!(after.exec(cluster, &["cat", "/run/secrets/key"])? == SECRET);
    swarm(cluster, "service update --detach=false --force uses")?.ok()?;
    let forced = replaced(cluster, "uses", &after)?;
    ensure!(forced.exec(cluster, &["cat", "/run/secrets/key"])? == SECRET);
    Ok(())
}

/// Nothing that is in memory only outlives a power cut.
fn tasks_regain_their_files_after_a_boot(cluster: &Cluster) -> Result<()> {
    let before = live(cluster, "uses")?;
    cluster.host(2).power_off()?;
    cluster.host(2).power_on()?;
    cluster.agent(2).start_again()?;
    let after = replaced(cluster, "uses", &before)?;
    ensure!(after.exec(cluster, &["cat", "/run/secrets/key"])? == SECRET);
    nothing_lies_about(cluster)
}

fn files_come_and_go_by_updates(cluster: &Cluster) -> Result<()> {
    let before = live(cluster, "uses")?;
    update(cluster, "uses", "--secret-rm key --config-rm plain --config-rm expanded --config-add source=plain,target=moved")?;
    let after = replaced(cluster, "uses", &before)?;
    ensure!(after.exec(cluster, &["cat", "/moved"])? == "as it is");
    ensure!(after.run(cluster, &["cat", "/run/secrets/key"])?.code() != Some(0), "a removed secret is still there");
    // The history keeps the old tasks, and none of their files.
    cluster.until("the files of the live task only", SOON, || {
        let found = files(cluster, 2)?;
        ensure!(after.task["ID"] == found.join(" "), "{found:?}");
        Ok(())
    })
}

fn a_node_that_leaves_keeps_no_file(cluster: &Cluster) -> Result<()> {
    cluster.swarm(2, &["leave"])?.ok()?;
    let folder = cluster.agent(2).state_dir().join("files");
    let mounts = cluster.host(2).exec("cat", &["/proc/self/mountinfo"])?.ok()?;
    ensure!(!mounts.contains(&folder.display().to_string()), "still mounted: {mounts}");
    remove(cluster, &["uses"])?;
    prints(cluster.swarm(1, &["secret", "rm", "key"])?, "key")?;
    prints(cluster.swarm(1, &["config", "rm", "plain", "expanded"])?, "plain\nexpanded")
}

const CHECKS: &[Check<Cluster>] = &[
    ("create, ls and rm", both_clients_create_list_and_remove),
    ("contents", only_configs_show_their_contents),
    ("sizes", sizes_have_bounds),
    ("files of services", services_get_files_in_memory),
    ("in use", what_is_used_stays),
    ("docker service create", the_docker_command_gives_them_too),
    ("a restarted agent", a_restarted_agent_leaves_tasks_alone_and_gets_secrets_again),
    ("a boot", tasks_regain_their_files_after_a_boot),
    ("updates", files_come_and_go_by_updates),
    ("leaving", a_node_that_leaves_keeps_no_file),
];

#[test]
fn secrets_and_configs_are_kept() -> Result<()> {
    check_cluster(&Cluster::formed(1, 1)?, CHECKS)
}
