//! `info`.

use super::{FormatArgs, VERSION};
use crate::absent;
use crate::failure::{Failure, Outcome};
use crate::line::Invocation;
use crate::output::{print, warn};
use crate::session::Session;
use serde_json::Value as Json;
use std::fmt::Write as _;
use swarm_template::{Inspector, ObjectKind, Struct, Value, human};
use swarm_types::{LocalNodeState, Swarm, SwarmInfo};

/// Shows what the daemon says of itself and of the swarm.
///
/// # Errors
/// If the daemon does not answer, and if the format does not fit.
pub(crate) async fn info(args: &FormatArgs, invocation: &Invocation, session: &Session) -> Outcome {
    invocation.no_args(&args.args)?;
    match args.format.as_deref().filter(|format| !format.is_empty()) {
        None => {
            print(&format!("Client:\n Version:    {VERSION}\n Context:    {}\n Debug Mode: false\n\nServer:\n", session.context))?;
            let json = session.api.get_text("/info").await?;
            let info = Info::parse(&json)?;
            print(&info.pretty())?;
            info.warnings().for_each(warn);
            Ok(())
        }
        Some(format) => {
            let format = if format == "json" { "{{json .}}" } else { format };
            let inspector = Inspector::parse(format).map_err(|e| Failure::template(format!("template parsing error: {e}")))?;
            let json = session.api.get_text("/info").await?;
            let typed = Info::parse(&json)?.typed(session);
            let text = inspector.render(Some(&typed), &json).map_err(|e| Failure::new(e.to_string()))?;
            print(&(text + "\n"))
        }
    }
}

/// The answer to `/info`: the engine's part as it is, and the swarm's.
struct Info {
    json: Json,
    swarm: SwarmInfo,
}

impl Info {
    fn parse(json: &str) -> Outcome<Self> {
        #[derive(serde::Deserialize)]
        struct Part {
            #[serde(rename = "Swarm", default)]
            swarm: SwarmInfo,
        }
        let wrong = |e: serde_json::Error| Failure::new(format!("cannot read the daemon's answer: {e}"));
        let part: Part = absent::read_text(json.as_bytes()).map_err(wrong)?;
        Ok(Self { json: serde_json::from_str(json).map_err(wrong)?, swarm: part.swarm })
    }

    /// For templates: the members of the answer, and what this program adds.
    fn typed(&self, session: &Session) -> Value {
        let mut info = Struct::new("system.dockerInfo");
        for (key, member) in self.json.as_object().into_iter().flatten() {
            info = match key.as_str() {
                "Swarm" => {
                    let typed = ObjectKind::SwarmInfo.typed(&member.to_string());
                    info.field(key, typed.unwrap_or_else(|| Value::from(member)))
                }
                _ => info.field(key, Value::from(member)),
            };
        }
        let client = Struct::pointer("system.clientInfo")
            .field("Debug", false)
            .field("Version", VERSION)
            .field("Context", session.context.as_str())
            .field("Plugins", swarm_template::List::any(Vec::new()))
            .field("Warnings", Value::Nil);
        info.field("ClientInfo", client).into()
    }

    fn warnings(&self) -> impl Iterator<Item = &str> {
        let engine = self.json.get("Warnings").and_then(Json::as_array).into_iter().flatten();
        engine.filter_map(Json::as_str).chain(self.swarm.warnings.iter().map(String::as_str))
    }

    fn pretty(&self) -> String {
        let mut out = Out { json: &self.json, text: String::new() };
        for (label, key) in [
            (" Containers", "Containers"),
            ("  Running", "ContainersRunning"),
            ("  Paused", "ContainersPaused"),
            ("  Stopped", "ContainersStopped"),
            (" Images", "Images"),
        ] {
            out.always(label, key);
        }
        out.some(" Server Version", "ServerVersion");
        out.some(" Storage Driver", "Driver");
        for pair in self.json.get("DriverStatus").and_then(Json::as_array).into_iter().flatten() {
            out.line(&format!("  {}: {}", shown(&pair[0]), shown(&pair[1])));
        }
        out.some(" Logging Driver", "LoggingDriver");
        out.some(" Cgroup Driver", "CgroupDriver");
        out.some(" Cgroup Version", "CgroupVersion");
        self.plugins(&mut out);
        out.line(&format!(" Swarm: {}", self.swarm.local_node_state));
        swarm(&mut out.text, &self.swarm);
        self.runtimes(&mut out);
        for (label, key) in [
            (" Kernel Version", "KernelVersion"),
            (" Operating System", "OperatingSystem"),
            (" OSType", "OSType"),
            (" Architecture", "Architecture"),
            (" CPUs", "NCPU"),
        ] {
            out.some(label, key);
        }
        let memory = self.json.get("MemTotal").and_then(Json::as_f64).unwrap_or_default();
        out.line(&format!(" Total Memory: {}", human::bytes(memory)));
        out.some(" Name", "Name");
        out.some(" ID", "ID");
        out.always(" Docker Root Dir", "DockerRootDir");
        out.always(" Debug Mode", "Debug");
        out.some(" HTTP Proxy", "HttpProxy");
        out.some(" HTTPS Proxy", "HttpsProxy");
        out.some(" No Proxy", "NoProxy");
        out.list(" Labels:", "Labels");
        out.always(" Experimental", "ExperimentalBuild");
        self.registries(&mut out);
        out.always(" Live Restore Enabled", "LiveRestoreEnabled");
        out.text.push('\n');
        out.text
    }

    fn plugins(&self, out: &mut Out<'_>) {
        let words = |key: &str| {
            let names = self.json.pointer(&format!("/Plugins/{key}")).and_then(Json::as_array);
            names.into_iter().flatten().map(shown).collect::<Vec<_>>().join(" ")
        };
        out.line(" Plugins:");
        out.line(&format!("  Volume: {}", words("Volume")));
        out.line(&format!("  Network: {}", words("Network")));
        if !words("Authorization").is_empty() {
            out.line(&format!("  Authorization: {}", words("Authorization")));
        }
        out.line(&format!("  Log: {}", words("Log")));
        out.list(" CDI spec directories:", "CDISpecDirs");
    }

    fn runtimes(&self, out: &mut Out<'_>) {
        if let Some(runtimes) = self.json.get("Runtimes").and_then(Json::as_object).filter(|names| !names.is_empty()) {
            let names: Vec<&str> = runtimes.keys().map(String::as_str).collect();
            out.line(&format!(" Runtimes: {}", names.join(" ")));
            out.always(" Default Runtime", "DefaultRuntime");
        }
        if self.json.get("OSType").and_then(Json::as_str) != Some("linux") {
            return;
        }
        out.always(" Init Binary", "InitBinary");
        for (label, pointer) in
            [(" containerd version", "/ContainerdCommit/ID"), (" runc version", "/RuncCommit/ID"), (" init version", "/InitCommit/ID")]
        {
            let text = self.json.pointer(pointer).map(shown).unwrap_or_default();
            out.line(format!("{label}: {text}").trim_end());
        }
        let options = self.json.get("SecurityOptions").and_then(Json::as_array).filter(|options| !options.is_empty());
        let Some(options) = options else { return };
        out.line(" Security Options:");
        for option in options.iter().filter_map(Json::as_str) {
            for part in option.split(',') {
                match part.split_once('=') {
                    Some(("name", name)) => out.line(&format!("  {name}")),
                    Some(("profile", profile)) => out.line(&format!("   Profile: {profile}")),
                    Some(_) => {}
                    None => out.line(&format!("  {part}")),
                }
            }
        }
    }

    fn registries(&self, out: &mut Out<'_>) {
        let part = |key: &str| self.json.pointer(&format!("/RegistryConfig/{key}"));
        let insecure = part("IndexConfigs").and_then(Json::as_object).into_iter().flatten();
        let insecure = insecure.filter(|(_, index)| index.get("Secure") == Some(&Json::Bool(false))).map(|(name, _)| name.clone());
        let networks = part("InsecureRegistryCIDRs").and_then(Json::as_array).into_iter().flatten().map(shown);
        let all: Vec<String> = insecure.chain(networks).collect();
        if !all.is_empty() {
            out.line(" Insecure Registries:");
            all.iter().for_each(|name| out.line(&format!("  {name}")));
        }
        let mirrors: Vec<String> = part("Mirrors").and_then(Json::as_array).into_iter().flatten().map(shown).collect();
        if !mirrors.is_empty() {
            out.line(" Registry Mirrors:");
            mirrors.iter().for_each(|name| out.line(&format!("  {name}")));
        }
    }
}

/// Lines out of members of the answer.
struct Out<'a> {
    json: &'a Json,
    text: String,
}

impl Out<'_> {
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn always(&mut self, label: &str, key: &str) {
        let text = self.json.get(key).map(shown).unwrap_or_default();
        self.line(&format!("{label}: {text}"));
    }

    fn some(&mut self, label: &str, key: &str) {
        let text = self.json.get(key).map(shown).unwrap_or_default();
        if !text.is_empty() {
            self.line(&format!("{label}: {text}"));
        }
    }

    fn list(&mut self, title: &str, key: &str) {
        let items: Vec<String> = self.json.get(key).and_then(Json::as_array).into_iter().flatten().map(shown).collect();
        if !items.is_empty() {
            self.line(title);
            items.iter().for_each(|item| self.line(&format!("  {item}")));
        }
    }
}

fn shown(json: &Json) -> String {
    match json {
        Json::Null => String::new(),
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The swarm's part; nothing of a host that is in none.
fn swarm(out: &mut String, info: &SwarmInfo) {
    if matches!(info.local_node_state, LocalNodeState::Inactive | LocalNodeState::Locked) {
        return;
    }
    let _ = writeln!(out, "  NodeID: {}", info.node_id);
    if !info.error.is_empty() {
        let _ = writeln!(out, "  Error: {}", info.error);
    }
    let _ = writeln!(out, "  Is Manager: {}", info.control_available);
    let works = info.control_available && info.error.is_empty() && info.local_node_state != LocalNodeState::Error;
    if let Some(cluster) = info.cluster.as_ref().filter(|_| works) {
        cluster_part(out, info, cluster);
    }
    let _ = writeln!(out, "  Node Address: {}", info.node_addr);
    let mut managers: Vec<&str> = info.remote_managers.iter().flatten().map(|manager| manager.addr.as_str()).collect();
    managers.sort_unstable();
    if !managers.is_empty() {
        let _ = writeln!(out, "  Manager Addresses:");
        for address in managers {
            let _ = writeln!(out, "   {address}");
        }
    }
}

fn cluster_part(out: &mut String, info: &SwarmInfo, cluster: &Swarm) {
    let spec = &cluster.spec;
    let mut line = |text: String| {
        out.push_str(&text);
        out.push('\n');
    };
    line(format!("  ClusterID: {}", cluster.id));
    line(format!("  Managers: {}", info.managers));
    line(format!("  Nodes: {}", info.nodes));
    if !cluster.default_addr_pool.is_empty() {
        let pools: String = cluster.default_addr_pool.iter().map(|pool| format!("{pool}  ")).collect();
        line(format!("  Default Address Pool: {pools}"));
        line(format!("  SubnetSize: {}", cluster.subnet_size));
    }
    if cluster.data_path_port > 0 {
        line(format!("  Data Path Port: {}", cluster.data_path_port));
    }
    line("  Orchestration:".to_owned());
    let limit = spec.orchestration.task_history_retention_limit.unwrap_or_default();
    line(format!("   Task History Retention Limit: {limit}"));
    line("  Raft:".to_owned());
    line(format!("   Snapshot Interval: {}", spec.raft.snapshot_interval));
    if let Some(kept) = spec.raft.keep_old_snapshots {
        line(format!("   Number of Old Snapshots to Retain: {kept}"));
    }
    line(format!("   Heartbeat Tick: {}", spec.raft.heartbeat_tick));
    line(format!("   Election Tick: {}", spec.raft.election_tick));
    line("  Dispatcher:".to_owned());
    line(format!("   Heartbeat Period: {}", human::duration(spec.dispatcher.heartbeat_period)));
    line("  CA Configuration:".to_owned());
    line(format!("   Expiry Duration: {}", human::duration(spec.ca_config.node_cert_expiry)));
    line(format!("   Force Rotate: {}", spec.ca_config.force_rotate));
    if !spec.ca_config.signing_ca_cert.trim().is_empty() {
        line(format!("   Signing CA Certificate: \n{}\n", spec.ca_config.signing_ca_cert.trim()));
    }
    if !spec.ca_config.external_cas.is_empty() {
        line("   External CAs:".to_owned());
        spec.ca_config.external_cas.iter().for_each(|ca| line(format!("     {}: {}", ca.protocol, ca.url)));
    }
    line(format!("  Autolock Managers: {}", spec.encryption_config.auto_lock_managers));
    line(format!("  Root Rotation In Progress: {}", cluster.root_rotation_in_progress));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shown_swarm(swarm_part: Json) -> String {
        let info: SwarmInfo = serde_json::from_value(swarm_part).expect("is one");
        let mut text = String::new();
        swarm(&mut text, &info);
        text
    }

    #[test]
    fn a_manager_shows_its_cluster() {
        let text = shown_swarm(json!({
            "NodeID": "n".repeat(25), "NodeAddr": "10.0.0.1", "LocalNodeState": "active", "ControlAvailable": true, "Error": "",
            "RemoteManagers": [{"NodeID": "b".repeat(25), "Addr": "10.0.0.2:2377"}, {"NodeID": "a".repeat(25), "Addr": "10.0.0.1:2377"}],
            "Nodes": 3, "Managers": 2,
            "Cluster": {
                "ID": "c".repeat(25), "Version": {"Index": 9}, "CreatedAt": "2024-01-01T00:00:00Z", "UpdatedAt": "2024-01-01T00:00:00Z",
                "Spec": {"Name": "default", "Labels": {}, "Orchestration": {"TaskHistoryRetentionLimit": 5},
                    "Raft": {"SnapshotInterval": 10000, "KeepOldSnapshots": 0, "ElectionTick": 10, "HeartbeatTick": 1},
                    "Dispatcher": {"HeartbeatPeriod": 5_000_000_000_i64},
                    "CAConfig": {"NodeCertExpiry": 7_776_000_000_000_000_i64,
                        "ExternalCAs": [{"Protocol": "cfssl", "URL": "https://ca"}]}},
                "DefaultAddrPool": ["10.0.0.0/8"], "SubnetSize": 24, "DataPathPort": 4789,
            },
        }));
        let expected = "  NodeID: nnnnnnnnnnnnnnnnnnnnnnnnn
  Is Manager: true
  ClusterID: ccccccccccccccccccccccccc
  Managers: 2
  Nodes: 3
  Default Address Pool: 10.0.0.0/8\x20\x20
  SubnetSize: 24
  Data Path Port: 4789
  Orchestration:
   Task History Retention Limit: 5
  Raft:
   Snapshot Interval: 10000
   Number of Old Snapshots to Retain: 0
   Heartbeat Tick: 1
   Election Tick: 10
  Dispatcher:
   Heartbeat Period: 5 seconds
  CA Configuration:
   Expiry Duration: 3 months
   Force Rotate: 0
   External CAs:
     cfssl: https://ca
  Autolock Managers: false
  Root Rotation In Progress: false
  Node Address: 10.0.0.1
  Manager Addresses:
   10.0.0.1:2377
   10.0.0.2:2377
";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_worker_shows_little_and_a_host_outside_nothing() {
        let text = shown_swarm(json!({"NodeID": "n".repeat(25), "NodeAddr": "10.0.0.3", "LocalNodeState": "error",
            "Error": "no managers", "RemoteManagers": null}));
        assert_eq!(text, "  NodeID: nnnnnnnnnnnnnnnnnnnnnnnnn\n  Error: no managers\n  Is Manager: false\n  Node Address: 10.0.0.3\n");
        assert_eq!(shown_swarm(json!({"LocalNodeState": "inactive"})), "");
    }
}
