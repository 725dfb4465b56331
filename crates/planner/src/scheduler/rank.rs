//! Which of the fitting nodes is best: no recent failures, then few tasks of the service, then few tasks.

use super::{
    filters::{Charges, Request},
    loads::{Loads, OrderedNode, Place},
};
use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap},
};
use swarm_types::{GenericResource, NodeId};

/// Lower is better. The id decides at last, so that the same state always gives the same plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    pub(crate) failing: bool,
    pub(crate) of_service: u32,
    pub(crate) staying: u32,
    pub(crate) node: OrderedNode,
}

/// A node that can take the next task, and the generic resources that the task gets there.
pub(crate) type Choice = (NodeId, Vec<GenericResource>);

/// Nodes for a group of equal tasks, best first, without looking at more nodes than needed.
///
/// Nodes without a task of the service come straight from the order that [`Loads`] keeps ([`Loads::sort`] comes before), one at a time; those with one are
/// few and sit in a heap. So a task costs a logarithm of the nodes, and a node that does not fit is looked at once per group.
#[derive(Debug)]
pub(crate) struct Queue {
    heap: BinaryHeap<Reverse<Rank>>,
    /// How far the order of nodes without a task of the service has been used up; `None` once it is.
    cursor: Option<Option<Place>>,
    failing: BTreeSet<NodeId>,
}

impl Queue {
    /// `failing` are the nodes to try last.
    pub(crate) fn new(request: &Request<'_>, loads: &Loads, failing: BTreeSet<NodeId>) -> Self {
        let with_tasks = loads.of_service(request.service).filter(|(_, tasks)| tasks.staying > 0).map(|(node, _)| node);
        let others = failing.iter().copied().filter(|node| loads.of_service_on(request.service, *node).staying == 0);
        let ranked = with_tasks.chain(others).filter_map(|node| {
            let load = loads.node(node).filter(|load| load.node.is_some())?;
            let of_service = loads.of_service_on(request.service, node).staying;
            Some(Reverse(Rank { failing: failing.contains(&node), of_service, staying: load.staying, node: node.into() }))
        });
        Self { heap: ranked.collect(), cursor: Some(None), failing }
    }

    /// The best node that fits. Whoever takes it puts the task there before asking again.
    pub(crate) fn next(&mut self, request: &Request<'_>, loads: &Loads, charges: &mut Charges) -> Option<Choice> {
        while let Some((staying, node)) = self.next_fresh(request, loads) {
            match request.check(node.id, loads) {
                Ok(generic) => {
                    self.heap.push(Reverse(Rank { failing: false, of_service: 1, staying: staying + 1, node }));
                    return Some((node.id, generic));
                }
                Err(filter) => charges.charge(filter),
            }
        }
        next_in_heap(&mut self.heap, request, loads, charges)
    }

    /// The next node without a task of the service and without failures. The order is not kept up while the group is placed;
    /// only nodes that get one of its tasks change, and those are in the heap.
    fn next_fresh(&mut self, request: &Request<'_>, loads: &Loads) -> Option<Place> {
        loop {
            let place = loads.next_by_staying(self.cursor?);
            self.cursor = place.map(Some);
            let (staying, node) = place?;
            if loads.of_service_on(request.service, node.id).staying == 0 && !self.failing.contains(&node.id) {
                return Some((staying, node));
            }
        }
    }
}

/// The best node of a heap that fits; it goes back with one task more. Those that do not fit leave for good.
pub(crate) fn next_in_heap(
    heap: &mut BinaryHeap<Reverse<Rank>>,
    request: &Request<'_>,
    loads: &Loads,
    charges: &mut Charges,
) -> Option<Choice> {
    while let Some(Reverse(rank)) = heap.pop() {
        match request.check(rank.node.id, loads) {
            Ok(generic) => {
                heap.push(Reverse(Rank { of_service: rank.of_service + 1, staying: rank.staying + 1, ..rank }));
                return Some((rank.node.id, generic));
            }
            Err(filter) => charges.charge(filter),
        }
    }
    None
}
