//! `service update`.

use super::environment::own_variable;
use super::flags::UpdateFlags;
use super::payloads::{self, Change};
use super::{pin, progress, rollback, spec};
use crate::absent;
use crate::failure::{Failure, Outcome};
use crate::output::{print_line, warn};
use crate::overlay;
use crate::query::escape;
use crate::session::Session;
use serde::Deserialize;
use serde_json::Value;
use swarm_types::{ServiceId, ServiceSpec, Version};

/// A service as far as its update needs it.
#[derive(Debug, Deserialize)]
pub(crate) struct Stored {
    #[serde(rename = "ID")]
    id: ServiceId,
    #[serde(rename = "Version")]
    version: Version,
    /// As the server wrote it.
    #[serde(rename = "Spec")]
    raw: Value,
}

/// What the daemon answers to an update.
#[derive(Deserialize)]
struct Updated {
    #[serde(rename = "Warnings", default)]
    warnings: Option<Vec<String>>,
}

impl Stored {
    /// Reads a service by what the user calls it.
    ///
    /// # Errors
    /// If there is none.
    pub(crate) async fn read(service: &str, session: &Session) -> Outcome<Self> {
        session.api.get(&format!("/services/{}", escape(service))).await
    }

    /// Its spec, as far as this program knows it.
    ///
    /// # Errors
    /// If it is not what this program knows.
    pub(super) fn spec(&self) -> Outcome<ServiceSpec> {
        absent::read(self.raw.clone()).map_err(|e| Failure::new(format!("cannot read the service's spec: {e}")))
    }

    /// Writes the spec back with what differs between `before` and `after`, and prints the daemon's warnings.
    ///
    /// # Errors
    /// If the service changed meanwhile, and on what the daemon refuses.
    pub(super) async fn store(self, before: &ServiceSpec, after: &ServiceSpec, session: &Session) -> Outcome<Vec<String>> {
        let spec = overlay::changed(self.raw, before, after)?;
        let path = format!("/services/{}/update?registryAuthFrom=spec&version={}", self.id, self.version.index);
        let updated: Updated = session.api.post(&path, &spec).await?;
        Ok(updated.warnings.unwrap_or_default())
    }

    /// Puts `spec` in the place of what is stored, and gives the daemon's warnings.
    ///
    /// # Errors
    /// If the service changed meanwhile, and on what the daemon refuses.
    pub(crate) async fn replace(self, spec: &ServiceSpec, session: &Session) -> Outcome<Vec<String>> {
        let path = format!("/services/{}/update?registryAuthFrom=spec&version={}", self.id, self.version.index);
        let updated: Updated = session.api.post(&path, spec).await?;
        Ok(updated.warnings.unwrap_or_default())
    }

    /// Has the daemon put the previous spec back, and gives its warnings.
    ///
    /// # Errors
    /// If there is none, or the service changed meanwhile.
    pub(super) async fn roll_back(self, session: &Session) -> Outcome<Vec<String>> {
        let path = format!("/services/{}/update?rollback=previous&version={}", self.id, self.version.index);
        let updated: Updated = session.api.post(&path, &self.raw).await?;
        Ok(updated.warnings.unwrap_or_default())
    }
}

/// Updates a service and waits until it has converged, unless told not to.
///
/// # Errors
/// On contradictory flags and on what the daemon refuses.
pub(super) async fn update(flags: &UpdateFlags, service: &str, session: &Session) -> Outcome {
    if flags.rollback == Some(true) {
        if flags.has_others_than_rollback() {
            return Err("other flags may not be combined with --rollback".into());
        }
        return rollback::rollback(flags.service.wait, service, session).await;
    }
    let stored = Stored::read(service, session).await?;
    let before = stored.spec()?;
    let mut after = before.clone();
    spec::merge(flags, &mut after, &own_variable)?;
    spec::merge_networks(flags, &mut after, session).await?;
    let container = after.task_template.container_spec.get_or_insert_default();
    payloads::secrets(Change { add: &flags.secret_add, remove: &flags.secret_rm }, container, session).await?;
    payloads::configs(Change { add: &flags.config_add, remove: &flags.config_rm }, container, session).await?;
    let warning = if flags.image.is_some() {
        let resolve = !flags.service.no_resolve_image.unwrap_or_default();
        pin::pin(&mut after.task_template, resolve, session).await
    } else {
        None
    };
    for warning in stored.store(&before, &after, session).await?.into_iter().chain(warning) {
        warn(&warning);
    }
    print_line(service)?;
    let wait = flags.service.wait;
    if wait.detach.detach.unwrap_or_default() {
        return Ok(());
    }
    progress::wait(service, wait.quiet.unwrap_or_default(), session).await
}
