//! Secrets and configs of a service: from their names on the command line to references that the daemon takes.

use super::flags::FileFlag;
use crate::failure::{Failure, Outcome};
use crate::query::Filters;
use crate::session::Session;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use swarm_types::{ConfigReference, ContainerSpec, SecretReference};

/// A secret or config as far as its id is needed.
#[derive(Deserialize)]
struct Stored {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "Spec")]
    spec: Named,
}

#[derive(Deserialize)]
struct Named {
    #[serde(rename = "Name", default)]
    name: String,
}

/// What a service gets and loses.
pub(super) struct Change<'a> {
    pub(super) add: &'a [FileFlag],
    pub(super) remove: &'a [String],
}

/// Changes the secrets of a container.
///
/// # Errors
/// If one does not exist, or two of the new ones go to one place.
pub(super) async fn secrets(change: Change<'_>, container: &mut ContainerSpec, session: &Session) -> Outcome {
    container.secrets.retain(|secret| !change.remove.contains(&secret.secret_name));
    let ids = ids("secret", change.add, session).await?;
    for FileFlag { source, file } in change.add.iter().cloned() {
        container.secrets.push(SecretReference { secret_id: ids[&source].clone(), secret_name: source, file: Some(file) });
    }
    Ok(())
}

/// Changes the configs of a container.
///
/// # Errors
/// If one does not exist, or two of the new ones go to one place.
pub(super) async fn configs(change: Change<'_>, container: &mut ContainerSpec, session: &Session) -> Outcome {
    container.configs.retain(|config| !change.remove.contains(&config.config_name));
    let ids = ids("config", change.add, session).await?;
    for FileFlag { source, file } in change.add.iter().cloned() {
        container.configs.push(ConfigReference { config_id: ids[&source].clone(), config_name: source, file: Some(file), runtime: None });
    }
    Ok(())
}

/// The ids of all that is named.
async fn ids(kind: &str, given: &[FileFlag], session: &Session) -> Outcome<BTreeMap<String, String>> {
    let mut targets = BTreeSet::new();
    if let Some(double) = given.iter().find(|flag| !targets.insert(&flag.file.name)) {
        return Err(Failure::new(format!("duplicate {kind} target for {} not allowed", double.source)));
    }
    if given.is_empty() {
        return Ok(BTreeMap::new());
    }
    let mut filters = Filters::default();
    given.iter().for_each(|flag| filters.add("name", &flag.source));
    let stored: Vec<Stored> = session.api.get(&filters.on(&format!("/{kind}s"), &[])).await?;
    let ids: BTreeMap<String, String> = stored.into_iter().map(|stored| (stored.spec.name, stored.id)).collect();
    match given.iter().find(|flag| !ids.contains_key(&flag.source)) {
        Some(missing) => Err(Failure::new(format!("{kind} not found: {}", missing.source))),
        None => Ok(ids),
    }
}
