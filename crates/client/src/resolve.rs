//! Finds the endpoint a user means.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::config::ConfigFile;
use crate::context::{ContextError, ContextStore};
use crate::endpoint::{Endpoint, EndpointError};
use crate::tls::{TlsError, TlsMaterial};

/// The environment variables a decision depends on.
#[derive(Clone, Debug, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The variables of this process; those that are not text are left out.
    pub fn of_process() -> Environment {
        Environment(std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))).collect())
    }

    /// The value of a variable that is set and not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(variables: I) -> Environment {
        Environment(variables.into_iter().map(|(k, v)| (k.into(), v.into())).collect())
    }
}

/// The global flags that say where to connect.
#[derive(Clone, Debug, Default)]
pub struct ConnectFlags {
    /// `-H`, `--host`: at most one.
    pub hosts: Vec<String>,
    /// `-c`, `--context`
    pub context: Option<String>,
    /// `--tls`
    pub tls: bool,
    /// `--tlsverify`; given at all it implies TLS, even as `--tlsverify=false`.
    pub tls_verify: Option<bool>,
    /// `--tlscacert`
    pub tls_ca_cert: Option<PathBuf>,
    /// `--tlscert`
    pub tls_cert: Option<PathBuf>,
    /// `--tlskey`
    pub tls_key: Option<PathBuf>,
}

/// Flags, environment or files that name no endpoint.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// Both `--host` and `--context`.
    #[error("conflicting options: cannot specify both --host and --context")]
    Conflict,
    /// More than one `--host`.
    #[error("unable to resolve docker endpoint: Specify only one -H")]
    ManyHosts,
    /// The context cannot be used.
    #[error("unable to resolve docker endpoint: {0}")]
    Context(#[from] ContextError),
    /// The host is no address.
    #[error("unable to resolve docker endpoint: {0}")]
    Endpoint(#[from] EndpointError),
    /// The certificates cannot be read.
    #[error("unable to resolve docker endpoint: {0}")]
    Tls(#[from] TlsError),
}

/// The name of the context that stands for flags and environment.
const DEFAULT_CONTEXT: &str = "default";

/// Finds the endpoint: `--host`, `--context`, `SWARM_HOST`, `DOCKER_HOST`, `DOCKER_CONTEXT`, the
/// current context of `config`, and at last the local socket; the first that is given counts.
///
/// `config_dir` holds contexts and default certificates.
///
/// # Errors
/// [`ResolveError`]
pub fn resolve(flags: &ConnectFlags, environment: &Environment, config: &ConfigFile, config_dir: &Path) -> Result<Endpoint, ResolveError> {
    if flags.context.is_some() && !flags.hosts.is_empty() {
        return Err(ResolveError::Conflict);
    }
    let host_variable = environment.get("SWARM_HOST").or_else(|| environment.get("DOCKER_HOST"));
    let context = match &flags.context {
        Some(context) => context.as_str(),
        None if !flags.hosts.is_empty() || host_variable.is_some() => DEFAULT_CONTEXT,
        None => match environment.get("DOCKER_CONTEXT") {
            Some(context) => context,
            None if config.current_context.is_empty() => DEFAULT_CONTEXT,
            None => &config.current_context,
        },
    };
    if context != DEFAULT_CONTEXT {
        return Ok(ContextStore::new(config_dir).endpoint(context)?);
    }
    let host = match flags.hosts.as_slice() {
        [] => host_variable.unwrap_or(""),
        [host] => host,
        _ => return Err(ResolveError::ManyHosts),
    };
    let tls = tls_material(flags, environment, config_dir)?;
    let host = host.trim();
    // With TLS asked for and no host, docker means its TLS port on this machine.
    let host = if host.is_empty() && tls.is_some() { "tcp://localhost:2376" } else { host };
    Ok(Endpoint::parse(host, tls)?)
}

/// The certificates to use, if TLS is asked for by a flag or by `DOCKER_TLS_VERIFY`/`DOCKER_TLS`.
fn tls_material(flags: &ConnectFlags, environment: &Environment, config_dir: &Path) -> Result<Option<TlsMaterial>, TlsError> {
    let verify = flags.tls_verify.unwrap_or(environment.get("DOCKER_TLS_VERIFY").is_some());
    let asked = flags.tls || flags.tls_verify.is_some() || environment.get("DOCKER_TLS").is_some();
    if !asked && !verify {
        return Ok(None);
    }
    let dir = match environment.get("DOCKER_CERT_PATH") {
        Some(dir) => Path::new(dir),
        None => config_dir,
    };
    let default = |file: &str| dir.join(file);
    let ca = flags.tls_ca_cert.clone().unwrap_or_else(|| default("ca.pem"));
    // A client certificate is only a must if the user names it.
    let optional = |flag: &Option<PathBuf>, file: &str| flag.clone().or_else(|| Some(default(file)).filter(|path| path.exists()));
    let cert = optional(&flags.tls_cert, "cert.pem");
    let key = optional(&flags.tls_key, "key.pem");
    let mut material = TlsMaterial::read(Some(&ca), cert.as_deref(), key.as_deref())?;
    material.skip_verify = !verify;
    Ok(Some(material))
}
