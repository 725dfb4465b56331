//! Enums that the API writes as lower-case words. Reading ignores case, as Docker does; an empty word is the default.

/// A word that none of the enum's values has. The text is Docker's, so it can be shown as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid {kind}: {word:?}")]
pub struct InvalidWord {
    /// The enum's name in Docker's messages, such as `Role`.
    pub kind: &'static str,
    /// What was given.
    pub word: String,
}

macro_rules! text_enum {
    ($(#[$doc:meta])* $name:ident as $kind:literal { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// Every value, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
            /// The word the API uses.
            #[must_use]
            pub fn as_str(self) -> &'static str { match self { $(Self::$variant => $word),+ } }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.pad(self.as_str()) }
        }
        impl std::str::FromStr for $name {
            type Err = $crate::InvalidWord;
            fn from_str(word: &str) -> Result<Self, $crate::InvalidWord> {
                $(if word.eq_ignore_ascii_case($word) { return Ok(Self::$variant); })+
                Err($crate::InvalidWord { kind: $kind, word: word.to_owned() })
            }
        }
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> { s.serialize_str(self.as_str()) }
        }
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let word = std::borrow::Cow::<'de, str>::deserialize(d)?;
                if word.is_empty() { return Ok(Self::default()); }
                word.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use text_enum;
