//! What a node must offer, in the order in which a node that does not is charged.

use super::loads::{Loads, NodeLoad};
use crate::template::Template;
use swarm_state::Node;
use swarm_types::{Availability, GenericResource, NodeId, NodeState, Platform, ServiceId};

/// What a node must offer to a task. The order is the one in which nodes are charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Filter {
    Ready,
    Resource,
    Plugin,
    Constraint,
    Platform,
    HostPort,
    MaxReplicas,
}

const FILTERS: [Filter; 7] =
    [Filter::Ready, Filter::Resource, Filter::Plugin, Filter::Constraint, Filter::Platform, Filter::HostPort, Filter::MaxReplicas];

/// What a group of equal tasks asks of a node.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request<'a> {
    pub(crate) service: ServiceId,
    pub(crate) template: &'a Template,
    /// The cluster's driver for tasks that name none.
    pub(crate) default_log_driver: Option<&'a str>,
}

impl Request<'_> {
    /// Whether the node can take one more task; if so the generic resources it gets, else what is missing.
    pub(crate) fn check(&self, id: NodeId, loads: &Loads) -> Result<Vec<GenericResource>, Filter> {
        let Some((load, node)) = loads.node(id).and_then(|load| Some((load, load.node.as_deref()?))) else {
            return Err(Filter::Ready);
        };
        if !is_ready(node) {
            return Err(Filter::Ready);
        }
        let generic = self.claim(load, node).ok_or(Filter::Resource)?;
        if !self.has_plugins(node) {
            return Err(Filter::Plugin);
        }
        if !self.template.fits(node) {
            return Err(Filter::Constraint);
        }
        if !runs_on(&self.template.platforms, &node.api.description.platform) {
            return Err(Filter::Platform);
        }
        if self.template.host_ports.iter().any(|port| load.ports.contains_key(port)) {
            return Err(Filter::HostPort);
        }
        let limit = self.template.max_replicas;
        if limit > 0 && u64::from(loads.of_service_on(self.service, id).all) >= limit {
            return Err(Filter::MaxReplicas);
        }
        Ok(generic)
    }

    fn claim(&self, load: &NodeLoad, node: &Node) -> Option<Vec<GenericResource>> {
        let (wanted, total) = (self.template, &node.api.description.resources);
        let cpus = wanted.nano_cpus <= 0 || total.nano_cpus - load.nano_cpus >= wanted.nano_cpus;
        let memory = wanted.memory_bytes <= 0 || total.memory_bytes - load.memory_bytes >= wanted.memory_bytes;
        if !(cpus && memory) {
            return None;
        }
        load.generic.claim(&total.generic_resources, &wanted.generic)
    }

    fn has_plugins(&self, node: &Node) -> bool {
        let plugins = &node.api.description.engine.plugins;
        let has = |kind: &str, name: &str| {
            plugins.iter().any(|p| p.kind == kind && (p.name == name || p.name.strip_suffix(":latest") == Some(name)))
        };
        if !self.template.volume_drivers.iter().all(|driver| has("Volume", driver)) {
            return false;
        }
        match self.template.log_driver.as_deref().or(self.default_log_driver) {
            // An engine that lists no log drivers at all does not tell; it is tried.
            Some(driver) if driver != "none" => has("Log", driver) || !plugins.iter().any(|p| p.kind == "Log"),
            _ => true,
        }
    }
}

/// Whether new tasks may go there.
pub(crate) fn is_ready(node: &Node) -> bool {
    node.api.status.state == NodeState::Ready && node.api.spec.availability == Availability::Active
}

fn runs_on(wanted: &[Platform], node: &Platform) -> bool {
    let same = |wanted: &str, has: &str| wanted.is_empty() || architecture(wanted).eq_ignore_ascii_case(architecture(has));
    wanted.is_empty() || wanted.iter().any(|w| same(&w.os, &node.os) && same(&w.architecture, &node.architecture))
}

/// The one name of an architecture that has two.
fn architecture(word: &str) -> &str {
    if word.eq_ignore_ascii_case("x86_64") {
        "amd64"
    } else if word.eq_ignore_ascii_case("aarch64") {
        "arm64"
    } else {
        word
    }
}

/// How many nodes each filter turned away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Charges([u32; FILTERS.len()]);

impl Charges {
    pub(crate) fn charge(&mut self, filter: Filter) {
        self.0[filter as usize] += 1;
    }

    /// Why no node is left, as it stands in a task's status: most frequent reason first.
    pub(crate) fn explain(&self) -> String {
        let mut reasons: Vec<(u32, Filter)> =
            FILTERS.into_iter().map(|f| (self.0[f as usize], f)).filter(|(nodes, _)| *nodes > 0).collect();
        reasons.sort_by_key(|(nodes, filter)| (std::cmp::Reverse(*nodes), *filter));
        if reasons.is_empty() {
            return "no suitable node".to_owned();
        }
        let texts: Vec<String> = reasons.into_iter().map(|(nodes, filter)| filter.explain(nodes)).collect();
        format!("no suitable node ({})", texts.join("; "))
    }
}

impl Filter {
    fn explain(self, nodes: u32) -> String {
        let on = |what: &str| if nodes == 1 { format!("{what} on 1 node") } else { format!("{what} on {nodes} nodes") };
        match self {
            Self::Ready if nodes == 1 => "1 node not available for new tasks".to_owned(),
            Self::Ready => format!("{nodes} nodes not available for new tasks"),
            Self::Resource => on("insufficient resources"),
            Self::Plugin => on("missing plugin"),
            Self::Constraint => on("scheduling constraints not satisfied"),
            Self::Platform => on("unsupported platform"),
            Self::HostPort => on("host-mode port already in use"),
            Self::MaxReplicas => "max replicas per node limit exceed".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_come_most_frequent_first_and_in_dockers_words() {
        let mut charges = Charges::default();
        assert_eq!(charges.explain(), "no suitable node");
        charges.charge(Filter::HostPort);
        charges.charge(Filter::Ready);
        assert_eq!(charges.explain(), "no suitable node (1 node not available for new tasks; host-mode port already in use on 1 node)");
        charges.charge(Filter::HostPort);
        charges.charge(Filter::MaxReplicas);
        assert_eq!(
            charges.explain(),
            "no suitable node (host-mode port already in use on 2 nodes; 1 node not available for new tasks; max replicas per node limit exceed)"
        );
    }

    #[test]
    fn platforms_match_under_either_name_of_an_architecture() {
        let platform = |os: &str, architecture: &str| Platform { os: os.into(), architecture: architecture.into() };
        let node = platform("linux", "x86_64");
        assert!(runs_on(&[], &node));
        assert!(runs_on(&[platform("linux", "arm64"), platform("linux", "amd64")], &node));
        assert!(runs_on(&[platform("linux", "")], &node));
        assert!(!runs_on(&[platform("linux", "aarch64")], &node));
        assert!(!runs_on(&[platform("windows", "amd64")], &node));
    }
}
