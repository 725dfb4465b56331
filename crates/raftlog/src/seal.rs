//! Authenticated encryption of single records.
//!
//! XChaCha20-Poly1305 with a random 192-bit nonce per record: a counter would have to be durable
//! before its first use, and the 96-bit nonce of plain ChaCha20-Poly1305 is too short to be drawn at
//! random for the number of records a busy log writes in a year.

use std::fmt;
use std::sync::Arc;

use chacha20poly1305::{AeadInOut, KeyInit, Tag, XChaCha20Poly1305, XNonce};
use sha2::{Digest, Sha256};

/// First byte of every sealed record, so that the construction can change later.
const SEAL_VERSION: u8 = 1;
const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;
const HEAD_BYTES: usize = 1 + NONCE_BYTES;
/// How much longer a sealed record is than what is in it.
pub(crate) const SEAL_OVERHEAD_BYTES: usize = HEAD_BYTES + TAG_BYTES;

/// What a record is. Part of the authenticated label, so no record passes for one of another kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Entry = 1,
    Vote = 2,
    Purged = 3,
    Committed = 4,
    SnapshotHead = 5,
    SnapshotChunk = 6,
    SnapshotLastChunk = 7,
    DataKey = 8,
}

/// The place of a record: it opens only where it was sealed for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Label<'a> {
    pub(crate) kind: Kind,
    /// Log index or chunk number; zero where there is only one record of the kind.
    pub(crate) number: u64,
    /// The file the record belongs to, where files could be mixed up.
    pub(crate) owner: &'a [u8],
}

impl Label<'static> {
    /// The label of a log entry.
    pub(crate) fn entry(index: u64) -> Self {
        Label { kind: Kind::Entry, number: index, owner: &[] }
    }

    /// The label of a record of which there is only one.
    pub(crate) fn single(kind: Kind) -> Self {
        Label { kind, number: 0, owner: &[] }
    }
}

impl Label<'_> {
    fn associated_data(self) -> Vec<u8> {
        let mut data = Vec::with_capacity(32 + self.owner.len());
        data.extend_from_slice(b"swarm-raftlog");
        data.push(self.kind as u8);
        data.extend_from_slice(&self.number.to_be_bytes());
        data.extend_from_slice(self.owner);
        data
    }
}

/// The record was altered, moved, or sealed with another key.
#[derive(Debug, thiserror::Error)]
#[error("record fails authentication")]
pub(crate) struct Forged;

/// Names a key without telling it, to tell a wrong key from a damaged record.
pub(crate) type KeyId = [u8; 16];

/// Seals and opens records with one key. Clones share the key, which is wiped with the last one.
#[derive(Clone)]
pub(crate) struct Sealer {
    cipher: Arc<XChaCha20Poly1305>,
    key_id: KeyId,
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer(..)")
    }
}

impl Sealer {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        let digest = Sha256::new_with_prefix(b"swarm-raftlog key id").chain_update(key).finalize();
        let mut key_id = KeyId::default();
        key_id.copy_from_slice(&digest[..16]);
        Sealer { cipher: Arc::new(XChaCha20Poly1305::new(key.into())), key_id }
    }

    pub(crate) fn key_id(&self) -> &KeyId {
        &self.key_id
    }

    /// Returns `version | nonce | ciphertext | tag`.
    pub(crate) fn seal(&self, label: Label<'_>, plain: &[u8]) -> Vec<u8> {
        let mut nonce = [0_u8; NONCE_BYTES];
        rand::fill(&mut nonce[..]);
        let mut sealed = Vec::with_capacity(SEAL_OVERHEAD_BYTES + plain.len());
        sealed.push(SEAL_VERSION);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plain);
        let tag = self
            .cipher
            .encrypt_inout_detached(&XNonce::from(nonce), &label.associated_data(), (&mut sealed[HEAD_BYTES..]).into())
            .expect("a record is far below the 256 GiB the cipher can take");
        sealed.extend_from_slice(&tag);
        sealed
    }

    /// Returns what was sealed under this label, or [`Forged`] and not one byte of it.
    pub(crate) fn open(&self, label: Label<'_>, sealed: &[u8]) -> Result<Vec<u8>, Forged> {
        let Some((&SEAL_VERSION, rest)) = sealed.split_first() else {
            return Err(Forged);
        };
        let (nonce, rest) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(Forged)?;
        let (body, tag) = rest.split_last_chunk::<TAG_BYTES>().ok_or(Forged)?;
        let mut plain = body.to_vec();
        self.cipher
            .decrypt_inout_detached(&XNonce::from(*nonce), &label.associated_data(), plain.as_mut_slice().into(), &Tag::from(*tag))
            .map_err(|_| Forged)?;
        Ok(plain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_opens_only_under_the_label_and_key_it_was_sealed_with() {
        let sealer = Sealer::new(&[7; 32]);
        let sealed = sealer.seal(Label::entry(5), b"five");
        assert_eq!(sealer.open(Label::entry(5), &sealed).unwrap(), b"five");
        assert!(sealer.open(Label::entry(6), &sealed).is_err());
        assert!(sealer.open(Label::single(Kind::Vote), &sealed).is_err());
        let owned = Label { owner: b"file", ..Label::entry(5) };
        assert!(sealer.open(owned, &sealed).is_err());
        let other = Sealer::new(&[8; 32]);
        assert!(other.open(Label::entry(5), &sealed).is_err());
        assert_ne!(sealer.key_id(), other.key_id());
    }

    #[test]
    fn every_altered_bit_and_every_cut_is_noticed() {
        let sealer = Sealer::new(&[7; 32]);
        let sealed = sealer.seal(Label::entry(1), b"some text");
        for bit in 0..sealed.len() * 8 {
            let mut altered = sealed.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            assert!(sealer.open(Label::entry(1), &altered).is_err(), "bit {bit}");
        }
        for len in 0..sealed.len() {
            assert!(sealer.open(Label::entry(1), &sealed[..len]).is_err());
        }
    }

    #[test]
    fn the_same_text_is_never_sealed_to_the_same_bytes() {
        let sealer = Sealer::new(&[7; 32]);
        let once = sealer.seal(Label::entry(1), b"text");
        let twice = sealer.seal(Label::entry(1), b"text");
        assert_ne!(once, twice);
        assert!(!once.windows(4).any(|window| window == b"text"));
    }
}
