//! Bodies of calls that the gateway answers itself: bounded JSON.

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use std::time::Duration;
use tokio::time::timeout;

/// Bytes of such a body at most; the largest sensible one is a few kilobytes.
pub(crate) const BYTES_MAX: usize = 4 << 20;
/// A client that sends too much is listened to up to here, and so long, so that it reads the answer instead of a broken
/// connection.
const DISCARD_MAX: usize = 512 << 20;
const DISCARD_TIMEOUT: Duration = Duration::from_secs(20);

/// A body that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("request body too large: at most {BYTES_MAX} bytes are accepted")]
    TooLarge,
    #[error("could not read the request body: {0}")]
    Broken(String),
    #[error("got EOF while reading request body")]
    Empty,
    #[error("invalid request body: {0}")]
    Json(String),
}

/// Reads a JSON value. The content type is not looked at, as Docker does it on these paths.
pub(crate) async fn read_json<T: DeserializeOwned>(body: Incoming) -> Result<T, BodyError> {
    let bytes = read(body).await?;
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(BodyError::Empty);
    }
    // Only the first value counts, as with Go's decoder.
    let mut text = serde_json::Deserializer::from_slice(&bytes);
    serde_path_to_error::deserialize(&mut text).map_err(|error| {
        let path = error.path().to_string();
        let what = error.into_inner();
        BodyError::Json(if what.is_data() && path != "." {
            format!("{path}: {}", without_place(&what))
        } else {
            what.to_string()
        })
    })
}

/// The message of a type error; the path says where better than line and column.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rfind(" at line ")
        .map_or(text.clone(), |end| text[..end].to_owned())
}

async fn read(mut body: Incoming) -> Result<Bytes, BodyError> {
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| BodyError::Broken(error.to_string()))?;
        let Some(data) = frame.data_ref() else {
            continue;
        };
        if bytes.len() + data.len() > BYTES_MAX {
            drop(timeout(DISCARD_TIMEOUT, discard(body)).await);
            return Err(BodyError::TooLarge);
        }
        bytes.extend_from_slice(data);
    }
    Ok(bytes.freeze())
}

async fn discard(mut body: Incoming) {
    let mut total = 0;
    while let Some(Ok(frame)) = body.frame().await {
        total += frame.data_ref().map_or(0, Bytes::len);
        if total > DISCARD_MAX {
            return;
        }
    }
}
