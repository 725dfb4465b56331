//! Which addresses a node listens on and tells to others. Pure: the interfaces are an argument.

use crate::membership::AddressError;
use std::net::IpAddr;

/// Port of the cluster when none is given.
pub const CLUSTER_PORT: u16 = 2377;

/// A network interface of this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Whether it is switched on.
    pub is_up: bool,
    /// Whether it is the loopback.
    pub is_loopback: bool,
    /// Kind of a made-up interface (`veth`, `bridge` …); `None` for hardware and the loopback.
    pub kind: Option<String>,
    /// Its addresses, in the system's order.
    pub addresses: Vec<IpAddr>,
}

/// An address with its port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    /// The address.
    pub host: IpAddr,
    /// The port.
    pub port: u16,
}

impl std::fmt::Display for HostPort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::net::SocketAddr::new(self.host, self.port).fmt(f)
    }
}

/// What is left of an address of a request after Docker's clean-up: missing parts are those of `0.0.0.0:2377`.
///
/// # Errors
/// [`AddressError::Empty`] naming `field`.
pub fn complete(field: &'static str, addr: &str) -> Result<String, AddressError> {
    if addr.is_empty() {
        return Err(AddressError::Empty { field });
    }
    let rest = addr.strip_prefix("tcp://").unwrap_or(addr);
    let Some((host, port)) = split(rest) else {
        return Ok(rest.to_owned());
    };
    let host = if host.is_empty() { "0.0.0.0" } else { host };
    let port = if port.is_empty() { CLUSTER_PORT.to_string() } else { port.to_owned() };
    Ok(if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") })
}

/// Where to listen: an interface's address, or an IP address.
///
/// # Errors
/// [`AddressError`] when `addr` (completed) is neither.
pub fn listen(addr: &str, interfaces: &[Interface]) -> Result<HostPort, AddressError> {
    let (host, port) = split(addr).ok_or_else(|| AddressError::ListenForm(addr.to_owned()))?;
    let port = port.parse().map_err(|_| AddressError::ListenForm(addr.to_owned()))?;
    let host = match of_interface(host, interfaces)? {
        Some(ip) => ip,
        None => host.parse().map_err(|_| AddressError::Listen)?,
    };
    Ok(HostPort { host, port })
}

/// What to tell others: the given address, else the configured one, else the only one this host has. A missing port is
/// that of listening.
///
/// # Errors
/// [`AddressError`] when there is none, or no single one.
pub fn advertise(addr: &str, configured: &str, listen_port: u16, interfaces: &[Interface]) -> Result<HostPort, AddressError> {
    if !addr.is_empty() {
        let (host, port) = match split(addr) {
            Some((host, port)) if !port.is_empty() => (host, port.parse().map_err(|_| AddressError::Advertise)?),
            Some((host, _)) => (host, listen_port),
            None => (addr, listen_port),
        };
        let host = usable(host, interfaces)?.ok_or(AddressError::Advertise)?;
        return Ok(HostPort { host, port });
    }
    let host = if configured.is_empty() {
        of_system(interfaces)?
    } else {
        usable(configured, interfaces)?.ok_or(AddressError::DefaultAdvertise)?
    };
    Ok(HostPort { host, port: listen_port })
}

/// Where VXLAN traffic comes from; `None` leaves it to the advertised address.
///
/// # Errors
/// [`AddressError`] when `addr` is neither an interface nor an IP address.
pub fn data_path(addr: &str, interfaces: &[Interface]) -> Result<Option<IpAddr>, AddressError> {
    if addr.is_empty() {
        return Ok(None);
    }
    usable(addr, interfaces)?.ok_or(AddressError::DataPath).map(Some)
}

/// Whether a first manager can tell which of this host's addresses it is: the one it listens on, the advertised one if it
/// is of this host, or the only one there is.
///
/// # Errors
/// [`AddressError::MustListen`].
pub fn check_local(listen: &HostPort, advertise: &HostPort, interfaces: &[Interface]) -> Result<(), AddressError> {
    if !listen.host.is_unspecified() || is_local(advertise.host, interfaces) {
        return Ok(());
    }
    of_system(interfaces).map(|_| ()).map_err(|_| AddressError::MustListen)
}

/// Whether one of the interfaces has this address.
#[must_use]
pub fn is_local(ip: IpAddr, interfaces: &[Interface]) -> bool {
    interfaces.iter().flat_map(|i| &i.addresses).any(|own| own.to_canonical() == ip.to_canonical())
}

/// `HOST:PORT` or `[IPV6]:PORT` without the brackets, also with an empty port; a lone host has none. `None` when there are
/// several colons and no brackets.
fn split(addr: &str) -> Option<(&str, &str)> {
    if let Some(rest) = addr.strip_prefix('[') {
        let (host, port) = rest.split_once(']')?;
        return match port.strip_prefix(':') {
            Some(port) => Some((host, port)),
            None if port.is_empty() => Some((host, "")),
            None => None,
        };
    }
    match addr.split_once(':') {
        Some((_, port)) if port.contains(':') => None,
        Some(both) => Some(both),
        None => Some((addr, "")),
    }
}

/// An address others could use: of the interface with this name, else the text itself.
fn usable(host: &str, interfaces: &[Interface]) -> Result<Option<IpAddr>, AddressError> {
    if let Some(ip) = of_interface(host, interfaces)? {
        return Ok(Some(ip));
    }
    Ok(host.parse().ok().filter(|ip: &IpAddr| !ip.is_unspecified()))
}

/// The address of the interface with this name: its only IPv4 address, else its only IPv6 address.
fn of_interface(name: &str, interfaces: &[Interface]) -> Result<Option<IpAddr>, AddressError> {
    let Some(interface) = interfaces.iter().find(|i| i.name == name) else {
        return Ok(None);
    };
    let only = |family, is_wanted: fn(&IpAddr) -> bool| {
        let mut wanted = interface.addresses.iter().filter(|ip| is_wanted(ip));
        match (wanted.next(), wanted.next()) {
            (Some(first), Some(second)) => Err(AddressError::InterfaceAmbiguous {
                name: name.to_owned(),
                family,
                first: first.to_string(),
                second: second.to_string(),
            }),
            (first, _) => Ok(first.copied()),
        }
    };
    let v4 = only("IPv4", IpAddr::is_ipv4)?;
    let v6 = only("IPv6", IpAddr::is_ipv6)?;
    v4.or(v6).map(Some).ok_or_else(|| AddressError::InterfaceEmpty(name.to_owned()))
}

/// The single address others can reach this host by. Hardware counts first; a host without any (a container, a network
/// namespace) has its made-up interfaces looked at, those of Docker's own networks left out.
fn of_system(interfaces: &[Interface]) -> Result<IpAddr, AddressError> {
    let up = || interfaces.iter().filter(|i| i.is_up);
    let has_hardware = up().any(|i| i.kind.is_none() && i.addresses.iter().any(|ip| is_global_unicast(*ip)));
    if has_hardware {
        return single(up().filter(|i| i.kind.is_none()));
    }
    single(up().filter(|i| !i.is_loopback && !is_dockers(&i.name)))
}

/// `docker0`, `docker_gwbridge`, and `br-` with the start of a network's id.
fn is_dockers(name: &str) -> bool {
    let is_network = |id: &str| id.len() == 12 && id.bytes().all(|b| b.is_ascii_hexdigit());
    name == "docker0" || name == "docker_gwbridge" || name.strip_prefix("br-").is_some_and(is_network)
}

fn single<'a>(interfaces: impl Iterator<Item = &'a Interface>) -> Result<IpAddr, AddressError> {
    let mut found: Option<(&str, IpAddr)> = None;
    for interface in interfaces {
        let Some(ip) = favourite(interface)? else {
            continue;
        };
        if let Some((name, other)) = found {
            let places = format!("different interfaces ({other} on {name} and {ip} on {})", interface.name);
            return Err(AddressError::Ambiguous(places));
        }
        found = Some((&interface.name, ip));
    }
    found.map(|(_, ip)| ip).ok_or(AddressError::NotFound)
}

/// The only IPv4 address others can reach, else the only IPv6 address.
fn favourite(interface: &Interface) -> Result<Option<IpAddr>, AddressError> {
    let only = |is_wanted: fn(&IpAddr) -> bool| {
        let mut wanted = interface.addresses.iter().filter(|ip| is_global_unicast(**ip) && is_wanted(ip));
        match (wanted.next(), wanted.next()) {
            (Some(first), Some(second)) => Err(AddressError::Ambiguous(format!("interface {} ({first} and {second})", interface.name))),
            (first, _) => Ok(first.copied()),
        }
    };
    let v4 = only(IpAddr::is_ipv4)?;
    let v6 = only(IpAddr::is_ipv6)?;
    Ok(v4.or(v6))
}

/// Go's `IsGlobalUnicast`: not unspecified, loopback, link-local, multicast or broadcast; private addresses count.
fn is_global_unicast(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => !(ip.is_unspecified() || ip.is_loopback() || ip.is_link_local() || ip.is_multicast() || ip.is_broadcast()),
        IpAddr::V6(ip) => !(ip.is_unspecified() || ip.is_loopback() || ip.is_unicast_link_local() || ip.is_multicast()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(name: &str, kind: Option<&str>, addresses: &[&str]) -> Interface {
        Interface {
            name: name.into(),
            is_up: true,
            is_loopback: name == "lo",
            kind: kind.map(Into::into),
            addresses: addresses.iter().map(|ip| ip.parse().expect("an address")).collect(),
        }
    }

    fn lo() -> Interface {
        interface("lo", None, &["127.0.0.1", "::1"])
    }

    fn plain_host() -> Vec<Interface> {
        vec![
            lo(),
            interface("eth0", None, &["10.0.0.5", "fe80::1"]),
            interface("docker0", Some("bridge"), &["172.17.0.1"]),
            interface("veth12", Some("veth"), &["fe80::2"]),
        ]
    }

    fn text<T: std::fmt::Display>(result: Result<T, AddressError>) -> String {
        result.map_or_else(|e| format!("! {e}"), |v| v.to_string())
    }

    fn advertised(addr: &str, configured: &str, interfaces: &[Interface]) -> String {
        text(advertise(addr, configured, 2377, interfaces))
    }

    #[test]
    fn addresses_of_requests_are_completed() {
        let complete = |addr| text(super::complete("ListenAddr", addr));
        assert_eq!(complete(""), "! invalid ListenAddr \"\": invalid empty address");
        assert_eq!(complete("eth0"), "eth0:2377");
        assert_eq!(complete(":99"), "0.0.0.0:99");
        assert_eq!(complete("tcp://1.2.3.4"), "1.2.3.4:2377");
        assert_eq!(complete("[::1]"), "[::1]:2377");
        assert_eq!(complete("[::1]:5"), "[::1]:5");
    }

    #[test]
    fn listening_takes_interfaces_first_then_addresses() {
        let listen = |addr| text(super::listen(addr, &plain_host()));
        assert_eq!(listen("eth0:99"), "10.0.0.5:99");
        assert_eq!(listen("0.0.0.0:2377"), "0.0.0.0:2377");
        assert_eq!(listen("[::]:2377"), "[::]:2377");
        for bad in ["eth9:99", "nonsense:2377"] {
            assert_eq!(listen(bad), "! listen address must be an IP address or network interface (with optional port number)", "{bad}");
        }
        assert_eq!(listen("1.2.3.4:99999"), "! could not parse listen address 1.2.3.4:99999");
    }

    #[test]
    fn the_only_address_of_hardware_is_advertised() {
        assert_eq!(advertised("", "", &plain_host()), "10.0.0.5:2377");
        let mut two = plain_host();
        two.push(interface("eth1", None, &["10.1.0.5"]));
        assert_eq!(
            advertised("", "", &two),
            "! could not choose an IP address to advertise since this system has multiple addresses on different interfaces \
             (10.0.0.5 on eth0 and 10.1.0.5 on eth1)"
        );
        two[2].is_up = false;
        two[1].is_up = false;
        assert_eq!(advertised("", "", &two), "10.1.0.5:2377");
        let both = [lo(), interface("eth0", None, &["10.0.0.5", "10.0.0.6"])];
        assert_eq!(
            advertised("", "", &both),
            "! could not choose an IP address to advertise since this system has multiple addresses on interface eth0 \
             (10.0.0.5 and 10.0.0.6)"
        );
        let v6 = [lo(), interface("eth0", None, &["2001:db8::1", "fe80::1"])];
        assert_eq!(advertised("", "", &v6), "[2001:db8::1]:2377");
    }

    #[test]
    fn a_host_without_hardware_looks_at_made_up_interfaces() {
        let namespace = [lo(), interface("eth0", Some("veth"), &["10.9.0.2"]), interface("docker0", Some("bridge"), &["172.17.0.1"])];
        assert_eq!(advertised("", "", &namespace), "10.9.0.2:2377");
        assert_eq!(advertised("", "", &[lo()]), "! could not find the system's IP address");
    }

    #[test]
    fn a_given_address_is_an_interface_or_an_ip() {
        let host = [lo(), interface("eth0", None, &["10.0.0.5"]), interface("eth1", None, &["10.1.0.5", "10.1.0.6"])];
        assert_eq!(advertised("eth0", "", &host), "10.0.0.5:2377");
        assert_eq!(advertised("eth0:99", "", &host), "10.0.0.5:99");
        assert_eq!(advertised("192.0.2.1:99", "", &host), "192.0.2.1:99");
        assert_eq!(advertised("2001:db8::1", "", &host), "[2001:db8::1]:2377");
        assert_eq!(advertised("lo", "", &host), "127.0.0.1:2377");
        assert_eq!(advertised("eth1", "", &host), "! interface eth1 has more than one IPv4 address (10.1.0.5 and 10.1.0.6)");
        for bad in ["eth9", "0.0.0.0", "0.0.0.0:99", "10.0.0.5:x", "[::]"] {
            assert_eq!(
                advertised(bad, "", &host),
                "! advertise address must be a non-zero IP address or network interface (with optional port number)",
                "{bad}"
            );
        }
    }

    #[test]
    fn the_configured_address_stands_in() {
        let host = plain_host();
        assert_eq!(advertised("", "192.0.2.7", &host), "192.0.2.7:2377");
        assert_eq!(advertised("10.0.0.5", "192.0.2.7", &host), "10.0.0.5:2377");
        assert_eq!(
            advertised("", "nonsense", &host),
            "! default advertise address must be a non-zero IP address or network interface (without a port number)"
        );
    }

    #[test]
    fn a_foreign_advertise_address_needs_a_local_one() {
        let host_port = |host: &str| HostPort { host: host.parse().expect("an address"), port: 2377 };
        let check =
            |listen: &str, advertise: &str, interfaces: &[Interface]| check_local(&host_port(listen), &host_port(advertise), interfaces);
        let two = [lo(), interface("eth0", None, &["10.0.0.5"]), interface("eth1", None, &["10.1.0.5"])];
        assert_eq!(check("0.0.0.0", "10.1.0.5", &two), Ok(()));
        assert_eq!(check("0.0.0.0", "192.0.2.1", &two), Err(AddressError::MustListen));
        assert_eq!(check("10.0.0.5", "192.0.2.1", &two), Ok(()));
        assert_eq!(check("0.0.0.0", "192.0.2.1", &plain_host()), Ok(()));
    }

    #[test]
    fn the_data_path_is_free_of_ports() {
        let path = |addr| data_path(addr, &[interface("eth0", None, &["10.0.0.5"])]);
        assert_eq!(path(""), Ok(None));
        assert_eq!(path("eth0"), Ok(Some("10.0.0.5".parse().expect("an address"))));
        for bad in ["zz", "0.0.0.0", "10.0.0.5:99"] {
            assert_eq!(path(bad), Err(AddressError::DataPath), "{bad}");
        }
    }
}
