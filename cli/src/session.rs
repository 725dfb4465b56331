//! The daemon that a command talks to, and the user's settings.

use crate::absent;
use crate::failure::{Failure, Outcome};
use crate::line::values;
use crate::output::warn;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::PathBuf;
use swarm_client::{
    ApiVersion, Client, ClientError, ClientOptions, ConfigFile, ConnectError, ConnectFlags, Environment, RequestBuilder, config_dir,
    resolve,
};
use swarm_types::SwarmInfo;

/// The context that stands for flags and environment.
const DEFAULT_CONTEXT: &str = "default";

/// The global flags: which daemon, and how to reach it.
#[derive(clap::Args, Debug, Clone, Default)]
pub(crate) struct Connection {
    /// Location of client config files (default "~/.docker")
    #[arg(long, value_name = "string")]
    config: Option<PathBuf>,
    /// Daemon socket to connect to
    #[arg(short = 'H', long, value_name = "list")]
    host: Vec<String>,
    /// Name of the context to use to connect to the daemon (overrides DOCKER_HOST env var and default context set with "docker context use")
    #[arg(short = 'c', long, value_name = "string")]
    context: Option<String>,
    /// Set the logging level ("debug", "info", "warn", "error", "fatal") (default "info")
    #[arg(short = 'l', long, value_name = "string")]
    log_level: Option<String>,
    /// Use TLS; implied by --tlsverify
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = values::switch)]
    tls: Option<bool>,
    /// Trust certs signed only by this CA (default "~/.docker/ca.pem")
    #[arg(long = "tlscacert", value_name = "string")]
    tls_ca_cert: Option<PathBuf>,
    /// Path to TLS certificate file (default "~/.docker/cert.pem")
    #[arg(long = "tlscert", value_name = "string")]
    tls_cert: Option<PathBuf>,
    /// Path to TLS key file (default "~/.docker/key.pem")
    #[arg(long = "tlskey", value_name = "string")]
    tls_key: Option<PathBuf>,
    /// Use TLS and verify the remote
    #[arg(long = "tlsverify", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = values::switch)]
    tls_verify: Option<bool>,
}

/// One run of the program: the daemon and the settings.
pub(crate) struct Session {
    /// The daemon.
    pub(crate) api: Api,
    /// From `config.json`.
    pub(crate) config: ConfigFile,
    /// Name of the Docker context in use.
    pub(crate) context: String,
}

impl Session {
    /// Finds the daemon. It is not connected to before the first call.
    ///
    /// # Errors
    /// If flags, variables or files name no endpoint.
    pub(crate) fn open(connection: &Connection) -> Outcome<Self> {
        let levels = ["trace", "debug", "info", "warn", "warning", "error", "fatal", "panic"];
        if let Some(level) = connection.log_level.as_deref().filter(|level| !levels.contains(&level.to_lowercase().as_str())) {
            return Err(Failure::new(format!("unable to parse logging level: {level}")));
        }
        let environment = Environment::of_process();
        let folder = config_dir(connection.config.as_deref(), &environment);
        // A broken file must not keep anybody from looking at a cluster.
        let config = ConfigFile::load(&folder).unwrap_or_else(|error| {
            warn(&format!("WARNING: {error}"));
            ConfigFile::default()
        });
        let flags = ConnectFlags {
            hosts: connection.host.clone(),
            context: connection.context.clone(),
            tls: connection.tls.unwrap_or_default(),
            tls_verify: connection.tls_verify,
            tls_ca_cert: connection.tls_ca_cert.clone(),
            tls_cert: connection.tls_cert.clone(),
            tls_key: connection.tls_key.clone(),
        };
        let endpoint = resolve(&flags, &environment, &config, &folder).map_err(|e| Failure::new(e.to_string()))?;
        let version =
            environment.get("DOCKER_API_VERSION").map(str::parse::<ApiVersion>).transpose().map_err(|e| Failure::new(e.to_string()))?;
        let headers = config.http_headers.clone().into_iter().collect();
        let client = Client::with_options(endpoint, ClientOptions { version, headers, user_agent: None });
        Ok(Self { api: Api { client, version_named: version.is_some() }, context: context(connection, &environment, &config), config })
    }
}

/// Name of the context that [`resolve`] takes.
fn context(connection: &Connection, environment: &Environment, config: &ConfigFile) -> String {
    let host = || !connection.host.is_empty() || ["SWARM_HOST", "DOCKER_HOST"].iter().any(|key| environment.get(key).is_some());
    let current = Some(config.current_context.as_str()).filter(|name| !name.is_empty());
    match &connection.context {
        Some(name) => name.clone(),
        None if host() => DEFAULT_CONTEXT.to_owned(),
        None => environment.get("DOCKER_CONTEXT").or(current).unwrap_or(DEFAULT_CONTEXT).to_owned(),
    }
}

/// Calls to the daemon.
pub(crate) struct Api {
    client: Client,
    /// Whether the user named the API version to speak.
    version_named: bool,
}

impl Api {
    /// Reads an object.
    ///
    /// # Errors
    /// What the daemon refuses, in its words.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Outcome<T> {
        decode(&self.client.get(path).send().await?.bytes().await?)
    }

    /// Reads an object as the daemon wrote it.
    ///
    /// # Errors
    /// What the daemon refuses, in its words.
    pub(crate) async fn get_text(&self, path: &str) -> Outcome<String> {
        Ok(self.client.get(path).send().await?.text().await?)
    }

    /// Reads an answer piece by piece as it comes.
    ///
    /// # Errors
    /// What the daemon refuses, in its words.
    pub(crate) async fn get_stream(&self, path: &str) -> Outcome<swarm_client::BodyStream> {
        Ok(self.client.get(path).send().await?.stream())
    }

    /// As [`Api::get_text`]; `None` if the daemon has no such object.
    ///
    /// # Errors
    /// Everything else that the daemon refuses, in its words.
    pub(crate) async fn find_text(&self, path: &str) -> Outcome<Option<String>> {
        match self.client.get(path).send().await {
            Ok(response) => Ok(Some(response.text().await?)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Sends an object and reads the answer.
    ///
    /// It is sent in the newest version that the daemon has, unless the user named one. The version an agent tells is that of
    /// its engine, while the cluster knows more: fields newer than the engine would be lost on the way.
    ///
    /// # Errors
    /// What the daemon refuses, in its words.
    pub(crate) async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Outcome<T> {
        let request = self.client.post(path).json(body);
        let request = if self.version_named { request } else { request.unversioned() };
        Ok(request.fetch().await?)
    }

    /// Sends an object, if any, and an empty answer is expected.
    ///
    /// # Errors
    /// What the daemon refuses, in its words.
    pub(crate) async fn post_empty(&self, path: &str, body: Option<&impl Serialize>) -> Outcome {
        Ok(with_body(self.client.post(path), body).finish().await?)
    }

    /// Deletes an object.
    ///
    /// # Errors
    /// What the daemon refuses, in its words.
    pub(crate) async fn delete(&self, path: &str) -> Outcome {
        Ok(self.client.delete(path).finish().await?)
    }

    /// What the daemon's host is to a swarm.
    ///
    /// # Errors
    /// What the daemon refuses, in its words.
    pub(crate) async fn swarm_info(&self) -> Outcome<SwarmInfo> {
        #[derive(serde::Deserialize)]
        struct Info {
            #[serde(rename = "Swarm", default)]
            swarm: SwarmInfo,
        }
        let info: Info = self.get("/info").await?;
        Ok(info.swarm)
    }

    /// The API version in use; the newest one if the daemon cannot be asked.
    pub(crate) async fn version(&self) -> ApiVersion {
        self.client.version().await.unwrap_or(ApiVersion::NEWEST)
    }

    /// A connection for whoever speaks HTTP by himself.
    ///
    /// # Errors
    /// If there is none.
    pub(crate) async fn dial(&self) -> Result<swarm_client::Connection, ConnectError> {
        self.client.dial().await
    }
}

fn decode<T: DeserializeOwned>(text: &[u8]) -> Outcome<T> {
    absent::read_text(text).map_err(|e| Failure::new(format!("Error reading JSON: {e}")))
}

fn with_body(request: RequestBuilder, body: Option<&impl Serialize>) -> RequestBuilder {
    match body {
        Some(body) => request.json(body),
        None => request,
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::new(error.to_string())
    }
}
