//! Typed identifiers. Text becomes an id only through `parse`; new ids are made from random bytes given by the caller.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::{fmt, str::FromStr};

/// Length of a cluster-wide id in characters: what Docker clients print and accept.
pub const ID_LEN: usize = 25;

/// The text is not an id: wrong length or a character outside `0-9a-z`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid id {0:?}")]
pub struct InvalidId(pub String);

/// 25 base-36 characters holding 128 random bits, most significant first, padded with zeros.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Base36([u8; ID_LEN]);

impl Base36 {
    /// The id that these random bytes stand for.
    #[must_use]
    pub fn from_random(random: [u8; 16]) -> Self {
        /// 36 to the power of 12: what fits a machine word, so that few divisions need more than one.
        const WORD: u128 = 36_u128.pow(12);
        let mut rest = u128::from_be_bytes(random);
        let mut text = [b'0'; ID_LEN];
        for places in text.rchunks_mut(12) {
            let mut word = (rest % WORD) as u64;
            rest /= WORD;
            for place in places.iter_mut().rev() {
                *place = b"0123456789abcdefghijklmnopqrstuvwxyz"[(word % 36) as usize];
                word /= 36;
            }
        }
        Self(text)
    }

    /// Reads exactly 25 lower-case base-36 characters.
    ///
    /// # Errors
    /// [`InvalidId`] on any other text.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        let bytes = text.as_bytes();
        match <[u8; ID_LEN]>::try_from(bytes) {
            Ok(id) if id.iter().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase()) => Ok(Self(id)),
            _ => Err(InvalidId(text.to_owned())),
        }
    }

    /// The 25 characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("only ASCII is ever stored")
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Base36);

        impl $name {
            /// The id that these random bytes stand for.
            #[must_use]
            pub fn from_random(random: [u8; 16]) -> Self { Self(Base36::from_random(random)) }
            /// Reads the 25 characters.
            ///
            /// # Errors
            /// [`InvalidId`] on any other text.
            pub fn parse(text: &str) -> Result<Self, InvalidId> { Base36::parse(text).map(Self) }
            /// The 25 characters.
            #[must_use]
            pub fn as_str(&self) -> &str { self.0.as_str() }
            /// The first 12 characters, as tables show it.
            #[must_use]
            pub fn short(&self) -> &str { &self.0.as_str()[..12] }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.pad(self.as_str()) }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(self.as_str()) }
        }
        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> { Self::parse(text) }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> { s.serialize_str(self.as_str()) }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
                Self::parse(&text).map_err(D::Error::custom)
            }
        }
    };
}

id!(/// A cluster: O of every certificate.
    ClusterId);
id!(/// A host in the cluster: CN of its certificate.
    NodeId);
id!(/// A service.
    ServiceId);
id!(/// A Swarm task: one attempt to run one container.
    TaskId);
id!(/// A cluster network.
    NetworkId);
id!(/// A secret.
    SecretId);
id!(/// A config.
    ConfigId);
id!(/// An interned task template: what many tasks of one service version share.
    SpecId);
id!(/// One connection between an agent and a manager.
    SessionId);

/// Where new ids come from: random in a daemon, seeded in tests and simulation.
pub trait IdSource {
    /// 16 fresh random bytes.
    fn random(&mut self) -> [u8; 16];
}

impl<F: FnMut() -> [u8; 16]> IdSource for F {
    fn random(&mut self) -> [u8; 16] {
        self()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_25_base36_characters_and_read_back() {
        let id = TaskId::from_random([0xff; 16]);
        assert_eq!(id.as_str(), "f5lxx1zz5pnorynqglhzmsp33");
        assert_eq!(TaskId::parse(id.as_str()).as_ref(), Ok(&id));
        assert_eq!(NodeId::from_random([0; 16]).as_str(), "0".repeat(25));
        assert!(TaskId::parse("short").is_err());
        assert!(TaskId::parse(&"A".repeat(25)).is_err());
        let json = serde_json::to_string(&id).expect("serializes");
        assert_eq!(serde_json::from_str::<TaskId>(&json).expect("reads"), id);
    }
}
