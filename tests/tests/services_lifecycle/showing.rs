//! `service ls`, `ps` and `inspect`: tables, formats, filters, and what services may be called.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use swarm_testkit::{Cluster, SLEEP, WEB_1};
use swarm_tests::services::{create, fails, fields, lines, node_of, remove, said, service, shows, swarm, task_lines};
use swarm_tests::{SOON, says, text_at};

use crate::creating::on_h2;

/// The cells of a table's lines: each begins where its heading does.
fn cells(table: &[String], headings: &[&str]) -> Result<Vec<Vec<String>>> {
    let head = table.first().context("an empty table")?;
    let mut starts = Vec::new();
    let mut from = 0;
    for heading in headings {
        let at = head[from..].find(heading);
        let at = from + at.with_context(|| format!("{heading} is missing in {head}"))?;
        starts.push(at);
        from = at + heading.len();
    }
    let split = |line: &String| {
        let text: Vec<char> = line.chars().collect();
        let ends = starts.iter().skip(1).copied().chain([text.len()]);
        let cell = |(start, end): (&usize, usize)| {
            let (start, end) = ((*start).min(text.len()), end.min(text.len()));
            String::from_iter(&text[start..end]).trim().to_owned()
        };
        starts.iter().zip(ends).map(cell).collect::<Vec<_>>()
    };
    ensure!(split(head) == headings, "other headings: {head}");
    Ok(table.iter().skip(1).map(split).collect())
}

pub(crate) fn table_of_services(cluster: &Cluster) -> Result<()> {
    let ids = [
        create(cluster, &format!("--name a --replicas 0 {WEB_1}"))?,
        on_h2(cluster, "b9", 2, "")?,
        create(cluster, &format!("--name b10 --mode global {WEB_1}"))?,
    ];
    cluster.wait_running("b10", 3, SOON)?;
    let headings = ["ID", "NAME", "MODE", "REPLICAS", "IMAGE", "PORTS"];
    let rows = cells(&lines(cluster, "service ls")?, &headings)?;
    // Natural order: 9 comes before 10.
    let wanted = [
        [&ids[0][..12], "a", "replicated", "0/0", WEB_1, ""],
        [&ids[1][..12], "b9", "replicated", "2/2", SLEEP, ""],
        [&ids[2][..12], "b10", "global", "3/3", WEB_1, ""],
    ];
    ensure!(rows == wanted, "{rows:?}");
    remove(cluster, &["a", "b9", "b10"])
}

pub(crate) fn table_of_tasks(cluster: &Cluster) -> Result<()> {
    let id = on_h2(cluster, "slots", 2, "--restart-delay 0s")?;
    create(cluster, &format!("--name none --replicas 0 {SLEEP}"))?;
    let tasks = cluster.running_tasks("slots")?;
    let first = tasks.iter().find(|task| task["Slot"] == 1);
    let first = first.context("no slot 1")?;
    let container = text_at(first, "/Status/ContainerStatus/ContainerID").context("no container")?;
    cluster.host(2).docker(&["kill", &container])?.ok()?;
    cluster.until("a successor", SOON, || {
        let tasks = cluster.running_tasks("slots")?;
        let is_new = tasks.iter().all(|task| task["ID"] != first["ID"]);
        ensure!(tasks.len() == 2 && is_new, "{}", task_lines(cluster, "slots")?);
        Ok(())
    })?;
    let headings = ["ID", "NAME", "IMAGE", "NODE", "DESIRED STATE", "CURRENT STATE", "ERROR", "PORTS"];
    let rows = cells(&lines(cluster, "service ps slots")?, &headings)?;
    // One that ended stands below its successor.
    let wanted = [
        ["slots.1", "Running", "Running ", ""],
        ["\\_ slots.1", "Shutdown", "Failed ", "\"task: non-zero exit (137)\""],
        ["slots.2", "Running", "Running ", ""],
    ];
    ensure!(rows.len() == wanted.len(), "{rows:?}");
    for (row, [name, desired, current, error]) in rows.iter().zip(wanted) {
        let same = row[0].len() == 12 && row[1] == name && row[4] == desired && row[6] == error;
        let there = row[2] == SLEEP && row[3] == "h2" && row[7].is_empty();
        let timed = row[5].starts_with(current) && row[5].ends_with(" ago");
        ensure!(same && there && timed, "{row:?}");
    }
    let node = node_of(cluster, 2)?;
    let line = "service ps --no-trunc --no-resolve --format '{{.Name}} {{.Node}}' slots";
    let row = |slot: u8| format!("{id}.{slot} {node}");
    shows(cluster, line, &[&row(1), &row(1), &row(2)])?;
    let quiet = lines(cluster, "service ps -q slots")?;
    let full = quiet.iter().filter(|id| id.len() == 25).count();
    ensure!(quiet.len() == 3 && full == 3, "{quiet:?}");
    // Of several services, those that are missing are told at the end.
    let some = swarm(cluster, "service ps --format {{.Name}} none slots nothing")?;
    ensure!(some.stdout == "slots.1\nslots.1\nslots.2\n", "{some}");
    ensure!(some.code() == Some(1) && some.stderr == "no such service: nothing\n", "{some}");
    let missing = swarm(cluster, "service ps nothing")?;
    says(&missing, 1, "no such service: nothing")?;
    remove(cluster, &["slots", "none"])
}

pub(crate) fn formats(cluster: &Cluster) -> Result<()> {
    let id = on_h2(cluster, "front", 2, "")?;
    let of_front = "--filter name=front --format";
    let line = format!("service ls {of_front} '{{{{.Name}}}}:\\t{{{{.Replicas}}}} {{{{upper .Mode}}}}'");
    shows(cluster, &line, &["front:\t2/2 REPLICATED"])?;
    let line = format!("service ls {of_front} 'table {{{{.Name}}}}\\t{{{{.Image}}}}'");
    shows(cluster, &line, &["NAME      IMAGE", &format!("front     {SLEEP}")])?;
    shows(cluster, "service ls -q --filter name=front", &[&id[..12]])?;
    let row = swarm(cluster, &format!("service ls {of_front} json"))?.json()?;
    let wanted = json!({
        "ID": id[..12], "Image": SLEEP, "Mode": "replicated", "Name": "front", "Ports": "",
        "Replicas": "2/2",
    });
    ensure!(row == wanted, "{row}");
    let line = "service ps --format json --filter name=front.1 front";
    let row = swarm(cluster, line)?.json()?;
    let wanted = json!({
        "/Name": "front.1", "/Node": "h2", "/DesiredState": "Running", "/Error": "", "/Ports": "",
        "/Image": SLEEP,
    });
    fields(&row, &wanted)?;
    let broken = "template parsing error: ";
    fails(cluster, "service ls --format {{.Nope", 1, broken)?;
    fails(cluster, "service ps --format {{.Nope front", 1, broken)?;
    remove(cluster, &["front"])
}

pub(crate) fn filters_of_services(cluster: &Cluster) -> Result<()> {
    let id = create(cluster, &format!("--name front --label tier=web --replicas 0 {SLEEP}"))?;
    let line = format!("--name frost --label tier=db --mode global {SLEEP}");
    create(cluster, &line)?;
    for (filters, wanted) in [
        ("name=fro", &["front", "frost"][..]),
        ("name=front", &["front"]),
        ("name=ront", &[]),
        ("label=tier", &["front", "frost"]),
        ("label=tier=db", &["frost"]),
        ("mode=global", &["frost"]),
        ("mode=global --filter mode=replicated", &["front", "frost"]),
        ("mode=global --filter label=tier=web", &[]),
        (&format!("id={}", &id[..8]), &["front"]),
    ] {
        let line = format!("service ls --format {{{{.Name}}}} --filter {filters}");
        shows(cluster, &line, wanted)?;
    }
    let refused = "Error response from daemon: invalid filter 'nope'";
    fails(cluster, "service ls --filter nope=1", 1, refused)?;
    let refused = "bad format of filter (expected name=value)";
    fails(cluster, "service ls --filter name", 125, refused)?;
    remove(cluster, &["front", "frost"])
}

pub(crate) fn filters_of_tasks(cluster: &Cluster) -> Result<()> {
    on_h2(cluster, "front", 2, "")?;
    let second = lines(cluster, "service ps -q front")?.swap_remove(1);
    for (filter, wanted) in [
        ("node=h2", &["front.1 h2", "front.2 h2"][..]),
        ("node=self", &[]),
        ("name=front.2", &["front.2 h2"]),
        ("desired-state=running", &["front.1 h2", "front.2 h2"]),
        ("desired-state=shutdown", &[]),
        (&format!("id={second}"), &["front.2 h2"]),
    ] {
        let line = format!("service ps --format '{{{{.Name}}}} {{{{.Node}}}}' --filter {filter} front");
        shows(cluster, &line, wanted)?;
    }
    remove(cluster, &["front"])
}

pub(crate) fn names(cluster: &Cluster) -> Result<()> {
    let id = create(cluster, &format!("--name known --replicas 0 {SLEEP}"))?;
    for word in ["known", &id, &id[..10]] {
        shows(cluster, &format!("service inspect --format {{{{.ID}}}} {word}"), &[&id])?;
        let line = format!("service update --detach --label-add by={word} {word}");
        shows(cluster, &line, &[word])?;
        said(cluster, &format!("service ps {word}"))?;
    }
    let line = format!("service create --detach --no-resolve-image --name known {SLEEP}");
    let taken = "Error response from daemon: rpc error: code = AlreadyExists desc = name conflicts \
                 with an existing object: service known already exists";
    says(&swarm(cluster, &line)?, 1, taken)?;
    // Without a name it gets one that can be said.
    let unnamed = create(cluster, &format!("--replicas 0 {SLEEP}"))?;
    let name = text_at(&service(cluster, &unnamed)?, "/Spec/Name").context("no name")?;
    let is_plain = |part: &str| part.chars().all(|c| c.is_ascii_lowercase());
    let said = name.split_once('_').is_some_and(|(a, b)| is_plain(a) && is_plain(b));
    ensure!(said, "{name}");
    // What is missing does not keep the others from being shown or removed.
    let some = swarm(cluster, "service inspect nothing known")?;
    ensure!(some.code() == Some(1) && some.stdout.contains(&id), "{some}");
    ensure!(some.stderr == "no such service: nothing\n", "{some}");
    let some = swarm(cluster, "service rm nothing known")?;
    ensure!(some.code() == Some(1) && some.stdout == "known\n", "{some}");
    ensure!(some.stderr.contains("service nothing not found"), "{some}");
    remove(cluster, &[&name])
}

pub(crate) fn inspect(cluster: &Cluster) -> Result<()> {
    let line = format!(
        "--name look --label a=b --replicas 2 --env X=1 --limit-memory 64m --reserve-cpu 0.1
         --constraint node.role==worker --replicas-max-per-node 3 --mount source=data,target=/data
         --restart-max-attempts 4 {SLEEP} an arg"
    );
    let id = create(cluster, &line)?;
    let text = said(cluster, "service inspect look")?;
    ensure!(text.starts_with("[\n    {\n        \"ID\": "), "{text}");
    let all: Value = serde_json::from_str(&text)?;
    let expected = json!({
        "/Spec/Name": "look",
        "/Spec/Labels": {"a": "b"},
        "/Spec/Mode/Replicated/Replicas": 2,
        "/Spec/TaskTemplate/ContainerSpec/Image": SLEEP,
        "/Spec/TaskTemplate/ContainerSpec/Args": ["an", "arg"],
        "/Spec/TaskTemplate/RestartPolicy/MaxAttempts": 4,
        // What was not given stands there with its default.
        "/Spec/TaskTemplate/RestartPolicy/Condition": "any",
        "/Spec/TaskTemplate/RestartPolicy/Delay": 5_000_000_000_u64,
        "/Spec/TaskTemplate/ContainerSpec/StopGracePeriod": 10_000_000_000_u64,
        "/Spec/UpdateConfig/Parallelism": 1,
        "/Spec/UpdateConfig/FailureAction": "pause",
        "/Spec/UpdateConfig/Order": "stop-first",
        "/Spec/EndpointSpec/Mode": "vip",
    });
    fields(&all[0], &expected)?;
    ensure!(all[0]["ID"] == id.as_str());
    ensure!(all[0]["Version"]["Index"].as_u64() > Some(0));
    let pretty = said(cluster, "service inspect --pretty look")?;
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
        let shown = pretty.lines().any(|found| found.trim_end() == line);
        ensure!(shown, "{line:?} is missing:\n{pretty}");
    }
    let both = swarm(cluster, "service inspect --pretty --format {{.ID}} look")?;
    says(&both, 1, "--format is incompatible with human friendly format")?;
    let line = "service inspect --format '{{json .Spec.Labels}}' look";
    shows(cluster, line, &["{\"a\":\"b\"}"])?;
    remove(cluster, &["look"])
}
