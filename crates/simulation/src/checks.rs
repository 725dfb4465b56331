//! What must hold of every committed state, and from one to the next.

use std::collections::{BTreeMap, BTreeSet};
use swarm_state::{State, Task};
use swarm_types::{NodeId, PublishMode, TaskState};

/// # Errors
/// What does not hold.
pub(crate) fn check(before: &State, now: &State) -> Result<(), String> {
    forward_only(before, now)?;
    addresses(now)?;
    now.nodes().try_for_each(|node| resources(now, node.id()))
}

/// Tasks go forward, and those that are gone do not come back.
fn forward_only(before: &State, now: &State) -> Result<(), String> {
    if before.applied() > now.applied() {
        return Err(format!("index {} comes after {}", now.applied(), before.applied()));
    }
    for task in now.tasks() {
        let Some(old) = before.task(task.id) else { continue };
        if task.status.state < old.status.state || task.desired_state < old.desired_state {
            return Err(format!("task {} went back from {} to {}", task.id, moves(old), moves(task)));
        }
        if old.node_id.is_some() && old.node_id != task.node_id {
            return Err(format!("task {} moved to another node", task.id));
        }
    }
    Ok(())
}

fn moves(task: &Task) -> String {
    format!("{} (to be {})", task.status.state, task.desired_state)
}

/// An agent has it and it has not ended.
fn is_on_node(task: &Task) -> bool {
    task.node_id.is_some() && task.status.state >= TaskState::Assigned && !task.status.state.is_terminal()
}

/// No two live objects share an address.
fn addresses(state: &State) -> Result<(), String> {
    let mut taken = BTreeMap::new();
    let of_tasks = state.tasks().filter(|task| !task.status.state.is_terminal()).flat_map(|task| {
        let addresses = task.attachments.iter().flat_map(|a| a.addresses.iter().map(|address| (a.network, address.addr())));
        addresses.map(|address| (address, task.id.to_string()))
    });
    let of_services = state.services().flat_map(|service| service.virtual_addresses().map(|address| (address, service.id.to_string())));
    for (address, holder) in of_tasks.chain(of_services) {
        if let Some(other) = taken.insert(address, holder.clone())
            && other != holder
        {
            return Err(format!("{other} and {holder} share the address {}", address.1));
        }
    }
    Ok(())
}

/// No node carries more than it has, and no port of it twice.
fn resources(state: &State, node_id: NodeId) -> Result<(), String> {
    let Some(node) = state.node(node_id) else { return Ok(()) };
    let (mut nano_cpus, mut ports) = (0, BTreeSet::new());
    for task in state.tasks_of_node(node_id).filter(|task| is_on_node(task)) {
        let Some(spec) = state.spec(task.spec) else { return Err(format!("task {} has no template", task.id)) };
        let reserved = spec.template.resources.as_ref().and_then(|r| r.reservations.as_ref());
        nano_cpus += reserved.map_or(0, |r| r.nano_cpus);
        for port in spec.endpoint.iter().flat_map(|e| &e.ports).filter(|p| p.publish_mode == PublishMode::Host && p.published_port != 0) {
            if !ports.insert((port.protocol, port.published_port)) {
                return Err(format!("two tasks on node {node_id} have port {} of the host", port.published_port));
            }
        }
    }
    let has = node.api.description.resources.nano_cpus;
    // A node that never was there has told nothing of itself, and nothing is placed there.
    if nano_cpus > has { Err(format!("node {node_id} has {has} nano CPUs, tasks on it reserve {nano_cpus}")) } else { Ok(()) }
}
