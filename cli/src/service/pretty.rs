//! `service inspect --pretty`.

use crate::list::ago;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use swarm_template::{duration, human};
use swarm_types::{
    ContainerSpec, HealthConfig, Limits, Mount, Resources, Service, TaskSpec, Timestamp, UpdateConfig, UpdateState, UpdateStatus,
};

const NANO: f64 = 1e9;

/// A service for people. Times are told from `now` on.
pub(super) fn pretty(service: &Service, now: Timestamp) -> String {
    let spec = &service.spec;
    let task = &spec.task_template;
    let container = task.container_spec.clone().unwrap_or_default();
    let mut out = Out(String::new());
    out.line(&format!("ID:\t\t{}", service.id));
    out.line(&format!("Name:\t\t{}", spec.name));
    out.pairs("Labels:", " ", "=", &spec.labels);
    mode(&mut out, service);
    if let Some(status) = &service.update_status {
        update_status(&mut out, status, now);
    }
    placement(&mut out, task);
    if let Some(config) = &spec.update_config {
        update_config(&mut out, "UpdateConfig:", "Update order:      ", config);
    }
    if let Some(config) = &spec.rollback_config {
        update_config(&mut out, "RollbackConfig:", "Rollback order:    ", config);
    }
    container_part(&mut out, &container);
    log_driver(&mut out, task);
    resources(&mut out, task);
    if !task.networks.is_empty() {
        let names: Vec<String> = task.networks.iter().map(|network| format!(" {}", network.target)).collect();
        out.line(&format!("Networks:{} ", names.concat()));
    }
    let mode = spec.endpoint_spec.as_ref().and_then(|endpoint| endpoint.mode);
    out.line(&format!("Endpoint Mode:\t{}", mode.map_or("", |mode| mode.as_str())));
    ports(&mut out, service);
    if let Some(health) = &container.healthcheck {
        healthcheck(&mut out, health);
    }
    out.0.push('\n');
    out.0
}

/// Text of lines, each after a line break.
struct Out(String);

impl Out {
    fn line(&mut self, text: &str) {
        self.0.push('\n');
        self.0.push_str(text);
    }

    /// A line if there is something to tell.
    fn some(&mut self, label: &str, text: &str) {
        if !text.is_empty() {
            self.line(&format!("{label}{text}"));
        }
    }

    /// A title and a line for each pair; nothing if there are none.
    fn pairs(&mut self, title: &str, indent: &str, between: &str, pairs: &BTreeMap<String, String>) {
        if pairs.is_empty() {
            return;
        }
        self.line(title);
        for (key, value) in pairs {
            self.line(&format!("{indent}{key}"));
            if !value.is_empty() {
                let _ = write!(self.0, "{between}{value}");
            }
        }
    }
}

fn mode(out: &mut Out, service: &Service) {
    let mode = &service.spec.mode;
    if mode.global.is_some() {
        out.line("Service Mode:\tGlobal");
    } else if let Some(replicated) = &mode.replicated {
        out.line("Service Mode:\tReplicated");
        if let Some(replicas) = replicated.replicas {
            out.line(&format!(" Replicas:\t{replicas}"));
        }
    } else {
        out.line("Service Mode:");
    }
}

fn update_status(out: &mut Out, status: &UpdateStatus, now: Timestamp) {
    out.line("UpdateStatus:");
    out.line(&format!(" State:\t\t{}", status.state));
    if let Some(started) = status.started_at {
        out.line(&format!(" Started:\t{}", ago(started, now)));
    }
    if let Some(completed) = status.completed_at.filter(|_| status.state == UpdateState::Completed) {
        out.line(&format!(" Completed:\t{}", ago(completed, now)));
    }
    out.line(&format!(" Message:\t{}", status.message));
}

fn placement(out: &mut Out, task: &TaskSpec) {
    out.line("Placement:");
    let Some(placement) = &task.placement else {
        return;
    };
    if !placement.constraints.is_empty() {
        out.line(&format!(" Constraints:\t[{}]", placement.constraints.join(" ")));
    }
    let preferences: Vec<String> = placement
        .preferences
        .iter()
        .filter_map(|preference| preference.spread.as_ref())
        .map(|spread| format!("spread={}", spread.spread_descriptor))
        .collect();
    if !preferences.is_empty() {
        out.line(&format!(" Preferences:   [{}]", preferences.join(" ")));
    }
    if placement.max_replicas > 0 {
        out.line(&format!(" Max Replicas Per Node:   {}", placement.max_replicas));
    }
}

fn update_config(out: &mut Out, title: &str, order: &str, config: &UpdateConfig) {
    out.line(title);
    out.line(&format!(" Parallelism:\t{}", config.parallelism));
    if config.delay > 0 {
        out.line(&format!(" Delay:\t\t{}", duration::format(config.delay)));
    }
    out.line(&format!(" On failure:\t{}", config.failure_action.map_or("", |action| action.as_str())));
    if let Some(monitor) = config.monitor.filter(|monitor| *monitor > 0) {
        out.line(&format!(" Monitoring Period: {}", duration::format(monitor)));
    }
    out.line(&format!(" Max failure ratio: {}", config.max_failure_ratio));
    out.line(&format!(" {order}{}", config.order.map_or("", |order| order.as_str())));
}

fn container_part(out: &mut Out, container: &ContainerSpec) {
    let words = |words: &[String]| words.iter().map(|word| format!("{word} ")).collect::<String>();
    out.line("ContainerSpec:");
    out.line(&format!(" Image:\t\t{}", container.image));
    out.some(" Args:\t\t", &words(&container.args));
    out.some(" Env:\t\t", &words(&container.env));
    out.some(" Dir:\t\t", &container.dir);
    if let Some(init) = container.init {
        out.line(&format!(" Init:\t\t{init}"));
    }
    out.some(" User: ", &container.user);
    if !container.capability_add.is_empty() || !container.capability_drop.is_empty() {
        out.line("Capabilities:");
        out.some(" Add: ", &container.capability_add.join(", "));
        out.some(" Drop: ", &container.capability_drop.join(", "));
    }
    out.pairs("SysCtls:", " ", ": ", &container.sysctls);
    let ulimits = container.ulimits.iter().map(|u| (u.name.clone(), format!("{}:{}", u.soft, u.hard))).collect();
    out.pairs("Ulimits:", " ", ": ", &ulimits);
    mounts(out, &container.mounts);
    let configs = container.configs.iter().map(|config| (config.file.as_ref(), &config.config_name));
    files(out, "Configs:", configs.collect());
    let secrets = container.secrets.iter().map(|secret| (secret.file.as_ref(), &secret.secret_name));
    files(out, "Secrets:", secrets.collect());
}

fn mounts(out: &mut Out, mounts: &[Mount]) {
    if mounts.is_empty() {
        return;
    }
    out.line("Mounts:");
    for mount in mounts {
        out.line(&format!(" Target:\t{}", mount.target));
        out.line(&format!("  Source:\t{}", mount.source));
        out.line(&format!("  ReadOnly:\t{}", mount.read_only));
        out.line(&format!("  Type:\t\t{}", mount.kind));
    }
}

fn files(out: &mut Out, title: &str, files: Vec<(Option<&swarm_types::FileTarget>, &String)>) {
    if files.is_empty() {
        return;
    }
    out.line(title);
    for (file, source) in files {
        out.line(&format!(" Target:\t{}", file.map_or("", |file| &file.name)));
        out.line(&format!("  Source:\t{source}"));
    }
}

fn log_driver(out: &mut Out, task: &TaskSpec) {
    let Some(driver) = &task.log_driver else {
        return;
    };
    out.line("Log Driver:");
    out.some(" Name:\t\t", &driver.name);
    out.pairs(" LogOpts:", "  ", ":       ", &driver.options);
    out.line("");
}

fn resources(out: &mut Out, task: &TaskSpec) {
    let Some(resources) = &task.resources else {
        return;
    };
    out.line("Resources:");
    if let Some(Resources { nano_cpus, memory_bytes, .. }) = resources.reservations {
        amounts(out, " Reservations:", nano_cpus, memory_bytes, 0);
    }
    if let Some(Limits { nano_cpus, memory_bytes, pids, .. }) = resources.limits {
        amounts(out, " Limits:", nano_cpus, memory_bytes, pids);
    }
}

#[expect(clippy::cast_precision_loss, reason = "a few digits are shown")]
fn amounts(out: &mut Out, title: &str, nano_cpus: i64, memory_bytes: i64, pids: i64) {
    if nano_cpus <= 0 && memory_bytes <= 0 && pids <= 0 {
        return;
    }
    out.line(title);
    if nano_cpus > 0 {
        out.line(&format!("  CPU:\t\t{}", nano_cpus as f64 / NANO));
    }
    if memory_bytes > 0 {
        out.line(&format!("  Memory:\t{}", human::bytes(memory_bytes as f64)));
    }
    if pids > 0 {
        out.line(&format!("  PIDs:\t\t{pids}"));
    }
}

fn ports(out: &mut Out, service: &Service) {
    if service.endpoint.ports.is_empty() {
        return;
    }
    out.line("Ports:");
    for port in &service.endpoint.ports {
        out.line(&format!(" PublishedPort = {}", port.published_port));
        out.line(&format!("  Protocol = {}", port.protocol));
        out.line(&format!("  TargetPort = {}", port.target_port));
        out.line(&format!("  PublishMode = {}", port.publish_mode));
    }
    out.0.push(' ');
}

fn healthcheck(out: &mut Out, health: &HealthConfig) {
    out.line(" Healthcheck:");
    out.line(&format!("  Interval = {}", duration::format(health.interval)));
    out.line(&format!("  Retries = {}", health.retries));
    out.line(&format!("  StartPeriod =\t{}", duration::format(health.start_period)));
    out.line(&format!("  Timeout =\t{}", duration::format(health.timeout)));
    if health.test.is_empty() {
        return;
    }
    out.line("  Tests:");
    for word in &health.test {
        out.line(&format!("\t Test = {word}"));
    }
    out.0.push(' ');
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shown(service: serde_json::Value) -> String {
        let mut json = json!({"ID": "a".repeat(25), "Version": {"Index": 1}, "CreatedAt": "2024-01-01T00:00:00Z",
            "UpdatedAt": "2024-01-01T00:00:00Z"});
        for (key, value) in service.as_object().expect("is an object") {
            json[key] = value.clone();
        }
        let service: Service = serde_json::from_value(json).expect("is a service");
        pretty(&service, Timestamp::parse("2024-01-01T01:00:00Z").expect("is a time"))
    }

    #[test]
    fn a_plain_global_service() {
        let text = shown(json!({"Spec": {"Name": "agent", "TaskTemplate": {"ContainerSpec": {"Image": "nginx"}},
            "Mode": {"Global": {}}, "EndpointSpec": {"Mode": "vip"}}}));
        assert_eq!(
            text,
            "\nID:\t\taaaaaaaaaaaaaaaaaaaaaaaaa\nName:\t\tagent\nService Mode:\tGlobal\nPlacement:\nContainerSpec:\n Image:\t\tnginx\nEndpoint Mode:\tvip\n"
        );
    }

    #[test]
    fn a_service_with_everything() {
        let update = json!({"Parallelism": 1, "Delay": 10_000_000_000_i64, "FailureAction": "pause",
            "Monitor": 5_000_000_000_i64, "MaxFailureRatio": 0.5, "Order": "stop-first"});
        let text = shown(json!({
            "Spec": {
                "Name": "web", "Labels": {"a": "b", "c": ""},
                "TaskTemplate": {
                    "ContainerSpec": {
                        "Image": "nginx:1", "Args": ["sleep", "5"], "Env": ["A=1", "B=2"], "Dir": "/srv", "Init": false,
                        "User": "me", "CapabilityAdd": ["CAP_A", "CAP_B"], "CapabilityDrop": ["ALL"],
                        "Sysctls": {"net.x": "1"}, "Ulimits": [{"Name": "nofile", "Soft": 10, "Hard": 20}],
                        "Mounts": [{"Type": "bind", "Source": "/a", "Target": "/b", "ReadOnly": true}],
                        "Configs": [{"File": {"Name": "/c.conf"}, "ConfigID": "x", "ConfigName": "c"}],
                        "Secrets": [{"File": {"Name": "s"}, "SecretID": "x", "SecretName": "secret"}],
                        "Healthcheck": {"Test": ["CMD-SHELL", "true"], "Interval": 4, "Retries": 3, "StartPeriod": 2, "Timeout": 1},
                    },
                    "LogDriver": {"Name": "json-file", "Options": {"max-file": "5"}},
                    "Resources": {"Limits": {"NanoCPUs": 1_500_000_000, "MemoryBytes": 10_485_760, "Pids": 20},
                        "Reservations": {"NanoCPUs": 500_000_000}},
                    "Placement": {"Constraints": ["node.role==worker", "a!=b"], "MaxReplicas": 2,
                        "Preferences": [{"Spread": {"SpreadDescriptor": "node.labels.rack"}}]},
                },
                "Mode": {"Replicated": {"Replicas": 2}}, "EndpointSpec": {"Mode": "vip"},
                "UpdateConfig": update, "RollbackConfig": update,
            },
            "UpdateStatus": {"State": "completed", "StartedAt": "2024-01-01T00:58:00Z",
                "CompletedAt": "2024-01-01T00:59:15Z", "Message": "update completed"},
            "Endpoint": {"Ports": [{"Protocol": "tcp", "TargetPort": 80, "PublishedPort": 8080, "PublishMode": "host"}]},
        }));
        let expected = "
ID:\t\taaaaaaaaaaaaaaaaaaaaaaaaa
Name:\t\tweb
Labels:
 a=b
 c
Service Mode:\tReplicated
 Replicas:\t2
UpdateStatus:
 State:\t\tcompleted
 Started:\t2 minutes ago
 Completed:\t45 seconds ago
 Message:\tupdate completed
Placement:
 Constraints:\t[node.role==worker a!=b]
 Preferences:   [spread=node.labels.rack]
 Max Replicas Per Node:   2
UpdateConfig:
 Parallelism:\t1
 Delay:\t\t10s
 On failure:\tpause
 Monitoring Period: 5s
 Max failure ratio: 0.5
 Update order:      stop-first
RollbackConfig:
 Parallelism:\t1
 Delay:\t\t10s
 On failure:\tpause
 Monitoring Period: 5s
 Max failure ratio: 0.5
 Rollback order:    stop-first
ContainerSpec:
 Image:\t\tnginx:1
 Args:\t\tsleep 5\x20
 Env:\t\tA=1 B=2\x20
 Dir:\t\t/srv
 Init:\t\tfalse
 User: me
Capabilities:
 Add: CAP_A, CAP_B
 Drop: ALL
SysCtls:
 net.x: 1
Ulimits:
 nofile: 10:20
Mounts:
 Target:\t/b
  Source:\t/a
  ReadOnly:\ttrue
  Type:\t\tbind
Configs:
 Target:\t/c.conf
  Source:\tc
Secrets:
 Target:\ts
  Source:\tsecret
Log Driver:
 Name:\t\tjson-file
 LogOpts:
  max-file:       5

Resources:
 Reservations:
  CPU:\t\t0.5
 Limits:
  CPU:\t\t1.5
  Memory:\t10MiB
  PIDs:\t\t20
Endpoint Mode:\tvip
Ports:
 PublishedPort = 8080
  Protocol = tcp
  TargetPort = 80
  PublishMode = host\x20
 Healthcheck:
  Interval = 4ns
  Retries = 3
  StartPeriod =\t2ns
  Timeout =\t1ns
  Tests:
\t Test = CMD-SHELL
\t Test = true\x20
";
        assert_eq!(text, expected);
    }
}
