//! The resolver of a container on cluster networks. Pure.
//!
//! The engine has a resolver of its own in each container (127.0.0.11). It answers some names by itself and asks the servers
//! it was given about the others; ours is the only one it is given. Where it would answer wrongly by itself, the container
//! gets a `resolv.conf` that leads past it:
//! - with any `ndots` among the options the engine passes on no name without a dot, and says that `web` does not exist;
//! - an explicit host name is answered with the container's own address, even if a service has the same name.

use std::{fmt::Write as _, net::IpAddr};
use swarm_types::ContainerSpec;

/// What a container's resolver is told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resolver {
    /// The servers that the engine's resolver asks.
    pub servers: Vec<String>,
    /// Domains to look in; empty is those of the host.
    pub search: Vec<String>,
    /// Options; empty is those of the host.
    pub options: Vec<String>,
    /// Content of the container's `resolv.conf`, where the engine's would not do.
    pub file: Option<String>,
}

/// How a container on cluster networks resolves names. `gateway` is that of one of its networks, where names are answered
/// for all of them, and `host_file` the host's `resolv.conf`, which says what the template leaves out.
#[must_use]
pub fn resolver(spec: &ContainerSpec, gateway: IpAddr, host_file: &str) -> Resolver {
    let dns = spec.dns_config.clone().unwrap_or_default();
    let host = Host::read(host_file);
    let options = if dns.options.is_empty() { host.options } else { dns.options.clone() };
    let servers = vec![gateway.to_string()];
    if spec.hostname.is_empty() && !options.iter().any(|option| is_ndots(option)) {
        return Resolver { servers, search: dns.search, options: dns.options, file: None };
    }
    let search = match dns.search.as_slice() {
        [] => host.search,
        // So users say that there is none.
        [none] if none == "." => Vec::new(),
        given => given.to_vec(),
    };
    let file = Some(file(gateway, &search, &options));
    Resolver { servers, search: dns.search, options: Vec::new(), file }
}

fn is_ndots(option: &str) -> bool {
    option == "ndots" || option.starts_with("ndots:")
}

fn file(gateway: IpAddr, search: &[String], options: &[String]) -> String {
    let mut text = format!("nameserver {gateway}\n");
    // Writing to a string cannot fail.
    if !search.is_empty() {
        let _ = writeln!(text, "search {}", search.join(" "));
    }
    let mut options = options.to_vec();
    // As the engine has it: names are looked for as they are first, with or without dots.
    if !options.iter().any(|option| is_ndots(option)) {
        options.push("ndots:0".to_owned());
    }
    let _ = writeln!(text, "options {}", options.join(" "));
    text
}

/// What the host's `resolv.conf` says besides its servers; of several lines the last counts.
#[derive(Debug, Default)]
struct Host {
    search: Vec<String>,
    options: Vec<String>,
}

impl Host {
    fn read(text: &str) -> Self {
        let mut host = Self::default();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let rest = |words: std::str::SplitWhitespace<'_>| words.map(str::to_owned).collect();
            match words.next() {
                Some("search" | "domain") => host.search = rest(words),
                Some("options") => host.options = rest(words),
                _ => {}
            }
        }
        host
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use swarm_types::DnsConfig;

    const GATEWAY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 1, 1));

    fn spec(hostname: &str, search: &[&str], options: &[&str]) -> ContainerSpec {
        let words = |words: &[&str]| words.iter().map(ToString::to_string).collect();
        let dns_config = Some(DnsConfig { nameservers: vec!["192.0.2.1".into()], search: words(search), options: words(options) });
        ContainerSpec { hostname: hostname.into(), dns_config, ..ContainerSpec::default() }
    }

    #[test]
    fn the_engine_asks_ours_and_keeps_the_rest() {
        let plain = resolver(&ContainerSpec::default(), GATEWAY, "nameserver 192.0.2.2\nsearch host.example\n");
        assert_eq!(plain, Resolver { servers: vec!["10.0.1.1".into()], ..Resolver::default() });
        let given = resolver(&spec("", &["a.example"], &["timeout:1"]), GATEWAY, "");
        assert_eq!((given.servers, given.search), (vec!["10.0.1.1".into()], vec!["a.example".into()]));
        assert_eq!((given.options, given.file), (vec!["timeout:1".into()], None));
    }

    #[test]
    fn names_without_dots_are_found_with_ndots() {
        let given = resolver(&spec("", &["a.example", "b.example"], &["ndots:2", "timeout:1"]), GATEWAY, "search host.example\n");
        let expected = "nameserver 10.0.1.1\nsearch a.example b.example\noptions ndots:2 timeout:1\n";
        assert_eq!(given.file.as_deref(), Some(expected));
        assert!(given.options.is_empty(), "the engine must not hear of ndots");
        let host = resolver(&spec("", &[], &[]), GATEWAY, "search host.example\noptions ndots:5\n");
        assert_eq!(host.file.as_deref(), Some("nameserver 10.0.1.1\nsearch host.example\noptions ndots:5\n"));
    }

    #[test]
    fn a_host_name_hides_no_service() {
        let given = resolver(&spec("web", &["."], &[]), GATEWAY, "search host.example\noptions rotate\n");
        assert_eq!(given.file.as_deref(), Some("nameserver 10.0.1.1\noptions rotate ndots:0\n"));
    }
}
