//! Requests under construction.

use std::fmt::Write as _;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, UPGRADE};
use http::{HeaderMap, Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::client::Client;
use crate::error::ClientError;
use crate::response::{Response, Upgraded};

/// A request that is not sent yet. Mistakes in its parts show when it is sent.
#[derive(Debug)]
#[must_use = "a request does nothing until it is sent"]
pub struct RequestBuilder {
    client: Client,
    method: Method,
    path: String,
    query: String,
    headers: HeaderMap,
    body: Bytes,
    /// Without the API version in front of the path.
    unversioned: bool,
    mistake: Option<ClientError>,
}

impl RequestBuilder {
    pub(crate) fn new(client: Client, method: Method, path: &str) -> RequestBuilder {
        RequestBuilder {
            client,
            method,
            path: path.into(),
            query: String::new(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            unversioned: false,
            mistake: None,
        }
    }

    /// Adds a query parameter.
    pub fn query(mut self, name: &str, value: impl AsRef<str>) -> RequestBuilder {
        if !self.query.is_empty() {
            self.query.push('&');
        }
        push_encoded(&mut self.query, name);
        self.query.push('=');
        push_encoded(&mut self.query, value.as_ref());
        self
    }

    /// Adds query parameters.
    pub fn queries<N, V>(self, parameters: impl IntoIterator<Item = (N, V)>) -> RequestBuilder
    where
        N: AsRef<str>,
        V: AsRef<str>,
    {
        parameters.into_iter().fold(self, |request, (name, value)| request.query(name.as_ref(), value))
    }

    /// Sets a header, such as `X-Registry-Auth`.
    pub fn header(mut self, name: &str, value: &str) -> RequestBuilder {
        let parsed =
            HeaderName::from_bytes(name.as_bytes()).map_err(http::Error::from).and_then(|name| Ok((name, HeaderValue::from_str(value)?)));
        match parsed {
            Ok((name, value)) => {
                self.headers.insert(name, value);
            }
            Err(error) => self.mistake = Some(error.into()),
        }
        self
    }

    /// Sets the body to `value` as JSON.
    pub fn json(mut self, value: &impl Serialize) -> RequestBuilder {
        match serde_json::to_vec(value) {
            Ok(text) => self.body_of("application/json", text),
            Err(error) => {
                self.mistake = Some(ClientError::RequestJson(error));
                self
            }
        }
    }

    /// Sets the body to bytes of another type.
    pub fn body_of(mut self, content_type: &'static str, body: impl Into<Bytes>) -> RequestBuilder {
        self.headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        self.body = body.into();
        self
    }

    /// Leaves the API version out of the path; for routes that have none, such as `/_ping`.
    pub fn unversioned(mut self) -> RequestBuilder {
        self.unversioned = true;
        self
    }

    /// Sends the request and waits for the head of the answer; the body is still to come.
    ///
    /// # Errors
    /// [`ClientError::Api`] when the daemon refuses it; see there for the rest.
    pub async fn send(self) -> Result<Response, ClientError> {
        let response = self.send_unchecked().await?;
        response.checked().await
    }

    /// Sends the request and reads the JSON of the answer.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn fetch<T: DeserializeOwned>(self) -> Result<T, ClientError> {
        self.send().await?.json().await
    }

    /// Sends the request, and reads the answer to its end without looking at it.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn finish(self) -> Result<(), ClientError> {
        self.send().await?.bytes().await.map(|_| ())
    }

    /// Asks the daemon to turn the connection over to `protocol`, such as `tcp`.
    ///
    /// # Errors
    /// [`ClientError::NotUpgraded`] when it answers without doing so; see there for the rest.
    pub async fn upgrade(self, protocol: &str) -> Result<Upgraded, ClientError> {
        let request = self.header(CONNECTION.as_str(), "Upgrade").header(UPGRADE.as_str(), protocol);
        let response = request.send().await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(ClientError::NotUpgraded { protocol: protocol.into(), status: response.status() });
        }
        response.into_upgraded().await
    }

    pub(crate) async fn send_unchecked(mut self) -> Result<Response, ClientError> {
        if let Some(mistake) = self.mistake.take() {
            return Err(mistake);
        }
        let mut path = String::new();
        if !self.unversioned {
            // Writing to a string cannot fail.
            let _ = write!(path, "/v{}", self.client.version().await?);
        }
        path.push_str(&self.path);
        if !self.query.is_empty() {
            path.push('?');
            path.push_str(&self.query);
        }
        let takes_body = matches!(self.method, Method::POST | Method::PUT);
        if takes_body && !self.headers.contains_key(CONTENT_TYPE) {
            // What docker's client says about an empty body.
            self.headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        }
        self.client.exchange(self.method, &path, self.headers, self.body).await
    }
}

/// Encodes `text` for a query.
fn push_encoded(out: &mut String, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte));
            }
            byte => {
                // Writing to a string cannot fail.
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
}
