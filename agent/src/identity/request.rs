//! Checks of `init` and `join`, before anything is touched.

use super::address::{self, HostPort, Interface};
use crate::membership::{InitError, JoinError, Unsupported};
use std::net::IpAddr;
use swarm_pki::JoinToken;
use swarm_types::{Availability, InitRequest, JoinRequest};

/// UDP port of VXLAN when none is asked for.
const DATA_PATH_PORT: u32 = 4789;
/// Ports VXLAN may use.
const DATA_PATH_PORTS: std::ops::RangeInclusive<u32> = 1024..=49151;
/// Prefix length of subnets when none is asked for.
const SUBNET_SIZE: u32 = 24;
/// Longest prefix of a subnet: eight addresses are the fewest a network can work with.
const SUBNET_SIZE_MAX: u32 = 29;
/// Shortest life of node certificates: an hour, in nanoseconds.
const NODE_CERT_EXPIRY_MIN: i64 = 3_600_000_000_000;

/// A checked `init`: every address is an IP address with its port.
#[derive(Debug, Clone, PartialEq)]
pub struct InitPlan {
    /// Where the manager listens.
    pub listen: HostPort,
    /// What others are told.
    pub advertise: HostPort,
    /// The request with addresses and defaults filled in, for the manager.
    pub request: InitRequest,
}

/// Checks an `init`.
///
/// # Errors
/// [`InitError`] with Docker's texts.
pub fn plan_init(mut request: InitRequest, default_advertise: &str, interfaces: &[Interface]) -> Result<InitPlan, InitError> {
    if request.force_new_cluster {
        return Err(Unsupported("--force-new-cluster (ForceNewCluster)").into());
    }
    let listen = address::complete("ListenAddr", &request.listen_addr)?;
    check_spec(&mut request)?;
    let listen = address::listen(&listen, interfaces)?;
    let advertise = address::advertise(&request.advertise_addr, default_advertise, listen.port, interfaces)?;
    let data_path = address::data_path(&request.data_path_addr, interfaces)?;
    address::check_local(&listen, &advertise, interfaces)?;
    check_pools(&mut request)?;
    request.listen_addr = listen.to_string();
    request.advertise_addr = advertise.to_string();
    request.data_path_addr = data_path.map(|ip| ip.to_string()).unwrap_or_default();
    Ok(InitPlan { listen, advertise, request })
}

fn check_spec(request: &mut InitRequest) -> Result<(), InitError> {
    let spec = &mut request.spec;
    if spec.name.is_empty() {
        spec.name = "default".to_owned();
    } else if spec.name != "default" {
        return Err(InitError::Spec("swarm spec must be named \"default\"".to_owned()));
    }
    if request.auto_lock_managers || spec.encryption_config.auto_lock_managers {
        return Err(Unsupported("--autolock (AutoLockManagers)").into());
    }
    if !spec.ca_config.external_cas.is_empty() {
        return Err(Unsupported("--external-ca (ExternalCAs)").into());
    }
    if !spec.ca_config.signing_ca_cert.is_empty() || !spec.ca_config.signing_ca_key.is_empty() {
        return Err(Unsupported("a root certificate of your own (SigningCACert)").into());
    }
    let expiry = spec.ca_config.node_cert_expiry;
    if expiry != 0 && expiry < NODE_CERT_EXPIRY_MIN {
        return Err(InitError::Settings("minimum certificate expiry time is: 1h0m0s".to_owned()));
    }
    if spec.dispatcher.heartbeat_period < 0 {
        return Err(InitError::Settings("heartbeat time period cannot be a negative duration".to_owned()));
    }
    Ok(())
}

/// Pools, subnet size and port of the data path, filled in.
fn check_pools(request: &mut InitRequest) -> Result<(), InitError> {
    if !request.default_addr_pool.is_empty() {
        let size = if request.subnet_size == 0 { SUBNET_SIZE } else { request.subnet_size };
        if size > SUBNET_SIZE_MAX {
            return Err(InitError::Pool(format!("subnet size is out of range: {size}")));
        }
        for pool in &request.default_addr_pool {
            let prefix =
                pool_prefix(pool).ok_or_else(|| InitError::Pool(format!("invalid base pool {pool}: invalid CIDR address: {pool}")))?;
            if size < prefix {
                return Err(InitError::Pool(format!("invalid CIDR: {pool:?}. Subnet size is too small for pool: {size}")));
            }
        }
        request.subnet_size = size;
    }
    if request.data_path_port == 0 {
        request.data_path_port = DATA_PATH_PORT;
    } else if !DATA_PATH_PORTS.contains(&request.data_path_port) {
        let port = request.data_path_port;
        return Err(InitError::Pool(format!("Datapath port number is not in valid range (1024-49151) : {port}")));
    }
    Ok(())
}

/// Prefix length of an IPv4 network in CIDR form.
fn pool_prefix(pool: &str) -> Option<u32> {
    let (ip, prefix) = pool.split_once('/')?;
    let _: std::net::Ipv4Addr = ip.parse().ok()?;
    prefix.parse().ok().filter(|prefix| *prefix <= 32)
}

/// A checked `join`.
#[derive(Debug, Clone)]
pub struct JoinPlan {
    /// Where a manager would listen.
    pub listen: HostPort,
    /// What others are told; `None` until this host has seen its own address.
    pub advertise: Option<HostPort>,
    /// Where VXLAN traffic comes from.
    pub data_path: Option<IpAddr>,
    /// The manager to ask, `HOST:PORT`.
    pub remote: String,
    /// Decides the role.
    pub token: JoinToken,
    /// What the node is to take at first.
    pub availability: Availability,
}

/// Text for a token that is missing or that the cluster does not know.
const TOKEN_NEEDED: &str = "rpc error: code = InvalidArgument desc = A valid join token is necessary to join this cluster";

/// Checks a `join`.
///
/// An advertise address that is neither an interface nor an IP address is refused, where Docker quietly finds one itself.
///
/// # Errors
/// [`JoinError`] with Docker's texts.
pub fn plan_join(request: &JoinRequest, default_advertise: &str, interfaces: &[Interface]) -> Result<JoinPlan, JoinError> {
    let listen = address::complete("ListenAddr", &request.listen_addr)?;
    let mut remotes = Vec::new();
    for remote in &request.remote_addrs {
        remotes.push(address::complete("remoteAddr", remote)?);
    }
    let remote = remotes.into_iter().next().ok_or(JoinError::NoRemote)?;
    let listen = address::listen(&listen, interfaces)?;
    let advertise = if request.advertise_addr.is_empty() && default_advertise.is_empty() {
        None
    } else {
        Some(address::advertise(&request.advertise_addr, default_advertise, listen.port, interfaces)?)
    };
    let data_path = address::data_path(&request.data_path_addr, interfaces)?;
    if request.join_token.is_empty() {
        return Err(JoinError::Token(TOKEN_NEEDED.to_owned()));
    }
    let token = request.join_token.trim().parse().map_err(|e: swarm_pki::InvalidJoinToken| JoinError::Token(e.to_string()))?;
    Ok(JoinPlan { listen, advertise, data_path, remote, token, availability: request.availability })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "SWMTKN-1-3pu6hszjas19xyp7ghgosyx9k8atbfcr8p2is99znpy26u2lkl-1awxwuwd3z9j1z3puu7rcgdbx";

    fn host() -> Vec<Interface> {
        vec![Interface {
            name: "eth0".into(),
            is_up: true,
            is_loopback: false,
            kind: None,
            addresses: vec!["10.0.0.5".parse().expect("an address")],
        }]
    }

    fn init() -> InitRequest {
        InitRequest { listen_addr: "0.0.0.0:2377".into(), ..Default::default() }
    }

    fn join() -> JoinRequest {
        JoinRequest {
            listen_addr: "0.0.0.0:2377".into(),
            remote_addrs: vec!["10.0.0.1".into()],
            join_token: TOKEN.into(),
            ..Default::default()
        }
    }

    fn refused(change: impl FnOnce(&mut InitRequest)) -> String {
        let mut request = init();
        change(&mut request);
        plan_init(request, "", &host()).expect_err("is refused").to_string()
    }

    #[test]
    fn an_init_is_filled_in() {
        let plan = plan_init(init(), "", &host()).expect("is fine");
        assert_eq!(plan.request.advertise_addr, "10.0.0.5:2377");
        assert_eq!((plan.request.data_path_port, plan.request.spec.name.as_str()), (4789, "default"));
        let pools = InitRequest { default_addr_pool: vec!["10.20.0.0/16".into()], ..init() };
        assert_eq!(plan_init(pools, "", &host()).expect("is fine").request.subnet_size, 24);
    }

    #[test]
    fn a_bad_init_gets_dockers_words() {
        assert_eq!(refused(|r| r.listen_addr.clear()), "invalid ListenAddr \"\": invalid empty address");
        assert_eq!(refused(|r| r.spec.name = "x".into()), "swarm spec must be named \"default\"");
        let pool = |size, pool: &str| {
            refused(|r| {
                r.subnet_size = size;
                r.default_addr_pool = vec![pool.into()];
            })
        };
        assert_eq!(pool(30, "10.0.0.0/8"), "subnet size is out of range: 30");
        assert_eq!(pool(20, "10.0.0.0/24"), "invalid CIDR: \"10.0.0.0/24\". Subnet size is too small for pool: 20");
        assert_eq!(pool(20, "x"), "invalid base pool x: invalid CIDR address: x");
        assert_eq!(refused(|r| r.data_path_port = 80), "Datapath port number is not in valid range (1024-49151) : 80");
        assert_eq!(
            refused(|r| r.spec.ca_config.node_cert_expiry = 1000),
            "error updating cluster settings: rpc error: code = InvalidArgument desc = minimum certificate expiry time is: 1h0m0s"
        );
    }

    #[test]
    fn what_is_not_there_yet_is_named() {
        assert_eq!(refused(|r| r.auto_lock_managers = true), "--autolock (AutoLockManagers) is not supported yet");
        assert_eq!(refused(|r| r.force_new_cluster = true), "--force-new-cluster (ForceNewCluster) is not supported yet");
    }

    #[test]
    fn a_join_needs_a_manager_and_a_token() {
        let refused = |change: fn(&mut JoinRequest)| {
            let mut request = join();
            change(&mut request);
            plan_join(&request, "", &host()).expect_err("is refused").to_string()
        };
        assert_eq!(refused(|r| r.remote_addrs.clear()), "at least 1 RemoteAddr is required to join");
        assert_eq!(refused(|r| r.remote_addrs[0].clear()), "invalid remoteAddr \"\": invalid empty address");
        assert_eq!(refused(|r| r.join_token = "x".into()), "invalid join token");
        assert_eq!(refused(|r| r.join_token.clear()), TOKEN_NEEDED);
        let plan = plan_join(&join(), "", &host()).expect("is fine");
        assert_eq!((plan.remote.as_str(), plan.advertise), ("10.0.0.1:2377", None));
    }
}
