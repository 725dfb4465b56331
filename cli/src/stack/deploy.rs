//! `stack deploy`.

use super::rm::NamedNetwork;
use super::{DeployArgs, files, of_stack};
use crate::failure::{Failure, Outcome};
use crate::output::{print_line, warn};
use crate::query::{Filters, escape};
use crate::service::{pin, progress, update::Stored};
use crate::session::Session;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use swarm_compose::{IMAGE_LABEL, Stack, StackNetwork, StackService};
use swarm_types::{LocalNodeState, NetworkCreated, PayloadSpec, SCOPE_SWARM, Service, Version};

/// When the registry is asked for the digest of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resolve {
    /// Always.
    Always,
    /// If the file names another image than before.
    Changed,
    /// Never.
    Never,
}

/// Reads `--resolve-image`.
///
/// # Errors
/// On other words.
pub(super) fn resolve_mode(text: &str) -> Result<Resolve, String> {
    match text {
        "always" => Ok(Resolve::Always),
        "changed" => Ok(Resolve::Changed),
        "never" => Ok(Resolve::Never),
        other => Err(format!("Invalid option {other} for flag --resolve-image")),
    }
}

impl fmt::Display for Resolve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Always => "always",
            Self::Changed => "changed",
            Self::Never => "never",
        })
    }
}

/// Networks of the engines, which are there without being asked for.
const PREDEFINED: [&str; 4] = ["host", "none", "bridge", "default"];

/// Makes a stack what its files say: what is missing is made, services that are there are updated.
///
/// # Errors
/// On compose files that make no sense, and on what the daemon refuses. What was made until then stays.
pub(super) async fn deploy(args: &DeployArgs, name: &str, session: &Session) -> Outcome {
    let project = args.files.load(true)?;
    let stack = project.stack(name, &files::surroundings(&[])).map_err(|error| Failure::new(error.to_string()))?;
    stack.warnings.iter().for_each(|warning| warn(warning));
    if args.detach.is_none() {
        warn(
            "Since --detach=false was not specified, tasks will be created in the background.\n\
             In a future release, --detach=false will become the default.",
        );
    }
    let info = session.api.swarm_info().await?;
    if info.local_node_state != LocalNodeState::Active || !info.control_available {
        return Err("this node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to swarm and try again".into());
    }
    let there = existing(name, session).await?;
    if args.prune.unwrap_or_default() {
        prune(&stack, &there, session).await?;
    }
    check_external(&stack.external_networks, session).await?;
    create_networks(&stack.networks, name, session).await?;
    for (kind, specs) in [("secret", &stack.secrets), ("config", &stack.configs)] {
        for spec in specs {
            store_payload(kind, spec, session).await?;
        }
    }
    let mut ids = Vec::with_capacity(stack.services.len());
    let payloads = Payloads::read(&stack, session).await?;
    for service in stack.services {
        ids.push(store_service(service, &there, &payloads, args.resolve_image, session).await?);
    }
    if !args.detach.unwrap_or(true) {
        for id in ids {
            progress::wait(&id, args.quiet.unwrap_or_default(), session).await?;
        }
    }
    Ok(())
}

/// The services of the stack that are there, by name.
async fn existing(name: &str, session: &Session) -> Outcome<BTreeMap<String, Service>> {
    let services: Vec<Service> = session.api.get(&of_stack(Filters::default(), name).on("/services", &[])).await?;
    Ok(services.into_iter().map(|service| (service.spec.name.clone(), service)).collect())
}

/// Removes services that the files no longer have.
async fn prune(stack: &Stack, there: &BTreeMap<String, Service>, session: &Session) -> Outcome {
    let mut failures = Vec::new();
    for (name, service) in there.iter().filter(|(name, _)| stack.services.iter().all(|wanted| wanted.spec.name != **name)) {
        print_line(&format!("Removing service {name}"))?;
        if let Err(failure) = session.api.delete(&format!("/services/{}", service.id)).await {
            failures.push(failure);
        }
    }
    Failure::join(failures)
}

/// Checks that networks from elsewhere are there and reach all nodes.
async fn check_external(names: &[String], session: &Session) -> Outcome {
    #[derive(Deserialize)]
    struct Found {
        #[serde(rename = "Scope", default)]
        scope: String,
    }
    for name in names.iter().filter(|name| !PREDEFINED.contains(&name.as_str())) {
        let Some(text) = session.api.find_text(&format!("/networks/{}", escape(name))).await? else {
            return Err(Failure::new(format!(
                "network {name:?} is declared as external, but could not be found. You need to create a swarm-scoped network before the stack is deployed"
            )));
        };
        let found: Found = serde_json::from_str(&text).map_err(|error| Failure::new(format!("Error reading JSON: {error}")))?;
        if found.scope != SCOPE_SWARM {
            return Err(Failure::new(format!(
                "network {name:?} is declared as external, but it is not in the right scope: {:?} instead of {SCOPE_SWARM:?}",
                found.scope
            )));
        }
    }
    Ok(())
}

async fn create_networks(networks: &[StackNetwork], stack: &str, session: &Session) -> Outcome {
    if networks.is_empty() {
        return Ok(());
    }
    let there: Vec<NamedNetwork> = session.api.get(&of_stack(Filters::default(), stack).on("/networks", &[])).await?;
    for network in networks.iter().filter(|network| there.iter().all(|there| there.name != network.name)) {
        print_line(&format!("Creating network {}", network.name))?;
        let mut create = network.create.clone();
        create.name.clone_from(&network.name);
        let made: Outcome<NetworkCreated> = session.api.post("/networks/create", &create).await;
        made.map_err(|failure| failure.about(&format!("failed to create network {}", network.name)))?;
    }
    Ok(())
}

/// A stored secret or config, as far as its update needs it.
#[derive(Deserialize)]
struct StoredPayload {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "Version")]
    version: Version,
}

/// Makes a secret or config. One that is there can only get other labels: other bytes are refused by the daemon.
async fn store_payload(kind: &str, spec: &PayloadSpec, session: &Session) -> Outcome {
    let name = &spec.name;
    let Some(text) = session.api.find_text(&format!("/{kind}s/{}", escape(name))).await? else {
        print_line(&format!("Creating {kind} {name}"))?;
        let made: Outcome<Value> = session.api.post(&format!("/{kind}s/create"), spec).await;
        return made.map(drop).map_err(|failure| failure.about(&format!("failed to create {kind} {name}")));
    };
    let stored: StoredPayload = serde_json::from_str(&text).map_err(|error| Failure::new(format!("Error reading JSON: {error}")))?;
    let path = format!("/{kind}s/{}/update?version={}", stored.id, stored.version.index);
    let updated = session.api.post_empty(&path, Some(spec)).await;
    updated.map_err(|failure| failure.about(&format!("failed to update {kind} {name}")))
}

/// Ids of the secrets and configs that services of a stack name.
#[derive(Default)]
struct Payloads {
    secrets: BTreeMap<String, String>,
    configs: BTreeMap<String, String>,
}

impl Payloads {
    async fn read(stack: &Stack, session: &Session) -> Outcome<Self> {
        let containers = || stack.services.iter().filter_map(|service| service.spec.task_template.container_spec.as_ref());
        let secrets = containers().flat_map(|container| &container.secrets).map(|secret| secret.secret_name.clone());
        let configs = containers().flat_map(|container| &container.configs).map(|config| config.config_name.clone());
        Ok(Self { secrets: ids("secret", secrets, session).await?, configs: ids("config", configs, session).await? })
    }

    fn fill_in(&self, service: &mut StackService) -> Outcome {
        let key = service.key.clone();
        let Some(container) = service.spec.task_template.container_spec.as_mut() else { return Ok(()) };
        let missing = |kind: &str, name: &str| Failure::new(format!("service {key}: {kind} not found: {name}"));
        for secret in &mut container.secrets {
            let id = self.secrets.get(&secret.secret_name).ok_or_else(|| missing("secret", &secret.secret_name))?;
            secret.secret_id.clone_from(id);
        }
        for config in &mut container.configs {
            let id = self.configs.get(&config.config_name).ok_or_else(|| missing("config", &config.config_name))?;
            config.config_id.clone_from(id);
        }
        Ok(())
    }
}

async fn ids(kind: &str, names: impl Iterator<Item = String>, session: &Session) -> Outcome<BTreeMap<String, String>> {
    #[derive(Deserialize)]
    struct Found {
        #[serde(rename = "ID")]
        id: String,
        #[serde(rename = "Spec")]
        spec: PayloadSpec,
    }
    let mut filters = Filters::default();
    let mut any = false;
    for name in names {
        filters.add("name", &name);
        any = true;
    }
    if !any {
        return Ok(BTreeMap::new());
    }
    let found: Vec<Found> = session.api.get(&filters.on(&format!("/{kind}s"), &[])).await?;
    Ok(found.into_iter().map(|found| (found.spec.name, found.id)).collect())
}

/// Makes or updates a service; gives its id.
async fn store_service(
    mut service: StackService,
    there: &BTreeMap<String, Service>,
    payloads: &Payloads,
    resolve: Resolve,
    session: &Session,
) -> Outcome<String> {
    payloads.fill_in(&mut service)?;
    let StackService { spec, .. } = &mut service;
    let name = spec.name.clone();
    let Some(stored) = there.get(&name) else {
        print_line(&format!("Creating service {name}"))?;
        let warning = pin::pin(&mut spec.task_template, resolve == Resolve::Always || resolve == Resolve::Changed, session).await;
        let answer: Outcome<Answer> = session.api.post("/services/create", spec).await;
        let answer = answer.map_err(|failure| failure.about(&format!("failed to create service {name}")))?;
        answer.warnings.into_iter().flatten().chain(warning).for_each(|warning| warn(&warning));
        return Ok(answer.id);
    };
    print_line(&format!("Updating service {name} (id: {})", stored.id))?;
    let warning = keep_image(spec, stored, resolve, session).await;
    // A forced restart of before must not be taken back, or the next one would do nothing.
    spec.task_template.force_update = stored.spec.task_template.force_update;
    let fresh = Stored::read(stored.id.as_str(), session).await?;
    let warnings = fresh.replace(spec, session).await;
    let warnings = warnings.map_err(|failure| failure.about(&format!("failed to update service {name}")))?;
    warnings.into_iter().chain(warning).for_each(|warning| warn(&warning));
    Ok(stored.id.to_string())
}

/// Takes the image that the service has, digest and all, where the registry is not to be asked.
async fn keep_image(spec: &mut swarm_types::ServiceSpec, stored: &Service, resolve: Resolve, session: &Session) -> Option<String> {
    let same = stored.spec.labels.get(IMAGE_LABEL) == spec.labels.get(IMAGE_LABEL);
    if resolve != Resolve::Always && same {
        let image = stored.spec.task_template.container_spec.as_ref().map(|container| container.image.clone());
        if let (Some(image), Some(container)) = (image, spec.task_template.container_spec.as_mut()) {
            container.image = image;
        }
        let platforms = stored.spec.task_template.placement.as_ref().map(|placement| placement.platforms.clone());
        if let (Some(platforms), Some(placement)) = (platforms, spec.task_template.placement.as_mut())
            && placement.platforms.is_empty()
        {
            placement.platforms = platforms;
        }
        return None;
    }
    pin::pin(&mut spec.task_template, resolve != Resolve::Never, session).await
}

/// What the daemon answers to a new service.
#[derive(Debug, Deserialize, Serialize)]
struct Answer {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "Warnings", default)]
    warnings: Option<Vec<String>>,
}
