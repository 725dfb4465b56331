//! Quoted strings and characters as Go's `strconv` writes them.

/// Whether Go prints the character as it is rather than escaping it.
pub(crate) fn is_print(c: char) -> bool {
    if c.is_ascii() {
        return (' '..='~').contains(&c);
    }
    // The standard library escapes what is not printable; combining characters only at the start
    // of a string, hence the letter in front.
    let pair: String = ['a', c].into_iter().collect();
    pair.escape_debug().count() == 2
}

/// `U+0041`, or `U+0041 'A'` for a printable character.
pub(crate) fn unicode_point(c: char) -> String {
    let code = format!("U+{:04X}", u32::from(c));
    if is_print(c) { format!("{code} '{c}'") } else { code }
}

/// A string in double quotes.
pub(crate) fn quote(text: &str) -> String {
    quote_with(text, '"', false)
}

/// A string in double quotes with nothing but ASCII.
pub(super) fn quote_ascii(text: &str) -> String {
    quote_with(text, '"', true)
}

/// A character in single quotes.
pub(super) fn quote_char(c: char, ascii_only: bool) -> String {
    quote_with(c.encode_utf8(&mut [0; 4]), '\'', ascii_only)
}

/// Whether the string can be written in backquotes.
pub(super) fn can_backquote(text: &str) -> bool {
    text.chars().all(|c| match c {
        '\t' => true,
        '`' | '\u{7f}' | '\u{feff}' => false,
        c => c >= ' ',
    })
}

fn quote_with(text: &str, delimiter: char, ascii_only: bool) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push(delimiter);
    for c in text.chars() {
        match c {
            '\\' => quoted.push_str("\\\\"),
            c if c == delimiter => quoted.extend(['\\', c]),
            c if is_print(c) && (c.is_ascii() || !ascii_only) => quoted.push(c),
            '\x07' => quoted.push_str("\\a"),
            '\x08' => quoted.push_str("\\b"),
            '\x0c' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\x0b' => quoted.push_str("\\v"),
            c if c < ' ' || c == '\x7f' => quoted.push_str(&format!("\\x{:02x}", u32::from(c))),
            c if u32::from(c) < 0x10000 => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => quoted.push_str(&format!("\\U{:08x}", u32::from(c))),
        }
    }
    quoted.push(delimiter);
    quoted
}
