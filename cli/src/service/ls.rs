//! `service ls`.

use crate::failure::Outcome;
use crate::image;
use crate::list::{ListFlags, print_rows};
use crate::query::Filters;
use crate::session::Session;
use swarm_template::{Formats, Header, Row, natural};
use swarm_types::{PortConfig, PortProtocol, PublishMode, Service};

const FORMATS: Formats = Formats {
    table: "table {{.ID}}\t{{.Name}}\t{{.Mode}}\t{{.Replicas}}\t{{.Image}}\t{{.Ports}}",
    raw: Some("id: {{.ID}}\\nname: {{.Name}}\\nmode: {{.Mode}}\\nreplicas: {{.Replicas}}\\nimage: {{.Image}}\\nports: {{.Ports}}\\n"),
    raw_quiet: Some("id: {{.ID}}"),
    quiet: "{{.ID}}",
};

/// Lists services.
///
/// # Errors
/// On what the daemon refuses, and if the format does not fit.
pub(super) async fn ls(flags: &ListFlags, session: &Session) -> Outcome {
    let services = matching(flags, &Filters::parse(&flags.filter), session).await?;
    show(flags, &services, session)
}

/// The services that `filters` let through, in the order of their names.
///
/// # Errors
/// On what the daemon refuses.
pub(crate) async fn matching(flags: &ListFlags, filters: &Filters, session: &Session) -> Outcome<Vec<Service>> {
    // Counting tasks is work for the daemon that ids do not need.
    let more: &[(&str, &str)] = if flags.is_quiet() { &[] } else { &[("status", "true")] };
    let mut services: Vec<Service> = session.api.get(&filters.on("/services", more)).await?;
    services.sort_by(|a, b| natural::compare(&a.spec.name, &b.spec.name));
    Ok(services)
}

/// Prints services.
///
/// # Errors
/// If the format does not fit.
pub(crate) fn show(flags: &ListFlags, services: &[Service], session: &Session) -> Outcome {
    let format = flags.format(&session.config.services_format);
    print_rows(&FORMATS, format, flags.is_quiet(), &header(), services.iter().map(row))
}

fn header() -> Header {
    Header::new([("ID", "ID"), ("Name", "NAME"), ("Mode", "MODE"), ("Replicas", "REPLICAS"), ("Image", "IMAGE"), ("Ports", "PORTS")])
}

fn row(service: &Service) -> Row {
    let container = service.spec.task_template.container_spec.as_ref();
    Row::new("service.serviceContext")
        .column("ID", service.id.short())
        .column("Name", service.spec.name.as_str())
        .column("Mode", mode(service))
        .column("Replicas", replicas(service))
        .column("Image", container.map(|container| image::shown(&container.image)).unwrap_or_default())
        .column("Ports", ports(&service.endpoint.ports))
}

fn mode(service: &Service) -> &'static str {
    let mode = &service.spec.mode;
    if mode.global.is_some() {
        "global"
    } else if mode.replicated.is_some() {
        "replicated"
    } else if mode.replicated_job.is_some() {
        "replicated job"
    } else if mode.global_job.is_some() {
        "global job"
    } else {
        ""
    }
}

fn replicas(service: &Service) -> String {
    let status = service.service_status.unwrap_or_default();
    let counts = format!("{}/{}", status.running_tasks, status.desired_tasks);
    let mode = &service.spec.mode;
    if let Some(job) = &mode.replicated_job {
        let total = job.total_completions.unwrap_or(1);
        return format!("{counts} ({}/{total} completed)", status.completed_tasks);
    }
    if mode.global_job.is_some() {
        // Desired are those that are not complete yet.
        let total = status.desired_tasks + status.completed_tasks;
        return format!("{counts} ({}/{total} completed)", status.completed_tasks);
    }
    let max = service.spec.task_template.placement.as_ref().map_or(0, |placement| placement.max_replicas);
    if mode.replicated.is_some() && max > 0 { format!("{counts} (max {max} per node)") } else { counts }
}

/// Ports that follow each other on the nodes, and those in the tasks that go with them.
#[derive(Clone, Copy)]
struct Range {
    published: (u32, u32),
    target: (u32, u32),
    protocol: PortProtocol,
}

impl Range {
    fn of(port: &PortConfig) -> Self {
        Self {
            published: (port.published_port, port.published_port),
            target: (port.target_port, port.target_port),
            protocol: port.protocol,
        }
    }

    /// Takes `port` in if it goes on where the range ends: on both sides, or always to the same port of the tasks.
    fn take(&mut self, port: &PortConfig) -> bool {
        let follows = |port: u32, end: u32| port.checked_sub(end).is_some_and(|step| step <= 1);
        let many_targets = self.target.0 != self.target.1;
        let fits = port.protocol == self.protocol
            && follows(port.published_port, self.published.1)
            && follows(port.target_port, self.target.1)
            && !(many_targets && port.target_port <= self.target.1);
        if fits {
            self.published.1 = port.published_port;
            self.target.1 = port.target_port;
        }
        fits
    }

    fn text(&self) -> String {
        let shown = |(first, last): (u32, u32)| {
            if last > first { format!("{first}-{last}") } else { first.to_string() }
        };
        format!("*:{}->{}/{}", shown(self.published), shown(self.target), self.protocol)
    }
}

/// The ports on the routing mesh; those that follow each other are one range.
fn ports(ports: &[PortConfig]) -> String {
    let mut ports: Vec<&PortConfig> =
        ports.iter().filter(|port| port.publish_mode == PublishMode::Ingress && port.published_port > 0).collect();
    ports.sort_by_key(|port| (port.protocol.as_str(), port.published_port));
    let mut ranges: Vec<Range> = Vec::new();
    for port in ports {
        if !ranges.last_mut().is_some_and(|range| range.take(port)) {
            ranges.push(Range::of(port));
        }
    }
    ranges.iter().map(Range::text).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use swarm_template::render_rows;

    fn service(id: &str, name: &str, more: &Value, status: &Value) -> Service {
        let mut spec = json!({"Name": name, "TaskTemplate": {"ContainerSpec": {
            "Image": "nginx:1@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"}}});
        for (key, value) in more.as_object().expect("is an object") {
            spec[key] = value.clone();
        }
        serde_json::from_value(json!({
            "ID": id.repeat(25), "Version": {"Index": 1}, "CreatedAt": "2024-01-01T00:00:00Z",
            "UpdatedAt": "2024-01-01T00:00:00Z", "Spec": spec, "ServiceStatus": status,
            "Endpoint": {"Ports": [{"Protocol": "tcp", "TargetPort": 80, "PublishedPort": 8080, "PublishMode": "ingress"},
                {"Protocol": "tcp", "TargetPort": 81, "PublishedPort": 8081, "PublishMode": "host"}]},
        }))
        .expect("is a service")
    }

    #[test]
    fn the_table_is_dockers() {
        let services = [
            service("a", "agent", &json!({"Mode": {"Global": {}}}), &json!({"RunningTasks": 2, "DesiredTasks": 3})),
            service(
                "b",
                "web",
                &json!({"Mode": {"Replicated": {"Replicas": 5}}, "TaskTemplate": {"Placement": {"MaxReplicas": 2},
                    "ContainerSpec": {"Image": "reg.local:5000/web:v1"}}}),
                &json!({"RunningTasks": 1, "DesiredTasks": 5}),
            ),
            service(
                "c",
                "job",
                &json!({"Mode": {"ReplicatedJob": {"MaxConcurrent": 2, "TotalCompletions": 9}}}),
                &json!({"RunningTasks": 2, "DesiredTasks": 2, "CompletedTasks": 4}),
            ),
        ];
        let expected = "\
ID             NAME      MODE             REPLICAS               IMAGE                   PORTS
aaaaaaaaaaaa   agent     global           2/3                    nginx:1                 *:8080->80/tcp
bbbbbbbbbbbb   web       replicated       1/5 (max 2 per node)   reg.local:5000/web:v1   *:8080->80/tcp
cccccccccccc   job       replicated job   2/2 (4/9 completed)    nginx:1                 *:8080->80/tcp
";
        assert_eq!(render_rows(FORMATS.table, &header(), services.iter().map(row)).expect("renders"), expected);
    }

    fn shown(given: &[(u32, u32, &str)]) -> String {
        let configs: Vec<PortConfig> = given
            .iter()
            .map(|(published_port, target_port, protocol)| PortConfig {
                published_port: *published_port,
                target_port: *target_port,
                protocol: protocol.parse().expect("is one"),
                ..PortConfig::default()
            })
            .collect();
        ports(&configs)
    }

    #[test]
    fn ports_that_follow_each_other_are_one_range() {
        assert_eq!(shown(&[(80, 80, "tcp"), (81, 80, "tcp")]), "*:80-81->80/tcp");
        assert_eq!(shown(&[(81, 81, "tcp"), (80, 80, "tcp")]), "*:80-81->80-81/tcp");
        assert_eq!(shown(&[(80, 80, "tcp"), (81, 81, "tcp"), (82, 80, "tcp")]), "*:80-81->80-81/tcp, *:82->80/tcp");
        assert_eq!(shown(&[(53, 53, "udp"), (53, 53, "tcp")]), "*:53->53/tcp, *:53->53/udp");
        assert_eq!(shown(&[(80, 80, "tcp"), (90, 81, "tcp")]), "*:80->80/tcp, *:90->81/tcp");
        assert_eq!(shown(&[]), "");
    }
}
