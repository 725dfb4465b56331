//! Environment variables of a service: from its files, then its own, then from here where only a name is given.

use super::{Plan, Result};
use crate::ComposeError;
use crate::node::Node;
use std::collections::BTreeMap;
use std::path::Path;

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
            Ok(bytes) => lines(&path, &bytes, &here, &mut all)?,
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

/// Reads `KEY=VALUE` lines as Docker does: no quotes, no variables, comments from `#` at the start.
fn lines(path: &Path, bytes: &[u8], here: &dyn Fn(&str) -> Option<String>, all: &mut BTreeMap<String, Option<String>>) -> Result<()> {
    let unreadable = |why: String| ComposeError::Unreadable { path: path.to_owned(), why };
    let text = std::str::from_utf8(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)).map_err(|error| unreadable(error.to_string()))?;
    for line in text.lines().map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (key, value) = line.split_once('=').map_or((line, None), |(key, value)| (key, Some(value.to_owned())));
        if key.is_empty() {
            return Err(unreadable(format!("poorly formatted environment: no variable name on line '{line}'")));
        }
        if key.contains([' ', '\t']) {
            return Err(unreadable(format!("poorly formatted environment: variable '{key}' contains whitespaces")));
        }
        // One without a value anywhere is left out.
        if let Some(value) = value.or_else(|| here(key)) {
            all.insert(key.to_owned(), Some(value));
        }
    }
    Ok(())
}
