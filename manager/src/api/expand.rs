//! A test of the templates in a spec, so that a mistake is told to its author and not to a task.

use swarm_template::{Functions, Limits, Struct, Value};
use swarm_types::{ContainerSpec, Mount, ServiceSpec};

/// Templates of specs put names together; more than this is a mistake or malice, and costs the manager time.
const LIMITS: Limits = Limits { steps_max: 100_000, bytes_max: 1 << 20, depth_max: 100 };

/// The container of a made-up task on a made-up node.
///
/// # Errors
/// Docker's text about the first template that cannot be expanded.
pub(super) fn test(spec: &ServiceSpec) -> Result<ContainerSpec, String> {
    let mut container = spec.task_template.container_spec.clone().unwrap_or_default();
    let data = data(spec);
    for entry in &mut container.env {
        let Some((name, value)) = entry.split_once('=') else { continue };
        let value = text(&data, value).map_err(|e| format!("expanding env failed: expanding env {entry:?}: {e}"))?;
        *entry = format!("{name}={value}");
    }
    for mount in &mut container.mounts {
        expand_mount(&data, mount).map_err(|e| format!("expanding mounts failed: {e}"))?;
    }
    container.hostname = text(&data, &container.hostname).map_err(|e| format!("expanding hostname failed: {e}"))?;
    Ok(container)
}

fn expand_mount(data: &Value, mount: &mut Mount) -> Result<(), String> {
    mount.source = text(data, &mount.source).map_err(|e| format!("expanding mount source {:?}: {e}", mount.source))?;
    mount.target = text(data, &mount.target).map_err(|e| format!("expanding mount target {:?}: {e}", mount.target))?;
    let Some(options) = &mut mount.volume_options else { return Ok(()) };
    for (name, value) in &mut options.labels {
        *value = text(data, value).map_err(|e| format!("expanding volume label {name:?}: {e}"))?;
    }
    for (name, value) in options.driver_config.iter_mut().flat_map(|driver| &mut driver.options) {
        *value = text(data, value).map_err(|e| format!("expanding volume driver option {name:?}: {e}"))?;
    }
    Ok(())
}

fn text(data: &Value, text: &str) -> Result<String, String> {
    if !text.contains("{{") {
        return Ok(text.to_owned());
    }
    let template = swarm_template::service_template(text, &Functions::new()).map_err(|e| e.to_string())?;
    template.limits(LIMITS).render(data).map_err(|e| e.to_string())
}

/// The names that the agents offer to templates, with values of the right kind.
fn data(spec: &ServiceSpec) -> Value {
    let labels = Value::string_map(spec.labels.iter().map(|(k, v)| (k.as_str(), v.as_str())));
    let service = Struct::new("struct { ID string; Name string; Labels map[string]string }")
        .field("ID", "serviceid")
        .field("Name", spec.name.as_str())
        .field("Labels", labels);
    let platform = Struct::new("template.Platform").field("Architecture", "architecture").field("OS", "os");
    let node = Struct::new("struct { ID string; Hostname string; Platform template.Platform }")
        .field("ID", "nodeid")
        .field("Hostname", "nodeHostname")
        .field("Platform", platform);
    let task =
        Struct::new("struct { ID string; Name string; Slot string }").field("ID", "taskid").field("Name", "taskname").field("Slot", "1");
    Struct::pointer("template.Context").field("Service", service).field("Node", node).field("Task", task).into()
}
