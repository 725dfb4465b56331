//! `docker node …`.

use anyhow::{Result, ensure};
use serde_json::json;
use swarm_tests::{daemon_says, node_id, prints, says};

use crate::{Scene, table};

pub(crate) fn nodes_are_shown(scene: &Scene) -> Result<()> {
    let cluster = &scene.cluster;
    let (manager, worker) = (node_id(cluster.agent(1))?, node_id(cluster.agent(2))?);
    let engine = cluster.host(1).docker(&["version", "--format", "{{.Server.Version}}"])?.ok()?;

    let shown = scene.docker(1, &["node", "ls"])?.ok()?;
    let own = format!("{manager} *");
    let expected = [
        vec!["ID", "HOSTNAME", "STATUS", "AVAILABILITY", "MANAGER STATUS", "ENGINE VERSION"],
        vec![&own, "h1", "Ready", "Active", "Leader", &engine],
        vec![&worker, "h2", "Ready", "Active", &engine],
    ];
    ensure!(table(&shown) == expected, "{shown}");
    for (filter, found) in [
        ("role=worker", &worker),
        ("role=manager", &manager),
        ("name=h2", &worker),
        ("membership=accepted", &format!("{manager}\n{worker}")),
        (&format!("id={}", &worker[..12]), &worker),
        ("name=nobody", &String::new()),
    ] {
        prints(scene.docker(1, &["node", "ls", "-q", "--filter", filter])?, found)?;
    }
    let refused = scene.docker(1, &["node", "ls", "--filter", "colour=red"])?;
    ensure!(refused.code() == Some(1), "{refused}");
    refused.fails_with("Error response from daemon: invalid filter 'colour'")?;
    prints(scene.docker(1, &["node", "ls", "--format", "{{.Self}} {{.Hostname}} {{.TLSStatus}}"])?, "true h1 Ready\nfalse h2 Ready")?;

    for name in ["self", "h1", &manager, &manager[..20]] {
        let inspected = scene.docker(1, &["node", "inspect", name])?.json()?;
        ensure!(inspected[0]["ID"] == manager && inspected.as_array().is_some_and(|all| all.len() == 1), "{inspected}");
    }
    let pretty = scene.docker(1, &["node", "inspect", "--pretty", "h2"])?.ok()?;
    for line in ["Hostname:", "Status:", " State:", " Availability:", "Platform:", "Resources:", "Plugins:", "TLS Info:"] {
        ensure!(pretty.lines().any(|shown| shown.starts_with(line)), "{line:?} is missing:\n{pretty}");
    }
    ensure!(pretty.contains("-----BEGIN CERTIFICATE-----"), "{pretty}");
    // The list is printed even when it is empty.
    let missing = scene.docker(1, &["node", "inspect", "nobody"])?;
    ensure!(missing.stdout.trim() == "[]", "{missing}");
    scene.finds_no(&missing, "node", "nobody")?;
    Ok(())
}

pub(crate) fn nodes_are_changed(scene: &Scene) -> Result<()> {
    let availability = |scene: &Scene| -> Result<String> {
        scene.docker(1, &["node", "ls", "--filter", "name=h2", "--format", "{{.Availability}}"])?.ok()
    };
    for (wanted, shown) in [("drain", "Drain"), ("pause", "Pause"), ("active", "Active")] {
        prints(scene.docker(1, &["node", "update", "--availability", wanted, "h2"])?, "h2")?;
        ensure!(availability(scene)? == shown, "not {shown}");
    }
    prints(scene.docker(1, &["node", "update", "--label-add", "disk=ssd", "--label-add", "zone", "h2"])?, "h2")?;
    let node = scene.cluster.node(2)?;
    ensure!(node["Spec"]["Labels"] == json!({"disk": "ssd", "zone": ""}), "{node}");
    prints(scene.docker(1, &["node", "ls", "-q", "--filter", "node.label=disk=ssd"])?, &node_id(scene.cluster.agent(2))?)?;
    prints(scene.docker(1, &["node", "update", "--label-rm", "disk", "--label-rm", "zone", "h2"])?, "h2")?;
    ensure!(scene.cluster.node(2)?["Spec"]["Labels"] == json!({}));
    let output = scene.docker(1, &["node", "update", "--label-rm", "disk", "h2"])?;
    says(&output, 1, "key disk doesn't exist in node's labels")?;
    daemon_says(&scene.docker(1, &["node", "update", "--availability", "away", "h2"])?, "invalid Availability: \"away\"")
}
