//! Services from their creation to their removal: what the commands print, where tasks go and how updates replace them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use swarm_testkit::{
    AgentOptions, AgentProc, BUSYBOX, Bed, Cluster, Host, Request, SLEEP, WEB_1, WEB_2, until,
};
use swarm_tests::services::{
    check_every, create, fields, gone, hostnames, lines, live, node_of, remove, replaced, said,
    service, spread, task_lines, update, waits_because,
};
use swarm_tests::{LATER, SOON, node_id, says, text_at};

#[test]
fn services_are_made_shown_changed_and_removed() -> Result<()> {
    let cluster = Cluster::formed(1, 2)?;
    check_every(
        &cluster,
        &[
            (
                "an image on the host needs no registry",
                image_on_the_host_needs_no_registry,
            ),
            ("create shows the progress", create_shows_the_progress),
            ("global services", global_services),
            ("tables", tables),
            ("formats and filters", formats_and_filters),
            ("names, ids and prefixes", names_ids_and_prefixes),
            ("inspect", inspect_shows_the_service),
            ("scale", scale),
            (
                "update replaces one task after the other",
                update_replaces_one_after_the_other,
            ),
            ("force", force_replaces_without_a_change),
            ("removal", removal),
        ],
    )
}

#[test]
fn tasks_go_where_they_may() -> Result<()> {
    let cluster = Cluster::formed(1, 2)?;
    check_every(
        &cluster,
        &[
            ("tasks are spread", tasks_are_spread),
            ("constraints", constraints),
            (
                "constraints that cannot be read",
                constraints_that_cannot_be_read,
            ),
            ("maximum for each node", maximum_for_each_node),
            ("reservations", reservations),
            ("history is kept to the limit", history_is_kept_to_the_limit),
        ],
    )
}

fn image_on_the_host_needs_no_registry(cluster: &Cluster) -> Result<()> {
    let start = Instant::now();
    let output = cluster.swarm(
        1,
        &[
            "service",
            "create",
            "--detach",
            "--name",
            "local",
            "--replicas",
            "3",
            SLEEP,
        ],
    )?;
    let created = start.elapsed();
    cluster.wait_running("local", 3, SOON)?;
    println!(
        "create --detach with an image of the host: {created:?}, 3 tasks run after {:?}",
        start.elapsed()
    );
    let warning = format!(
        "image {SLEEP} could not be accessed on a registry to record\nits digest. Each node will access {SLEEP} \
         independently,\npossibly leading to different nodes running different\nversions of the image.\n"
    );
    ensure!(output.stderr.trim() == warning.trim(), "{output}");
    ensure!(
        output.code() == Some(0) && output.stdout.trim_end().len() == 25,
        "{output}"
    );
    ensure!(
        created < Duration::from_secs(5),
        "creation took {created:?}"
    );
    ensure!(
        start.elapsed() < Duration::from_secs(15),
        "the tasks took {:?}",
        start.elapsed()
    );
    // No warning when nobody asked for a digest, and a name without a tag means the latest.
    let short = SLEEP.trim_end_matches(":latest");
    let quiet = cluster.swarm(
        1,
        &[
            "service",
            "create",
            "--detach",
            "--no-resolve-image",
            "--name",
            "short",
            short,
        ],
    )?;
    ensure!(
        quiet.code() == Some(0) && quiet.stderr.is_empty(),
        "{quiet}"
    );
    ensure!(
        live(cluster, "short")?.container["Config"]["Image"] == SLEEP,
        "the tag is missing"
    );
    remove(cluster, &["local", "short"])
}

fn create_shows_the_progress(cluster: &Cluster) -> Result<()> {
    let words = [
        "service",
        "create",
        "--no-resolve-image",
        "--name",
        "shown",
        "--replicas",
        "2",
        SLEEP,
    ];
    let shown = lines(cluster, &words)?;
    let id = text_at(&service(cluster, "shown")?, "/ID").context("no id")?;
    ensure!(shown.first() == Some(&id), "{shown:?}");
    ensure!(
        shown
            .get(1)
            .is_some_and(|line| line == "overall progress: 0 out of 2 tasks"),
        "{shown:?}"
    );
    let all = shown
        .iter()
        .position(|line| line == "overall progress: 2 out of 2 tasks")
        .context("never all")?;
    let rest = &shown[all + 1..];
    let waits = |line: &String| {
        line.starts_with("verify: Waiting ")
            && line.ends_with(" seconds to verify that tasks are stable...")
    };
    let waited = rest.iter().filter(|line| waits(line)).count();
    ensure!(
        (1..=6).contains(&waited) && rest.len() == waited + 1,
        "{shown:?}"
    );
    ensure!(
        rest.last() == Some(&format!("verify: Service {id} converged")),
        "{shown:?}"
    );
    ensure!(
        cluster.running_tasks("shown")?.len() == 2,
        "it ended too early"
    );

    let start = Instant::now();
    let quiet = said(
        cluster,
        &[
            "service",
            "create",
            "--quiet",
            "--no-resolve-image",
            "--name",
            "quiet",
            SLEEP,
        ],
    )?;
    ensure!(quiet.len() == 25, "should print the id only: {quiet}");
    ensure!(
        cluster.running_tasks("quiet")?.len() == 1,
        "--quiet should wait as well"
    );
    ensure!(
        start.elapsed() >= Duration::from_secs(5),
        "--quiet should verify as well"
    );

    // A service that cannot run shows why, and the wait for it is ended by its user.
    let mut command = cluster.agent(1).swarm_command()?;
    let log = cluster.host(1).dir().join("waiting");
    command
        .args([
            "service",
            "create",
            "--no-resolve-image",
            "--name",
            "stuck",
            "--constraint",
            "node.hostname==none",
            SLEEP,
        ])
        .stdin(Stdio::null())
        .stdout(File::create(&log)?)
        .stderr(File::create(cluster.host(1).dir().join("waiting.err"))?);
    let mut child = command.spawn()?;
    let why = "1/1: no suitable node (scheduling constraints not satisfied on 3 nodes)";
    let shown = cluster.until("the reason in the progress", SOON, || {
        let text = fs::read_to_string(&log)?;
        ensure!(text.contains(why), "{text}");
        Ok(())
    });
    let client = cluster.host(1).processes().into_iter().find(|process| {
        process.program() == "swarm" && process.args.iter().any(|word| word == "stuck")
    });
    client
        .context("the client is gone")?
        .signal(nix::sys::signal::Signal::SIGINT)?;
    let status = child.wait()?;
    shown?;
    let text = fs::read_to_string(&log)?;
    ensure!(status.success(), "{status}: {text}");
    ensure!(
        text.contains("Operation continuing in background.\nUse `"),
        "{text}"
    );
    ensure!(
        text.contains(" service ps ") && text.ends_with("to check progress.\n"),
        "{text}"
    );
    remove(cluster, &["shown", "quiet", "stuck"])
}

fn global_services(cluster: &Cluster) -> Result<()> {
    let shown = lines(
        cluster,
        &[
            "service",
            "create",
            "--no-resolve-image",
            "--name",
            "each",
            "--mode",
            "global",
            SLEEP,
        ],
    )?;
    ensure!(
        shown
            .iter()
            .any(|line| line == "overall progress: 3 out of 3 tasks"),
        "{shown:?}"
    );
    let tasks = cluster.wait_running("each", 3, SOON)?;
    let on: BTreeSet<_> = tasks
        .iter()
        .map(|task| task["NodeID"].to_string())
        .collect();
    ensure!(
        on.len() == 3 && tasks.iter().all(|task| task["Slot"].is_null()),
        "{}",
        task_lines(cluster, "each")?
    );
    let row = said(
        cluster,
        &[
            "service",
            "ls",
            "--filter",
            "name=each",
            "--format",
            "{{.Mode}} {{.Replicas}}",
        ],
    )?;
    ensure!(row == "global 3/3", "{row}");
    let names: BTreeSet<_> = lines(cluster, &["service", "ps", "--format", "{{.Name}}", "each"])?
        .into_iter()
        .collect();
    let wanted: BTreeSet<_> = hostnames(cluster)?
        .keys()
        .map(|id| format!("each.{id}"))
        .collect();
    ensure!(names == wanted, "{names:?}");
    for refused in [
        &["service", "scale", "--detach", "each=2"][..],
        &["service", "update", "--detach", "--replicas", "2", "each"],
    ] {
        let output = cluster.swarm(1, refused)?;
        ensure!(
            output.code() == Some(1) && output.stderr.contains("can only be used with replicated"),
            "{output}"
        );
    }
    // A constraint takes it from the nodes that do not fit.
    update(cluster, "each", &["--constraint-add", "node.role==worker"])?;
    cluster.wait_running("each", 2, SOON)?;
    ensure!(
        spread(cluster, "each")? == count(&[("h2", 1), ("h3", 1)]),
        "{:?}",
        spread(cluster, "each")?
    );
    remove(cluster, &["each"])
}

fn count(expected: &[(&str, usize)]) -> BTreeMap<String, usize> {
    expected
        .iter()
        .map(|(name, number)| ((*name).to_owned(), *number))
        .collect()
}

/// The columns of a table's lines: each begins where its heading does.
fn columns(table: &[String], headings: &[&str]) -> Result<Vec<Vec<String>>> {
    let head = table.first().context("an empty table")?;
    let mut starts = Vec::new();
    let mut from = 0;
    for heading in headings {
        let at = head[from..]
            .find(heading)
            .with_context(|| format!("{heading} is missing in {head}"))?
            + from;
        starts.push(at);
        from = at + heading.len();
    }
    let cells = |line: &String| {
        let text: Vec<char> = line.chars().collect();
        let ends = starts[1..].iter().copied().chain([text.len()]);
        let cell = |start: usize, end: usize| {
            text[start.min(text.len())..end.min(text.len())]
                .iter()
                .collect::<String>()
        };
        starts
            .iter()
            .zip(ends)
            .map(|(start, end)| cell(*start, end).trim().to_owned())
            .collect()
    };
    ensure!(cells(head) == headings, "other headings: {head}");
    Ok(table[1..].iter().map(cells).collect())
}

fn tables(cluster: &Cluster) -> Result<()> {
    create(cluster, &["--name", "b10", "--mode", "global", SLEEP])?;
    create(
        cluster,
        &[
            "--name",
            "b9",
            "--replicas",
            "2",
            "--constraint",
            "node.hostname==h3",
            WEB_1,
        ],
    )?;
    create(cluster, &["--name", "a", "--replicas", "0", WEB_1])?;
    cluster.wait_running("b10", 3, SOON)?;
    cluster.wait_running("b9", 2, SOON)?;
    let short = |name: &str| {
        Ok::<_, anyhow::Error>(
            text_at(&service(cluster, name)?, "/ID").context("no id")?[..12].to_owned(),
        )
    };
    let rows = columns(
        &lines(cluster, &["service", "ls"])?,
        &["ID", "NAME", "MODE", "REPLICAS", "IMAGE", "PORTS"],
    )?;
    let wanted = [
        [&short("a")?, "a", "replicated", "0/0", WEB_1, ""],
        [&short("b9")?, "b9", "replicated", "2/2", WEB_1, ""],
        [&short("b10")?, "b10", "global", "3/3", SLEEP, ""],
    ];
    ensure!(rows == wanted, "{rows:?}");

    // One that ended is shown below its successor.
    let tasks = cluster.running_tasks("b9")?;
    let first = tasks
        .iter()
        .find(|task| task["Slot"] == 1)
        .context("no slot 1")?;
    let container =
        text_at(first, "/Status/ContainerStatus/ContainerID").context("no container")?;
    cluster.host(3).docker(&["kill", &container])?.ok()?;
    cluster.until("a successor", SOON, || {
        let tasks = cluster.running_tasks("b9")?;
        ensure!(
            tasks.len() == 2 && tasks.iter().all(|task| task["ID"] != first["ID"]),
            "{}",
            task_lines(cluster, "b9")?
        );
        Ok(())
    })?;
    let headings = [
        "ID",
        "NAME",
        "IMAGE",
        "NODE",
        "DESIRED STATE",
        "CURRENT STATE",
        "ERROR",
        "PORTS",
    ];
    let rows = columns(&lines(cluster, &["service", "ps", "b9"])?, &headings)?;
    ensure!(rows.len() == 3, "{rows:?}");
    for (row, name, desired, current, error) in [
        (&rows[0], "b9.1", "Running", "Running ", ""),
        (
            &rows[1],
            "\\_ b9.1",
            "Shutdown",
            "Failed ",
            "\"task: non-zero exit (137)\"",
        ),
        (&rows[2], "b9.2", "Running", "Running ", ""),
    ] {
        ensure!(
            row[1] == name && row[2] == WEB_1 && row[3] == "h3" && row[4] == desired,
            "{row:?}"
        );
        ensure!(
            row[5].starts_with(current) && row[5].ends_with(" ago"),
            "{row:?}"
        );
        ensure!(row[6] == error && row[0].len() == 12, "{row:?}");
    }
    let full = lines(
        cluster,
        &[
            "service",
            "ps",
            "--no-trunc",
            "--no-resolve",
            "--format",
            "{{.ID}} {{.Name}} {{.Node}}",
            "b9",
        ],
    )?;
    let id = text_at(&service(cluster, "b9")?, "/ID").context("no id")?;
    let node = node_of(cluster, 3)?;
    for (line, slot) in full.iter().zip([1, 1, 2]) {
        let words: Vec<_> = line.split(' ').collect();
        ensure!(
            words[0].len() == 25 && words[1] == format!("{id}.{slot}") && words[2] == node,
            "{full:?}"
        );
    }
    let quiet = lines(cluster, &["service", "ps", "-q", "b9"])?;
    ensure!(
        quiet.len() == 3 && quiet.iter().all(|line| line.len() == 25),
        "{quiet:?}"
    );
    // Of several services, those that are missing are told at the end.
    let some = cluster.swarm(
        1,
        &[
            "service",
            "ps",
            "--format",
            "{{.Name}}",
            "a",
            "b9",
            "nothing",
        ],
    )?;
    says_after_output(&some, "b9.1\nb9.1\nb9.2", "no such service: nothing")?;
    remove(cluster, &["a", "b9", "b10"])
}

fn says_after_output(output: &swarm_testkit::Output, stdout: &str, stderr: &str) -> Result<()> {
    let is_so = output.code() == Some(1)
        && output.stdout.trim_end() == stdout
        && output.stderr.trim_end() == stderr;
    ensure!(
        is_so,
        "should have printed:\n{stdout}\nand said:\n{stderr}\nnot: {output}"
    );
    Ok(())
}

fn formats_and_filters(cluster: &Cluster) -> Result<()> {
    let on_h2 = ["--constraint", "node.hostname==h2"];
    let first = create(
        cluster,
        &[
            &["--name", "front", "--label", "tier=web", "--replicas", "2"],
            &on_h2[..],
            &[SLEEP],
        ]
        .concat(),
    )?;
    create(
        cluster,
        &[
            "--name", "frost", "--label", "tier=db", "--mode", "global", SLEEP,
        ],
    )?;
    cluster.wait_running("front", 2, SOON)?;
    cluster.wait_running("frost", 3, SOON)?;
    let ls = |args: &[&str], wanted: &str| {
        let found = said(cluster, &[&["service", "ls"], args].concat())?;
        ensure!(
            found == wanted,
            "ls {args:?} should print {wanted:?}, not {found:?}"
        );
        Ok(())
    };
    let name = ["--format", "{{.Name}}"];
    ls(
        &[&name[..], &["--filter", "name=fro"]].concat(),
        "front\nfrost",
    )?;
    ls(&[&name[..], &["--filter", "name=front"]].concat(), "front")?;
    ls(
        &[&name[..], &["--filter", "label=tier"]].concat(),
        "front\nfrost",
    )?;
    ls(
        &[&name[..], &["--filter", "label=tier=db"]].concat(),
        "frost",
    )?;
    ls(&[&name[..], &["--filter", "mode=global"]].concat(), "frost")?;
    ls(
        &[
            &name[..],
            &["--filter", "mode=global", "--filter", "mode=replicated"],
        ]
        .concat(),
        "front\nfrost",
    )?;
    ls(
        &[
            &name[..],
            &["--filter", "mode=global", "--filter", "label=tier=web"],
        ]
        .concat(),
        "",
    )?;
    ls(
        &[&name[..], &["--filter", &format!("id={}", &first[..8])]].concat(),
        "front",
    )?;
    ls(
        &[
            "--format",
            "{{.Name}}:\\t{{.Replicas}} {{upper .Mode}}",
            "--filter",
            "name=front",
        ],
        "front:\t2/2 REPLICATED",
    )?;
    ls(
        &[
            "--format",
            "table {{.Name}}\\t{{.Image}}",
            "--filter",
            "name=front",
        ],
        &format!("NAME      IMAGE\nfront     {SLEEP}"),
    )?;
    ls(&["-q", "--filter", "name=front"], &first[..12])?;
    let row: Value = cluster
        .swarm(
            1,
            &[
                "service",
                "ls",
                "--format",
                "json",
                "--filter",
                "name=front",
            ],
        )?
        .json()?;
    let wanted = json!({"ID": first[..12], "Image": SLEEP, "Mode": "replicated", "Name": "front", "Ports": "", "Replicas": "2/2"});
    ensure!(row == wanted, "{row}");
    for (args, code, text) in [
        (
            &["ls", "--filter", "nope=1"][..],
            1,
            "Error response from daemon: invalid filter 'nope'",
        ),
        (
            &["ls", "--format", "{{.Nope"],
            1,
            "template parsing error: ",
        ),
        (
            &["ls", "--filter", "name"],
            125,
            "bad format of filter (expected name=value)",
        ),
    ] {
        let output = cluster.swarm(1, &[&["service"], args].concat())?;
        ensure!(
            output.code() == Some(code) && output.stderr.contains(text),
            "should say {text}: {output}"
        );
    }

    let ps = |args: &[&str], wanted: &[&str]| {
        let found = lines(
            cluster,
            &[&["service", "ps", "--format", "{{.Name}} {{.Node}}"], args].concat(),
        )?;
        ensure!(
            found == wanted,
            "ps {args:?} should print {wanted:?}, not {found:?}"
        );
        Ok(())
    };
    ps(
        &["--filter", "node=h2", "front"],
        &["front.1 h2", "front.2 h2"],
    )?;
    ps(&["--filter", "node=self", "front"], &[])?;
    ps(&["--filter", "name=front.2", "front"], &["front.2 h2"])?;
    ps(
        &["--filter", "desired-state=running", "front"],
        &["front.1 h2", "front.2 h2"],
    )?;
    ps(&["--filter", "desired-state=shutdown", "front"], &[])?;
    let task = lines(cluster, &["service", "ps", "-q", "front"])?.swap_remove(1);
    ps(
        &["--filter", &format!("id={task}"), "front"],
        &["front.2 h2"],
    )?;
    let row: Value = cluster
        .swarm(
            1,
            &[
                "service",
                "ps",
                "--format",
                "json",
                "--filter",
                "name=front.1",
                "front",
            ],
        )?
        .json()?;
    fields(
        &row,
        &[
            ("/Name", json!("front.1")),
            ("/Node", json!("h2")),
            ("/DesiredState", json!("Running")),
            ("/Error", json!("")),
        ],
    )?;
    remove(cluster, &["front", "frost"])
}

fn names_ids_and_prefixes(cluster: &Cluster) -> Result<()> {
    let id = create(cluster, &["--name", "known", "--replicas", "0", SLEEP])?;
    for word in ["known", &id, &id[..10]] {
        let found = said(
            cluster,
            &["service", "inspect", "--format", "{{.ID}}", word],
        )?;
        ensure!(found == id, "{word} gives {found}");
        let updated = said(
            cluster,
            &[
                "service",
                "update",
                "--detach",
                "--label-add",
                "by=it",
                word,
            ],
        )?;
        ensure!(updated == word, "{updated}");
        said(cluster, &["service", "ps", word])?;
    }
    let taken = cluster.swarm(
        1,
        &[
            "service",
            "create",
            "--detach",
            "--no-resolve-image",
            "--name",
            "known",
            SLEEP,
        ],
    )?;
    let text = "Error response from daemon: rpc error: code = AlreadyExists desc = name conflicts with an existing object: \
                service known already exists";
    says(&taken, 1, text)?;
    // Without a name it gets one that can be said.
    let unnamed = create(cluster, &["--replicas", "0", SLEEP])?;
    let name = said(
        cluster,
        &["service", "inspect", "--format", "{{.Spec.Name}}", &unnamed],
    )?;
    ensure!(
        name.split('_').count() == 2 && name.chars().all(|c| c == '_' || c.is_ascii_lowercase()),
        "{name}"
    );
    let missing = cluster.swarm(1, &["service", "inspect", "nothing", "known"])?;
    ensure!(
        missing.code() == Some(1) && missing.stderr.trim_end() == "no such service: nothing",
        "{missing}"
    );
    ensure!(
        missing.stdout.contains(&id),
        "the one that is there should be shown: {missing}"
    );
    let missing = cluster.swarm(1, &["service", "rm", "nothing", &id])?;
    ensure!(
        missing.code() == Some(1) && missing.stdout.trim_end() == id,
        "{missing}"
    );
    ensure!(
        missing.stderr.contains("service nothing not found"),
        "{missing}"
    );
    remove(cluster, &[&name])
}

fn inspect_shows_the_service(cluster: &Cluster) -> Result<()> {
    let options = [
        &[
            "--name",
            "look",
            "--label",
            "a=b",
            "--replicas",
            "2",
            "--env",
            "X=1",
            "--limit-memory",
            "64m",
        ][..],
        &[
            "--reserve-cpu",
            "0.1",
            "--constraint",
            "node.role==worker",
            "--replicas-max-per-node",
            "3",
        ],
        &[
            "--mount",
            "source=data,target=/data",
            "--restart-max-attempts",
            "4",
            SLEEP,
            "an",
            "arg",
        ],
    ];
    let id = create(cluster, &options.concat())?;
    let text = said(cluster, &["service", "inspect", "look"])?;
    let all: Value = serde_json::from_str(&text)?;
    ensure!(text.starts_with("[\n    {\n        \"ID\": "), "{text}");
    let found = &all[0];
    fields(
        found,
        &[
            ("/ID", json!(id)),
            ("/Spec/Name", json!("look")),
            ("/Spec/Labels", json!({"a": "b"})),
            ("/Spec/Mode/Replicated/Replicas", json!(2)),
            ("/Spec/TaskTemplate/ContainerSpec/Image", json!(SLEEP)),
            (
                "/Spec/TaskTemplate/ContainerSpec/Args",
                json!(["an", "arg"]),
            ),
            ("/Spec/TaskTemplate/RestartPolicy/MaxAttempts", json!(4)),
            // What was not given stands there with its default.
            ("/Spec/TaskTemplate/RestartPolicy/Condition", json!("any")),
            (
                "/Spec/TaskTemplate/RestartPolicy/Delay",
                json!(5_000_000_000_u64),
            ),
            (
                "/Spec/TaskTemplate/ContainerSpec/StopGracePeriod",
                json!(10_000_000_000_u64),
            ),
            ("/Spec/UpdateConfig/Parallelism", json!(1)),
            ("/Spec/UpdateConfig/FailureAction", json!("pause")),
            ("/Spec/UpdateConfig/Order", json!("stop-first")),
            ("/Spec/EndpointSpec/Mode", json!("vip")),
        ],
    )?;
    ensure!(
        found["Version"]["Index"]
            .as_u64()
            .is_some_and(|index| index > 0),
        "{found}"
    );
    let pretty = said(cluster, &["service", "inspect", "--pretty", "look"])?;
    for line in [
        &format!("ID:\t\t{id}"),
        "Name:\t\tlook",
        " a=b",
        "Service Mode:\tReplicated",
        " Replicas:\t2",
        " Constraints:\t[node.role==worker]",
        " Max Replicas Per Node:   3",
        &format!(" Image:\t\t{SLEEP}"),
        " Args:\t\tan arg",
        " Env:\t\tX=1",
        " Target:\t/data",
        "  CPU:\t\t0.1",
        "  Memory:\t64MiB",
        "Endpoint Mode:\tvip",
    ] {
        ensure!(
            pretty.lines().any(|found| found.trim_end() == line),
            "{line:?} is missing:\n{pretty}"
        );
    }
    let both = cluster.swarm(
        1,
        &[
            "service", "inspect", "--pretty", "--format", "{{.ID}}", "look",
        ],
    )?;
    says(
        &both,
        1,
        "--format is incompatible with human friendly format",
    )?;
    let json = cluster
        .swarm(
            1,
            &[
                "service",
                "inspect",
                "--format",
                "{{json .Spec.Labels}}",
                "look",
            ],
        )?
        .json()?;
    ensure!(json == json!({"a": "b"}), "{json}");
    remove(cluster, &["look"])
}

fn scale(cluster: &Cluster) -> Result<()> {
    create(cluster, &["--name", "one", SLEEP])?;
    create(cluster, &["--name", "two", SLEEP])?;
    cluster.wait_running("one", 1, SOON)?;
    let shown = lines(cluster, &["service", "scale", "one=4", "two=2"])?;
    ensure!(
        shown.starts_with(&["one scaled to 4".to_owned(), "two scaled to 2".to_owned()]),
        "{shown:?}"
    );
    for line in [
        "overall progress: 4 out of 4 tasks",
        "overall progress: 2 out of 2 tasks",
    ] {
        ensure!(
            shown.iter().any(|found| found == line),
            "{line} is missing: {shown:?}"
        );
    }
    let before: BTreeSet<_> = cluster
        .wait_running("one", 4, SOON)?
        .iter()
        .map(|task| task["ID"].to_string())
        .collect();
    // Growing touches no task, shrinking only those that go; their slots are given again.
    said(cluster, &["service", "scale", "--detach", "one=6"])?;
    let more: BTreeSet<_> = cluster
        .wait_running("one", 6, SOON)?
        .iter()
        .map(|task| task["ID"].to_string())
        .collect();
    ensure!(more.is_superset(&before), "scaling up replaced tasks");
    said(cluster, &["service", "scale", "--detach", "one=2"])?;
    let left = cluster.wait_running("one", 2, SOON)?;
    ensure!(
        left.iter()
            .all(|task| more.contains(&task["ID"].to_string())),
        "scaling down made new tasks"
    );
    let spread = spread(cluster, "one")?;
    ensure!(
        spread.values().all(|number| *number == 1),
        "both tasks are on one node: {spread:?}"
    );
    update(cluster, "one", &["--replicas", "3"])?;
    let slots: BTreeSet<_> = cluster
        .wait_running("one", 3, SOON)?
        .iter()
        .filter_map(|task| task["Slot"].as_u64())
        .collect();
    ensure!(slots.len() == 3, "{slots:?}");
    said(cluster, &["service", "scale", "--detach", "one=0"])?;
    cluster.wait_running("one", 0, SOON)?;
    // Tasks of slots that were taken away are no history.
    cluster.until("no task", SOON, || {
        ensure!(
            cluster.tasks("one")?.is_empty(),
            "{}",
            task_lines(cluster, "one")?
        );
        Ok(())
    })?;
    let bad = cluster.swarm(1, &["service", "scale", "--detach", "one"])?;
    ensure!(
        bad.code() == Some(1) && bad.stderr.starts_with("invalid scale specifier 'one'."),
        "{bad}"
    );
    let bad = cluster.swarm(1, &["service", "scale", "--detach", "one=x", "two=1"])?;
    ensure!(
        bad.code() == Some(1) && bad.stderr.starts_with("one: invalid replicas value x: "),
        "{bad}"
    );
    ensure!(
        bad.stdout.trim_end() == "two scaled to 1",
        "the other one should be scaled: {bad}"
    );
    remove(cluster, &["one", "two"])
}

/// Looks at a service again and again while it is updated, until `done` holds: never may more than one of its slots be without
/// a task that runs and is meant to, nor more than one container be missing.
fn watch_update(
    cluster: &Cluster,
    name: &str,
    slots: usize,
    done: impl Fn(&[Value]) -> bool,
) -> Result<usize> {
    let start = Instant::now();
    let mut looks = 0;
    while start.elapsed() < LATER {
        let tasks = cluster.tasks(name)?;
        let up = |task: &&Value| {
            task["DesiredState"] == "running" && task["Status"]["State"] == "running"
        };
        let running: Vec<Value> = tasks.iter().filter(up).cloned().collect();
        let up: BTreeSet<_> = running
            .iter()
            .filter_map(|task| task["Slot"].as_u64())
            .collect();
        let containers = cluster.containers(name)?.len();
        ensure!(
            up.len() + 1 >= slots,
            "only slots {up:?} are up: {}",
            task_lines(cluster, name)?
        );
        ensure!(
            containers + 1 >= slots,
            "only {containers} containers run: {}",
            task_lines(cluster, name)?
        );
        ensure!(
            containers <= slots,
            "{containers} containers run: {}",
            task_lines(cluster, name)?
        );
        looks += 1;
        if done(&running) && running.len() == slots {
            return Ok(looks);
        }
    }
    bail!(
        "not updated after {looks} looks: {}",
        task_lines(cluster, name)?
    )
}

fn update_replaces_one_after_the_other(cluster: &Cluster) -> Result<()> {
    create(cluster, &["--name", "roll", "--replicas", "4", WEB_1])?;
    cluster.wait_running("roll", 4, SOON)?;
    let start = Instant::now();
    update(cluster, "roll", &["--image", WEB_2])?;
    let is_new = |task: &Value| task["Spec"]["ContainerSpec"]["Image"] == WEB_2;
    let looks = watch_update(cluster, "roll", 4, |running| running.iter().all(is_new))?;
    println!(
        "4 tasks replaced in {:?}, looked at {looks} times",
        start.elapsed()
    );
    ensure!(looks > 10, "too few looks to tell: {looks}");
    let status = cluster.until("the end of the update", SOON, || {
        let status = service(cluster, "roll")?["UpdateStatus"].clone();
        ensure!(status["State"] == "completed", "{status}");
        Ok(status)
    })?;
    ensure!(
        status["Message"] == "update completed" && status["CompletedAt"].is_string(),
        "{status}"
    );
    let previous = &service(cluster, "roll")?["PreviousSpec"];
    ensure!(
        previous["TaskTemplate"]["ContainerSpec"]["Image"] == WEB_1,
        "{previous}"
    );
    let state = said(cluster, &["service", "inspect", "--pretty", "roll"])?;
    ensure!(
        state.contains("UpdateStatus:\n State:\t\tcompleted\n"),
        "{state}"
    );

    // Several waits for one another: the command ends when all slots are of the new version.
    let shown = lines(
        cluster,
        &[
            "service",
            "update",
            "--no-resolve-image",
            "--env-add",
            "A=1",
            "roll",
        ],
    )?;
    ensure!(
        shown.first().is_some_and(|line| line == "roll"),
        "{shown:?}"
    );
    ensure!(
        shown
            .last()
            .is_some_and(|line| line == "verify: Service roll converged"),
        "{shown:?}"
    );
    for done in 1..=4 {
        let line = format!("overall progress: {done} out of 4 tasks");
        ensure!(shown.contains(&line), "{line} is missing: {shown:?}");
    }
    let tasks = cluster.running_tasks("roll")?;
    ensure!(
        tasks
            .iter()
            .all(|task| task["Spec"]["ContainerSpec"]["Env"] == json!(["A=1"])),
        "{tasks:?}"
    );
    remove(cluster, &["roll"])
}

fn force_replaces_without_a_change(cluster: &Cluster) -> Result<()> {
    create(cluster, &["--name", "forced", "--replicas", "3", SLEEP])?;
    let before: BTreeSet<_> = cluster
        .wait_running("forced", 3, SOON)?
        .iter()
        .map(|task| task["ID"].to_string())
        .collect();
    // The same once more is no change.
    update(cluster, "forced", &["--image", SLEEP])?;
    update(cluster, "forced", &["--force"])?;
    let is_new = |task: &Value| !before.contains(&task["ID"].to_string());
    watch_update(cluster, "forced", 3, |running| running.iter().all(is_new))?;
    ensure!(
        cluster.tasks("forced")?.len() == 6,
        "{}",
        task_lines(cluster, "forced")?
    );
    let count = &service(cluster, "forced")?["Spec"]["TaskTemplate"]["ForceUpdate"];
    ensure!(*count == 1, "ForceUpdate is {count}");
    remove(cluster, &["forced"])
}

fn removal(cluster: &Cluster) -> Result<()> {
    create(cluster, &["--name", "gone", "--replicas", "3", SLEEP])?;
    let tasks = cluster.wait_running("gone", 3, SOON)?;
    let removed = said(cluster, &["service", "rm", "gone"])?;
    ensure!(removed == "gone", "{removed}");
    // The name is free at once, though the old containers may still be stopping.
    create(cluster, &["--name", "gone", "--replicas", "2", SLEEP])?;
    cluster.wait_running("gone", 2, SOON)?;
    cluster.until("the end of the old tasks", SOON, || {
        for task in &tasks {
            let id = task["ID"].as_str().context("no id")?;
            let found = cluster.api(1, &Request::get(&format!("/tasks/{id}")))?;
            ensure!(found.status == 404, "{found}");
        }
        // Not even an ended container is left of a service that is gone.
        for host in cluster.bed().hosts() {
            let filters = json!({"label": ["com.docker.swarm.task"], "status": ["exited", "created", "dead"]}).to_string();
            let left = host.docker_api(&Request::get("/containers/json?all=1").query("filters", &filters))?.json()?;
            ensure!(left == json!([]), "left on {}: {left}", host.name());
        }
        Ok(())
    })?;
    remove(cluster, &["gone"])
}

fn tasks_are_spread(cluster: &Cluster) -> Result<()> {
    create(cluster, &["--name", "wide", "--replicas", "6", SLEEP])?;
    cluster.wait_running("wide", 6, SOON)?;
    let wanted = count(&[("h1", 2), ("h2", 2), ("h3", 2)]);
    ensure!(
        spread(cluster, "wide")? == wanted,
        "{:?}",
        spread(cluster, "wide")?
    );
    remove(cluster, &["wide"])
}

fn constraints(cluster: &Cluster) -> Result<()> {
    said(
        cluster,
        &["node", "update", "--label-add", "zone=east", "h2"],
    )?;
    said(
        cluster,
        &["node", "update", "--label-add", "zone=west", "h3"],
    )?;
    let h3 = node_of(cluster, 3)?;
    let address = cluster.host(2).ip();
    let by_id = format!("node.id=={h3}");
    let by_address = format!("node.ip=={address}");
    let not_address = format!("node.ip!={address}/32");
    for (flags, wanted) in [
        (&["node.hostname==h2"][..], &[("h2", 3)][..]),
        (&["node.hostname != H2", "node.role==worker"], &[("h3", 3)]),
        (&["node.role==manager"], &[("h1", 3)]),
        (&["node.labels.zone==west"], &[("h3", 3)]),
        (&["node.labels.zone!=west"], &[("h1", 2), ("h2", 1)]),
        (
            &["node.labels.zone==east", "node.platform.os==linux"],
            &[("h2", 3)],
        ),
        (&[&by_id], &[("h3", 3)]),
        (&[&by_address], &[("h2", 3)]),
        (&[&not_address, "node.role==worker"], &[("h3", 3)]),
    ] {
        let flags: Vec<_> = flags
            .iter()
            .flat_map(|text| ["--constraint", text])
            .collect();
        create(
            cluster,
            &[
                &["--name", "placed", "--replicas", "3"],
                &flags[..],
                &[SLEEP],
            ]
            .concat(),
        )?;
        cluster.wait_running("placed", 3, SOON)?;
        let found = spread(cluster, "placed")?;
        // Which of two nodes gets the odd one is nobody's business.
        let total: usize = wanted.iter().map(|(_, number)| number).sum();
        let names: BTreeSet<_> = wanted.iter().map(|(name, _)| (*name).to_owned()).collect();
        let fits = found.keys().cloned().collect::<BTreeSet<_>>() == names
            && found.values().sum::<usize>() == total;
        ensure!(fits, "{flags:?} should give {wanted:?}, not {found:?}");
        remove(cluster, &["placed"])?;
    }

    // A label that goes away takes the tasks with it; they wait and say why, until there is a place again.
    create(
        cluster,
        &[
            "--name",
            "follows",
            "--constraint",
            "node.labels.zone==west",
            SLEEP,
        ],
    )?;
    let before = live(cluster, "follows")?;
    ensure!(before.host == 3, "it is on host {}", before.host);
    said(cluster, &["node", "update", "--label-rm", "zone", "h3"])?;
    waits_because(
        cluster,
        "follows",
        1,
        "no suitable node (scheduling constraints not satisfied on 3 nodes)",
    )?;
    let table = said(
        cluster,
        &[
            "service",
            "ps",
            "--no-trunc",
            "--filter",
            "desired-state=running",
            "follows",
        ],
    )?;
    ensure!(
        table.contains("\"no suitable node (scheduling constraints not satisfied on 3 nodes)\""),
        "{table}"
    );
    let table = said(
        cluster,
        &[
            "service",
            "ps",
            "--filter",
            "desired-state=running",
            "follows",
        ],
    )?;
    ensure!(
        table.contains("\"no suitable node (scheduling c…\""),
        "{table}"
    );
    gone(cluster, &["follows"], SOON)?;
    let old = cluster
        .tasks("follows")?
        .into_iter()
        .find(|task| task["ID"] == before.task["ID"])
        .context("no old task")?;
    ensure!(old["Status"]["State"] == "rejected", "{old}");
    ensure!(
        old["Status"]["Err"] == "assigned node no longer meets constraints",
        "{old}"
    );
    said(
        cluster,
        &["node", "update", "--label-add", "zone=west", "h2"],
    )?;
    let after = live(cluster, "follows")?;
    ensure!(after.host == 2, "it is on host {}", after.host);
    said(cluster, &["node", "update", "--label-rm", "zone", "h2"])?;
    remove(cluster, &["follows"])
}

fn constraints_that_cannot_be_read(cluster: &Cluster) -> Result<()> {
    for (constraint, why) in [
        ("node.hostnam==h2", "key 'node.hostnam' is unknown"),
        ("zone==east", "key 'zone' is unknown"),
        (
            "node.hostname=h2",
            "constraint expected one operator from ==, !=",
        ),
        ("no de==h2", "key 'no de' is invalid"),
        ("node.hostname==", "value '' is invalid"),
        ("node.ip==nowhere", "value 'nowhere' is invalid"),
    ] {
        let refused = cluster.swarm(
            1,
            &[
                "service",
                "create",
                "--detach",
                "--no-resolve-image",
                "--name",
                "bad",
                "--constraint",
                constraint,
                SLEEP,
            ],
        )?;
        ensure!(
            refused.code() == Some(1) && refused.stderr.contains(why),
            "{constraint} should say {why}: {refused}"
        );
    }
    create(
        cluster,
        &[
            "--name",
            "good",
            "--constraint",
            "node.role==worker",
            "--replicas",
            "0",
            SLEEP,
        ],
    )?;
    let before = service(cluster, "good")?;
    let refused = cluster.swarm(
        1,
        &[
            "service",
            "update",
            "--detach",
            "--constraint-add",
            "nod.role==worker",
            "good",
        ],
    )?;
    refused.fails_with("key 'nod.role' is unknown")?;
    ensure!(
        service(cluster, "good")? == before,
        "a refused update changed something"
    );
    remove(cluster, &["good"])
}

fn maximum_for_each_node(cluster: &Cluster) -> Result<()> {
    create(
        cluster,
        &[
            "--name",
            "few",
            "--replicas",
            "4",
            "--replicas-max-per-node",
            "1",
            SLEEP,
        ],
    )?;
    cluster.wait_running("few", 3, SOON)?;
    waits_because(
        cluster,
        "few",
        1,
        "no suitable node (max replicas per node limit exceed)",
    )?;
    ensure!(
        spread(cluster, "few")? == count(&[("h1", 1), ("h2", 1), ("h3", 1)]),
        "{:?}",
        spread(cluster, "few")?
    );
    let row = said(
        cluster,
        &[
            "service",
            "ls",
            "--format",
            "{{.Replicas}}",
            "--filter",
            "name=few",
        ],
    )?;
    ensure!(row == "3/4 (max 1 per node)", "{row}");
    update(cluster, "few", &["--replicas-max-per-node", "2"])?;
    cluster.wait_running("few", 4, SOON)?;
    remove(cluster, &["few"])
}

fn reservations(cluster: &Cluster) -> Result<()> {
    let node = cluster.node(2)?;
    let memory = node["Description"]["Resources"]["MemoryBytes"]
        .as_u64()
        .context("no memory")?;
    let cpus = node["Description"]["Resources"]["NanoCPUs"]
        .as_u64()
        .context("no CPUs")?
        / 1_000_000_000;
    let most = (memory / 10 * 6).to_string();
    create(
        cluster,
        &[
            "--name",
            "big",
            "--replicas",
            "3",
            "--reserve-memory",
            &most,
            SLEEP,
        ],
    )?;
    cluster.wait_running("big", 3, SOON)?;
    ensure!(
        spread(cluster, "big")? == count(&[("h1", 1), ("h2", 1), ("h3", 1)]),
        "{:?}",
        spread(cluster, "big")?
    );
    create(
        cluster,
        &["--name", "next", "--reserve-memory", &most, SLEEP],
    )?;
    waits_because(
        cluster,
        "next",
        1,
        "no suitable node (insufficient resources on 3 nodes)",
    )?;
    create(
        cluster,
        &[
            "--name",
            "never",
            "--reserve-cpu",
            &(cpus + 1).to_string(),
            SLEEP,
        ],
    )?;
    waits_because(
        cluster,
        "never",
        1,
        "no suitable node (insufficient resources on 3 nodes)",
    )?;
    // Limits and what is not reserved do not count.
    create(
        cluster,
        &[
            "--name",
            "light",
            "--limit-cpu",
            &cpus.to_string(),
            "--limit-memory",
            &most,
            SLEEP,
        ],
    )?;
    cluster.wait_running("light", 1, SOON)?;
    // What a task gives back is given to the one that waits.
    said(cluster, &["service", "scale", "--detach", "big=2"])?;
    cluster.wait_running("next", 1, SOON)?;
    cluster.wait_running("big", 2, SOON)?;
    let after = spread(cluster, "big")?;
    let next = spread(cluster, "next")?;
    ensure!(
        next.keys().all(|name| !after.contains_key(name)),
        "{next:?} besides {after:?}"
    );
    remove(cluster, &["big", "next", "never", "light"])
}

fn history_is_kept_to_the_limit(cluster: &Cluster) -> Result<()> {
    const LIMIT: usize = 2;
    let shown = said(
        cluster,
        &["update", "--task-history-limit", &LIMIT.to_string()],
    )?;
    ensure!(shown == "Swarm updated.", "{shown}");
    create(cluster, &["--name", "old", SLEEP])?;
    let mut now = live(cluster, "old")?;
    for _ in 0..4 {
        update(cluster, "old", &["--force"])?;
        now = replaced(cluster, "old", &now)?;
    }
    cluster.until("as many tasks as the limit", SOON, || {
        let tasks = cluster.tasks("old")?;
        ensure!(
            tasks.len() == LIMIT,
            "{} tasks: {}",
            tasks.len(),
            task_lines(cluster, "old")?
        );
        // The containers of forgotten tasks are forgotten as well.
        let mut containers = 0;
        for host in cluster.bed().hosts() {
            containers +=
                swarm_tests::services::all_containers(cluster, host.number(), "old")?.len();
        }
        ensure!(containers == LIMIT, "{containers} containers are left");
        Ok(())
    })?;
    ensure!(
        cluster
            .tasks("old")?
            .iter()
            .any(|task| task["ID"] == now.task["ID"]),
        "the newest was forgotten"
    );
    remove(cluster, &["old"])
}

/// A web server on the host's loopback address that answers no request and writes each into its log: a registry that is not
/// one.
fn false_registry(host: &Host) -> Result<(std::process::Child, std::path::PathBuf)> {
    let log = host.dir().join("registry.log");
    let mut command = host.command("busybox");
    command
        .args([
            "httpd",
            "-f",
            "-vv",
            "-p",
            "127.0.0.1:5000",
            "-h",
            "/nowhere-at-all",
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&log)?);
    // The folder has to be there, and has to be empty.
    host.sh("mkdir -p /tmp/empty-registry")?.ok()?;
    command.args(["-h", "/tmp/empty-registry"]);
    let child = command.spawn()?;
    until("the false registry", SOON, || {
        host.connect(([127, 0, 0, 1], 5000), Duration::from_secs(1))
    })?;
    Ok((child, log))
}

/// `DOCKER_SERVICE_PREFER_OFFLINE_IMAGE` keeps the agent from asking a registry for what the host has.
#[test]
fn offline_images_are_preferred_when_told_so() -> Result<()> {
    const IMAGE: &str = "127.0.0.1:5000/offline:1";
    let bed = Bed::up(2)?;
    let start = |number: u8, env: &[(&str, &str)]| {
        let env = env
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        AgentProc::start(
            bed.host(number),
            AgentOptions {
                env,
                ..AgentOptions::default()
            },
        )
    };
    let agents = [
        start(1, &[("DOCKER_SERVICE_PREFER_OFFLINE_IMAGE", "1")])?,
        start(2, &[])?,
    ];
    for (agent, asks) in agents.iter().zip([false, true]) {
        let host = agent.host();
        host.docker(&["tag", BUSYBOX, IMAGE])?.ok()?;
        let (mut registry, log) = false_registry(host)?;
        let asked = || {
            Ok::<_, anyhow::Error>(
                fs::read_to_string(&log)?.contains("GET /v2/")
                    || fs::read_to_string(&log)?.contains("url:/v2/"),
            )
        };
        agent
            .swarm(&["init", "--advertise-addr", &host.ip().to_string()])?
            .ok()?;
        ensure!(!node_id(agent)?.is_empty(), "no node");
        let create = [
            "service",
            "create",
            "--detach",
            "--no-resolve-image",
            "--name",
            "off",
        ];
        agent
            .swarm(&[&create[..], &[IMAGE, "sleep", "1000"]].concat())?
            .ok()?;
        until("a running task", SOON, || {
            let states = agent
                .swarm(&[
                    "service",
                    "ps",
                    "--format",
                    "{{.CurrentState}} {{.Error}}",
                    "off",
                ])?
                .ok()?;
            ensure!(states.starts_with("Running"), "{states}");
            Ok(())
        })?;
        ensure!(
            asked()? == asks,
            "asked the registry: {}, should be {asks}:\n{}",
            asked()?,
            fs::read_to_string(&log)?
        );
        registry.kill()?;
        registry.wait()?;

        // What is nowhere cannot run, and says so.
        agent
            .swarm(&[
                "service",
                "create",
                "--detach",
                "--no-resolve-image",
                "--name",
                "nowhere",
                "127.0.0.1:5000/no:1",
            ])?
            .ok()?;
        until("the reason", SOON, || {
            let states = agent
                .swarm(&[
                    "service",
                    "ps",
                    "--no-trunc",
                    "--format",
                    "{{.CurrentState}} {{.Error}}",
                    "nowhere",
                ])?
                .ok()?;
            ensure!(
                states.contains("Rejected")
                    && states.contains("No such image: 127.0.0.1:5000/no:1"),
                "{states}"
            );
            Ok(())
        })?;
    }
    Ok(())
}
