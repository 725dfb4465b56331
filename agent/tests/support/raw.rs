//! An HTTP/1.1 client on the level of bytes.

use super::soon;
use std::path::Path;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
};

/// A connection, and what was read beyond what was asked for.
pub(crate) struct Raw {
    pub(crate) stream: UnixStream,
    rest: Vec<u8>,
}

/// An answer's head.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) text: String,
}

impl Head {
    /// The value of a header, by its lower-case name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.text.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

impl Raw {
    pub(crate) async fn connect(path: &Path) -> Self {
        let stream = soon("a connection", UnixStream::connect(path)).await.expect("the socket is served");
        Self { stream, rest: Vec::new() }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        soon("sending", self.stream.write_all(bytes.as_ref())).await.expect("the other side reads");
    }

    pub(crate) async fn end_sending(&mut self) {
        self.stream.shutdown().await.expect("half can be closed");
    }

    async fn more(&mut self) -> usize {
        let mut buffer = vec![0; 65536];
        let length = soon("bytes", self.stream.read(&mut buffer)).await.expect("the other side is there");
        self.rest.extend_from_slice(&buffer[..length]);
        length
    }

    pub(crate) async fn head(&mut self) -> Head {
        loop {
            if let Some(end) = self.rest.windows(4).position(|four| four == b"\r\n\r\n") {
                let text = String::from_utf8_lossy(&self.rest[..end]).into_owned();
                self.rest.drain(..end + 4);
                let status = text.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status line");
                return Head { status, text };
            }
            assert_ne!(self.more().await, 0, "the connection ended before an answer");
        }
    }

    /// Exactly so many bytes.
    pub(crate) async fn take(&mut self, length: usize) -> Vec<u8> {
        while self.rest.len() < length {
            assert_ne!(self.more().await, 0, "the connection ended early");
        }
        self.rest.drain(..length).collect()
    }

    /// One chunk of a chunked body; empty at its end.
    pub(crate) async fn chunk(&mut self) -> Vec<u8> {
        let length = loop {
            if let Some(end) = self.rest.windows(2).position(|two| two == b"\r\n") {
                let line: Vec<u8> = self.rest.drain(..end + 2).collect();
                let text = String::from_utf8_lossy(&line[..end]).into_owned();
                break usize::from_str_radix(text.trim(), 16).expect("a chunk length");
            }
            assert_ne!(self.more().await, 0, "the connection ended early");
        };
        let chunk = self.take(length).await;
        self.take(2).await;
        chunk
    }

    /// Everything until the other side ends.
    pub(crate) async fn read_all(&mut self) -> Vec<u8> {
        while self.more().await != 0 {}
        std::mem::take(&mut self.rest)
    }

    /// The body of an answer with this head.
    pub(crate) async fn body(&mut self, head: &Head) -> String {
        let bytes = match head.header("content-length") {
            Some(length) => self.take(length.parse().expect("a number")).await,
            None => {
                let mut body = Vec::new();
                loop {
                    let chunk = self.chunk().await;
                    if chunk.is_empty() {
                        break body;
                    }
                    body.extend(chunk);
                }
            }
        };
        String::from_utf8(bytes).expect("text")
    }
}

/// One request with a body of known length; status, head and body of the answer.
pub(crate) async fn call(socket: &Path, method: &str, path: &str, body: &str) -> (Head, String) {
    let mut raw = Raw::connect(socket).await;
    let length = body.len();
    raw.send(format!("{method} {path} HTTP/1.1\r\nHost: docker\r\nContent-Length: {length}\r\n\r\n{body}")).await;
    let head = raw.head().await;
    let body = if method == "HEAD" { String::new() } else { raw.body(&head).await };
    (head, body)
}

/// The message of an error answer.
pub(crate) fn message(body: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(body).expect("an error is JSON");
    value["message"].as_str().expect("an error has a message").to_owned()
}
