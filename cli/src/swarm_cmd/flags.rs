//! The flags of commands about the cluster as a whole.

use crate::line::values;
use crate::service::flags::parse::duration;
use swarm_types::{Availability, ExternalCa, Nanos, SwarmSpec};

/// Settings of the cluster.
#[derive(clap::Args, Debug, Clone, Default)]
pub(crate) struct SpecFlags {
    /// Task history retention limit (default 5)
    #[arg(long, value_name = "int", value_parser = values::int)]
    pub(crate) task_history_limit: Option<i64>,
    /// Dispatcher heartbeat period (ns|us|ms|s|m|h) (default 5s)
    #[arg(long, value_name = "duration", value_parser = duration)]
    pub(crate) dispatcher_heartbeat: Option<Nanos>,
    /// Number of additional Raft snapshots to retain
    #[arg(long, value_name = "uint", value_parser = values::uint)]
    pub(crate) max_snapshots: Option<u64>,
    /// Number of log entries between Raft snapshots (default 10000)
    #[arg(long, value_name = "uint", value_parser = values::uint)]
    pub(crate) snapshot_interval: Option<u64>,
    /// Validity period for node certificates (ns|us|ms|s|m|h) (default 2160h0m0s)
    #[arg(long, value_name = "duration", value_parser = duration)]
    pub(crate) cert_expiry: Option<Nanos>,
    /// Specifications of one or more certificate signing endpoints
    #[arg(long, value_name = "external-ca", value_parser = super::external_ca::external_ca)]
    pub(crate) external_ca: Vec<ExternalCa>,
}

impl SpecFlags {
    /// Changes what was given. `ca_cert` is for external CAs that name no certificate of their own.
    pub(crate) fn merge(&self, spec: &mut SwarmSpec, ca_cert: &str) {
        let limit = &mut spec.orchestration.task_history_retention_limit;
        *limit = self.task_history_limit.or(*limit);
        let period = &mut spec.dispatcher.heartbeat_period;
        *period = self.dispatcher_heartbeat.unwrap_or(*period);
        spec.raft.keep_old_snapshots = self.max_snapshots.or(spec.raft.keep_old_snapshots);
        spec.raft.snapshot_interval = self.snapshot_interval.unwrap_or(spec.raft.snapshot_interval);
        spec.ca_config.node_cert_expiry = self.cert_expiry.unwrap_or(spec.ca_config.node_cert_expiry);
        if !self.external_ca.is_empty() {
            spec.ca_config.external_cas.clone_from(&self.external_ca);
            for ca in spec.ca_config.external_cas.iter_mut().filter(|ca| ca.ca_cert.is_empty()) {
                ca_cert.clone_into(&mut ca.ca_cert);
            }
        }
    }
}

/// Where a node listens, what it tells others, and what it takes.
#[derive(clap::Args, Debug, Clone, Default)]
pub(crate) struct NodeFlags {
    /// Listen address (format: "<ip|interface>[:port]") (default 0.0.0.0:2377)
    #[arg(long, value_name = "node-addr", value_parser = listen_addr)]
    pub(crate) listen_addr: Option<String>,
    /// Advertised address (format: "<ip|interface>[:port]")
    #[arg(long, value_name = "string")]
    pub(crate) advertise_addr: Option<String>,
    /// Address or interface to use for data path traffic (format: "<ip|interface>")
    #[arg(long, value_name = "string")]
    pub(crate) data_path_addr: Option<String>,
    /// Availability of the node ("active", "pause", "drain") (default "active")
    #[arg(long, value_name = "string")]
    pub(crate) availability: Option<String>,
}

const LISTEN_ADDR: &str = "0.0.0.0:2377";
const LISTEN_PORT: &str = "2377";

impl NodeFlags {
    /// Where to listen.
    pub(crate) fn listen_addr(&self) -> String {
        self.listen_addr.clone().unwrap_or_else(|| LISTEN_ADDR.to_owned())
    }

    /// The availability that was asked for.
    ///
    /// # Errors
    /// On other words.
    pub(crate) fn availability(&self) -> Result<Availability, String> {
        let Some(word) = self.availability.as_deref() else {
            return Ok(Availability::default());
        };
        word.parse().map_err(|_| format!("invalid availability {word:?}, only active, pause and drain are supported"))
    }
}

/// An address to listen on; what is left out is `0.0.0.0` and 2377.
///
/// # Errors
/// If it has another scheme than `tcp` or a port that is no number.
pub(crate) fn listen_addr(text: &str) -> Result<String, String> {
    let address = text.strip_prefix("tcp://").unwrap_or(text);
    if address.is_empty() {
        return Ok(LISTEN_ADDR.to_owned());
    }
    if address.contains("://") {
        return Err(format!("invalid proto, expected tcp: {text}"));
    }
    let invalid = || format!("invalid bind address format: {text}");
    let (host, port) = match address.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']').ok_or_else(invalid)?;
            (host, after.strip_prefix(':').unwrap_or_default())
        }
        None => address.rsplit_once(':').unwrap_or((address, "")),
    };
    if host.contains(':') && !address.starts_with('[') {
        return Err(invalid());
    }
    let host = if host.is_empty() { "0.0.0.0" } else { host };
    let port = if port.is_empty() { LISTEN_PORT } else { port };
    if port.parse::<u16>().is_err() {
        return Err(format!("parse {:?}: invalid port {:?} after host", format!("tcp://{address}"), format!(":{port}")));
    }
    Ok(if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") })
}

/// Networks in CIDR form, separated by commas.
///
/// # Errors
/// On anything else.
pub(crate) fn pools(text: &str) -> Result<Pools, String> {
    text.split(',')
        .map(|pool| cidr(pool.trim()).ok_or_else(|| format!("invalid string being converted to CIDR: {}", pool.trim())))
        .collect::<Result<_, _>>()
        .map(Pools)
}

/// Networks of one flag.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Pools(pub(crate) Vec<String>);

/// The network that an address in CIDR form is in.
fn cidr(text: &str) -> Option<String> {
    let (address, prefix) = text.split_once('/')?;
    let address: std::net::IpAddr = address.parse().ok()?;
    let prefix: u32 = prefix.bytes().all(|b| b.is_ascii_digit()).then(|| prefix.parse().ok())??;
    match address {
        std::net::IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(32_u32.checked_sub(prefix)?).unwrap_or(0);
            Some(format!("{}/{prefix}", std::net::Ipv4Addr::from(u32::from(ip) & mask)))
        }
        std::net::IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128_u32.checked_sub(prefix)?).unwrap_or(0);
            Some(format!("{}/{prefix}", std::net::Ipv6Addr::from(u128::from(ip) & mask)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_of_a_listen_address_is_filled_in() {
        assert_eq!(listen_addr("10.0.0.1"), Ok("10.0.0.1:2377".into()));
        assert_eq!(listen_addr("eth0:4000"), Ok("eth0:4000".into()));
        assert_eq!(listen_addr(":4000"), Ok("0.0.0.0:4000".into()));
        assert_eq!(listen_addr("tcp://[::1]:4000"), Ok("[::1]:4000".into()));
        assert_eq!(listen_addr("[::1]"), Ok("[::1]:2377".into()));
        assert_eq!(listen_addr("10.0.0.1:http"), Err("parse \"tcp://10.0.0.1:http\": invalid port \":http\" after host".into()));
        assert_eq!(listen_addr("::1"), Err("invalid bind address format: ::1".into()));
        assert_eq!(listen_addr("udp://a"), Err("invalid proto, expected tcp: udp://a".into()));
    }

    #[test]
    fn pools_are_networks() {
        assert_eq!(pools("10.1.2.3/16, fd00::1/64"), Ok(Pools(vec!["10.1.0.0/16".into(), "fd00::/64".into()])));
        assert_eq!(pools("10.0.0.0/0"), Ok(Pools(vec!["0.0.0.0/0".into()])));
        for wrong in ["10.0.0.0", "10.0.0.0/33", "x/8", "10.0.0.0/+8"] {
            assert_eq!(pools(wrong), Err(format!("invalid string being converted to CIDR: {wrong}")));
        }
    }

    #[test]
    fn only_given_settings_are_changed() {
        let mut spec = SwarmSpec::default();
        spec.raft.snapshot_interval = 7;
        SpecFlags { task_history_limit: Some(-1), cert_expiry: Some(5), ..SpecFlags::default() }.merge(&mut spec, "");
        assert_eq!(spec.orchestration.task_history_retention_limit, Some(-1));
        assert_eq!((spec.raft.snapshot_interval, spec.ca_config.node_cert_expiry), (7, 5));
    }
}
