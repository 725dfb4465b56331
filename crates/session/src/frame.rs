//! Frames: a four-byte big-endian length, one format byte, then a MessagePack value with field names.
//!
//! Field names make versions N and N+1 read each other; the format byte leaves room for another encoding.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Serialize, de::DeserializeOwned};

/// The one format in use: MessagePack with field names.
pub const FORMAT: u8 = 1;

/// Bytes of one frame at most, its header left out. A complete set of 2,000 tasks with as many templates stays far below.
pub const FRAME_BYTES_MAX: usize = 64 << 20;

/// A frame could not be made or read. The session cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// Longer than [`FRAME_BYTES_MAX`], or than what the decoder takes.
    #[error("frame of {0} bytes is too large")]
    TooLarge(usize),
    /// An unknown format byte.
    #[error("unknown frame format {0}")]
    Format(u8),
    /// No content.
    #[error("empty frame")]
    Empty,
    /// The value could not be written.
    #[error("could not encode the frame")]
    Encode(#[from] rmp_serde::encode::Error),
    /// The value could not be read.
    #[error("could not decode the frame")]
    Decode(#[from] rmp_serde::decode::Error),
}

/// One value as a frame.
///
/// # Errors
/// [`FrameError::Encode`] or [`FrameError::TooLarge`].
pub fn encode<T: Serialize>(value: &T) -> Result<Bytes, FrameError> {
    let body = rmp_serde::to_vec_named(value)?;
    let length = body.len() + 1;
    if length > FRAME_BYTES_MAX {
        return Err(FrameError::TooLarge(length));
    }
    let mut out = BytesMut::with_capacity(length + 4);
    out.put_u32(u32::try_from(length).map_err(|_| FrameError::TooLarge(length))?);
    out.put_u8(FORMAT);
    out.extend_from_slice(&body);
    Ok(out.freeze())
}

/// Collects bytes as they come and gives out whole values.
#[derive(Debug)]
pub struct FrameDecoder {
    buffer: BytesMut,
    bytes_max: usize,
}

impl Default for FrameDecoder {
    fn default() -> Self {
        Self::with_max(FRAME_BYTES_MAX)
    }
}

impl FrameDecoder {
    /// A decoder that refuses longer frames, before their bytes are collected.
    #[must_use]
    pub fn with_max(bytes_max: usize) -> Self {
        Self { buffer: BytesMut::new(), bytes_max }
    }

    /// Refuses longer frames from now on.
    pub fn set_max(&mut self, bytes_max: usize) {
        self.bytes_max = bytes_max;
    }

    /// Adds received bytes.
    pub fn extend(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole value, or `None` until more bytes come.
    ///
    /// # Errors
    /// [`FrameError`] when the bytes are not a frame; the decoder is of no use after that.
    pub fn next_value<T: DeserializeOwned>(&mut self) -> Result<Option<T>, FrameError> {
        let Some(header) = self.buffer.first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_be_bytes(*header) as usize;
        if length == 0 {
            return Err(FrameError::Empty);
        }
        if length > self.bytes_max {
            return Err(FrameError::TooLarge(length));
        }
        if self.buffer.len() < 4 + length {
            return Ok(None);
        }
        self.buffer.advance(4);
        let frame = self.buffer.split_to(length);
        if frame[0] != FORMAT {
            return Err(FrameError::Format(frame[0]));
        }
        Ok(Some(rmp_serde::from_slice(&frame[1..])?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FromAgent;

    #[test]
    fn values_survive_any_split_of_the_bytes() {
        let values = [FromAgent::Heartbeat, FromAgent::Goodbye { reason: "moving".into() }];
        let bytes: Vec<u8> = values.iter().flat_map(|v| encode(v).expect("encodes").to_vec()).collect();
        for split in 1..bytes.len() {
            let mut decoder = FrameDecoder::default();
            let mut got = Vec::new();
            for part in bytes.chunks(split) {
                decoder.extend(part);
                while let Some(value) = decoder.next_value::<FromAgent>().expect("decodes") {
                    got.push(value);
                }
            }
            assert_eq!(got, values);
        }
    }

    #[test]
    fn nonsense_is_an_error_and_never_a_panic() {
        let mut decoder = FrameDecoder::default();
        decoder.extend(&[0, 0, 0, 0]);
        assert!(matches!(decoder.next_value::<FromAgent>(), Err(FrameError::Empty)));
        let mut decoder = FrameDecoder::default();
        decoder.extend(&[0xff, 0xff, 0xff, 0xff]);
        assert!(matches!(decoder.next_value::<FromAgent>(), Err(FrameError::TooLarge(_))));
        let mut decoder = FrameDecoder::with_max(8);
        decoder.extend(&[0, 0, 0, 9]);
        assert!(matches!(decoder.next_value::<FromAgent>(), Err(FrameError::TooLarge(9))));
        let mut decoder = FrameDecoder::default();
        decoder.extend(&[0, 0, 0, 2, 9, 9]);
        assert!(matches!(decoder.next_value::<FromAgent>(), Err(FrameError::Format(9))));
        let mut decoder = FrameDecoder::default();
        decoder.extend(&[0, 0, 0, 2, 1, 0xc1]);
        assert!(matches!(decoder.next_value::<FromAgent>(), Err(FrameError::Decode(_))));
    }
}
