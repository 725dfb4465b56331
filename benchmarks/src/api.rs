//! Requests over connections that stay open, to unix sockets of daemons.

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::path::Path;
use tokio::net::UnixStream;

/// One HTTP/1.1 connection to a daemon's socket.
#[derive(Debug)]
pub struct Api {
    sender: SendRequest<Full<Bytes>>,
}

impl Api {
    /// Connects. The connection's driver is spawned and ends with this value.
    ///
    /// # Errors
    /// When nobody listens.
    pub async fn connect(socket: &Path) -> Result<Self> {
        let stream = UnixStream::connect(socket).await.with_context(|| format!("could not connect to {}", socket.display()))?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // Its failure is also that of the request under way.
        tokio::spawn(connection);
        Ok(Self { sender })
    }

    /// Sends a request and reads the answer whole.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn send(&mut self, method: Method, path: &str, body: Vec<u8>) -> Result<(StatusCode, Bytes)> {
        self.sender.ready().await?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::HOST, "docker")
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(Full::from(body))?;
        let response = self.sender.send_request(request).await?;
        let status = response.status();
        Ok((status, response.into_body().collect().await?.to_bytes()))
    }

    /// Gets JSON.
    ///
    /// # Errors
    /// When the answer is an error or no JSON.
    pub async fn get(&mut self, path: &str) -> Result<Value> {
        let (status, body) = self.send(Method::GET, path, Vec::new()).await?;
        ensure!(status.is_success(), "GET {path}: {status} {}", String::from_utf8_lossy(&body));
        Ok(serde_json::from_slice(&body)?)
    }

    /// Posts JSON and gives the answer's body.
    ///
    /// # Errors
    /// When the answer is an error.
    pub async fn post(&mut self, path: &str, body: &Value) -> Result<Bytes> {
        let (status, answer) = self.send(Method::POST, path, serde_json::to_vec(body)?).await?;
        ensure!(status.is_success(), "POST {path}: {status} {}", String::from_utf8_lossy(&answer));
        Ok(answer)
    }
}
