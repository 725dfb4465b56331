//! Join tokens: the right ones, and every kind of wrong one.

use std::thread;

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::{Value, json};
use swarm_pki::JoinToken;
use swarm_testkit::{Cluster, Request, Response, Role};
use swarm_tests::{SOON, daemon_says, message_of, node_id, prints, refused, says, swarm_info, text};

use crate::Scene;

pub(crate) fn join_token_prints_what_docker_prints(scene: &Scene) -> Result<()> {
    let cluster = &scene.cluster;
    for (role, word) in [(Role::Worker, "worker"), (Role::Manager, "manager")] {
        let (_, token) = cluster.join_token(role)?;
        let how = how_to_join(word, &token, &scene.remote(1));
        prints(cluster.swarm(1, &["join-token", word])?, &how)?;
        prints(cluster.swarm(1, &["join-token", "-q", word])?, &token)?;
        let parts: Vec<_> = token.split('-').map(str::len).collect();
        ensure!(token.starts_with("SWMTKN-1-") && parts == [6, 1, 50, 25], "{token}");
    }
    let (worker, manager) = (cluster.join_token(Role::Worker)?.1, cluster.join_token(Role::Manager)?.1);
    ensure!(worker[..60] == manager[..60] && worker != manager, "{worker} {manager}");
    says(&cluster.swarm(1, &["join-token", "king"])?, 1, "unknown role king")?;
    cluster.swarm(1, &["join-token"])?.fails_with("swarm: 'swarm join-token' requires 1 argument")
}

/// The third host is the first of another swarm.
pub(crate) fn a_foreign_swarm_is_made(scene: &Scene) -> Result<()> {
    let address = format!("{}:2377", scene.cluster.host(3).ip());
    scene.cluster.swarm(3, &["init", "--advertise-addr", &address])?.ok()?;
    Ok(())
}

pub(crate) fn a_refused_join_leaves_nothing(scene: &Scene) -> Result<()> {
    let cluster = &scene.cluster;
    let (_, token) = cluster.join_token(Role::Worker)?;
    let foreign = swarm_token(cluster, 3)?;
    let invalid = "invalid join token";
    let mut cases = vec![
        (String::new(), text::TOKEN.to_owned()),
        (with_other_end(&token), text::TOKEN.to_owned()),
        (foreign.clone(), mismatch(&foreign)?),
        (with_other_digest(&token), mismatch(&with_other_digest(&token))?),
    ];
    for malformed in [
        "x".to_owned(),
        "SWMTKN-1-abc-def".to_owned(),
        // A key, a token of the time before the first version, and one of a cluster that insists on FIPS.
        "SWMKEY-1-7c37Cc8654o6p38HnroywCi19pllOnGtbdZEgtKxZu8".to_owned(),
        token.replacen("SWMTKN-1-", "SWMTKN-0-", 1),
        token.replacen("SWMTKN-1-", "SWMTKN-2-1-", 1),
        token.to_uppercase(),
        token[..token.len() - 1].to_owned(),
        format!("{token}0"),
        format!("{token}-0"),
        token.replace('-', "_"),
    ] {
        cases.push((malformed, invalid.to_owned()));
    }
    for (wrong, message) in cases {
        let answer = join(scene, 2, &scene.remote(1), &wrong)?;
        let checked = refused(&answer, 400, &message).and_then(|()| nothing_is_left(scene));
        checked.with_context(|| format!("token {wrong:?}"))?;
    }
    daemon_says(&cluster.swarm(2, &["join", "--token", &foreign, &scene.remote(1)])?, &mismatch(&foreign)?)?;
    nothing_is_left(scene)?;

    // Where nobody listens, and where something else does.
    let host = cluster.host(3);
    host.sh("busybox httpd -p 8099 -h /tmp")?.ok()?;
    for (port, reason) in [(2399, "connection refused"), (8099, "")] {
        let answer = join(scene, 2, &format!("{}:{port}", host.ip()), &token)?;
        let message = message_of(&answer)?;
        ensure!(answer.status >= 500 && message.contains(reason), "{answer}");
        nothing_is_left(scene).with_context(|| format!("port {port}"))?;
    }
    // Who changes his mind meanwhile need not wait.
    let nobody = format!("{}:2399", host.ip());
    thread::scope(|scope| {
        let joined = scope.spawn(|| join(scene, 2, &nobody, &token));
        cluster.until("a join under way", SOON, || {
            let info = swarm_info(cluster.agent(2))?;
            ensure!(info["LocalNodeState"] == "pending", "{info}");
            Ok(())
        })?;
        prints(cluster.swarm(2, &["leave"])?, "Node left the swarm.")?;
        let joined = joined.join().map_err(|_| anyhow!("the joining thread panicked"))??;
        ensure!(joined.status == 503 && message_of(&joined)?.contains("told to leave"), "{joined}");
        nothing_is_left(scene)
    })?;
    let answer = join(scene, 2, "", &token)?;
    refused(&answer, 400, "invalid remoteAddr \"\": invalid empty address")?;
    cluster.swarm(2, &["join", "--token", &token])?.fails_with("swarm: 'swarm join' requires 1 argument")?;
    nothing_is_left(scene)
}

pub(crate) fn a_rotated_token_is_refused_and_the_new_one_works(scene: &Scene) -> Result<()> {
    let cluster = &scene.cluster;
    let (_, old) = cluster.join_token(Role::Worker)?;
    let (_, manager) = cluster.join_token(Role::Manager)?;
    let output = cluster.swarm(1, &["join-token", "--rotate", "worker"])?;
    let (_, new) = cluster.join_token(Role::Worker)?;
    let how = how_to_join("worker", &new, &scene.remote(1));
    prints(output, &format!("Successfully rotated worker join token.\n\n{how}"))?;
    ensure!(new != old && new[..60] == old[..60], "{old} {new}");
    ensure!(cluster.join_token(Role::Manager)?.1 == manager, "the manager token changed too");

    refused(&join(scene, 2, &scene.remote(1), &old)?, 400, text::TOKEN)?;
    nothing_is_left(scene)?;
    let output = cluster.swarm(2, &["join", "--token", &new, &scene.remote(1)])?;
    prints(output, "This node joined a swarm as a worker.")?;
    cluster.wait_ready(1, 1)?;

    // What a worker knows of its swarm.
    let info = swarm_info(cluster.agent(2))?;
    let manager = json!([{"NodeID": node_id(cluster.agent(1))?, "Addr": scene.remote(1)}]);
    ensure!(
        info["LocalNodeState"] == "active"
            && info["ControlAvailable"] == false
            && info["NodeID"] == cluster.node(2)?["ID"]
            && info["NodeAddr"] == cluster.host(2).ip().to_string()
            && info["RemoteManagers"] == manager
            && info.get("Cluster").is_none_or(Value::is_null),
        "{info}"
    );
    let ping = cluster.api(2, &Request::get("/_ping"))?;
    ensure!(ping.header("swarm") == Some("active/worker"), "{:?}", ping.headers);
    let node = cluster.node(2)?;
    ensure!(node["Spec"]["Role"] == "worker" && node.get("ManagerStatus").is_none_or(Value::is_null), "{node}");
    ensure!(node["Status"]["Addr"] == cluster.host(2).ip().to_string(), "{node}");
    Ok(())
}

pub(crate) fn a_member_cannot_get_in_twice(scene: &Scene) -> Result<()> {
    let cluster = &scene.cluster;
    let (_, token) = cluster.join_token(Role::Manager)?;
    for number in [1, 2] {
        daemon_says(&cluster.swarm(number, &["init"])?, text::ALREADY)?;
        daemon_says(&cluster.swarm(number, &["join", "--token", &token, &scene.remote(1)])?, text::ALREADY)?;
        refused(&join(scene, number, &scene.remote(1), &token)?, 503, text::ALREADY)?;
    }
    daemon_says(&cluster.swarm(2, &["node", "ls"])?, text::WORKER)?;
    daemon_says(&cluster.swarm(2, &["join-token", "worker"])?, text::WORKER)?;
    cluster.wait_ready(1, 1)
}

/// The third host gives up its own swarm and becomes a manager of the first one's, by a token that was not rotated.
pub(crate) fn of_two_joins_at_once_one_wins(scene: &Scene) -> Result<()> {
    let cluster = &scene.cluster;
    prints(cluster.swarm(3, &["leave", "--force"])?, "Node left the swarm.")?;
    scene.is_outside(cluster.agent(3))?;
    let (_, token) = cluster.join_token(Role::Manager)?;
    let remote = scene.remote(1);
    let answers: Vec<Response> = thread::scope(|scope| {
        let both = [(); 2].map(|()| scope.spawn(|| join(scene, 3, &remote, &token)));
        both.into_iter().map(|one| one.join().map_err(|_| anyhow!("a joining thread panicked"))?).collect::<Result<_>>()
    })?;
    let (won, lost): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    ensure!(won.len() == 1, "{answers:?}");
    refused(lost[0], 503, text::ALREADY)?;
    cluster.wait_ready(2, 1)?;
    let info = swarm_info(cluster.agent(3))?;
    ensure!(info["ControlAvailable"] == true && info["Nodes"] == 3 && info["Managers"] == 2, "{info}");
    let warnings = info["Warnings"].to_string();
    ensure!(warnings.contains("two-manager configuration"), "{info}");
    Ok(())
}

fn how_to_join(word: &str, token: &str, address: &str) -> String {
    format!("To add a {word} to this swarm, run the following command:\n\n    swarm join --token {token} {address}\n\n")
}

fn join(scene: &Scene, number: u8, remote: &str, token: &str) -> Result<Response> {
    let request = json!({"ListenAddr": "0.0.0.0:2377", "RemoteAddrs": [remote], "JoinToken": token});
    scene.cluster.api(number, &Request::post("/swarm/join", &request))
}

/// The second host is in no swarm, and the first one's swarm knows of no second node.
fn nothing_is_left(scene: &Scene) -> Result<()> {
    scene.is_outside(scene.cluster.agent(2))?;
    let nodes = scene.cluster.api(1, &Request::get("/nodes"))?.json()?;
    ensure!(nodes.as_array().is_some_and(|nodes| nodes.len() == 1), "{nodes}");
    Ok(())
}

/// The worker token of the swarm of one host.
fn swarm_token(cluster: &Cluster, number: u8) -> Result<String> {
    let swarm = cluster.until("a swarm", SOON, || cluster.api(number, &Request::get("/swarm"))?.json())?;
    swarm_tests::text_at(&swarm, "/JoinTokens/Worker").context("no token")
}

fn mismatch(token: &str) -> Result<String> {
    let token: JoinToken = token.parse()?;
    Ok(format!("remote CA does not match fingerprint. Expected: {}", token.root_digest().hex()))
}

/// A token with another secret.
fn with_other_end(token: &str) -> String {
    let (start, last) = token.split_at(token.len() - 1);
    format!("{start}{}", if last == "0" { "1" } else { "0" })
}

/// A token for another root certificate.
fn with_other_digest(token: &str) -> String {
    let (start, end) = token.split_at("SWMTKN-1-".len() + 49);
    format!("{start}{}{}", if end.starts_with('0') { "1" } else { "0" }, &end[1..])
}
