//! Passing a request on, and what the two sides say after an upgrade.

use super::{
    pool::Pool,
    reply::{self, Body},
};
use crate::backend::{self, BackendError, Endpoint};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri, Version, header};
use http_body_util::BodyExt as _;
use hyper::{
    body::Incoming,
    upgrade::{self, OnUpgrade},
};
use hyper_util::rt::TokioIo;
use tokio_util::task::TaskTracker;

/// Headers that are about one connection only. An upgrade keeps `Connection` and `Upgrade`: it is about both.
const ONE_CONNECTION: [HeaderName; 6] = [
    header::CONNECTION,
    header::UPGRADE,
    header::TRANSFER_ENCODING,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    // The gateway itself answers "100 Continue" as soon as the backend wants the body.
    header::EXPECT,
];

/// Passes a request on over a connection of its own, bodies streaming both ways. After a `101` the two connections are
/// joined by a task of `joined`.
///
/// Dropping the future closes the connection to the backend.
pub(crate) async fn forward(
    endpoint: &Endpoint,
    mut request: Request<Incoming>,
    uri: Uri,
    joined: &TaskTracker,
) -> Result<Response<Body>, BackendError> {
    let client = wants_upgrade(request.headers()).then(|| upgrade::on(&mut request));
    make_ready(&mut request, uri, client.is_some());
    let mut response = backend::send(endpoint, request).await?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let server = upgrade::on(&mut response);
        if let Some(client) = client {
            joined.spawn(join(client, server));
        }
        return Ok(response.map(|_| reply::empty()));
    }
    keep_end_to_end(response.headers_mut(), false);
    Ok(response.map(|body| body.boxed_unsync()))
}

/// Passes a request on over a connection that is kept for the next one, unless this one asks for an upgrade.
///
/// Dropping the future closes the connection to the backend.
pub(super) async fn forward_kept(
    pool: &Pool,
    mut request: Request<Incoming>,
    uri: Uri,
    joined: &TaskTracker,
) -> Result<Response<Body>, BackendError> {
    if wants_upgrade(request.headers()) {
        return forward(pool.endpoint(), request, uri, joined).await;
    }
    make_ready(&mut request, uri, false);
    let mut response = pool.send(request).await?;
    keep_end_to_end(response.headers_mut(), false);
    Ok(response)
}

fn make_ready(request: &mut Request<Incoming>, uri: Uri, is_upgrade: bool) {
    keep_end_to_end(request.headers_mut(), is_upgrade);
    request.headers_mut().entry(header::HOST).or_insert(HeaderValue::from_static("docker"));
    *request.uri_mut() = uri;
    *request.version_mut() = Version::HTTP_11;
}

fn wants_upgrade(headers: &HeaderMap) -> bool {
    headers.contains_key(header::UPGRADE)
}

pub(super) fn keep_end_to_end(headers: &mut HeaderMap, is_upgrade: bool) {
    let of_upgrade = |name: &HeaderName| *name == header::CONNECTION || *name == header::UPGRADE;
    for name in ONE_CONNECTION.iter().filter(|name| !(is_upgrade && of_upgrade(name))) {
        headers.remove(name);
    }
}

/// Carries bytes both ways until both sides have ended; one that ends its half leaves the other open.
async fn join(client: OnUpgrade, server: OnUpgrade) {
    let (client, server) = match tokio::try_join!(client, server) {
        Ok(both) => both,
        Err(error) => {
            tracing::debug!(%error, "an upgraded connection broke before it was joined");
            return;
        }
    };
    let (mut client, mut server) = (TokioIo::new(client), TokioIo::new(server));
    if let Err(error) = tokio::io::copy_bidirectional(&mut client, &mut server).await {
        tracing::trace!(%error, "an upgraded connection broke");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_one_connection_stay_on_it() {
        let headers = || {
            let mut headers = HeaderMap::new();
            for name in ["connection", "upgrade", "transfer-encoding", "expect", "x-registry-auth"] {
                headers.insert(name, HeaderValue::from_static("x"));
            }
            headers
        };
        let kept = |is_upgrade| {
            let mut headers = headers();
            keep_end_to_end(&mut headers, is_upgrade);
            headers.keys().map(HeaderName::to_string).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(kept(false), "x-registry-auth");
        assert_eq!(kept(true), "connection upgrade x-registry-auth");
    }
}
