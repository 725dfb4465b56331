//! `version`.

use super::{FormatArgs, VERSION};
use crate::failure::{Failure, Outcome};
use crate::line::Invocation;
use crate::output::print;
use crate::session::Session;
use serde_json::Value as Json;
use std::fmt::Write as _;
use swarm_template::{Functions, List, ObjectKind, Struct, Template, Value, client_functions};

/// Shows the versions of this program and of the daemon.
///
/// # Errors
/// If the daemon does not answer; this program's version is shown nevertheless.
pub(crate) async fn version(args: &FormatArgs, invocation: &Invocation, session: &Session) -> Outcome {
    invocation.no_args(&args.args)?;
    let template = match args.format.as_deref().filter(|format| !format.is_empty()) {
        None => None,
        Some("json") => Some("{{json .}}"),
        Some(format) => Some(format),
    };
    let functions: Functions = client_functions();
    let template = template
        .map(|text| Template::parse_named("version", text, &functions))
        .transpose()
        .map_err(|e| Failure::template(format!("template parsing error: {e}")))?;
    let api_version = session.api.version().await.to_string();
    let server = session.api.get::<Json>("/version").await.map(with_readable_times);
    let text = match template {
        None => pretty(&session.context, &api_version, server.as_ref().ok()),
        Some(template) => {
            let data = Struct::new("system.versionInfo")
                .field("Client", client(&session.context, &api_version))
                .field("Server", server.as_ref().map_or_else(|_| nil_server(), self::server));
            template.render(&data.into()).map_err(|e| Failure::new(format!("template parsing error: {e}")))? + "\n"
        }
    };
    print(&text)?;
    server.map(drop)
}

fn os_arch() -> (&'static str, &'static str) {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    (std::env::consts::OS, arch)
}

/// This program as `docker version` calls it.
fn client(context: &str, api_version: &str) -> Struct {
    let (os, arch) = os_arch();
    Struct::new("system.clientVersion")
        .field("Version", VERSION)
        .field("APIVersion", api_version)
        .json_name("ApiVersion")
        .field("DefaultAPIVersion", api_version)
        .field("Os", os)
        .field("Arch", arch)
        .field("Context", context)
}

const SERVER: &str = "types.Version";
/// Texts of the daemon's answer: the Go field and the JSON member, if it has another name.
const SERVER_TEXTS: [(&str, &str); 9] = [
    ("Version", "Version"),
    ("APIVersion", "ApiVersion"),
    ("MinAPIVersion", "MinAPIVersion"),
    ("GitCommit", "GitCommit"),
    ("GoVersion", "GoVersion"),
    ("Os", "Os"),
    ("Arch", "Arch"),
    ("KernelVersion", "KernelVersion"),
    ("BuildTime", "BuildTime"),
];

fn server(json: &Json) -> Value {
    let any = |key: &str| json.get(key).map_or(Value::Nil, Value::from);
    let components = json.get("Components").and_then(Json::as_array).into_iter().flatten();
    let components = components
        .map(|component| {
            let typed = ObjectKind::ComponentVersion.typed(&component.to_string());
            typed.unwrap_or_else(|| Value::from(component))
        })
        .collect();
    let mut server = Struct::pointer(SERVER)
        .optional_field("Platform", any("Platform"))
        .optional_field("Components", List::new("[]types.ComponentVersion", components));
    for (name, member) in SERVER_TEXTS {
        server = server.optional_field(name, text(json, member)).json_name(member);
    }
    server.optional_field("Experimental", json.get("Experimental").and_then(Json::as_bool).unwrap_or_default()).into()
}

/// The engine's time of building as Docker's client shows it.
fn with_readable_times(mut server: Json) -> Json {
    for component in server.get_mut("Components").and_then(Json::as_array_mut).into_iter().flatten() {
        if let Some(Json::String(built)) = component.pointer_mut("/Details/BuildTime")
            && let Ok(time) = built.parse::<jiff::Timestamp>()
        {
            *built = time.strftime("%a %b %e %H:%M:%S %Y").to_string();
        }
    }
    server
}

fn nil_server() -> Value {
    let mut names = vec!["Platform", "Components", "Experimental"];
    names.extend(SERVER_TEXTS.map(|(name, _)| name));
    Struct::nil_pointer(SERVER, &names)
}

fn text<'a>(json: &'a Json, key: &str) -> &'a str {
    json.get(key).and_then(Json::as_str).unwrap_or_default()
}

fn pretty(context: &str, api_version: &str, server: Option<&Json>) -> String {
    let (os, arch) = os_arch();
    let mut out = String::from("Client:\n");
    row(&mut out, 1, "Version", VERSION);
    row(&mut out, 1, "API version", api_version);
    row(&mut out, 1, "OS/Arch", &format!("{os}/{arch}"));
    row(&mut out, 1, "Context", context);
    let Some(server) = server else { return out };
    let platform = server.get("Platform").map_or("", |platform| text(platform, "Name"));
    let _ = writeln!(out, "\nServer:{}{platform}", if platform.is_empty() { "" } else { " " });
    let mut has_engine = false;
    for component in server.get("Components").and_then(Json::as_array).into_iter().flatten() {
        let name = text(component, "Name");
        has_engine |= name == "Engine";
        let nothing = Json::Null;
        let details = component.get("Details").unwrap_or(&nothing);
        let _ = writeln!(out, " {name}:");
        row(&mut out, 2, "Version", text(component, "Version"));
        if name == "Engine" {
            engine(&mut out, details);
        } else if let Some(details) = details.as_object() {
            for (key, value) in details {
                row(&mut out, 2, key, value.as_str().unwrap_or_default());
            }
        }
    }
    if !has_engine {
        let _ = writeln!(out, " Engine:");
        row(&mut out, 2, "Version", text(server, "Version"));
        engine(&mut out, server);
    }
    out
}

fn engine(out: &mut String, details: &Json) {
    let api = format!("{} (minimum version {})", text(details, "ApiVersion"), text(details, "MinAPIVersion"));
    row(out, 2, "API version", &api);
    row(out, 2, "Go version", text(details, "GoVersion"));
    row(out, 2, "Git commit", text(details, "GitCommit"));
    row(out, 2, "Built", text(details, "BuildTime"));
    row(out, 2, "OS/Arch", &format!("{}/{}", text(details, "Os"), text(details, "Arch")));
    let experimental = match details.get("Experimental") {
        Some(Json::String(word)) => word.clone(),
        Some(Json::Bool(on)) => on.to_string(),
        _ => "false".to_owned(),
    };
    row(out, 2, "Experimental", &experimental);
}

/// A label and its text in columns.
fn row(out: &mut String, indent: usize, label: &str, text: &str) {
    let label = format!("{}{label}:", " ".repeat(indent));
    let _ = writeln!(out, "{}", format!("{label:19} {text}").trim_end());
}
