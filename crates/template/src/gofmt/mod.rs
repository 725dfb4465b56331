//! Go's `fmt`: how values print, and `Printf` verbs.

mod flags;
mod float;
mod printer;
mod quoting;
mod verbs;

pub(crate) use float::{Style, format_float};
pub(crate) use printer::Printer;
pub(crate) use quoting::{is_print, quote, unicode_point};

use crate::value::Value;

/// How a value prints by itself: nothing as `<no value>`, pointers as what they point to.
pub(crate) fn printable(value: &Value) -> String {
    match value {
        Value::Nil => "<no value>".to_string(),
        value => sprint(&[pointee(value)]),
    }
}

/// The struct a pointer points to, and any other value as it is.
pub(crate) fn pointee(value: &Value) -> Value {
    match value {
        Value::Struct(object) if object.is_pointer() && object.text().is_none() => Value::from(object.dereferenced()),
        value => value.clone(),
    }
}

/// Like Go's `Sprint`: default formats, spaces between operands when neither is a string.
pub(crate) fn sprint(values: &[Value]) -> String {
    let mut printer = Printer::default();
    let mut previous_is_text = false;
    for (i, value) in values.iter().enumerate() {
        let is_text = value.as_text().is_some();
        if i > 0 && !is_text && !previous_is_text {
            printer.push(' ');
        }
        printer.print(value, 'v');
        previous_is_text = is_text;
    }
    printer.into_text()
}

/// Like Go's `Sprintln`: default formats, spaces between all operands, a newline at the end.
pub(crate) fn sprintln(values: &[Value]) -> String {
    let mut printer = Printer::default();
    for (i, value) in values.iter().enumerate() {
        if i > 0 {
            printer.push(' ');
        }
        printer.print(value, 'v');
    }
    printer.push('\n');
    printer.into_text()
}

/// Like Go's `Sprintf`; `None` when the text would be longer than `bytes_max`.
pub(crate) fn sprintf(format: &str, values: &[Value], bytes_max: usize) -> Option<String> {
    verbs::sprintf(format, values, bytes_max)
}
