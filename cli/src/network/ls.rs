//! `network ls`.

use crate::failure::Outcome;
use crate::line::{Invocation, values};
use crate::list::{ListFlags, print_rows};
use crate::query::Filters;
use crate::session::Session;
use swarm_template::{Formats, Header, Row, natural};
use swarm_types::Network;

/// Digits of an id that tables show.
const SHORT_ID: usize = 12;

const FORMATS: Formats = Formats {
    table: "table {{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}",
    raw: Some("network_id: {{.ID}}\nname: {{.Name}}\ndriver: {{.Driver}}\nscope: {{.Scope}}\n"),
    raw_quiet: Some("network_id: {{.ID}}"),
    quiet: "{{.ID}}",
};

/// Of `network ls`.
#[derive(clap::Args, Debug)]
pub(crate) struct LsArgs {
    #[command(flatten)]
    list: ListFlags,
    /// Do not truncate the output
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = values::switch)]
    no_trunc: Option<bool>,
    #[arg(hide = true)]
    args: Vec<String>,
}

/// Lists networks.
///
/// # Errors
/// On what the daemon refuses, and if the format does not fit.
pub(super) async fn ls(args: &LsArgs, invocation: &Invocation, session: &Session) -> Outcome {
    invocation.no_args(&args.args)?;
    let flags = &args.list;
    let mut networks: Vec<Network> = session.api.get(&Filters::parse(&flags.filter).on("/networks", &[])).await?;
    networks.sort_by(|a, b| natural::compare(&a.name, &b.name));
    let full = args.no_trunc.unwrap_or_default();
    let format = flags.format(&session.config.networks_format);
    print_rows(&FORMATS, format, flags.is_quiet(), &header(), networks.iter().map(|network| row(network, full)))
}

fn header() -> Header {
    Header::new([
        ("ID", "NETWORK ID"),
        ("Name", "NAME"),
        ("Driver", "DRIVER"),
        ("Scope", "SCOPE"),
        ("IPv4", "IPV4"),
        ("IPv6", "IPV6"),
        ("Internal", "INTERNAL"),
        ("Labels", "LABELS"),
        ("CreatedAt", "CREATED AT"),
    ])
}

fn row(network: &Network, full: bool) -> Row {
    let id = if full { network.id.clone() } else { network.id.chars().take(SHORT_ID).collect() };
    let yes_or_no = |value: bool| if value { "true" } else { "false" };
    let created = network.created.to_string().replacen('T', " ", 1);
    let created = created.strip_suffix('Z').map_or_else(|| created.clone(), |time| format!("{time} +0000 UTC"));
    Row::new("network.networkContext")
        .column("ID", id.as_str())
        .column("Name", network.name.as_str())
        .column("Driver", network.driver.as_str())
        .column("Scope", network.scope.as_str())
        .column("IPv4", yes_or_no(network.enable_ipv4))
        .column("IPv6", yes_or_no(network.enable_ipv6))
        .column("Internal", yes_or_no(network.internal))
        .column("CreatedAt", created)
        .labels(&network.labels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use swarm_template::render_rows;

    #[test]
    fn the_table_is_dockers() {
        let network: Network = serde_json::from_value(serde_json::json!({
            "Name": "ingress", "Id": "abcdefghijklmnopqrstuvwxy", "Scope": "swarm", "Driver": "overlay", "Ingress": true,
            "Created": "2024-01-01T00:00:00Z", "Containers": null, "Labels": null, "Options": null,
        }))
        .expect("is a network");
        let expected = "\
NETWORK ID     NAME      DRIVER    SCOPE
abcdefghijkl   ingress   overlay   swarm
";
        assert_eq!(render_rows(FORMATS.table, &header(), [row(&network, false)]).expect("renders"), expected);
        let format = "{{.ID}} {{.IPv6}} {{.Internal}} {{.CreatedAt}}";
        let expected = "abcdefghijklmnopqrstuvwxy false false 2024-01-01 00:00:00 +0000 UTC\n";
        assert_eq!(render_rows(format, &header(), [row(&network, true)]).expect("renders"), expected);
    }
}
