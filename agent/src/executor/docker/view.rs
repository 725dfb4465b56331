//! What the engine says of a container, as the worker needs it.

use super::super::{Container, ContainerId, Ended, Health, OwnContainer, Phase, Running};
use bollard::models::{
    ContainerInspectResponse, ContainerState, ContainerStateStatusEnum, ContainerSummary, ContainerSummaryStateEnum, HealthStatusEnum,
    PortBinding, PortMap,
};
use std::collections::BTreeMap;
use swarm_types::{PortConfig, PublishMode, TaskId};

/// Label that holds the id of a container's task.
pub(super) const LABEL_TASK_ID: &str = "com.docker.swarm.task.id";
/// Label that holds the id of the node that a container's task is for.
pub(super) const LABEL_NODE_ID: &str = "com.docker.swarm.node.id";

/// On how many networks a container is to be before it starts; only on those that are to be on more than one.
pub(super) const LABEL_NETWORKS: &str = "com.docker.swarm.networks";

/// Whether a container that never ran is not yet on all of its networks: old engines take one when they make it.
fn is_half_made(inspected: &ContainerInspectResponse) -> bool {
    let label = inspected.config.as_ref().and_then(|config| config.labels.as_ref()?.get(LABEL_NETWORKS)?.parse::<usize>().ok());
    let has = inspected.network_settings.as_ref().and_then(|settings| settings.networks.as_ref()).map_or(0, |networks| networks.len());
    label.is_some_and(|wanted| has < wanted)
}

/// `None` if there is no such container in effect: it is just being removed, or was never made to the end; making it again
/// finds it.
pub(super) fn container(inspected: &ContainerInspectResponse) -> Option<Container> {
    let id = ContainerId::new(inspected.id.clone()?);
    let state = inspected.state.as_ref()?;
    let phase = match state.status {
        Some(ContainerStateStatusEnum::REMOVING) => return None,
        Some(ContainerStateStatusEnum::CREATED) if is_half_made(inspected) => return None,
        Some(ContainerStateStatusEnum::CREATED) => Phase::Created,
        _ if state.running == Some(true) => Phase::Running(Running {
            health: health(state),
            pid: state.pid.unwrap_or_default(),
            ports: inspected.network_settings.as_ref().and_then(|network| network.ports.as_ref()).map(open_ports).unwrap_or_default(),
        }),
        _ => Phase::Ended(Ended { exit_code: state.exit_code.unwrap_or_default(), error: state.error.clone().unwrap_or_default() }),
    };
    Some(Container { id, phase })
}

/// The task in a container's labels.
pub(super) fn task_of(inspected: &ContainerInspectResponse) -> Option<TaskId> {
    let labels = inspected.config.as_ref()?.labels.as_ref()?;
    TaskId::parse(labels.get(LABEL_TASK_ID)?).ok()
}

/// `None` if the container carries no task's id or is just being removed.
pub(super) fn own_container(summary: &ContainerSummary) -> Option<OwnContainer> {
    let task = TaskId::parse(summary.labels.as_ref()?.get(LABEL_TASK_ID)?).ok()?;
    let state = summary.state;
    if state == Some(ContainerSummaryStateEnum::REMOVING) {
        return None;
    }
    let running = matches!(state, Some(ContainerSummaryStateEnum::RUNNING | ContainerSummaryStateEnum::PAUSED));
    // Engines below API 1.52 tell the health only in the text for people.
    let unhealthy = summary.status.as_deref().is_some_and(|text| text.ends_with("(unhealthy)"));
    Some(OwnContainer { id: ContainerId::new(summary.id.clone()?), task, running, unhealthy })
}

fn health(state: &ContainerState) -> Health {
    match state.health.as_ref().and_then(|health| health.status) {
        None | Some(HealthStatusEnum::EMPTY | HealthStatusEnum::NONE) => Health::Unchecked,
        Some(HealthStatusEnum::STARTING) => Health::Starting,
        Some(HealthStatusEnum::HEALTHY) => Health::Healthy,
        Some(HealthStatusEnum::UNHEALTHY) => Health::Unhealthy,
    }
}

/// One entry per port of the container: an engine lists a port once for IPv4 and once for IPv6, and engines of 20.10 may
/// choose different numbers for the two; then IPv4 counts.
fn open_ports(map: &PortMap) -> Vec<PortConfig> {
    let mut open: BTreeMap<(u32, &str), PortConfig> = BTreeMap::new();
    for (name, bindings) in map {
        let Some((target, protocol)) = name.split_once('/') else {
            continue;
        };
        let (Ok(target_port), Ok(parsed)) = (target.parse(), protocol.parse()) else {
            continue;
        };
        let numbers = bindings.iter().flatten().filter_map(|b| Some((is_ipv6(b), number(b)?)));
        let Some((_, published_port)) = numbers.min_by_key(|(ipv6, _)| *ipv6) else {
            continue;
        };
        let port = PortConfig { name: String::new(), protocol: parsed, target_port, published_port, publish_mode: PublishMode::Host };
        open.insert((target_port, protocol), port);
    }
    open.into_values().collect()
}

fn is_ipv6(binding: &PortBinding) -> bool {
    binding.host_ip.as_deref().is_some_and(|ip| ip.contains(':'))
}

fn number(binding: &PortBinding) -> Option<u32> {
    binding.host_port.as_deref()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use swarm_types::PortProtocol;

    fn view(value: serde_json::Value) -> Option<Container> {
        container(&serde_json::from_value(value).expect("as the engine writes it"))
    }

    fn phase(state: serde_json::Value) -> Option<Phase> {
        view(json!({"Id": "c0ffee", "State": state})).map(|container| container.phase)
    }

    #[test]
    fn states_of_the_engine_become_phases() {
        assert_eq!(phase(json!({"Status": "created", "ExitCode": 127, "Error": "no such file"})), Some(Phase::Created));
        let ended = Ended { exit_code: 3, error: String::new() };
        assert_eq!(phase(json!({"Status": "exited", "Running": false, "ExitCode": 3, "Error": ""})), Some(Phase::Ended(ended)));
        let running = |health| Some(Phase::Running(Running { health, pid: 7, ports: vec![] }));
        assert_eq!(phase(json!({"Status": "running", "Running": true, "Pid": 7})), running(Health::Unchecked));
        assert_eq!(phase(json!({"Status": "paused", "Running": true, "Paused": true, "Pid": 7})), running(Health::Unchecked));
        for (word, health) in [("starting", Health::Starting), ("healthy", Health::Healthy), ("unhealthy", Health::Unhealthy)] {
            let state = json!({"Status": "running", "Running": true, "Pid": 7, "Health": {"Status": word}});
            assert_eq!(phase(state), running(health));
        }
        assert_eq!(phase(json!({"Status": "removing"})), None);
    }

    #[test]
    fn a_container_that_lacks_networks_is_not_made_yet() {
        let on = |networks: serde_json::Value, status: &str| {
            let config = json!({"Labels": {LABEL_NETWORKS: "2"}});
            let settings = json!({"Networks": networks});
            let state = json!({"Status": status, "Running": status == "running", "Pid": 7});
            view(json!({"Id": "c0ffee", "State": state, "Config": config, "NetworkSettings": settings})).is_some()
        };
        assert!(!on(json!({"a": {}}), "created"));
        assert!(on(json!({"a": {}, "b": {}}), "created"));
        assert!(on(json!({"a": {}}), "running"));
    }

    #[test]
    fn ports_are_listed_once_and_ipv4_wins() {
        let ports = json!({
            "80/tcp": [{"HostIp": "::", "HostPort": "32769"}, {"HostIp": "0.0.0.0", "HostPort": "32768"}],
            "53/udp": [{"HostIp": "0.0.0.0", "HostPort": "5353"}, {"HostIp": "::", "HostPort": "5353"}],
            "9/tcp": null,
        });
        let state = json!({"Status": "running", "Running": true, "Pid": 7});
        let got = view(json!({"Id": "c0ffee", "State": state, "NetworkSettings": {"Ports": ports}}));
        let port = |protocol, target_port, published_port| PortConfig {
            name: String::new(),
            protocol,
            target_port,
            published_port,
            publish_mode: PublishMode::Host,
        };
        let ports = vec![port(PortProtocol::Udp, 53, 5353), port(PortProtocol::Tcp, 80, 32768)];
        let running = Running { health: Health::Unchecked, pid: 7, ports };
        assert_eq!(got.map(|c| c.phase), Some(Phase::Running(running)));
    }

    #[test]
    fn lists_tell_the_task_and_whether_it_lives() {
        let task = TaskId::from_random([1; 16]);
        let read = |state: &str, status: &str| {
            let summary = json!({"Id": "c0ffee", "State": state, "Status": status, "Labels": {LABEL_TASK_ID: task}});
            own_container(&serde_json::from_value(summary).expect("as the engine writes it"))
        };
        let own = |running, unhealthy| Some(OwnContainer { id: ContainerId::new("c0ffee"), task, running, unhealthy });
        assert_eq!(read("running", "Up 3 seconds"), own(true, false));
        assert_eq!(read("running", "Up 3 seconds (unhealthy)"), own(true, true));
        assert_eq!(read("exited", "Exited (1) 2 seconds ago"), own(false, false));
        assert_eq!(read("removing", "Removal In Progress"), None);
    }
}
