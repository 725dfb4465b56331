//! Manager processes on the loopback address, without agents: what serves when only the control plane is measured.

use crate::api::Api;
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use swarm_agent::identity::ca_calls::{self, IssueRequest, Issued};
use swarm_pki::{CertStore, Credentials, NodeKey, RootBundle};
use swarm_types::{Availability, NodeId};
use tempfile::TempDir;

/// How long a manager may take to become ready.
const READY_DEADLINE: Duration = Duration::from_secs(60);
/// Ports to listen on, below those of outgoing connections.
const PORTS: std::ops::Range<u16> = 10_000..32_000;
const TRIES_MAX: usize = 100;
/// Between two looks at a manager's status.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A group of managers. Dropping it kills them and removes their state.
#[derive(Debug)]
pub struct Managers {
    members: Vec<Manager>,
    _dir: TempDir,
}

/// One manager process.
#[derive(Debug)]
pub struct Manager {
    dir: PathBuf,
    addr: SocketAddr,
    child: Child,
}

/// Certificate, key and roots of a node.
pub struct Admitted {
    /// What the cluster said.
    pub issued: Issued,
    /// Certificate and key.
    pub credentials: Credentials,
    /// What to trust.
    pub roots: RootBundle,
}

impl Managers {
    /// Starts `count` managers of a new cluster and waits until all of them answer.
    ///
    /// # Errors
    /// When one does not become ready; the end of its log is in the text.
    pub async fn start(count: usize) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("swarm-bench-").tempdir()?;
        let mut managers = Self { members: Vec::new(), _dir: dir };
        for number in 1..=count {
            let manager = managers.start_one(number).await?;
            managers.members.push(manager);
        }
        Ok(managers)
    }

    async fn start_one(&self, number: usize) -> Result<Manager> {
        let dir = self._dir.path().join(number.to_string());
        fs::create_dir(&dir)?;
        let addr = free_address()?;
        let mut arguments = vec!["--listen-addr".to_owned(), addr.to_string(), "--advertise-addr".to_owned(), addr.to_string()];
        match self.members.first() {
            None => {
                let init = json!({
                    "node_id": NodeId::from_random(rand::random()),
                    "hostname": "m1",
                    "request": {"ListenAddr": addr.to_string(), "AdvertiseAddr": addr.to_string(), "Spec": {"Name": "default"}},
                });
                let path = dir.join("init.json");
                fs::write(&path, init.to_string())?;
                arguments.extend(["--init".to_owned(), path.display().to_string()]);
            }
            Some(first) => {
                let admitted = admit(first.addr, &first.join_token("Manager").await?).await?;
                let certificates = CertStore::new(&dir);
                certificates.save_roots(&admitted.roots)?;
                certificates.save(&admitted.credentials)?;
                arguments.extend(["--join".to_owned(), first.addr.to_string()]);
            }
        }
        let mut manager = Manager { child: spawn(&dir, &arguments)?, dir, addr };
        manager.wait_ready().await?;
        Ok(manager)
    }

    /// All managers, the founder first.
    #[must_use]
    pub fn members(&self) -> &[Manager] {
        &self.members
    }

    /// The manager that leads.
    ///
    /// # Errors
    /// When none does within [`READY_DEADLINE`].
    pub async fn leader(&self) -> Result<&Manager> {
        let begun = Instant::now();
        while begun.elapsed() < READY_DEADLINE {
            for member in &self.members {
                if member.status().await.is_ok_and(|s| s["leader"] == true) {
                    return Ok(member);
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        bail!("no manager leads")
    }
}

impl Manager {
    /// Where it answers managers and agents.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its private socket, which serves the cluster's part of the Docker API.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.dir.join("manager.sock")
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A secret that admits nodes of a role, `Worker` or `Manager`.
    ///
    /// # Errors
    /// When the manager does not answer.
    pub async fn join_token(&self, role: &str) -> Result<String> {
        let swarm = Api::connect(&self.socket()).await?.get("/swarm").await?;
        Ok(swarm["JoinTokens"][role].as_str().context("no join token")?.to_owned())
    }

    async fn status(&self) -> Result<Value> {
        Api::connect(&self.socket()).await?.get("/internal/status").await
    }

    async fn wait_ready(&mut self) -> Result<()> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("the manager ended with {status}:\n{}", self.log());
            }
            // Until it listens there is no status.
            if self.status().await.is_ok_and(|s| s["state"] == "ready" && s["has_leader"] == true) {
                return Ok(());
            }
            ensure!(begun.elapsed() < READY_DEADLINE, "the manager is not ready:\n{}", self.log());
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// What it logged.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        // One that ended by itself needs neither.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn spawn(dir: &Path, arguments: &[String]) -> Result<Child> {
    let program = swarm_testkit::bin_dir()?.join("swarm-manager");
    let mut command = Command::new(&program);
    command
        .arg("--state-dir")
        .arg(dir.join("raft"))
        .arg("--certs")
        .arg(CertStore::new(dir).dir())
        .arg("--socket")
        .arg(dir.join("manager.sock"))
        .args(["--log-level", "warn"])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(dir.join("log"))?);
    command.spawn().with_context(|| format!("could not start {}", program.display()))
}

/// Gets a certificate from the manager at `addr`, as a joining agent does.
///
/// # Errors
/// When the manager refuses.
pub async fn admit(addr: SocketAddr, token: &str) -> Result<Admitted> {
    let pem = ca_calls::fetch_roots(&addr.to_string()).await?;
    let roots = RootBundle::from_pem(std::str::from_utf8(&pem)?)?;
    admit_with(addr, token, &roots).await
}

/// As [`admit`], with roots that are known already.
///
/// # Errors
/// As [`admit`].
pub async fn admit_with(addr: SocketAddr, token: &str, roots: &RootBundle) -> Result<Admitted> {
    let key = NodeKey::generate()?;
    let request = IssueRequest { csr: key.csr_pem()?, token: token.to_owned(), availability: Availability::Active };
    let (issued, _) = ca_calls::issue(&addr.to_string(), roots, &request).await?;
    let credentials = Credentials::new(&issued.certificate, key)?;
    Ok(Admitted { issued, credentials, roots: roots.clone() })
}

/// An address of the loopback interface that nobody uses now. Its port is none that the system gives to outgoing connections:
/// on a busy machine one of those could take it before it is listened on.
///
/// # Errors
/// When none of many is free.
pub fn free_address() -> Result<SocketAddr> {
    for _ in 0..TRIES_MAX {
        let port = rand::random_range(PORTS);
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            return Ok(listener.local_addr()?);
        }
    }
    bail!("{TRIES_MAX} ports of {PORTS:?} are in use")
}
