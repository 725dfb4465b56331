//! How many tasks there are, where, with what, and how they are restarted and replaced.

use super::{Result, unsupported};
use crate::node::Node;
use swarm_types::{
    FailureAction, GenericResource, GlobalJob, GlobalService, Limits, Nanos, Placement, PlacementPreference, Platform, ReplicatedJob,
    ReplicatedService, ResourceRequirements, Resources, RestartCondition, RestartPolicy, ServiceMode, SpreadOver, UpdateConfig,
    UpdateOrder,
};

/// Keys of `deploy`.
const KEYS: [&str; 10] = [
    "mode",
    "replicas",
    "endpoint_mode",
    "labels",
    "placement",
    "resources",
    "restart_policy",
    "update_config",
    "rollback_config",
    "max_concurrent",
];

/// Refuses keys that no `deploy` has.
///
/// # Errors
/// Names the first.
pub(super) fn check_keys(deploy: &Node<'_>) -> Result<()> {
    deploy.only(&KEYS)
}

/// Keys of the resources without effect.
///
/// # Errors
/// If there is no map where one belongs.
pub(super) fn ignored(service: &Node<'_>) -> Result<Vec<String>> {
    let resources = service.get("deploy").and_then(|deploy| deploy.get("resources"));
    let reservations = resources.and_then(|resources| resources.get("reservations"));
    Ok(reservations.map(|node| unsupported::named("deploy.resources.reservations", &node, &["devices"])).unwrap_or_default())
}

/// The mode; `scale` is an old word for the replicas.
///
/// # Errors
/// On unknown modes, and on replicas where there are none to count.
pub(super) fn mode(service: &Node<'_>, deploy: Option<&Node<'_>>) -> Result<ServiceMode> {
    let of_deploy = |key: &str| deploy.and_then(|deploy| deploy.get(key));
    let mode = of_deploy("mode").map(|mode| mode.text()).transpose()?.unwrap_or_default();
    let replicas = of_deploy("replicas").or_else(|| service.get("scale"));
    let at = replicas.clone();
    let replicas: Option<u64> = replicas.map(|node| node.whole()).transpose()?;
    let max_concurrent: Option<u64> = of_deploy("max_concurrent").map(|node| node.whole()).transpose()?;
    let only_replicated = |node: &Node<'_>| node.invalid("replicas can only be used with replicated or replicated-job mode");
    let none = ServiceMode::default();
    match (mode.as_str(), at) {
        ("" | "replicated", _) => Ok(ServiceMode { replicated: Some(ReplicatedService { replicas }), ..none }),
        ("replicated-job", _) => {
            let max_concurrent = max_concurrent.or(replicas);
            Ok(ServiceMode { replicated_job: Some(ReplicatedJob { max_concurrent, total_completions: replicas }), ..none })
        }
        ("global" | "global-job", Some(at)) => Err(only_replicated(&at)),
        ("global", None) => Ok(ServiceMode { global: Some(GlobalService {}), ..none }),
        ("global-job", None) => Ok(ServiceMode { global_job: Some(GlobalJob {}), ..none }),
        _ => Err(deploy.unwrap_or(service).invalid(format!("Unknown mode: {mode}"))),
    }
}

/// Limits and reservations; those beside `deploy` count where `deploy` has none.
///
/// # Errors
/// On sizes and numbers that are none.
pub(super) fn resources(service: &Node<'_>, deploy: Option<&Node<'_>>) -> Result<Option<ResourceRequirements>> {
    let resources = deploy.and_then(|deploy| deploy.get("resources"));
    if let Some(resources) = &resources {
        resources.only(&["limits", "reservations"])?;
    }
    let part = |key: &str| resources.as_ref().and_then(|resources| resources.get(key));
    let (limits, reservations) = (part("limits"), part("reservations"));
    if let Some(limits) = &limits {
        limits.only(&["cpus", "memory", "pids"])?;
    }
    if let Some(reservations) = &reservations {
        reservations.only(&["cpus", "memory", "generic_resources", "devices", "pids"])?;
    }
    let cpus = |node: Option<Node<'_>>| node.map_or(Ok(0), |node| nano_cpus(&node));
    let bytes = |node: Option<Node<'_>>| node.map_or(Ok(0), |node| node.bytes());
    let limit = Limits {
        nano_cpus: cpus(either(limits.as_ref(), service, "cpus", "cpus"))?,
        memory_bytes: bytes(either(limits.as_ref(), service, "memory", "mem_limit"))?,
        pids: either(limits.as_ref(), service, "pids", "pids_limit").map_or(Ok(0), |node| node.whole())?,
        generic_resources: Vec::new(),
    };
    let reserved = Resources {
        nano_cpus: cpus(reservations.as_ref().and_then(|part| part.get("cpus")))?,
        memory_bytes: bytes(either(reservations.as_ref(), service, "memory", "mem_reservation"))?,
        generic_resources: generic(reservations.as_ref())?,
    };
    let swap = service.get("memswap_limit").map(|node| swap(&node, limit.memory_bytes)).transpose()?;
    let requirements = ResourceRequirements {
        limits: (limit != Limits::default()).then_some(limit),
        reservations: (reserved != Resources::default()).then_some(reserved),
        swap_bytes: swap,
        memory_swappiness: service.get("mem_swappiness").map(|node| node.whole()).transpose()?,
    };
    Ok((requirements != ResourceRequirements::default()).then_some(requirements))
}

/// The value under `key` of `part`, else the one under `old` of the service itself.
fn either<'a>(part: Option<&Node<'a>>, service: &Node<'a>, key: &str, old: &str) -> Option<Node<'a>> {
    part.and_then(|part| part.get(key)).or_else(|| service.get(old))
}

/// Compose counts memory and swap together, the API only swap; `-1` is no bound.
fn swap(node: &Node<'_>, memory: i64) -> Result<i64> {
    if node.text()? == "-1" {
        return Ok(-1);
    }
    match node.bytes()? - memory {
        bytes if bytes >= 0 => Ok(bytes),
        _ => Err(node.invalid("must not be less than the memory limit")),
    }
}

fn nano_cpus(node: &Node<'_>) -> Result<i64> {
    swarm_template::size::nano_cpus(&node.text()?).map_err(|error| node.invalid(error.to_string()))
}

fn generic(reservations: Option<&Node<'_>>) -> Result<Vec<GenericResource>> {
    let Some(list) = reservations.and_then(|node| node.get("generic_resources")) else { return Ok(Vec::new()) };
    let one = |item: Node<'_>| {
        item.only(&["discrete_resource_spec"])?;
        let spec = item.get("discrete_resource_spec").ok_or_else(|| item.invalid("must have a discrete_resource_spec"))?;
        spec.only(&["kind", "value"])?;
        let kind = spec.get("kind").map(|kind| kind.text()).transpose()?.unwrap_or_default();
        Ok(GenericResource::Discrete { kind, value: spec.get("value").map_or(Ok(0), |value| value.whole())? })
    };
    list.items()?.into_iter().map(one).collect()
}

/// When a task is started again; `restart` counts where `deploy` says nothing.
///
/// # Errors
/// On words that are no condition.
pub(super) fn restart(service: &Node<'_>, deploy: Option<&Node<'_>>) -> Result<Option<RestartPolicy>> {
    let Some(policy) = deploy.and_then(|deploy| deploy.get("restart_policy")) else {
        return service.get("restart").map_or(Ok(None), |node| old_restart(&node));
    };
    policy.only(&["condition", "delay", "max_attempts", "window"])?;
    let time = |key: &str| -> Result<Option<Nanos>> { policy.get(key).map(|node| node.duration()).transpose() };
    let condition = policy.get("condition").map(|node| node.text()?.parse().map_err(|_| node.invalid("must be none, on-failure or any")));
    Ok(Some(RestartPolicy {
        condition: condition.transpose()?.unwrap_or_default(),
        delay: time("delay")?,
        max_attempts: policy.get("max_attempts").map(|node| node.whole()).transpose()?,
        window: time("window")?,
    }))
}

fn old_restart(node: &Node<'_>) -> Result<Option<RestartPolicy>> {
    let text = node.text()?;
    let policy = |condition, max_attempts| Some(RestartPolicy { condition, max_attempts, ..RestartPolicy::default() });
    match text.split_once(':').unwrap_or((&text, "")) {
        // YAML reads a bare `no` as a switch.
        ("" | "no" | "false", "") => Ok(None),
        ("always" | "unless-stopped", "") => Ok(policy(RestartCondition::Any, None)),
        ("on-failure", "") => Ok(policy(RestartCondition::OnFailure, None)),
        ("on-failure", attempts) => match attempts.parse() {
            Ok(attempts) => Ok(policy(RestartCondition::OnFailure, Some(attempts))),
            Err(_) => Err(node.invalid("maximum retry count must be an integer")),
        },
        _ => Err(node.invalid(format!("unknown restart policy: {text}"))),
    }
}

/// Where tasks may run.
///
/// # Errors
/// On anything but constraints, preferences and a bound per node.
pub(super) fn placement(service: &Node<'_>, deploy: Option<&Node<'_>>) -> Result<Placement> {
    let platform = service.get("platform").map(|node| node.text()).transpose()?;
    let platforms = platform.iter().map(|text| {
        let mut parts = text.split('/').map(str::to_owned);
        Platform { os: parts.next().unwrap_or_default(), architecture: parts.next().unwrap_or_default() }
    });
    let mut placement = Placement { platforms: platforms.collect(), ..Placement::default() };
    let Some(given) = deploy.and_then(|deploy| deploy.get("placement")) else { return Ok(placement) };
    given.only(&["constraints", "preferences", "max_replicas_per_node"])?;
    placement.constraints = given.get("constraints").map_or_else(|| Ok(Vec::new()), |node| node.texts())?;
    placement.max_replicas = given.get("max_replicas_per_node").map_or(Ok(0), |node| node.whole())?;
    for item in given.get("preferences").map_or_else(|| Ok(Vec::new()), |node| node.items())? {
        item.only(&["spread"])?;
        let spread_descriptor = item.get("spread").map(|spread| spread.text()).transpose()?.unwrap_or_default();
        placement.preferences.push(PlacementPreference { spread: Some(SpreadOver { spread_descriptor }) });
    }
    Ok(placement)
}

/// How tasks are replaced or put back; one at a time unless said otherwise.
///
/// # Errors
/// On words, times and shares that are none.
pub(super) fn policy(node: &Node<'_>) -> Result<UpdateConfig> {
    node.only(&["parallelism", "delay", "failure_action", "monitor", "max_failure_ratio", "order"])?;
    let time = |key: &str| -> Result<Option<Nanos>> { node.get(key).map(|node| node.duration()).transpose() };
    let word = |key: &str| node.get(key).map(|node| node.text().map(|text| (node, text))).transpose();
    let action = word("failure_action")?.map(|(node, text)| text.parse::<FailureAction>().map_err(|error| node.invalid(error.to_string())));
    let order = word("order")?.map(|(node, text)| text.parse::<UpdateOrder>().map_err(|error| node.invalid(error.to_string())));
    #[expect(clippy::cast_possible_truncation, reason = "a share from 0 to 1")]
    let max_failure_ratio = node.get("max_failure_ratio").map_or(Ok(0.0), |node| node.float())? as f32;
    Ok(UpdateConfig {
        parallelism: node.get("parallelism").map_or(Ok(1), |node| node.whole())?,
        delay: time("delay")?.unwrap_or_default(),
        failure_action: action.transpose()?,
        monitor: time("monitor")?,
        max_failure_ratio,
        order: order.transpose()?,
    })
}
