//! Reformats JSON text without touching its members: their order and spelling stay.

use super::read::{JsonError, parse};

/// Puts every member on a line of its own, each level indented by `indent`.
///
/// Like Go's `json.Indent`: a space behind colons, empty arrays and objects on one line.
///
/// # Errors
/// [`JsonError`] when `json` is not exactly one JSON value.
pub fn indent(json: &str, indent: &str) -> Result<String, JsonError> {
    parse(json)?;
    let mut out = String::with_capacity(json.len() * 2);
    let mut depth = 0usize;
    let mut opened = false;
    for piece in Pieces::of(json) {
        let closes = matches!(piece, "]" | "}");
        if opened && !closes {
            depth += 1;
            new_line(&mut out, indent, depth);
        }
        match piece {
            "{" | "[" => {}
            "," => {
                out.push(',');
                new_line(&mut out, indent, depth);
                continue;
            }
            ":" => {
                out.push_str(": ");
                continue;
            }
            "]" | "}" if !opened => {
                depth -= 1;
                new_line(&mut out, indent, depth);
            }
            _ => {}
        }
        opened = matches!(piece, "{" | "[");
        out.push_str(piece);
    }
    Ok(out)
}

/// Removes all space between members.
///
/// # Errors
/// [`JsonError`] when `json` is not exactly one JSON value.
pub fn compact(json: &str) -> Result<String, JsonError> {
    parse(json)?;
    Ok(Pieces::of(json).collect())
}

fn new_line(out: &mut String, indent: &str, depth: usize) {
    out.push('\n');
    for _ in 0..depth {
        out.push_str(indent);
    }
}

/// The tokens of valid JSON: punctuation, whole strings, and everything else up to either.
struct Pieces<'t> {
    rest: &'t str,
}

impl<'t> Pieces<'t> {
    fn of(json: &'t str) -> Pieces<'t> {
        Pieces { rest: json }
    }
}

impl<'t> Iterator for Pieces<'t> {
    type Item = &'t str;

    fn next(&mut self) -> Option<&'t str> {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
        let first = self.rest.bytes().next()?;
        let len = match first {
            b'{' | b'}' | b'[' | b']' | b',' | b':' => 1,
            b'"' => string_len(self.rest),
            _ => self.rest.find(['{', '}', '[', ']', ',', ':', ' ', '\t', '\r', '\n']).unwrap_or(self.rest.len()),
        };
        let (piece, rest) = self.rest.split_at(len);
        self.rest = rest;
        Some(piece)
    }
}

/// The length of the string `text` starts with, quotes included.
fn string_len(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}
