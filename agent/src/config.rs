//! What the operator sets: flags, the configuration file with the same keys, and one environment variable.

use crate::backend::{Endpoint, InvalidEndpoint};
use serde::Deserialize;
use std::{
    io,
    net::{IpAddr, ToSocketAddrs as _},
    path::{Path, PathBuf},
};
use swarm_types::{GenericResource, Labels};

/// Where the state of this host lives.
const STATE_DIR: &str = "/var/lib/swarm";
/// Where the Docker-compatible API is served.
const HOST: &str = "unix:///run/swarm/swarm.sock";
/// Where dockerd answers.
const DOCKER_HOST: &str = "unix:///var/run/docker.sock";
/// Where dockerd looks for drivers.
const PLUGIN_DIR: &str = "/run/docker/plugins";
/// Name of the manager's program.
const MANAGER: &str = "swarm-manager";
/// Ports of the API as dockerd has them, without and with TLS.
const PORT_PLAIN: u16 = 2375;
const PORT_TLS: u16 = 2376;
/// When it is `1`, an image that is on the host is used without asking a registry.
const PREFER_OFFLINE: &str = "DOCKER_SERVICE_PREFER_OFFLINE_IMAGE";

/// The command line.
#[derive(Debug, clap::Parser)]
#[command(name = "swarm-agent", version, about = "Runs this host's part of a swarm")]
pub struct Flags {
    /// Configuration file (TOML) with the same keys as these flags; flags win
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
}

/// What flags and the configuration file can say.
#[derive(Debug, Clone, Default, clap::Args, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct Settings {
    /// Folder of this host's state [default: /var/lib/swarm]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Where to serve the API: unix://PATH or tcp://IP:PORT; may be repeated [default: unix:///run/swarm/swarm.sock]
    #[arg(short = 'H', long, value_name = "HOST")]
    host: Vec<String>,
    /// Serve tcp hosts over TLS
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    tls: Option<bool>,
    /// Serve tcp hosts over TLS and ask clients for a certificate
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    tlsverify: Option<bool>,
    /// Authorities that client certificates are checked against [default: ~/.docker/ca.pem]
    #[arg(long, value_name = "FILE")]
    tlscacert: Option<PathBuf>,
    /// Certificate of the API [default: ~/.docker/cert.pem]
    #[arg(long, value_name = "FILE")]
    tlscert: Option<PathBuf>,
    /// Key of the API's certificate [default: ~/.docker/key.pem]
    #[arg(long, value_name = "FILE")]
    tlskey: Option<PathBuf>,
    /// Where dockerd answers [default: unix:///var/run/docker.sock]
    #[arg(long, value_name = "HOST")]
    docker_host: Option<String>,
    /// Folder where dockerd looks for network drivers [default: /run/docker/plugins]
    #[arg(long, value_name = "DIR")]
    plugin_dir: Option<PathBuf>,
    /// Name of this host in the swarm [default: the system's]
    #[arg(long, value_name = "NAME")]
    hostname: Option<String>,
    /// Label added to those of the engine; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    label: Vec<String>,
    /// Generic resource of this host: KIND=COUNT, or KIND=NAME for each piece; may be repeated
    #[arg(long, value_name = "KIND=VALUE")]
    node_generic_resource: Vec<String>,
    /// The manager's program [default: swarm-manager beside this program, then in PATH]
    #[arg(long, value_name = "FILE")]
    manager_bin: Option<PathBuf>,
    /// IP address or interface told to other nodes when init or join names none
    #[arg(long, value_name = "ADDR")]
    default_advertise_addr: Option<String>,
    /// Least severity that is logged [default: info]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<LogLevel>,
    /// Form of log lines [default: text]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
}

/// Least severity that is logged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Only what stops something from working.
    Error,
    /// Also what an operator should look at.
    #[value(alias = "warning")]
    #[serde(alias = "warning")]
    Warn,
    /// Also what changes the host's part in a swarm.
    #[default]
    Info,
    /// Also single steps.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// Form of log lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

impl LogFormat {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("could not read the configuration file {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file is not TOML, has an unknown key or a value of the wrong type; the source names it.
    #[error("could not use the configuration file {path}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// The key or line at fault.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// A host is of no known form.
    #[error("invalid {key} {value:?}")]
    Host {
        /// `host` or `docker-host`.
        key: &'static str,
        /// What was given.
        value: String,
        /// What is wrong with it.
        #[source]
        source: InvalidEndpoint,
    },
    /// A host is given twice.
    #[error("host {0:?} is given twice")]
    HostTwice(String),
    /// A label is not `KEY=VALUE`.
    #[error("invalid label {0:?}: expected KEY=VALUE")]
    Label(String),
    /// A generic resource is neither a count nor a piece.
    #[error("invalid generic resource {0:?}: expected KIND=COUNT or KIND=NAME")]
    GenericResource(String),
    /// The host name is empty.
    #[error("hostname must not be empty")]
    EmptyHostname,
    /// The name of this host cannot be found out.
    #[error("could not read this host's name; set hostname")]
    Hostname(#[source] io::Error),
}

/// Where and how the API is served on TCP with TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificate chain, PEM.
    pub cert: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
    /// Authorities (PEM) that every client must have a certificate of; `None` asks for no certificate.
    pub client_ca: Option<PathBuf>,
}

/// The agent's configuration, complete.
#[derive(Debug, Clone)]
pub struct Config {
    /// Folder of this host's state.
    pub state_dir: PathBuf,
    /// Where the API is served; at least one.
    pub hosts: Vec<Endpoint>,
    /// TLS of the tcp hosts; `None` serves them in clear text.
    pub tls: Option<TlsFiles>,
    /// Where dockerd answers.
    pub docker_host: Endpoint,
    /// Where dockerd looks for network drivers.
    pub plugin_dir: PathBuf,
    /// Name of this host in the swarm.
    pub hostname: String,
    /// Added to the engine's labels.
    pub labels: Labels,
    /// Added to the engine's generic resources.
    pub generic_resources: Vec<GenericResource>,
    /// The manager's program; a bare name is looked up in `PATH`.
    pub manager_bin: PathBuf,
    /// IP address or interface for init and join that name none; empty finds one out.
    pub default_advertise_addr: String,
    /// Least severity that is logged, here and by the manager.
    pub log_level: LogLevel,
    /// Form of log lines, here and of the manager.
    pub log_format: LogFormat,
    /// Whether an image that is on the host is used without asking a registry.
    pub prefer_offline_images: bool,
}

/// What the configuration takes from the process's surroundings.
#[derive(Debug, Default)]
struct Surroundings {
    /// `DOCKER_SERVICE_PREFER_OFFLINE_IMAGE`.
    prefer_offline: Option<String>,
    /// Folder of Docker's certificates: `DOCKER_CERT_PATH` or `~/.docker`.
    cert_dir: PathBuf,
    /// This program's file.
    exe: Option<PathBuf>,
}

impl Surroundings {
    fn of_this_process() -> Self {
        let var = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let home = || PathBuf::from(var("HOME").unwrap_or_else(|| "/root".into())).join(".docker");
        Self {
            prefer_offline: std::env::var(PREFER_OFFLINE).ok(),
            cert_dir: var("DOCKER_CERT_PATH").map_or_else(home, PathBuf::from),
            exe: std::env::current_exe().ok(),
        }
    }
}

impl Flags {
    /// The configuration: these flags over the file they name over the defaults.
    ///
    /// # Errors
    /// [`ConfigError`] names the key or value at fault.
    pub fn config(self) -> Result<Config, ConfigError> {
        let file = match &self.config {
            Some(path) => read_file(path)?,
            None => Settings::default(),
        };
        self.settings.over(file).complete(&Surroundings::of_this_process())
    }
}

fn read_file(path: &Path) -> Result<Settings, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    toml::from_str(&text).map_err(|source| ConfigError::Parse { path: path.to_owned(), source: Box::new(source) })
}

impl Settings {
    /// These settings, and `below` where these say nothing. A list is taken whole from one of the two.
    fn over(self, below: Self) -> Self {
        let list = |above: Vec<String>, below: Vec<String>| if above.is_empty() { below } else { above };
        Self {
            state_dir: self.state_dir.or(below.state_dir),
            host: list(self.host, below.host),
            tls: self.tls.or(below.tls),
            tlsverify: self.tlsverify.or(below.tlsverify),
            tlscacert: self.tlscacert.or(below.tlscacert),
            tlscert: self.tlscert.or(below.tlscert),
            tlskey: self.tlskey.or(below.tlskey),
            docker_host: self.docker_host.or(below.docker_host),
            plugin_dir: self.plugin_dir.or(below.plugin_dir),
            hostname: self.hostname.or(below.hostname),
            label: list(self.label, below.label),
            node_generic_resource: list(self.node_generic_resource, below.node_generic_resource),
            manager_bin: self.manager_bin.or(below.manager_bin),
            default_advertise_addr: self.default_advertise_addr.or(below.default_advertise_addr),
            log_level: self.log_level.or(below.log_level),
            log_format: self.log_format.or(below.log_format),
        }
    }

    fn complete(self, around: &Surroundings) -> Result<Config, ConfigError> {
        let tls = self.tls_files(&around.cert_dir);
        let port = if tls.is_some() { PORT_TLS } else { PORT_PLAIN };
        let mut hosts = Vec::new();
        for value in if self.host.is_empty() { vec![HOST.to_owned()] } else { self.host } {
            let host = endpoint("host", &value, port)?;
            if hosts.contains(&host) {
                return Err(ConfigError::HostTwice(value));
            }
            hosts.push(host);
        }
        let docker_host = self.docker_host.as_deref().unwrap_or(DOCKER_HOST);
        let hostname = match self.hostname {
            Some(name) if name.trim().is_empty() => return Err(ConfigError::EmptyHostname),
            Some(name) => name,
            None => system_hostname()?,
        };
        Ok(Config {
            state_dir: self.state_dir.unwrap_or_else(|| STATE_DIR.into()),
            hosts,
            tls,
            docker_host: endpoint("docker-host", docker_host, PORT_PLAIN)?,
            plugin_dir: self.plugin_dir.unwrap_or_else(|| PLUGIN_DIR.into()),
            hostname,
            labels: self.label.iter().map(|label| parse_label(label)).collect::<Result<_, _>>()?,
            generic_resources: self.node_generic_resource.iter().map(|text| parse_resource(text)).collect::<Result<_, _>>()?,
            manager_bin: self.manager_bin.unwrap_or_else(|| find_manager(around.exe.as_deref())),
            default_advertise_addr: self.default_advertise_addr.unwrap_or_default(),
            log_level: self.log_level.unwrap_or_default(),
            log_format: self.log_format.unwrap_or_default(),
            prefer_offline_images: around.prefer_offline.as_deref() == Some("1"),
        })
    }

    /// As dockerd does it: `--tlsverify` switches TLS on and asks clients for certificates, `--tls` alone does not ask.
    fn tls_files(&self, cert_dir: &Path) -> Option<TlsFiles> {
        let verify = self.tlsverify.unwrap_or(false);
        let file = |given: &Option<PathBuf>, name| given.clone().unwrap_or_else(|| cert_dir.join(name));
        (verify || self.tls.unwrap_or(false)).then(|| TlsFiles {
            cert: file(&self.tlscert, "cert.pem"),
            key: file(&self.tlskey, "key.pem"),
            client_ca: verify.then(|| file(&self.tlscacert, "ca.pem")),
        })
    }
}

fn endpoint(key: &'static str, value: &str, default_port: u16) -> Result<Endpoint, ConfigError> {
    Endpoint::parse(value, default_port).map_err(|source| ConfigError::Host { key, value: value.to_owned(), source })
}

fn parse_label(label: &str) -> Result<(String, String), ConfigError> {
    match label.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.to_owned())),
        _ => Err(ConfigError::Label(label.to_owned())),
    }
}

fn parse_resource(text: &str) -> Result<GenericResource, ConfigError> {
    let refuse = || ConfigError::GenericResource(text.to_owned());
    let (kind, value) = text.split_once('=').map(|(kind, value)| (kind.trim(), value.trim())).ok_or_else(refuse)?;
    if kind.is_empty() || value.is_empty() {
        return Err(refuse());
    }
    match value.parse::<i64>() {
        Ok(value) if value < 0 => Err(refuse()),
        Ok(value) => Ok(GenericResource::Discrete { kind: kind.to_owned(), value }),
        Err(_) => Ok(GenericResource::Named { kind: kind.to_owned(), value: value.to_owned() }),
    }
}

fn find_manager(exe: Option<&Path>) -> PathBuf {
    let beside = exe.and_then(Path::parent).map(|dir| dir.join(MANAGER));
    beside.filter(|path| path.is_file()).unwrap_or_else(|| MANAGER.into())
}

fn system_hostname() -> Result<String, ConfigError> {
    let name = nix::unistd::gethostname().map_err(|errno| ConfigError::Hostname(errno.into()))?;
    name.into_string().map_err(|_| ConfigError::Hostname(io::Error::other("it is not UTF-8")))
}

impl Config {
    /// The tcp hosts that are served in clear text to more than this machine. Whoever reaches one is root here.
    #[must_use]
    pub fn exposed_hosts(&self) -> Vec<&Endpoint> {
        let is_exposed = |host: &&Endpoint| match host {
            Endpoint::Unix(_) => false,
            Endpoint::Tcp(authority) => {
                let mut addresses = authority.to_socket_addrs().into_iter().flatten().peekable();
                addresses.peek().is_none() || addresses.any(|address| !is_loopback(address.ip()))
            }
        };
        if self.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some()) {
            return Vec::new();
        }
        self.hosts.iter().filter(is_exposed).collect()
    }
}

fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    fn settings(args: &[&str]) -> Settings {
        Flags::try_parse_from([&["swarm-agent"], args].concat()).expect("flags parse").settings
    }

    fn complete(settings: Settings) -> Result<Config, ConfigError> {
        let around = Surroundings { prefer_offline: None, cert_dir: "/certs".into(), exe: None };
        settings.complete(&around)
    }

    #[test]
    fn without_anything_it_is_dockers_neighbour() {
        let config = complete(settings(&[])).expect("completes");
        assert_eq!(config.state_dir, Path::new("/var/lib/swarm"));
        assert_eq!(config.hosts, [Endpoint::Unix("/run/swarm/swarm.sock".into())]);
        assert_eq!(config.docker_host, Endpoint::Unix("/var/run/docker.sock".into()));
        assert_eq!((config.tls.is_none(), config.log_level, config.prefer_offline_images), (true, LogLevel::Info, false));
        assert_eq!(config.manager_bin, Path::new("swarm-manager"));
        assert!(!config.hostname.is_empty());
    }

    #[test]
    fn flags_win_over_the_file_and_lists_are_not_mixed() {
        let file: Settings = toml::from_str(
            "state-dir = \"/a\"\nhost = [\"unix:///f.sock\"]\nlabel = [\"a=1\", \"b=2\"]\nlog-level = \"debug\"\ntlsverify = true\n",
        )
        .expect("file parses");
        let config = complete(settings(&["--label", "c=x=y", "--state-dir=/b", "--tlsverify=false"]).over(file)).expect("completes");
        assert_eq!(config.state_dir, Path::new("/b"));
        assert_eq!(config.hosts, [Endpoint::Unix("/f.sock".into())]);
        assert_eq!(config.labels, Labels::from([("c".into(), "x=y".into())]));
        assert_eq!((config.log_level, config.tls), (LogLevel::Debug, None));
    }

    #[test]
    fn unknown_keys_and_wrong_types_are_refused_by_name() {
        let refused = |text| toml::from_str::<Settings>(text).expect_err("is refused").to_string();
        assert!(refused("statedir = \"/a\"").contains("unknown field `statedir`"));
        assert!(refused("config = \"/a\"").contains("unknown field `config`"));
        assert!(refused("host = \"unix:///a\"").contains("host"));
        assert!(refused("log-level = \"loud\"").contains("loud"));
    }

    #[test]
    fn tls_is_as_dockerd_reads_its_flags() {
        let tls = |args: &[&str]| complete(settings(args)).expect("completes").tls;
        let files = |client_ca: Option<&str>| TlsFiles {
            cert: "/certs/cert.pem".into(),
            key: "/certs/key.pem".into(),
            client_ca: client_ca.map(PathBuf::from),
        };
        assert_eq!(tls(&["--tls"]), Some(files(None)));
        assert_eq!(tls(&["--tlsverify"]), Some(files(Some("/certs/ca.pem"))));
        assert_eq!(tls(&["--tls", "--tlscacert", "/x"]), Some(files(None)));
        assert_eq!(tls(&["--tlsverify", "--tlscacert", "/x"]), Some(files(Some("/x"))));
    }

    #[test]
    fn clear_text_beyond_this_machine_is_noticed() {
        let exposed = |args: &[&str]| {
            let config = complete(settings(args)).expect("completes");
            config.exposed_hosts().iter().map(|host| host.to_string()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(exposed(&["-H", "tcp://127.0.0.1:1", "-H", "unix:///s", "-H", "tcp://[::1]:1"]), "");
        assert_eq!(exposed(&["-H", "tcp://0.0.0.0:1", "-H", "tcp://10.0.0.1"]), "tcp://0.0.0.0:1 tcp://10.0.0.1:2375");
        assert_eq!(exposed(&["--tls", "-H", "tcp://10.0.0.1"]), "tcp://10.0.0.1:2376");
        assert_eq!(exposed(&["--tlsverify", "-H", "tcp://10.0.0.1"]), "");
    }

    #[test]
    fn bad_values_are_named() {
        let refused = |args: &[&str]| complete(settings(args)).expect_err("is refused").to_string();
        assert_eq!(refused(&["-H", "http://x"]), "invalid host \"http://x\"");
        assert_eq!(refused(&["-H", "unix:///a", "-H", "unix:///a"]), "host \"unix:///a\" is given twice");
        assert_eq!(refused(&["--docker-host", "unix://"]), "invalid docker-host \"unix://\"");
        assert_eq!(refused(&["--node-generic-resource", "GPU"]), "invalid generic resource \"GPU\": expected KIND=COUNT or KIND=NAME");
        assert_eq!(refused(&["--label", "x"]), "invalid label \"x\": expected KEY=VALUE");
        assert_eq!(refused(&["--hostname", " "]), "hostname must not be empty");
    }
}
