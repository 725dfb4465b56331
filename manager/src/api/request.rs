//! A request as the handlers see it: read once, bounded.

use super::{ApiError, api_version::ApiVersion, go_json, query::Query, route::Route};
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, header, request::Parts};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// Bytes of a body at most. The largest spec that makes sense is far smaller, and all of it goes into the log.
pub(super) const BODY_BYTES_MAX: usize = 4 << 20;
/// A client that sends too much is listened to up to here, and so long: one that is cut off while it sends reads a broken
/// connection instead of the answer.
const DISCARD_BYTES_MAX: usize = 512 << 20;
const DISCARD_TIMEOUT: Duration = Duration::from_secs(10);
/// The version of the API that the client spoke to the gateway.
pub(super) const API_VERSION_HEADER: &str = "x-swarm-api-version";
/// Registry credentials of the client.
const REGISTRY_AUTH_HEADER: &str = "x-registry-auth";

/// A body that is not read.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// More bytes than any spec has.
    #[error("the request body is larger than {} MiB", BODY_BYTES_MAX >> 20)]
    TooLarge,
    /// Said to be something else than JSON.
    #[error("unsupported Content-Type header ({0}): must be 'application/json'")]
    ContentType(String),
    /// It ended early, or the connection did.
    #[error("could not read the request body: {0}")]
    Broken(String),
}

/// A request, whole.
pub(super) struct Call {
    /// What is asked for.
    pub(super) route: Route,
    /// Its parameters.
    pub(super) query: Query,
    /// What the client speaks.
    pub(super) version: ApiVersion,
    parts: Parts,
    body: Bytes,
}

impl Call {
    /// Reads a request. What is too large is not kept.
    pub(super) async fn read(request: Request<Body>) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let (route, path_version) = Route::of(&parts.method, parts.uri.path())?;
        let query = Query::of(&parts.uri)?;
        let header_version = text(&parts.headers, API_VERSION_HEADER).parse().ok();
        let version = header_version.or(path_version).unwrap_or(ApiVersion::NEWEST);
        let body = read_bounded(body).await?;
        Ok(Self { route, query, version, parts, body })
    }

    /// The body as a value. Absent fields, and an absent body, are zero values.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        let content = text(&self.parts.headers, header::CONTENT_TYPE.as_str());
        let essence = content.split(';').next().unwrap_or_default().trim();
        if !self.body.is_empty() && !essence.is_empty() && !essence.eq_ignore_ascii_case("application/json") {
            return Err(BodyError::ContentType(content.to_owned()).into());
        }
        Ok(go_json::decode(&self.body)?)
    }

    /// The credentials as the client encoded them; empty if there are none.
    pub(super) fn registry_auth(&self) -> &str {
        text(&self.parts.headers, REGISTRY_AUTH_HEADER)
    }

    /// The request again, for another manager.
    pub(super) fn to_request(&self) -> Request<Body> {
        let mut parts = self.parts.clone();
        parts.headers.remove(header::CONTENT_LENGTH);
        parts.headers.remove(header::EXPECT);
        Request::from_parts(parts, Body::from(self.body.clone()))
    }
}

async fn read_bounded(mut body: Body) -> Result<Bytes, BodyError> {
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| BodyError::Broken(error.to_string()))?;
        let Some(data) = frame.data_ref() else { continue };
        if bytes.len() + data.len() > BODY_BYTES_MAX {
            // A client that goes on for longer has to live with the broken connection.
            drop(tokio::time::timeout(DISCARD_TIMEOUT, discard(body)).await);
            return Err(BodyError::TooLarge);
        }
        bytes.extend_from_slice(data);
    }
    Ok(bytes.freeze())
}

async fn discard(mut body: Body) {
    let mut total = 0;
    while let Some(Ok(frame)) = body.frame().await {
        total += frame.data_ref().map_or(0, Bytes::len);
        if total > DISCARD_BYTES_MAX {
            return;
        }
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}
