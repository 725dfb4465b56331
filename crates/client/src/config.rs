//! The docker client's configuration file.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::resolve::Environment;

/// What we use of `config.json`; all of it is optional, and the rest is kept in `other`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConfigFile {
    /// Headers to send with every request.
    #[serde(rename = "HttpHeaders")]
    pub http_headers: BTreeMap<String, String>,
    /// The context to use when nothing else says so.
    pub current_context: String,
    /// `node ls --format`
    pub nodes_format: String,
    /// `service ls --format`
    pub services_format: String,
    /// `service ps --format`, `node ps --format`, `stack ps --format`
    pub tasks_format: String,
    /// `secret ls --format`
    pub secret_format: String,
    /// `config ls --format`
    pub config_format: String,
    /// `service inspect --format`
    pub service_inspect_format: String,
    /// `network ls --format`
    pub networks_format: String,
    /// `volume ls --format`
    pub volumes_format: String,
    /// Everything else, such as `auths` and `credsStore`.
    #[serde(flatten)]
    pub other: BTreeMap<String, serde_json::Value>,
}

/// A configuration file that cannot be used. Docker warns and goes on without it.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read.
    #[error("Error loading config file: open {}: {}", path.display(), crate::tls::go_reason(source))]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is not the JSON it should be.
    #[error("Error parsing config file ({}): {source}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
}

impl ConfigFile {
    /// Reads `config.json` in `dir`. No file is an empty one.
    ///
    /// # Errors
    /// [`ConfigError`]
    pub fn load(dir: &Path) -> Result<ConfigFile, ConfigError> {
        let path = dir.join("config.json");
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(ConfigFile::default());
            }
            Err(source) => return Err(ConfigError::Read { path, source }),
        };
        serde_json::from_slice(&text).map_err(|source| ConfigError::Parse { path, source })
    }
}

/// The folder of `config.json` and the contexts: `flag`, `DOCKER_CONFIG`, or `~/.docker`.
pub fn config_dir(flag: Option<&Path>, environment: &Environment) -> PathBuf {
    if let Some(dir) = flag {
        return dir.into();
    }
    match environment.get("DOCKER_CONFIG") {
        Some(dir) => dir.into(),
        None => Path::new(environment.get("HOME").unwrap_or("/")).join(".docker"),
    }
}
