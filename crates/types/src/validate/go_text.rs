//! Go's way to print what error texts quote.

/// Text as Go's `%q` prints it.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            c if u32::from(c) < 0x80 && c.is_control() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Billionths as a decimal number, as Go's `%g` prints it: shortest digits, an exponent below 1e-4 and from 1e6 on.
pub(super) fn float(nanos: i64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "for people; Docker prints the same float")]
    let value = nanos as f64 / 1e9;
    if value == 0.0 || (1e-4..1e6).contains(&value.abs()) {
        return value.to_string();
    }
    let text = format!("{value:e}");
    // Go writes at least two digits of the exponent, and its sign.
    match text.split_once('e').map(|(digits, exponent)| (digits, exponent.strip_prefix('-').ok_or(exponent))) {
        Some((digits, Ok(exponent))) => format!("{digits}e-{exponent:0>2}"),
        Some((digits, Err(exponent))) => format!("{digits}e+{exponent:0>2}"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_go_does() {
        assert_eq!(quoted("a\"b\\\n\u{1}é"), r#""a\"b\\\n\x01é""#);
        let prints = [
            (500_000, "0.0005"),
            (1, "1e-09"),
            (99_999, "9.9999e-05"),
            (-1_000_000_000, "-1"),
            (100_000, "0.0001"),
            (-5_000_000_000_000_000_000, "-5e+09"),
        ];
        for (nanos, text) in prints {
            assert_eq!(float(nanos), text);
        }
    }
}
