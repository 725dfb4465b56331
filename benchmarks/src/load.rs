//! Clients that write as fast as they are answered.

use crate::{api::Api, etcd};
use anyhow::{Result, ensure};
use base64::Engine as _;
use http::{Method, StatusCode};
use serde_json::json;
use std::{
    net::SocketAddr,
    path::PathBuf,
    time::{Duration, Instant},
};

/// Bytes of one value: a small configuration file.
const VALUE_BYTES: usize = 300;
/// Connections to etcd, which its clients share as with etcd's own client.
const ETCD_CONNECTIONS_MAX: usize = 32;

/// Who is written to.
#[derive(Debug, Clone)]
pub enum Target {
    /// `POST /configs/create` of the Docker API on a unix socket, a connection per client.
    Configs(PathBuf),
    /// etcd's `Put`.
    Etcd(SocketAddr),
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub struct Load {
    /// How long each acknowledged write took, in rising order.
    took: Vec<Duration>,
    /// From the first write to the last answer.
    whole: Duration,
}

impl Load {
    /// Acknowledged writes per second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.took.len() as f64 / self.whole.as_secs_f64()
    }

    /// The time that this part (0 to 1) of the writes took at most, in milliseconds.
    #[must_use]
    pub fn quantile_ms(&self, part: f64) -> f64 {
        let place = ((self.took.len() as f64 * part) as usize).min(self.took.len().saturating_sub(1));
        self.took.get(place).map_or(0.0, |t| t.as_secs_f64() * 1000.0)
    }
}

enum Client {
    Configs(Api),
    Etcd(etcd::Connection),
}

impl Client {
    async fn write(&mut self, name: &str, value: &[u8], value_base64: &str) -> Result<()> {
        match self {
            Self::Configs(api) => {
                let body = json!({"Name": name, "Data": value_base64}).to_string().into_bytes();
                let (status, answer) = api.send(Method::POST, "/configs/create", body).await?;
                ensure!(status == StatusCode::CREATED, "{status} {}", String::from_utf8_lossy(&answer));
                Ok(())
            }
            Self::Etcd(connection) => connection.put(name.as_bytes(), value).await,
        }
    }
}

/// Lets `clients` write for `span`, each the next value when its last one is acknowledged. `tag` makes names unique.
///
/// # Errors
/// When a write is refused: nothing here breaks anything, so none may be.
pub async fn run(target: &Target, clients: usize, span: Duration, tag: &str) -> Result<Load> {
    let mut connected = Vec::new();
    let mut shared = Vec::new();
    for number in 0..clients {
        connected.push(match target {
            Target::Configs(socket) => Client::Configs(Api::connect(socket).await?),
            Target::Etcd(addr) => {
                if shared.len() < ETCD_CONNECTIONS_MAX {
                    shared.push(etcd::Connection::open(*addr).await?);
                }
                Client::Etcd(shared[number % shared.len()].clone())
            }
        });
    }
    let begun = Instant::now();
    let mut loops = tokio::task::JoinSet::new();
    for (number, mut client) in connected.into_iter().enumerate() {
        let tag = format!("{tag}-{number}");
        loops.spawn(async move {
            let mut value = vec![0; VALUE_BYTES];
            rand::fill(&mut value[..]);
            let encoded = base64::engine::general_purpose::STANDARD.encode(&value);
            let mut took = Vec::new();
            while begun.elapsed() < span {
                let sent = Instant::now();
                client.write(&format!("{tag}-{}", took.len()), &value, &encoded).await?;
                took.push(sent.elapsed());
            }
            anyhow::Ok(took)
        });
    }
    let mut load = Load::default();
    while let Some(ended) = loops.join_next().await {
        load.took.extend(ended??);
    }
    load.whole = begun.elapsed();
    load.took.sort();
    Ok(load)
}
