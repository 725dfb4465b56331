//! Amounts people write: memory in bytes, processors in billionths.

use crate::gofmt::quote;
use crate::lang::parse_float;

/// Text that is no size, in docker's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    /// No number in it, or a negative one.
    #[error("invalid size: '{text}'")]
    Invalid {
        /// The text.
        text: String,
    },
    /// What stands before the unit is no number.
    #[error("strconv.ParseFloat: parsing {}: invalid syntax", quote(number))]
    Number {
        /// That part of the text.
        number: String,
    },
    /// A unit other than `b`, `k`, `m`, `g`, `t`, `p`, the latter also with `b` or `ib`.
    #[error("invalid suffix: '{suffix}'")]
    Suffix {
        /// The unit.
        suffix: String,
    },
}

/// Reads an amount of memory such as `512m`, `1.5g` or `64 KiB`, in bytes; units are 1024s.
///
/// Amounts beyond `i64` are the largest `i64`.
///
/// # Errors
/// [`SizeError`]
pub fn memory_bytes(text: &str) -> Result<i64, SizeError> {
    let invalid = || SizeError::Invalid { text: text.into() };
    let last = text.rfind(|c: char| c.is_ascii_digit() || c == '.' || c == ' ').ok_or_else(invalid)?;
    // A single space may stand between number and unit.
    let number = if text[last..].starts_with(' ') { &text[..last] } else { &text[..=last] };
    let suffix = &text[last + 1..];

    let size = parse_float(number).ok_or_else(|| SizeError::Number { number: number.into() })?;
    if size < 0.0 {
        return Err(invalid());
    }
    let lower = suffix.to_lowercase();
    let factor = match lower.as_str() {
        "" | "b" => 1u64,
        _ if lower.len() > 3 => {
            return Err(SizeError::Suffix { suffix: suffix.into() });
        }
        _ => unit(&lower).ok_or(SizeError::Suffix { suffix: lower.clone() })?,
    };
    Ok((size * factor as f64) as i64)
}

fn unit(suffix: &str) -> Option<u64> {
    let exponent = match suffix.chars().next()? {
        'k' => 1,
        'm' => 2,
        'g' => 3,
        't' => 4,
        'p' => 5,
        _ => return None,
    };
    matches!(&suffix[1..], "" | "b" | "ib").then_some(1 << (10 * exponent))
}

/// Text that is no number of processors, in docker's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CpusError {
    /// Not a decimal number or fraction.
    #[error("failed to parse {text} as a rational number")]
    Syntax {
        /// The text.
        text: String,
    },
    /// Not a whole number of billionths.
    #[error("value is too precise")]
    TooPrecise,
    /// More than nine billion processors.
    #[error("value is too large")]
    TooLarge,
}

/// Reads a number of processors such as `1.5`, in billionths, exactly.
///
/// # Errors
/// [`CpusError`]
pub fn nano_cpus(text: &str) -> Result<i64, CpusError> {
    const NANOS: i128 = 1_000_000_000;
    let (numerator, denominator) = rational(text)?;
    let nanos = numerator.checked_mul(NANOS).ok_or(CpusError::TooLarge)?;
    if nanos % denominator != 0 {
        return Err(CpusError::TooPrecise);
    }
    i64::try_from(nanos / denominator).map_err(|_| CpusError::TooLarge)
}

/// Writes a number of processors given in billionths with three decimals: `0.500`.
pub fn format_cpus(nanos: i64) -> String {
    let thousandths = (nanos.unsigned_abs() + 500_000) / 1_000_000;
    let sign = if nanos < 0 { "-" } else { "" };
    format!("{sign}{}.{:03}", thousandths / 1000, thousandths % 1000)
}

/// `a/b`, or a decimal number with an optional exponent, as a reduced-enough fraction.
fn rational(text: &str) -> Result<(i128, i128), CpusError> {
    let syntax = || CpusError::Syntax { text: text.into() };
    if let Some((numerator, denominator)) = text.split_once('/') {
        let all_digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
        let unsigned = numerator.strip_prefix(['+', '-']).unwrap_or(numerator);
        if !all_digits(unsigned) || !all_digits(denominator) {
            return Err(syntax());
        }
        let numerator: i64 = numerator.parse().map_err(|_| CpusError::TooLarge)?;
        let denominator: i64 = denominator.parse().map_err(|_| CpusError::TooLarge)?;
        if denominator == 0 {
            return Err(syntax());
        }
        return Ok((numerator.into(), denominator.into()));
    }
    let negative = text.starts_with('-');
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().map_err(|_| syntax())?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(syntax());
    }
    // Trailing zeros say nothing, and without them more exponents fit.
    let significant = digits.trim_end_matches('0');
    let zeros = digits.len() - significant.len();
    if significant.is_empty() {
        return Ok((0, 1));
    }
    let places = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
    let shift = exponent.saturating_add(places(zeros)).saturating_sub(places(fraction.len()));
    let value: i64 = match significant.trim_start_matches('0').parse() {
        Ok(value) => value,
        Err(_) if shift < 0 => return Err(CpusError::TooPrecise),
        Err(_) => return Err(CpusError::TooLarge),
    };
    let value = i128::from(if negative { -value } else { value });
    let power = 10i128.checked_pow(shift.unsigned_abs());
    match power {
        Some(power) if shift < 0 => Ok((value, power)),
        Some(power) => Ok((value.checked_mul(power).ok_or(CpusError::TooLarge)?, 1)),
        None if shift < 0 => Err(CpusError::TooPrecise),
        None => Err(CpusError::TooLarge),
    }
}
