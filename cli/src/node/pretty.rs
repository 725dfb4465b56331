//! `node inspect --pretty`.

use crate::list::{capitalized, go_time};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use swarm_types::{Node, TlsInfo};

const NANO: i64 = 1_000_000_000;

/// A node for people.
pub(super) fn pretty(node: &Node) -> String {
    let mut text = format!("ID:\t\t\t{}", node.id);
    if !node.spec.name.is_empty() {
        line(&mut text, &format!("Name:\t\t\t{}", node.spec.name));
    }
    labels(&mut text, "Labels:", &node.spec.labels);
    line(&mut text, &format!("Hostname:              \t{}", node.description.hostname));
    line(&mut text, &format!("Joined at:             \t{}", go_time(node.created_at)));
    line(&mut text, "Status:");
    line(&mut text, &format!(" State:\t\t\t{}", capitalized(node.status.state.as_str())));
    if !node.status.message.is_empty() {
        line(&mut text, &format!(" Message:              \t{}", capitalized(&node.status.message)));
    }
    line(&mut text, &format!(" Availability:         \t{}", capitalized(node.spec.availability.as_str())));
    if !node.status.addr.is_empty() {
        line(&mut text, &format!(" Address:\t\t{}", node.status.addr));
    }
    if let Some(manager) = &node.manager_status {
        line(&mut text, "Manager Status:");
        line(&mut text, &format!(" Address:\t\t{}", manager.addr));
        line(&mut text, &format!(" Raft Status:\t\t{}", capitalized(manager.reachability.as_str())));
        line(&mut text, &format!(" Leader:\t\t{}", if manager.leader { "Yes" } else { "No" }));
    }
    description(&mut text, node);
    text.push('\n');
    text
}

fn description(text: &mut String, node: &Node) {
    let description = &node.description;
    line(text, "Platform:");
    line(text, &format!(" Operating System:\t{}", description.platform.os));
    line(text, &format!(" Architecture:\t\t{}", description.platform.architecture));
    line(text, "Resources:");
    line(text, &format!(" CPUs:\t\t\t{}", description.resources.nano_cpus / NANO));
    line(text, &format!(" Memory:\t\t{}", memory(description.resources.memory_bytes)));
    if !description.engine.plugins.is_empty() {
        let mut plugins: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for plugin in &description.engine.plugins {
            plugins.entry(&plugin.kind).or_default().push(&plugin.name);
        }
        line(text, "Plugins:");
        for (kind, names) in plugins {
            line(text, &format!(" {kind}:\t\t{}", names.join(", ")));
        }
    }
    line(text, &format!("Engine Version:\t\t{}", description.engine.engine_version));
    labels(text, "Engine Labels:", &description.engine.labels);
    if description.tls_info != TlsInfo::default() {
        line(text, "TLS Info:");
        line(text, " TrustRoot:");
        line(text, &description.tls_info.trust_root);
        line(text, &format!(" Issuer Subject:\t{}", description.tls_info.cert_issuer_subject));
        line(text, &format!(" Issuer Public Key:\t{}", description.tls_info.cert_issuer_public_key));
    }
}

fn line(text: &mut String, next: &str) {
    text.push('\n');
    text.push_str(next);
}

fn labels(text: &mut String, title: &str, labels: &BTreeMap<String, String>) {
    if labels.is_empty() {
        return;
    }
    line(text, title);
    for (key, value) in labels {
        let _ = write!(text, "\n - {key}");
        if !value.is_empty() {
            let _ = write!(text, "={value}");
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "four digits are shown")]
fn memory(bytes: i64) -> String {
    if bytes == 0 { String::new() } else { swarm_template::human::bytes(bytes as f64) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_manager_with_everything() {
        let node: Node = serde_json::from_value(json!({
            "ID": "a".repeat(25), "Version": {"Index": 1},
            "CreatedAt": "2024-01-02T03:04:05.123456789Z", "UpdatedAt": "2024-01-02T03:04:05Z",
            "Spec": {"Name": "first", "Labels": {"rack": "1", "ssd": ""}, "Role": "manager", "Availability": "drain"},
            "Description": {
                "Hostname": "host-1", "Platform": {"Architecture": "x86_64", "OS": "linux"},
                "Resources": {"NanoCPUs": 2_500_000_000_u64, "MemoryBytes": 4_123_456_789_u64},
                "Engine": {"EngineVersion": "28.2.2", "Labels": {"zone": "a"}, "Plugins": [
                    {"Type": "Volume", "Name": "local"}, {"Type": "Network", "Name": "bridge"}, {"Type": "Network", "Name": "host"}]},
                "TLSInfo": {"TrustRoot": "-----BEGIN CERTIFICATE-----\n", "CertIssuerSubject": "c3ViamVjdA==", "CertIssuerPublicKey": "a2V5"},
            },
            "Status": {"State": "ready", "Message": "all well", "Addr": "10.0.0.1"},
            "ManagerStatus": {"Leader": true, "Reachability": "reachable", "Addr": "10.0.0.1:2377"},
        }))
        .expect("is a node");
        let expected = "ID:\t\t\taaaaaaaaaaaaaaaaaaaaaaaaa
Name:\t\t\tfirst
Labels:
 - rack=1
 - ssd
Hostname:              \thost-1
Joined at:             \t2024-01-02 03:04:05.123456789 +0000 utc
Status:
 State:\t\t\tReady
 Message:              \tAll well
 Availability:         \tDrain
 Address:\t\t10.0.0.1
Manager Status:
 Address:\t\t10.0.0.1:2377
 Raft Status:\t\tReachable
 Leader:\t\tYes
Platform:
 Operating System:\tlinux
 Architecture:\t\tx86_64
Resources:
 CPUs:\t\t\t2
 Memory:\t\t3.84GiB
Plugins:
 Network:\t\tbridge, host
 Volume:\t\tlocal
Engine Version:\t\t28.2.2
Engine Labels:
 - zone=a
TLS Info:
 TrustRoot:
-----BEGIN CERTIFICATE-----

 Issuer Subject:\tc3ViamVjdA==
 Issuer Public Key:\ta2V5
";
        assert_eq!(pretty(&node), expected);
    }
}
