//! What brings the managers in Raft and the roles of the nodes together: a pure function of the state and of Raft's members.
//!
//! `spec.role` of a node is what the operator wants, `role` is what the node is to be now: the agent is told `role` and renews
//! its certificate for it. A promotion sets `role` at once, since the node joins the group by itself as soon as it can. A
//! demotion takes the member out first and sets `role` then: a manager that stopped while it still counted would weaken the
//! quorum. Nothing is remembered between the steps, so whoever leads goes on wherever another one was interrupted.

use crate::store::Peer;
use std::collections::BTreeSet;
use swarm_state::{Node, State};
use swarm_types::{NodeId, Role};

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// The node is to be a manager and may have a manager's certificate now.
    Promote(NodeId),
    /// The node is to be a worker, and no member of Raft is left of it.
    Demote(NodeId),
    /// These members of one node have to go from Raft.
    TakeOut {
        /// Whose they are; it may be gone from the cluster.
        node: NodeId,
        /// Their ids.
        ids: BTreeSet<u64>,
    },
}

/// Everything there is to do, in this order: records first, then members that do not answer, since each of them weakens the
/// quorum, then those that do, and the leader last, because it can do nothing afterwards.
pub(super) fn plan(state: &State, peers: &[Peer]) -> Vec<Step> {
    if state.cluster().is_none() {
        return Vec::new();
    }
    let is_member = |node: &Node| peers.iter().any(|p| p.node_id == node.id());
    let record = |node: &Node| match (node.api.spec.role, node.role) {
        (Role::Manager, Role::Worker) => Some(Step::Promote(node.id())),
        (Role::Worker, Role::Manager) if !is_member(node) => Some(Step::Demote(node.id())),
        _ => None,
    };
    let mut steps: Vec<Step> = state.nodes().filter_map(|n| record(n)).collect();
    let is_over = |p: &&Peer| state.node(p.node_id).is_none_or(|node| node.api.spec.role == Role::Worker);
    let mut over: Vec<&Peer> = peers.iter().filter(is_over).collect();
    over.sort_by_key(|p| (p.leader, p.reachable == Some(true), p.raft_id));
    for peer in over {
        let same = steps.iter_mut().find_map(|step| match step {
            Step::TakeOut { node, ids } if *node == peer.node_id => Some(ids),
            _ => None,
        });
        match same {
            Some(ids) => drop(ids.insert(peer.raft_id)),
            None => steps.push(Step::TakeOut { node: peer.node_id, ids: BTreeSet::from([peer.raft_id]) }),
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ca::first_node;
    use std::{collections::BTreeMap, sync::Arc};
    use swarm_state::{Batch, Change, Cluster, Object};
    use swarm_types::{Actor, Availability, ClusterId, JoinTokens, Swarm, SwarmSpec, Timestamp, TlsInfo, Version};

    const M: Role = Role::Manager;
    const W: Role = Role::Worker;

    fn id(n: u8) -> NodeId {
        NodeId::from_random([n; 16])
    }

    fn peer(n: u8, leader: bool, reachable: bool) -> Peer {
        let (node_id, raft_id) = (id(n), u64::from(n));
        Peer { node_id, raft_id, addr: format!("10.0.0.{n}:2377"), voter: true, leader, reachable: Some(reachable) }
    }

    /// Nodes by number, wanted and actual role.
    fn state(nodes: &[(u8, Role, Role)]) -> State {
        let api = Swarm {
            id: ClusterId::from_random([7; 16]),
            version: Version::default(),
            created_at: Timestamp::default(),
            updated_at: Timestamp::default(),
            spec: SwarmSpec::default(),
            tls_info: TlsInfo::default(),
            root_rotation_in_progress: false,
            data_path_port: 4789,
            default_addr_pool: vec![],
            subnet_size: 24,
            join_tokens: Some(JoinTokens { worker: "w".into(), manager: "m".into() }),
        };
        let cluster = Cluster { api, ca_key: String::new(), removed_nodes: BTreeMap::new() };
        let mut changes = vec![Change::create(Object::Cluster(Arc::new(cluster)))];
        for (n, wanted, role) in nodes {
            let mut node = first_node(id(*n), u64::from(*n), "10.0.0.1:2377", Availability::Active, Timestamp::default());
            (node.api.spec.role, node.role) = (*wanted, *role);
            changes.push(Change::create(Object::Node(Arc::new(node))));
        }
        let mut state = State::default();
        assert!(state.apply(1, vec![Batch { by: Actor::Operator, guards: vec![], changes }]).results[0].is_ok());
        state
    }

    fn text(nodes: &[(u8, Role, Role)], peers: &[Peer]) -> String {
        let number = |node: &NodeId| (1..9).find(|n| id(*n) == *node).expect("a node of the test");
        let line = |step: &Step| match step {
            Step::Promote(node) => format!("promote {}", number(node)),
            Step::Demote(node) => format!("demote {}", number(node)),
            Step::TakeOut { node, ids } => format!("take out {} {ids:?}", number(node)),
        };
        plan(&state(nodes), peers).iter().map(line).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn what_is_in_step_is_left_alone() {
        assert_eq!(text(&[(1, M, M), (2, M, M), (3, W, W)], &[peer(1, true, true), peer(2, false, true)]), "");
        // Promoted and not there yet: it comes by itself.
        assert_eq!(text(&[(1, M, M), (2, M, M)], &[peer(1, true, true)]), "");
    }

    #[test]
    fn a_promotion_is_told_at_once_and_a_demotion_after_the_member_is_out() {
        assert_eq!(text(&[(1, M, M), (2, M, W)], &[peer(1, true, true)]), "promote 2");
        assert_eq!(text(&[(1, M, M), (2, W, M)], &[peer(1, true, true), peer(2, false, true)]), "take out 2 {2}");
        assert_eq!(text(&[(1, M, M), (2, W, M)], &[peer(1, true, true)]), "demote 2");
    }

    #[test]
    fn members_that_do_not_answer_go_first_and_the_leader_last() {
        let peers = [peer(1, true, true), peer(2, false, true), peer(3, false, false), peer(4, false, true)];
        assert_eq!(text(&[(1, W, M), (2, W, M), (3, W, M), (4, M, M)], &peers), "take out 3 {3}; take out 2 {2}; take out 1 {1}");
    }

    #[test]
    fn what_a_node_left_behind_goes() {
        // It left by itself, or was removed; it came back under another id in between.
        let again = Peer { raft_id: 7, ..peer(2, false, false) };
        assert_eq!(text(&[(1, M, M), (2, W, W)], &[peer(1, true, true), peer(2, false, false), again]), "take out 2 {2, 7}");
        assert_eq!(text(&[(1, M, M)], &[peer(1, true, true), peer(5, false, false)]), "take out 5 {5}");
    }
}
