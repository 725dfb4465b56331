//! The operator: promotes, demotes and drains nodes while the world breaks, and makes all of them active in the end.

use crate::{
    client,
    manager::{addr, call},
    net::{Net, Port},
};
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

/// Waits so long for an answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// Between two looks in the end.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// One person.
#[derive(Clone)]
pub(crate) struct Operator {
    pub(crate) nodes: usize,
    pub(crate) net: Net,
    /// The world heals.
    pub(crate) heal: Arc<AtomicBool>,
    /// Every node is active.
    pub(crate) content: Arc<AtomicBool>,
    /// Changes of roles that were accepted.
    pub(crate) changes: Arc<AtomicUsize>,
}

impl Operator {
    pub(crate) async fn run(self) {
        let port = client::port(&self.net, "operator");
        while !self.content.load(Ordering::Relaxed) {
            let healing = self.heal.load(Ordering::Relaxed);
            let pause = if healing { LOOK_EVERY } else { Duration::from_millis(rand::random_range(200..2500)) };
            tokio::time::sleep(pause).await;
            // Whatever failed is found out by the next look.
            let _ = tokio::time::timeout(PATIENCE, self.act(&port, healing)).await;
        }
    }

    async fn act(&self, port: &Port, healing: bool) -> Option<()> {
        let to = addr(rand::random_range(0..self.nodes));
        let (200, Value::Array(nodes)) = call(port, &to, "GET", "/nodes", None).await? else { return None };
        if healing {
            let idle = |n: &&Value| n["Spec"]["Availability"] != "active";
            let Some(node) = nodes.iter().find(idle) else {
                self.content.store(true, Ordering::Relaxed);
                return None;
            };
            self.update(port, &to, node, node["Spec"]["Role"].as_str()?, "active").await?;
            return None;
        }
        let node = &nodes[rand::random_range(0..nodes.len())];
        let role = node["Spec"]["Role"].as_str()?;
        let availability = node["Spec"]["Availability"].as_str()?;
        if rand::random_range(0..100) < 25 {
            let other = if availability == "active" { ["drain", "pause"][rand::random_range(0..2)] } else { "active" };
            self.update(port, &to, node, role, other).await?;
        } else {
            let other = if role == "manager" { "worker" } else { "manager" };
            if self.update(port, &to, node, other, availability).await? {
                self.changes.fetch_add(1, Ordering::Relaxed);
            }
        }
        None
    }

    async fn update(&self, port: &Port, to: &str, node: &Value, role: &str, availability: &str) -> Option<bool> {
        let path = format!("/nodes/{}/update?version={}", node["ID"].as_str()?, node["Version"]["Index"]);
        let answer = call(port, to, "POST", &path, Some(json!({ "Role": role, "Availability": availability }))).await?;
        Some(answer.0 == 200)
    }
}
