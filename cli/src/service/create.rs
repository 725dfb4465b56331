//! `service create`.

use super::environment::own_variable;
use super::flags::CreateFlags;
use super::payloads::{self, Change};
use super::{pin, progress, spec};
use crate::failure::Outcome;
use crate::output::{print_line, warn};
use crate::session::Session;
use serde::Deserialize;

/// What the daemon answers.
#[derive(Debug, Deserialize)]
struct Created {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "Warnings", default)]
    warnings: Option<Vec<String>>,
}

/// Creates a service and waits until it has converged, unless told not to.
///
/// # Errors
/// On contradictory flags and on what the daemon refuses.
pub(super) async fn create(flags: &CreateFlags, command: &[String], session: &Session) -> Outcome {
    let (image, args) = command.split_first().ok_or("there is no image")?;
    let mut spec = spec::build(flags, image, args, &own_variable)?;
    let container = spec.task_template.container_spec.get_or_insert_default();
    payloads::secrets(Change { add: &flags.secret, remove: &[] }, container, session).await?;
    payloads::configs(Change { add: &flags.config, remove: &[] }, container, session).await?;
    let resolve = !flags.service.no_resolve_image.unwrap_or_default();
    let warning = pin::pin(&mut spec.task_template, resolve, session).await;
    let created: Created = session.api.post("/services/create", &spec).await?;
    for warning in created.warnings.into_iter().flatten().chain(warning) {
        warn(&warning);
    }
    print_line(&created.id)?;
    let wait = flags.service.wait;
    if wait.detach.detach.unwrap_or_default() {
        return Ok(());
    }
    progress::wait(&created.id, wait.quiet.unwrap_or_default(), session).await
}
