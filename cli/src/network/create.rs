//! `network create`.

use crate::failure::{Failure, Outcome};
use crate::line::{Invocation, values};
use crate::output::{print_line, warn};
use crate::service::flags::parse::env as parse_env;
use crate::session::Session;
use ipnet::IpNet;
use std::net::IpAddr;
use swarm_types::{ConfigSource, Ipam, IpamConfig, NetworkCreate, NetworkCreated};

/// Of `network create`.
#[derive(clap::Args, Debug, Default)]
pub(crate) struct CreateArgs {
    /// Driver to manage the Network (default "bridge")
    #[arg(short = 'd', long, value_name = "string")]
    driver: Option<String>,
    /// Set driver specific options
    #[arg(short = 'o', long = "opt", value_name = "map", value_parser = pair)]
    opt: Vec<(String, String)>,
    /// Set metadata on a network
    #[arg(long, value_name = "list", value_parser = parse_env)]
    label: Vec<String>,
    /// Restrict external access to the network
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = values::switch)]
    internal: Option<bool>,
    /// Enable or disable IPv4 address assignment
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = values::switch)]
    ipv4: Option<bool>,
    /// Enable or disable IPv6 address assignment
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = values::switch)]
    ipv6: Option<bool>,
    /// Enable manual container attachment
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = values::switch)]
    attachable: Option<bool>,
    /// Create swarm routing-mesh network
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = values::switch)]
    ingress: Option<bool>,
    /// Control the network's scope
    #[arg(long, value_name = "string")]
    scope: Option<String>,
    /// Create a configuration only network
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = values::switch)]
    config_only: Option<bool>,
    /// The network from which to copy the configuration
    #[arg(long, value_name = "string")]
    config_from: Option<String>,
    /// IP Address Management Driver (default "default")
    #[arg(long, value_name = "string")]
    ipam_driver: Option<String>,
    /// Subnet in CIDR format that represents a network segment
    #[arg(long, value_name = "strings", value_delimiter = ',')]
    subnet: Vec<String>,
    /// Allocate container ip from a sub-range
    #[arg(long, value_name = "strings", value_delimiter = ',')]
    ip_range: Vec<String>,
    /// IPv4 or IPv6 Gateway for the master subnet
    #[arg(long, value_name = "strings", value_delimiter = ',')]
    gateway: Vec<String>,
    /// Auxiliary IPv4 or IPv6 addresses used by Network driver
    #[arg(long, value_name = "map", value_parser = pair)]
    aux_address: Vec<(String, String)>,
    /// Set IPAM driver specific options
    #[arg(long, value_name = "map", value_parser = pair)]
    ipam_opt: Vec<(String, String)>,
    #[arg(hide = true)]
    args: Vec<String>,
}

/// Creates a network and prints its id.
///
/// # Errors
/// On addresses that do not fit together, and on what the daemon refuses.
pub(super) async fn create(args: &CreateArgs, invocation: &Invocation, session: &Session) -> Outcome {
    let name = invocation.one_arg(&args.args)?;
    let body = request(name, args)?;
    let created: NetworkCreated = session.api.post("/networks/create", &body).await?;
    if !created.warning.is_empty() {
        warn(&format!("WARNING: {}", created.warning));
    }
    print_line(&created.id)
}

fn request(name: &str, args: &CreateArgs) -> Outcome<NetworkCreate> {
    let config = config(args).map_err(Failure::new)?;
    Ok(NetworkCreate {
        name: name.to_owned(),
        check_duplicate: true,
        driver: args.driver.clone().unwrap_or_else(|| "bridge".to_owned()),
        scope: args.scope.clone().unwrap_or_default(),
        enable_ipv4: args.ipv4,
        enable_ipv6: args.ipv6,
        ipam: Some(Ipam {
            driver: args.ipam_driver.clone().unwrap_or_else(|| "default".to_owned()),
            options: Some(args.ipam_opt.iter().cloned().collect()),
            config,
        }),
        internal: args.internal.unwrap_or_default(),
        attachable: args.attachable.unwrap_or_default(),
        ingress: args.ingress.unwrap_or_default(),
        config_only: args.config_only.unwrap_or_default(),
        config_from: args.config_from.as_ref().map(|network| ConfigSource { network: network.clone() }),
        options: args.opt.iter().cloned().collect(),
        labels: args.label.iter().map(|label| label.split_once('=').unwrap_or((label, ""))).map(|(k, v)| (k.into(), v.into())).collect(),
    })
}

/// The subnets, each with the range, gateway and other addresses that lie in it.
fn config(args: &CreateArgs) -> Result<Vec<IpamConfig>, String> {
    if args.subnet.len() < args.ip_range.len() || args.subnet.len() < args.gateway.len() {
        return Err("every ip-range or gateway must have a corresponding subnet".into());
    }
    let mut subnets: Vec<(IpNet, IpamConfig)> = Vec::new();
    for text in &args.subnet {
        let net: IpNet = text.parse().map_err(|_| format!("invalid subnet: invalid CIDR address: {text}"))?;
        if subnets.iter().any(|(other, _)| other.contains(&net.network()) || net.contains(&other.network())) {
            return Err("multiple overlapping subnet configuration is not supported".into());
        }
        subnets.push((net, IpamConfig { subnet: text.clone(), ..IpamConfig::default() }));
    }
    for text in &args.ip_range {
        let config = matching(&mut subnets, text).ok_or_else(|| format!("no matching subnet for range {text}"))?;
        if !config.ip_range.is_empty() {
            return Err(format!("cannot configure multiple ranges ({text}, {}) on the same subnet ({})", config.ip_range, config.subnet));
        }
        config.ip_range.clone_from(text);
    }
    for text in &args.gateway {
        let config = matching(&mut subnets, text).ok_or_else(|| format!("no matching subnet for gateway {text}"))?;
        if !config.gateway.is_empty() {
            return Err(format!("cannot configure multiple gateways ({text}, {}) for the same subnet ({})", config.gateway, config.subnet));
        }
        config.gateway.clone_from(text);
    }
    for (name, text) in &args.aux_address {
        let config = matching(&mut subnets, text).ok_or_else(|| format!("no matching subnet for aux-address {text}"))?;
        config.auxiliary_addresses.insert(name.clone(), text.clone());
    }
    Ok(subnets.into_iter().map(|(_, config)| config).collect())
}

/// The subnet that an address, or the beginning of a range, lies in.
fn matching<'a>(subnets: &'a mut [(IpNet, IpamConfig)], text: &str) -> Option<&'a mut IpamConfig> {
    let address: IpAddr = text.split_once('/').map_or(text, |(address, _)| address).parse().ok()?;
    subnets.iter_mut().find(|(net, _)| net.contains(&address)).map(|(_, config)| config)
}

/// Reads `key=value`; a key alone has an empty value.
fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    Ok((key.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(items: &[&str]) -> Vec<String> {
        items.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn addresses_find_their_subnets() {
        let args = CreateArgs {
            subnet: texts(&["10.1.0.0/16", "fd00::/64"]),
            ip_range: texts(&["10.1.8.0/24"]),
            gateway: texts(&["fd00::9", "10.1.0.9"]),
            aux_address: vec![("router".into(), "10.1.0.2".into())],
            ..CreateArgs::default()
        };
        let body = request("blue", &args).expect("fits");
        let expected = serde_json::json!({
            "Name": "blue", "CheckDuplicate": true, "Driver": "bridge", "Internal": false, "Attachable": false, "Ingress": false,
            "ConfigOnly": false, "Options": {}, "Labels": {},
            "IPAM": {"Driver": "default", "Options": {}, "Config": [
                {"Subnet": "10.1.0.0/16", "IPRange": "10.1.8.0/24", "Gateway": "10.1.0.9", "AuxiliaryAddresses": {"router": "10.1.0.2"}},
                {"Subnet": "fd00::/64", "Gateway": "fd00::9"},
            ]},
        });
        assert_eq!(serde_json::to_value(body).expect("is JSON"), expected);
    }

    #[test]
    fn what_does_not_fit_together_is_refused_in_dockers_words() {
        type Case = (&'static [&'static str], &'static [&'static str], &'static [&'static str], &'static str);
        let cases: [Case; 6] = [
            (&[], &["10.0.0.0/25"], &[], "every ip-range or gateway must have a corresponding subnet"),
            (&["x"], &[], &[], "invalid subnet: invalid CIDR address: x"),
            (&["10.0.0.0/8", "10.1.0.0/16"], &[], &[], "multiple overlapping subnet configuration is not supported"),
            (&["10.0.0.0/24"], &["10.1.0.0/25"], &[], "no matching subnet for range 10.1.0.0/25"),
            (&["10.0.0.0/24"], &[], &["10.1.0.1"], "no matching subnet for gateway 10.1.0.1"),
            (
                &["10.0.0.0/24", "10.1.0.0/24"],
                &[],
                &["10.0.0.1", "10.0.0.2"],
                "cannot configure multiple gateways (10.0.0.2, 10.0.0.1) for the same subnet (10.0.0.0/24)",
            ),
        ];
        for (subnet, range, gateway, text) in cases {
            let args = CreateArgs { subnet: texts(subnet), ip_range: texts(range), gateway: texts(gateway), ..CreateArgs::default() };
            assert_eq!(config(&args), Err(text.to_owned()));
        }
    }
}
