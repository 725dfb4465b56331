//! Clients: they create configs, read lists, and change services over the version they read.

use crate::{
    manager::{addr, call},
    net::{Net, Port},
    witness::{Outcome, Witness},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use swarm_pki::Peer;

/// Services whose labels are registers.
pub(crate) const KEYS: usize = 2;
/// Set by clients; the others are the cluster's own.
pub(crate) const KEY_PREFIX: &str = "key-";
/// A client gives up after this time, as curl would.
const PATIENCE: Duration = Duration::from_secs(30);

/// One client, at one manager after the other.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) number: usize,
    pub(crate) managers: usize,
    pub(crate) net: Net,
    pub(crate) witness: Witness,
    pub(crate) stop: Arc<AtomicBool>,
}

/// The way of a client into the world.
pub(crate) fn port(net: &Net, name: &str) -> Port {
    Port { net: net.clone(), own: name.to_owned(), peer: Peer::Anonymous }
}

impl Client {
    pub(crate) async fn run(self) {
        let port = port(&self.net, &format!("client-{}", self.number));
        let mut count = 0;
        while !self.stop.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(rand::random_range(5..250))).await;
            count += 1;
            let to = addr(rand::random_range(0..self.managers));
            let operation = self.operate(&port, &to, count);
            // What was under way has an unknown end, as the witness takes it unless told.
            let _ = tokio::time::timeout(PATIENCE, operation).await;
        }
    }

    async fn operate(&self, port: &Port, to: &str, count: usize) {
        match rand::random_range(0..4) {
            0 => self.create(port, to, &format!("set-{}-{count}", self.number)).await,
            1 => self.list(port, to).await,
            _ => self.change(port, to, count).await,
        }
    }

    async fn create(&self, port: &Port, to: &str, name: &str) {
        let answer = call(port, to, "POST", "/configs/create", Some(json!({ "Name": name, "Data": "eA==" }))).await;
        self.witness.created(name, outcome(answer.as_ref()));
    }

    async fn list(&self, port: &Port, to: &str) {
        let expected = self.witness.known();
        if let Some((200, Value::Array(configs))) = call(port, to, "GET", "/configs", None).await {
            let names: BTreeSet<String> = configs.iter().filter_map(|c| c["Spec"]["Name"].as_str()).map(str::to_owned).collect();
            self.witness.listed(&expected, &names, &format!("client {} at {to}", self.number));
        }
    }

    /// Reads a key and writes it over what was read.
    async fn change(&self, port: &Port, to: &str, count: usize) {
        let number = rand::random_range(0..KEYS);
        let key = format!("{KEY_PREFIX}{number}");
        let reading = self.witness.begin(self.number, &key);
        let (over, version, id) = match call(port, to, "GET", &format!("/services/{key}"), None).await {
            Some((200, service)) => {
                let value = service["Spec"]["Labels"]["value"].as_str().map(str::to_owned);
                let version = service["Version"]["Index"].as_u64().unwrap_or(0);
                (value, version, service["ID"].as_str().unwrap_or("").to_owned())
            }
            Some((404, _)) => (None, 0, String::new()),
            _ => return,
        };
        self.witness.has_read(reading, over.as_deref());
        let value = format!("{}-{count}", self.number);
        let to = addr(rand::random_range(0..self.managers));
        let writing = self.witness.begin(self.number, &key);
        self.witness.writes(&writing, over.as_deref(), &value);
        let path = if over.is_none() { "/services/create".to_owned() } else { format!("/services/{id}/update?version={version}") };
        let answer = call(port, &to, "POST", &path, Some(spec(number, &key, &value))).await;
        self.witness.has_written(writing, outcome(answer.as_ref()));
    }
}

/// Only a refusal that names the state is final; whatever else failed may be stored yet.
fn outcome(answer: Option<&(u16, Value)>) -> Outcome {
    match answer {
        Some((200 | 201, _)) => Outcome::Stored,
        Some((400..=499, _)) => Outcome::Refused,
        Some((_, body)) if body["message"].as_str().is_some_and(|m| m.contains("out of sequence")) => Outcome::Refused,
        _ => Outcome::Unknown,
    }
}

/// The service behind a key. Those with odd numbers have a port of the host.
fn spec(number: usize, key: &str, value: &str) -> Value {
    let has_port = number % 2 == 1;
    let order = if !has_port && rand::random() { "start-first" } else { "stop-first" };
    let template = rand::random_range(0..3);
    let ports = if has_port {
        json!([{ "Protocol": "tcp", "TargetPort": 80, "PublishedPort": 8000 + number, "PublishMode": "host" }])
    } else {
        json!([])
    };
    json!({
        "Name": key,
        "Labels": { "value": value },
        "TaskTemplate": {
            "ContainerSpec": { "Image": "x", "Env": [format!("TEMPLATE={template}")], "StopGracePeriod": 1_000_000_000_u64 },
            "Resources": { "Reservations": { "NanoCPUs": 1_000_000_000_u64 } },
            "RestartPolicy": { "Condition": "any", "Delay": 100_000_000 },
        },
        "Mode": { "Replicated": { "Replicas": rand::random_range(1..5) } },
        "UpdateConfig": { "Parallelism": rand::random_range(0..3), "FailureAction": "continue", "Monitor": 300_000_000, "Order": order },
        "EndpointSpec": { "Ports": ports },
    })
}

/// What the register of a service holds.
pub(crate) fn value_of(service: &swarm_state::Service) -> Option<&str> {
    service.current.spec.labels.get("value").map(String::as_str)
}
