//! A small HTTP/1.1 client over any stream: one request, one whole answer, connection closed.
//!
//! Tests use it instead of the product's own client, so that a fault there cannot hide itself.

use std::fmt;
use std::io::{Read, Write};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// A request to be sent with [`Host`](crate::Host)'s or [`Cluster`](crate::Cluster)'s helpers.
#[derive(Debug, Clone)]
pub struct Request {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    /// A request without a body. `path` is sent as it is: percent-encode what needs it, see
    /// [`Request::query`].
    #[must_use]
    pub fn new(method: &str, path: &str) -> Self {
        Self { method: method.to_owned(), path: path.to_owned(), headers: Vec::new(), body: Vec::new() }
    }

    /// A GET request.
    #[must_use]
    pub fn get(path: &str) -> Self {
        Self::new("GET", path)
    }

    /// A POST request with a JSON body.
    #[must_use]
    pub fn post(path: &str, body: &Value) -> Self {
        Self::new("POST", path).json(body)
    }

    /// Adds a query parameter, percent-encoding its value.
    #[must_use]
    pub fn query(mut self, name: &str, value: &str) -> Self {
        self.path.push(if self.path.contains('?') { '&' } else { '?' });
        self.path.push_str(name);
        self.path.push('=');
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                self.path.push(char::from(byte));
            } else {
                self.path.push_str(&format!("%{byte:02X}"));
            }
        }
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets a JSON body and its content type.
    #[must_use]
    pub fn json(self, body: &Value) -> Self {
        self.raw_body("application/json", body.to_string().into_bytes())
    }

    /// Sets a body of any kind.
    #[must_use]
    pub fn raw_body(mut self, content_type: &str, body: Vec<u8>) -> Self {
        self.body = body;
        self.header("Content-Type", content_type)
    }

    /// Sends the request over `stream` and reads the answer to its end.
    ///
    /// # Errors
    /// When the connection breaks before a whole answer came, or what came is not HTTP.
    pub fn send(&self, mut stream: impl Read + Write, host: &str) -> Result<Response> {
        let context = || format!("{} {}", self.method, self.path);
        let mut head = format!(
            "{} {} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {}\r\n",
            self.method,
            self.path,
            self.body.len()
        );
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        // A server that refuses a large body answers and closes while it is still being written: the
        // answer counts then, not the broken write.
        let written = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&self.body)).and_then(|()| stream.flush());
        let mut bytes = Vec::new();
        let read = stream.read_to_end(&mut bytes);
        match Response::parse(&bytes, &self.method) {
            Ok(response) => Ok(response),
            Err(error) => {
                written.with_context(context)?;
                read.with_context(context)?;
                Err(error.context(context()))
            }
        }
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Header names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body, freed from its transfer encoding.
    pub body: Vec<u8>,
}

impl Response {
    /// The first header of that name, which is given in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    }

    /// The body as text, invalid UTF-8 replaced.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON, when the status is below 300.
    ///
    /// # Errors
    /// When the status is another one or the body is not JSON.
    pub fn json(&self) -> Result<Value> {
        ensure!(self.status < 300, "{self}");
        serde_json::from_slice(&self.body).with_context(|| format!("not JSON: {self}"))
    }

    /// The body as text without white space at its end, when the status is below 300.
    ///
    /// # Errors
    /// When the status is another one.
    pub fn ok(&self) -> Result<String> {
        ensure!(self.status < 300, "{self}");
        Ok(self.text().trim_end().to_owned())
    }

    /// Checks that the request was refused with `status` and that `text` is in the answer.
    ///
    /// # Errors
    /// When it was answered otherwise.
    pub fn refused_with(&self, status: u16, text: &str) -> Result<()> {
        ensure!(self.status == status && self.text().contains(text), "should have answered {status} with {text:?}: {self}");
        Ok(())
    }

    fn parse(bytes: &[u8], method: &str) -> Result<Self> {
        let mut rest = bytes;
        loop {
            let end = rest.windows(4).position(|window| window == b"\r\n\r\n").context("no whole answer")?;
            let head = std::str::from_utf8(&rest[..end]).context("a head that is not text")?;
            rest = &rest[end + 4..];
            let mut lines = head.split("\r\n");
            let status = lines
                .next()
                .and_then(|line| line.strip_prefix("HTTP/1."))
                .and_then(|line| line.split(' ').nth(1))
                .and_then(|code| code.parse().ok())
                .with_context(|| format!("not an HTTP answer: {head}"))?;
            // "100 Continue" and its like precede the answer.
            if status < 200 {
                continue;
            }
            let headers: Vec<_> = lines
                .filter_map(|line| line.split_once(':'))
                .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
                .collect();
            let mut response = Self { status, headers, body: Vec::new() };
            if method != "HEAD" && !matches!(status, 204 | 304) {
                response.body = response.decode(rest)?;
            }
            return Ok(response);
        }
    }

    fn decode(&self, body: &[u8]) -> Result<Vec<u8>> {
        if self.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
            return unchunk(body);
        }
        if let Some(length) = self.header("content-length") {
            let length: usize = length.parse().context("a wrong content-length")?;
            ensure!(body.len() >= length, "body cut off: {} of {length} bytes", body.len());
            return Ok(body[..length].to_vec());
        }
        Ok(body.to_vec())
    }
}

impl fmt::Display for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.status, self.text().trim_end())
    }
}

fn unchunk(mut bytes: &[u8]) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = bytes.windows(2).position(|window| window == b"\r\n").context("body cut off within a chunk's size")?;
        let size = std::str::from_utf8(&bytes[..end])?;
        let size = usize::from_str_radix(size.split(';').next().unwrap_or_default().trim(), 16)
            .with_context(|| format!("a wrong chunk size {size:?}"))?;
        bytes = &bytes[end + 2..];
        if size == 0 {
            return Ok(body);
        }
        if bytes.len() < size + 2 {
            bail!("body cut off within a chunk");
        }
        body.extend_from_slice(&bytes[..size]);
        bytes = &bytes[size + 2..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_values_are_encoded() {
        let request = Request::get("/tasks").query("filters", r#"{"a":["b"]}"#);
        assert_eq!(request.path, "/tasks?filters=%7B%22a%22%3A%5B%22b%22%5D%7D");
        assert_eq!(request.query("b", "c d").path.split('&').nth(1), Some("b=c%20d"));
    }

    #[test]
    fn chunks_are_joined_and_an_early_answer_is_skipped() {
        let bytes = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\
            X-A: b\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n";
        let response = Response::parse(bytes, "GET").unwrap();
        assert_eq!(response.ok().unwrap(), "abcde");
        assert_eq!(response.header("x-a"), Some("b"));
    }

    #[test]
    fn a_cut_body_is_no_answer() {
        let cut = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc";
        assert!(Response::parse(cut, "GET").is_err());
        let cut = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc";
        assert!(Response::parse(cut, "GET").is_err());
    }
}
