//! Debian's etcd, three members on the loopback address, and its `Put` over gRPC written by hand, so that both sides are
//! loaded by the same client.

use crate::managers::free_address;
use anyhow::{Context, Result, bail, ensure};
use bytes::{BufMut, Bytes, BytesMut};
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::{
    fs::File,
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tokio::net::TcpStream;

const MEMBERS: usize = 3;
const READY_DEADLINE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A running cluster. Dropping it kills the members and removes their state.
#[derive(Debug)]
pub struct Etcd {
    members: Vec<Child>,
    clients: Vec<SocketAddr>,
    dir: TempDir,
}

impl Etcd {
    /// Whether the machine has etcd; Debian's package is `etcd-server`.
    #[must_use]
    pub fn is_installed() -> bool {
        Command::new("etcd").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
    }

    /// Starts the members with etcd's own defaults and waits until a write is taken.
    ///
    /// # Errors
    /// When it is not installed or takes no write in time.
    pub async fn start() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("swarm-bench-etcd-").tempdir()?;
        let mut etcd = Self { members: Vec::new(), clients: Vec::new(), dir };
        let peers = (0..MEMBERS).map(|_| free_address()).collect::<Result<Vec<_>>>()?;
        let cluster: Vec<String> = peers.iter().enumerate().map(|(n, addr)| format!("m{n}=http://{addr}")).collect();
        for (number, peer) in peers.iter().enumerate() {
            let client = free_address()?;
            let member = etcd.spawn(number, *peer, client, &cluster.join(","))?;
            etcd.members.push(member);
            etcd.clients.push(client);
        }
        etcd.wait_ready().await?;
        Ok(etcd)
    }

    fn spawn(&self, number: usize, peer: SocketAddr, client: SocketAddr, cluster: &str) -> Result<Child> {
        let log = File::create(self.dir.path().join(format!("m{number}.log")))?;
        Command::new("etcd")
            .args(["--name", &format!("m{number}")])
            .arg("--data-dir")
            .arg(self.dir.path().join(format!("m{number}")))
            .args(["--listen-peer-urls", &format!("http://{peer}"), "--initial-advertise-peer-urls", &format!("http://{peer}")])
            .args(["--listen-client-urls", &format!("http://{client}"), "--advertise-client-urls", &format!("http://{client}")])
            .args(["--initial-cluster", cluster, "--initial-cluster-state", "new"])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("could not start etcd: Debian's package is etcd-server")
    }

    async fn wait_ready(&self) -> Result<()> {
        let begun = Instant::now();
        loop {
            let tried = async { Connection::open(self.clients[0]).await?.put(b"ready", b"").await };
            match tried.await {
                Ok(()) => return Ok(()),
                Err(error) if begun.elapsed() > READY_DEADLINE => return Err(error.context("etcd takes no write")),
                Err(_) => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    }

    /// The member that leads: the one that saves its clients a hop.
    ///
    /// # Errors
    /// When no member says that it leads.
    pub async fn leader(&self) -> Result<SocketAddr> {
        for client in &self.clients {
            let status = Connection::open(*client).await?.status().await?;
            if status.leads {
                return Ok(*client);
            }
        }
        bail!("no member of etcd leads")
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        for member in &mut self.members {
            // One that ended by itself needs neither.
            drop(member.kill());
            drop(member.wait());
        }
    }
}

/// One connection, which any number of clients may share.
#[derive(Debug, Clone)]
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    addr: SocketAddr,
}

struct Status {
    leads: bool,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens.
    pub async fn open(addr: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http2::Builder::new(TokioExecutor::new()).handshake(TokioIo::new(stream)).await?;
        // Its failure is also that of the calls under way.
        tokio::spawn(connection);
        Ok(Self { sender, addr })
    }

    /// Stores a value; returns when etcd has acknowledged it.
    ///
    /// # Errors
    /// When it did not.
    pub async fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let mut message = BytesMut::with_capacity(key.len() + value.len() + 16);
        put_bytes(&mut message, 1, key);
        put_bytes(&mut message, 2, value);
        self.call("/etcdserverpb.KV/Put", &message).await.map(drop)
    }

    async fn status(&mut self) -> Result<Status> {
        let answer = self.call("/etcdserverpb.Maintenance/Status", &[]).await?;
        // StatusResponse: 1 is the header, whose field 2 is the member's id; 4 is the leader's id.
        let header = fields(&answer)?.into_iter().find(|(n, _)| *n == 1).context("no header")?.1;
        let member = number(&fields(&header.bytes)?, 2).context("no member id")?;
        Ok(Status { leads: number(&fields(&answer)?, 4) == Some(member) })
    }

    async fn call(&mut self, path: &str, message: &[u8]) -> Result<Bytes> {
        let mut body = BytesMut::with_capacity(message.len() + 5);
        body.put_u8(0);
        body.put_u32(u32::try_from(message.len())?);
        body.extend_from_slice(message);
        let request = Request::post(format!("http://{}{path}", self.addr))
            .header(http::header::CONTENT_TYPE, "application/grpc")
            .header(http::header::TE, "trailers")
            .body(Full::new(body.freeze()))?;
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        // A call that fails at once has its status in the headers.
        let early = response.headers().get("grpc-status").cloned();
        let collected = response.into_body().collect().await?;
        let status = early.or_else(|| collected.trailers().and_then(|t| t.get("grpc-status")).cloned());
        ensure!(status.as_ref().is_some_and(|s| s == "0"), "etcd answered {status:?}");
        let bytes = collected.to_bytes();
        Ok(if bytes.len() >= 5 { bytes.slice(5..) } else { Bytes::new() })
    }
}

fn put_varint(out: &mut BytesMut, mut value: u64) {
    while value >= 0x80 {
        out.put_u8((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8((value & 0x7f) as u8);
}

fn put_bytes(out: &mut BytesMut, field: u64, bytes: &[u8]) {
    put_varint(out, field << 3 | 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

#[derive(Default)]
struct Field {
    number: u64,
    bytes: Bytes,
}

fn number(fields: &[(u64, Field)], wanted: u64) -> Option<u64> {
    fields.iter().find(|(n, _)| *n == wanted).map(|(_, f)| f.number)
}

/// The fields of a protobuf message of numbers and bytes.
fn fields(message: &[u8]) -> Result<Vec<(u64, Field)>> {
    let mut rest = message;
    let mut found = Vec::new();
    while !rest.is_empty() {
        let key = take_varint(&mut rest)?;
        let field = match key & 7 {
            0 => Field { number: take_varint(&mut rest)?, ..Field::default() },
            2 => {
                let length = usize::try_from(take_varint(&mut rest)?)?;
                let (bytes, after) = rest.split_at_checked(length).context("a field is cut short")?;
                rest = after;
                Field { bytes: Bytes::copy_from_slice(bytes), ..Field::default() }
            }
            other => bail!("wire type {other}"),
        };
        found.push((key >> 3, field));
    }
    Ok(found)
}

fn take_varint(rest: &mut &[u8]) -> Result<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first().context("a number is cut short")?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    bail!("a number is too long")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_as_they_are_written() {
        let mut message = BytesMut::new();
        put_bytes(&mut message, 1, b"key");
        put_varint(&mut message, 4 << 3);
        put_varint(&mut message, u64::MAX);
        let read = fields(&message).expect("is whole");
        assert_eq!(read[0].1.bytes, "key");
        assert_eq!(number(&read, 4), Some(u64::MAX));
        assert!(fields(&message[..3]).is_err());
    }
}
