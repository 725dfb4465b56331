//! Variables in values: `$V`, `${V}`, `${V:-default}`, `${V-default}`, `${V:?error}`, `${V?error}`, `${V:+other}`,
//! `${V+other}`, and `$$` for a dollar.
//!
//! A default may hold variables itself. Keys are left alone. Source: the Compose Specification, chapter Interpolation.

use crate::ComposeError;
use serde_norway::Value;

type Result<T> = std::result::Result<T, ComposeError>;

/// The value of a variable.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Replaces the variables in all texts of `value`, which stands at `path`.
///
/// # Errors
/// On a `$` that begins no variable, and on a required variable without value.
pub(crate) fn interpolate(path: &str, value: &mut Value, lookup: Lookup<'_>) -> Result<()> {
    match value {
        Value::String(text) if text.contains('$') => {
            *text = Expansion { path, whole: text, lookup }.expand(text)?;
            Ok(())
        }
        Value::Sequence(items) => {
            items.iter_mut().enumerate().try_for_each(|(at, item)| interpolate(&format!("{path}.{at}"), item, lookup))
        }
        Value::Mapping(map) => map.iter_mut().try_for_each(|(key, item)| {
            let key = crate::node::scalar(key).unwrap_or_default();
            interpolate(&format!("{path}.{key}"), item, lookup)
        }),
        Value::Tagged(tagged) => interpolate(path, &mut tagged.value, lookup),
        _ => Ok(()),
    }
}

/// One text at work.
struct Expansion<'a> {
    path: &'a str,
    whole: &'a str,
    lookup: Lookup<'a>,
}

impl Expansion<'_> {
    fn invalid(&self) -> ComposeError {
        ComposeError::Interpolation { path: self.path.to_owned(), text: self.whole.to_owned() }
    }

    fn expand(&self, text: &str) -> Result<String> {
        let mut done = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            done.push_str(&rest[..at]);
            let after = &rest[at + 1..];
            if let Some(behind) = after.strip_prefix('$') {
                done.push('$');
                rest = behind;
            } else if let Some(inside) = after.strip_prefix('{') {
                let end = closing(inside).ok_or_else(|| self.invalid())?;
                done.push_str(&self.braced(&inside[..end])?);
                rest = &inside[end + 1..];
            } else {
                let name = name(after);
                if name.is_empty() {
                    return Err(self.invalid());
                }
                done.push_str(&(self.lookup)(name).unwrap_or_default());
                rest = &after[name.len()..];
            }
        }
        done.push_str(rest);
        Ok(done)
    }

    /// What stands between braces.
    fn braced(&self, inside: &str) -> Result<String> {
        let name = name(inside);
        let operator = &inside[name.len()..];
        if name.is_empty() {
            return Err(self.invalid());
        }
        let value = (self.lookup)(name);
        if operator.is_empty() {
            return Ok(value.unwrap_or_default());
        }
        // With a colon, an empty value counts as none.
        let (full, operator) = match operator.strip_prefix(':') {
            Some(operator) => (value.filter(|value| !value.is_empty()), operator),
            None => (value, operator),
        };
        let word = operator.get(1..).ok_or_else(|| self.invalid())?;
        match (operator.as_bytes()[0], full) {
            (b'-' | b'?', Some(value)) => Ok(value),
            (b'-', None) | (b'+', Some(_)) => self.expand(word),
            (b'+', None) => Ok(String::new()),
            (b'?', None) => Err(ComposeError::Required { name: name.to_owned(), why: self.expand(word)? }),
            _ => Err(self.invalid()),
        }
    }
}

/// The variable that `text` begins with.
fn name(text: &str) -> &str {
    let starts = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    if starts { &text[..end] } else { "" }
}

/// Where the brace that is open before `text` is closed.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0usize;
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        match c {
            '{' if before == '$' => depth += 1,
            '}' if depth == 0 => return Some(at),
            '}' => depth -= 1,
            _ => {}
        }
        before = c;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn expand(text: &str) -> std::result::Result<String, String> {
        let mut value = Value::String(text.into());
        let lookup = |name: &str| match name {
            "A" => Some("a".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        interpolate("services.x.image", &mut value, &lookup).map_err(|e| e.to_string())?;
        Ok(value.as_str().unwrap_or_default().to_owned())
    }

    #[test]
    fn every_form_is_known() {
        for (text, wanted) in [
            ("$A-${A}", "a-a"),
            ("$$A", "$A"),
            ("$NONE.", "."),
            ("${NONE:-x}", "x"),
            ("${EMPTY:-x}", "x"),
            ("${EMPTY-x}", ""),
            ("${NONE-${A}}/${NONE:-${OTHER:-z}}", "a/z"),
            ("${A:+set}${NONE:+set}", "set"),
            ("${EMPTY+set}${EMPTY:+set}", "set"),
            ("${A:?no}", "a"),
        ] {
            assert_eq!(expand(text).as_deref(), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn faults_are_dockers() {
        assert_eq!(
            expand("${A").expect_err("open"),
            "invalid interpolation format for services.x.image: \"${A\"; you may need to escape any $ with another $"
        );
        for text in ["$", "$1", "${}", "${A:}", "${A!x}", "a$ b"] {
            assert!(expand(text).is_err(), "{text}");
        }
        assert_eq!(expand("${NONE:?give it}").expect_err("required"), "required variable NONE is missing a value: give it");
    }

    proptest! {
        #[test]
        fn any_text_ends_in_a_text_or_an_error(text in "[${}A:?+\\-é]{0,12}") {
            let _ = expand(&text);
        }
    }
}
