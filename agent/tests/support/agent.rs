//! The agent as a process, with a manager process that this test program plays itself.

use super::{
    cluster::FakeCluster,
    raw::{Head, call},
    until,
};
use http::{Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use std::{
    convert::Infallible,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::SystemTime,
};
use swarm_pki::{CertStore, Credentials, NodeKey, NodeSubject, Role, RootCa};
use swarm_types::{ClusterId, NodeId};

/// Name of the ignored test that is the manager process.
pub(crate) const MANAGER_TEST: &str = "the_manager_process";

/// A folder with an agent in it.
pub(crate) struct AgentBench {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) socket: PathBuf,
    pub(crate) state: PathBuf,
    child: Option<Child>,
}

impl AgentBench {
    /// Prepares a folder; nothing runs yet.
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let exe = std::env::current_exe().expect("this program");
        let script = format!(
            "#!/bin/sh\nFAKE_MANAGER_DIR={} exec {} --exact --ignored --nocapture {MANAGER_TEST} -- \"$@\"\n",
            dir.path().display(),
            exe.display()
        );
        let manager = dir.path().join("manager.sh");
        fs::write(&manager, script).expect("writes");
        fs::set_permissions(&manager, fs::Permissions::from_mode(0o755)).expect("sets the mode");
        let (socket, state) = (dir.path().join("swarm.sock"), dir.path().join("state"));
        Self { dir, socket, state, child: None }
    }

    /// How the manager process is to behave from now on: `fail`, `hang`, `leave`, or nothing special.
    pub(crate) fn manager_mode(&self, mode: &str) {
        fs::write(self.dir.path().join("mode"), mode).expect("writes");
    }

    pub(crate) fn command(&self) -> Command {
        self.command_in("state")
    }

    /// An agent on another state folder, otherwise the same.
    pub(crate) fn command_in(&self, state: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_swarm-agent"));
        let path = |name: &str| self.dir.path().join(name).display().to_string();
        let log = fs::OpenOptions::new().create(true).append(true).open(self.dir.path().join("agent.log")).expect("opens");
        command
            .args(["--state-dir", &path(state), "--host", &format!("unix://{}", path("swarm.sock"))])
            .args(["--docker-host", &format!("unix://{}", path("docker.sock")), "--manager-bin", &path("manager.sh")])
            .args(["--plugin-dir", &path("plugins")])
            .args(["--log-level", "debug", "--hostname", "test-host", "--label", "rack=7"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        command
    }

    pub(crate) async fn start(&mut self) {
        self.start_with(&[]).await;
    }

    /// As [`AgentBench::start`], with these environment variables.
    pub(crate) async fn start_with(&mut self, variables: &[(&str, &str)]) {
        self.child = Some(self.command().envs(variables.iter().copied()).spawn().expect("starts"));
        let socket = self.socket.clone();
        until("the agent's socket", || std::os::unix::net::UnixStream::connect(&socket).is_ok()).await;
    }

    fn pid(&self) -> nix::unistd::Pid {
        let id = self.child.as_ref().expect("the agent runs").id();
        nix::unistd::Pid::from_raw(i32::try_from(id).expect("process ids are small"))
    }

    /// Sends a signal and waits for the end; the exit code.
    pub(crate) async fn end(&mut self, signal: nix::sys::signal::Signal) -> Option<i32> {
        nix::sys::signal::kill(self.pid(), signal).expect("the agent runs");
        let mut child = self.child.take().expect("the agent runs");
        let waited = tokio::task::spawn_blocking(move || child.wait().expect("waits"));
        super::soon("the agent's end", waited).await.expect("no panic").code()
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> (u16, String) {
        let (head, body) = call(&self.socket, "POST", path, body).await;
        (head.status, body)
    }

    pub(crate) async fn get(&self, path: &str) -> (Head, String) {
        call(&self.socket, "GET", path, "").await
    }

    /// The swarm part of `/info`.
    pub(crate) async fn swarm(&self) -> serde_json::Value {
        let (head, body) = self.get("/info").await;
        assert_eq!(head.status, 200, "{body}");
        let info: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        info["Swarm"].clone()
    }

    /// Waits until `/info` shows this state.
    pub(crate) async fn until_state(&self, state: &str) -> serde_json::Value {
        let end = tokio::time::Instant::now() + super::DEADLINE;
        loop {
            let swarm = self.swarm().await;
            if swarm["LocalNodeState"] == state {
                return swarm;
            }
            assert!(tokio::time::Instant::now() < end, "no {state}: {swarm}\n{}", self.log());
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("agent.log")).unwrap_or_default()
    }

    /// Process ids of managers of this agent.
    pub(crate) fn managers(&self) -> Vec<i32> {
        let socket = self.state.join("manager.sock").display().to_string();
        let pids = fs::read_dir("/proc").expect("proc").filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
        pids.filter(|pid| {
            let cmdline = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            cmdline.split(|byte| *byte == 0).any(|arg| arg == socket.as_bytes())
        })
        .collect()
    }

    /// Names in the state folder, without the lock and the manager's log.
    pub(crate) fn left_over(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.state).expect("a state folder");
        let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
        let mut names: Vec<String> = names.filter(|name| name != "agent.lock" && name != "manager.log").collect();
        names.sort();
        names
    }
}

impl Drop for AgentBench {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
        for pid in self.managers() {
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).ok();
        }
    }
}

/// A port that nobody uses.
pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    listener.local_addr().expect("is bound").port()
}

/// The manager process: what the agent started with its usual flags.
pub(crate) async fn be_manager() {
    let Some(dir) = std::env::var_os("FAKE_MANAGER_DIR") else {
        return;
    };
    let args: Vec<String> = std::env::args().collect();
    let flag = |name: &str| args.iter().position(|arg| arg == name).and_then(|at| args.get(at + 1)).cloned();
    let mode = fs::read_to_string(Path::new(&dir).join("mode")).unwrap_or_default();
    fs::write(Path::new(&dir).join("manager.args"), args.join(" ")).expect("writes");
    match mode.as_str() {
        "fail" => {
            eprintln!("swarm-manager: the disk is made of cheese");
            std::process::exit(1);
        }
        "leave" => std::process::exit(3),
        _ => {}
    }
    let state = PathBuf::from(flag("--state-dir").expect("a state folder"));
    fs::create_dir_all(&state).expect("makes its folder");
    let certificates = CertStore::new(Path::new(&flag("--certs").expect("certificates")).parent().expect("a folder"));
    if let Some(file) = flag("--init").filter(|_| !state.join("ca.pem").exists()) {
        make_cluster(&state, &certificates, &file);
    }
    let listen = flag("--listen-addr").expect("an address");
    let is_ready = mode != "hang";
    let mut status = serde_json::json!({"state": if is_ready { "ready" } else { "starting" }, "error": "", "leader": true,
        "has_leader": true, "nodes": 1, "managers": 1});
    if state.join("ca.pem").exists() {
        let read = |name: &str| fs::read_to_string(state.join(name)).expect("reads");
        let ca = RootCa::from_pem(&read("ca.pem"), &read("ca.key")).expect("a root");
        let (cluster, node) = (ClusterId::parse(&read("cluster")).expect("an id"), NodeId::parse(&read("node")).expect("an id"));
        status["cluster_id"] = cluster.to_string().into();
        status["node_id"] = node.to_string().into();
        status["remote_managers"] = serde_json::json!([{"NodeID": node, "Addr": flag("--advertise-addr")}]);
        if is_ready {
            let fake = FakeCluster::with(ca, cluster, node, &listen).await;
            tokio::spawn(fake.be_polite(swarm_types::Role::Manager));
        }
    }
    serve_status(Path::new(&flag("--socket").expect("a socket")), status).await;
}

fn make_cluster(state: &Path, certificates: &CertStore, file: &str) {
    let init: serde_json::Value = serde_json::from_slice(&fs::read(file).expect("reads")).expect("JSON");
    assert_eq!(init["hostname"], "test-host");
    let ca = RootCa::create(SystemTime::now()).expect("a root");
    let cluster = ClusterId::from_random(super::cluster::random());
    let node = init["node_id"].as_str().expect("an id");
    let key = NodeKey::generate().expect("a key");
    let subject = NodeSubject { node_id: node, role: Role::Manager, cluster_id: cluster.as_str() };
    let csr = key.csr_pem().expect("a request");
    let chain = ca.sign_csr(&csr, subject, super::cluster::VALIDITY, SystemTime::now()).expect("signs");
    certificates.save_roots(ca.roots()).expect("saves");
    certificates.save(&Credentials::new(&chain, key).expect("credentials")).expect("saves");
    let write = |name: &str, text: &str| fs::write(state.join(name), text).expect("writes");
    write("ca.key", ca.key_pem());
    write("cluster", cluster.as_str());
    write("node", node);
    write("ca.pem", ca.cert_pem());
}

async fn serve_status(socket: &Path, status: serde_json::Value) {
    drop(fs::remove_file(socket));
    let listener = tokio::net::UnixListener::bind(socket).expect("binds");
    let nodes = serde_json::json!([{"ID": status["node_id"], "Version": {"Index": 1}, "CreatedAt": "2026-01-01T00:00:00Z",
        "UpdatedAt": "2026-01-01T00:00:00Z", "Spec": {}, "ManagerStatus": {"Reachability": "reachable", "Addr": "a:1"}}]);
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            return;
        };
        let (status, nodes) = (status.to_string(), nodes.to_string());
        tokio::spawn(async move {
            let service = service_fn(|request: Request<Incoming>| {
                let body = match request.uri().path() {
                    "/internal/status" => status.clone(),
                    "/nodes" => nodes.clone(),
                    _ => "{}".to_owned(),
                };
                async move { Ok::<_, Infallible>(Response::new(Full::<bytes::Bytes>::from(body))) }
            });
            drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
        });
    }
}
