//! Environment variables of a service: from its files, then its own, then from here where only a name is given.

use super::{Plan, Result};
use crate::node::Node;
use crate::{ComposeError, env_file};
use std::collections::BTreeMap;

/// The variables of a service, in order: `KEY=VALUE`, or `KEY` where nobody has a value.
///
/// # Errors
/// On files that cannot be read or hold something else.
pub(super) fn of_service(plan: &Plan<'_>, service: &Node<'_>) -> Result<Vec<String>> {
    let mut all: BTreeMap<String, Option<String>> = BTreeMap::new();
    let here = |key: &str| (plan.around.variables)(key);
    for file in service.get("env_file").map_or_else(|| Ok(Vec::new()), |node| node.items())? {
        let required = file.get("required").map(|node| node.switch()).transpose()?.unwrap_or(true);
        if let Some(format) = file.get("format").map(|node| node.text()).transpose()?.filter(|format| format != "raw") {
            return Err(file.invalid(format!("unsupported env_file format {format:?}")));
        }
        let path = plan.project.path(&file.get("path").map_or_else(|| Err(file.invalid("must have a path")), |path| path.text())?);
        match (plan.around.read)(&path) {
            Ok(bytes) => {
                let name = path.display().to_string();
                let lines = env_file::variables(&name, &bytes, &here).map_err(|why| file.invalid(why))?;
                let pairs = lines.iter().filter_map(|line| line.split_once('='));
                all.extend(pairs.map(|(key, value)| (key.to_owned(), Some(value.to_owned()))));
            }
            Err(_) if !required => {}
            Err(why) => return Err(ComposeError::Unreadable { path, why }),
        }
    }
    for (key, value) in service.get("environment").map_or_else(|| Ok(BTreeMap::new()), |node| node.pairs())? {
        let value = value.or_else(|| here(&key));
        all.insert(key, value);
    }
    let line = |(key, value): (String, Option<String>)| match value {
        Some(value) => format!("{key}={value}"),
        None => key,
    };
    Ok(all.into_iter().map(line).collect())
}
