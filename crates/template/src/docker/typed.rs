//! Objects of the API as docker's client has them in memory, for `inspect --format`.
//!
//! Typed objects know the fields that JSON leaves out, so `{{if .UpdateStatus}}` works on a service
//! that was never updated; and they print times and durations as Go does.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::json;
use crate::structs::Struct;
use crate::value::{List, Map, Named, Value};

/// A kind of object that `inspect` knows the type of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectKind {
    /// A service.
    Service,
    /// A node.
    Node,
    /// A task.
    Task,
    /// A secret.
    Secret,
    /// A config.
    Config,
    /// A network.
    Network,
    /// The part of `/info` that is about the swarm.
    SwarmInfo,
    /// A component in the answer to `/version`.
    ComponentVersion,
    /// An entry of the event stream.
    Event,
}

impl ObjectKind {
    /// The object in `json` with its types, for [`crate::Inspector::render`].
    ///
    /// `None` if it does not have the types it should: then it can only be shown as it is.
    pub fn typed(self, json: &str) -> Option<Value> {
        let name = match self {
            ObjectKind::Service => "swarm.Service",
            ObjectKind::Node => "swarm.Node",
            ObjectKind::Task => "swarm.Task",
            ObjectKind::Secret => "swarm.Secret",
            ObjectKind::Config => "swarm.Config",
            ObjectKind::Network => "network.Inspect",
            ObjectKind::SwarmInfo => "swarm.Info",
            ObjectKind::ComponentVersion => "types.ComponentVersion",
            ObjectKind::Event => "events.Message",
        };
        typed(name, &json::parse(json).ok()?)
    }
}

/// A field of a Go struct.
struct Field {
    name: &'static str,
    go_type: &'static str,
    json_name: Option<&'static str>,
    always_in_json: bool,
    embedded: bool,
}

/// What a type name stands for.
enum Definition {
    Struct(Vec<Field>),
    Basic(&'static str),
}

type Definitions = BTreeMap<&'static str, Definition>;

fn definitions() -> &'static Definitions {
    static DEFINITIONS: OnceLock<Definitions> = OnceLock::new();
    DEFINITIONS.get_or_init(|| read_definitions(include_str!("go_types.txt")))
}

fn read_definitions(text: &'static str) -> Definitions {
    let mut definitions = Definitions::new();
    let mut current = "";
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(field) = line.strip_prefix("  ") {
            if let Some(Definition::Struct(fields)) = definitions.get_mut(current) {
                fields.push(read_field(field));
            }
        } else if let Some((name, basic)) = line.split_once(" = ") {
            definitions.insert(name, Definition::Basic(basic));
        } else {
            definitions.insert(line, Definition::Struct(Vec::new()));
            current = line;
        }
    }
    definitions
}

fn read_field(line: &'static str) -> Field {
    let mut words = line.split(' ');
    let mut field = Field {
        name: words.next().unwrap_or_default(),
        go_type: words.next().unwrap_or_default(),
        json_name: None,
        always_in_json: false,
        embedded: false,
    };
    for word in words {
        match word {
            "!" => field.always_in_json = true,
            "embed" => field.embedded = true,
            word => field.json_name = word.strip_prefix("json="),
        }
    }
    field
}

/// `json` as a value of `go_type`; `Nil` gives its zero value, a wrong type nothing.
fn typed(go_type: &str, json: &Value) -> Option<Value> {
    if let Some(pointee) = go_type.strip_prefix('*') {
        return pointer(pointee, json);
    }
    if go_type == "[]uint8" {
        return bytes(json);
    }
    if let Some(item_type) = go_type.strip_prefix("[]") {
        return match json {
            Value::Nil => Some(List::nil(go_type).into()),
            Value::List(list) => {
                let items = list.items().iter().map(|item| typed(item_type, item));
                Some(List::new(go_type, items.collect::<Option<_>>()?).into())
            }
            _ => None,
        };
    }
    if let Some(value_type) = go_type.strip_prefix("map[string]") {
        let mut map = Map::new(go_type, typed(value_type, &Value::Nil)?);
        return match json {
            Value::Nil => Some(map.into_nil().into()),
            Value::Map(entries) => {
                for (key, value) in entries.entries() {
                    map.insert(key, typed(value_type, value)?);
                }
                Some(map.into())
            }
            _ => None,
        };
    }
    match definitions().get(go_type) {
        Some(Definition::Struct(fields)) => structure(Struct::new(go_type), fields, json),
        Some(Definition::Basic(basic)) => Some(Value::named(go_type, typed(basic, json)?)),
        None => basic(go_type, json),
    }
}

fn pointer(pointee: &str, json: &Value) -> Option<Value> {
    let fields = match definitions().get(pointee) {
        Some(Definition::Struct(fields)) => Some(fields),
        _ => None,
    };
    match (json, fields) {
        (Value::Nil, fields) => {
            let names: Vec<&str> = fields.into_iter().flatten().map(|field| field.name).collect();
            Some(Struct::nil_pointer(pointee, &names))
        }
        (json, Some(fields)) => structure(Struct::pointer(pointee), fields, json),
        (json, None) if pointee == "time.Time" => typed(pointee, json),
        (json, None) => Some(typed(pointee, json)?.behind_pointer()),
    }
}

fn structure(mut object: Struct, fields: &[Field], json: &Value) -> Option<Value> {
    let entries = match json {
        Value::Nil => None,
        Value::Map(map) => Some(map.entries()),
        _ => return None,
    };
    for field in fields {
        let value = if field.embedded {
            // The fields of an embedded struct stand beside those of the outer one.
            typed(field.go_type, json)?
        } else {
            let name = field.json_name.unwrap_or(field.name);
            let entry = entries.and_then(|entries| entries.get(name)).unwrap_or(&Value::Nil);
            typed(field.go_type, entry)?
        };
        object = match field {
            Field { embedded: true, .. } => object.embed(field.name, value),
            Field { always_in_json: true, .. } => object.field(field.name, value),
            _ => object.optional_field(field.name, value),
        };
        if let Some(name) = field.json_name {
            object = object.json_name(name);
        }
    }
    if object.type_name() == "swarm.Version" {
        let index = object.get("Index").and_then(unsigned).unwrap_or(0);
        object = object.string_text(&index.to_string());
    }
    Some(object.into())
}

fn unsigned(value: &Value) -> Option<u64> {
    match value.basic() {
        Value::Uint(n) => Some(*n),
        _ => None,
    }
}

fn bytes(json: &Value) -> Option<Value> {
    match json {
        Value::Nil => Some(List::nil("[]uint8").into()),
        Value::String(text) => {
            let bytes = BASE64.decode(text.as_bytes()).ok()?;
            Some(List::of_bytes(&bytes).into())
        }
        _ => None,
    }
}

fn basic(go_type: &str, json: &Value) -> Option<Value> {
    Some(match (go_type, json) {
        ("string", Value::Nil) => Value::from(""),
        ("string", Value::String(text)) => Value::String(Arc::clone(text)),
        ("bool", Value::Nil) => Value::Bool(false),
        ("bool", Value::Bool(b)) => Value::Bool(*b),
        ("time.Time", Value::Nil) => Struct::time("0001-01-01T00:00:00Z").into(),
        ("time.Time", Value::String(text)) => Struct::time(text).into(),
        ("float32" | "float64", Value::Nil) => Value::named(go_type, Value::Float(0.0)),
        ("float32" | "float64", Value::Number(text)) => Value::named(go_type, Value::Float(text.parse().ok()?)),
        (_, Value::Nil | Value::Number(_)) => integer(go_type, json)?,
        _ => return None,
    })
}

fn integer(go_type: &str, json: &Value) -> Option<Value> {
    let text = match json {
        Value::Number(text) => text,
        _ => "0",
    };
    Some(match go_type {
        "int" => Value::Int(text.parse().ok()?),
        "int64" => Value::int64(text.parse().ok()?),
        "uint64" => Value::named(go_type, Value::Uint(text.parse().ok()?)),
        "uint32" => Value::named(go_type, Value::Uint(text.parse::<u32>().ok()?.into())),
        "time.Duration" => Value::duration(text.parse().ok()?),
        "fs.FileMode" => {
            let mode: u32 = text.parse().ok()?;
            Named::with_text(go_type, Value::Uint(mode.into()), &mode_text(mode))
        }
        _ => return None,
    })
}

/// Permission bits as `ls` shows them.
fn mode_text(mode: u32) -> String {
    let letters = "rwxrwxrwx".chars().enumerate();
    let shown = letters.map(|(i, letter)| if mode & (1 << (8 - i)) != 0 { letter } else { '-' });
    std::iter::once('-').chain(shown).collect()
}
