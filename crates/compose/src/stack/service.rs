//! One service.

use super::{IMAGE_LABEL, Plan, Result, container, deploy, networks};
use crate::node::Node;
use swarm_types::{EndpointMode, EndpointSpec, PortConfig, ServiceSpec, TaskSpec};

/// The spec of the service that the files call `key`.
///
/// # Errors
/// On everything in it that makes no sense.
pub(super) fn spec(plan: &Plan<'_>, key: &str, node: &Node<'_>) -> Result<ServiceSpec> {
    let deploy = node.get("deploy");
    if let Some(deploy) = &deploy {
        deploy::check_keys(deploy)?;
    }
    let image = node.get("image").map(|image| image.text()).transpose()?.unwrap_or_default();
    let mut labels = deploy.as_ref().and_then(|deploy| deploy.get("labels")).map(|labels| labels.labels()).transpose()?.unwrap_or_default();
    labels.insert(IMAGE_LABEL.to_owned(), image);
    let policy = |key: &str| deploy.as_ref().and_then(|deploy| deploy.get(key)).map(|node| deploy::policy(&node)).transpose();
    Ok(ServiceSpec {
        name: plan.scope(key),
        labels: plan.labels(labels),
        mode: deploy::mode(node, deploy.as_ref())?,
        task_template: TaskSpec {
            container_spec: Some(container::spec(plan, key, node)?),
            resources: deploy::resources(node, deploy.as_ref())?,
            restart_policy: deploy::restart(node, deploy.as_ref())?,
            placement: Some(deploy::placement(node, deploy.as_ref())?),
            networks: networks::of_service(plan, key, node)?,
            log_driver: container::log_driver(node)?,
            ..TaskSpec::default()
        },
        endpoint_spec: Some(endpoint(node, deploy.as_ref())?),
        update_config: policy("update_config")?,
        rollback_config: policy("rollback_config")?,
        ..ServiceSpec::default()
    })
}

fn endpoint(node: &Node<'_>, deploy: Option<&Node<'_>>) -> Result<EndpointSpec> {
    let mode = deploy.and_then(|deploy| deploy.get("endpoint_mode"));
    let mode = mode.map(|mode| mode.text()?.to_lowercase().parse::<EndpointMode>().map_err(|error| mode.invalid(error.to_string())));
    let mut ports = Vec::new();
    if let Some(list) = node.get("ports") {
        for item in list.items()? {
            ports.extend(port(&item)?);
        }
    }
    ports.sort_by_key(|port| port.published_port);
    Ok(EndpointSpec { mode: mode.transpose()?, ports })
}

/// A port in long form; what is published may be a range.
fn port(node: &Node<'_>) -> Result<Vec<PortConfig>> {
    node.only(&["name", "mode", "host_ip", "target", "published", "protocol", "app_protocol"])?;
    if node.get("host_ip").is_some_and(|ip| ip.text().is_ok_and(|ip| !ip.is_empty())) {
        return Err(node.invalid("hostip is not supported"));
    }
    let target = node.get("target").map_or_else(|| Err(node.invalid("must have a target")), |target| target.whole::<u16>())?;
    let published = match node.get("published") {
        None => 0..=0,
        Some(published) => {
            let text = published.text()?;
            let range = if text.is_empty() { Some(0..=0) } else { crate::short::port::range(&text) };
            range.ok_or_else(|| published.invalid(format!("invalid hostPort: {text}")))?
        }
    };
    let word = |key: &str| node.get(key).map(|word| word.text().map(|text| (word, text))).transpose();
    let protocol = word("protocol")?.map(|(node, text)| text.parse().map_err(|_| node.invalid(format!("invalid proto: {text}"))));
    let publish_mode = word("mode")?.map(|(node, text)| {
        text.parse().map_err(|_| node.invalid(format!("invalid publish mode value ({text}): must be either 'ingress' or 'host'")))
    });
    let port = PortConfig {
        name: word("name")?.map(|(_, text)| text).unwrap_or_default(),
        protocol: protocol.transpose()?.unwrap_or_default(),
        target_port: target.into(),
        published_port: 0,
        publish_mode: publish_mode.transpose()?.unwrap_or_default(),
    };
    Ok(published.map(|published_port| PortConfig { published_port, ..port.clone() }).collect())
}
