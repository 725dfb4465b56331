//! The one form of everything that compose files may write in several: lists of pairs become maps, short texts become long
//! maps, single texts lists. Only then can files be laid over each other.

use crate::ComposeError;
use crate::node::{Node, scalar};
use crate::short::{port, volume};
use serde_norway::{Mapping, Value};

type Result<T> = std::result::Result<T, ComposeError>;

/// Maps that may be written as lists of `KEY=VALUE`.
const PAIRS: [&str; 4] = ["environment", "labels", "sysctls", "annotations"];
/// Lists that may be written as one text.
const LISTS: [&str; 4] = ["dns", "dns_search", "dns_opt", "tmpfs"];

/// Brings all services into normal form.
///
/// # Errors
/// On values that have neither form.
pub(crate) fn services(services: &mut Value) -> Result<()> {
    let Value::Mapping(services) = services else { return Ok(()) };
    for (name, service) in services.iter_mut() {
        let path =
            format!("services.{}", scalar(name).ok_or_else(|| ComposeError::invalid("services", "must have keys that are strings"))?);
        match service {
            Value::Mapping(map) => one_service(&path, map)?,
            _ => return Err(ComposeError::invalid(&path, "must be a mapping")),
        }
    }
    Ok(())
}

/// Applies `change` to the value under `key`, if there is one; a tag of a merge stays before it.
fn change(path: &str, map: &mut Mapping, key: &str, change: impl FnOnce(&Node<'_>) -> Result<Value>) -> Result<()> {
    let Some(inner) = map.get_mut(key).map(untagged) else { return Ok(()) };
    if inner.is_null() {
        return Ok(());
    }
    *inner = change(&Node::new(format!("{path}.{key}"), inner))?;
    Ok(())
}

/// The value behind a tag of a merge, or the value itself.
fn untagged(value: &mut Value) -> &mut Value {
    match value {
        Value::Tagged(tagged) => &mut tagged.value,
        value => value,
    }
}

fn one_service(path: &str, map: &mut Mapping) -> Result<()> {
    for key in PAIRS {
        change(path, map, key, pairs)?;
    }
    for key in LISTS {
        change(path, map, key, |node| Ok(node.texts()?.into()))?;
    }
    for key in ["command", "entrypoint"] {
        change(path, map, key, |node| Ok(words(node)?.into()))?;
    }
    change(path, map, "extra_hosts", extra_hosts)?;
    change(path, map, "env_file", env_files)?;
    change(path, map, "networks", networks)?;
    change(path, map, "ports", |node| flat(node, port::long))?;
    change(path, map, "volumes", |node| flat(node, |node| Ok(vec![volume::long(node)?])))?;
    for key in ["secrets", "configs"] {
        change(path, map, key, |node| flat(node, |node| Ok(vec![source(node)?])))?;
    }
    if let Some(Value::Mapping(health)) = map.get_mut("healthcheck").map(untagged) {
        change(&format!("{path}.healthcheck"), health, "test", health_test)?;
    }
    if let Some(Value::Mapping(deploy)) = map.get_mut("deploy").map(untagged) {
        change(&format!("{path}.deploy"), deploy, "labels", pairs)?;
    }
    Ok(())
}

fn pairs(node: &Node<'_>) -> Result<Value> {
    let mut pairs = node.pairs()?;
    if let Value::Mapping(map) = node.value {
        // Tags of a merge are for later, with what they stand on.
        let tagged: Mapping =
            map.iter().filter(|(_, value)| matches!(value, Value::Tagged(_))).map(|(k, v)| (k.clone(), v.clone())).collect();
        pairs.retain(|key, _| !tagged.contains_key(key.as_str()));
        let rest = pairs.into_iter().map(|(key, value)| (key.into(), value.map_or(Value::Null, Value::from)));
        return Ok(Value::Mapping(rest.chain(tagged).collect()));
    }
    Ok(Value::Mapping(pairs.into_iter().map(|(key, value)| (key.into(), value.map_or(Value::Null, Value::from))).collect()))
}

/// A command: a list of words, or a line that a shell would split.
fn words(node: &Node<'_>) -> Result<Vec<String>> {
    match node.value {
        Value::Sequence(_) => node.texts(),
        _ => shlex::split(&node.text()?).ok_or_else(|| node.invalid("invalid command line string")),
    }
}

/// A health check given as a line runs in a shell.
fn health_test(node: &Node<'_>) -> Result<Value> {
    Ok(match node.value {
        Value::Sequence(_) => node.texts()?.into(),
        _ => vec!["CMD-SHELL".to_owned(), node.text()?].into(),
    })
}

/// `NAME:IP` each.
fn extra_hosts(node: &Node<'_>) -> Result<Value> {
    if let Value::Sequence(_) = node.value {
        let line = |line: String| match line.split_once('=') {
            Some((name, address)) => format!("{name}:{address}"),
            None => line,
        };
        return Ok(node.texts()?.into_iter().map(line).collect::<Vec<_>>().into());
    }
    let mut lines = Vec::new();
    for (name, addresses) in node.entries()? {
        lines.extend(addresses.texts()?.into_iter().map(|address| format!("{name}:{address}")));
    }
    Ok(lines.into())
}

/// Maps with `path`, `required` and `format`.
fn env_files(node: &Node<'_>) -> Result<Value> {
    let long = |node: &Node<'_>| {
        if node.value.is_mapping() {
            node.only(&["path", "required", "format"])?;
            return Ok(node.value.clone());
        }
        let mut map = Mapping::new();
        map.insert("path".into(), node.text()?.into());
        Ok(map.into())
    };
    match node.value {
        Value::Sequence(_) => Ok(Value::Sequence(node.items()?.iter().map(long).collect::<Result<_>>()?)),
        _ => Ok(Value::Sequence(vec![long(node)?])),
    }
}

/// A map from network to settings.
fn networks(node: &Node<'_>) -> Result<Value> {
    if let Value::Sequence(_) = node.value {
        return Ok(Value::Mapping(node.texts()?.into_iter().map(|name| (name.into(), Value::Null)).collect()));
    }
    node.entries()?;
    Ok(node.value.clone())
}

/// A reference to a secret or config.
fn source(node: &Node<'_>) -> Result<Value> {
    if node.value.is_mapping() {
        return Ok(node.value.clone());
    }
    let mut map = Mapping::new();
    map.insert("source".into(), node.text()?.into());
    Ok(map.into())
}

/// A list whose items may each stand for several.
fn flat(node: &Node<'_>, long: impl Fn(&Node<'_>) -> Result<Vec<Value>>) -> Result<Value> {
    let mut all = Vec::new();
    for item in node.items()? {
        all.extend(long(&item)?);
    }
    Ok(Value::Sequence(all))
}
