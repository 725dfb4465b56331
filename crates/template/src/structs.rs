//! Struct values: ordered fields, embedded structs, methods.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::function::Function;
use crate::value::Value;

/// A Go struct, or a pointer to one: named fields in order, and methods.
///
/// Asking for a field it does not have is an error naming the type, unlike asking a map.
#[derive(Clone, Debug)]
pub struct Struct {
    type_name: Arc<str>,
    pointer: bool,
    fields: Vec<Field>,
    methods: BTreeMap<Arc<str>, Function>,
    text: Option<Arc<str>>,
    json: JsonForm,
}

/// A field of a [`Struct`].
#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) name: Arc<str>,
    pub(crate) value: Value,
    /// Fields of an embedded struct count as fields of the outer one.
    pub(crate) embedded: bool,
    /// Left out of JSON when empty (Go's `omitempty`).
    pub(crate) omit_empty: bool,
    /// Its name in JSON, where that differs.
    pub(crate) json_name: Option<Arc<str>>,
}

/// How a struct is written as JSON.
#[derive(Clone, Debug)]
pub(crate) enum JsonForm {
    /// Field by field, in order.
    Fields,
    /// As the results of the methods without arguments, in name order, HTML-escaped.
    Getters,
    /// As this text.
    Text(Arc<str>),
}

/// A nil pointer to a struct. Its fields are errors, but different ones from unknown fields.
#[derive(Clone, Debug)]
pub struct NilPointer {
    pub(crate) type_name: Arc<str>,
    pub(crate) fields: Vec<Arc<str>>,
}

impl Struct {
    /// A struct of the Go type `type_name`, such as `swarm.Service`.
    pub fn new(type_name: &str) -> Struct {
        Struct {
            type_name: type_name.into(),
            pointer: false,
            fields: Vec::new(),
            methods: BTreeMap::new(),
            text: None,
            json: JsonForm::Fields,
        }
    }

    /// A pointer to a struct of the Go type `type_name`.
    pub fn pointer(type_name: &str) -> Struct {
        Struct { pointer: true, ..Struct::new(type_name) }
    }

    /// A Go `time.Time` from its RFC 3339 text; other text is taken as it is.
    ///
    /// Prints as Go prints times: `2024-01-02 03:04:05.000000006 +0000 UTC`.
    pub fn time(rfc3339: &str) -> Struct {
        let shown = go_time_text(rfc3339).unwrap_or_else(|| rfc3339.to_string());
        let mut json = String::new();
        crate::json::write_string(&mut json, rfc3339, false);
        Struct { text: Some(shown.into()), json: JsonForm::Text(json.into()), ..Struct::new("time.Time") }
    }

    /// A nil pointer to a struct of type `type_name` that would have `fields`.
    pub fn nil_pointer(type_name: &str, fields: &[&str]) -> Value {
        Value::NilPointer(Arc::new(NilPointer {
            type_name: type_name.into(),
            fields: fields.iter().map(|name| Arc::from(*name)).collect(),
        }))
    }

    /// Adds a field.
    #[must_use]
    pub fn field(self, name: &str, value: impl Into<Value>) -> Struct {
        self.add(name, value.into(), false, false)
    }

    /// Adds a field that JSON leaves out when it is empty.
    #[must_use]
    pub fn optional_field(self, name: &str, value: impl Into<Value>) -> Struct {
        self.add(name, value.into(), false, true)
    }

    /// Adds an embedded struct: its fields are reachable without naming it.
    #[must_use]
    pub fn embed(self, name: &str, value: impl Into<Value>) -> Struct {
        self.add(name, value.into(), true, false)
    }

    /// Gives the last added field another name in JSON.
    #[must_use]
    pub fn json_name(mut self, name: &str) -> Struct {
        if let Some(field) = self.fields.last_mut() {
            field.json_name = Some(name.into());
        }
        self
    }

    /// Adds a method, callable as `{{.Name arg}}`.
    #[must_use]
    pub fn method(mut self, name: &str, function: Function) -> Struct {
        self.methods.insert(name.into(), function);
        self
    }

    /// Sets what the `String()` method returns, and thereby how the struct prints.
    #[must_use]
    pub fn string_text(mut self, text: &str) -> Struct {
        self.text = Some(text.into());
        self
    }

    /// Writes the struct in JSON as the results of its methods without arguments, by name.
    #[must_use]
    pub(crate) fn json_of_getters(mut self) -> Struct {
        self.json = JsonForm::Getters;
        self
    }

    fn add(mut self, name: &str, value: Value, embedded: bool, omit_empty: bool) -> Struct {
        self.fields.push(Field { name: name.into(), value, embedded, omit_empty, json_name: None });
        self
    }

    pub(crate) fn type_name(&self) -> &str {
        &self.type_name
    }

    pub(crate) fn is_pointer(&self) -> bool {
        self.pointer
    }

    /// What the pointer points to.
    pub(crate) fn dereferenced(&self) -> Struct {
        Struct { pointer: false, ..self.clone() }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        self.text.as_deref()
    }

    pub(crate) fn fields(&self) -> &[Field] {
        &self.fields
    }

    pub(crate) fn methods(&self) -> &BTreeMap<Arc<str>, Function> {
        &self.methods
    }

    pub(crate) fn json_form(&self) -> &JsonForm {
        &self.json
    }

    /// The field called `name`: an own one first, then one of an embedded struct.
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        if let Some(field) = self.fields.iter().find(|field| &*field.name == name) {
            return Some(&field.value);
        }
        self.embedded().find_map(|object| object.get(name))
    }

    /// The method called `name`, of the struct or of one embedded in it.
    pub(crate) fn find_method(&self, name: &str) -> Option<&Function> {
        self.methods.get(name).or_else(|| self.embedded().find_map(|object| object.find_method(name)))
    }

    fn embedded(&self) -> impl Iterator<Item = &Struct> {
        self.fields.iter().filter(|field| field.embedded).filter_map(|field| match &field.value {
            Value::Struct(object) => Some(&**object),
            _ => None,
        })
    }
}

/// Rewrites an RFC 3339 time the way Go's `Time.String` shows it.
fn go_time_text(rfc3339: &str) -> Option<String> {
    let (date, rest) = rfc3339.split_once('T')?;
    let (clock, zone) = match rest.strip_suffix('Z') {
        Some(clock) => (clock, "+0000 UTC".to_string()),
        None => {
            let at = rest.rfind(['+', '-'])?;
            let offset = rest[at..].replace(':', "");
            (&rest[..at], format!("{offset} {offset}"))
        }
    };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || b":.-".contains(&b));
    if !digits(date) || !digits(clock) {
        return None;
    }
    let clock = match clock.split_once('.') {
        Some((whole, fraction)) => match fraction.trim_end_matches('0') {
            "" => whole.to_string(),
            fraction => format!("{whole}.{fraction}"),
        },
        None => clock.to_string(),
    };
    Some(format!("{date} {clock} {zone}"))
}
