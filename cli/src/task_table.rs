//! The table of tasks that `node ps` and `service ps` print.

use crate::failure::Outcome;
use crate::image;
use crate::list::{ago, capitalized, choose, print_rows};
use crate::query::escape;
use crate::session::Session;
use std::collections::{BTreeMap, BTreeSet};
use swarm_template::{Formats, Header, Row, ellipsis, natural};
use swarm_types::{Node, Service, Task, Timestamp};

/// Flags of commands that print tasks.
#[derive(clap::Args, Debug, Clone, Default)]
pub(crate) struct TaskFlags {
    /// Only display task IDs
    #[arg(short = 'q', long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = crate::line::values::switch)]
    quiet: Option<bool>,
    /// Do not truncate output
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = crate::line::values::switch)]
    no_trunc: Option<bool>,
    /// Do not map IDs to Names
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = crate::line::values::switch)]
    no_resolve: Option<bool>,
    /// Pretty-print tasks using a Go template
    #[arg(long, value_name = "string")]
    format: Option<String>,
    /// Filter output based on conditions provided
    #[arg(short = 'f', long, value_name = "filter", value_parser = crate::query::check_filter)]
    pub(crate) filter: Vec<String>,
}

const FORMATS: Formats = Formats {
    table: "table {{.ID}}\t{{.Name}}\t{{.Image}}\t{{.Node}}\t{{.DesiredState}}\t{{.CurrentState}}\t{{.Error}}\t{{.Ports}}",
    raw: Some(
        "id: {{.ID}}\\nname: {{.Name}}\\nimage: {{.Image}}\\nnode: {{.Node}}\\ndesired_state: {{.DesiredState}}\\ncurrent_state: {{.CurrentState}}\\nerror: {{.Error}}\\nports: {{.Ports}}\\n",
    ),
    raw_quiet: Some("id: {{.ID}}"),
    quiet: "{{.ID}}",
};

/// Errors in the table are cut to this many columns.
const ERROR_WIDTH: usize = 30;

/// Names of services and nodes, by id. What has no name here is shown by its id.
#[derive(Debug, Default)]
struct Names {
    services: BTreeMap<String, String>,
    nodes: BTreeMap<String, String>,
}

/// Prints tasks.
///
/// # Errors
/// If the format does not fit. Names that cannot be found are no error.
pub(crate) async fn print_tasks(flags: &TaskFlags, tasks: Vec<Task>, session: &Session) -> Outcome {
    let quiet = flags.quiet.unwrap_or_default();
    let names = if flags.no_resolve.unwrap_or_default() { Names::default() } else { resolve(&tasks, session).await };
    let format = choose(flags.format.as_deref(), &session.config.tasks_format, quiet);
    let cut = !flags.no_trunc.unwrap_or_default() && !quiet;
    let now = Timestamp::from_system(std::time::SystemTime::now());
    let header = Header::new([
        ("ID", "ID"),
        ("Name", "NAME"),
        ("Image", "IMAGE"),
        ("Node", "NODE"),
        ("DesiredState", "DESIRED STATE"),
        ("CurrentState", "CURRENT STATE"),
        ("Error", "ERROR"),
        ("Ports", "PORTS"),
    ]);
    print_rows(&FORMATS, format, quiet, &header, rows(tasks, &names, cut, format.starts_with("table"), now))
}

/// Asks for each service and node once, with one list call for each kind unless there is only one.
async fn resolve(tasks: &[Task], session: &Session) -> Names {
    let services: BTreeSet<String> = tasks.iter().filter_map(|task| task.service_id).map(|id| id.to_string()).collect();
    let nodes: BTreeSet<String> = tasks.iter().filter_map(|task| task.node_id).map(|id| id.to_string()).collect();
    let (services, nodes) = futures_util::future::join(all_services(&services, session), all_nodes(&nodes, session)).await;
    Names {
        services: services.into_iter().map(|service| (service.id.to_string(), service.spec.name)).collect(),
        nodes: nodes
            .into_iter()
            .map(|node| {
                let names = [node.spec.name, node.description.hostname, node.id.to_string()];
                (node.id.to_string(), names.into_iter().find(|name| !name.is_empty()).unwrap_or_default())
            })
            .collect(),
    }
}

// A service or node that cannot be read, as it may be gone by now, is shown by its id: that is no error.
async fn all_services(ids: &BTreeSet<String>, session: &Session) -> Vec<Service> {
    match ids.iter().collect::<Vec<_>>()[..] {
        [] => Vec::new(),
        [only] => session.api.get(&format!("/services/{}", escape(only))).await.into_iter().collect(),
        _ => session.api.get("/services").await.unwrap_or_default(),
    }
}

async fn all_nodes(ids: &BTreeSet<String>, session: &Session) -> Vec<Node> {
    match ids.iter().collect::<Vec<_>>()[..] {
        [] => Vec::new(),
        [only] => session.api.get(&format!("/nodes/{}", escape(only))).await.into_iter().collect(),
        _ => session.api.get("/nodes").await.unwrap_or_default(),
    }
}

fn rows(tasks: Vec<Task>, names: &Names, cut: bool, indent: bool, now: Timestamp) -> Vec<Row> {
    let mut named: Vec<(String, Task)> = tasks.into_iter().map(|task| (name(&task, names), task)).collect();
    // Tasks of one slot stand together, the newest first.
    named.sort_by(|(a_name, a), (b_name, b)| natural::compare(a_name, b_name).then_with(|| b.created_at.cmp(&a.created_at)));
    let mut previous = String::new();
    named
        .into_iter()
        .map(|(name, task)| {
            let shown = if indent && name == previous { format!(" \\_ {name}") } else { name.clone() };
            previous = name;
            row(&shown, &task, names, cut, now)
        })
        .collect()
}

fn name(task: &Task, names: &Names) -> String {
    let service = task.service_id.map(|id| id.to_string()).unwrap_or_default();
    let service = names.services.get(&service).unwrap_or(&service);
    match (task.slot, task.node_id) {
        (0, node) => format!("{service}.{}", node.map(|id| id.to_string()).unwrap_or_default()),
        (slot, _) => format!("{service}.{slot}"),
    }
}

fn row(name: &str, task: &Task, names: &Names, cut: bool, now: Timestamp) -> Row {
    let image = task.spec.container_spec.as_ref().map(|container| container.image.clone()).unwrap_or_default();
    let node = task.node_id.map(|id| id.to_string()).unwrap_or_default();
    let error = if cut { ellipsis(&task.status.err, ERROR_WIDTH) } else { task.status.err.clone() };
    let ports: Vec<String> = task
        .status
        .port_status
        .ports
        .iter()
        .map(|port| format!("*:{}->{}/{}", port.published_port, port.target_port, port.protocol))
        .collect();
    let state = capitalized(task.status.state.as_str());
    Row::new("task.taskContext")
        .column("ID", if cut { task.id.short() } else { task.id.as_str() })
        .column("Name", name)
        .column("Image", if cut { image::shown(&image) } else { image })
        .column("Node", names.nodes.get(&node).cloned().unwrap_or(node))
        .column("DesiredState", capitalized(task.desired_state.as_str()))
        .column("CurrentState", format!("{state} {}", ago(task.status.timestamp, now).to_lowercase()))
        .column("Error", if error.is_empty() { error } else { format!("\"{error}\"") })
        .column("Ports", ports.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use swarm_template::render_rows;

    const NOW: &str = "2024-01-01T01:00:00Z";

    fn task(number: u8, slot: u64, created: &str, status: serde_json::Value) -> Task {
        let id = |kind: char| format!("{kind}{number}").repeat(13)[..25].to_owned();
        serde_json::from_value(json!({
            "ID": id('t'), "Version": {"Index": 1}, "CreatedAt": created, "UpdatedAt": created,
            "Spec": {"ContainerSpec": {"Image": "nginx:1@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"}},
            "ServiceID": "s".repeat(25), "Slot": slot, "NodeID": "n".repeat(25), "Status": status, "DesiredState": "running",
        }))
        .expect("is a task")
    }

    fn names() -> Names {
        Names { services: BTreeMap::from([("s".repeat(25), "web".into())]), nodes: BTreeMap::from([("n".repeat(25), "node-1".into())]) }
    }

    fn table(tasks: Vec<Task>, names: &Names, cut: bool) -> String {
        let header = Header::new([
            ("ID", "ID"),
            ("Name", "NAME"),
            ("Image", "IMAGE"),
            ("Node", "NODE"),
            ("DesiredState", "DESIRED STATE"),
            ("CurrentState", "CURRENT STATE"),
            ("Error", "ERROR"),
            ("Ports", "PORTS"),
        ]);
        let now = Timestamp::parse(NOW).expect("is a time");
        render_rows(FORMATS.table, &header, rows(tasks, names, cut, true, now)).expect("renders")
    }

    fn tasks() -> Vec<Task> {
        let running = json!({"Timestamp": "2024-01-01T00:55:00Z", "State": "running",
            "PortStatus": {"Ports": [{"Protocol": "tcp", "TargetPort": 80, "PublishedPort": 8080, "PublishMode": "host"}]}});
        let failed = json!({"Timestamp": "2024-01-01T00:59:15Z", "State": "failed", "Err": "task: non-zero exit (137): unhealthy"});
        vec![
            task(1, 10, "2024-01-01T00:00:00Z", running.clone()),
            task(2, 2, "2024-01-01T00:00:00Z", failed),
            task(3, 2, "2024-01-01T00:30:00Z", running),
        ]
    }

    #[test]
    fn tasks_of_a_slot_stand_together_newest_first() {
        let expected = "\
ID             NAME        IMAGE     NODE      DESIRED STATE   CURRENT STATE           ERROR                              PORTS
t3t3t3t3t3t3   web.2       nginx:1   node-1    Running         Running 5 minutes ago                                      *:8080->80/tcp
t2t2t2t2t2t2    \\_ web.2   nginx:1   node-1    Running         Failed 45 seconds ago   \"task: non-zero exit (137): un…\"   
t1t1t1t1t1t1   web.10      nginx:1   node-1    Running         Running 5 minutes ago                                      *:8080->80/tcp
";
        assert_eq!(table(tasks(), &names(), true), expected);
    }

    #[test]
    fn uncut_tasks_show_everything() {
        let text = table(tasks(), &Names::default(), false);
        let line = text.lines().nth(2).expect("has one");
        assert!(line.starts_with(&format!("{}    \\_ {}.2   nginx:1@sha256:", &"t2".repeat(13)[..25], "s".repeat(25))), "{line}");
        assert!(line.contains("\"task: non-zero exit (137): unhealthy\""), "{line}");
    }
}
