//! Values to JSON text.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::gofmt::{Style, format_float};
use crate::structs::{JsonForm, Struct};
use crate::value::Value;

pub(crate) fn write_value(out: &mut String, value: &Value) {
    match value {
        Value::Nil | Value::NilPointer(_) => out.push_str("null"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Int(n) => out.push_str(&n.to_string()),
        Value::Uint(n) => out.push_str(&n.to_string()),
        Value::Float(n) => write_float(out, *n),
        Value::String(text) => write_string(out, text, false),
        // An empty json.Number is written as zero.
        Value::Number(text) => out.push_str(if text.is_empty() { "0" } else { text }),
        Value::Named(named) => write_value(out, &named.value),
        Value::List(list) if list.nil => out.push_str("null"),
        Value::List(list) if list.bytes().is_some() => {
            write_string(out, &BASE64.encode(list.bytes().unwrap_or_default()), false);
        }
        Value::List(list) => {
            write_members(out, ['[', ']'], list.items(), write_value);
        }
        Value::Map(map) if map.nil => out.push_str("null"),
        Value::Map(map) => write_members(out, ['{', '}'], map.entries(), |out, (key, item)| {
            write_string(out, key, false);
            out.push(':');
            write_value(out, item);
        }),
        Value::Struct(object) => write_struct(out, object),
        // Go's encoder fails on these; the function that calls it then prints nothing.
        Value::Complex(..) | Value::Function(_) => {}
    }
}

fn write_members<I: IntoIterator>(out: &mut String, [open, close]: [char; 2], members: I, mut write: impl FnMut(&mut String, I::Item)) {
    out.push(open);
    for (i, member) in members.into_iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        write(out, member);
    }
    out.push(close);
}

fn write_struct(out: &mut String, object: &Struct) {
    match object.json_form() {
        JsonForm::Text(text) => out.push_str(text),
        JsonForm::Fields => {
            let mut members = Vec::new();
            collect_fields(object, &mut members);
            write_members(out, ['{', '}'], members, |out, (name, value)| {
                write_string(out, name, false);
                out.push(':');
                write_value(out, value);
            });
        }
        JsonForm::Getters => {
            let getters = object.methods().iter().filter(|(_, function)| function.params.is_empty() && function.variadic.is_none());
            write_members(out, ['{', '}'], getters, |out, (name, function)| {
                write_string(out, name, true);
                out.push(':');
                let mut value = String::new();
                write_value(&mut value, &function.call(&[]).unwrap_or_default());
                out.push_str(&escape_html(&value));
            });
        }
    }
}

/// The fields of `object` and of the structs embedded in it.
fn collect_fields<'s>(object: &'s Struct, members: &mut Vec<(&'s str, &'s Value)>) {
    for field in object.fields() {
        match &field.value {
            Value::Struct(inner) if field.embedded && field.json_name.is_none() => {
                collect_fields(inner, members);
            }
            value if field.omit_empty && is_empty(value) => {}
            value => members.push((field.json_name.as_ref().unwrap_or(&field.name), value)),
        }
    }
}

/// Empty in the sense of Go's `omitempty`: a struct never is.
fn is_empty(value: &Value) -> bool {
    !matches!(value, Value::Struct(_)) && !value.is_true()
}

/// Writes `text` as a JSON string.
pub(crate) fn write_string(out: &mut String, text: &str, escape_html: bool) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '<' | '>' | '&' if escape_html => push_escaped(out, c),
            '\0'..='\x1f' | '\u{2028}' | '\u{2029}' => push_escaped(out, c),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Escapes the HTML characters of finished JSON; outside of strings there are none.
fn escape_html(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' | '>' | '&' => push_escaped(&mut escaped, c),
            c => escaped.push(c),
        }
    }
    escaped
}

fn push_escaped(out: &mut String, c: char) {
    out.push_str(&format!("\\u{:04x}", u32::from(c)));
}

/// Like JavaScript: fixed form from 1e-6 up to 1e21, else an exponent without leading zeros.
fn write_float(out: &mut String, value: f64) {
    if !value.is_finite() {
        return; // Go's encoder fails, and nothing is printed.
    }
    let magnitude = value.abs();
    if magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude) {
        let text = format_float(value, Style::Exponent, None);
        out.push_str(&text.replace("e-0", "e-"));
    } else {
        out.push_str(&format_float(value, Style::Fixed, None));
    }
}
