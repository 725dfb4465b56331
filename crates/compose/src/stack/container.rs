//! The container part of a service.

use super::{Plan, Result, environment, mounts, payloads};
use crate::node::Node;
use std::collections::BTreeMap;
use swarm_types::capabilities;
use swarm_types::{AppArmorOpts, ContainerSpec, CredentialSpec, DnsConfig, Driver, HealthConfig, Nanos, Privileges, SeccompOpts, Ulimit};

/// The container of the service that the files call `key`.
///
/// # Errors
/// On everything in it that makes no sense.
pub(super) fn spec(plan: &Plan<'_>, key: &str, node: &Node<'_>) -> Result<ContainerSpec> {
    let text = |key: &str| node.get(key).map_or_else(|| Ok(String::new()), |node| node.text());
    let texts = |key: &str| node.get(key).map_or_else(|| Ok(Vec::new()), |node| node.texts());
    let switch = |key: &str| node.get(key).map(|node| node.switch()).transpose();
    let (capability_add, capability_drop) = capabilities::effective(&texts("cap_add")?, &texts("cap_drop")?);
    let mut hosts: Vec<String> =
        texts("extra_hosts")?.iter().filter_map(|host| host.split_once(':')).map(|(name, ip)| format!("{ip} {name}")).collect();
    hosts.sort();
    let labels = node.get("labels").map_or_else(|| Ok(BTreeMap::new()), |labels| labels.labels())?;
    Ok(ContainerSpec {
        image: text("image")?,
        labels: plan.labels(labels),
        command: texts("entrypoint")?,
        args: texts("command")?,
        hostname: text("hostname")?,
        env: environment::of_service(plan, node)?,
        dir: text("working_dir")?,
        user: text("user")?,
        groups: texts("group_add")?,
        privileges: privileges(node)?,
        init: switch("init")?,
        stop_signal: text("stop_signal")?,
        stop_grace_period: node.get("stop_grace_period").map(|node| node.duration()).transpose()?,
        tty: switch("tty")?.unwrap_or_default(),
        open_stdin: switch("stdin_open")?.unwrap_or_default(),
        read_only: switch("read_only")?.unwrap_or_default(),
        mounts: mounts::of_service(plan, key, node)?,
        healthcheck: node.get("healthcheck").map(|node| health(&node)).transpose()?,
        hosts,
        dns_config: dns(texts("dns")?, texts("dns_search")?, texts("dns_opt")?),
        secrets: payloads::secrets(plan, key, node)?,
        configs: payloads::configs(plan, key, node)?,
        isolation: text("isolation")?,
        sysctls: node.get("sysctls").map_or_else(|| Ok(BTreeMap::new()), |sysctls| sysctls.labels())?,
        capability_add,
        capability_drop,
        ulimits: ulimits(node)?,
        oom_score_adj: node.get("oom_score_adj").map(|node| node.whole()).transpose()?.unwrap_or_default(),
    })
}

fn dns(nameservers: Vec<String>, search: Vec<String>, options: Vec<String>) -> Option<DnsConfig> {
    let any = !(nameservers.is_empty() && search.is_empty() && options.is_empty());
    any.then_some(DnsConfig { nameservers, search, options })
}

/// A health check; `disable` stands for the test `NONE`.
fn health(node: &Node<'_>) -> Result<HealthConfig> {
    node.only(&["disable", "interval", "retries", "test", "timeout", "start_period", "start_interval"])?;
    let test = node.get("test").map_or_else(|| Ok(Vec::new()), |test| test.texts())?;
    if node.get("disable").map(|node| node.switch()).transpose()?.unwrap_or_default() {
        if !test.is_empty() {
            return Err(node.invalid("test and disable can't be set at the same time"));
        }
        return Ok(HealthConfig { test: vec!["NONE".into()], ..HealthConfig::default() });
    }
    let time = |key: &str| -> Result<Nanos> { node.get(key).map_or(Ok(0), |node| node.duration()) };
    Ok(HealthConfig {
        test,
        interval: time("interval")?,
        timeout: time("timeout")?,
        start_period: time("start_period")?,
        start_interval: time("start_interval")?,
        retries: node.get("retries").map(|node| node.whole()).transpose()?.unwrap_or_default(),
    })
}

/// By name; one number is both limits.
fn ulimits(node: &Node<'_>) -> Result<Vec<Ulimit>> {
    let Some(limits) = node.get("ulimits") else { return Ok(Vec::new()) };
    let one = |(name, node): (String, Node<'_>)| {
        if !node.value.is_mapping() {
            let both = node.whole()?;
            return Ok(Ulimit { name, soft: both, hard: both });
        }
        node.only(&["soft", "hard"])?;
        let limit = |key: &str| node.get(key).map_or_else(|| Err(node.invalid(format!("must have a {key} limit"))), |node| node.whole());
        Ok(Ulimit { name, soft: limit("soft")?, hard: limit("hard")? })
    };
    limits.entries()?.into_iter().map(one).collect()
}

/// Where a service's output goes.
///
/// # Errors
/// On anything but a driver and its options.
pub(super) fn log_driver(node: &Node<'_>) -> Result<Option<Driver>> {
    let Some(logging) = node.get("logging") else { return Ok(None) };
    logging.only(&["driver", "options"])?;
    Ok(Some(Driver {
        name: logging.get("driver").map(|driver| driver.text()).transpose()?.unwrap_or_default(),
        options: logging.get("options").map_or_else(|| Ok(BTreeMap::new()), |options| options.labels())?,
    }))
}

/// What the engine can be told of a `security_opt`.
enum Security {
    NoNewPrivileges(bool),
    Seccomp(String),
    AppArmor(String),
    Unknown,
}

fn security(option: &str) -> Security {
    let (key, value) = option.split_once([':', '=']).unwrap_or((option, "true"));
    match (key, value) {
        ("no-new-privileges", value) => Security::NoNewPrivileges(value != "false"),
        ("seccomp", "unconfined") => Security::Seccomp("unconfined".into()),
        ("apparmor", "unconfined") => Security::AppArmor("disabled".into()),
        _ => Security::Unknown,
    }
}

fn security_options(node: &Node<'_>) -> Result<Vec<(String, Security)>> {
    let options = node.get("security_opt").map_or_else(|| Ok(Vec::new()), |node| node.texts())?;
    Ok(options.into_iter().map(|option| (option.clone(), security(&option))).collect())
}

/// The security options of a service that services cannot have.
///
/// # Errors
/// If they are no texts.
pub(super) fn security_ignored(node: &Node<'_>) -> Result<Vec<String>> {
    let any = security_options(node)?.iter().any(|(_, known)| matches!(known, Security::Unknown));
    Ok(any.then(|| "security_opt".to_owned()).into_iter().collect())
}

fn privileges(node: &Node<'_>) -> Result<Option<Privileges>> {
    let mut privileges = Privileges::default();
    for (_, option) in security_options(node)? {
        match option {
            Security::NoNewPrivileges(on) => privileges.no_new_privileges = on,
            Security::Seccomp(mode) => privileges.seccomp = Some(SeccompOpts { mode, ..SeccompOpts::default() }),
            Security::AppArmor(mode) => privileges.app_armor = Some(AppArmorOpts { mode }),
            Security::Unknown => {}
        }
    }
    if let Some(credentials) = node.get("credential_spec") {
        credentials.only(&["config", "file", "registry"])?;
        let text = |key: &str| credentials.get(key).map_or_else(|| Ok(String::new()), |node| node.text());
        let spec = CredentialSpec { config: text("config")?, file: text("file")?, registry: text("registry")? };
        if [&spec.config, &spec.file, &spec.registry].iter().filter(|text| !text.is_empty()).count() != 1 {
            return Err(credentials.invalid("must have exactly one of config, file and registry"));
        }
        privileges.credential_spec = Some(spec);
    }
    Ok((privileges != Privileges::default()).then_some(privileges))
}
