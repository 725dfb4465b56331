//! `len`, `index` and `slice`.

use std::sync::Arc;

use super::Item;
use crate::function::FunctionError;
use crate::value::{List, Map, Value};

type Result<T> = std::result::Result<T, FunctionError>;

fn fail<T>(message: impl Into<String>) -> Result<T> {
    Err(FunctionError::new(message))
}

/// What a pointer points to is what counts in the type errors of these functions.
fn pointee_type(value: &Value) -> String {
    let name = value.type_name();
    name.strip_prefix('*').map_or(name.clone(), str::to_string)
}

/// Counted in bytes for strings.
pub(super) fn len(item: &Item) -> Result<Item> {
    if item.is_nil_pointer() {
        return fail("len of nil pointer");
    }
    let len = match item.value.basic() {
        Value::Nil => return fail("reflect: call of reflect.Value.Type on zero Value"),
        Value::String(text) | Value::Number(text) => text.len(),
        Value::List(list) => list.items.len(),
        Value::Map(map) => map.entries.len(),
        _ => return fail(format!("len of type {}", pointee_type(&item.value))),
    };
    Ok(Item::new(i64::try_from(len).unwrap_or(i64::MAX)))
}

/// `index x 1 2` is `x[1][2]`.
pub(super) fn index(item: &Item, indexes: &[Item]) -> Result<Item> {
    if matches!(item.value, Value::Nil) {
        return fail("index of untyped nil");
    }
    let mut item = item.clone();
    for index in indexes {
        if item.is_nil_pointer() {
            return fail("index of nil pointer");
        }
        item = match item.value.basic() {
            Value::String(text) | Value::Number(text) => {
                let at = position(index, text.len())?;
                match text.as_bytes().get(at) {
                    Some(byte) => Item::new(Value::named("uint8", Value::Uint(u64::from(*byte)))),
                    None => return fail("reflect: string index out of range"),
                }
            }
            Value::List(list) => {
                let at = position(index, list.items.len())?;
                match list.items.get(at) {
                    Some(value) => Item::element(value, list.holds_interfaces()),
                    None => return fail("reflect: slice index out of range"),
                }
            }
            Value::Map(map) => entry(map, index)?,
            _ => {
                let type_name = pointee_type(&item.value);
                return fail(format!("can't index item of type {type_name}"));
            }
        };
    }
    Ok(item)
}

fn entry(map: &Map, index: &Item) -> Result<Item> {
    match &index.value {
        Value::String(key) => {
            let value = map.entries.get(key).unwrap_or(&map.zero);
            Ok(Item::element(value, map.holds_interfaces()))
        }
        Value::Nil => fail("value is nil; should be of type string"),
        other => fail(format!("value has type {}; should be string", other.type_name())),
    }
}

/// `slice x 1 2` is `x[1:2]`; strings are cut by bytes.
pub(super) fn slice(item: &Item, indexes: &[Item]) -> Result<Item> {
    if matches!(item.value, Value::Nil) {
        return fail("slice of untyped nil");
    }
    if indexes.len() > 3 {
        return fail(format!("too many slice indexes: {}", indexes.len()));
    }
    let len = match item.value.basic() {
        Value::String(_) | Value::Number(_) if indexes.len() == 3 => {
            return fail("cannot 3-index slice a string");
        }
        Value::String(text) | Value::Number(text) => text.len(),
        Value::List(list) => list.items.len(),
        _ => {
            return fail(format!("can't slice item of type {}", item.value.type_name()));
        }
    };
    let mut bounds = [0, len, len];
    for (bound, index) in bounds.iter_mut().zip(indexes) {
        *bound = match position(index, len) {
            // Unlike `index`, this sees the interface rather than what it holds.
            Err(_) if index.interface => {
                return fail("cannot index slice/array with type interface {}");
            }
            at => at?,
        };
    }
    let [low, high, capacity] = bounds;
    if low > high {
        return fail(format!("invalid slice index: {low} > {high}"));
    }
    if indexes.len() == 3 && high > capacity {
        return fail(format!("invalid slice index: {high} > {capacity}"));
    }
    Ok(Item::new(match item.value.basic() {
        Value::List(list) => {
            Value::List(Arc::new(List { type_name: Arc::clone(&list.type_name), items: list.items[low..high].to_vec(), nil: list.nil }))
        }
        Value::Number(text) => Value::Number(cut(text, low, high).into()),
        other => Value::from(cut(other.as_text().map_or("", |text| text), low, high)),
    }))
}

/// A part of a string by bytes; halves of characters become replacement characters.
fn cut(text: &str, low: usize, high: usize) -> String {
    String::from_utf8_lossy(&text.as_bytes()[low..high]).into_owned()
}

/// An index into something of length `len`; `len` itself is allowed.
fn position(index: &Item, len: usize) -> Result<usize> {
    let number = match index.value.basic() {
        Value::Int(n) => i128::from(*n),
        Value::Uint(n) => i128::from(*n),
        Value::Nil => return fail("cannot index slice/array with nil"),
        _ => {
            let type_name = index.value.type_name();
            return fail(format!("cannot index slice/array with type {type_name}"));
        }
    };
    match usize::try_from(number) {
        Ok(at) if at <= len => Ok(at),
        _ => fail(format!("index out of range: {number}")),
    }
}
