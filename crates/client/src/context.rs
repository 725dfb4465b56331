//! Docker contexts: named endpoints in the configuration folder.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::endpoint::{Endpoint, EndpointError};
use crate::tls::{TlsError, TlsMaterial, go_reason};

/// The folder with all contexts.
#[derive(Clone, Debug)]
pub struct ContextStore {
    root: PathBuf,
}

/// A context that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    /// There is none of that name.
    #[error("context \"{name}\": context not found: open {}: {}", path.display(), go_reason(source))]
    NotFound {
        /// The name.
        name: String,
        /// Where it would be.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Its description is not the JSON it should be.
    #[error("context \"{name}\": {}: {source}", path.display())]
    Parse {
        /// The name.
        name: String,
        /// The file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
    /// It has no endpoint for docker.
    #[error("context \"{name}\" does not have a docker endpoint")]
    NoEndpoint {
        /// The name.
        name: String,
    },
    /// Its endpoint is no address.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// Its certificates cannot be read.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Metadata {
    #[serde(default)]
    endpoints: Endpoints,
}

#[derive(Default, Deserialize)]
struct Endpoints {
    docker: Option<DockerEndpoint>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
struct DockerEndpoint {
    host: String,
    #[serde(rename = "SkipTLSVerify")]
    skip_tls_verify: bool,
}

impl ContextStore {
    /// The contexts of the configuration folder `config_dir`.
    pub fn new(config_dir: &Path) -> ContextStore {
        ContextStore { root: config_dir.join("contexts") }
    }

    /// The endpoint of the context `name`.
    ///
    /// # Errors
    /// [`ContextError`]
    pub fn endpoint(&self, name: &str) -> Result<Endpoint, ContextError> {
        let id = folder(name);
        let path = self.root.join("meta").join(&id).join("meta.json");
        let text = fs::read(&path).map_err(|source| ContextError::NotFound { name: name.into(), path: path.clone(), source })?;
        let metadata: Metadata = serde_json::from_slice(&text).map_err(|source| ContextError::Parse { name: name.into(), path, source })?;
        let docker = metadata.endpoints.docker.ok_or_else(|| ContextError::NoEndpoint { name: name.into() })?;

        let files = self.root.join("tls").join(&id).join("docker");
        let file = |file: &str| Some(files.join(file)).filter(|path| path.exists());
        let (ca, cert, key) = (file("ca.pem"), file("cert.pem"), file("key.pem"));
        let has_files = ca.is_some() || cert.is_some() || key.is_some();
        let tls = if has_files || docker.skip_tls_verify {
            let mut material = TlsMaterial::read(ca.as_deref(), cert.as_deref(), key.as_deref())?;
            material.skip_verify = docker.skip_tls_verify;
            // Without any file, skipping the check only matters where TLS is asked for.
            (has_files || docker.host.starts_with("https://")).then_some(material)
        } else {
            None
        };
        Ok(Endpoint::parse(&docker.host, tls)?)
    }
}

/// The name of a context's folder.
fn folder(name: &str) -> String {
    Sha256::digest(name.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}
