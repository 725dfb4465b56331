//! Query parameters, read as Docker's daemon reads them.

use axum::extract::Query as Extracted;
use http::Uri;
use swarm_types::Version;

/// A query parameter that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// The whole query is no list of parameters.
    #[error("invalid query: {0}")]
    Form(String),
    /// Not a version.
    #[error("invalid {kind} version '{text}': strconv.ParseUint: parsing {text:?}: {reason}")]
    Version {
        /// `service`, `node` or `swarm`.
        kind: &'static str,
        /// What was given.
        text: String,
        /// Go's words.
        reason: &'static str,
    },
    /// Not a point in time.
    #[error("invalid value for {name}: {text:?}: expected seconds since the Unix epoch")]
    Time {
        /// The parameter.
        name: &'static str,
        /// What was given.
        text: String,
    },
    /// Not a truth value.
    #[error("invalid value for {name}: {text}")]
    Bool {
        /// The parameter.
        name: &'static str,
        /// What was given.
        text: String,
    },
    /// Not a truth value either, for parameters of reads, where Docker gives Go's words too.
    #[error("invalid value for {name}: {text}: strconv.ParseBool: parsing {text:?}: invalid syntax")]
    BoolOfRead {
        /// The parameter.
        name: &'static str,
        /// What was given.
        text: String,
    },
}

/// The parameters of a request, in order.
#[derive(Debug, Clone, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn of(uri: &Uri) -> Result<Self, QueryError> {
        let pairs = Extracted::<Vec<(String, String)>>::try_from_uri(uri);
        pairs.map(|Extracted(pairs)| Self(pairs)).map_err(|e| QueryError::Form(e.body_text()))
    }

    /// The first value of a parameter; empty if there is none.
    pub(super) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value.as_str())
    }

    /// A truth value in one of Go's spellings; `None` if it is not given.
    pub(super) fn flag(&self, name: &'static str) -> Result<Option<bool>, QueryError> {
        match self.get(name) {
            "" => Ok(None),
            "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(Some(true)),
            "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(Some(false)),
            text => Err(QueryError::Bool { name, text: text.to_owned() }),
        }
    }

    /// The same for a parameter of a read; false if it is not given.
    pub(super) fn flag_of_read(&self, name: &'static str) -> Result<bool, QueryError> {
        self.flag(name).map(Option::unwrap_or_default).map_err(|_| QueryError::BoolOfRead { name, text: self.get(name).to_owned() })
    }

    /// A truth value where everything counts as true but a few words.
    pub(super) fn loose_flag(&self, name: &str) -> bool {
        !matches!(self.get(name).trim().to_lowercase().as_str(), "" | "0" | "no" | "false" | "none")
    }

    /// The version of an object that a write names.
    pub(super) fn version(&self, kind: &'static str) -> Result<Version, QueryError> {
        let text = self.get("version");
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let reason = if digits { "value out of range" } else { "invalid syntax" };
        let index = text.parse().ok().filter(|_| digits);
        index.map(|index| Version { index }).ok_or_else(|| QueryError::Version { kind, text: text.to_owned(), reason })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Query {
        Query::of(&format!("/x?{text}").parse().unwrap()).unwrap()
    }

    #[test]
    fn versions_are_numbers() {
        assert_eq!(query("version=18446744073709551615").version("service"), Ok(Version { index: u64::MAX }));
        let cases = [
            ("", "invalid service version '': strconv.ParseUint: parsing \"\": invalid syntax"),
            ("version=%2B1", "invalid service version '+1': strconv.ParseUint: parsing \"+1\": invalid syntax"),
            ("version=-1", "invalid service version '-1': strconv.ParseUint: parsing \"-1\": invalid syntax"),
            (
                "version=18446744073709551616",
                "invalid service version '18446744073709551616': strconv.ParseUint: parsing \"18446744073709551616\": value out of range",
            ),
        ];
        for (text, error) in cases {
            assert_eq!(query(text).version("service").unwrap_err().to_string(), error);
        }
    }

    #[test]
    fn truth_has_two_spellings() {
        assert_eq!(query("a=T").flag("a"), Ok(Some(true)));
        assert_eq!(query("b=0").flag("b"), Ok(Some(false)));
        assert_eq!(query("").flag("a"), Ok(None));
        assert!(query("a=yes").flag("a").is_err());
        assert!(query("force=yes").loose_flag("force"));
        assert!(!query("force=None").loose_flag("force"));
        assert!(!query("").loose_flag("force"));
    }
}
