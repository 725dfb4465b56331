//! MessagePack with field names behind a leading format byte: versions N and N+1 read each other.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Format byte of everything this version writes.
pub(crate) const FORMAT: u8 = 1;

/// Why a record that passed authentication could not be understood.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The record has no content at all.
    #[error("record is empty")]
    Empty,
    /// Written by a version with another format.
    #[error("format {found} is not known to this version")]
    Format {
        /// The leading format byte.
        found: u8,
    },
    /// The fields are not those of the expected type.
    #[error("content is not of the expected type")]
    Content(#[source] rmp_serde::decode::Error),
}

pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, rmp_serde::encode::Error> {
    let mut bytes = vec![FORMAT];
    rmp_serde::encode::write_named(&mut bytes, value)?;
    Ok(bytes)
}

pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    match bytes.split_first() {
        Some((&FORMAT, body)) => rmp_serde::from_slice(body).map_err(DecodeError::Content),
        Some((&found, _)) => Err(DecodeError::Format { found }),
        None => Err(DecodeError::Empty),
    }
}
