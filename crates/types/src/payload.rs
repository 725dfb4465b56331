//! Secrets and configs: named bytes that containers get as files. They differ only in who may see them.

use crate::{ConfigId, Driver, Labels, SecretId, Timestamp, Version};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::fmt;

/// Bytes of a secret or config: base64 in JSON, plain bytes in the log and in sessions. Never shown by `Debug`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Payload(Vec<u8>);

impl Payload {
    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} bytes>", self.0.len())
    }
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if s.is_human_readable() { s.serialize_str(&STANDARD.encode(&self.0)) } else { s.serialize_bytes(&self.0) }
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        if !d.is_human_readable() {
            return serde_bytes::ByteBuf::deserialize(d).map(|bytes| Self(bytes.into_vec()));
        }
        let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
        // Go's decoder skips line ends, and some clients write them.
        let decoded = match text.contains(['\r', '\n']) {
            true => STANDARD.decode(text.replace(['\r', '\n'], "")),
            false => STANDARD.decode(text.as_bytes()),
        };
        decoded.map(Self).map_err(|error| D::Error::custom(format!("illegal base64 data: {error}")))
    }
}

/// What a secret or config is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PayloadSpec {
    /// Unique among its kind, ignoring case.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// User labels; all that can be changed later.
    pub labels: Labels,
    /// The bytes. The API never returns those of a secret.
    #[serde(skip_serializing_if = "Payload::is_empty")]
    pub data: Payload,
    /// Where a secret's bytes come from, if not from `data`; unknown to configs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver: Option<Driver>,
    /// The engine that expands `data` for each task: `golang`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub templating: Option<Driver>,
}

/// A stored secret or config, as the API shows it but for the bytes of secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PayloadObject<Id> {
    /// Its id.
    #[serde(rename = "ID")]
    pub id: Id,
    /// Log index of the last change.
    pub version: Version,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// What it is.
    pub spec: PayloadSpec,
}

/// A secret.
pub type Secret = PayloadObject<SecretId>;

/// A config.
pub type Config = PayloadObject<ConfigId>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_base64_outside_and_plain_inside() {
        let spec = PayloadSpec { name: "a".into(), data: vec![0, 255, 10].into(), ..PayloadSpec::default() };
        let json = serde_json::to_string(&spec).expect("writes");
        assert_eq!(json, r#"{"Name":"a","Labels":{},"Data":"AP8K"}"#);
        assert_eq!(serde_json::from_str::<PayloadSpec>(&json).expect("reads"), spec);
        let wrapped: PayloadSpec = serde_json::from_str(r#"{"Data":"AP\n8K"}"#).expect("reads");
        assert_eq!(wrapped.data, spec.data);
        assert!(serde_json::from_str::<PayloadSpec>(r#"{"Data":"???"}"#).is_err());
        let large = PayloadSpec { data: vec![7; 100_000].into(), ..PayloadSpec::default() };
        let packed = rmp_serde::to_vec_named(&large).expect("writes");
        assert!(packed.len() < 100_100);
        assert_eq!(rmp_serde::from_slice::<PayloadSpec>(&packed).expect("reads"), large);
    }

    #[test]
    fn bytes_are_not_shown() {
        let spec = PayloadSpec { data: b"hunter2".to_vec().into(), ..PayloadSpec::default() };
        let shown = format!("{spec:?}");
        assert!(shown.contains("<7 bytes>") && !shown.contains("hunter2") && !shown.contains("104"), "{shown}");
    }
}
