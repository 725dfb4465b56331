//! Ends: of the actors, of all containers when the node leaves, of the worker itself.

use super::{Reconciler, complain};
use crate::network::Told;
use crate::worker::{WorkerError, step::Seen};
use std::time::Duration;
use swarm_session::{AgentView, Generation, HeldPayloads};
use tokio::time::Instant;

/// Longest wait for actors that are to halt. Making or starting a container is not cut short before.
const HALT_MAX: Duration = Duration::from_secs(10);

/// Lists of the node's containers that a clearing goes through: one, and one more for what was being made meanwhile.
const CLEARING_ROUNDS_MAX: usize = 5;

impl Reconciler {
    /// Ends all actors between two steps, and takes their last reports.
    async fn halt_actors(&mut self) {
        self.halting = true;
        for slot in self.slots.values() {
            slot.orders.send_modify(|order| order.halt = true);
        }
        let deadline = Instant::now() + HALT_MAX;
        loop {
            tokio::select! {
                ended = self.actors.join_next() => if ended.is_none() { break },
                Some(report) = self.reports.recv() => self.absorb(report),
                () = tokio::time::sleep_until(deadline) => {
                    self.actors.shutdown().await;
                    break;
                }
            }
        }
        while let Ok(report) = self.reports.try_recv() {
            self.absorb(report);
        }
        self.actor_tasks.clear();
        self.slots.values_mut().for_each(|slot| slot.actor = None);
    }

    pub(super) async fn clear(&mut self) -> Result<(), WorkerError> {
        self.halt_actors().await;
        let removed = self.remove_all().await;
        self.halting = false;
        if let Err(error) = removed {
            for id in self.slots.keys().copied().collect::<Vec<_>>() {
                self.start_actor(id, Seen::Unknown);
            }
            return Err(error);
        }
        self.around.executor.release_all().await?;
        self.slots.clear();
        self.view = AgentView::default();
        self.payloads.send_replace(HeldPayloads::default());
        self.complete_seen = false;
        self.generation.send_replace(Generation::default());
        self.networks.send_replace(Told::Outside);
        self.publish_held_ports();
        self.records.clear(self.around.node_id)?;
        self.arm_flush();
        Ok(())
    }

    async fn remove_all(&self) -> Result<(), WorkerError> {
        let executor = &self.around.executor;
        for _ in 0..CLEARING_ROUNDS_MAX {
            let list = executor.list_own(self.around.node_id).await?;
            if list.is_empty() {
                return Ok(());
            }
            let removed = list.iter().map(|own| executor.remove(&own.id));
            let results = futures_util::future::join_all(removed).await;
            results.into_iter().collect::<Result<(), _>>()?;
        }
        Ok(())
    }

    pub(super) async fn shutdown(&mut self) {
        self.halt_actors().await;
        while self.flushes.join_next().await.is_some() {}
        let records = self.records.clone();
        self.flushes.spawn_blocking(move || complain(records.flush()));
        while self.flushes.join_next().await.is_some() {}
    }
}
