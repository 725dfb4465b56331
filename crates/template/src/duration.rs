//! Go's `time.Duration`: its text form, read and written. Durations are nanoseconds.

const NANO: u64 = 1;
const MICRO: u64 = 1_000 * NANO;
const MILLI: u64 = 1_000 * MICRO;
const SECOND: u64 = 1_000 * MILLI;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// Text that is no duration, in Go's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Not of the form `1h30m`, or beyond 292 years.
    #[error("time: invalid duration {}", quoted(text))]
    Invalid {
        /// The text.
        text: String,
    },
    /// A number without unit.
    #[error("time: missing unit in duration {}", quoted(text))]
    MissingUnit {
        /// The text.
        text: String,
    },
    /// A unit other than `h m s ms us ns`.
    #[error("time: unknown unit {} in duration {}", quoted(unit), quoted(text))]
    UnknownUnit {
        /// The unit.
        unit: String,
        /// The text.
        text: String,
    },
}

/// Reads a duration such as `1h30m`, `1.5s` or `-2us`, in nanoseconds.
///
/// # Errors
/// [`DurationError`]
pub fn parse(text: &str) -> Result<i64, DurationError> {
    let invalid = || DurationError::Invalid { text: text.into() };
    let negative = text.starts_with('-');
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total = 0u64;
    while !rest.is_empty() {
        let (whole, after) = split_digits(rest);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => split_digits(after),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return Err(invalid());
        }
        let end = after.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after.len());
        let (unit_name, after) = after.split_at(end);
        if unit_name.is_empty() {
            // Go finds a number that does not fit before it misses the unit.
            leading_int(whole).ok_or_else(invalid)?;
            return Err(DurationError::MissingUnit { text: text.into() });
        }
        let whole = leading_int(whole).ok_or_else(invalid)?;
        let unit = unit(unit_name).ok_or_else(|| DurationError::UnknownUnit { unit: unit_name.into(), text: text.into() })?;
        let mut value = whole.checked_mul(unit).filter(|v| *v <= 1 << 63).ok_or_else(invalid)?;
        let (digits, scale) = leading_fraction(fraction);
        if digits > 0 {
            // Floating point, as Go does, so that the last digit is the same.
            value += (digits as f64 * (unit as f64 / scale)) as u64;
        }
        total = total.checked_add(value).filter(|t| *t <= 1 << 63).ok_or_else(invalid)?;
        rest = after;
    }
    let total = i128::from(total);
    i64::try_from(if negative { -total } else { total }).map_err(|_| invalid())
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}

fn unit(name: &str) -> Option<u64> {
    Some(match name {
        "ns" => NANO,
        "us" | "µs" | "μs" => MICRO,
        "ms" => MILLI,
        "s" => SECOND,
        "m" => MINUTE,
        "h" => HOUR,
        _ => return None,
    })
}

/// `None` above 2^63.
fn leading_int(digits: &str) -> Option<u64> {
    if digits.is_empty() {
        return Some(0);
    }
    digits.parse().ok().filter(|value| *value <= 1 << 63)
}

/// The digits behind the point as a number, and what to divide it by. Digits that do not fit are
/// dropped.
fn leading_fraction(digits: &str) -> (u64, f64) {
    let mut value = 0u64;
    let mut scale = 1f64;
    for digit in digits.bytes() {
        let next = value.checked_mul(10).and_then(|v| v.checked_add(u64::from(digit - b'0')));
        match next.filter(|v| *v <= 1 << 63) {
            Some(next) => value = next,
            None => break,
        }
        scale *= 10.0;
    }
    (value, scale)
}

/// Writes a duration of `nanos` nanoseconds as Go does: `1h30m0s`, `1.5s`, `100µs`, `0s`.
pub fn format(nanos: i64) -> String {
    let magnitude = nanos.unsigned_abs();
    let body = if magnitude == 0 {
        "0s".to_string()
    } else if magnitude < MICRO {
        format!("{magnitude}ns")
    } else if magnitude < MILLI {
        format!("{}µs", decimal(magnitude, MICRO))
    } else if magnitude < SECOND {
        format!("{}ms", decimal(magnitude, MILLI))
    } else {
        let seconds = format!("{}s", decimal(magnitude % MINUTE, SECOND));
        let minutes = magnitude / MINUTE % 60;
        match magnitude / HOUR {
            0 if minutes == 0 => seconds,
            0 => format!("{minutes}m{seconds}"),
            hours => format!("{hours}h{minutes}m{seconds}"),
        }
    };
    if nanos < 0 { format!("-{body}") } else { body }
}

/// `value / unit` exactly, without trailing zeros. `unit` is a power of ten.
fn decimal(value: u64, unit: u64) -> String {
    let digits = unit.ilog10() as usize;
    let fraction = format!("{:0digits$}", value % unit);
    match fraction.trim_end_matches('0') {
        "" => (value / unit).to_string(),
        fraction => format!("{}.{fraction}", value / unit),
    }
}

/// The quoting of Go's time package: bytes outside of printable ASCII as `\xNN`.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => quoted.extend(['\\', char::from(byte)]),
            b' '..=b'\x7f' => quoted.push(char::from(byte)),
            byte => quoted.push_str(&format!("\\x{byte:02x}")),
        }
    }
    quoted.push('"');
    quoted
}
