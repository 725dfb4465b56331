//! Bodies that are no JSON, JSON of other types, and too much of it.

use std::fs;

use anyhow::{Context, Result, ensure};
use swarm_testkit::{AgentOptions, AgentProc, Process, Request, Response};
use swarm_tests::{message_of, refused, swarm_info, text};

use crate::Scene;

/// Paths that read a body.
const PATHS: [&str; 6] = [
    "/services/create",
    "/services/web/update?version=1",
    "/nodes/h2/update?version=1",
    "/swarm/update?version=1",
    "/swarm/init",
    "/swarm/join",
];

/// More than any request needs, in bytes.
const HUGE: usize = 100 << 20;
/// How much of a huge body may stay in the memory of a daemon, in KiB.
const GROWTH_KIB_MAX: u64 = 48 << 10;

pub(crate) fn malformed_json_is_refused(scene: &Scene) -> Result<()> {
    let deep = [vec![b'['; 200_000], b"{}".to_vec()].concat();
    let deep_objects = b"{\"a\":".repeat(100_000);
    let cases: [(&str, &[u8]); 9] = [
        ("half an object", b"{\"Name\": "),
        ("a word", b"nonsense"),
        ("white space", b"  \n"),
        ("a list", b"[]"),
        ("a number", b"5"),
        ("a text", b"\"web\""),
        ("no UTF-8", b"{\"Name\": \"\xff\xfe\"}"),
        ("a deep list", &deep),
        ("deep objects", &deep_objects),
    ];
    scene.nothing_changes(|| {
        for path in PATHS {
            for (what, body) in cases {
                // Go takes broken UTF-8 for what it can: the text is the fault then, not the JSON.
                let request = Request::new("POST", path).raw_body("application/json", body.to_vec());
                let answer = scene.cluster.api(1, &request).with_context(|| format!("{what} to {path}"))?;
                let message = message_of(&answer)?;
                ensure!(answer.status == 400 || what == "no UTF-8", "{what} to {path}: {answer}");
                ensure!(answer.status >= 400 && message.len() < 500, "{what} to {path}: {answer}");
            }
            let request = Request::new("POST", path).raw_body("text/plain", b"{}".to_vec());
            let answer = scene.cluster.api(1, &request)?;
            let checked = if path == "/swarm/init" || path == "/swarm/join" {
                // Read whatever it is called, as Docker did before version 23.
                refused(&answer, 503, text::ALREADY)
            } else {
                refused(&answer, 400, "unsupported Content-Type header (text/plain): must be 'application/json'")
            };
            checked.with_context(|| path.to_owned())?;
        }
        Ok(())
    })
}

pub(crate) fn wrong_types_are_named(scene: &Scene) -> Result<()> {
    let container = |rest: &str| format!("{{\"TaskTemplate\": {{\"ContainerSpec\": {{{rest}}}}}}}");
    let cases = [
        ("Name", "{\"Name\": 5}".to_owned()),
        ("Labels", "{\"Labels\": [\"a\"]}".to_owned()),
        ("TaskTemplate", "{\"TaskTemplate\": \"x\"}".to_owned()),
        ("Mode", "{\"Mode\": \"replicated\"}".to_owned()),
        ("Replicas", "{\"Mode\": {\"Replicated\": {\"Replicas\": \"3\"}}}".to_owned()),
        ("Replicas", "{\"Mode\": {\"Replicated\": {\"Replicas\": -1}}}".to_owned()),
        ("Replicas", "{\"Mode\": {\"Replicated\": {\"Replicas\": 1.5}}}".to_owned()),
        ("Replicas", "{\"Mode\": {\"Replicated\": {\"Replicas\": 99999999999999999999999}}}".to_owned()),
        ("TargetPort", "{\"EndpointSpec\": {\"Ports\": [{\"TargetPort\": \"80\"}]}}".to_owned()),
        ("Env", container("\"Env\": \"A=B\"")),
        ("Image", container("\"Image\": {}")),
        ("StopGracePeriod", container("\"StopGracePeriod\": \"10s\"")),
        ("ReadOnly", container("\"ReadOnly\": 1")),
        ("Mounts", container("\"Mounts\": {\"Target\": \"/x\"}")),
    ];
    scene.nothing_changes(|| {
        for (field, body) in &cases {
            for path in ["/services/create", "/services/web/update?version=1"] {
                let request = Request::new("POST", path).raw_body("application/json", body.clone().into_bytes());
                let answer = scene.cluster.api(1, &request)?;
                let message = message_of(&answer)?;
                ensure!(answer.status == 400 && message.contains(field), "{field} should be named for {body}: {answer}");
            }
        }
        for (field, path, body) in [
            ("Labels", "/nodes/h2/update?version=1", "{\"Labels\": 1}"),
            ("HeartbeatPeriod", "/swarm/update?version=1", "{\"Dispatcher\": {\"HeartbeatPeriod\": \"5s\"}}"),
            ("RemoteAddrs", "/swarm/join", "{\"RemoteAddrs\": \"192.0.2.1\"}"),
            ("DataPathPort", "/swarm/init", "{\"DataPathPort\": -1}"),
        ] {
            let request = Request::new("POST", path).raw_body("application/json", body.as_bytes().to_vec());
            let answer = scene.cluster.api(1, &request)?;
            let message = message_of(&answer)?;
            ensure!(answer.status == 400 && message.contains(field), "{field} should be named for {body}: {answer}");
        }
        Ok(())
    })
}

/// A hundred megabytes of good JSON, to a member and to an agent outside any swarm. They answer, and forget it.
pub(crate) fn huge_bodies_are_refused(scene: &Scene) -> Result<()> {
    let mut body = b"{\"Name\": \"".to_vec();
    body.resize(HUGE, b'a');
    body.extend_from_slice(b"\"}");
    let request = |path: &str| Request::new("POST", path).raw_body("application/json", body.clone());
    let is_refused = |answer: &Response| {
        let message = message_of(answer)?;
        ensure!(answer.status == 413 && message.contains("request body") && message.contains("large"), "{} {message}", answer.status);
        Ok(())
    };
    let agent = scene.cluster.agent(1);
    let daemons = [agent.process().context("no agent")?, agent.manager().context("no manager")?];
    let before = daemons.each_ref().map(peak_memory_kib);
    scene.nothing_changes(|| {
        for path in PATHS {
            is_refused(&agent.api(&request(path))?).with_context(|| path.to_owned())?;
        }
        Ok(())
    })?;
    for (daemon, before) in daemons.iter().zip(before) {
        ensure!(daemon.alive(), "{} died", daemon.program());
        let (before, after) = (before?, peak_memory_kib(daemon)?);
        ensure!(after < before + GROWTH_KIB_MAX, "{} grew from {before} to {after} KiB", daemon.program());
    }

    let options = AgentOptions { name: "outsider".to_owned(), ..AgentOptions::default() };
    let outsider = AgentProc::start(scene.cluster.host(2), options)?;
    for path in ["/swarm/init", "/swarm/join"] {
        is_refused(&outsider.api(&request(path))?).with_context(|| path.to_owned())?;
    }
    ensure!(swarm_info(&outsider)?["LocalNodeState"] == "inactive");
    outsider.stop()
}

/// The most memory a process has used so far.
fn peak_memory_kib(process: &Process) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", process.pid))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    let number = line.split_whitespace().next().context("no number")?;
    Ok(number.parse()?)
}
