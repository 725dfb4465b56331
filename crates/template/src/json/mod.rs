//! JSON as Go writes, reads and reformats it.

mod layout;
mod read;
mod write;

pub use layout::{compact, indent};
pub use read::{JsonError, parse};
pub(crate) use write::{write_string, write_value};

use crate::value::Value;

/// Writes `value` as Go's encoder does with HTML escaping off, which is what `{{json .}}` prints.
pub fn to_json(value: &Value) -> String {
    let mut text = String::new();
    write_value(&mut text, value);
    text
}
