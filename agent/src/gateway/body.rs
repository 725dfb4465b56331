//! Bodies of calls that the gateway answers itself: bounded JSON.

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use serde_json::Value;
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
    #[error("{0}")]
    Word(String),
}

/// Reads a JSON value. The content type is not looked at, as Docker does it on these paths.
pub(crate) async fn read_json<T: DeserializeOwned>(body: Incoming) -> Result<T, BodyError> {
    let bytes = read(body).await?;
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(BodyError::Empty);
    }
    decode(&bytes)
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, BodyError> {
    // Only the first value counts, as with Go's decoder.
    let mut values = serde_json::Deserializer::from_slice(bytes).into_iter::<Value>();
    let mut value = match values.next() {
        Some(Ok(value)) => value,
        Some(Err(error)) => return Err(BodyError::Json(error.to_string())),
        None => return Err(BodyError::Empty),
    };
    if !value.is_object() {
        return Err(BodyError::Json("expected an object".to_owned()));
    }
    drop_nulls(&mut value);
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let what = error.into_inner().to_string();
        // An unknown word names its field itself, in Docker's form.
        let names_itself = path.rsplit('.').next().is_some_and(|field| what.starts_with(&format!("invalid {field}: ")));
        if names_itself { BodyError::Word(what) } else { BodyError::Json(format!("{path}: {what}")) }
    })
}

/// Go writes a map or list that was never made as `null`, and reads it as an empty one.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, field| !field.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Reads the bytes.
pub(crate) async fn read(mut body: Incoming) -> Result<Bytes, BodyError> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use swarm_types::{InitRequest, JoinRequest};

    fn refused<T: DeserializeOwned>(text: &str) -> String {
        decode::<T>(text.as_bytes()).err().expect("is refused").to_string()
    }

    #[test]
    fn what_go_clients_send_is_read() {
        let text = r#"{"ListenAddr":"a","DefaultAddrPool":null,"Spec":{"Labels":null,"CAConfig":{}},"Other":1} {"#;
        let request: InitRequest = decode(text.as_bytes()).expect("reads");
        assert_eq!((request.listen_addr.as_str(), request.spec.labels.len()), ("a", 0));
        let request: JoinRequest = decode(br#"{"RemoteAddrs":null,"Availability":"DRAIN"}"#).expect("reads");
        assert_eq!(request.availability, swarm_types::Availability::Drain);
    }

    #[test]
    fn faults_name_their_place() {
        assert_eq!(
            refused::<JoinRequest>(r#"{"ListenAddr":5}"#),
            "invalid request body: ListenAddr: invalid type: integer `5`, expected a string"
        );
        assert_eq!(refused::<InitRequest>(r#"{"Availability":"foo"}"#), "invalid Availability: \"foo\"");
        assert_eq!(refused::<InitRequest>("[]"), "invalid request body: expected an object");
        assert_eq!(refused::<InitRequest>("  "), "got EOF while reading request body");
        assert!(refused::<InitRequest>("{bad").starts_with("invalid request body: key must be a string"));
    }
}
