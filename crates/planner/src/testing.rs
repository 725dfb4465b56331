//! Objects for unit tests.

use swarm_state::Node;
use swarm_types::{
    Node as ApiNode, NodeDescription, NodeId, NodeSpec, NodeState, NodeStatus, Platform, Resources, Role, Timestamp, Version,
};

/// A node that is ready: 4 cores, 8 GiB, Linux on x86-64.
pub(crate) fn node(id: NodeId, hostname: &str) -> Node {
    Node {
        api: ApiNode {
            id,
            version: Version::default(),
            created_at: Timestamp::default(),
            updated_at: Timestamp::default(),
            spec: NodeSpec::default(),
            description: NodeDescription {
                hostname: hostname.to_owned(),
                platform: Platform { os: "linux".into(), architecture: "x86_64".into() },
                resources: Resources { nano_cpus: 4_000_000_000, memory_bytes: 8 << 30, generic_resources: Vec::new() },
                ..NodeDescription::default()
            },
            status: NodeStatus { state: NodeState::Ready, ..NodeStatus::default() },
            manager_status: None,
        },
        role: Role::Worker,
        manager_addr: None,
        raft_id: None,
        certificate_until: Timestamp::default(),
        state_since: Timestamp::default(),
        spec_version: Version::default(),
        data_path_index: 0,
        data_path_addr: None,
    }
}
