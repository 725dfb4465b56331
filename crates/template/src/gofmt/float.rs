//! Floating point numbers as Go's `strconv` writes them.

/// The form of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// `1.5`
    Fixed,
    /// `1.5e+00`
    Exponent,
    /// The shorter of the two: fixed for exponents from -4 to below the precision.
    General,
    /// `0x1.8p+00`
    Hex,
    /// `6755399441055744p-52`
    Binary,
}

/// Writes `value` with `precision` digits, or with as many as are needed to read it back.
pub(crate) fn format_float(value: f64, style: Style, precision: Option<usize>) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.into();
    }
    let body = match style {
        Style::Fixed => match precision {
            Some(digits) => format!("{:.digits$}", value.abs()),
            None => format!("{}", value.abs()),
        },
        Style::Exponent => exponent(value.abs(), precision),
        Style::General => general(value.abs(), precision),
        Style::Hex => hex(value.abs(), precision),
        Style::Binary => binary(value.abs()),
    };
    if value.is_sign_negative() { format!("-{body}") } else { body }
}

/// `d.ddde±dd`
fn exponent(value: f64, precision: Option<usize>) -> String {
    let text = match precision {
        Some(digits) => format!("{value:.digits$e}"),
        None => format!("{value:e}"),
    };
    let (mantissa, exponent) = split_exponent(&text);
    format!("{mantissa}e{}", signed_exponent(exponent))
}

fn general(value: f64, precision: Option<usize>) -> String {
    let digits_max = precision.map(|digits| digits.max(1));
    let scientific = match digits_max {
        Some(digits) => format!("{value:.*e}", digits - 1),
        None => format!("{value:e}"),
    };
    let (mantissa, exp) = split_exponent(&scientific);
    let mut digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    digits.truncate(digits.trim_end_matches('0').len().max(1));
    let count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    let point = exp + 1;
    // The exponent form is for exponents that need more digits than were asked for (six when
    // the text is to be the shortest); a whole number never needs more than it has.
    let threshold = match digits_max {
        Some(wanted) => {
            let wanted = i32::try_from(wanted).unwrap_or(i32::MAX);
            if wanted > count && count >= point { count } else { wanted }
        }
        None => 6,
    };
    if exp < -4 || exp >= threshold {
        let (first, rest) = digits.split_at(1);
        let dot = if rest.is_empty() { "" } else { "." };
        return format!("{first}{dot}{rest}e{}", signed_exponent(exp));
    }
    if point <= 0 {
        let zeros = usize::try_from(-point).unwrap_or(0);
        return format!("0.{}{digits}", "0".repeat(zeros));
    }
    let point = usize::try_from(point).unwrap_or(0);
    match digits.split_at_checked(point) {
        Some((whole, "")) => whole.to_string(),
        Some((whole, fraction)) => format!("{whole}.{fraction}"),
        None => format!("{digits}{}", "0".repeat(point - digits.len())),
    }
}

fn split_exponent(text: &str) -> (&str, i32) {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    (mantissa, exponent.parse().unwrap_or(0))
}

/// At least two digits, always with a sign.
fn signed_exponent(exponent: i32) -> String {
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{sign}{:02}", exponent.unsigned_abs())
}

/// The fraction with its leading one made explicit, and the power of two it is scaled by.
fn parts(value: f64) -> (u64, i32) {
    let bits = value.to_bits();
    let fraction = bits & ((1 << 52) - 1);
    let exponent = i32::try_from((bits >> 52) & 0x7ff).unwrap_or(0);
    if exponent == 0 { (fraction, -1074) } else { (fraction | (1 << 52), exponent - 1075) }
}

fn binary(value: f64) -> String {
    let (fraction, exponent) = parts(value);
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{fraction}p{sign}{}", exponent.unsigned_abs())
}

fn hex(value: f64, precision: Option<usize>) -> String {
    let (mut fraction, mut exponent) = parts(value);
    if fraction == 0 {
        exponent = 0;
    } else {
        exponent += 52;
        // Bring the leading one to bit 60, so that 15 hexadecimal digits follow the point.
        let shift = fraction.leading_zeros().saturating_sub(3);
        fraction <<= shift;
        exponent -= i32::try_from(shift).unwrap_or(0) - 8;
    }
    if let Some(digits) = precision.filter(|digits| *digits < 15) {
        // Round half to even.
        let dropped = 60 - u32::try_from(digits).unwrap_or(0) * 4;
        let unit = 1u64 << dropped;
        let rest = fraction & (unit - 1);
        fraction &= !(unit - 1);
        if rest > unit / 2 || (rest == unit / 2 && fraction & unit != 0) {
            fraction += unit;
        }
        if fraction >> 61 != 0 {
            fraction >>= 1;
            exponent += 1;
        }
    }
    let mut digits = format!("{:015x}", fraction & ((1 << 60) - 1));
    match precision {
        Some(wanted) if wanted < digits.len() => digits.truncate(wanted),
        Some(wanted) => digits.extend(std::iter::repeat_n('0', wanted - digits.len())),
        None => digits.truncate(digits.trim_end_matches('0').len()),
    }
    let dot = if digits.is_empty() { "" } else { "." };
    format!("0x{}{dot}{digits}p{}", fraction >> 60, signed_exponent(exponent))
}
