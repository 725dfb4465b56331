//! Names of services.

use super::InvalidSpec;

/// A label of DNS is no longer.
pub const NAME_CHARS_MAX: usize = 63;

/// Checks a service's name: letters, digits, and in between dashes and underscores.
///
/// # Errors
/// [`InvalidSpec`] says what is wrong with it.
pub fn check_service_name(name: &str) -> Result<(), InvalidSpec> {
    if name.is_empty() {
        return Err(InvalidSpec::NameMissing);
    }
    let bytes = name.as_bytes();
    let ends = [bytes[0], bytes[bytes.len() - 1]];
    let inner = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    if !ends.iter().all(u8::is_ascii_alphanumeric) || !bytes.iter().all(inner) {
        return Err(InvalidSpec::NameForm);
    }
    if name.len() > NAME_CHARS_MAX {
        return Err(InvalidSpec::NameTooLong);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_labels() {
        for good in ["a", "A9", "web-1", "my__web--x", &"a".repeat(63)] {
            assert_eq!(check_service_name(good), Ok(()), "{good}");
        }
        let long = "a".repeat(64);
        let bad = [("", InvalidSpec::NameMissing), (&long, InvalidSpec::NameTooLong)];
        for (name, error) in bad {
            assert_eq!(check_service_name(name), Err(error));
        }
        for form in ["-a", "a-", "_", "a.b", "a b", "é", "a/b", "a\n"] {
            assert_eq!(check_service_name(form), Err(InvalidSpec::NameForm), "{form}");
        }
    }
}
