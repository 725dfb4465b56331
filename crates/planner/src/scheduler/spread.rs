//! Spread preferences: the service's tasks are shared out evenly over the values of a label, then of the next label, and
//! only inside a leaf does the ranking of nodes decide. A branch that is full passes its share on.

use super::{
    filters::{Charges, Request},
    loads::Loads,
    rank::{Choice, Rank, next_in_heap},
};
use crate::constraint::SpreadKey;
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
};
use swarm_types::NodeId;

/// Nodes grouped by the values of labels.
#[derive(Debug)]
pub(crate) enum Tree {
    Leaf(BinaryHeap<Reverse<Rank>>),
    Branch {
        children: Vec<Tree>,
        /// Tasks of the service and index of each child that may have room.
        order: BinaryHeap<Reverse<(u64, usize)>>,
    },
}

impl Tree {
    /// All nodes, grouped by the template's preferences.
    pub(crate) fn new(request: &Request<'_>, loads: &Loads, failing: &BTreeSet<NodeId>) -> Self {
        let all = loads.nodes().map(|(node, load)| Rank {
            failing: failing.contains(&node),
            of_service: loads.of_service_on(request.service, node).staying,
            staying: load.staying,
            node: node.into(),
        });
        Self::grow(all.collect(), &request.template.spread, loads)
    }

    fn grow(nodes: Vec<Rank>, keys: &[SpreadKey], loads: &Loads) -> Self {
        let Some((key, deeper)) = keys.split_first() else {
            return Self::Leaf(nodes.into_iter().map(Reverse).collect());
        };
        let mut by_value: BTreeMap<&str, Vec<Rank>> = BTreeMap::new();
        for rank in nodes {
            let value = loads.node(rank.node.id).and_then(|load| load.node.as_deref()).map_or("", |node| key.value(node));
            by_value.entry(value).or_default().push(rank);
        }
        let (mut children, mut order) = (Vec::new(), BinaryHeap::new());
        for nodes in by_value.into_values() {
            order.push(Reverse((nodes.iter().map(|rank| u64::from(rank.of_service)).sum(), children.len())));
            children.push(Self::grow(nodes, deeper, loads));
        }
        Self::Branch { children, order }
    }

    /// The best node that fits, from the branch with the fewest tasks of the service. Whoever takes it puts the task there
    /// before asking again.
    pub(crate) fn next(&mut self, request: &Request<'_>, loads: &Loads, charges: &mut Charges) -> Option<Choice> {
        match self {
            Self::Leaf(heap) => next_in_heap(heap, request, loads, charges),
            Self::Branch { children, order } => {
                while let Some(Reverse((tasks, child))) = order.pop() {
                    if let Some(choice) = children[child].next(request, loads, charges) {
                        order.push(Reverse((tasks + 1, child)));
                        return Some(choice);
                    }
                }
                None
            }
        }
    }
}
