//! One file: from text to a tree with merge keys applied and variables replaced.

use crate::interpolate::{Lookup, interpolate};
use crate::node::{Node, scalar};
use crate::{ComposeError, normal};
use serde_norway::{Mapping, Value};

type Result<T> = std::result::Result<T, ComposeError>;

/// The newest schema; what a file without `version` counts as.
pub(crate) const VERSION: &str = "3.13";
/// Its last part.
const MINOR_MAX: u32 = 13;

/// Parts of a file whose values may hold variables.
const SECTIONS: [&str; 5] = ["services", "networks", "volumes", "secrets", "configs"];
/// Keys of a file.
const KEYS: [&str; 8] = ["version", "name", "include", "services", "networks", "volumes", "secrets", "configs"];

/// A file as a tree in normal form.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    /// `version`, or the newest.
    pub(crate) version: String,
    /// The rest, with `services` and the others always maps.
    pub(crate) tree: Mapping,
}

/// Reads a file. Without `lookup`, variables are left as they are.
///
/// # Errors
/// On what is no YAML, unknown keys, other versions and broken variables.
pub(crate) fn parse(file: &str, text: &str, lookup: Option<Lookup<'_>>) -> Result<Document> {
    let yaml = |error: serde_norway::Error| ComposeError::Yaml { file: file.to_owned(), why: error.to_string() };
    let mut value: Value = serde_norway::from_str(text).map_err(yaml)?;
    value.apply_merge().map_err(yaml)?;
    let Value::Mapping(tree) = &value else {
        return Err(ComposeError::invalid("(root)", "Top-level object must be a mapping"));
    };
    Node::new("(root)", &value).only(&KEYS)?;
    let version = version(tree.get("version"))?;
    let Value::Mapping(mut tree) = value else { unreachable!("it was a mapping above") };
    tree.remove("version");
    tree.remove("name");
    for section in SECTIONS {
        let mut part = tree.remove(section).filter(|part| !part.is_null()).unwrap_or_else(|| Mapping::new().into());
        if !part.is_mapping() {
            return Err(ComposeError::invalid(section, "must be a mapping"));
        }
        if let Some(lookup) = lookup {
            interpolate(section, &mut part, lookup)?;
        }
        if section == "services" {
            normal::services(&mut part)?;
        }
        tree.insert(section.into(), part);
    }
    Ok(Document { version, tree })
}

fn version(given: Option<&Value>) -> Result<String> {
    let Some(given) = given.filter(|given| !given.is_null()) else { return Ok(VERSION.to_owned()) };
    let version = scalar(given).ok_or_else(|| ComposeError::invalid("version", "must be a string"))?;
    let minor = match version.split_once('.') {
        None if version == "3" => return Ok(VERSION.to_owned()),
        Some(("3", minor)) => minor.parse::<u32>().ok(),
        _ => None,
    };
    match minor {
        Some(minor) if minor <= MINOR_MAX => Ok(version),
        _ => Err(ComposeError::Version { version }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version_of(text: &str) -> std::result::Result<String, String> {
        parse("a.yml", text, None).map(|document| document.version).map_err(|error| error.to_string())
    }

    #[test]
    fn only_version_3_is_read() {
        assert_eq!(version_of("services: {}").as_deref(), Ok("3.13"));
        assert_eq!(version_of("version: '3'\nservices: {}").as_deref(), Ok("3.13"));
        assert_eq!(version_of("version: 3.8\nservices: {}").as_deref(), Ok("3.8"));
        assert_eq!(version_of("version: '2.4'"), Err("unsupported Compose file version: 2.4".into()));
        assert_eq!(version_of("version: '3.14'"), Err("unsupported Compose file version: 3.14".into()));
    }

    #[test]
    fn what_is_no_compose_file_is_refused() {
        assert_eq!(version_of("- a"), Err("(root) Top-level object must be a mapping".into()));
        assert_eq!(version_of("servces: {}"), Err("(root) Additional property servces is not allowed".into()));
        assert!(version_of("x-common: &c {a: 1}\nservices: {}").is_ok());
        assert!(version_of("services: {a: {image: x}, a: {image: y}}").is_err_and(|e| e.starts_with("failed to parse a.yml: ")));
        assert_eq!(version_of("services: [a]"), Err("services must be a mapping".into()));
    }

    #[test]
    fn merge_keys_and_variables_are_applied() {
        let lookup = |name: &str| (name == "TAG").then(|| "2".to_owned());
        let text = "x-base: &base {image: 'web:$TAG'}\nservices:\n  web:\n    <<: *base\n    tty: true\n";
        let document = parse("a.yml", text, Some(&lookup)).expect("reads");
        let web = &document.tree["services"]["web"];
        assert_eq!(web["image"], Value::from("web:2"));
        assert_eq!(web["tty"], Value::from(true));
    }
}
