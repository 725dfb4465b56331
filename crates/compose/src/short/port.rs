//! Published ports in short form: `[PUBLISHED:]TARGET[/PROTOCOL]`, where both may be ranges.

use crate::ComposeError;
use crate::node::Node;
use serde_norway::{Mapping, Value};
use std::ops::RangeInclusive;
use swarm_types::{PortConfig, PortProtocol, PublishMode};

/// Reads a port or a range of ports; what is published is so on the routing mesh.
///
/// # Errors
/// Docker's text on anything that is not one.
pub fn short(text: &str) -> Result<Vec<PortConfig>, String> {
    let (host, published, target) = match text.rsplitn(3, ':').collect::<Vec<_>>()[..] {
        [target, published, host] => (host, published, target),
        [target, published] => ("", published, target),
        _ => ("", "", text),
    };
    let (target, protocol) = target.split_once('/').unwrap_or((target, ""));
    check_host(host)?;
    if target.is_empty() {
        return Err(format!("no port specified: {text}<empty>"));
    }
    let targets = range(target).ok_or_else(|| format!("invalid containerPort: {target}"))?;
    let several_targets = targets.start() != targets.end();
    let publishes = match published {
        "" => 0..=0,
        _ => range(published).ok_or_else(|| format!("invalid hostPort: {published}"))?,
    };
    if !published.is_empty() && several_targets && targets.end() - targets.start() != publishes.end() - publishes.start() {
        return Err(format!("invalid ranges specified for container and host Ports: {target} and {published}"));
    }
    let protocol: PortProtocol = match protocol {
        "" => PortProtocol::Tcp,
        word => word.parse().map_err(|_| format!("invalid proto: {word}"))?,
    };
    if !host.is_empty() {
        return Err("hostip is not supported".into());
    }
    let port = |target_port, published_port| PortConfig {
        protocol,
        target_port,
        published_port,
        publish_mode: PublishMode::Ingress,
        ..PortConfig::default()
    };
    Ok(if several_targets {
        targets.zip(publishes.chain(std::iter::repeat(0))).map(|(target, published)| port(target, published)).collect()
    } else {
        publishes.map(|published| port(*targets.start(), published)).collect()
    })
}

fn check_host(host: &str) -> Result<(), String> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if bare.is_empty() || bare.parse::<std::net::IpAddr>().is_ok() { Ok(()) } else { Err(format!("invalid IP address: {host}")) }
}

/// A port, or several: `FIRST-LAST`.
#[must_use]
pub fn range(text: &str) -> Option<RangeInclusive<u32>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let number = |text: &str| text.parse::<u16>().ok().map(u32::from);
    let (first, last) = (number(first)?, number(last)?);
    (first <= last).then_some(first..=last)
}

/// The long form, as the file would have it.
///
/// # Errors
/// On what is neither a short nor a long form.
pub(crate) fn long(node: &Node<'_>) -> Result<Vec<Value>, ComposeError> {
    if node.value.is_mapping() {
        return Ok(vec![node.value.clone()]);
    }
    let ports = short(&node.text()?).map_err(|why| node.invalid(why))?;
    Ok(ports.iter().map(written).collect())
}

fn written(port: &PortConfig) -> Value {
    let mut map = Mapping::new();
    map.insert("mode".into(), port.publish_mode.to_string().into());
    map.insert("target".into(), port.target_port.into());
    if port.published_port != 0 {
        map.insert("published".into(), port.published_port.into());
    }
    map.insert("protocol".into(), port.protocol.to_string().into());
    map.into()
}
