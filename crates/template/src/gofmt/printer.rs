//! Prints values by verb.

use super::flags::Flags;
use super::float::{Style, format_float};
use super::quoting::{can_backquote, is_print, quote, quote_ascii, quote_char};
use crate::structs::Struct;
use crate::value::{List, Map, Value};

/// Collects text; prints values into it with the flags that are set.
#[derive(Debug, Default)]
pub(crate) struct Printer {
    text: String,
    pub(super) flags: Flags,
    /// Set while a value is shown inside `%!verb(type=value)`: no methods then.
    erroring: bool,
}

impl Printer {
    pub(crate) fn into_text(self) -> String {
        self.text
    }

    pub(crate) fn push(&mut self, c: char) {
        self.text.push(c);
    }

    pub(super) fn push_str(&mut self, text: &str) {
        self.text.push_str(text);
    }

    pub(super) fn len(&self) -> usize {
        self.text.len()
    }

    /// Prints `value` with `verb`.
    pub(crate) fn print(&mut self, value: &Value, verb: char) {
        match (value, verb) {
            (Value::Nil, 'v' | 'T') => self.padded("<nil>"),
            (Value::Nil, _) => self.bad_verb(None, verb),
            (_, 'T') => {
                let name = value.type_name();
                self.padded(self.flags.cut(&name).to_string().as_str());
            }
            (Value::NilPointer(_), 'p') => {
                let prefix = if self.flags.sharp { "" } else { "0x" };
                let zero = integer(self.flags, "0", false, prefix);
                self.text.push_str(&zero);
            }
            (_, 'p' | 'w') => self.bad_verb(Some(value), verb),
            _ => self.print_at(value, verb, 0),
        }
    }

    fn padded(&mut self, text: &str) {
        let text = self.flags.pad(text);
        self.text.push_str(&text);
    }

    /// `%!d(string=hi)`: the verb does not fit the value.
    fn bad_verb(&mut self, value: Option<&Value>, verb: char) {
        let nested = std::mem::replace(&mut self.erroring, true);
        self.text.push_str("%!");
        self.text.push(verb);
        self.text.push('(');
        match value {
            Some(value) => {
                self.text.push_str(&value.type_name());
                self.text.push('=');
                self.print_at(value, 'v', 0);
            }
            None => self.text.push_str("<nil>"),
        }
        self.text.push(')');
        self.erroring = nested;
    }

    fn print_at(&mut self, value: &Value, verb: char, depth: usize) {
        let takes_text = matches!(verb, 'v' | 's' | 'x' | 'X' | 'q');
        if takes_text
            && !self.erroring
            && !self.flags.sharp_v
            && let Some(text) = value.stringer()
        {
            return self.print_text(value, text, verb);
        }
        match value {
            Value::Nil if self.flags.sharp_v => self.text.push_str("interface {}(nil)"),
            Value::Nil => self.text.push_str("<nil>"),
            Value::Bool(b) if matches!(verb, 't' | 'v') => self.padded(&b.to_string()),
            Value::Int(n) => self.print_int(value, n.unsigned_abs(), *n < 0, true, verb),
            Value::Uint(n) => self.print_int(value, *n, false, false, verb),
            Value::Float(n) => self.print_float(value, *n, verb),
            Value::Complex(re, im) => self.print_complex(value, *re, *im, verb),
            Value::String(text) | Value::Number(text) => self.print_text(value, text, verb),
            Value::Named(named) => {
                // The basic value decides the form, the named type the error.
                let basic = named.value.basic();
                match basic {
                    Value::Int(n) => self.print_int(value, n.unsigned_abs(), *n < 0, true, verb),
                    Value::Uint(n) => self.print_int(value, *n, false, false, verb),
                    Value::Float(n) => self.print_float(value, *n, verb),
                    Value::String(text) | Value::Number(text) => {
                        self.print_text(value, text, verb);
                    }
                    Value::Bool(b) if matches!(verb, 't' | 'v') => self.padded(&b.to_string()),
                    _ => self.bad_verb(Some(value), verb),
                }
            }
            Value::List(list) => self.print_list(list, verb, depth),
            Value::Map(map) => self.print_map(map, verb, depth),
            Value::Struct(object) => {
                if object.is_pointer() {
                    self.text.push('&');
                }
                self.print_struct(object, verb, depth);
            }
            Value::NilPointer(nil) if verb == 'v' && self.flags.sharp_v => {
                self.text.push_str(&format!("(*{})(nil)", nil.type_name));
            }
            Value::NilPointer(_) if verb == 'v' => self.padded("<nil>"),
            Value::NilPointer(_) if matches!(verb, 'b' | 'o' | 'd' | 'x' | 'X') => {
                self.print_int(value, 0, false, false, verb);
            }
            Value::Bool(_) | Value::NilPointer(_) | Value::Function(_) => {
                self.bad_verb_shallow(value, verb);
            }
        }
    }

    /// Like [`Self::bad_verb`] for values whose own form could fail again.
    fn bad_verb_shallow(&mut self, value: &Value, verb: char) {
        if verb == 'v' {
            self.text.push_str(&value.type_name());
        } else {
            self.bad_verb(Some(value), verb);
        }
    }

    fn print_list(&mut self, list: &List, verb: char, depth: usize) {
        let as_text = matches!(verb, 's' | 'q' | 'x' | 'X');
        if let Some(bytes) = list.bytes().filter(|_| as_text) {
            return match verb {
                'x' | 'X' => self.print_hex(&bytes, verb == 'X'),
                'q' => self.print_quoted(&String::from_utf8_lossy(&bytes)),
                _ => {
                    let text = String::from_utf8_lossy(&bytes);
                    self.padded(self.flags.cut(&text).to_string().as_str());
                }
            };
        }
        let (open, separator, close) = if self.flags.sharp_v {
            // Go knows the type by this name unless it comes upon it inside of another.
            let is_bytes = depth == 0 && &*list.type_name == "[]uint8";
            self.text.push_str(if is_bytes { "[]byte" } else { &list.type_name });
            if list.nil {
                return self.text.push_str("(nil)");
            }
            ("{", ", ", "}")
        } else {
            ("[", " ", "]")
        };
        self.text.push_str(open);
        for (i, item) in list.items.iter().enumerate() {
            if i > 0 {
                self.text.push_str(separator);
            }
            self.print_at(item, verb, depth + 1);
        }
        self.text.push_str(close);
    }

    fn print_map(&mut self, map: &Map, verb: char, depth: usize) {
        let (open, separator, close) = if self.flags.sharp_v {
            self.text.push_str(&map.type_name);
            if map.nil {
                return self.text.push_str("(nil)");
            }
            ("{", ", ", "}")
        } else {
            ("map[", " ", "]")
        };
        self.text.push_str(open);
        for (i, (key, item)) in map.entries.iter().enumerate() {
            if i > 0 {
                self.text.push_str(separator);
            }
            self.print_at(&Value::String(key.clone()), verb, depth + 1);
            self.text.push(':');
            self.print_at(item, verb, depth + 1);
        }
        self.text.push_str(close);
    }

    fn print_struct(&mut self, object: &Struct, verb: char, depth: usize) {
        let separator = if self.flags.sharp_v {
            self.text.push_str(object.type_name());
            ", "
        } else {
            " "
        };
        self.text.push('{');
        for (i, field) in object.fields().iter().enumerate() {
            if i > 0 {
                self.text.push_str(separator);
            }
            if self.flags.plus_v || self.flags.sharp_v {
                self.text.push_str(&field.name);
                self.text.push(':');
            }
            self.print_at(&field.value, verb, depth + 1);
        }
        self.text.push('}');
    }

    fn print_text(&mut self, value: &Value, text: &str, verb: char) {
        match verb {
            'v' if self.flags.sharp_v => self.print_quoted(text),
            'v' | 's' => self.padded(self.flags.cut(text).to_string().as_str()),
            'q' => self.print_quoted(text),
            'x' | 'X' => self.print_hex(text.as_bytes(), verb == 'X'),
            _ => self.bad_verb(Some(value), verb),
        }
    }

    fn print_quoted(&mut self, text: &str) {
        let text = self.flags.cut(text);
        let quoted = if self.flags.sharp && can_backquote(text) {
            format!("`{text}`")
        } else if self.flags.plus {
            quote_ascii(text)
        } else {
            quote(text)
        };
        self.padded(&quoted);
    }

    fn print_hex(&mut self, bytes: &[u8], upper: bool) {
        let bytes = &bytes[..self.flags.precision.unwrap_or(usize::MAX).min(bytes.len())];
        let prefix = match (self.flags.sharp, upper) {
            (false, _) => "",
            (true, false) => "0x",
            (true, true) => "0X",
        };
        let mut hex = String::with_capacity(bytes.len() * 2);
        for (i, byte) in bytes.iter().enumerate() {
            if i > 0 && self.flags.space {
                hex.push(' ');
            }
            if i == 0 || self.flags.space {
                hex.push_str(prefix);
            }
            hex.push_str(&if upper { format!("{byte:02X}") } else { format!("{byte:02x}") });
        }
        self.padded(&hex);
    }

    fn print_int(&mut self, value: &Value, magnitude: u64, negative: bool, signed: bool, verb: char) {
        let flags = self.flags;
        let text = match verb {
            'v' if flags.sharp_v && !signed => integer(flags, &format!("{magnitude:x}"), negative, "0x"),
            'v' | 'd' => integer(flags, &magnitude.to_string(), negative, ""),
            'b' => integer(flags, &format!("{magnitude:b}"), negative, if flags.sharp { "0b" } else { "" }),
            'o' => {
                let digits = format!("{magnitude:o}");
                let prefix = if flags.sharp && !digits.starts_with('0') { "0" } else { "" };
                integer(flags, &digits, negative, prefix)
            }
            'O' => {
                let digits = format!("{magnitude:o}");
                let prefix = if flags.sharp && !digits.starts_with('0') { "0o0" } else { "0o" };
                integer(flags, &digits, negative, prefix)
            }
            'x' => integer(flags, &format!("{magnitude:x}"), negative, if flags.sharp { "0x" } else { "" }),
            'X' => integer(flags, &format!("{magnitude:X}"), negative, if flags.sharp { "0X" } else { "" }),
            'c' => flags.pad(&rune(magnitude, negative).to_string()),
            'q' => flags.pad(&quote_char(rune(magnitude, negative), flags.plus)),
            'U' => unicode(flags, magnitude, negative),
            _ => return self.bad_verb(Some(value), verb),
        };
        self.text.push_str(&text);
    }

    fn print_float(&mut self, value: &Value, number: f64, verb: char) {
        match float_text(self.flags, number, verb) {
            Some(text) => self.text.push_str(&text),
            None => self.bad_verb(Some(value), verb),
        }
    }

    fn print_complex(&mut self, value: &Value, re: f64, im: f64, verb: char) {
        let signed = Flags { plus: true, ..self.flags };
        match (float_text(self.flags, re, verb), float_text(signed, im, verb)) {
            (Some(re), Some(im)) => self.text.push_str(&format!("({re}{im}i)")),
            _ => self.bad_verb(Some(value), verb),
        }
    }
}

/// Digits with sign, prefix, precision and width.
fn integer(flags: Flags, digits: &str, negative: bool, prefix: &str) -> String {
    let sign = flags.sign(negative);
    if flags.precision == Some(0) && digits == "0" {
        // Nothing but the width, in spaces.
        return Flags { zero: false, ..flags }.pad("");
    }
    let digits_min = match flags.precision {
        Some(digits) => digits,
        None if flags.zero && !flags.minus => flags.width.unwrap_or(0).saturating_sub(sign.len()),
        None => 0,
    };
    let zeros = "0".repeat(digits_min.saturating_sub(digits.len()));
    // Octal needs no zero in front when the digits already start with one.
    let prefix = match prefix {
        "0" if !zeros.is_empty() => "",
        "0o0" if !zeros.is_empty() => "0o",
        prefix => prefix,
    };
    Flags { zero: false, ..flags }.pad(&format!("{sign}{prefix}{zeros}{digits}"))
}

/// The character of a number; what is no character shows as the replacement character.
fn rune(magnitude: u64, negative: bool) -> char {
    u32::try_from(magnitude).ok().filter(|_| !negative || magnitude == 0).and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER)
}

fn unicode(flags: Flags, magnitude: u64, negative: bool) -> String {
    // Go shows the two's complement of negative numbers here.
    let code = if negative { magnitude.wrapping_neg() } else { magnitude };
    let digits_min = flags.precision.unwrap_or(4).max(4);
    let mut text = format!("U+{code:0digits_min$X}");
    if flags.sharp
        && let Some(c) = u32::try_from(code).ok().and_then(char::from_u32).filter(|c| is_print(*c))
    {
        text.push_str(&format!(" '{c}'"));
    }
    Flags { zero: false, ..flags }.pad(&text)
}

fn float_text(flags: Flags, number: f64, verb: char) -> Option<String> {
    let (style, default_precision) = match verb {
        'v' | 'g' | 'G' => (Style::General, None),
        'b' => (Style::Binary, None),
        'x' | 'X' => (Style::Hex, None),
        'f' | 'F' => (Style::Fixed, Some(6)),
        'e' | 'E' => (Style::Exponent, Some(6)),
        _ => return None,
    };
    let precision = flags.precision.or(default_precision);
    let mut text = format_float(number, style, precision);
    if matches!(verb, 'G' | 'X' | 'E') {
        text.make_ascii_uppercase();
        text = text.replace("INF", "Inf").replace("NAN", "NaN");
    }
    let (negative, digits) = match text.strip_prefix(['-', '+']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text.as_str()),
    };
    let sign = if number.is_infinite() && flags.sign(negative).is_empty() { "+" } else { flags.sign(negative) };
    if !number.is_finite() {
        return Some(Flags { zero: false, ..flags }.pad(&format!("{sign}{digits}")));
    }
    let digits = if flags.sharp && verb != 'b' { with_point(digits, verb, precision) } else { digits.to_string() };
    if flags.zero && !flags.minus {
        // The sign goes before the zeros.
        let rest = flags.width.map(|width| width.saturating_sub(sign.len()));
        return Some(format!("{sign}{}", Flags { width: rest, ..flags }.pad(&digits)));
    }
    Some(flags.pad(&format!("{sign}{digits}")))
}

/// Go's `#` flag: always a decimal point, and for `%g` also the trailing zeros.
fn with_point(text: &str, verb: char, precision: Option<usize>) -> String {
    let tail_at = match verb {
        'x' | 'X' => text.find(['p', 'P']),
        _ => text.find(['e', 'E']),
    };
    let (number, tail) = text.split_at(tail_at.unwrap_or(text.len()));
    let mut wanted = match verb {
        'v' | 'g' | 'G' | 'x' => precision.unwrap_or(6),
        _ => 0,
    };
    let digits = number.chars().filter(|c| *c != '.');
    let significant = digits.skip_while(|c| *c == '0').count();
    wanted = wanted.saturating_sub(significant);
    let mut text = number.to_string();
    if !number.contains('.') {
        if number == "0" {
            wanted = wanted.saturating_sub(1);
        }
        text.push('.');
    }
    text.push_str(&"0".repeat(wanted));
    text.push_str(tail);
    text
}
