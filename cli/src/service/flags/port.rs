//! `--publish`: the short form `[PUBLISHED:]TARGET[/PROTOCOL]` and the long one with keys.

use super::csv;
use crate::line::values;
use swarm_types::PortConfig;

/// What one `--publish` asks for; ranges make several ports.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ports {
    /// The ports, in rising order.
    pub(crate) ports: Vec<PortConfig>,
    /// Whether the mode was named rather than taken from the default.
    pub(crate) mode_named: bool,
}

/// Reads a port or a range of ports.
///
/// # Errors
/// Docker's text on anything that is not one.
pub(crate) fn ports(text: &str) -> Result<Ports, String> {
    if has_keys(text) { long(text) } else { Ok(Ports { ports: swarm_compose::short::port::short(text)?, mode_named: false }) }
}

/// Whether the text has a `key=value`.
pub(super) fn has_keys(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.match_indices('=').any(|(at, _)| text[..at].ends_with(word) && text[at + 1..].starts_with(word))
}

fn long(text: &str) -> Result<Ports, String> {
    let mut port = PortConfig::default();
    let mut mode_named = false;
    for field in csv::fields(text)? {
        let lower = field.to_ascii_lowercase();
        let Some((key, value)) = lower.split_once('=').filter(|(key, _)| !key.is_empty()) else {
            return Err(format!("invalid field: {field}"));
        };
        let number = || values::port(value).map_err(|why| format!("invalid {key} port ({value}): value must be an integer: {why}"));
        match key {
            "protocol" => port.protocol = value.parse().map_err(|_| format!("invalid protocol value '{value}'"))?,
            "mode" => {
                mode_named = true;
                port.publish_mode =
                    value.parse().map_err(|_| format!("invalid publish mode value ({value}): must be either 'ingress' or 'host'"))?;
            }
            "target" => port.target_port = number()?,
            "published" => port.published_port = number()?,
            _ => return Err(format!("invalid field key: {key}")),
        }
    }
    if port.target_port == 0 {
        return Err("missing mandatory field 'target'".into());
    }
    Ok(Ports { ports: vec![port], mode_named })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        match ports(text) {
            Ok(found) => found
                .ports
                .iter()
                .map(|p| format!("{}:{}/{}/{}", p.published_port, p.target_port, p.protocol, p.publish_mode))
                .collect::<Vec<_>>()
                .join(" "),
            Err(error) => error,
        }
    }

    #[test]
    fn both_forms_are_read() {
        assert_eq!(shown("8080:80"), "8080:80/tcp/ingress");
        assert_eq!(shown("80"), "0:80/tcp/ingress");
        assert_eq!(shown("53:53/UDP"), "53:53/udp/ingress");
        assert_eq!(shown("8000-8002:80-82"), "8000:80/tcp/ingress 8001:81/tcp/ingress 8002:82/tcp/ingress");
        assert_eq!(shown("8000-8001:80"), "8000:80/tcp/ingress 8001:80/tcp/ingress");
        assert_eq!(shown("80-81"), "0:80/tcp/ingress 0:81/tcp/ingress");
        assert_eq!(shown("target=80"), "0:80/tcp/ingress");
        assert_eq!(shown("Published=8080,Target=80,Protocol=SCTP,Mode=host"), "8080:80/sctp/host");
        assert!(ports("target=80,mode=host").expect("reads").mode_named);
        assert!(!ports("80").expect("reads").mode_named);
    }

    #[test]
    fn wrong_ports_are_refused_in_dockers_words() {
        assert_eq!(shown("127.0.0.1:80:80"), "hostip is not supported");
        assert_eq!(shown("[::1]:80:80"), "hostip is not supported");
        assert_eq!(shown("nowhere:80:80"), "invalid IP address: nowhere");
        assert_eq!(shown("8080:"), "no port specified: 8080:<empty>");
        assert_eq!(shown("http"), "invalid containerPort: http");
        assert_eq!(shown("70000:80"), "invalid hostPort: 70000");
        assert_eq!(shown("80/icmp"), "invalid proto: icmp");
        assert_eq!(shown("1-2:80-82"), "invalid ranges specified for container and host Ports: 80-82 and 1-2");
        assert_eq!(shown("published=80"), "missing mandatory field 'target'");
        assert_eq!(shown("target=x"), "invalid target port (x): value must be an integer: invalid syntax");
        assert_eq!(shown("target=80,published=65536"), "invalid published port (65536): value must be an integer: value out of range");
        assert_eq!(shown("target=80,mode=vip"), "invalid publish mode value (vip): must be either 'ingress' or 'host'");
        assert_eq!(shown("target=80,protocol=x"), "invalid protocol value 'x'");
        assert_eq!(shown("target=80,foo=bar"), "invalid field key: foo");
    }
}
