//! Containers that attach to networks by themselves, on the leader. Each request is decided beside the leader's loop.

use super::{LeaderAnswer, leader::TRIES_MAX, leader::now, networks};
use crate::store::{ProposeError, Store};
use swarm_planner::{Asked, AttachPlan, attach_container, detach_containers};
use swarm_session::{AttachAnswer, AttachRequest, DetachRequest, TaskAttachment};
use swarm_state::Batch;
use swarm_types::{Actor, NodeId};
use tokio::sync::oneshot;

/// Attaches a container and tells when that is stored.
pub(super) fn attach(store: Store, node: NodeId, request: AttachRequest, answer: oneshot::Sender<LeaderAnswer>) {
    // Whoever asked may be gone; it asks again, and gets what was stored.
    tokio::spawn(async move { drop(answer.send(LeaderAnswer::Attached(Box::new(try_attach(&store, node, request).await)))) });
}

/// Forgets containers and tells when that is stored.
pub(super) fn detach(store: Store, node: NodeId, request: DetachRequest, answer: oneshot::Sender<LeaderAnswer>) {
    tokio::spawn(async move { drop(answer.send(try_detach(&store, node, &request).await)) });
}

async fn try_attach(store: &Store, node: NodeId, request: AttachRequest) -> AttachAnswer {
    let AttachRequest { container, name, network, addresses, aliases } = request;
    let asked = Asked { container, name, network, addresses, aliases };
    for _ in 0..TRIES_MAX {
        let plan = match attach_container(&store.state(), node, &asked, now(), &mut rand::random::<[u8; 16]>) {
            Ok(plan) => plan,
            // A leader that lost its office without knowing may lack the very network that is asked for.
            Err(refused) => match store.linearizable().await {
                Ok(newest) => match attach_container(&newest, node, &asked, now(), &mut rand::random::<[u8; 16]>) {
                    Ok(plan) => plan,
                    Err(refused) => return AttachAnswer::Refused(refused.to_string()),
                },
                Err(error) => return AttachAnswer::Unavailable(format!("{refused}, but that is not certain: {error}")),
            },
        };
        let batch = Batch { by: Actor::Planner, guards: plan.guards.clone(), changes: plan.changes.clone() };
        if batch.changes.is_empty() {
            return attached(plan, &asked);
        }
        match store.propose(batch).await {
            Ok(_) => return attached(plan, &asked),
            Err(ProposeError::Conflict(conflict)) => tracing::debug!(%conflict, "an attachment was overtaken; deciding anew"),
            Err(error) => return AttachAnswer::Unavailable(error.to_string()),
        }
    }
    AttachAnswer::Unavailable("the network kept changing".into())
}

fn attached(plan: AttachPlan, asked: &Asked) -> AttachAnswer {
    let attachment = TaskAttachment {
        network: plan.network.id,
        addresses: plan.attachment.addresses,
        aliases: asked.aliases.clone(),
        driver_opts: std::collections::BTreeMap::new(),
    };
    AttachAnswer::Attached { task: plan.task, attachment, network: Box::new(networks::node_network(&plan.network)) }
}

async fn try_detach(store: &Store, node: NodeId, request: &DetachRequest) -> LeaderAnswer {
    for _ in 0..TRIES_MAX {
        let changes = detach_containers(&store.state(), node, |task| match request {
            DetachRequest::One(gone) => task == *gone,
            DetachRequest::AllBut(kept) => !kept.contains(&task),
        });
        if changes.is_empty() {
            return LeaderAnswer::Done;
        }
        match store.propose(Batch { by: Actor::Planner, guards: vec![], changes }).await {
            Ok(_) => return LeaderAnswer::Done,
            Err(ProposeError::Conflict(_)) => {}
            Err(ProposeError::NotLeader(_)) => return LeaderAnswer::NotLeader,
            Err(error) => return LeaderAnswer::Failed(error.to_string()),
        }
    }
    LeaderAnswer::Failed("the node's attachments kept changing".into())
}
