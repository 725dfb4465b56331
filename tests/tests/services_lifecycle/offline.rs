//! `DOCKER_SERVICE_PREFER_OFFLINE_IMAGE` keeps the agent from asking a registry for what the host has.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Result, ensure};
use swarm_testkit::{AgentOptions, AgentProc, BUSYBOX, Bed, Host, until};
use swarm_tests::SOON;
use swarm_tests::services::words;

/// In a registry on the host itself, which engines talk to without TLS.
const IMAGE: &str = "127.0.0.1:5000/offline:1";

/// A web server on the host's loopback address that has nothing and writes each request into its log: a registry that is
/// none.
struct FalseRegistry {
    server: Child,
    log: PathBuf,
}

impl FalseRegistry {
    fn start(host: &Host) -> Result<Self> {
        let log = host.dir().join("registry.requests");
        let nothing = host.dir().join("nothing");
        fs::create_dir(&nothing)?;
        let server = host
            .command("busybox")
            .args(["httpd", "-f", "-vv", "-p", "127.0.0.1:5000", "-h"])
            .arg(&nothing)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()?;
        until("the false registry", SOON, || host.connect(([127, 0, 0, 1], 5000), Duration::from_secs(1)))?;
        Ok(Self { server, log })
    }

    fn was_asked(&self) -> Result<bool> {
        Ok(fs::read_to_string(&self.log)?.contains("/v2/"))
    }
}

impl Drop for FalseRegistry {
    fn drop(&mut self) {
        // It ends with the bed in any case.
        drop(self.server.kill());
        drop(self.server.wait());
    }
}

fn said(agent: &AgentProc, line: &str) -> Result<String> {
    let words = words(line);
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    agent.swarm(&words)?.ok()
}

#[test]
fn offline_images_are_preferred_when_told_so() -> Result<()> {
    let bed = Bed::up(2)?;
    let env = vec![("DOCKER_SERVICE_PREFER_OFFLINE_IMAGE".to_owned(), "1".to_owned())];
    let told = AgentOptions { env, ..AgentOptions::default() };
    for (number, options, asks) in [(1, told, false), (2, AgentOptions::default(), true)] {
        let host = bed.host(number);
        let agent = AgentProc::start(host, options)?;
        host.docker(&["tag", BUSYBOX, IMAGE])?.ok()?;
        let registry = FalseRegistry::start(host)?;
        said(&agent, &format!("init --advertise-addr {}", host.ip()))?;
        let create = "service create --detach --no-resolve-image";
        said(&agent, &format!("{create} --name off {IMAGE} sleep 1000"))?;
        let ps = "service ps --no-trunc --format '{{.CurrentState}} {{.Error}}'";
        until("a running task", SOON, || {
            let states = said(&agent, &format!("{ps} off"))?;
            ensure!(states.starts_with("Running"), "{states}");
            Ok(())
        })?;
        let log = fs::read_to_string(&registry.log)?;
        ensure!(registry.was_asked()? == asks, "h{number}: {log}");

        // What is nowhere is asked for in any case, cannot run, and says so.
        said(&agent, &format!("{create} --name nowhere 127.0.0.1:5000/no:1"))?;
        until("the reason", SOON, || {
            let states = said(&agent, &format!("{ps} nowhere"))?;
            let why = "No such image: 127.0.0.1:5000/no:1";
            ensure!(states.contains("Rejected") && states.contains(why), "{states}");
            Ok(())
        })?;
        ensure!(registry.was_asked()?);
    }
    Ok(())
}
