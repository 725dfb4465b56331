//! Registry credentials that come with a request.

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde_json::Value;

/// URL-safe, with or without padding: clients differ.
const BASE64: GeneralPurpose =
    GeneralPurpose::new(&alphabet::URL_SAFE, GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent));

/// Fields that hold something secret.
const SECRETS: [&str; 5] = ["username", "password", "auth", "identitytoken", "registrytoken"];

/// Warnings about credentials that are not used: this version does not send them to nodes. Clients send an empty set along
/// without being asked to, which is no reason to warn.
pub(super) fn warnings(encoded: &str) -> Vec<String> {
    if encoded.is_empty() {
        return Vec::new();
    }
    let decoded = BASE64.decode(encoded).ok().and_then(|json| serde_json::from_slice::<Value>(&json).ok());
    let text = match decoded {
        Some(auth) if SECRETS.iter().all(|field| auth.get(field).and_then(Value::as_str).is_none_or(str::is_empty)) => return Vec::new(),
        Some(_) => {
            "registry credentials (\"--with-registry-auth\") are not supported by this version of Swarm yet: each node pulls the image with its own"
        }
        None => "the registry credentials of the request could not be read and are not used",
    };
    vec![text.to_owned()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_real_credentials_are_warned_about() {
        let encode = |json: &str| BASE64.encode(json);
        for quiet in ["", &encode("{}"), &encode(r#"{"username":"","serveraddress":"x"}"#)] {
            assert!(warnings(quiet).is_empty(), "{quiet}");
        }
        assert!(warnings(&encode(r#"{"username":"me","password":"p"}"#))[0].contains("not supported"));
        assert!(warnings("%%%")[0].contains("could not be read"));
    }
}
