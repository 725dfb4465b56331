//! Answers: their head is there, their body comes as it is read.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::Stream;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Incoming};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::{ApiError, ClientError};

/// A connection the daemon turned over: raw bytes in both directions.
pub type Upgraded = TokioIo<hyper::upgrade::Upgraded>;

/// Error texts are cut here; no daemon says more.
const ERROR_BYTES_MAX: usize = 1 << 20;

/// An answer whose body is not read yet.
#[derive(Debug)]
pub struct Response {
    response: http::Response<Incoming>,
    url: String,
}

/// How daemons write errors.
#[derive(Deserialize)]
struct ErrorBody {
    #[serde(default)]
    message: String,
}

impl Response {
    pub(crate) fn new(response: http::Response<Incoming>, url: String) -> Response {
        Response { response, url }
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// The headers.
    pub fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// Reads the whole body.
    ///
    /// # Errors
    /// [`ClientError::Body`]
    pub async fn bytes(self) -> Result<Bytes, ClientError> {
        let body = self.response.into_body().collect().await.map_err(|error| body_error(&error))?;
        Ok(body.to_bytes())
    }

    /// Reads the whole body as text.
    ///
    /// # Errors
    /// [`ClientError::Body`]
    pub async fn text(self) -> Result<String, ClientError> {
        Ok(String::from_utf8_lossy(&self.bytes().await?).into_owned())
    }

    /// Reads the whole body as JSON.
    ///
    /// # Errors
    /// [`ClientError::Body`], [`ClientError::Json`]
    pub async fn json<T: DeserializeOwned>(self) -> Result<T, ClientError> {
        serde_json::from_slice(&self.bytes().await?).map_err(ClientError::Json)
    }

    /// The body as it arrives, for logs and events. Dropping the stream closes the connection.
    pub fn stream(self) -> BodyStream {
        BodyStream { body: self.response.into_body() }
    }

    /// The answer itself, unless the daemon refused the request.
    pub(crate) async fn checked(self) -> Result<Response, ClientError> {
        let status = self.status();
        if status.is_success() || status.is_redirection() || status.is_informational() {
            return Ok(self);
        }
        let is_json = self
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.starts_with("application/json"));
        let url = self.url;
        let body = Limited::new(self.response.into_body(), ERROR_BYTES_MAX)
            .collect()
            .await
            .map_err(|error| ClientError::Body { reason: error.to_string() })?
            .to_bytes();
        if body.is_empty() {
            return Err(ClientError::NoMessage { status, url });
        }
        let message = if is_json {
            serde_json::from_slice::<ErrorBody>(&body).map_err(ClientError::Json)?.message
        } else {
            String::from_utf8_lossy(&body).into_owned()
        };
        let message = match message.trim() {
            "" => format!(
                "API returned a {} ({}) but provided no error-message",
                status.as_u16(),
                status.canonical_reason().unwrap_or("unknown status")
            ),
            message => message.to_string(),
        };
        Err(ApiError { status, message }.into())
    }

    pub(crate) async fn into_upgraded(self) -> Result<Upgraded, ClientError> {
        let upgraded = hyper::upgrade::on(self.response).await;
        upgraded.map(TokioIo::new).map_err(|error| body_error(&error))
    }
}

fn body_error(error: &hyper::Error) -> ClientError {
    let source = std::error::Error::source(error);
    ClientError::Body { reason: source.map_or_else(|| error.to_string(), ToString::to_string) }
}

/// The body of an answer, piece by piece.
#[derive(Debug)]
pub struct BodyStream {
    body: Incoming,
}

impl Stream for BodyStream {
    type Item = Result<Bytes, ClientError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(body_error(&error)))),
                Some(Ok(frame)) => {
                    // Trailers have nothing to say to us.
                    if let Ok(data) = frame.into_data() {
                        return Poll::Ready(Some(Ok(data)));
                    }
                }
            }
        }
    }
}
