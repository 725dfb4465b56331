//! Values of flags, read as Docker's flag parser reads them and refused in its words.

use std::fmt::Display;

/// `true` or `false` in any of Go's spellings.
///
/// # Errors
/// Go's text on anything else.
pub(crate) fn switch(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err(format!("strconv.ParseBool: parsing {text:?}: invalid syntax")),
    }
}

/// A whole number from zero on: decimal, or with `0x`, `0o`, `0b` or a leading `0` in another base.
///
/// # Errors
/// Go's text on anything else.
pub(crate) fn uint(text: &str) -> Result<u64, String> {
    digits(text).map_err(|why| number_error("ParseUint", text, &why))
}

/// As [`uint`], up to 32 bits.
///
/// # Errors
/// Go's text on anything else.
pub(crate) fn uint32(text: &str) -> Result<u32, String> {
    let number = uint(text)?;
    u32::try_from(number).map_err(|_| number_error("ParseUint", text, &OUT_OF_RANGE))
}

/// A whole number with an optional sign, otherwise as [`uint`].
///
/// # Errors
/// Go's text on anything else.
pub(crate) fn int(text: &str) -> Result<i64, String> {
    let (negative, rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let number = digits(rest).map(i128::from).map(|n| if negative { -n } else { n });
    number.and_then(|n| i64::try_from(n).map_err(|_| OUT_OF_RANGE)).map_err(|why| number_error("ParseInt", text, &why))
}

/// A number with or without a fraction.
///
/// # Errors
/// Go's text on anything else.
pub(crate) fn float(text: &str) -> Result<f32, String> {
    text.parse().map_err(|_| number_error("ParseFloat", text, &SYNTAX))
}

/// A whole decimal number from zero on, as arguments (not flags) hold them.
///
/// # Errors
/// Go's text on anything else.
pub(crate) fn decimal(text: &str) -> Result<u64, String> {
    let number =
        if text.bytes().all(|b| b.is_ascii_digit()) && !text.is_empty() { text.parse().map_err(|_| OUT_OF_RANGE) } else { Err(SYNTAX) };
    number.map_err(|why| number_error("ParseUint", text, &why))
}

/// A port number, for the messages of `--publish`.
///
/// # Errors
/// The reason alone.
pub(crate) fn port(text: &str) -> Result<u32, &'static str> {
    match decimal(text) {
        Ok(number) if number <= 0xffff => Ok(u32::try_from(number).unwrap_or(u32::MAX)),
        Ok(_) => Err(OUT_OF_RANGE),
        Err(_) if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) => Err(OUT_OF_RANGE),
        Err(_) => Err(SYNTAX),
    }
}

/// A command line split into words as a shell does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Words(pub(crate) Vec<String>);

/// Splits into words as a shell does.
///
/// # Errors
/// On an open quote or a backslash at the end.
pub(crate) fn words(text: &str) -> Result<Words, String> {
    shlex::split(text).map(Words).ok_or_else(|| {
        let end = if text.ends_with('\\') { "after escape character" } else { "when expecting closing quote" };
        format!("EOF found {end}")
    })
}

const SYNTAX: &str = "invalid syntax";
const OUT_OF_RANGE: &str = "value out of range";

fn number_error(function: &str, text: &str, why: &dyn Display) -> String {
    format!("strconv.{function}: parsing {text:?}: {why}")
}

/// Digits in the base that their prefix tells. Underscores may separate digits only after a prefix.
fn digits(text: &str) -> Result<u64, &'static str> {
    let lower = text.to_ascii_lowercase();
    let (base, rest) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, &lower[..]),
    };
    let separated = base != 10 && !rest.ends_with('_') && !rest.contains("__");
    let plain = if separated { rest.replace('_', "") } else { rest.to_owned() };
    if plain.is_empty() || !plain.chars().all(|c| c.is_digit(base)) {
        return Err(SYNTAX);
    }
    u64::from_str_radix(&plain, base).map_err(|_| OUT_OF_RANGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_in_go() {
        assert_eq!(uint("10"), Ok(10));
        assert_eq!(uint("0x10"), Ok(16));
        assert_eq!(uint("010"), Ok(8));
        assert_eq!(uint("0"), Ok(0));
        assert_eq!(uint("0x_ff"), Ok(255));
        assert_eq!(uint("abc"), Err("strconv.ParseUint: parsing \"abc\": invalid syntax".into()));
        assert_eq!(uint("-1"), Err("strconv.ParseUint: parsing \"-1\": invalid syntax".into()));
        assert_eq!(uint(""), Err("strconv.ParseUint: parsing \"\": invalid syntax".into()));
        assert_eq!(uint("99999999999999999999"), Err("strconv.ParseUint: parsing \"99999999999999999999\": value out of range".into()));
        assert_eq!(uint32("4294967296"), Err("strconv.ParseUint: parsing \"4294967296\": value out of range".into()));
        assert_eq!(int("-5"), Ok(-5));
        assert_eq!(int("--5"), Err("strconv.ParseInt: parsing \"--5\": invalid syntax".into()));
        assert_eq!(decimal("010"), Ok(10));
        assert_eq!(decimal("1x"), Err("strconv.ParseUint: parsing \"1x\": invalid syntax".into()));
        assert_eq!(port("65536"), Err("value out of range"));
        assert_eq!(port("http"), Err("invalid syntax"));
    }

    #[test]
    fn switches_and_words_read_as_in_go() {
        assert_eq!(switch("T"), Ok(true));
        assert_eq!(switch("maybe"), Err("strconv.ParseBool: parsing \"maybe\": invalid syntax".into()));
        assert_eq!(words("sh -c 'echo hi'"), Ok(Words(vec!["sh".into(), "-c".into(), "echo hi".into()])));
        assert_eq!(words(""), Ok(Words(Vec::new())));
        assert_eq!(words("'open"), Err("EOF found when expecting closing quote".into()));
    }
}
