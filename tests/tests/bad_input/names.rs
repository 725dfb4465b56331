//! Names, ids and filters that fit nothing, several, or are none.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use swarm_testkit::{AgentOptions, AgentProc, Request, Role, SLEEP};
use swarm_tests::{LATER, create_service, daemon_says, message_of, node_id, prints, refused, says, service_spec, text_at};

use crate::Scene;

pub(crate) fn names_that_match_nothing(scene: &Scene) -> Result<()> {
    let cluster = &scene.cluster;
    scene.nothing_changes(|| {
        for kind in ["service", "node", "task"] {
            let message = format!("{kind} nothing not found");
            refused(&scene.get(&format!("/{kind}s/nothing"))?, 404, &message)?;
            if kind != "task" {
                let removed = cluster.api(1, &Request::new("DELETE", &format!("/{kind}s/nothing")))?;
                refused(&removed, 404, &message)?;
                let spec = &scene.get(if kind == "node" { "/nodes/h2" } else { "/services/web" })?.json()?["Spec"];
                let updated = scene.post(&format!("/{kind}s/nothing/update?version=1"), spec)?;
                refused(&updated, 404, &message)?;
            }
        }
        // Longer than an id, empty, or with characters that are in none.
        for odd in ["%2e%2e", "web%20", "a%2Fb", &"a".repeat(5000)] {
            let answer = scene.get(&format!("/services/{odd}"))?;
            ensure!(answer.status == 404 && !message_of(&answer)?.is_empty(), "{odd}: {answer}");
        }
        for args in [&["node", "update", "--availability", "drain", "nothing"][..], &["node", "rm", "nothing"]] {
            daemon_says(&cluster.swarm(1, args)?, "node nothing not found")?;
        }
        daemon_says(&cluster.swarm(1, &["service", "rm", "nothing"])?, "service nothing not found")?;
        daemon_says(&cluster.swarm(1, &["service", "update", "--force", "nothing"])?, "service nothing not found")?;
        says(&cluster.swarm(1, &["service", "ps", "nothing"])?, 1, "no such service: nothing")?;
        let output = cluster.swarm(1, &["service", "scale", "nothing=3"])?;
        ensure!(output.code() == Some(1) && output.stdout.is_empty(), "{output}");
        output.fails_with("service nothing not found")?;
        for (args, message) in
            [(["service", "inspect", "nothing"], "no such service: nothing"), (["node", "inspect", "nothing"], "node nothing not found")]
        {
            let output = cluster.swarm(1, &args)?;
            ensure!(output.code() == Some(1) && output.stdout == "[]\n", "{output}");
            output.fails_with(message)?;
        }
        Ok(())
    })
}

pub(crate) fn names_that_match_several(scene: &Scene) -> Result<()> {
    let cluster = &scene.cluster;
    // Services until two ids begin alike: sixteen first characters are the most there can be before that.
    let mut by_first: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let web = scene.web_id()?;
    by_first.insert(web[..1].to_owned(), vec![web]);
    let mut number = 0;
    let (letter, same) = loop {
        if let Some(found) = by_first.iter().find(|(_, ids)| ids.len() > 1) {
            break found;
        }
        number += 1;
        ensure!(number < 37, "ids do not begin alike: {by_first:?}");
        let id = create_service(cluster, 1, &service_spec(&format!("many-{number}"), SLEEP, 0))?;
        by_first.entry(id[..1].to_owned()).or_default().push(id);
    };
    scene.nothing_changes(|| {
        let message = format!("service {letter} is ambiguous (2 matches found)");
        refused(&scene.get(&format!("/services/{letter}"))?, 400, &message)?;
        let removed = cluster.api(1, &Request::new("DELETE", &format!("/services/{letter}")))?;
        refused(&removed, 400, &message)?;
        daemon_says(&cluster.swarm(1, &["service", "rm", letter])?, &message)?;
        let output = cluster.swarm(1, &["service", "ps", letter])?;
        output.fails_with(&format!("multiple services found with provided prefix: {letter}"))
    })?;
    // A longer prefix tells them apart, and a name comes before any prefix.
    let longer = (1..=25).map(|end| &same[0][..end]).find(|prefix| !same[1].starts_with(prefix));
    let found = scene.get(&format!("/services/{}", longer.context("two equal ids")?))?.json()?;
    ensure!(found["ID"] == same[0], "{found}");
    let named = create_service(cluster, 1, &service_spec(letter, SLEEP, 0))?;
    let found = scene.get(&format!("/services/{letter}"))?.json()?;
    ensure!(found["ID"] == named, "{found}");
    prints(cluster.swarm(1, &["service", "rm", letter])?, letter)?;

    // Two nodes of one hostname.
    let twin = AgentOptions { name: "twin".to_owned(), hostname: Some("h2".to_owned()), ..AgentOptions::default() };
    let twin = AgentProc::start(cluster.host(2), twin)?;
    let token = cluster.join_token(Role::Worker)?.1;
    twin.swarm(&["join", "--token", &token, &format!("{}:2377", cluster.host(1).ip())])?.ok()?;
    cluster.wait_ready(1, 2)?;
    scene.nothing_changes(|| {
        let message = "node h2 is ambiguous (2 matches found)";
        refused(&scene.get("/nodes/h2")?, 400, message)?;
        for args in [&["node", "update", "--availability", "drain", "h2"][..], &["node", "rm", "--force", "h2"]] {
            daemon_says(&cluster.swarm(1, args)?, message)?;
        }
        cluster.swarm(1, &["node", "inspect", "h2"])?.fails_with(message)
    })?;
    let id = node_id(&twin)?;
    twin.swarm(&["leave"])?.ok()?;
    cluster.until("the twin down", LATER, || {
        let node = scene.get(&format!("/nodes/{id}"))?.json()?;
        ensure!(node["Status"]["State"] == "down", "{node}");
        Ok(())
    })?;
    prints(cluster.swarm(1, &["node", "rm", &id])?, &id)?;
    let node = scene.get("/nodes/h2")?.json()?;
    ensure!(text_at(&node, "/ID") == Some(node_id(cluster.agent(2))?), "{node}");
    twin.stop()
}

pub(crate) fn bad_filters_are_refused(scene: &Scene) -> Result<()> {
    let with = |path: &str, filters: &str| scene.cluster.api(1, &Request::get(path).query("filters", filters));
    for path in ["/nodes", "/services", "/tasks"] {
        refused(&with(path, &json!({"colour": {"red": true}}).to_string())?, 400, "invalid filter 'colour'")?;
        for malformed in ["x", "[]", "{", "{\"id\": 5}"] {
            let answer = with(path, malformed)?;
            ensure!(answer.status == 400 && message_of(&answer)?.contains("filter"), "{malformed}: {answer}");
        }
        // Both forms that clients send.
        for known in ["{}", "", "{\"id\":{\"x\":true}}", "{\"id\":[\"x\"]}"] {
            ensure!(with(path, known)?.status == 200, "{known}");
        }
    }
    for (path, filters, word) in [
        ("/nodes", json!({"role": ["king"]}), "king"),
        ("/nodes", json!({"membership": ["half"]}), "half"),
        ("/tasks", json!({"desired-state": ["asleep"]}), "asleep"),
    ] {
        let answer = with(path, &filters.to_string())?;
        ensure!(answer.status == 400 && message_of(&answer)?.contains(word), "{filters}: {answer}");
    }
    let output = scene.cluster.swarm(1, &["node", "ls", "--filter", "role"])?;
    ensure!(output.code() == Some(125), "{output}");
    output.fails_with("bad format of filter (expected name=value)")?;
    daemon_says(&scene.cluster.swarm(1, &["service", "ls", "--filter", "colour=red"])?, "invalid filter 'colour'")
}
