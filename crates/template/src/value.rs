//! The data a template works on.
//!
//! Go's templates look at data through reflection, and what they print or refuse depends on the
//! Go type: a number from raw JSON compares like a string, a missing key of a map is no error but
//! a missing field of a struct is. [`Value`] therefore carries the Go type along with the data.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::function::Function;
use crate::structs::{NilPointer, Struct};

/// A value as a Go template sees it. Cloning is cheap: everything large is shared.
#[derive(Clone, Debug, Default)]
pub enum Value {
    /// Nothing: an absent map entry, JSON `null`, the literal `nil`. Prints as `<no value>`.
    #[default]
    Nil,
    /// Go `bool`.
    Bool(bool),
    /// Go `int`.
    Int(i64),
    /// Go `uint64`.
    Uint(u64),
    /// Go `float64`.
    Float(f64),
    /// Go `complex128`: real and imaginary part. Only literals such as `{{1i}}` make one.
    Complex(f64, f64),
    /// Go `string`.
    String(Arc<str>),
    /// Go `json.Number`: the text of a number from raw JSON. It is a string to comparisons.
    Number(Arc<str>),
    /// A basic value of a named Go type, such as `int64` or `time.Duration`.
    Named(Arc<Named>),
    /// A slice.
    List(Arc<List>),
    /// A map with string keys.
    Map(Arc<Map>),
    /// A struct, or a pointer to one.
    Struct(Arc<Struct>),
    /// A nil pointer to a struct whose field names are known.
    NilPointer(Arc<NilPointer>),
    /// A function, usable with `call`.
    Function(Function),
}

/// A basic value of a named type, optionally with methods and a `String()` text of its own.
#[derive(Clone, Debug)]
pub struct Named {
    pub(crate) type_name: Arc<str>,
    pub(crate) value: Value,
    pub(crate) text: Option<Arc<str>>,
    pub(crate) methods: BTreeMap<Arc<str>, Function>,
    /// It is behind a pointer, and thereby true whatever it is.
    pub(crate) pointer: bool,
}

/// A slice: its Go type and its items.
#[derive(Clone, Debug)]
pub struct List {
    pub(crate) type_name: Arc<str>,
    pub(crate) items: Vec<Value>,
    pub(crate) nil: bool,
}

/// A map with string keys, iterated and printed in key order as Go does.
#[derive(Clone, Debug)]
pub struct Map {
    pub(crate) type_name: Arc<str>,
    pub(crate) entries: BTreeMap<Arc<str>, Value>,
    /// What `index` gives for an absent key: the zero value of the element type.
    pub(crate) zero: Value,
    pub(crate) methods: BTreeMap<Arc<str>, Function>,
    pub(crate) nil: bool,
}

const ANY: &str = "interface {}";

impl Value {
    /// A value of a named Go type, such as `("int64", 5)`. `value` must be a basic value.
    pub fn named(type_name: &str, value: impl Into<Value>) -> Value {
        Value::Named(Arc::new(Named {
            type_name: type_name.into(),
            value: value.into(),
            text: None,
            methods: BTreeMap::new(),
            pointer: false,
        }))
    }

    /// A Go `int64`, which templates treat as an integer but do not pass where `int` is wanted.
    pub fn int64(value: i64) -> Value {
        Value::named("int64", value)
    }

    /// A Go `time.Duration` of `nanos` nanoseconds; prints as `1m30s`.
    pub fn duration(nanos: i64) -> Value {
        let text: Arc<str> = crate::duration::format(nanos).into();
        let mut methods = BTreeMap::new();
        let seconds = nanos as f64 / 1e9;
        let shown = Arc::clone(&text);
        for (name, value) in [
            ("Hours", Value::Float(seconds / 3600.0)),
            ("Minutes", Value::Float(seconds / 60.0)),
            ("Seconds", Value::Float(seconds)),
            ("Milliseconds", Value::int64(nanos / 1_000_000)),
            ("Microseconds", Value::int64(nanos / 1_000)),
            ("Nanoseconds", Value::int64(nanos)),
            ("String", Value::String(shown)),
        ] {
            methods.insert(Arc::from(name), Function::constant(value));
        }
        Value::Named(Arc::new(Named {
            type_name: "time.Duration".into(),
            value: Value::Int(nanos),
            text: Some(text),
            methods,
            pointer: false,
        }))
    }

    /// A Go `[]string`.
    pub fn strings<S: Into<Arc<str>>>(items: impl IntoIterator<Item = S>) -> Value {
        let items = items.into_iter().map(|s| Value::String(s.into())).collect();
        Value::List(Arc::new(List::new("[]string", items)))
    }

    /// A Go `map[string]string`, as labels are.
    pub fn string_map<K, V>(entries: impl IntoIterator<Item = (K, V)>) -> Value
    where
        K: Into<Arc<str>>,
        V: Into<Arc<str>>,
    {
        let mut map = Map::new("map[string]string", Value::from(""));
        for (key, value) in entries {
            map.entries.insert(key.into(), Value::String(value.into()));
        }
        Value::Map(Arc::new(map))
    }

    /// The Go type of the value, as `%T` prints it.
    pub fn type_name(&self) -> String {
        match self {
            Value::Nil => "<nil>".into(),
            Value::Bool(_) => "bool".into(),
            Value::Int(_) => "int".into(),
            Value::Uint(_) => "uint64".into(),
            Value::Float(_) => "float64".into(),
            Value::Complex(..) => "complex128".into(),
            Value::String(_) => "string".into(),
            Value::Number(_) => "json.Number".into(),
            Value::Named(named) if named.pointer => format!("*{}", named.type_name),
            Value::Named(named) => named.type_name.to_string(),
            Value::List(list) => list.type_name.to_string(),
            Value::Map(map) => map.type_name.to_string(),
            Value::Struct(object) if object.is_pointer() => format!("*{}", object.type_name()),
            Value::Struct(object) => object.type_name().to_string(),
            Value::NilPointer(nil) => format!("*{}", nil.type_name),
            Value::Function(function) => function.go_type(),
        }
    }

    /// Whether `if` takes the value as true: not the zero value, not empty.
    pub fn is_true(&self) -> bool {
        if matches!(self, Value::Named(named) if named.pointer) {
            return true;
        }
        match self.basic() {
            Value::Nil | Value::NilPointer(_) => false,
            Value::Bool(b) => *b,
            Value::Int(n) => *n != 0,
            Value::Uint(n) => *n != 0,
            Value::Float(n) => *n != 0.0,
            Value::Complex(re, im) => *re != 0.0 || *im != 0.0,
            Value::String(s) | Value::Number(s) => !s.is_empty(),
            Value::List(list) => !list.items.is_empty(),
            Value::Map(map) => !map.entries.is_empty(),
            Value::Struct(_) | Value::Function(_) => true,
            Value::Named(_) => unreachable!("basic() looks through named values"),
        }
    }

    /// A pointer to a basic value. It prints as the value, where Go would print an address.
    pub(crate) fn behind_pointer(self) -> Value {
        let mut named = match self {
            Value::Named(named) => Named::clone(&named),
            basic => Named { type_name: basic.type_name().into(), value: basic, text: None, methods: BTreeMap::new(), pointer: false },
        };
        named.pointer = true;
        Value::Named(Arc::new(named))
    }

    /// The value beneath a named type.
    pub(crate) fn basic(&self) -> &Value {
        match self {
            Value::Named(named) => named.value.basic(),
            other => other,
        }
    }

    /// The text of a value whose kind is string.
    pub(crate) fn as_text(&self) -> Option<&Arc<str>> {
        match self.basic() {
            Value::String(s) | Value::Number(s) => Some(s),
            _ => None,
        }
    }

    /// What the value's `String()` method returns, if its type has one.
    pub(crate) fn stringer(&self) -> Option<&str> {
        match self {
            Value::Number(text) => Some(text),
            Value::Named(named) => named.text.as_deref(),
            Value::Struct(object) => object.text(),
            _ => None,
        }
    }
}

impl Named {
    /// A value of type `type_name` whose `String()` method returns `text`.
    pub fn with_text(type_name: &str, value: impl Into<Value>, text: &str) -> Value {
        Value::Named(Arc::new(Named {
            type_name: type_name.into(),
            value: value.into(),
            text: Some(text.into()),
            methods: BTreeMap::new(),
            pointer: false,
        }))
    }
}

impl List {
    /// A slice of the Go type `type_name`, such as `[]swarm.Mount`.
    pub fn new(type_name: &str, items: Vec<Value>) -> List {
        List { type_name: type_name.into(), items, nil: false }
    }

    /// A nil slice: prints like an empty one, but equals `nil` and is `null` in JSON.
    pub fn nil(type_name: &str) -> List {
        List { type_name: type_name.into(), items: Vec::new(), nil: true }
    }

    /// A `[]interface {}`, as decoded from JSON.
    pub fn any(items: Vec<Value>) -> List {
        List::new("[]interface {}", items)
    }

    /// A `[]byte`: prints as numbers, as text with `%s`, and is base64 in JSON.
    pub fn of_bytes(bytes: &[u8]) -> List {
        let items = bytes.iter().map(|byte| Value::named("uint8", Value::Uint(u64::from(*byte)))).collect();
        List::new("[]uint8", items)
    }

    /// The bytes of a `[]byte`.
    pub(crate) fn bytes(&self) -> Option<Vec<u8>> {
        if &*self.type_name != "[]uint8" {
            return None;
        }
        let byte = |item: &Value| match item.basic() {
            Value::Uint(n) => u8::try_from(*n).ok(),
            _ => None,
        };
        self.items.iter().map(byte).collect()
    }

    /// The items.
    pub fn items(&self) -> &[Value] {
        &self.items
    }

    pub(crate) fn holds_interfaces(&self) -> bool {
        self.type_name.ends_with(ANY)
    }
}

impl Map {
    /// An empty map of the Go type `type_name`; `zero` is the zero value of its elements.
    pub fn new(type_name: &str, zero: Value) -> Map {
        Map { type_name: type_name.into(), entries: BTreeMap::new(), zero, methods: BTreeMap::new(), nil: false }
    }

    /// A `map[string]interface {}`, as decoded from JSON.
    pub fn any() -> Map {
        Map::new("map[string]interface {}", Value::Nil)
    }

    /// Makes it a nil map: prints like an empty one, but equals `nil` and is `null` in JSON.
    #[must_use]
    pub fn into_nil(mut self) -> Map {
        self.entries.clear();
        self.nil = true;
        self
    }

    /// Adds an entry, replacing an earlier one of the same key.
    #[must_use]
    pub fn entry(mut self, key: &str, value: impl Into<Value>) -> Map {
        self.insert(key, value);
        self
    }

    /// Adds an entry, replacing an earlier one of the same key.
    pub fn insert(&mut self, key: &str, value: impl Into<Value>) {
        self.entries.insert(key.into(), value.into());
    }

    /// Adds a method, callable as `{{.Name arg}}`; it hides an entry of the same name.
    #[must_use]
    pub fn method(mut self, name: &str, function: Function) -> Map {
        self.methods.insert(name.into(), function);
        self
    }

    /// The entries in key order.
    pub fn entries(&self) -> &BTreeMap<Arc<str>, Value> {
        &self.entries
    }

    pub(crate) fn holds_interfaces(&self) -> bool {
        self.type_name.ends_with(ANY)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Value {
        Value::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Value {
        Value::Int(value)
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Value {
        Value::Uint(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Value {
        Value::Float(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Value {
        Value::String(value.into())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Value {
        Value::String(value.into())
    }
}

impl From<List> for Value {
    fn from(value: List) -> Value {
        Value::List(Arc::new(value))
    }
}

impl From<Map> for Value {
    fn from(value: Map) -> Value {
        Value::Map(Arc::new(value))
    }
}

impl From<Struct> for Value {
    fn from(value: Struct) -> Value {
        Value::Struct(Arc::new(value))
    }
}

impl From<Function> for Value {
    fn from(value: Function) -> Value {
        Value::Function(value)
    }
}

/// Decoded as Go does with `UseNumber`: maps of `interface {}`, numbers as `json.Number`.
impl From<&serde_json::Value> for Value {
    fn from(json: &serde_json::Value) -> Value {
        match json {
            serde_json::Value::Null => Value::Nil,
            serde_json::Value::Bool(b) => Value::Bool(*b),
            serde_json::Value::Number(n) => Value::Number(n.to_string().into()),
            serde_json::Value::String(s) => Value::from(s.as_str()),
            serde_json::Value::Array(items) => List::any(items.iter().map(Value::from).collect()).into(),
            serde_json::Value::Object(entries) => {
                let mut map = Map::any();
                for (key, value) in entries {
                    map.insert(key, value);
                }
                map.into()
            }
        }
    }
}
