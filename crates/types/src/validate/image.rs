//! Image references as Docker reads them: `[domain[:port]/]path[:tag][@digest]`.

use std::fmt;

/// The registry meant where none is named.
const DOMAIN_DEFAULT: &str = "docker.io";
/// An old name of it.
const DOMAIN_LEGACY: &str = "index.docker.io";
/// Where that registry keeps images named by one word.
const OFFICIAL: &str = "library/";
/// Registries refuse longer paths.
const PATH_CHARS_MAX: usize = 255;
/// Registries refuse longer tags.
const TAG_CHARS_MAX: usize = 128;
/// Hexadecimal characters of an image id, which is no reference.
const ID_CHARS: usize = 64;

/// The text is not an image reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidImageReference {
    /// Neither domain, path, tag and digest in this order.
    #[error("invalid reference format")]
    Format,
    /// Paths have no capitals.
    #[error("invalid reference format: repository name ({0}) must be lowercase")]
    Capitals(String),
    /// Could be mistaken for the id of an image.
    #[error("invalid repository name ({0}), cannot specify 64-byte hexadecimal strings")]
    LooksLikeId(String),
    /// A path that no registry takes.
    #[error("repository name must not be more than {PATH_CHARS_MAX} characters")]
    TooLong,
    /// A digest of another kind than SHA-256, SHA-384 and SHA-512.
    #[error("unsupported digest algorithm")]
    DigestAlgorithm,
    /// A digest of the wrong length or with capitals.
    #[error("invalid checksum digest format")]
    DigestForm,
}

/// An image reference with its domain, as registries need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageReference {
    /// Registry, such as `docker.io` or `[::1]:5000`.
    pub domain: String,
    /// Such as `library/nginx`.
    pub path: String,
    /// Such as `1.27`.
    pub tag: Option<String>,
    /// Such as `sha256:…`.
    pub digest: Option<String>,
}

impl ImageReference {
    /// Reads a reference as people write it: without a domain the default one is meant.
    ///
    /// # Errors
    /// [`InvalidImageReference`]
    pub fn parse(text: &str) -> Result<Self, InvalidImageReference> {
        if text.len() == ID_CHARS && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            return Err(InvalidImageReference::LooksLikeId(text.to_owned()));
        }
        let (domain, rest) = split_domain(text);
        let remote = rest.split(':').next().unwrap_or_default();
        if remote.chars().any(char::is_uppercase) {
            return Err(InvalidImageReference::Capitals(remote.to_owned()));
        }
        let (named, digest) = match rest.split_once('@') {
            Some((named, digest)) => (named, Some(digest)),
            None => (rest.as_str(), None),
        };
        // A colon before the last slash belongs to nothing: the domain was taken off already.
        let (path, tag) = match named.rfind(':') {
            Some(at) => (&named[..at], Some(&named[at + 1..])),
            None => (named, None),
        };
        if !is_domain(&domain) || !is_path(path) || !tag.is_none_or(is_tag) {
            return Err(InvalidImageReference::Format);
        }
        digest.map_or(Ok(()), check_digest)?;
        if path.len() > PATH_CHARS_MAX {
            return Err(InvalidImageReference::TooLong);
        }
        Ok(Self { domain, path: path.to_owned(), tag: tag.map(str::to_owned), digest: digest.map(str::to_owned) })
    }

    /// The reference with the tag `latest` where it has neither tag nor digest.
    #[must_use]
    pub fn with_default_tag(mut self) -> Self {
        if self.tag.is_none() && self.digest.is_none() {
            self.tag = Some("latest".to_owned());
        }
        self
    }

    /// As people write it: without the default domain and its folder of official images.
    #[must_use]
    pub fn familiar(&self) -> String {
        let mut short = self.to_string();
        if self.domain == DOMAIN_DEFAULT {
            short = short[DOMAIN_DEFAULT.len() + 1..].to_owned();
            match self.path.strip_prefix(OFFICIAL) {
                Some(name) if !name.contains('/') => short = short[OFFICIAL.len()..].to_owned(),
                _ => {}
            }
        }
        short
    }
}

/// In full, with the domain.
impl fmt::Display for ImageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.domain, self.path)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

/// The domain and the rest. The first part is a domain only if it cannot be part of a path.
fn split_domain(text: &str) -> (String, String) {
    let (domain, rest) = match text.split_once('/') {
        None => (DOMAIN_DEFAULT, text),
        Some((DOMAIN_LEGACY, rest)) => (DOMAIN_DEFAULT, rest),
        Some((first, rest)) if first == "localhost" || first.contains(['.', ':']) || first.chars().any(char::is_uppercase) => (first, rest),
        Some(_) => (DOMAIN_DEFAULT, text),
    };
    let official = domain == DOMAIN_DEFAULT && !rest.contains('/');
    (domain.to_owned(), if official { format!("{OFFICIAL}{rest}") } else { rest.to_owned() })
}

fn is_domain(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(v6) => {
            let Some((address, after)) = v6.split_once(']') else { return false };
            if address.is_empty() || !address.bytes().all(|b| b.is_ascii_hexdigit() || b == b':') {
                return false;
            }
            (None, after.strip_prefix(':').map_or_else(|| after.is_empty().then_some("0"), Some))
        }
        None => match text.split_once(':') {
            Some((host, port)) => (Some(host), Some(port)),
            None => (Some(text), Some("0")),
        },
    };
    let label = |l: &str| {
        let bytes = l.as_bytes();
        let ends = bytes.first().zip(bytes.last());
        ends.is_some_and(|(a, z)| a.is_ascii_alphanumeric() && z.is_ascii_alphanumeric())
            && bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-')
    };
    host.is_none_or(|h| h.split('.').all(label)) && port.is_some_and(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()))
}

fn is_path(text: &str) -> bool {
    text.split('/').all(is_path_component)
}

/// Lower-case letters and digits, with separators in between: one dot, one or two underscores, or dashes.
fn is_path_component(text: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    if !bytes.first().zip(bytes.last()).is_some_and(|(a, z)| is_word(*a) && is_word(*z)) {
        return false;
    }
    text.split(|c: char| c.is_ascii() && is_word(c as u8))
        .all(|separator| matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|b| b == b'-'))
}

fn is_tag(text: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let bytes = text.as_bytes();
    bytes.first().is_some_and(|b| is_word(*b))
        && bytes.len() <= TAG_CHARS_MAX
        && bytes.iter().all(|b| is_word(*b) || matches!(b, b'.' | b'-'))
}

fn check_digest(text: &str) -> Result<(), InvalidImageReference> {
    let (algorithm, hex) = text.split_once(':').ok_or(InvalidImageReference::Format)?;
    if hex.len() < 32 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(InvalidImageReference::Format);
    }
    let length = match algorithm {
        "sha256" => 64,
        "sha384" => 96,
        "sha512" => 128,
        _ => return Err(InvalidImageReference::DigestAlgorithm),
    };
    if hex.len() != length || hex.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err(InvalidImageReference::DigestForm);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
