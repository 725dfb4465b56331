//! Reads JSON as Docker's own client does, to which `null` is as good as nothing.
//!
//! Our daemon writes no `null` where a list or an object is meant; Docker's does.

use serde::de::DeserializeOwned;
use serde_json::Value;

/// Reads an object from its text.
///
/// # Errors
/// If the text is no JSON, or means something else.
pub(crate) fn read_text<T: DeserializeOwned>(text: &[u8]) -> serde_json::Result<T> {
    // Nearly always the text can be read as it is, which is faster.
    serde_json::from_slice(text).or_else(|_| read(serde_json::from_slice(text)?))
}

/// Reads an object from its JSON.
///
/// # Errors
/// If it means something else.
pub(crate) fn read<T: DeserializeOwned>(mut json: Value) -> serde_json::Result<T> {
    drop_nulls(&mut json);
    serde_json::from_value(json)
}

fn drop_nulls(json: &mut Value) {
    match json {
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use swarm_types::NodeDescription;

    #[test]
    fn null_is_as_good_as_nothing() {
        let text = br#"{"Hostname": "h", "Engine": {"Plugins": null, "Labels": null}, "Resources": null}"#;
        let read: NodeDescription = read_text(text).expect("reads");
        let expected = NodeDescription { hostname: "h".into(), ..NodeDescription::default() };
        assert_eq!(read, expected);
        assert!(read_text::<NodeDescription>(b"{\"Hostname\": 1}").is_err());
    }
}
