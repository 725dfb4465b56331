//! A value of a compose file together with its path, so that every error names the place.

use crate::ComposeError;
use serde_norway::{Mapping, Value};
use std::collections::BTreeMap;

type Result<T> = std::result::Result<T, ComposeError>;

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Node<'a> {
    /// Keys from the top, joined by dots.
    pub(crate) path: String,
    /// The value.
    pub(crate) value: &'a Value,
}

impl<'a> Node<'a> {
    /// The value at `path`.
    pub(crate) fn new(path: impl Into<String>, value: &'a Value) -> Self {
        Self { path: path.into(), value }
    }

    /// An error about this value.
    pub(crate) fn invalid(&self, why: impl Into<String>) -> ComposeError {
        ComposeError::invalid(&self.path, why)
    }

    fn must_be(&self, what: &str) -> ComposeError {
        self.invalid(format!("must be {what}"))
    }

    /// Whether nothing is written.
    pub(crate) fn is_null(&self) -> bool {
        self.value.is_null()
    }

    /// The value under `key`, unless there is none or it is empty.
    pub(crate) fn get(&self, key: &str) -> Option<Node<'a>> {
        let value = self.value.as_mapping()?.get(key)?;
        (!value.is_null()).then(|| Node::new(format!("{}.{key}", self.path), value))
    }

    /// The entries of a map, in the order of their keys; nothing counts as an empty map.
    ///
    /// # Errors
    /// If this is no map, or a key is no text.
    pub(crate) fn entries(&self) -> Result<BTreeMap<String, Node<'a>>> {
        let map: &Mapping = match self.value {
            Value::Null => return Ok(BTreeMap::new()),
            Value::Mapping(map) => map,
            _ => return Err(self.must_be("a mapping")),
        };
        map.iter()
            .map(|(key, value)| {
                let key = scalar(key).ok_or_else(|| self.invalid("must have keys that are strings"))?;
                let node = Node::new(format!("{}.{key}", self.path), value);
                Ok((key, node))
            })
            .collect()
    }

    /// Checks that this is a map with no keys but `known` and `x-…`.
    ///
    /// # Errors
    /// Names the first key that is not known.
    pub(crate) fn only(&self, known: &[&str]) -> Result<()> {
        match self.entries()?.into_keys().find(|key| !known.contains(&key.as_str()) && !key.starts_with("x-")) {
            Some(key) => Err(ComposeError::UnknownKey { path: self.path.clone(), key }),
            None => Ok(()),
        }
    }

    /// The values of a list; nothing counts as an empty one.
    ///
    /// # Errors
    /// If this is no list.
    pub(crate) fn items(&self) -> Result<Vec<Node<'a>>> {
        match self.value {
            Value::Null => Ok(Vec::new()),
            Value::Sequence(items) => {
                Ok(items.iter().enumerate().map(|(at, item)| Node::new(format!("{}.{at}", self.path), item)).collect())
            }
            _ => Err(self.must_be("a list")),
        }
    }

    /// A text; numbers and switches count as theirs.
    ///
    /// # Errors
    /// If this is a map, a list or nothing.
    pub(crate) fn text(&self) -> Result<String> {
        scalar(self.value).ok_or_else(|| self.must_be("a string"))
    }

    /// A text, or several: a single one counts as a list of one.
    ///
    /// # Errors
    /// If anything in it is no text.
    pub(crate) fn texts(&self) -> Result<Vec<String>> {
        match self.value {
            Value::Sequence(_) | Value::Null => self.items()?.iter().map(Node::text).collect(),
            _ => Ok(vec![self.text()?]),
        }
    }

    /// A whole number, also one written as text.
    ///
    /// # Errors
    /// If it is no number, or beyond `T`.
    pub(crate) fn whole<T: TryFrom<i128>>(&self) -> Result<T> {
        let number = match self.value {
            Value::Number(number) => number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from)),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        number.and_then(|number| T::try_from(number).ok()).ok_or_else(|| self.must_be("an integer"))
    }

    /// A number, also one written as text.
    ///
    /// # Errors
    /// If it is none.
    pub(crate) fn float(&self) -> Result<f64> {
        let number = match self.value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        number.filter(|number| number.is_finite()).ok_or_else(|| self.must_be("a number"))
    }

    /// A switch, also one written as text, in any of YAML's words.
    ///
    /// # Errors
    /// If it is none.
    pub(crate) fn switch(&self) -> Result<bool> {
        let on = match self.value {
            Value::Bool(on) => Some(*on),
            Value::String(text) => match text.trim().to_ascii_lowercase().as_str() {
                "true" | "yes" | "y" | "on" | "1" => Some(true),
                "false" | "no" | "n" | "off" | "0" => Some(false),
                _ => None,
            },
            _ => None,
        };
        on.ok_or_else(|| self.must_be("a boolean"))
    }

    /// A length of time in nanoseconds, not below zero.
    ///
    /// # Errors
    /// Go's text if it is none.
    pub(crate) fn duration(&self) -> Result<i64> {
        let text = self.text()?;
        match swarm_template::duration::parse(&text) {
            Ok(nanos) if nanos < 0 => Err(self.invalid("duration cannot be negative")),
            Ok(nanos) => Ok(nanos),
            Err(error) => Err(self.invalid(error.to_string())),
        }
    }

    /// A number of bytes, such as `64m` or `1024`.
    ///
    /// # Errors
    /// Docker's text if it is none.
    pub(crate) fn bytes(&self) -> Result<i64> {
        swarm_template::size::memory_bytes(&self.text()?).map_err(|error| self.invalid(error.to_string()))
    }

    /// A file's mode: `0440` and `"0440"` are octal, as every Unix user means it.
    ///
    /// # Errors
    /// If it is no mode.
    pub(crate) fn mode(&self) -> Result<u32> {
        match self.value {
            Value::String(text) => {
                let text = text.trim();
                let octal = text.strip_prefix("0o").or_else(|| text.strip_prefix('0')).filter(|digits| !digits.is_empty());
                let mode = octal.map_or_else(|| text.parse().ok(), |digits| u32::from_str_radix(digits, 8).ok());
                mode.ok_or_else(|| self.must_be("a file mode"))
            }
            _ => self.whole(),
        }
    }

    /// A map of texts, or the same as a list of `KEY=VALUE`. A key without a value has none.
    ///
    /// # Errors
    /// If anything in it is no text.
    pub(crate) fn pairs(&self) -> Result<BTreeMap<String, Option<String>>> {
        if let Value::Sequence(_) = self.value {
            let split = |text: String| match text.split_once('=') {
                Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
                None => (text, None),
            };
            return Ok(self.texts()?.into_iter().map(split).collect());
        }
        self.entries()?.into_iter().map(|(key, node)| Ok((key, if node.is_null() { None } else { Some(node.text()?) }))).collect()
    }

    /// As [`Node::pairs`], with an empty text where there is no value.
    ///
    /// # Errors
    /// If anything in it is no text.
    pub(crate) fn labels(&self) -> Result<BTreeMap<String, String>> {
        Ok(self.pairs()?.into_iter().map(|(key, value)| (key, value.unwrap_or_default())).collect())
    }
}

/// The text of a value that is neither map, list nor nothing.
pub(crate) fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(on) => Some(on.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Sequence(_) | Value::Mapping(_) | Value::Tagged(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Value {
        serde_norway::from_str(text).expect("YAML")
    }

    #[test]
    fn scalars_are_read_as_they_are_meant() {
        let read = |text: &str| Node::new("a", &value(text)).mode().map_err(|e| e.to_string());
        assert_eq!(read("0440"), Ok(0o440));
        assert_eq!(read("\"0440\""), Ok(0o440));
        assert_eq!(read("0o440"), Ok(0o440));
        assert_eq!(read("288"), Ok(0o440));
        assert_eq!(read("rw"), Err("a must be a file mode".into()));
        assert!(Node::new("a", &value("yes")).switch().expect("a switch"));
        assert_eq!(Node::new("a", &value("\"3\"")).whole::<u64>().expect("a number"), 3);
        assert_eq!(Node::new("a", &value("-3")).whole::<u64>().expect_err("below zero").to_string(), "a must be an integer");
        assert_eq!(Node::new("a", &value("1m30s")).duration().expect("a time"), 90_000_000_000);
        assert_eq!(Node::new("a", &value("64m")).bytes().expect("a size"), 64 << 20);
    }

    #[test]
    fn unknown_keys_are_named() {
        let map = value("{a: 1, x-b: 2, c: 3}");
        let error = Node::new("services.web", &map).only(&["a"]).expect_err("c is not known");
        assert_eq!(error.to_string(), "services.web Additional property c is not allowed");
    }
}
