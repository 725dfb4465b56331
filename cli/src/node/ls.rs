//! `node ls`.

use crate::failure::Outcome;
use crate::list::{ListFlags, capitalized, print_rows};
use crate::query::Filters;
use crate::session::Session;
use swarm_template::{Formats, Header, Row, natural};
use swarm_types::{Node, SwarmInfo, TlsInfo};

const FORMATS: Formats = Formats {
    table: "table {{.ID}} {{if .Self}}*{{else}} {{ end }}\t{{.Hostname}}\t{{.Status}}\t{{.Availability}}\t{{.ManagerStatus}}\t{{.EngineVersion}}",
    raw: Some(
        "node_id: {{.ID}}\\nhostname: {{.Hostname}}\\nstatus: {{.Status}}\\navailability: {{.Availability}}\\nmanager_status: {{.ManagerStatus}}\\n",
    ),
    raw_quiet: Some("node_id: {{.ID}}"),
    quiet: "{{.ID}}",
};

/// Lists nodes.
///
/// # Errors
/// On what the daemon refuses, and if the format does not fit.
pub(super) async fn ls(flags: &ListFlags, session: &Session) -> Outcome {
    let mut nodes: Vec<Node> = session.api.get(&Filters::parse(&flags.filter).on("/nodes", &[])).await?;
    // Only needed to mark this node and to compare certificates.
    let info = if nodes.is_empty() || flags.is_quiet() { SwarmInfo::default() } else { session.api.swarm_info().await? };
    nodes.sort_by(|a, b| natural::compare(&a.description.hostname, &b.description.hostname));
    let format = flags.format(&session.config.nodes_format);
    print_rows(&FORMATS, format, flags.is_quiet(), &header(), nodes.iter().map(|node| row(node, &info)))
}

fn header() -> Header {
    Header::new([
        ("ID", "ID"),
        ("Self", ""),
        ("Hostname", "HOSTNAME"),
        ("Status", "STATUS"),
        ("Availability", "AVAILABILITY"),
        ("ManagerStatus", "MANAGER STATUS"),
        ("EngineVersion", "ENGINE VERSION"),
        ("TLSStatus", "TLS STATUS"),
    ])
}

fn row(node: &Node, info: &SwarmInfo) -> Row {
    let manager = match &node.manager_status {
        Some(status) if status.leader => "leader",
        Some(status) => status.reachability.as_str(),
        None => "",
    };
    Row::new("node.nodeContext")
        .column("ID", node.id.as_str())
        .column("Self", node.id.as_str() == info.node_id)
        .column("Hostname", node.description.hostname.as_str())
        .column("Status", capitalized(node.status.state.as_str()))
        .column("Availability", capitalized(node.spec.availability.as_str()))
        .column("ManagerStatus", capitalized(manager))
        .column("TLSStatus", tls_status(node, info))
        .column("EngineVersion", node.description.engine.engine_version.as_str())
}

fn tls_status(node: &Node, info: &SwarmInfo) -> &'static str {
    let nothing = TlsInfo::default();
    match info.cluster.as_ref().map(|cluster| &cluster.tls_info) {
        Some(ca) if *ca == nothing || node.description.tls_info == nothing => "Unknown",
        Some(ca) if *ca == node.description.tls_info => "Ready",
        Some(_) => "Needs Rotation",
        None => "Unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use swarm_template::render_rows;

    fn node(letter: &str, hostname: &str, state: &str, manager: serde_json::Value) -> Node {
        serde_json::from_value(json!({
            "ID": letter.repeat(25), "Version": {"Index": 1},
            "CreatedAt": "2024-01-01T00:00:00Z", "UpdatedAt": "2024-01-01T00:00:00Z",
            "Spec": {"Labels": {}, "Role": "worker", "Availability": "active"},
            "Description": {"Hostname": hostname, "Engine": {"EngineVersion": "28.2.2"}},
            "Status": {"State": state, "Addr": "10.0.0.1"}, "ManagerStatus": manager,
        }))
        .expect("is a node")
    }

    fn shown(format: &str) -> String {
        let nodes = [
            node("a", "host-1", "ready", json!({"Leader": true, "Reachability": "reachable", "Addr": "10.0.0.1:2377"})),
            node("b", "host-2", "ready", json!({"Reachability": "reachable", "Addr": "10.0.0.2:2377"})),
            node("c", "host-10", "down", json!(null)),
        ];
        let info = SwarmInfo { node_id: "a".repeat(25), ..SwarmInfo::default() };
        render_rows(FORMATS.resolve(format, false), &header(), nodes.iter().map(|node| row(node, &info))).expect("renders")
    }

    #[test]
    fn the_table_is_dockers() {
        let expected = "\
ID                            HOSTNAME   STATUS    AVAILABILITY   MANAGER STATUS   ENGINE VERSION
aaaaaaaaaaaaaaaaaaaaaaaaa *   host-1     Ready     Active         Leader           28.2.2
bbbbbbbbbbbbbbbbbbbbbbbbb     host-2     Ready     Active         Reachable        28.2.2
ccccccccccccccccccccccccc     host-10    Down      Active                          28.2.2
";
        assert_eq!(shown("table"), expected);
    }

    #[test]
    fn json_has_every_column() {
        assert_eq!(
            shown("json").lines().next().expect("has one"),
            concat!(
                r#"{"Availability":"Active","EngineVersion":"28.2.2","Hostname":"host-1","ID":"aaaaaaaaaaaaaaaaaaaaaaaaa","#,
                r#""ManagerStatus":"Leader","Self":true,"Status":"Ready","TLSStatus":"Unknown"}"#
            )
        );
        assert_eq!(shown("{{.Hostname}}: {{.TLSStatus}}").lines().next(), Some("host-1: Unknown"));
    }
}
