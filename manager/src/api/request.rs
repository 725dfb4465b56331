//! A request as the handlers see it: read once, bounded.

use super::{ApiError, api_version::ApiVersion, go_json, query::Query, route::Route};
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Request, header, request::Parts};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

/// Bytes of a body at most. The largest spec that makes sense is far smaller, and all of it goes into the log.
pub(super) const BODY_BYTES_MAX: usize = 4 << 20;
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
    /// Reads a request. One that is too large is refused without being read.
    pub(super) async fn read(request: Request<Body>) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let (route, path_version) = Route::of(&parts.method, parts.uri.path())?;
        let query = Query::of(&parts.uri)?;
        let header_version = text(&parts.headers, API_VERSION_HEADER).parse().ok();
        let version = header_version.or(path_version).unwrap_or(ApiVersion::NEWEST);
        let announced = text(&parts.headers, header::CONTENT_LENGTH.as_str()).parse::<u64>();
        if announced.is_ok_and(|bytes| bytes > BODY_BYTES_MAX as u64) {
            return Err(BodyError::TooLarge.into());
        }
        let read = Limited::new(body, BODY_BYTES_MAX).collect().await;
        let body =
            read.map_err(|error| if error.is::<LengthLimitError>() { BodyError::TooLarge } else { BodyError::Broken(error.to_string()) })?;
        Ok(Self { route, query, version, parts, body: body.to_bytes() })
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

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}
