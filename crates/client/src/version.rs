//! API versions.

use std::fmt;
use std::str::FromStr;

/// A version of the Docker Engine API, such as 1.51.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiVersion {
    /// The part before the point; 1 in all versions so far.
    pub major: u16,
    /// The part behind the point.
    pub minor: u16,
}

impl ApiVersion {
    /// The newest version this client knows.
    pub const NEWEST: ApiVersion = ApiVersion { major: 1, minor: 51 };

    /// What a daemon speaks that does not say: older ones than this are not in use.
    pub const OLDEST: ApiVersion = ApiVersion { major: 1, minor: 24 };
}

/// Text that is no API version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid API version {text:?}")]
pub struct InvalidVersion {
    text: String,
}

impl FromStr for ApiVersion {
    type Err = InvalidVersion;

    fn from_str(text: &str) -> Result<ApiVersion, InvalidVersion> {
        let parse = || {
            let (major, minor) = text.strip_prefix('v').unwrap_or(text).split_once('.')?;
            Some(ApiVersion { major: major.parse().ok()?, minor: minor.parse().ok()? })
        };
        parse().ok_or_else(|| InvalidVersion { text: text.into() })
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}
