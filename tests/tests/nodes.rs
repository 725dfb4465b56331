//! Nodes: what is shown of them, their availability, their labels and their removal.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use swarm_testkit::{Cluster, Request, SLEEP};
use swarm_tests::services::{
    check_every, create, fields, gone, lines, live, node_of, remove, said, service, spread,
    task_lines, update, waits_because,
};
use swarm_tests::{SOON, prints, says, text_at};

#[test]
fn nodes_are_shown_changed_and_removed() -> Result<()> {
    let cluster = Cluster::formed(1, 2)?;
    check_every(
        &cluster,
        &[
            ("the list", the_list),
            ("what nodes tell of themselves", nodes_describe_themselves),
            ("inspect", inspect),
            ("labels", labels),
            ("updates that are refused", refused_updates),
            ("a drained node empties", drained_node_empties),
            (
                "a paused node gets nothing new",
                paused_node_gets_nothing_new,
            ),
            ("tasks of nodes", tasks_of_nodes),
            // The last ones, since they end nodes.
            ("a node is removed", a_node_is_removed),
            (
                "a ready node is removed by force",
                a_ready_node_is_removed_by_force,
            ),
        ],
    )
}

fn the_list(cluster: &Cluster) -> Result<()> {
    let ids = [
        node_of(cluster, 1)?,
        node_of(cluster, 2)?,
        node_of(cluster, 3)?,
    ];
    let version = cluster
        .host(1)
        .docker_api(&Request::get("/version"))?
        .json()?;
    let version = text_at(&version, "/Version").context("no version of the engine")?;
    let table = lines(cluster, &["node", "ls"])?;
    let head: Vec<_> = table[0]
        .split("  ")
        .map(str::trim)
        .filter(|word| !word.is_empty())
        .collect();
    ensure!(
        head == [
            "ID",
            "HOSTNAME",
            "STATUS",
            "AVAILABILITY",
            "MANAGER STATUS",
            "ENGINE VERSION"
        ],
        "{table:?}"
    );
    let words = |line: &String| {
        line.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let rows: Vec<_> = table[1..].iter().map(words).collect();
    ensure!(
        rows == [
            vec![
                ids[0].as_str(),
                "*",
                "h1",
                "Ready",
                "Active",
                "Leader",
                version.as_str()
            ],
            vec![ids[1].as_str(), "h2", "Ready", "Active", version.as_str()],
            vec![ids[2].as_str(), "h3", "Ready", "Active", version.as_str()],
        ],
        "{table:?}"
    );
    let ls = |args: &[&str], wanted: &str| {
        let found = said(cluster, &[&["node", "ls"], args].concat())?;
        ensure!(
            found == wanted,
            "ls {args:?} should print {wanted:?}, not {found:?}"
        );
        Ok(())
    };
    ls(&["-q"], &ids.join("\n"))?;
    let name = ["--format", "{{.Hostname}}"];
    ls(&[&name[..], &["--filter", "role=manager"]].concat(), "h1")?;
    ls(
        &[&name[..], &["--filter", "role=worker"]].concat(),
        "h2\nh3",
    )?;
    ls(&[&name[..], &["--filter", "name=h2"]].concat(), "h2")?;
    ls(
        &[&name[..], &["--filter", &format!("id={}", ids[2])]].concat(),
        "h3",
    )?;
    ls(
        &[
            &name[..],
            &[
                "--filter",
                "membership=accepted",
                "--filter",
                "name=h1",
                "--filter",
                "name=h3",
            ],
        ]
        .concat(),
        "h1\nh3",
    )?;
    ls(
        &[
            "--format",
            "{{.Hostname}} {{.Self}} {{.ManagerStatus}} {{.TLSStatus}}",
            "--filter",
            "name=h1",
        ],
        "h1 true Leader Ready",
    )?;
    let row: Value = cluster
        .swarm(
            1,
            &["node", "ls", "--format", "json", "--filter", "name=h2"],
        )?
        .json()?;
    let wanted = json!({
        "Availability": "Active", "EngineVersion": version, "Hostname": "h2", "ID": ids[1], "ManagerStatus": "",
        "Self": false, "Status": "Ready", "TLSStatus": "Ready",
    });
    ensure!(row == wanted, "{row}");
    let refused = cluster.swarm(1, &["node", "ls", "--filter", "nope=1"])?;
    refused.fails_with("invalid filter 'nope'")
}

fn nodes_describe_themselves(cluster: &Cluster) -> Result<()> {
    for number in 1..=3 {
        let info = cluster
            .host(number)
            .docker_api(&Request::get("/info"))?
            .json()?;
        let version = cluster
            .host(number)
            .docker_api(&Request::get("/version"))?
            .json()?;
        let node = cluster.node(number)?;
        let cpus = info["NCPU"].as_u64().context("no CPUs")?;
        fields(
            &node,
            &[
                (
                    "/Description/Platform/Architecture",
                    info["Architecture"].clone(),
                ),
                ("/Description/Platform/OS", json!("linux")),
                (
                    "/Description/Resources/NanoCPUs",
                    json!(cpus * 1_000_000_000),
                ),
                (
                    "/Description/Resources/MemoryBytes",
                    info["MemTotal"].clone(),
                ),
                (
                    "/Description/Engine/EngineVersion",
                    version["Version"].clone(),
                ),
                ("/Status/State", json!("ready")),
                ("/Status/Addr", json!(cluster.host(number).ip().to_string())),
                ("/Spec/Availability", json!("active")),
                (
                    "/Spec/Role",
                    json!(if number == 1 { "manager" } else { "worker" }),
                ),
                ("/Spec/Labels", json!({})),
            ],
        )?;
        let plugins = node["Description"]["Engine"]["Plugins"]
            .as_array()
            .context("no plugins")?;
        for (kind, name) in [
            ("Volume", "local"),
            ("Network", "bridge"),
            ("Network", "overlay"),
            ("Log", "json-file"),
        ] {
            ensure!(
                plugins.contains(&json!({"Type": kind, "Name": name})),
                "{kind} {name} is missing: {plugins:?}"
            );
        }
        let root = text_at(&node, "/Description/TLSInfo/TrustRoot").context("no trust root")?;
        ensure!(root.starts_with("-----BEGIN CERTIFICATE-----"), "{root}");
        ensure!(
            node["Description"]["TLSInfo"]["CertIssuerSubject"]
                .as_str()
                .is_some_and(|s| !s.is_empty()),
            "{node}"
        );
    }
    let manager = cluster.node(1)?;
    let addr = format!("{}:2377", cluster.host(1).ip());
    fields(
        &manager,
        &[(
            "/ManagerStatus",
            json!({"Leader": true, "Reachability": "reachable", "Addr": addr}),
        )],
    )?;
    ensure!(
        cluster.node(2)?["ManagerStatus"].is_null(),
        "a worker has a manager status"
    );
    Ok(())
}

fn inspect(cluster: &Cluster) -> Result<()> {
    let id = node_of(cluster, 1)?;
    for word in ["self", "h1", &id, &id[..12]] {
        let found = said(
            cluster,
            &[
                "node",
                "inspect",
                "--format",
                "{{.ID}} {{.Description.Hostname}}",
                word,
            ],
        )?;
        ensure!(found == format!("{id} h1"), "{word} gives {found}");
    }
    let all: Value = cluster.swarm(1, &["node", "inspect", "h2", "h3"])?.json()?;
    ensure!(
        all[0]["ID"] == node_of(cluster, 2)?.as_str()
            && all[1]["ID"] == node_of(cluster, 3)?.as_str(),
        "{all}"
    );
    let pretty = said(cluster, &["node", "inspect", "--pretty", "self"])?;
    let ip = cluster.host(1).ip();
    for (at, line) in [
        format!("ID:{id}"),
        "Hostname:h1".to_owned(),
        "Status:".to_owned(),
        "State:Ready".to_owned(),
        "Availability:Active".to_owned(),
        format!("Address:{ip}"),
        "Manager Status:".to_owned(),
        format!("Address:{ip}:2377"),
        "Raft Status:Reachable".to_owned(),
        "Leader:Yes".to_owned(),
        "Platform:".to_owned(),
        "Operating System:linux".to_owned(),
        "Resources:".to_owned(),
        "Plugins:".to_owned(),
        "TLS Info:".to_owned(),
        "-----BEGIN CERTIFICATE-----".to_owned(),
    ]
    .iter()
    .enumerate()
    {
        let bare = |found: &str| {
            let (key, value) = found
                .split_once(':')
                .map_or((found, ""), |(key, value)| (key, value));
            if value.is_empty() {
                found.trim().to_owned()
            } else {
                format!("{}:{}", key.trim(), value.trim())
            }
        };
        ensure!(
            pretty.lines().any(|found| bare(found) == *line),
            "line {at}, {line:?}, is missing:\n{pretty}"
        );
    }
    let worker = said(cluster, &["node", "inspect", "--pretty", "h2"])?;
    ensure!(!worker.contains("Manager Status:"), "{worker}");
    let missing = cluster.swarm(
        1,
        &["node", "inspect", "--format", "{{.ID}}", "nothing", "h1"],
    )?;
    ensure!(
        missing.code() == Some(1) && missing.stdout.trim_end() == id,
        "{missing}"
    );
    ensure!(
        missing.stderr.contains("node nothing not found"),
        "{missing}"
    );
    Ok(())
}

fn labels(cluster: &Cluster) -> Result<()> {
    let change = [
        "node",
        "update",
        "--label-add",
        "zone=east",
        "--label-add",
        "disk=ssd",
        "--label-add",
        "bare",
        "h2",
    ];
    prints(cluster.swarm(1, &change)?, "h2")?;
    fields(
        &cluster.node(2)?,
        &[(
            "/Spec/Labels",
            json!({"zone": "east", "disk": "ssd", "bare": ""}),
        )],
    )?;
    let pretty = said(cluster, &["node", "inspect", "--pretty", "h2"])?;
    ensure!(
        pretty.contains("Labels:\n - bare\n - disk=ssd\n - zone=east\n"),
        "{pretty}"
    );
    let found = said(
        cluster,
        &[
            "node",
            "ls",
            "--format",
            "{{.Hostname}}",
            "--filter",
            "node.label=zone=east",
        ],
    )?;
    ensure!(found == "h2", "{found}");
    prints(
        cluster.swarm(
            1,
            &[
                "node",
                "update",
                "--label-add",
                "zone=west",
                "--label-rm",
                "bare",
                "h2",
            ],
        )?,
        "h2",
    )?;
    fields(
        &cluster.node(2)?,
        &[("/Spec/Labels", json!({"zone": "west", "disk": "ssd"}))],
    )?;
    let missing = cluster.swarm(1, &["node", "update", "--label-rm", "bare", "h2"])?;
    says(&missing, 1, "key bare doesn't exist in node's labels")?;
    prints(
        cluster.swarm(
            1,
            &[
                "node",
                "update",
                "--label-rm",
                "zone",
                "--label-rm",
                "disk",
                "h2",
            ],
        )?,
        "h2",
    )?;
    fields(&cluster.node(2)?, &[("/Spec/Labels", json!({}))])
}

fn refused_updates(cluster: &Cluster) -> Result<()> {
    let before = cluster.node(2)?;
    let refused = cluster.swarm(1, &["node", "update", "--availability", "gone", "h2"])?;
    refused.fails_with("invalid Availability: \"gone\"")?;
    let refused = cluster.swarm(1, &["node", "update", "--role", "king", "h2"])?;
    refused.fails_with("invalid Role: \"king\"")?;
    ensure!(
        cluster.node(2)?["Spec"] == before["Spec"],
        "a refused update changed something"
    );
    let path = format!("/nodes/{}/update", node_of(cluster, 2)?);
    let answer = cluster.api(
        1,
        &Request::post(&path, &before["Spec"]).query("version", "1"),
    )?;
    answer.refused_with(500, "update out of sequence")?;
    let answer = cluster.api(
        1,
        &Request::post(&path, &before["Spec"]).query("version", "x"),
    )?;
    answer.refused_with(400, "invalid node version 'x'")
}

fn availability(cluster: &Cluster, node: &str, word: &str) -> Result<()> {
    prints(
        cluster.swarm(1, &["node", "update", "--availability", word, node])?,
        node,
    )
}

fn drained_node_empties(cluster: &Cluster) -> Result<()> {
    create(cluster, &["--name", "moves", "--replicas", "6", SLEEP])?;
    create(cluster, &["--name", "every", "--mode", "global", SLEEP])?;
    cluster.wait_running("moves", 6, SOON)?;
    cluster.wait_running("every", 3, SOON)?;
    let start = Instant::now();
    availability(cluster, "h3", "drain")?;
    cluster.wait_running("moves", 6, SOON)?;
    cluster.until("an empty node", SOON, || {
        for name in ["moves", "every"] {
            let left: Vec<_> = cluster
                .containers(name)?
                .into_iter()
                .filter(|(host, _)| *host == 3)
                .collect();
            ensure!(left.is_empty(), "{name}: {left:?}");
        }
        Ok(())
    })?;
    cluster.wait_running("moves", 6, SOON)?;
    cluster.wait_running("every", 2, SOON)?;
    println!("a drained node is empty after {:?}", start.elapsed());
    ensure!(
        start.elapsed() < Duration::from_secs(20),
        "draining waited for restart delays: {:?}",
        start.elapsed()
    );
    ensure!(
        !spread(cluster, "moves")?.contains_key("h3"),
        "{:?}",
        spread(cluster, "moves")?
    );
    let row = said(
        cluster,
        &[
            "service",
            "ls",
            "--format",
            "{{.Replicas}}",
            "--filter",
            "name=every",
        ],
    )?;
    ensure!(row == "2/2", "{row}");
    let shown = said(
        cluster,
        &[
            "node",
            "ls",
            "--format",
            "{{.Status}} {{.Availability}}",
            "--filter",
            "name=h3",
        ],
    )?;
    ensure!(shown == "Ready Drain", "{shown}");
    create(
        cluster,
        &[
            "--name",
            "there",
            "--constraint",
            "node.hostname==h3",
            SLEEP,
        ],
    )?;
    let why = "no suitable node (scheduling constraints not satisfied on 2 nodes; 1 node not available for new tasks)";
    waits_because(cluster, "there", 1, why)?;

    // Active again it gets what has waited for it and global tasks; nothing moves back, but new ones come.
    availability(cluster, "h3", "active")?;
    ensure!(live(cluster, "there")?.host == 3, "it is elsewhere");
    cluster.wait_running("every", 3, SOON)?;
    ensure!(
        !spread(cluster, "moves")?.contains_key("h3"),
        "{:?}",
        spread(cluster, "moves")?
    );
    said(cluster, &["service", "scale", "--detach", "moves=8"])?;
    cluster.wait_running("moves", 8, SOON)?;
    let found = spread(cluster, "moves")?;
    ensure!(
        found.get("h3") == Some(&2),
        "the empty node should get both: {found:?}"
    );
    remove(cluster, &["moves", "every", "there"])
}

fn paused_node_gets_nothing_new(cluster: &Cluster) -> Result<()> {
    create(cluster, &["--name", "stays", "--replicas", "3", SLEEP])?;
    create(cluster, &["--name", "every", "--mode", "global", SLEEP])?;
    let before = cluster.wait_running("stays", 3, SOON)?;
    cluster.wait_running("every", 3, SOON)?;
    availability(cluster, "h2", "pause")?;
    said(cluster, &["service", "scale", "--detach", "stays=6"])?;
    let after = cluster.wait_running("stays", 6, SOON)?;
    for task in &before {
        ensure!(
            after.iter().any(|found| found["ID"] == task["ID"]),
            "a task of a paused node was replaced: {task}"
        );
    }
    ensure!(
        spread(cluster, "stays")?.get("h2") == Some(&1),
        "{:?}",
        spread(cluster, "stays")?
    );
    ensure!(
        cluster.running_tasks("every")?.len() == 3,
        "{}",
        task_lines(cluster, "every")?
    );
    create(cluster, &["--name", "all", "--mode", "global", SLEEP])?;
    cluster.wait_running("all", 2, SOON)?;
    ensure!(
        !spread(cluster, "all")?.contains_key("h2"),
        "{:?}",
        spread(cluster, "all")?
    );
    availability(cluster, "h2", "active")?;
    cluster.wait_running("all", 3, SOON)?;
    remove(cluster, &["stays", "every", "all"])
}

fn tasks_of_nodes(cluster: &Cluster) -> Result<()> {
    create(
        cluster,
        &[
            "--name",
            "mine",
            "--constraint",
            "node.hostname==h2",
            "--replicas",
            "2",
            SLEEP,
        ],
    )?;
    create(
        cluster,
        &[
            "--name",
            "yours",
            "--constraint",
            "node.hostname==h1",
            SLEEP,
        ],
    )?;
    cluster.wait_running("mine", 2, SOON)?;
    cluster.wait_running("yours", 1, SOON)?;
    let ps = |args: &[&str], wanted: &[&str]| {
        let found = lines(
            cluster,
            &[
                &[
                    "node",
                    "ps",
                    "--format",
                    "{{.Name}} {{.Node}} {{.DesiredState}}",
                ],
                args,
            ]
            .concat(),
        )?;
        ensure!(
            found == wanted,
            "ps {args:?} should print {wanted:?}, not {found:?}"
        );
        Ok(())
    };
    ps(&["h2"], &["mine.1 h2 Running", "mine.2 h2 Running"])?;
    ps(&[], &["yours.1 h1 Running"])?;
    ps(
        &["self", "h2"],
        &[
            "mine.1 h2 Running",
            "mine.2 h2 Running",
            "yours.1 h1 Running",
        ],
    )?;
    ps(&["--filter", "name=mine.2", "h2"], &["mine.2 h2 Running"])?;
    ps(&["h3"], &[])?;
    let table = lines(cluster, &["node", "ps", "h2"])?;
    let head: Vec<_> = table[0]
        .split("  ")
        .map(str::trim)
        .filter(|word| !word.is_empty())
        .collect();
    ensure!(
        head == [
            "ID",
            "NAME",
            "IMAGE",
            "NODE",
            "DESIRED STATE",
            "CURRENT STATE",
            "ERROR",
            "PORTS"
        ],
        "{table:?}"
    );
    let missing = cluster.swarm(1, &["node", "ps", "nothing"])?;
    missing.fails_with("node nothing not found")?;
    remove(cluster, &["mine", "yours"])
}

fn a_node_is_removed(cluster: &Cluster) -> Result<()> {
    let id = node_of(cluster, 3)?;
    let manager = node_of(cluster, 1)?;
    let refused = cluster.swarm(1, &["node", "rm", "h3"])?;
    let text = format!(
        "rpc error: code = FailedPrecondition desc = node {id} is not down and can't be removed"
    );
    says(&refused, 1, &format!("Error response from daemon: {text}"))?;
    let refused = cluster.swarm(1, &["node", "rm", "--force", "self"])?;
    ensure!(refused.code() == Some(1), "{refused}");
    let refused = cluster.swarm(1, &["node", "rm", "--force", "h1"])?;
    let text = format!(
        "rpc error: code = FailedPrecondition desc = node {manager} is a cluster manager and is a member of the raft cluster. It \
         must be demoted to worker before removal"
    );
    says(&refused, 1, &format!("Error response from daemon: {text}"))?;

    create(cluster, &["--name", "kept", "--replicas", "3", SLEEP])?;
    cluster.wait_running("kept", 3, SOON)?;
    // A node that leaves by itself is down at once, and can be removed then.
    let start = Instant::now();
    prints(cluster.swarm(3, &["leave"])?, "Node left the swarm.")?;
    cluster.until("a node that is down", SOON, || {
        let node = cluster.node(3)?;
        ensure!(node["Status"]["State"] == "down", "{}", node["Status"]);
        Ok(())
    })?;
    println!("a node that left is down after {:?}", start.elapsed());
    cluster.wait_running("kept", 3, SOON)?;
    prints(cluster.swarm(1, &["node", "rm", "h3"])?, "h3")?;
    ensure!(cluster.nodes()?.len() == 2, "{:?}", cluster.nodes()?);
    let missing = cluster.swarm(1, &["node", "rm", "h3", "nothing"])?;
    ensure!(
        missing.stderr.contains("node h3 not found")
            && missing.stderr.contains("node nothing not found"),
        "{missing}"
    );
    remove(cluster, &["kept"])
}

fn a_ready_node_is_removed_by_force(cluster: &Cluster) -> Result<()> {
    create(cluster, &["--name", "flees", "--replicas", "4", SLEEP])?;
    cluster.wait_running("flees", 4, SOON)?;
    prints(cluster.swarm(1, &["node", "rm", "--force", "h2"])?, "h2")?;
    cluster.until("all tasks on the node that is left", SOON, || {
        let found = spread(cluster, "flees")?;
        ensure!(found.get("h1") == Some(&4) && found.len() == 1, "{found:?}");
        Ok(())
    })?;
    ensure!(cluster.nodes()?.len() == 1, "{:?}", cluster.nodes()?);
    // The removed node keeps its containers until it leaves, which needs no manager.
    prints(cluster.swarm(2, &["leave"])?, "Node left the swarm.")?;
    update(cluster, "flees", &["--label-add", "still=works"])?;
    ensure!(
        service(cluster, "flees")?["Spec"]["Labels"] == json!({"still": "works"}),
        "the label is missing"
    );
    cluster.until("no container on the node that left", SOON, || {
        let left: Vec<_> = cluster
            .containers("flees")?
            .into_iter()
            .filter(|(host, _)| *host == 2)
            .collect();
        ensure!(left.is_empty(), "{left:?}");
        Ok(())
    })?;
    said(cluster, &["service", "rm", "flees"])?;
    gone(cluster, &["flees"], SOON)
}
