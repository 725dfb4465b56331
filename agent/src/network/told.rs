//! What the managers said of cluster networks, as it goes from the worker to whoever acts on it.

use std::{collections::BTreeMap, net::IpAddr};
use swarm_session::{AgentView, Generation, NetworkView};
use swarm_types::{NodeId, TaskId};

/// What this host knows of cluster networks.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Told {
    /// Nothing yet: the agent has just begun. What is there stays as it is.
    #[default]
    Unknown,
    /// The host is in no cluster, so it carries no network.
    Outside,
    /// The host is a node.
    Member(Member),
}

/// What a node was told.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// This node.
    pub node: NodeId,
    /// The state that `view` is derived from.
    pub generation: Generation,
    /// The networks it needs.
    pub view: NetworkView,
    /// The name servers of tasks whose template names some.
    pub name_servers: BTreeMap<TaskId, Vec<IpAddr>>,
}

impl Told {
    /// What was told, if the host is a node.
    #[must_use]
    pub fn member(&self) -> Option<&Member> {
        match self {
            Self::Member(member) => Some(member),
            Self::Unknown | Self::Outside => None,
        }
    }
}

impl Member {
    /// What `node` was told, out of everything it was.
    #[must_use]
    pub fn of(node: NodeId, view: &AgentView) -> Self {
        let name_servers = view.tasks.values().filter_map(|task| {
            let dns = view.specs.get(&task.spec)?.template.container_spec.as_ref()?.dns_config.as_ref()?;
            let servers: Vec<IpAddr> = dns.nameservers.iter().filter_map(|server| server.parse().ok()).collect();
            (!servers.is_empty()).then_some((task.id, servers))
        });
        Self { node, generation: view.generation, view: view.networks.clone(), name_servers: name_servers.collect() }
    }
}
