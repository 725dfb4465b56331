//! What can be wrong with compose files.

use std::path::PathBuf;

/// Why compose files make no stack, in Docker's words where Docker has some.
#[derive(Debug, thiserror::Error)]
pub enum ComposeError {
    /// A file that is named cannot be read.
    #[error("open {}: {why}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The reason, for people.
        why: String,
    },
    /// A file is no YAML.
    #[error("failed to parse {file}: {why}")]
    Yaml {
        /// The file.
        file: String,
        /// Where and why.
        why: String,
    },
    /// A file is not of version 3.
    #[error("unsupported Compose file version: {version}")]
    Version {
        /// As written.
        version: String,
    },
    /// Two files name different versions.
    #[error("version mismatched between two composefiles : {first} and {second}")]
    VersionMismatch {
        /// Of the file before.
        first: String,
        /// Of the file after.
        second: String,
    },
    /// A `$` that begins no variable.
    #[error("invalid interpolation format for {path}: \"{text}\"; you may need to escape any $ with another $")]
    Interpolation {
        /// Path of the value.
        path: String,
        /// The value.
        text: String,
    },
    /// A variable that must have a value has none.
    #[error("required variable {name} is missing a value: {why}")]
    Required {
        /// The variable.
        name: String,
        /// The text behind `:?`.
        why: String,
    },
    /// A key that the format does not have.
    #[error("{path} Additional property {key} is not allowed")]
    UnknownKey {
        /// Path of the map; `(root)` for the file.
        path: String,
        /// The key.
        key: String,
    },
    /// A value of the wrong form.
    #[error("{path} {why}")]
    Invalid {
        /// Path of the value.
        path: String,
        /// What it must be.
        why: String,
    },
    /// Keys that mean something a cluster cannot do.
    #[error("compose file contains unsupported options:\n\n{}", keys.join("\n"))]
    Forbidden {
        /// Each key with the reason.
        keys: Vec<String>,
    },
    /// Something in a service refers to a thing that the file does not have.
    #[error("service {service}: {what}")]
    Service {
        /// The service.
        service: String,
        /// Docker's text.
        what: String,
    },
    /// `extends` ends in itself.
    #[error("service {service} extends itself through {through}")]
    Circular {
        /// Where it began.
        service: String,
        /// The last step.
        through: String,
    },
}

impl ComposeError {
    /// A value of the wrong form.
    pub(crate) fn invalid(path: &str, why: impl Into<String>) -> Self {
        Self::Invalid { path: path.to_owned(), why: why.into() }
    }

    /// A fault of one service.
    pub(crate) fn service(service: &str, what: impl Into<String>) -> Self {
        Self::Service { service: service.to_owned(), what: what.into() }
    }
}
