//! A daemon that answers from a table, and the program run against it.

#![expect(clippy::unwrap_used, reason = "a failed step ends the test")]

pub(crate) mod cluster;

use serde_json::Value;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

/// A call that the program made.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// Method and path without the API version, such as `POST /services/create`.
    pub(crate) route: String,
    /// What comes after `?`, still encoded.
    pub(crate) query: String,
    /// The body; null if there was none.
    pub(crate) body: Value,
}

/// Status and body of an answer.
pub(crate) type Answer = (u16, String);

type Handler = dyn Fn(&Call) -> Option<Answer> + Send + Sync;

/// A daemon on a socket of its own. Its thread ends with the test.
pub(crate) struct Daemon {
    folder: TempDir,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Daemon {
    /// A daemon that answers with what `handler` gives; `None` is "page not found".
    pub(crate) fn new(handler: impl Fn(&Call) -> Option<Answer> + Send + Sync + 'static) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("s.sock")).unwrap();
        let calls = Arc::new(Mutex::new(Vec::new()));
        let handler: Arc<Handler> = Arc::new(handler);
        let log = Arc::clone(&calls);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (handler, log) = (Arc::clone(&handler), Arc::clone(&log));
                std::thread::spawn(move || serve(stream, &*handler, &log));
            }
        });
        Self { folder, calls }
    }

    /// Where it listens.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("s.sock")
    }

    /// The calls so far that change something.
    pub(crate) fn writes(&self) -> Vec<Call> {
        self.calls.lock().unwrap().iter().filter(|call| !call.route.starts_with("GET ")).cloned().collect()
    }

    /// All calls so far.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    /// The program with this daemon, an empty configuration and the words of `line`, not started yet.
    pub(crate) fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_swarm"));
        command.env_clear().env("DOCKER_CONFIG", self.folder.path()).env("HOME", self.folder.path());
        command.arg("-H").arg(format!("unix://{}", self.socket().display())).args(shlex::split(line).unwrap());
        command
    }

    /// Runs the program.
    pub(crate) fn run(&self, line: &str) -> Run {
        Run::of(&self.command(line).output().unwrap())
    }

    /// Writes the user's `config.json`.
    pub(crate) fn configure(&self, json: &str) {
        std::fs::write(self.folder.path().join("config.json"), json).unwrap();
    }
}

/// What a run of the program printed, and how it ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// Standard output.
    pub(crate) out: String,
    /// Standard error.
    pub(crate) err: String,
    /// Exit code.
    pub(crate) code: i32,
}

impl Run {
    /// From a process that ended.
    pub(crate) fn of(output: &Output) -> Self {
        Self {
            out: String::from_utf8(output.stdout.clone()).unwrap(),
            err: String::from_utf8(output.stderr.clone()).unwrap(),
            code: output.status.code().unwrap_or(-1),
        }
    }

    /// What a run that ends well prints.
    pub(crate) fn ok(out: &str) -> Self {
        Self { out: out.to_owned(), err: String::new(), code: 0 }
    }

    /// What a run that fails prints.
    pub(crate) fn failed(code: i32, err: &str) -> Self {
        Self { out: String::new(), err: format!("{err}\n"), code }
    }
}

fn serve(stream: UnixStream, handler: &Handler, log: &Mutex<Vec<Call>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = stream;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let mut length = 0;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).unwrap();
            let header = header.trim().to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let (method, rest) = line.split_once(' ').unwrap();
        let target = rest.split(' ').next().unwrap();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let path = path.strip_prefix("/v").and_then(|path| path.find('/').map(|at| &path[at..])).unwrap_or(path);
        let call =
            Call { route: format!("{method} {path}"), query: query.to_owned(), body: serde_json::from_slice(&body).unwrap_or(Value::Null) };
        let (status, text) = if path == "/_ping" {
            (200, "OK".to_owned())
        } else {
            log.lock().unwrap().push(call.clone());
            let answer = handler(&call);
            answer.unwrap_or((404, r#"{"message":"page not found"}"#.to_owned()))
        };
        let length = text.len();
        let text = if method == "HEAD" { "" } else { &text };
        let head =
            format!("HTTP/1.1 {status} X\r\nApi-Version: 1.50\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n");
        if writer.write_all(format!("{head}{text}").as_bytes()).is_err() {
            return;
        }
    }
}
