//! `eq`, `lt` and their kin.

use std::sync::Arc;

use super::Item;
use crate::function::FunctionError;
use crate::gofmt::{sprint, sprintf};
use crate::value::Value;

type Result<T> = std::result::Result<T, FunctionError>;

/// Basic kinds; values of different kinds do not compare, except integers of either sign.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bool,
    Int,
    Uint,
    Float,
    Complex,
    Text,
    Other,
}

fn kind(value: &Value) -> Kind {
    match value.basic() {
        Value::Bool(_) => Kind::Bool,
        Value::Int(_) => Kind::Int,
        Value::Uint(_) => Kind::Uint,
        Value::Float(_) => Kind::Float,
        Value::Complex(..) => Kind::Complex,
        Value::String(_) | Value::Number(_) => Kind::Text,
        _ => Kind::Other,
    }
}

fn incompatible<T>() -> Result<T> {
    Err(FunctionError::new("incompatible types for comparison"))
}

fn not_ordered<T>() -> Result<T> {
    Err(FunctionError::new("invalid type for comparison"))
}

/// Whether `first` equals any of `others`.
pub(super) fn equal(first: &Item, others: &[Item]) -> Result<bool> {
    if others.is_empty() {
        return Err(FunctionError::new("missing argument for comparison"));
    }
    for other in others {
        if equals(&first.value, &other.value)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn equals(a: &Value, b: &Value) -> Result<bool> {
    Ok(match (a.basic(), b.basic()) {
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Int(_) | Value::Uint(_), Value::Int(_) | Value::Uint(_)) => integer(a) == integer(b),
        (Value::Float(a), Value::Float(b)) => a == b,
        (Value::Complex(ar, ai), Value::Complex(br, bi)) => ar == br && ai == bi,
        (Value::String(a) | Value::Number(a), Value::String(b) | Value::Number(b)) => a == b,
        _ if kind(a) != kind(b) => {
            if matches!(a, Value::Nil) || matches!(b, Value::Nil) {
                return Ok(false);
            }
            return incompatible();
        }
        _ => same_object(a, b)?,
    })
}

/// Equality of what is not basic: pointers by identity, structs by their fields.
fn same_object(a: &Value, b: &Value) -> Result<bool> {
    let untyped_nil = matches!(a, Value::Nil) || matches!(b, Value::Nil);
    if !untyped_nil && !same_shape(a, b) {
        let shown = sprintf("%s", std::slice::from_ref(a), usize::MAX).unwrap_or_default();
        return Err(FunctionError::new(format!(
            "non-comparable types {shown}: {}, {}: {}",
            a.type_name(),
            b.type_name(),
            sprint(std::slice::from_ref(b))
        )));
    }
    if is_nil(a) || is_nil(b) {
        return Ok(is_nil(a) == is_nil(b));
    }
    match (a, b) {
        (Value::Struct(a), Value::Struct(other)) if a.is_pointer() || other.is_pointer() => Ok(Arc::ptr_eq(a, other)),
        (Value::Struct(a), Value::Struct(other)) if is_comparable(b) => Ok(a.type_name() == other.type_name()
            && a.fields().len() == other.fields().len()
            && a.fields().iter().zip(other.fields()).all(|(a, b)| equals(&a.value, &b.value).unwrap_or(false))),
        _ => {
            let shown = sprintf("%s", std::slice::from_ref(b), usize::MAX).unwrap_or_default();
            Err(FunctionError::new(format!("non-comparable type {shown}: {}", b.type_name())))
        }
    }
}

/// Whether both are of the same Go kind; a nil pointer is as much a pointer as any other.
fn same_shape(a: &Value, b: &Value) -> bool {
    let is_pointer = |value: &Value| match value {
        Value::NilPointer(_) => true,
        Value::Struct(object) => object.is_pointer(),
        _ => false,
    };
    is_pointer(a) == is_pointer(b) && (is_pointer(a) || std::mem::discriminant(a) == std::mem::discriminant(b))
}

/// Whether Go compares values of this type at all.
fn is_comparable(value: &Value) -> bool {
    match value {
        Value::List(_) | Value::Map(_) | Value::Function(_) => false,
        Value::Struct(object) => object.is_pointer() || object.fields().iter().all(|field| is_comparable(&field.value)),
        _ => true,
    }
}

fn is_nil(value: &Value) -> bool {
    match value {
        Value::Nil | Value::NilPointer(_) => true,
        Value::List(list) => list.nil,
        Value::Map(map) => map.nil,
        _ => false,
    }
}

fn integer(value: &Value) -> i128 {
    match value.basic() {
        Value::Int(n) => i128::from(*n),
        Value::Uint(n) => i128::from(*n),
        _ => 0,
    }
}

/// Whether `a` comes before `b`.
pub(super) fn less(a: &Item, b: &Item) -> Result<bool> {
    let (a, b) = (&a.value, &b.value);
    if kind(a) == Kind::Other || kind(b) == Kind::Other {
        return not_ordered();
    }
    match (a.basic(), b.basic()) {
        (Value::Int(_) | Value::Uint(_), Value::Int(_) | Value::Uint(_)) => Ok(integer(a) < integer(b)),
        (Value::Float(a), Value::Float(b)) => Ok(a < b),
        (Value::String(a) | Value::Number(a), Value::String(b) | Value::Number(b)) => Ok(a < b),
        _ if kind(a) == kind(b) => not_ordered(),
        _ => incompatible(),
    }
}

/// Whether `a` comes before `b` or equals it.
pub(super) fn less_or_equal(a: &Item, b: &Item) -> Result<bool> {
    Ok(less(a, b)? || equals(&a.value, &b.value)?)
}
