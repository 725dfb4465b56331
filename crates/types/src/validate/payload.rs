//! Secrets and configs.

use crate::{ContainerSpec, FileTarget, PayloadSpec};
use std::collections::BTreeMap;

/// A name is no longer.
pub const PAYLOAD_NAME_CHARS_MAX: usize = 64;

/// A secret or config that cannot be stored. The texts are Docker's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPayload {
    /// No name.
    #[error("name must be provided")]
    NameMissing,
    /// Too long, or with characters that file names should not have.
    #[error("invalid name, only 64 [a-zA-Z0-9-_.] characters allowed, and the start and end character must be [a-zA-Z0-9]")]
    Name,
    /// A driver that cannot be asked.
    #[error("secret driver must have a name")]
    Driver,
    /// No bytes, or too many.
    #[error("{kind} data must be larger than 0 and less than {bytes_end} bytes")]
    Size {
        /// `secret` or `config`.
        kind: &'static str,
        /// The first size that is too large.
        bytes_end: usize,
    },
}

/// Checks a secret (`kind` is its word) or config, whose bytes must be fewer than `bytes_end`.
///
/// # Errors
/// [`InvalidPayload`] says what is wrong with it.
pub fn check_payload(spec: &PayloadSpec, kind: &'static str, bytes_end: usize) -> Result<(), InvalidPayload> {
    let name = spec.name.as_bytes();
    let (Some(first), Some(last)) = (name.first(), name.last()) else { return Err(InvalidPayload::NameMissing) };
    let inner = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let ends = first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric();
    if name.len() > PAYLOAD_NAME_CHARS_MAX || !ends || !name.iter().all(inner) {
        return Err(InvalidPayload::Name);
    }
    if let Some(driver) = &spec.driver {
        return if driver.name.is_empty() { Err(InvalidPayload::Driver) } else { Ok(()) };
    }
    if (1..bytes_end).contains(&spec.data.bytes().len()) { Ok(()) } else { Err(InvalidPayload::Size { kind, bytes_end }) }
}

/// A reference to a secret or config that cannot be mounted. The texts are Docker's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidReference {
    /// Id or name is missing.
    #[error("malformed {0} reference")]
    Unnamed(&'static str),
    /// It goes nowhere.
    #[error("malformed {0} reference, no target provided")]
    NoTarget(&'static str),
    /// The file has no name.
    #[error("malformed file {0} reference, invalid target file name provided")]
    NoFileName(&'static str),
    /// Two go to one place.
    #[error("{kind} references '{first}' and '{second}' have a conflicting target: '{target}'")]
    Conflict {
        /// `secret` or `config`.
        kind: &'static str,
        /// Name of the first.
        first: String,
        /// Name of the second.
        second: String,
        /// Where both go.
        target: String,
    },
}

/// Checks the references to secrets and configs, as far as they alone tell.
///
/// # Errors
/// [`InvalidReference`] names the first fault.
pub fn check_references(container: &ContainerSpec) -> Result<(), InvalidReference> {
    let secrets = container.secrets.iter().map(|r| (r.secret_id.as_str(), r.secret_name.as_str(), r.file.as_ref(), false));
    check_kind("secret", secrets)?;
    let configs = container.configs.iter().map(|r| (r.config_id.as_str(), r.config_name.as_str(), r.file.as_ref(), r.runtime.is_some()));
    check_kind("config", configs)
}

fn check_kind<'a>(
    kind: &'static str,
    references: impl Iterator<Item = (&'a str, &'a str, Option<&'a FileTarget>, bool)>,
) -> Result<(), InvalidReference> {
    let mut taken: BTreeMap<&str, &str> = BTreeMap::new();
    for (id, name, file, elsewhere) in references {
        if id.is_empty() || name.is_empty() {
            return Err(InvalidReference::Unnamed(kind));
        }
        let Some(file) = file else {
            if elsewhere {
                continue;
            }
            return Err(InvalidReference::NoTarget(kind));
        };
        if file.name.is_empty() {
            return Err(InvalidReference::NoFileName(kind));
        }
        if let Some(first) = taken.insert(&file.name, name) {
            let (first, second, target) = (first.to_owned(), name.to_owned(), file.name.clone());
            return Err(InvalidReference::Conflict { kind, first, second, target });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(name: &str, bytes: usize) -> Result<(), InvalidPayload> {
        let spec = PayloadSpec { name: name.into(), data: vec![1; bytes].into(), ..PayloadSpec::default() };
        check_payload(&spec, "secret", 100)
    }

    #[test]
    fn names_are_those_of_files() {
        for good in ["a", "A.b-c_9", &"a".repeat(64)] {
            assert_eq!(checked(good, 1), Ok(()), "{good}");
        }
        assert_eq!(checked("", 1), Err(InvalidPayload::NameMissing));
        for bad in [".a", "a-", "a/b", "a b", "é", &"a".repeat(65)] {
            assert_eq!(checked(bad, 1), Err(InvalidPayload::Name), "{bad}");
        }
    }

    #[test]
    fn sizes_have_bounds() {
        assert_eq!((checked("a", 1), checked("a", 99)), (Ok(()), Ok(())));
        for bad in [0, 100] {
            assert_eq!(
                checked("a", bad).map_err(|e| e.to_string()),
                Err("secret data must be larger than 0 and less than 100 bytes".into())
            );
        }
    }
}
