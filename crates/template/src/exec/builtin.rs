//! The functions every template has.

use super::Item;
use super::call::{Expected, Signature};
use super::{collections, compare, escape};
use crate::function::{FunctionError, Param};
use crate::gofmt::{pointee, sprint, sprintf, sprintln};
use crate::value::Value;

/// A built-in function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Builtin {
    And,
    Or,
    Not,
    Len,
    Index,
    Slice,
    Call,
    Print,
    Printf,
    Println,
    Html,
    Js,
    UrlQuery,
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

const REFLECTED: Expected = Expected::Reflected;
const ANY: Expected = Expected::Param(Param::Any);
const STRING: Expected = Expected::Param(Param::String);

impl Builtin {
    pub(crate) fn named(name: &str) -> Option<Builtin> {
        Some(match name {
            "and" => Builtin::And,
            "or" => Builtin::Or,
            "not" => Builtin::Not,
            "len" => Builtin::Len,
            "index" => Builtin::Index,
            "slice" => Builtin::Slice,
            "call" => Builtin::Call,
            "print" => Builtin::Print,
            "printf" => Builtin::Printf,
            "println" => Builtin::Println,
            "html" => Builtin::Html,
            "js" => Builtin::Js,
            "urlquery" => Builtin::UrlQuery,
            "eq" => Builtin::Eq,
            "ne" => Builtin::Ne,
            "lt" => Builtin::Lt,
            "le" => Builtin::Le,
            "gt" => Builtin::Gt,
            "ge" => Builtin::Ge,
            _ => return None,
        })
    }

    pub(super) fn signature(self) -> Signature<'static> {
        let (fixed, rest): (&[Expected], _) = match self {
            Builtin::And | Builtin::Or | Builtin::Index | Builtin::Slice | Builtin::Call | Builtin::Eq => (&[REFLECTED], Some(REFLECTED)),
            Builtin::Not | Builtin::Len => (&[REFLECTED], None),
            Builtin::Print | Builtin::Println | Builtin::Html | Builtin::Js | Builtin::UrlQuery => (&[], Some(ANY)),
            Builtin::Printf => (&[STRING], Some(ANY)),
            Builtin::Ne | Builtin::Lt | Builtin::Le | Builtin::Gt | Builtin::Ge => (&[REFLECTED, REFLECTED], None),
        };
        Signature { fixed, rest }
    }

    /// The truth of an argument that ends the evaluation, for `and` and `or`.
    pub(super) fn short_circuit(self) -> Option<bool> {
        match self {
            Builtin::And => Some(false),
            Builtin::Or => Some(true),
            _ => None,
        }
    }

    /// Runs the function. `items` match its signature; `callee` is the text of the first one.
    pub(super) fn run(self, items: &[Item], callee: &str, bytes_max: usize) -> Result<Item, FunctionError> {
        let values = || items.iter().map(|item| item.value.clone()).collect::<Vec<Value>>();
        let truth = |result: Result<bool, FunctionError>| result.map(Item::new);
        Ok(match self {
            // Evaluated argument by argument, never as a call.
            Builtin::And | Builtin::Or => Item::invalid(),
            Builtin::Not => Item::new(!items[0].value.is_true()),
            Builtin::Len => collections::len(&items[0])?,
            Builtin::Index => collections::index(&items[0], &items[1..])?,
            Builtin::Slice => collections::slice(&items[0], &items[1..])?,
            Builtin::Call => call(items, callee)?,
            Builtin::Print => Item::new(sprint(&values())),
            Builtin::Println => Item::new(sprintln(&values())),
            Builtin::Printf => {
                let format = items[0].value.as_text().cloned().unwrap_or_else(|| "".into());
                let text = sprintf(&format, &values()[1..], bytes_max);
                Item::new(text.ok_or_else(|| too_long(bytes_max))?)
            }
            Builtin::Html => Item::new(escape::html(&joined(items))),
            Builtin::Js => Item::new(escape::js(&joined(items))),
            Builtin::UrlQuery => Item::new(escape::url_query(&joined(items))),
            Builtin::Eq => return truth(compare::equal(&items[0], &items[1..])),
            Builtin::Ne => {
                return truth(compare::equal(&items[0], &items[1..]).map(|equal| !equal));
            }
            Builtin::Lt => return truth(compare::less(&items[0], &items[1])),
            Builtin::Le => return truth(compare::less_or_equal(&items[0], &items[1])),
            Builtin::Gt => {
                return truth(compare::less_or_equal(&items[0], &items[1]).map(|le| !le));
            }
            Builtin::Ge => return truth(compare::less(&items[0], &items[1]).map(|lt| !lt)),
        })
    }
}

fn too_long(bytes_max: usize) -> FunctionError {
    FunctionError::new(format!("result is longer than {bytes_max} bytes"))
}

/// The arguments as one text, each as it would print by itself.
fn joined(items: &[Item]) -> String {
    let values: Vec<Value> = items
        .iter()
        .map(|item| match &item.value {
            Value::Nil => Value::from("<no value>"),
            value => pointee(value),
        })
        .collect();
    sprint(&values)
}

fn call(items: &[Item], callee: &str) -> Result<Item, FunctionError> {
    let function = match &items[0].value {
        Value::Function(function) => function,
        Value::Nil => return Err(FunctionError::new("call of nil")),
        other => {
            return Err(FunctionError::new(format!("non-function {callee} of type {}", other.type_name())));
        }
    };
    let arguments = &items[1..];
    let wanted = function.params.len();
    let given = arguments.len();
    if function.variadic.is_some() {
        if given < wanted {
            return Err(FunctionError::new(format!("wrong number of args for {callee}: got {given} want at least {wanted}")));
        }
    } else if given != wanted {
        return Err(FunctionError::new(format!("wrong number of args for {callee}: got {given} want {wanted}")));
    }
    let mut values = Vec::with_capacity(given);
    for (i, item) in arguments.iter().enumerate() {
        let param = function.params.get(i).copied().or(function.variadic).unwrap_or(Param::Any);
        let reason = match (&item.value, param) {
            (_, Param::Any)
            | (Value::String(_), Param::String)
            | (Value::Int(_), Param::Int)
            | (Value::Bool(_), Param::Bool)
            | (Value::Nil, Param::Strings) => None,
            (Value::List(list), Param::Strings) if &*list.type_name == "[]string" => None,
            (Value::Nil, _) => Some("value is nil; should be of type".to_string()),
            (value, _) => Some(format!("value has type {}; should be", value.type_name())),
        };
        if let Some(reason) = reason {
            return Err(FunctionError::new(format!("arg {i}: {reason} {}", param.go_type())));
        }
        values.push(item.value.clone());
    }
    function.call(&values).map(Item::new)
}
