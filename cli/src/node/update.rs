//! `node update`.

use crate::failure::{Failure, Outcome};
use crate::line::Invocation;
use crate::output::print_line;
use crate::query::escape;
use crate::service::flags::parse;
use crate::session::Session;
use serde::Deserialize;
use serde_json::{Map, Value};
use swarm_types::{NodeId, Version};

/// Of `update`.
#[derive(clap::Args, Debug)]
pub(crate) struct UpdateArgs {
    /// Role of the node ("worker", "manager")
    #[arg(long, value_name = "string")]
    role: Option<String>,
    /// Availability of the node ("active", "pause", "drain")
    #[arg(long, value_name = "string")]
    availability: Option<String>,
    /// Add or update a node label ("key=value")
    #[arg(long, value_name = "list", value_parser = parse::env)]
    label_add: Vec<String>,
    /// Remove a node label if exists
    #[arg(long, value_name = "list")]
    label_rm: Vec<String>,
    #[arg(hide = true)]
    nodes: Vec<String>,
}

/// A node as far as its update needs it; the spec as the server wrote it.
#[derive(Debug, Deserialize)]
pub(super) struct Stored {
    #[serde(rename = "ID")]
    pub(super) id: NodeId,
    #[serde(rename = "Version")]
    pub(super) version: Version,
    #[serde(rename = "Spec")]
    pub(super) spec: Map<String, Value>,
}

/// Reads a node by what the user calls it.
///
/// # Errors
/// If there is none.
pub(super) async fn stored(node: &str, session: &Session) -> Outcome<Stored> {
    session.api.get(&format!("/nodes/{}", escape(node))).await
}

/// Writes the spec back.
///
/// # Errors
/// If the node changed meanwhile, and on what the daemon refuses.
pub(super) async fn store(node: &Stored, session: &Session) -> Outcome {
    let path = format!("/nodes/{}/update?version={}", node.id, node.version.index);
    session.api.post_empty(&path, Some(&node.spec)).await
}

/// Changes availability, role and labels of a node.
///
/// # Errors
/// On what the daemon refuses, and if a label to remove is not there.
pub(super) async fn update(args: &UpdateArgs, invocation: &Invocation, session: &Session) -> Outcome {
    let name = invocation.one_arg(&args.nodes)?;
    let mut node = stored(name, session).await?;
    merge(args, &mut node.spec)?;
    store(&node, session).await?;
    print_line(name)
}

fn merge(args: &UpdateArgs, spec: &mut Map<String, Value>) -> Outcome {
    // Words are sent as they are: the daemon says which ones it does not know.
    for (key, word) in [("Role", &args.role), ("Availability", &args.availability)] {
        if let Some(word) = word {
            spec.insert(key.to_owned(), word.as_str().into());
        }
    }
    let labels = spec.entry("Labels").or_insert_with(|| Map::new().into());
    if labels.is_null() {
        *labels = Map::new().into();
    }
    let labels = labels.as_object_mut().ok_or("the node's labels are no object")?;
    for label in &args.label_add {
        let (key, value) = label.split_once('=').unwrap_or((label, ""));
        labels.insert(key.to_owned(), value.into());
    }
    for key in &args.label_rm {
        if labels.remove(key).is_none() {
            return Err(Failure::new(format!("key {key} doesn't exist in node's labels")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn args() -> UpdateArgs {
        UpdateArgs { role: None, availability: None, label_add: Vec::new(), label_rm: Vec::new(), nodes: Vec::new() }
    }

    fn merged(args: &UpdateArgs, spec: Value) -> Result<Value, String> {
        let Value::Object(mut spec) = spec else {
            return Err("no object".into());
        };
        merge(args, &mut spec).map_err(|e| e.to_string())?;
        Ok(spec.into())
    }

    #[test]
    fn only_what_was_given_changes() {
        let spec = json!({"Role": "worker", "Availability": "active", "Labels": {"a": "1", "b": "2"}, "Newer": 1});
        let args = UpdateArgs {
            availability: Some("drain".into()),
            label_add: vec!["b=3".into(), "c".into()],
            label_rm: vec!["a".into()],
            ..args()
        };
        assert_eq!(merged(&args, spec), Ok(json!({"Role": "worker", "Availability": "drain", "Labels": {"b": "3", "c": ""}, "Newer": 1})));
    }

    #[test]
    fn a_label_to_remove_must_be_there() {
        let args = UpdateArgs { label_rm: vec!["x".into()], ..args() };
        assert_eq!(merged(&args, json!({"Labels": null})), Err("key x doesn't exist in node's labels".into()));
    }
}
