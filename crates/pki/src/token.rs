//! Join tokens: what a new node shows to be let in, and by which it knows the cluster.

use std::fmt;
use std::str::FromStr;

use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::base36;
use crate::random::{RandomError, random_bytes};
use crate::roots::RootDigest;

/// First two parts of every token: the kind of text and its version.
const PREFIX: &str = "SWMTKN-1-";

/// Characters of the secret: 16 random bytes in base 36.
const SECRET_CHARS: usize = 25;

/// The text is not a join token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid join token")]
pub struct InvalidJoinToken;

/// `SWMTKN-1-<digest of the root bundle>-<secret>`.
///
/// The digest lets the new node check the cluster before it sends anything; the secret tells the
/// cluster which role the node may take. `Display` shows the whole token, `Debug` hides the
/// secret. There is no `==`: tokens are compared with [`JoinToken::matches`].
#[derive(Clone)]
pub struct JoinToken {
    digest: RootDigest,
    /// 25 characters of `0-9a-z`.
    secret: Zeroizing<String>,
}

impl JoinToken {
    /// A token for the cluster with this root digest, its secret made of 16 random bytes.
    pub fn new(digest: RootDigest, entropy: [u8; 16]) -> Self {
        let entropy = Zeroizing::new(entropy);
        let secret = base36::text(&base36::encode::<16, SECRET_CHARS>(*entropy));
        Self { digest, secret: Zeroizing::new(secret) }
    }

    /// A token with a fresh secret from the operating system.
    ///
    /// # Errors
    /// [`RandomError`] if the operating system gives no randomness.
    pub fn generate(digest: RootDigest) -> Result<Self, RandomError> {
        Ok(Self::new(digest, random_bytes()?))
    }

    /// Digest of the root bundle of the cluster this token is for.
    pub fn root_digest(&self) -> RootDigest {
        self.digest
    }

    /// Whether both tokens are the same, in a time that does not depend on their secrets.
    pub fn matches(&self, other: &Self) -> bool {
        let secrets_equal = self.secret.as_bytes().ct_eq(other.secret.as_bytes());
        self.digest == other.digest && bool::from(secrets_equal)
    }
}

impl FromStr for JoinToken {
    type Err = InvalidJoinToken;

    fn from_str(text: &str) -> Result<Self, InvalidJoinToken> {
        let (digest, secret) = text.strip_prefix(PREFIX).and_then(|rest| rest.split_once('-')).ok_or(InvalidJoinToken)?;
        if secret.len() != SECRET_CHARS || !base36::is_base36(secret) {
            return Err(InvalidJoinToken);
        }
        let digest = RootDigest::parse(digest).ok_or(InvalidJoinToken)?;
        Ok(Self { digest, secret: Zeroizing::new(secret.to_owned()) })
    }
}

/// The whole token, secret included.
impl fmt::Display for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}-{}", self.digest, self.secret.as_str())
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinToken({PREFIX}{}-<secret>)", self.digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn token(entropy: [u8; 16]) -> JoinToken {
        JoinToken::new(RootDigest::of(b"bundle"), entropy)
    }

    #[test]
    fn has_the_form_of_docker_tokens() {
        let text = token([0; 16]).to_string();
        // SHA-256 of "bundle", computed with Python.
        assert_eq!(text, format!("SWMTKN-1-{}-{}", BUNDLE_DIGEST, "0".repeat(25)));
        assert_eq!(text.len(), 85);
    }

    const BUNDLE_DIGEST: &str = "0rb0zbvxs70stnv9rd7e1i7kdoa5jvyc9sinad420oo5h2ca2k";

    #[test]
    fn a_token_made_by_docker_is_read() {
        let text = "SWMTKN-1-3pu6hszjas19xyp7ghgosyx9k8atbfcr8p2is99znpy26u2lkl-1awxwuwd3z9j1z3puu7rcgdbx";
        assert_eq!(text.parse::<JoinToken>().unwrap().to_string(), text);
    }

    #[test]
    fn wrong_text_is_refused_with_dockers_words() {
        let good = token([7; 16]).to_string();
        let digest_too_large = format!("SWMTKN-1-{}-{}", "z".repeat(50), "0".repeat(25));
        for bad in [
            "",
            "SWMTKN-1--",
            "SWMTKN-1",
            &good[1..],
            &good[..good.len() - 1],
            &format!("{good}0"),
            &format!("{good}-"),
            &format!(" {good}"),
            &good.to_uppercase(),
            &good.replacen("-1-", "-2-1-", 1),
            &good.replacen("-1-", "-3-", 1),
            &digest_too_large,
        ] {
            let refused = bad.parse::<JoinToken>().unwrap_err();
            assert_eq!(refused.to_string(), "invalid join token", "{bad}");
        }
    }

    #[test]
    fn debug_hides_the_secret() {
        let token = token([9; 16]);
        let secret = token.to_string().rsplit('-').next().unwrap().to_owned();
        assert!(!format!("{token:?}").contains(&secret));
    }

    #[test]
    fn only_the_same_token_matches() {
        assert!(token([1; 16]).matches(&token([1; 16])));
        assert!(!token([1; 16]).matches(&token([2; 16])));
        let other_cluster = JoinToken::new(RootDigest::of(b"other"), [1; 16]);
        assert!(!token([1; 16]).matches(&other_cluster));
        let fresh = JoinToken::generate(RootDigest::of(b"bundle")).unwrap();
        assert!(!fresh.matches(&JoinToken::generate(RootDigest::of(b"bundle")).unwrap()));
    }

    proptest! {
        #[test]
        fn parse_inverts_display(bundle: Vec<u8>, entropy: [u8; 16]) {
            let token = JoinToken::new(RootDigest::of(&bundle), entropy);
            let text = token.to_string();
            let read: JoinToken = text.parse().unwrap();
            prop_assert!(read.matches(&token));
            prop_assert_eq!(read.root_digest(), RootDigest::of(&bundle));
            prop_assert_eq!(read.to_string(), text);
        }

        #[test]
        fn arbitrary_text_never_panics_and_never_changes(
            text in prop_oneof![".*", "SWMTKN-[0-9]-[0-9a-z]{48,52}-[0-9a-z]{24,26}"]
        ) {
            if let Ok(token) = text.parse::<JoinToken>() {
                prop_assert_eq!(token.to_string(), text);
            }
        }
    }
}
