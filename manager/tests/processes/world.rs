//! Manager processes on addresses of the loopback network, and what a client asks them.

use axum::body::Body;
use base64::Engine;
use http::{Request, header};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::{
    fs::{self, File},
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};
use swarm_manager::{ca::Issued, peer::Peers};
use swarm_pki::{CertStore, Credentials, NodeKey, RootBundle};
use swarm_types::NodeId;

/// Anything a test waits for comes within this time, on however busy a machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);
/// A single request is answered within this time, be it with an error.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A manager's folder, and its process while it runs.
pub(crate) struct Manager {
    pub(crate) dir: PathBuf,
    pub(crate) addr: String,
    args: Vec<String>,
    child: Option<Child>,
}

/// Waits until `what` comes true.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(LOOK_EVERY);
    }
}

impl Manager {
    fn new(dir: PathBuf, addr: String, begin: [String; 2], extra: &[&str]) -> Self {
        let mut args = vec![
            "--state-dir".to_owned(),
            dir.join("manager").display().to_string(),
            "--certs".to_owned(),
            dir.join("certificates").display().to_string(),
            "--socket".to_owned(),
            dir.join("manager.sock").display().to_string(),
            "--listen-addr".to_owned(),
            addr.clone(),
            "--advertise-addr".to_owned(),
            addr.clone(),
        ];
        args.extend(begin);
        args.extend(extra.iter().map(ToString::to_string));
        Self { dir, addr, args, child: None }
    }

    /// The folder of its log.
    pub(crate) fn state(&self) -> PathBuf {
        self.dir.join("manager")
    }

    pub(crate) fn start(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        let log = File::options().create(true).append(true).open(self.dir.join("manager.log")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_swarm-manager"));
        command.args(&self.args).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.child = Some(command.spawn().unwrap());
    }

    /// Ends it at once, whatever it does.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // One that ended by itself cannot be killed.
            drop(child.kill());
            child.wait().unwrap();
        }
    }

    /// Waits until it ended by itself; its exit code.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        let child = self.child.as_mut().unwrap();
        let code = until("the manager ends", || child.try_wait().unwrap()).code();
        self.child = None;
        code
    }

    pub(crate) fn runs(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_none())
    }

    /// Everything it ever printed.
    pub(crate) fn printed(&self) -> String {
        fs::read_to_string(self.dir.join("manager.log")).unwrap_or_default()
    }

    /// Status and JSON body of a request; `None` if there is no manager behind the socket, or it broke off.
    pub(crate) fn try_ask(&self, method: &str, path: &str, body: Option<&Value>) -> Option<(u16, Value)> {
        let mut socket = UnixStream::connect(self.dir.join("manager.sock")).ok()?;
        socket.set_read_timeout(Some(ANSWER_WITHIN)).unwrap();
        let text = body.map_or_else(String::new, Value::to_string);
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: manager\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            text.len()
        );
        socket.write_all(head.as_bytes()).ok()?;
        socket.write_all(text.as_bytes()).ok()?;
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).ok()?;
        let split = answer.windows(4).position(|w| w == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&answer[..split]).to_lowercase();
        assert!(!head.contains("chunked"), "answers have lengths: {head}");
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let body = &answer[split + 4..];
        let value = serde_json::from_slice(body).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(body).into_owned()));
        Some((status, value))
    }

    pub(crate) fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        self.try_ask(method, path, body).unwrap_or_else(|| panic!("{}: no answer to {method} {path}\n{}", self.addr, self.printed()))
    }

    pub(crate) fn status(&self) -> Option<Value> {
        self.try_ask("GET", "/internal/status", None).map(|(_, status)| status)
    }

    /// Waits until it is a member that answers.
    pub(crate) fn ready(&mut self) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = self.status();
            if let Some(status) = status.as_ref().filter(|s| s["state"] == "ready" && s["has_leader"] == true) {
                return status.clone();
            }
            let gone = !self.runs();
            assert!(!gone && Instant::now() < deadline, "{} is not ready: {status:?}\n{}", self.addr, self.printed());
            std::thread::sleep(LOOK_EVERY);
        }
    }

    pub(crate) fn leads(&self) -> bool {
        self.status().is_some_and(|status| status["leader"] == true)
    }

    /// Creates a config; how it went.
    pub(crate) fn try_write(&self, name: &str, bytes: &[u8]) -> Option<(u16, Value)> {
        let data = base64::engine::general_purpose::STANDARD.encode(bytes);
        self.try_ask("POST", "/configs/create", Some(&json!({"Name": name, "Data": data, "Labels": {}})))
    }

    /// Creates a config, again while it does not work.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        until(&format!("config {name} is written"), || match self.try_write(name, bytes)? {
            // Stored by an earlier try whose answer was lost.
            (201 | 409, _) => Some(()),
            (status, answer) => {
                println!("{}: {name} is not written yet: {status} {answer}", self.addr);
                None
            }
        });
    }

    /// Names and sizes of all configs, as this manager's own state has them.
    pub(crate) fn configs(&self) -> Vec<(String, usize)> {
        let (status, list) = self.ask("GET", "/configs", None);
        assert_eq!(status, 200, "{list}");
        let entry = |config: &Value| {
            let data = config["Spec"]["Data"].as_str().unwrap_or_default();
            let bytes = base64::engine::general_purpose::STANDARD.decode(data).unwrap();
            (config["Spec"]["Name"].as_str().unwrap().to_owned(), bytes.len())
        };
        let mut found: Vec<_> = list.as_array().unwrap().iter().map(entry).collect();
        found.sort();
        found
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let printed = self.printed();
            let noise = |line: &&str| !line.contains(" openraft::") && !line.contains(" at /");
            let lines: Vec<&str> = printed.lines().filter(noise).collect();
            eprintln!("--- {}\n{}", self.addr, lines[lines.len().saturating_sub(60)..].join("\n"));
        }
    }
}

/// A cluster of managers without agents.
pub(crate) struct World {
    pub(crate) managers: Vec<Manager>,
    _dir: tempfile::TempDir,
}

impl World {
    /// Starts one manager, in `dirs[0]` of the world if given.
    pub(crate) async fn start(count: usize, extra: &[&str]) -> Self {
        Self::start_in(count, extra, |dir, n| dir.join(format!("m{n}"))).await
    }

    /// Starts managers whose folders are where `place` says.
    pub(crate) async fn start_in(count: usize, extra: &[&str], place: impl Fn(&Path, usize) -> PathBuf) -> Self {
        let dir = tempfile::tempdir().unwrap();
        // A network of its own on the loopback device, so that tests beside it have others.
        let [a, b] = rand::random::<[u8; 2]>();
        let addr = |n: usize| format!("127.{}.{}.{}:2377", a.max(1), b, n + 1);
        let mut world = Self { managers: Vec::new(), _dir: dir };
        let first = place(world._dir.path(), 0);
        fs::create_dir_all(&first).unwrap();
        let init = first.join("init.json");
        let node_id = NodeId::from_random(rand::random());
        fs::write(&init, json!({"node_id": node_id, "hostname": "m0", "request": {}}).to_string()).unwrap();
        let begin = ["--init".to_owned(), init.display().to_string()];
        world.managers.push(Manager::new(first, addr(0), begin, extra));
        world.managers[0].start();
        world.managers[0].ready();
        for n in 1..count {
            let folder = place(world._dir.path(), n);
            world.join(folder, addr(n), extra).await;
        }
        world
    }

    /// Gives a node its certificate and starts its manager.
    pub(crate) async fn join(&mut self, folder: PathBuf, addr: String, extra: &[&str]) {
        fs::create_dir_all(&folder).unwrap();
        certify(&self.managers[0], &folder).await;
        let begin = ["--join".to_owned(), self.managers[0].addr.clone()];
        let mut manager = Manager::new(folder, addr, begin, extra);
        manager.start();
        manager.ready();
        self.managers.push(manager);
    }

    /// The manager that leads, once one does.
    pub(crate) fn leader(&self) -> usize {
        until("somebody leads", || self.managers.iter().position(Manager::leads))
    }
}

/// What an agent does to become a manager's host: a certificate against the token.
async fn certify(by: &Manager, folder: &Path) {
    let (_, swarm) = by.ask("GET", "/swarm", None);
    let token = swarm["JoinTokens"]["Manager"].as_str().unwrap_or_else(|| panic!("no token in {swarm}"));
    let roots = CertStore::new(&by.dir).load_roots().unwrap().unwrap();
    let key = NodeKey::generate().unwrap();
    let peers = Peers::new(Arc::new(swarm_pki::client_config_ca(&roots)));
    let body = json!({"csr": key.csr_pem().unwrap().to_string(), "token": token}).to_string();
    let request = Request::post("/ca/issue").header(header::CONTENT_TYPE, "application/json").body(Body::from(body)).unwrap();
    let answer = peers.send(&by.addr, request).await.unwrap();
    let status = answer.status();
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    assert!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&bytes));
    let issued: Issued = serde_json::from_slice(&bytes).unwrap();
    let store = CertStore::new(folder);
    store.save_roots(&RootBundle::from_pem(&issued.root_ca).unwrap()).unwrap();
    store.save(&Credentials::new(&issued.certificate, key).unwrap()).unwrap();
}
