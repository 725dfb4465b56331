//! The unmodified docker command line at our socket: the one of Debian 12 and, where the machine has it, a newer one.

mod nodes;
mod passed_through;
mod services;
mod streams;
mod swarm;
mod tls;
mod versions;

use std::process::Command;

use anyhow::{Result, anyhow, ensure};
use swarm_testkit::{Cluster, DockerClient, Output, docker_client, run, run_with_input};
use swarm_tests::{Check, check_all};

/// Hosts of which none is in a swarm yet, and a client.
struct Scene {
    cluster: Cluster,
    client: &'static DockerClient,
}

impl Scene {
    /// `None` when the machine has no such client.
    fn up(major: u32, hosts: u8) -> Result<Option<Self>> {
        let Some(client) = docker_client(major) else {
            println!("left out: the machine has no docker client {major}");
            return Ok(None);
        };
        Ok(Some(Self { cluster: Cluster::up(hosts)?, client }))
    }

    fn check(&self, checks: &[Check<Self>]) -> Result<()> {
        check_all(self, checks).map_err(|error| anyhow!("{error:#}\n{}", self.cluster.logs()))
    }

    /// Runs the client on a host.
    fn docker(&self, number: u8, args: &[&str]) -> Result<Output> {
        self.cluster.agent(number).docker_with(self.client, args)
    }

    /// As [`Scene::docker`], with standard input.
    fn docker_with_input(&self, number: u8, args: &[&str], input: &[u8]) -> Result<Output> {
        let mut command = self.cluster.host(number).docker_command(self.client, &self.cluster.agent(number).url());
        command.args(args);
        run_with_input(command, input)
    }

    /// Runs a shell script on a host in which `$DOCKER` is the client.
    fn sh(&self, number: u8, script: &str) -> Result<Output> {
        let mut command = self.shell(number);
        command.args(["-c", script]);
        run(command)
    }

    /// Checks that the client failed because the daemon knows no such object: older clients use words of their own.
    fn finds_no(&self, output: &Output, kind: &str, name: &str) -> Result<()> {
        ensure!(output.code() == Some(1), "{output}");
        if self.client.version.0 <= 20 {
            output.fails_with(&format!("Error: No such {kind}: {name}"))
        } else {
            output.fails_with(&format!("Error response from daemon: {kind} {name} not found"))
        }
    }

    /// Runs the client on a host with a terminal. Both outputs come on standard output, with carriage returns.
    fn terminal(&self, number: u8, args: &str) -> Result<Output> {
        self.sh(number, &format!("script --quiet --return --command \"stty rows 40 cols 150; $DOCKER {args}\" /dev/null"))
    }

    fn shell(&self, number: u8) -> Command {
        let mut command = self.cluster.host(number).command("sh");
        command.env("DOCKER", &self.client.path).env("DOCKER_HOST", self.cluster.agent(number).url());
        command
    }
}

const CLUSTER: &[Check<Scene>] = &[
    ("outside a swarm", swarm::outside_a_swarm),
    ("init, join-token and join", swarm::a_cluster_is_made),
    ("info", swarm::info_has_a_swarm_section),
    ("swarm update", swarm::the_swarm_is_changed),
    ("node ls and inspect", nodes::nodes_are_shown),
    ("node update", nodes::nodes_are_changed),
    ("service create", services::a_service_is_created_with_progress),
    ("service ls, ps and inspect", services::a_service_is_shown),
    ("service update", services::a_service_is_updated_with_progress),
    ("service scale and rm", services::a_service_is_scaled_and_removed),
    ("a global service on a terminal", services::a_terminal_gets_bars),
    ("events", streams::the_clusters_events_are_told),
    ("API versions", versions::cluster_calls_in_every_version),
    ("leave and node rm", swarm::nodes_leave),
];

const ENGINE: &[Check<Scene>] = &[
    ("run and ps", passed_through::containers_run),
    ("exec and attach", streams::exec_and_attach_have_both_directions),
    ("logs -f and events", streams::logs_and_events_flow),
    ("build and cp", passed_through::images_are_built_and_files_copied),
    ("images, volumes and networks", passed_through::other_objects_are_dockerds),
    ("stats", passed_through::stats_are_shown),
    ("TLS", tls::tcp_with_tls_serves_those_with_a_certificate),
    ("the same answers", passed_through::answers_are_those_of_dockerd),
    ("API versions", versions::engine_calls_in_every_version),
    ("refused API versions", versions::others_are_refused),
];

#[test]
fn the_client_of_debian_12_drives_a_cluster() -> Result<()> {
    Scene::up(20, 2)?.map_or(Ok(()), |scene| scene.check(CLUSTER))
}

#[test]
fn a_newer_client_drives_a_cluster() -> Result<()> {
    Scene::up(28, 2)?.map_or(Ok(()), |scene| scene.check(CLUSTER))
}

#[test]
fn the_client_of_debian_12_drives_the_engine() -> Result<()> {
    Scene::up(20, 1)?.map_or(Ok(()), |scene| scene.check(ENGINE))
}

#[test]
fn a_newer_client_drives_the_engine() -> Result<()> {
    Scene::up(28, 1)?.map_or(Ok(()), |scene| scene.check(ENGINE))
}

/// The columns of a table's lines, which at least two spaces tell apart.
fn table(text: &str) -> Vec<Vec<&str>> {
    text.lines().map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect()).collect()
}
