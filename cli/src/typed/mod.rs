//! API objects as Docker's own client sees them, for `--format`.
//!
//! What a Go template prints depends on Go types: a field that the JSON leaves out is there with its zero value, a span of
//! nanoseconds prints as `10s`, a missing object as `<nil>`. JSON alone does not tell. The tables in [`objects`] and
//! [`container`] do; what they do not know is still reachable through the plain JSON.

mod container;
mod objects;

pub(crate) use objects::{COMPONENT, NODE, SERVICE, SWARM_INFO};

use serde_json::Value as Json;
use swarm_template::{List, Map, Struct, Value};

/// A Go type.
pub(crate) enum Go {
    /// `string`.
    Text,
    /// `bool`.
    Bool,
    /// `int64`.
    Int,
    /// `uint64`.
    Uint,
    /// `uint32` or another number of this name.
    Number(&'static str),
    /// `float32`.
    Float,
    /// `time.Duration`, in JSON as nanoseconds.
    Duration,
    /// `time.Time`.
    Time,
    /// `[]byte`, in JSON as base64.
    Bytes,
    /// `[]string`.
    Texts,
    /// `map[string]string`.
    TextMap,
    /// A slice of structs.
    List(&'static Object),
    /// A struct.
    Object(&'static Object),
    /// A pointer to a basic value, of this type's name.
    Optional(&'static str, &'static Go),
    /// A pointer to a struct.
    Pointer(&'static Object),
    /// A struct whose fields are those of the outer one.
    Embedded(&'static Object),
    /// As the JSON is.
    Any,
}

/// A Go struct: its type and its fields. Those marked with `true` are left out of JSON when empty.
pub(crate) struct Object {
    /// Type with package.
    pub(crate) name: &'static str,
    /// Fields in order.
    pub(crate) fields: &'static [(&'static str, Go, bool)],
}

impl Object {
    /// The object that `json` stands for. Wrong types in it count as absent.
    pub(crate) fn read(&self, json: &Json) -> Struct {
        self.fill(Struct::new(self.name), json)
    }

    fn fill(&self, object: Struct, json: &Json) -> Struct {
        self.fields.iter().fold(object, |object, (name, go, omit)| {
            if let Go::Embedded(inner) = go {
                return object.embed(name, inner.read(json));
            }
            let member = json.get(name).filter(|member| !member.is_null());
            let value = go.read(member);
            // A pointer that is set is written even if what it points to is zero.
            let is_pointer = matches!(go, Go::Optional(..) | Go::Pointer(_));
            if *omit && !(is_pointer && member.is_some()) {
                object.optional_field(name, value)
            } else {
                object.field(name, value)
            }
        })
    }

    fn nil_pointer(&self) -> Value {
        let names: Vec<&str> = self.fields.iter().map(|(name, ..)| *name).collect();
        Struct::nil_pointer(self.name, &names)
    }
}

impl Go {
    /// The value of a member, or the zero value if it is absent.
    fn read(&self, member: Option<&Json>) -> Value {
        match self {
            Self::Text => Value::from(member.and_then(Json::as_str).unwrap_or_default()),
            Self::Bool => Value::from(member.and_then(Json::as_bool).unwrap_or_default()),
            Self::Int => Value::int64(member.and_then(Json::as_i64).unwrap_or_default()),
            Self::Uint => Value::from(member.and_then(Json::as_u64).unwrap_or_default()),
            Self::Number(name) => {
                Value::named(name, member.and_then(Json::as_i64).unwrap_or_default())
            }
            Self::Float => {
                Value::named("float32", member.and_then(Json::as_f64).unwrap_or_default())
            }
            Self::Duration => Value::duration(member.and_then(Json::as_i64).unwrap_or_default()),
            Self::Time => Struct::time(
                member
                    .and_then(Json::as_str)
                    .unwrap_or("0001-01-01T00:00:00Z"),
            )
            .into(),
            Self::Bytes => bytes(member.and_then(Json::as_str)),
            Self::Texts => match member.and_then(Json::as_array) {
                Some(items) => Value::strings(items.iter().filter_map(Json::as_str)),
                None => List::nil("[]string").into(),
            },
            Self::TextMap => match member.and_then(Json::as_object) {
                Some(map) => Value::string_map(
                    map.iter()
                        .map(|(key, value)| (key.as_str(), value.as_str().unwrap_or_default())),
                ),
                None => Map::new("map[string]string", Value::from(""))
                    .into_nil()
                    .into(),
            },
            Self::List(object) => match member.and_then(Json::as_array) {
                Some(items) => {
                    let items = items
                        .iter()
                        .map(|item| Value::from(object.read(item)))
                        .collect();
                    List::new(&format!("[]{}", object.name), items).into()
                }
                None => List::nil(&format!("[]{}", object.name)).into(),
            },
            Self::Object(object) | Self::Embedded(object) => {
                object.read(member.unwrap_or(&Json::Null)).into()
            }
            Self::Optional(name, go) => match member {
                Some(_) => go.read(member),
                None => Struct::nil_pointer(name, &[]),
            },
            Self::Pointer(object) => match member {
                Some(member) => object.fill(Struct::pointer(object.name), member).into(),
                None => object.nil_pointer(),
            },
            Self::Any => member.map_or(Value::Nil, Value::from),
        }
    }
}

/// Go prints bytes as a list of numbers and writes them to JSON as base64. The text is kept for the latter.
fn bytes(base64: Option<&str>) -> Value {
    use base64::Engine as _;
    let text = base64.unwrap_or_default();
    let decoded = base64::engine::general_purpose::STANDARD
        .decode(text)
        .unwrap_or_default();
    let shown: Vec<String> = decoded.iter().map(u8::to_string).collect();
    swarm_template::Named::with_text("[]uint8", text, &format!("[{}]", shown.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use swarm_template::Inspector;

    const SERVICE_JSON: &str = r#"{"ID":"abc","Version":{"Index":7},"CreatedAt":"2024-01-02T03:04:05.6Z",
        "UpdatedAt":"2024-01-02T03:04:05.6Z","Spec":{"Name":"web","Labels":{},"TaskTemplate":{"ContainerSpec":
        {"Image":"nginx","Init":false,"StopGracePeriod":10000000000},"ForceUpdate":0,"Newer":{"A":1}},
        "Mode":{"Replicated":{"Replicas":3}}},"Endpoint":{"Spec":{}}}"#;

    fn shown(template: &str) -> String {
        let json = serde_json::from_str(SERVICE_JSON).expect("is JSON");
        let typed = Value::from(SERVICE.read(&json));
        let rendered = Inspector::parse(template)
            .expect("parses")
            .render(Some(&typed), SERVICE_JSON);
        rendered.unwrap_or_else(|error| error.to_string())
    }

    #[test]
    fn fields_have_their_go_types() {
        assert_eq!(
            shown("{{.Spec.Name}} {{.Version.Index}} {{.Spec.Mode.Replicated.Replicas}}"),
            "web 7 3"
        );
        assert_eq!(
            shown("{{.Spec.TaskTemplate.ContainerSpec.StopGracePeriod}}"),
            "10s"
        );
        assert_eq!(shown("{{.CreatedAt}}"), "2024-01-02 03:04:05.6 +0000 UTC");
        assert_eq!(
            shown("[{{.Spec.TaskTemplate.ContainerSpec.Hostname}}]"),
            "[]"
        );
        assert_eq!(
            shown("{{.UpdateStatus}} {{.Spec.Mode.Global}}"),
            "<nil> <nil>"
        );
        assert_eq!(shown("{{if .Spec.Mode.Replicated}}r{{else}}g{{end}}"), "r");
        assert_eq!(shown("{{.Spec.TaskTemplate.ContainerSpec.Env}}"), "[]");
    }

    #[test]
    fn json_is_written_as_docker_writes_it() {
        assert_eq!(
            shown("{{json .Spec.TaskTemplate.ContainerSpec}}"),
            r#"{"Image":"nginx","Init":false,"StopGracePeriod":10000000000}"#
        );
        assert_eq!(shown("{{json .Version}}"), r#"{"Index":7}"#);
        assert_eq!(
            shown("{{json .Spec.Mode}}"),
            r#"{"Replicated":{"Replicas":3}}"#
        );
    }

    #[test]
    fn what_the_tables_do_not_know_is_found_in_the_json() {
        assert_eq!(shown("{{.Spec.TaskTemplate.Newer.A}}"), "1");
        assert!(shown("{{.Nothing}}").starts_with("template parsing error: "));
    }
}
