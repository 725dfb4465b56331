//! The files that a task gets from secrets and configs: contents expanded, places and owners worked out. Pure.

use super::order::{Expansion, NodeContext};
use std::sync::Arc;
use swarm_session::{AssignedTask, HeldPayloads, SharedSpec};
use swarm_template::{Function, FunctionError, Functions, Value};
use swarm_types::{ConfigId, ContainerSpec, FileTarget, NodeId, Payload, PayloadSpec, SecretId};

/// Where secrets appear that name no absolute path.
const SECRETS_DIR: &str = "/run/secrets";

/// A file for a container. Its contents are not shown by `Debug`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskFile {
    /// Absolute path in the container.
    pub target: String,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Permission bits.
    pub mode: u32,
    /// What is in it.
    pub contents: Payload,
}

/// Files cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilesError {
    /// The managers have not sent it yet; they will.
    #[error("{kind} {name} has not arrived yet")]
    Awaited {
        /// `secret` or `config`.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// The reference makes no sense.
    #[error("{kind} {name}: {reason}")]
    Reference {
        /// `secret` or `config`.
        kind: &'static str,
        /// Its name.
        name: String,
        /// Why.
        reason: String,
    },
    /// The contents are a template that cannot be expanded.
    #[error("expanding {kind} {name} failed: {reason}")]
    Template {
        /// `secret` or `config`.
        kind: &'static str,
        /// Its name.
        name: String,
        /// What the template engine said.
        reason: String,
    },
}

/// A secret or config of a task with its file, if it has one.
struct Reference<'a> {
    kind: &'static str,
    name: &'a str,
    file: Option<&'a FileTarget>,
    spec: &'a PayloadSpec,
}

/// The files of a task; `spec` is its container with templates expanded.
///
/// # Errors
/// [`FilesError`]; only [`FilesError::Awaited`] passes.
pub fn task_files(
    task: &AssignedTask,
    shared: &SharedSpec,
    spec: &ContainerSpec,
    (node_id, node): (NodeId, &NodeContext),
    held: &HeldPayloads,
) -> Result<Vec<TaskFile>, FilesError> {
    let references = references(spec, held)?;
    let expansion = Expansion::new(task, shared, node_id, node);
    let functions = functions(spec, &references);
    let mounted = references.iter().filter_map(|reference| Some((reference, reference.file?)));
    mounted.map(|(reference, file)| task_file(reference, file, &expansion, &functions)).collect()
}

fn references<'a>(spec: &'a ContainerSpec, held: &'a HeldPayloads) -> Result<Vec<Reference<'a>>, FilesError> {
    let mut found = Vec::with_capacity(spec.secrets.len() + spec.configs.len());
    for secret in &spec.secrets {
        let (kind, name) = ("secret", secret.secret_name.as_str());
        let stored = SecretId::parse(&secret.secret_id).ok().and_then(|id| held.secrets.get(&id));
        let stored = stored.ok_or_else(|| FilesError::Awaited { kind, name: name.to_owned() })?;
        found.push(Reference { kind, name, file: secret.file.as_ref(), spec: &stored.spec });
    }
    for config in &spec.configs {
        let (kind, name) = ("config", config.config_name.as_str());
        let stored = ConfigId::parse(&config.config_id).ok().and_then(|id| held.configs.get(&id));
        let stored = stored.ok_or_else(|| FilesError::Awaited { kind, name: name.to_owned() })?;
        found.push(Reference { kind, name, file: config.file.as_ref(), spec: &stored.spec });
    }
    Ok(found)
}

fn task_file(reference: &Reference<'_>, file: &FileTarget, expansion: &Expansion, functions: &Functions) -> Result<TaskFile, FilesError> {
    let refuse = |reason: String| FilesError::Reference { kind: reference.kind, name: reference.name.to_owned(), reason };
    let id = |what: &str, text: &str| match text {
        "" => Ok(0),
        text => text.parse().map_err(|_| refuse(format!("{what} {text:?} is not a number"))),
    };
    Ok(TaskFile {
        target: target(reference.kind, &file.name),
        uid: id("UID", &file.uid)?,
        gid: id("GID", &file.gid)?,
        mode: file.mode & 0o7777,
        contents: contents(reference, expansion, functions)?,
    })
}

fn target(kind: &str, name: &str) -> String {
    match kind {
        _ if name.starts_with('/') => name.to_owned(),
        "secret" => format!("{SECRETS_DIR}/{name}"),
        _ => format!("/{name}"),
    }
}

fn contents(reference: &Reference<'_>, expansion: &Expansion, functions: &Functions) -> Result<Payload, FilesError> {
    let fail = |reason: String| FilesError::Template { kind: reference.kind, name: reference.name.to_owned(), reason };
    let data = &reference.spec.data;
    match reference.spec.templating.as_ref().map(|driver| driver.name.as_str()) {
        None => Ok(data.clone()),
        Some("golang") => {
            let text = std::str::from_utf8(data.bytes()).map_err(|_| fail("the template is not UTF-8".into()))?;
            Ok(expansion.with(text, functions).map_err(fail)?.into_bytes().into())
        }
        Some(_) => Err(fail("unrecognized template type".into())),
    }
}

/// What templates of payloads can do: look at the task's other payloads, as they are stored, and at its environment.
fn functions(spec: &ContainerSpec, references: &[Reference<'_>]) -> Functions {
    let of_kind = |kind: &'static str| {
        let found = references.iter().filter(|r| r.kind == kind).filter_map(|r| Some((r.file?.name.clone(), r.spec.data.clone())));
        let payloads: Arc<Vec<(String, Payload)>> = Arc::new(found.collect());
        Function::new(&[swarm_template::Param::String], move |args| {
            let Value::String(target) = &args[0] else { return Err(FunctionError::new("a target is text")) };
            let wanted = payloads.iter().find(|(name, _)| name.as_str() == &**target);
            let (_, payload) = wanted.ok_or_else(|| FunctionError::new(format!("{kind} target {target} not found")))?;
            let text = std::str::from_utf8(payload.bytes()).map_err(|_| FunctionError::new(format!("{kind} {target} is not UTF-8")))?;
            Ok(Value::from(text))
        })
    };
    let env: Vec<(String, String)> =
        spec.env.iter().filter_map(|entry| entry.split_once('=')).map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    let env = Function::of_string(move |key| env.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone()).unwrap_or_default());
    Functions::new().with("secret", of_kind("secret")).with("config", of_kind("config")).with("env", env)
}

#[cfg(test)]
mod tests;
