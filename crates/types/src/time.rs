//! Points in time and spans, as the API writes them.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::{fmt, time::Duration};

/// A span in nanoseconds: how Docker's JSON writes durations. May be negative on the wire; validation refuses that.
pub type Nanos = i64;

/// How Go writes "no time"; what an unset [`Timestamp`] reads and prints as.
const GO_ZERO: &str = "0001-01-01T00:00:00Z";

/// A point in time: nanoseconds since the Unix epoch, UTC. Zero stands for "not set" and prints as Go's zero time.
///
/// Serialized as RFC 3339 with nanoseconds, trailing zeros cut, which is what Docker clients parse.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From nanoseconds since the Unix epoch.
    #[must_use]
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the Unix epoch.
    #[must_use]
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// From the system clock's reading; the caller owns the clock.
    #[must_use]
    pub fn from_system(time: std::time::SystemTime) -> Self {
        let since = time.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
    }

    /// Whether it stands for "never".
    #[must_use]
    pub const fn is_zero(&self) -> bool {
        self.0 == 0
    }

    /// This long after.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)))
    }

    /// The span from `earlier` to here; zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Reads RFC 3339.
    ///
    /// # Errors
    /// The parser's message on any other text.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == GO_ZERO || text.is_empty() {
            return Ok(Self(0));
        }
        let time: jiff::Timestamp = text.parse().map_err(|e: jiff::Error| e.to_string())?;
        i64::try_from(time.as_nanosecond()).map(Self).map_err(|e| e.to_string())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_zero() {
            return f.write_str(GO_ZERO);
        }
        match jiff::Timestamp::from_nanosecond(i128::from(self.0)) {
            Ok(time) => write!(f, "{time}"),
            Err(_) => f.write_str(GO_ZERO),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if s.is_human_readable() { s.collect_str(self) } else { s.serialize_i64(self.0) }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        if d.is_human_readable() {
            let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
            Self::parse(&text).map_err(D::Error::custom)
        } else {
            i64::deserialize(d).map(Self)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_go_does() {
        assert_eq!(Timestamp::default().to_string(), GO_ZERO);
        assert_eq!(Timestamp::from_nanos(1_700_000_000_120_000_000).to_string(), "2023-11-14T22:13:20.12Z");
        assert_eq!(Timestamp::parse("2023-11-14T23:13:20.12+01:00"), Ok(Timestamp::from_nanos(1_700_000_000_120_000_000)));
        assert_eq!(Timestamp::parse(GO_ZERO), Ok(Timestamp::default()));
    }
}
