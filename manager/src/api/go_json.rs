//! JSON as Go reads it, because that is what Docker's clients are written against.
//!
//! `null` is the zero value of whatever is expected, names of fields ignore case where none fits exactly, unknown fields are
//! skipped. Stricter than serde in one point: a list is never taken for a struct. Errors name the field.

use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Expected, MapAccess, SeqAccess, Unexpected, VariantAccess, Visitor,
};
use serde_json::{Map, Value};
use std::fmt;

/// Why a body is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeError {
    reason: Reason,
    /// Names of the fields that lead to the fault, innermost first.
    path: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Reason {
    /// Not JSON.
    Syntax(String),
    /// JSON of another type, or a number out of bounds.
    Type { got: String, expected: String },
    /// A value that the type refuses; the text says all.
    Value(String),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            Reason::Syntax(text) => write!(f, "invalid JSON: {text}"),
            Reason::Value(text) => f.write_str(text),
            Reason::Type { got, expected } if self.path.is_empty() => {
                write!(f, "invalid JSON: cannot unmarshal {got} into {expected}")
            }
            Reason::Type { got, expected } => {
                let path: Vec<&str> = self.path.iter().rev().map(String::as_str).collect();
                write!(f, "invalid JSON: cannot unmarshal {got} into field {} of type {expected}", path.join("."))
            }
        }
    }
}

impl std::error::Error for DecodeError {}

impl DecodeError {
    fn new(reason: Reason) -> Self {
        Self { reason, path: Vec::new() }
    }

    fn in_field(mut self, name: &str) -> Self {
        self.path.push(name.to_owned());
        self
    }
}

impl de::Error for DecodeError {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self::new(Reason::Value(text.to_string()))
    }

    fn invalid_type(got: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(Reason::Type { got: word(got), expected: expected.to_string() })
    }

    fn invalid_value(got: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(got, expected)
    }
}

/// Go's word for a kind of JSON, with the number where it is one.
fn word(got: Unexpected<'_>) -> String {
    match got {
        Unexpected::Bool(_) => "bool".into(),
        Unexpected::Unsigned(n) => format!("number {n}"),
        Unexpected::Signed(n) => format!("number {n}"),
        Unexpected::Float(n) => format!("number {n}"),
        Unexpected::Str(_) => "string".into(),
        Unexpected::Seq => "array".into(),
        Unexpected::Map => "object".into(),
        other => other.to_string(),
    }
}

/// Reads a value. Nothing at all is the zero value, as `null` is.
///
/// # Errors
/// [`DecodeError`]
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    let value = if bytes.is_empty() { Value::Null } else { parse(bytes)? };
    T::deserialize(Go(value))
}

fn parse(bytes: &[u8]) -> Result<Value, DecodeError> {
    serde_json::from_slice(bytes).map_err(|error| {
        let text =
            if bytes.iter().all(u8::is_ascii_whitespace) { "got EOF while reading request body".to_owned() } else { error.to_string() };
        DecodeError::new(Reason::Syntax(text))
    })
}

/// A value to be read as Go would.
struct Go(Value);

fn unexpected(value: &Value) -> Unexpected<'_> {
    match value {
        Value::Null => Unexpected::Unit,
        Value::Bool(b) => Unexpected::Bool(*b),
        Value::Number(n) => match (n.as_u64(), n.as_i64()) {
            (Some(n), _) => Unexpected::Unsigned(n),
            (None, Some(n)) => Unexpected::Signed(n),
            (None, None) => Unexpected::Float(n.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(s) => Unexpected::Str(s),
        Value::Array(_) => Unexpected::Seq,
        Value::Object(_) => Unexpected::Map,
    }
}

fn mismatch<T>(value: &Value, expected: &dyn Expected) -> Result<T, DecodeError> {
    Err(de::Error::invalid_type(unexpected(value), expected))
}

/// `null` is the given zero; everything else is itself.
macro_rules! zero_for_null {
    ($($method:ident => $visit:ident($zero:expr)),+ $(,)?) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
            if self.0.is_null() { visitor.$visit($zero) } else { self.deserialize_any(visitor) }
        })+
    };
}

impl<'de> Deserializer<'de> for Go {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(b) => visitor.visit_bool(b),
            Value::Number(n) => match (n.as_u64(), n.as_i64(), n.as_f64()) {
                (Some(n), _, _) => visitor.visit_u64(n),
                (None, Some(n), _) => visitor.visit_i64(n),
                (None, None, n) => visitor.visit_f64(n.unwrap_or(f64::NAN)),
            },
            Value::String(s) => visitor.visit_string(s),
            Value::Array(items) => visitor.visit_seq(Items { items: items.into_iter(), index: 0 }),
            Value::Object(fields) => visitor.visit_map(Fields::new(fields, &[])),
        }
    }

    zero_for_null! {
        deserialize_bool => visit_bool(false),
        deserialize_i8 => visit_i64(0), deserialize_i16 => visit_i64(0), deserialize_i32 => visit_i64(0), deserialize_i64 => visit_i64(0),
        deserialize_u8 => visit_u64(0), deserialize_u16 => visit_u64(0), deserialize_u32 => visit_u64(0), deserialize_u64 => visit_u64(0),
        deserialize_f32 => visit_f64(0.0), deserialize_f64 => visit_f64(0.0),
        deserialize_char => visit_str(""), deserialize_str => visit_str(""), deserialize_string => visit_str(""),
        deserialize_bytes => visit_bytes(&[]), deserialize_byte_buf => visit_bytes(&[]),
        deserialize_seq => visit_seq(Items { items: Vec::new().into_iter(), index: 0 }),
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.0 {
            Value::Null => visitor.visit_map(Fields::new(Map::new(), &[])),
            Value::Object(fields) => visitor.visit_map(Fields::new(fields, &[])),
            other => mismatch(&other, &visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        match self.0 {
            Value::Null => visitor.visit_map(Fields::new(Map::new(), known)),
            Value::Object(fields) => visitor.visit_map(Fields::new(fields, known)),
            other => mismatch(&other, &visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        // Go's form of an enum with contents: a struct of pointers, of which one is set.
        let Value::Object(fields) = self.0 else { return mismatch(&self.0, &visitor) };
        let mut set = Fields::new(fields, variants).fields.filter(|(_, value)| !value.is_null());
        match (set.next(), set.next()) {
            (Some((variant, value)), None) => visitor.visit_enum(Variant { variant, value }),
            _ => Err(de::Error::custom(format!("exactly one of {} must be set", variants.join(" and ")))),
        }
    }

    serde::forward_to_deserialize_any! { i128 u128 unit unit_struct tuple tuple_struct identifier ignored_any }
}

struct Items {
    items: std::vec::IntoIter<Value>,
    index: usize,
}

impl<'de> SeqAccess<'de> for Items {
    type Error = DecodeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, DecodeError> {
        let Some(item) = self.items.next() else { return Ok(None) };
        let index = self.index;
        self.index += 1;
        seed.deserialize(Go(item)).map(Some).map_err(|e| e.in_field(&index.to_string()))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

struct Fields {
    fields: std::vec::IntoIter<(String, Value)>,
    value: Option<(String, Value)>,
}

impl Fields {
    /// The fields under the names of `known` where they fit but for case. An exact name goes before.
    fn new(fields: Map<String, Value>, known: &'static [&'static str]) -> Self {
        let mut named: Vec<(String, Value)> = Vec::with_capacity(fields.len());
        let mut loose = Vec::new();
        for (name, value) in fields {
            let fit = known.iter().find(|k| k.eq_ignore_ascii_case(&name)).filter(|k| **k != name);
            match fit {
                Some(fit) => loose.push(((*fit).to_owned(), value)),
                None => named.push((name, value)),
            }
        }
        for (name, value) in loose {
            if named.iter().all(|(taken, _)| *taken != name) {
                named.push((name, value));
            }
        }
        Self { fields: named.into_iter(), value: None }
    }
}

impl<'de> MapAccess<'de> for Fields {
    type Error = DecodeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, DecodeError> {
        let Some((name, value)) = self.fields.next() else { return Ok(None) };
        let key = seed.deserialize(Go(Value::String(name.clone())))?;
        self.value = Some((name, value));
        Ok(Some(key))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, DecodeError> {
        let (name, value) = self.value.take().ok_or_else(|| de::Error::custom("a value was asked for before its name"))?;
        seed.deserialize(Go(value)).map_err(|e| e.in_field(&name))
    }
}

struct Variant {
    variant: String,
    value: Value,
}

impl<'de> EnumAccess<'de> for Variant {
    type Error = DecodeError;
    type Variant = Go;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Go), DecodeError> {
        let variant = seed.deserialize(Go(Value::String(self.variant)))?;
        Ok((variant, Go(self.value)))
    }
}

impl<'de> VariantAccess<'de> for Go {
    type Error = DecodeError;

    fn unit_variant(self) -> Result<(), DecodeError> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, DecodeError> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_struct("", fields, visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use swarm_types::{GenericResource, ServiceSpec, UpdateConfig};

    fn spec(text: &str) -> Result<ServiceSpec, String> {
        decode::<ServiceSpec>(text.as_bytes()).map_err(|e| e.to_string())
    }

    #[test]
    fn null_is_the_zero_value_everywhere() {
        let zero = Ok(ServiceSpec::default());
        for text in ["", "null", "{}", r#"{"Name":null,"Labels":null,"TaskTemplate":null,"Mode":null,"Networks":null}"#] {
            assert_eq!(spec(text), zero, "{text}");
        }
        let nested = spec(r#"{"Mode":{"Replicated":{"Replicas":null}},"Labels":{"a":null},"TaskTemplate":{"ForceUpdate":null}}"#).unwrap();
        assert_eq!(nested.mode.replicated.map(|r| r.replicas), Some(None));
        assert_eq!(nested.labels.get("a").map(String::as_str), Some(""));
        let ratio: UpdateConfig = decode(br#"{"MaxFailureRatio":null,"Monitor":null}"#).unwrap();
        assert_eq!(ratio, UpdateConfig::default());
    }

    #[test]
    fn names_of_fields_ignore_case_but_an_exact_one_goes_before() {
        assert_eq!(spec(r#"{"name":"a"}"#).unwrap().name, "a");
        assert_eq!(spec(r#"{"NAME":"a","Name":"b","name":"c"}"#).unwrap().name, "b");
        assert_eq!(
            spec(r#"{"tasktemplate":{"containerspec":{"tty":true}}}"#).unwrap().task_template.container_spec.map(|c| c.tty),
            Some(true)
        );
        // Names in maps are the user's.
        assert_eq!(spec(r#"{"Labels":{"Name":"x","name":"y"}}"#).unwrap().labels.len(), 2);
    }

    #[test]
    fn errors_name_the_field() {
        let cases = [
            (r#"{"Name":1}"#, "invalid JSON: cannot unmarshal number 1 into field Name of type a string"),
            (r#"[]"#, "invalid JSON: cannot unmarshal array into struct ServiceSpec"),
            (r#""x""#, "invalid JSON: cannot unmarshal string into struct ServiceSpec"),
            (r#"{"TaskTemplate":[]}"#, "invalid JSON: cannot unmarshal array into field TaskTemplate of type struct TaskSpec"),
            (
                r#"{"TaskTemplate":{"ContainerSpec":{"Env":["A=1",2]}}}"#,
                "invalid JSON: cannot unmarshal number 2 into field TaskTemplate.ContainerSpec.Env.1 of type a string",
            ),
            (
                r#"{"Mode":{"Replicated":{"Replicas":-1}}}"#,
                "invalid JSON: cannot unmarshal number -1 into field Mode.Replicated.Replicas of type u64",
            ),
            (
                r#"{"Mode":{"Replicated":{"Replicas":1.5}}}"#,
                "invalid JSON: cannot unmarshal number 1.5 into field Mode.Replicated.Replicas of type u64",
            ),
            (r#"{"EndpointSpec":{"Mode":"x"}}"#, "invalid resolution mode: \"x\""),
            (r#"{"TaskTemplate":{"RestartPolicy":{"Condition":"x"}}}"#, "invalid RestartCondition: \"x\""),
            (" \n", "invalid JSON: got EOF while reading request body"),
        ];
        for (text, error) in cases {
            assert_eq!(spec(text), Err(error.to_owned()), "{text}");
        }
        for broken in ["{", "{}}", "{} {}", "{\"a\":01}", "{'a':1}", "{\"Name\":\"\u{1}\"}", &"[".repeat(10_000), &"{\"a\":".repeat(10_000)]
        {
            let error = spec(broken).expect_err("is no JSON");
            assert!(error.starts_with("invalid JSON: "), "{error}");
        }
        assert!(decode::<ServiceSpec>(b"{\"Name\":\"\xff\"}").is_err());
    }

    #[test]
    fn one_of_several_pointers_is_an_enum() {
        let one: GenericResource = decode(br#"{"DiscreteResourceSpec":{"Kind":"SSD","Value":3},"NamedResourceSpec":null}"#).unwrap();
        assert_eq!(one, GenericResource::Discrete { kind: "SSD".into(), value: 3 });
        for bad in ["{}", r#"{"DiscreteResourceSpec":{},"NamedResourceSpec":{}}"#, "3", r#"{"Other":{}}"#] {
            assert!(decode::<GenericResource>(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
