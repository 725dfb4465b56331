//! Paths and queries of API calls.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// Writes text so that it can stand between two slashes or as a value of a query.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => escaped.push(char::from(byte)),
            _ => {
                let _ = write!(escaped, "%{byte:02X}");
            }
        }
    }
    escaped
}

/// Conditions for a list: several values of one key are alternatives, several keys must all hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Filters(BTreeMap<String, BTreeSet<String>>);

impl Filters {
    /// From the values of `--filter`, each checked by [`check_filter`].
    pub(crate) fn parse(given: &[String]) -> Self {
        let mut filters = Self::default();
        for text in given.iter().filter(|text| !text.is_empty()) {
            let (key, value) = text.split_once('=').unwrap_or((text, ""));
            filters.add(&key.trim().to_lowercase(), value.trim());
        }
        filters
    }

    /// Adds an alternative.
    pub(crate) fn add(&mut self, key: &str, value: &str) {
        self.0.entry(key.to_owned()).or_default().insert(value.to_owned());
    }

    /// Removes all alternatives of a key and gives them.
    pub(crate) fn take(&mut self, key: &str) -> BTreeSet<String> {
        self.0.remove(key).unwrap_or_default()
    }

    /// `path` with these filters and `more` in its query.
    pub(crate) fn on(&self, path: &str, more: &[(&str, &str)]) -> String {
        let mut parts: Vec<String> = more.iter().map(|(key, value)| format!("{key}={}", escape(value))).collect();
        if !self.0.is_empty() {
            parts.insert(0, format!("filters={}", escape(&self.json())));
        }
        if parts.is_empty() { path.to_owned() } else { format!("{path}?{}", parts.join("&")) }
    }

    fn json(&self) -> String {
        let map: serde_json::Map<String, serde_json::Value> = self
            .0
            .iter()
            .map(|(key, values)| {
                let values: serde_json::Map<String, serde_json::Value> = values.iter().map(|value| (value.clone(), true.into())).collect();
                (key.clone(), values.into())
            })
            .collect();
        serde_json::Value::from(map).to_string()
    }
}

/// Checks one value of `--filter`.
///
/// # Errors
/// If it has no `=`.
pub(crate) fn check_filter(text: &str) -> Result<String, String> {
    if text.is_empty() || text.contains('=') { Ok(text.to_owned()) } else { Err("bad format of filter (expected name=value)".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_sent_as_docker_sends_them() {
        let filters = Filters::parse(&["Name = web".into(), "label=a=b".into(), "name=api".into(), String::new()]);
        assert_eq!(filters.json(), r#"{"label":{"a=b":true},"name":{"api":true,"web":true}}"#);
        let path = filters.on("/services", &[("status", "true")]);
        let json = "%7B%22label%22%3A%7B%22a%3Db%22%3Atrue%7D%2C%22name%22%3A%7B%22api%22%3Atrue%2C%22web%22%3Atrue%7D%7D";
        assert_eq!(path, format!("/services?filters={json}&status=true"));
        assert_eq!(Filters::default().on("/nodes", &[]), "/nodes");
        assert_eq!(check_filter("x"), Err("bad format of filter (expected name=value)".into()));
    }

    #[test]
    fn names_may_hold_anything() {
        assert_eq!(escape("a/b c"), "a%2Fb%20c");
        assert_eq!(escape("ü"), "%C3%BC");
    }
}
