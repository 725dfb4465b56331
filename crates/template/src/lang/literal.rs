//! Literals as Go's `strconv` reads them: numbers, characters, strings.

use super::ast::NumberLiteral;
use super::lexer::Kind;
use crate::gofmt::quote;

/// Reads a number or character token.
///
/// # Errors
/// The reason, in Go's words.
pub(super) fn number(kind: Kind, text: &str) -> Result<NumberLiteral, String> {
    let mut number = NumberLiteral { text: text.into(), int: None, uint: None, float: None, complex: None };
    match kind {
        Kind::CharConstant => {
            let code = char_constant(text)?;
            number.int = Some(i64::from(code));
            number.uint = Some(u64::from(code));
            number.float = Some(f64::from(code));
            return Ok(number);
        }
        Kind::Complex => {
            let (re, im) = complex(text).ok_or("syntax error scanning complex number")?;
            number.complex = Some((re, im));
            simplify_complex(&mut number, re, im);
            return Ok(number);
        }
        _ => {}
    }
    if let Some(im) = text.strip_suffix('i').and_then(float) {
        number.complex = Some((0.0, im));
        simplify_complex(&mut number, 0.0, im);
        return Ok(number);
    }
    number.uint = unsigned(text);
    number.int = signed(text);
    if number.int == Some(0) {
        number.uint = Some(0); // -0 is no unsigned number to the reader.
    }
    match (number.int, number.uint) {
        (Some(n), _) => number.float = Some(n as f64),
        (None, Some(n)) => number.float = Some(n as f64),
        (None, None) => {
            let value = float(text);
            if value.is_some() && !text.contains(['.', 'e', 'E', 'p', 'P']) {
                return Err(format!("integer overflow: {}", quote(text)));
            }
            let Some(value) = value else {
                return Err(format!("illegal number syntax: {}", quote(text)));
            };
            number.float = Some(value);
            number.int = whole_int(value);
            number.uint = whole_uint(value);
        }
    }
    Ok(number)
}

/// Unquotes a string token with its quotes.
///
/// # Errors
/// `invalid syntax`, as Go says.
pub(super) fn string(text: &str) -> Result<String, String> {
    if let Some(raw) = text.strip_prefix('`').and_then(|t| t.strip_suffix('`')) {
        return Ok(raw.replace('\r', ""));
    }
    let mut rest = text.strip_prefix('"').and_then(|t| t.strip_suffix('"')).ok_or_else(|| "invalid syntax".to_string())?;
    let mut bytes = Vec::with_capacity(rest.len());
    while !rest.is_empty() {
        let (unit, tail) = unquote_char(rest, '"').ok_or_else(|| "invalid syntax".to_string())?;
        match unit {
            Unit::Char(c) => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            Unit::Byte(b) => bytes.push(b),
        }
        rest = tail;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn char_constant(text: &str) -> Result<u32, String> {
    let (unit, tail) = unquote_char(&text[1..], '\'').ok_or_else(|| "invalid syntax".to_string())?;
    if tail != "'" {
        return Err(format!("malformed character constant: {text}"));
    }
    Ok(match unit {
        Unit::Char(c) => u32::from(c),
        Unit::Byte(b) => u32::from(b),
    })
}

/// One character of a literal: `\x` and octal escapes mean bytes, all else characters.
enum Unit {
    Char(char),
    Byte(u8),
}

fn unquote_char(text: &str, delimiter: char) -> Option<(Unit, &str)> {
    let mut chars = text.chars();
    match chars.next()? {
        c if c == delimiter => return None,
        '\\' => {}
        c => return Some((Unit::Char(c), chars.as_str())),
    }
    let escape = chars.next()?;
    let rest = chars.as_str();
    let simple = |c| Some((Unit::Char(c), rest));
    match escape {
        'a' => simple('\x07'),
        'b' => simple('\x08'),
        'f' => simple('\x0c'),
        'n' => simple('\n'),
        'r' => simple('\r'),
        't' => simple('\t'),
        'v' => simple('\x0b'),
        '\\' => simple('\\'),
        '\'' | '"' if escape == delimiter => simple(escape),
        'x' => {
            let code = digits(rest, 2, 16)?;
            Some((Unit::Byte(u8::try_from(code).ok()?), &rest[2..]))
        }
        'u' | 'U' => {
            let len = if escape == 'u' { 4 } else { 8 };
            Some((Unit::Char(char::from_u32(digits(rest, len, 16)?)?), &rest[len..]))
        }
        '0'..='7' => {
            let code = digits(&text[1..], 3, 8)?;
            Some((Unit::Byte(u8::try_from(code).ok()?), &text[4..]))
        }
        _ => None,
    }
}

fn digits(text: &str, len: usize, base: u32) -> Option<u32> {
    let part = text.get(..len)?;
    let valid = part.bytes().all(|b| char::from(b).is_digit(base));
    valid.then(|| u32::from_str_radix(part, base).ok()).flatten()
}

fn simplify_complex(number: &mut NumberLiteral, re: f64, im: f64) {
    if im == 0.0 {
        number.float = Some(re);
        number.int = whole_int(re);
        number.uint = whole_uint(re);
    }
}

fn whole_int(value: f64) -> Option<i64> {
    const END: f64 = 9_223_372_036_854_775_808.0; // 2^63, the first that does not fit.
    (value.fract() == 0.0 && (-END..END).contains(&value)).then_some(value as i64)
}

fn whole_uint(value: f64) -> Option<u64> {
    const END: f64 = 18_446_744_073_709_551_616.0; // 2^64
    (value.fract() == 0.0 && (0.0..END).contains(&value)).then_some(value as u64)
}

fn complex(text: &str) -> Option<(f64, f64)> {
    let body = text.strip_suffix('i')?;
    // The sign between the parts is the last one that does not belong to an exponent.
    let at = body
        .char_indices()
        .skip(1)
        .filter(|(i, c)| matches!(c, '+' | '-') && !body[..*i].ends_with(['e', 'E', 'p', 'P']))
        .map(|(i, _)| i)
        .last()?;
    Some((float(&body[..at])?, float(&body[at..])?))
}

fn signed(text: &str) -> Option<i64> {
    let (negative, magnitude) = match text.strip_prefix(['+', '-']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    let value = i128::from(unsigned(magnitude)?);
    i64::try_from(if negative { -value } else { value }).ok()
}

/// A literal without sign, in base 2, 8, 10 or 16 by its prefix.
fn unsigned(text: &str) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    let (base, digits) = if let Some(rest) = lower.strip_prefix("0x") {
        (16, rest)
    } else if let Some(rest) = lower.strip_prefix("0b") {
        (2, rest)
    } else if let Some(rest) = lower.strip_prefix("0o") {
        (8, rest)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (8, &lower[1..])
    } else {
        (10, lower.as_str())
    };
    if digits.starts_with(['+', '-']) || !underscores_ok(&lower) {
        return None;
    }
    u64::from_str_radix(&digits.replace('_', ""), base).ok()
}

/// Reads a decimal or hexadecimal float as Go does, except that infinite values are refused.
pub(crate) fn float(text: &str) -> Option<f64> {
    let (negative, magnitude) = match text.strip_prefix(['+', '-']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    let lower = magnitude.to_ascii_lowercase();
    if !underscores_ok(&lower) {
        return None;
    }
    let lower = lower.replace('_', "");
    let value = if let Some(hex) = lower.strip_prefix("0x") {
        hex_float(hex)?
    } else {
        if !lower.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
            return None;
        }
        lower.parse::<f64>().ok()?
    };
    value.is_finite().then_some(if negative { -value } else { value })
}

fn hex_float(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once('p')?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut value = 0f64;
    for digit in whole.chars().chain(fraction.chars()) {
        value = value * 16.0 + f64::from(digit.to_digit(16)?);
    }
    let shift = exponent.parse::<i32>().ok()?;
    let shift = shift.checked_sub(4 * i32::try_from(fraction.len()).ok()?)?;
    Some(value * 2f64.powi(shift))
}

/// Underscores may only stand between digits, or between a base prefix and a digit.
fn underscores_ok(lower: &str) -> bool {
    if !lower.contains('_') {
        return true;
    }
    let hex = lower.starts_with("0x");
    let body = match lower.as_bytes() {
        [b'0', b'x' | b'b' | b'o', ..] => format!("0{}", &lower[2..]),
        _ => lower.to_string(),
    };
    let is_digit = |c: char| c.is_ascii_digit() || (hex && c.is_ascii_hexdigit());
    let chars: Vec<char> = body.chars().collect();
    chars.iter().enumerate().all(|(i, c)| *c != '_' || (i > 0 && is_digit(chars[i - 1]) && chars.get(i + 1).copied().is_some_and(is_digit)))
}
