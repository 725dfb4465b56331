//! Running templates.

mod builtin;
mod call;
mod collections;
mod compare;
mod escape;
mod eval;
mod template;
mod walk;

pub use template::{ExecError, Limits, MissingKey, Template};

use crate::value::Value;

/// A value on its way through a pipeline.
///
/// Go tells a value from an interface holding it; only error messages and `nil` show it.
#[derive(Clone, Debug)]
struct Item {
    value: Value,
    /// The value came out of a container of `interface {}`.
    interface: bool,
}

impl Item {
    fn new(value: impl Into<Value>) -> Item {
        Item { value: value.into(), interface: false }
    }

    /// An element of a container; `any` when the container holds `interface {}`.
    fn element(value: &Value, any: bool) -> Item {
        Item { value: value.clone(), interface: any }
    }

    /// No value at all: what an absent map entry gives.
    fn invalid() -> Item {
        Item::new(Value::Nil)
    }

    fn is_invalid(&self) -> bool {
        matches!(self.value, Value::Nil) && !self.interface
    }

    /// A nil pointer, or an interface holding nothing.
    fn is_nil_pointer(&self) -> bool {
        match self.value {
            Value::Nil => self.interface,
            Value::NilPointer(_) => true,
            _ => false,
        }
    }

    /// The type Go would name in an error.
    fn static_type(&self) -> String {
        if self.interface { "interface {}".into() } else { self.value.type_name() }
    }
}
