//! Nodes: what is shown of them, their availability, their labels and their removal.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use swarm_testkit::{Cluster, Request, SLEEP};
use swarm_tests::services::{
    check_every, create, fails, fields, gone, lines, live, node_of, remove, said, service, shows, spread, swarm, task_lines, update,
    waits_because,
};
use swarm_tests::{SOON, prints, says, text_at, texts_at};

#[test]
fn nodes_are_shown_changed_and_removed() -> Result<()> {
    let cluster = Cluster::formed(1, 2)?;
    check_every(
        &cluster,
        &[
            ("the list", the_list),
            ("filters and formats", filters_and_formats),
            ("what nodes tell of themselves", description),
            ("inspect", inspect),
            ("pretty", pretty),
            ("labels", labels),
            ("updates that are refused", refused_updates),
            ("a drained node empties", drained_node_empties),
            ("a paused node gets nothing new", paused_node_gets_nothing_new),
            ("tasks of nodes", tasks_of_nodes),
            // The last ones, since they end nodes.
            ("removals that are refused", refused_removals),
            ("a node that left is removed", node_that_left_is_removed),
            ("a ready node is removed by force", ready_node_is_removed_by_force),
        ],
    )
}

/// The headings of a table, which are two blanks apart or more.
fn headings(table: &[String]) -> Vec<&str> {
    let head = table.first().map_or("", String::as_str);
    head.split("  ").map(str::trim).filter(|word| !word.is_empty()).collect()
}

fn engine_version(cluster: &Cluster, number: u8) -> Result<String> {
    let version = cluster.host(number).docker_api(&Request::get("/version"))?.json()?;
    text_at(&version, "/Version").context("no version of the engine")
}

fn the_list(cluster: &Cluster) -> Result<()> {
    let version = engine_version(cluster, 1)?;
    let table = lines(cluster, "node ls")?;
    let wanted = ["ID", "HOSTNAME", "STATUS", "AVAILABILITY", "MANAGER STATUS", "ENGINE VERSION"];
    ensure!(headings(&table) == wanted, "{table:?}");
    let words = |line: &String| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let rows: Vec<_> = table.iter().skip(1).map(words).collect();
    let ids = [node_of(cluster, 1)?, node_of(cluster, 2)?, node_of(cluster, 3)?];
    let wanted = [
        vec![&ids[0], "*", "h1", "Ready", "Active", "Leader", &version],
        vec![&ids[1], "h2", "Ready", "Active", &version],
        vec![&ids[2], "h3", "Ready", "Active", &version],
    ];
    ensure!(rows == wanted, "{table:?}");
    shows(cluster, "node ls -q", &ids.each_ref().map(String::as_str))
}

fn filters_and_formats(cluster: &Cluster) -> Result<()> {
    let id = node_of(cluster, 3)?;
    for (filters, wanted) in [
        ("role=manager", &["h1"][..]),
        ("role=worker", &["h2", "h3"]),
        ("name=h2", &["h2"]),
        ("name=h1 --filter name=h3", &["h1", "h3"]),
        ("name=h1 --filter role=worker", &[]),
        ("membership=accepted", &["h1", "h2", "h3"]),
        (&format!("id={id}"), &["h3"]),
        (&format!("id={}", &id[..10]), &["h3"]),
    ] {
        shows(cluster, &format!("node ls --format {{{{.Hostname}}}} --filter {filters}"), wanted)?;
    }
    let line = "node ls --filter name=h1 --format '{{.Self}} {{.ManagerStatus}} {{.TLSStatus}}'";
    shows(cluster, line, &["true Leader Ready"])?;
    let row = swarm(cluster, "node ls --format json --filter name=h3")?.json()?;
    let wanted = json!({
        "Availability": "Active", "EngineVersion": engine_version(cluster, 3)?, "Hostname": "h3", "ID": id,
        "ManagerStatus": "", "Self": false, "Status": "Ready", "TLSStatus": "Ready",
    });
    ensure!(row == wanted, "{row}");
    fails(cluster, "node ls --filter nope=1", 1, "invalid filter 'nope'")
}

fn description(cluster: &Cluster) -> Result<()> {
    for number in 1..=3 {
        let info = cluster.host(number).docker_api(&Request::get("/info"))?.json()?;
        let node = cluster.node(number)?;
        let cpus = info["NCPU"].as_u64().context("no CPUs")?;
        let expected = json!({
            "/Description/Platform/Architecture": info["Architecture"],
            "/Description/Platform/OS": "linux",
            "/Description/Resources/NanoCPUs": cpus * 1_000_000_000,
            "/Description/Resources/MemoryBytes": info["MemTotal"],
            "/Description/Engine/EngineVersion": engine_version(cluster, number)?,
            "/Status/State": "ready",
            "/Status/Addr": cluster.host(number).ip().to_string(),
            "/Spec/Availability": "active",
            "/Spec/Role": if number == 1 { "manager" } else { "worker" },
            "/Spec/Labels": {},
        });
        fields(&node, &expected)?;
        let plugins = &node["Description"]["Engine"]["Plugins"];
        for (kind, name) in [("Volume", "local"), ("Network", "bridge"), ("Network", "overlay"), ("Log", "json-file")] {
            let plugin = json!({"Type": kind, "Name": name});
            ensure!(plugins.as_array().is_some_and(|all| all.contains(&plugin)), "{plugin} is missing: {plugins}");
        }
        let tls = &node["Description"]["TLSInfo"];
        let root = tls["TrustRoot"].as_str().unwrap_or_default();
        ensure!(root.starts_with("-----BEGIN CERTIFICATE-----"), "{tls}");
        ensure!(tls["CertIssuerSubject"].as_str().is_some_and(|subject| !subject.is_empty()), "{tls}");
    }
    let address = format!("{}:2377", cluster.host(1).ip());
    let expected = json!({"Leader": true, "Reachability": "reachable", "Addr": address});
    ensure!(cluster.node(1)?["ManagerStatus"] == expected);
    ensure!(cluster.node(2)?["ManagerStatus"].is_null());
    Ok(())
}

fn inspect(cluster: &Cluster) -> Result<()> {
    let id = node_of(cluster, 1)?;
    for word in ["self", "h1", &id, &id[..12]] {
        let line = format!("node inspect --format '{{{{.ID}}}} {{{{.Description.Hostname}}}}' {word}");
        shows(cluster, &line, &[&format!("{id} h1")])?;
    }
    let all = swarm(cluster, "node inspect h2 h3")?.json()?;
    let expected = json!({"/0/ID": node_of(cluster, 2)?, "/1/ID": node_of(cluster, 3)?});
    fields(&all, &expected)?;
    let some = swarm(cluster, "node inspect --format {{.ID}} nothing h1")?;
    ensure!(some.code() == Some(1) && some.stdout.trim_end() == id, "{some}");
    ensure!(some.stderr.contains("node nothing not found"), "{some}");
    Ok(())
}

fn pretty(cluster: &Cluster) -> Result<()> {
    let text = said(cluster, "node inspect --pretty self")?;
    let ip = cluster.host(1).ip();
    // The columns between key and value aside.
    let shown: Vec<_> =
        text.lines().map(|line| line.split_once(':').map_or((line.trim(), ""), |(key, value)| (key.trim(), value.trim()))).collect();
    for line in [
        ("ID", node_of(cluster, 1)?.as_str()),
        ("Hostname", "h1"),
        ("Status", ""),
        ("State", "Ready"),
        ("Availability", "Active"),
        ("Address", &ip.to_string()),
        ("Manager Status", ""),
        ("Address", &format!("{ip}:2377")),
        ("Raft Status", "Reachable"),
        ("Leader", "Yes"),
        ("Platform", ""),
        ("Operating System", "linux"),
        ("Resources", ""),
        ("Plugins", ""),
        ("Engine Version", &engine_version(cluster, 1)?),
        ("TLS Info", ""),
        ("-----BEGIN CERTIFICATE-----", ""),
    ] {
        ensure!(shown.contains(&line), "{line:?} is missing:\n{text}");
    }
    let worker = said(cluster, "node inspect --pretty h2")?;
    ensure!(!worker.contains("Manager Status:"), "{worker}");
    Ok(())
}

fn labels(cluster: &Cluster) -> Result<()> {
    let update = |flags: &str| shows(cluster, &format!("node update {flags} h2"), &["h2"]);
    let are = |labels: Value| fields(&cluster.node(2)?, &json!({"/Spec/Labels": labels}));
    update("--label-add zone=east --label-add disk=ssd --label-add bare")?;
    are(json!({"zone": "east", "disk": "ssd", "bare": ""}))?;
    let pretty = said(cluster, "node inspect --pretty h2")?;
    ensure!(pretty.contains("Labels:\n - bare\n - disk=ssd\n - zone=east\n"), "{pretty}");
    for (filter, wanted) in [("zone=east", &["h2"][..]), ("zone", &["h2"]), ("zone=west", &[])] {
        shows(cluster, &format!("node ls --format {{{{.Hostname}}}} --filter node.label={filter}"), wanted)?;
    }
    update("--label-add zone=west --label-rm bare")?;
    are(json!({"zone": "west", "disk": "ssd"}))?;
    let missing = swarm(cluster, "node update --label-rm bare h2")?;
    says(&missing, 1, "key bare doesn't exist in node's labels")?;
    update("--label-rm zone --label-rm disk")?;
    are(json!({}))
}

fn refused_updates(cluster: &Cluster) -> Result<()> {
    let before = cluster.node(2)?;
    fails(cluster, "node update --availability gone h2", 1, "invalid Availability: \"gone\"")?;
    fails(cluster, "node update --role king h2", 1, "invalid Role: \"king\"")?;
    fails(cluster, "node update --availability drain nothing", 1, "node nothing not found")?;
    ensure!(cluster.node(2)?["Spec"] == before["Spec"]);
    let update = Request::post(&format!("/nodes/{}/update", node_of(cluster, 2)?), &before["Spec"]);
    let answer = cluster.api(1, &update.clone().query("version", "1"))?;
    answer.refused_with(500, "update out of sequence")?;
    let answer = cluster.api(1, &update.query("version", "x"))?;
    answer.refused_with(400, "invalid node version 'x'")
}

fn set_availability(cluster: &Cluster, node: &str, word: &str) -> Result<()> {
    shows(cluster, &format!("node update --availability {word} {node}"), &[node])
}

/// Checks that no task of a service runs on a node.
fn avoids(cluster: &Cluster, name: &str, node: &str) -> Result<()> {
    let found = spread(cluster, name)?;
    ensure!(!found.contains_key(node), "{name} is on {found:?}");
    Ok(())
}

fn drained_node_empties(cluster: &Cluster) -> Result<()> {
    create(cluster, &format!("--name moves --replicas 6 {SLEEP}"))?;
    create(cluster, &format!("--name every --mode global {SLEEP}"))?;
    cluster.wait_running("moves", 6, SOON)?;
    cluster.wait_running("every", 3, SOON)?;
    let start = Instant::now();
    set_availability(cluster, "h3", "drain")?;
    cluster.wait_running("every", 2, SOON)?;
    cluster.until("all tasks elsewhere", SOON, || {
        avoids(cluster, "moves", "h3")?;
        cluster.wait_running("moves", 6, Duration::ZERO)
    })?;
    let took = start.elapsed();
    println!("a drained node is empty after {took:?}");
    // Shorter than the restart delay would make it.
    ensure!(took < Duration::from_secs(5), "it took {took:?}");
    for name in ["moves", "every"] {
        let containers = cluster.containers(name)?;
        ensure!(containers.iter().all(|(host, _)| *host != 3), "{name}: {containers:?}");
    }
    shows(cluster, "service ls --format {{.Replicas}} --filter name=every", &["2/2"])?;
    shows(cluster, "node ls --format '{{.Status}} {{.Availability}}' --filter name=h3", &["Ready Drain"])?;
    create(cluster, &format!("--name there --constraint node.hostname==h3 {SLEEP}"))?;
    let why = "no suitable node (scheduling constraints not satisfied on 2 nodes; 1 node not available for new tasks)";
    waits_because(cluster, "there", 1, why)?;

    // Active again it gets what has waited for it and global tasks; nothing moves back, but new ones come.
    set_availability(cluster, "h3", "active")?;
    ensure!(live(cluster, "there")?.host == 3);
    cluster.wait_running("every", 3, SOON)?;
    avoids(cluster, "moves", "h3")?;
    said(cluster, "service scale --detach moves=8")?;
    cluster.wait_running("moves", 8, SOON)?;
    let found = spread(cluster, "moves")?;
    ensure!(found.get("h3") == Some(&2), "the empty node should get both: {found:?}");
    remove(cluster, &["moves", "every", "there"])
}

fn paused_node_gets_nothing_new(cluster: &Cluster) -> Result<()> {
    create(cluster, &format!("--name stays --replicas 3 {SLEEP}"))?;
    create(cluster, &format!("--name every --mode global {SLEEP}"))?;
    let before = texts_at(&cluster.wait_running("stays", 3, SOON)?, "/ID");
    let every = texts_at(&cluster.wait_running("every", 3, SOON)?, "/ID");
    set_availability(cluster, "h2", "pause")?;
    said(cluster, "service scale --detach stays=6")?;
    let after = texts_at(&cluster.wait_running("stays", 6, SOON)?, "/ID");
    ensure!(after.is_superset(&before), "{}", task_lines(cluster, "stays")?);
    ensure!(spread(cluster, "stays")?.get("h2") == Some(&1));
    ensure!(texts_at(&cluster.running_tasks("every")?, "/ID") == every);
    create(cluster, &format!("--name all --mode global {SLEEP}"))?;
    cluster.wait_running("all", 2, SOON)?;
    avoids(cluster, "all", "h2")?;
    set_availability(cluster, "h2", "active")?;
    cluster.wait_running("all", 3, SOON)?;
    remove(cluster, &["stays", "every", "all"])
}

fn tasks_of_nodes(cluster: &Cluster) -> Result<()> {
    create(cluster, &format!("--name mine --constraint node.hostname==h2 --replicas 2 {SLEEP}"))?;
    create(cluster, &format!("--name yours --constraint node.hostname==h1 {SLEEP}"))?;
    cluster.wait_running("mine", 2, SOON)?;
    cluster.wait_running("yours", 1, SOON)?;
    for (words, wanted) in [
        ("h2", &["mine.1 h2 Running", "mine.2 h2 Running"][..]),
        ("", &["yours.1 h1 Running"]),
        ("self h2", &["mine.1 h2 Running", "mine.2 h2 Running", "yours.1 h1 Running"]),
        ("--filter name=mine.2 h2", &["mine.2 h2 Running"]),
        ("h3", &[]),
    ] {
        let format = "{{.Name}} {{.Node}} {{.DesiredState}}";
        shows(cluster, &format!("node ps --format '{format}' {words}"), wanted)?;
    }
    let table = lines(cluster, "node ps h2")?;
    let wanted = ["ID", "NAME", "IMAGE", "NODE", "DESIRED STATE", "CURRENT STATE", "ERROR", "PORTS"];
    ensure!(headings(&table) == wanted && table.len() == 3, "{table:?}");
    fails(cluster, "node ps nothing", 1, "node nothing not found")?;
    remove(cluster, &["mine", "yours"])
}

fn refused_removals(cluster: &Cluster) -> Result<()> {
    let refused = |why: &str| format!("Error response from daemon: rpc error: code = FailedPrecondition desc = {why}");
    let id = node_of(cluster, 3)?;
    let why = format!("node {id} is not down and can't be removed");
    says(&swarm(cluster, "node rm h3")?, 1, &refused(&why))?;
    let id = node_of(cluster, 1)?;
    let why = format!("node {id} is a cluster manager and is a member of the raft cluster. It must be demoted to worker before removal");
    says(&swarm(cluster, "node rm --force h1")?, 1, &refused(&why))?;
    fails(cluster, "node rm nothing", 1, "node nothing not found")?;
    ensure!(cluster.nodes()?.len() == 3);
    Ok(())
}

/// A node that leaves by itself is down at once, and can be removed then.
fn node_that_left_is_removed(cluster: &Cluster) -> Result<()> {
    create(cluster, &format!("--name kept --replicas 3 {SLEEP}"))?;
    cluster.wait_running("kept", 3, SOON)?;
    let start = Instant::now();
    prints(cluster.swarm(3, &["leave"])?, "Node left the swarm.")?;
    cluster.until("a node that is down", SOON, || fields(&cluster.node(3)?, &json!({"/Status/State": "down"})))?;
    println!("a node that left is down after {:?}", start.elapsed());
    cluster.wait_running("kept", 3, SOON)?;
    shows(cluster, "node rm h3", &["h3"])?;
    ensure!(cluster.nodes()?.len() == 2);
    fails(cluster, "node rm h3", 1, "node h3 not found")?;
    remove(cluster, &["kept"])
}

fn ready_node_is_removed_by_force(cluster: &Cluster) -> Result<()> {
    create(cluster, &format!("--name flees --replicas 4 {SLEEP}"))?;
    cluster.wait_running("flees", 4, SOON)?;
    shows(cluster, "node rm --force h2", &["h2"])?;
    cluster.until("all tasks on the node that is left", SOON, || {
        let found = spread(cluster, "flees")?;
        ensure!(found.get("h1") == Some(&4) && found.len() == 1, "{found:?}");
        Ok(())
    })?;
    ensure!(cluster.nodes()?.len() == 1);
    update(cluster, "flees", "--label-add still=works")?;
    fields(&service(cluster, "flees")?, &json!({"/Spec/Labels/still": "works"}))?;
    // The removed node keeps its containers until it leaves, which needs no manager.
    prints(cluster.swarm(2, &["leave"])?, "Node left the swarm.")?;
    cluster.until("no container on the node that left", SOON, || {
        let containers = cluster.containers("flees")?;
        ensure!(containers.iter().all(|(host, _)| *host != 2), "{containers:?}");
        Ok(())
    })?;
    shows(cluster, "service rm flees", &["flees"])?;
    gone(cluster, &["flees"], SOON)
}
