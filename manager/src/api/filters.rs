//! The `filters` parameter of lists.

use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    str::FromStr,
};
use swarm_types::Labels;

/// A filter that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// Not JSON, or of another shape.
    #[error("invalid filter")]
    Form,
    /// The list has no such filter.
    #[error("invalid filter '{0}'")]
    Unknown(String),
    /// The filter takes certain words only.
    #[error("Invalid {key} filter: '{word}'")]
    Word {
        /// The filter.
        key: &'static str,
        /// What was given.
        word: String,
    },
}

/// Filters by key. Values of one key are alternatives, but for labels, which must all fit; keys must all fit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Filters(BTreeMap<String, BTreeSet<String>>);

impl Filters {
    /// Reads `{"key":{"value":true}}`, or the older `{"key":["value"]}`.
    pub(super) fn parse(text: &str, accepted: &[&str]) -> Result<Self, FilterError> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let map = match serde_json::from_str(text).map_err(|_| FilterError::Form)? {
            Value::Null => serde_json::Map::new(),
            Value::Object(map) => map,
            _ => return Err(FilterError::Form),
        };
        let listed = map.values().any(Value::is_array);
        let mut filters = BTreeMap::new();
        for (key, values) in map {
            filters.insert(key, values_of(values, listed)?);
        }
        match filters.keys().find(|key| !accepted.contains(&key.as_str())) {
            Some(key) => Err(FilterError::Unknown(key.clone())),
            None => Ok(Self(filters)),
        }
    }

    /// The values of a key; `None` where it does not filter.
    pub(super) fn get(&self, key: &str) -> Option<&BTreeSet<String>> {
        self.0.get(key).filter(|values| !values.is_empty())
    }

    /// Whether a text is among the values of a key.
    pub(super) fn is(&self, key: &str, text: &str) -> bool {
        self.get(key).is_none_or(|values| values.contains(text))
    }

    /// Whether a text begins with one of the values of a key.
    pub(super) fn begins(&self, key: &str, text: &str) -> bool {
        self.get(key).is_none_or(|values| values.iter().any(|value| text.starts_with(value.as_str())))
    }

    /// Whether a text fits one of the values of a key, read as regular expressions for any part of it.
    pub(super) fn matches(&self, key: &str, text: &str) -> bool {
        let fits = |value: &String| value == text || regex_lite::Regex::new(value).is_ok_and(|pattern| pattern.is_match(text));
        self.get(key).is_none_or(|values| values.iter().any(fits))
    }

    /// Whether labels have all of `label` or `label=value`.
    pub(super) fn labelled(&self, key: &str, labels: &Labels) -> bool {
        let has = |wanted: &String| {
            let (name, value) = wanted.split_once('=').unwrap_or((wanted, ""));
            labels.get(name).is_some_and(|have| value.is_empty() || have == value)
        };
        self.get(key).is_none_or(|values| values.iter().all(has))
    }

    /// The values of a key as words of an enum; empty where it does not filter. Empty words are skipped.
    pub(super) fn words<T: FromStr>(&self, key: &'static str) -> Result<Vec<T>, FilterError> {
        let values = self.get(key).into_iter().flatten().filter(|v| !v.is_empty());
        values.map(|word| word.parse().map_err(|_| FilterError::Word { key, word: word.clone() })).collect()
    }
}

/// Docker reads all keys in one form or all in the other.
fn values_of(values: Value, listed: bool) -> Result<BTreeSet<String>, FilterError> {
    match values {
        Value::Null => Ok(BTreeSet::new()),
        // The truth value is not looked at, but it must be one.
        Value::Object(map) if !listed => {
            map.into_iter().map(|(value, set)| if set.is_boolean() || set.is_null() { Ok(value) } else { Err(FilterError::Form) }).collect()
        }
        Value::Array(list) if listed => list.into_iter().map(|value| value.as_str().map(str::to_owned).ok_or(FilterError::Form)).collect(),
        _ => Err(FilterError::Form),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use swarm_types::Role;

    #[test]
    fn both_forms_are_read_and_anything_else_is_refused() {
        let parse = |text| Filters::parse(text, &["a", "b"]);
        let map = parse(r#"{"a":{"x":true,"y":false},"b":null}"#).unwrap();
        assert_eq!(map.get("a").map(BTreeSet::len), Some(2));
        assert_eq!(map.get("b"), None);
        assert_eq!(parse(r#"{"a":["x"]}"#).unwrap().get("a").map(BTreeSet::len), Some(1));
        assert_eq!(parse("null"), Ok(Filters::default()));
        assert_eq!(parse(r#"{"c":{"x":true}}"#), Err(FilterError::Unknown("c".into())));
        for bad in ["x", "[]", "1", r#"{"a":"x"}"#, r#"{"a":{"x":1}}"#, r#"{"a":[1]}"#, r#"{"a":["x"],"b":{"y":true}}"#] {
            assert_eq!(parse(bad), Err(FilterError::Form), "{bad}");
        }
    }

    #[test]
    fn values_are_alternatives_but_labels_must_all_fit() {
        let filters = Filters::parse(
            r#"{"id":{"ab":true,"cd":true},"label":{"x":true,"y=1":true},"role":{"Manager":true,"":true}}"#,
            &["id", "label", "role"],
        )
        .unwrap();
        assert!(filters.begins("id", "abc") && filters.begins("id", "cd") && !filters.begins("id", "xab"));
        assert!(filters.is("id", "ab") && !filters.is("id", "abc") && filters.is("other", "abc"));
        let labels = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<Labels>();
        assert!(filters.labelled("label", &labels(&[("x", "any"), ("y", "1")])));
        assert!(!filters.labelled("label", &labels(&[("x", "any"), ("y", "2")])));
        assert!(!filters.labelled("label", &labels(&[("y", "1")])));
        assert_eq!(filters.words::<Role>("role"), Ok(vec![Role::Manager]));
        let bad = Filters::parse(r#"{"role":{"boss":true}}"#, &["role"]).unwrap();
        assert_eq!(bad.words::<Role>("role").unwrap_err().to_string(), "Invalid role filter: 'boss'");
    }
}
