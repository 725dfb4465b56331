//! API versions: the prefix of paths, which ones are accepted, and what the engine is asked in.

use std::fmt;

/// The oldest version that is accepted.
pub const OLDEST: ApiVersion = ApiVersion { major: 1, minor: 24 };
/// The newest version that is accepted: that of the API description this product follows.
pub const NEWEST: ApiVersion = ApiVersion { major: 1, minor: 56 };

/// A version of the Engine API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ApiVersion {
    /// Before the dot.
    pub major: u16,
    /// After the dot.
    pub minor: u16,
}

impl ApiVersion {
    /// Reads `MAJOR.MINOR`; a missing minor is zero, further parts are left out, as Docker compares versions.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let major = parts.next()?.parse().ok()?;
        let minor = parts.next().map_or(Some(0), |minor| minor.parse().ok())?;
        Some(Self { major, minor })
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// A version that is not accepted. The texts are Docker's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnsupportedVersion {
    /// Below [`OLDEST`], or no version.
    #[error("client version {0} is too old. Minimum supported API version is {OLDEST}, please upgrade your client to a newer version")]
    TooOld(String),
    /// Above [`NEWEST`].
    #[error("client version {0} is too new. Maximum supported API version is {NEWEST}")]
    TooNew(String),
}

/// A path without its version prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versioned<'a> {
    /// What the prefix says; `None` without one.
    pub version: Option<ApiVersion>,
    /// The path behind it, starting with a slash.
    pub path: &'a str,
}

/// Takes the prefix `/vN.M` off a path.
///
/// # Errors
/// [`UnsupportedVersion`] when the prefix names a version that is not accepted.
pub fn split(path: &str) -> Result<Versioned<'_>, UnsupportedVersion> {
    let Some((text, rest)) = prefix(path) else {
        return Ok(Versioned { version: None, path });
    };
    match ApiVersion::parse(text) {
        Some(version) if version > NEWEST => Err(UnsupportedVersion::TooNew(text.to_owned())),
        Some(version) if version >= OLDEST => Ok(Versioned { version: Some(version), path: rest }),
        _ => Err(UnsupportedVersion::TooOld(text.to_owned())),
    }
}

/// The digits and dots after `/v`, and the path behind them.
fn prefix(path: &str) -> Option<(&str, &str)> {
    let rest = path.strip_prefix("/v")?;
    let end = rest.find('/')?;
    let (version, path) = rest.split_at(end);
    let is_version = !version.is_empty() && version.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    is_version.then_some((version, path))
}

/// The version nearest to `asked` that lies in what the engine speaks.
#[must_use]
pub fn clamp(asked: ApiVersion, oldest: ApiVersion, newest: ApiVersion) -> ApiVersion {
    asked.max(oldest).min(newest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(path: &str) -> String {
        match split(path) {
            Ok(Versioned { version: Some(version), path }) => format!("{version} {path}"),
            Ok(Versioned { version: None, path }) => format!("- {path}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn prefixes_are_taken_off() {
        assert_eq!(text("/v1.24/info"), "1.24 /info");
        assert_eq!(text("/v1.56/containers/a/json"), "1.56 /containers/a/json");
        assert_eq!(text("/info"), "- /info");
        assert_eq!(text("/version"), "- /version");
        assert_eq!(text("/volumes/v1.40/x"), "- /volumes/v1.40/x");
        assert_eq!(text("/v1.40"), "- /v1.40");
        assert_eq!(text("/vx/info"), "- /vx/info");
        assert_eq!(text("/v1.41.2/info"), "1.41 /info");
    }

    #[test]
    fn versions_out_of_range_get_dockers_words() {
        let too_old = "is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version";
        for old in ["1.10", "0.9", "1", "..", "1..2"] {
            assert_eq!(text(&format!("/v{old}/info")), format!("client version {old} {too_old}"));
        }
        for new in ["1.99", "1.57", "2.0"] {
            let too_new = format!("client version {new} is too new. Maximum supported API version is 1.56");
            assert_eq!(text(&format!("/v{new}/info")), too_new);
        }
    }

    #[test]
    fn the_engine_is_asked_in_what_it_speaks() {
        let version = |minor| ApiVersion { major: 1, minor };
        assert_eq!(clamp(version(56), version(12), version(41)), version(41));
        assert_eq!(clamp(version(24), version(44), version(52)), version(44));
        assert_eq!(clamp(version(40), version(12), version(41)), version(40));
    }
}
