//! Compose files: from YAML to the specs of a stack.
//!
//! Understands the v3 schema of `docker stack deploy` and of the present Compose Specification everything that means
//! something in a cluster. What means nothing there is named in a warning, what would change the meaning is refused; nothing
//! is passed over in silence. Reads no file and no variable by itself: the caller gives both.

pub mod env_file;
mod error;
mod interpolate;
mod load;
mod merge;
mod node;
mod normal;
mod parse;
pub mod short;
mod stack;

pub use error::ComposeError;
pub use interpolate::Lookup;
pub use load::{Read, Source, Surroundings, load};
pub use stack::{IMAGE_LABEL, NAMESPACE_LABEL, Stack, StackNetwork, StackService};

use serde_norway::{Mapping, Value};
use std::path::{Component, Path, PathBuf};

/// Files laid over each other, in normal form.
#[derive(Debug, Clone)]
pub struct Project {
    /// `version` of the files.
    pub(crate) version: String,
    /// The sections.
    pub(crate) tree: Mapping,
    /// The folder that relative paths start from.
    pub(crate) folder: PathBuf,
}

impl Project {
    /// A path of the files, counted from their folder.
    pub(crate) fn path(&self, text: &str) -> PathBuf {
        self.folder.join(text).components().collect()
    }

    /// The whole as YAML, keys in order.
    ///
    /// # Errors
    /// If it cannot be written, which no file that was read leads to.
    pub fn to_yaml(&self) -> Result<String, ComposeError> {
        let mut tree = self.tree.clone();
        tree.retain(|_, section| section.as_mapping().is_none_or(|map| !map.is_empty()));
        let mut whole = Mapping::new();
        whole.insert("version".into(), self.version.clone().into());
        if let Value::Mapping(sorted) = sorted(tree.into()) {
            whole.extend(sorted);
        }
        serde_norway::to_string(&whole).map_err(|error| ComposeError::Yaml { file: "(merged)".into(), why: error.to_string() })
    }
}

/// Without `.` and `..`, as far as the text alone tells.
pub(crate) fn cleaned(path: &Path) -> PathBuf {
    let mut cleaned = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(cleaned.pop()),
            part => cleaned.push(part),
        }
    }
    cleaned
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Mapping(map) => {
            let mut entries: Vec<(String, Value, Value)> =
                map.into_iter().map(|(key, value)| (node::scalar(&key).unwrap_or_default(), key, sorted(value))).collect();
            entries.sort_by(|one, other| one.0.cmp(&other.0));
            Value::Mapping(entries.into_iter().map(|(_, key, value)| (key, value)).collect())
        }
        Value::Sequence(items) => Value::Sequence(items.into_iter().map(sorted).collect()),
        value => value,
    }
}
