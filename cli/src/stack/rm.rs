//! `stack rm`.

use super::{nothing_found, of_stack};
use crate::failure::{Failure, Outcome};
use crate::output::{print_line, warn};
use crate::query::{Filters, escape};
use crate::session::Session;
use serde::Deserialize;
use std::time::Duration;
use swarm_types::{Config, Secret, Service, Task, TaskState};

/// How often the tasks of a removed stack are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// A network, as far as its removal needs it.
#[derive(Debug, Deserialize)]
pub(super) struct NamedNetwork {
    /// Its id.
    #[serde(rename = "Id")]
    pub(super) id: String,
    /// Its name.
    #[serde(rename = "Name")]
    pub(super) name: String,
}

/// Something to remove: what it is called here, its name, and its path.
struct Doomed {
    kind: &'static str,
    name: String,
    path: String,
}

/// Removes stacks, one after the other. A failure of one does not keep the others.
///
/// # Errors
/// If something could not be removed.
pub(super) async fn rm(stacks: &[String], detach: bool, session: &Session) -> Outcome {
    let mut failures = Vec::new();
    for stack in stacks {
        match remove(stack, detach, session).await {
            Ok(()) => {}
            Err(failure) => failures.push(failure),
        }
    }
    Failure::join(failures)
}

async fn remove(stack: &str, detach: bool, session: &Session) -> Outcome {
    let doomed = everything(stack, session).await?;
    if doomed.is_empty() {
        warn(&nothing_found(stack));
        return Ok(());
    }
    let mut failed = false;
    for Doomed { kind, name, path } in &doomed {
        print_line(&format!("Removing {kind} {name}"))?;
        if let Err(failure) = session.api.delete(path).await {
            warn(&format!("Failed to remove {kind} {name}: {failure}"));
            failed = true;
        }
    }
    if failed {
        return Err(Failure::new(format!("failed to remove some resources from stack: {stack}")));
    }
    if detach { Ok(()) } else { wait_for_tasks(stack, session).await }
}

/// All of a stack, in the order in which it can go: first what uses the rest.
async fn everything(stack: &str, session: &Session) -> Outcome<Vec<Doomed>> {
    let list = |path: &str| of_stack(Filters::default(), stack).on(path, &[]);
    let (services, secrets, configs, networks) = (list("/services"), list("/secrets"), list("/configs"), list("/networks"));
    let mut services: Vec<Service> = session.api.get(&services).await?;
    services.sort_by(|one, other| one.spec.name.cmp(&other.spec.name));
    let secrets: Vec<Secret> = session.api.get(&secrets).await?;
    let configs: Vec<Config> = session.api.get(&configs).await?;
    let networks: Vec<NamedNetwork> = session.api.get(&networks).await?;
    let doomed = |kind: &'static str, name: String, id: &str| Doomed { kind, name, path: format!("/{kind}s/{}", escape(id)) };
    let mut all: Vec<Doomed> = services.into_iter().map(|s| doomed("service", s.spec.name, s.id.as_str())).collect();
    all.extend(secrets.into_iter().map(|s| doomed("secret", s.spec.name, s.id.as_str())));
    all.extend(configs.into_iter().map(|c| doomed("config", c.spec.name, c.id.as_str())));
    all.extend(networks.into_iter().map(|n| doomed("network", n.name, &n.id)));
    Ok(all)
}

/// Waits until no task of the stack runs any more.
async fn wait_for_tasks(stack: &str, session: &Session) -> Outcome {
    loop {
        let tasks: Vec<Task> = session.api.get(&of_stack(Filters::default(), stack).on("/tasks", &[])).await?;
        if tasks.iter().all(|task| task.status.state > TaskState::Running) {
            return Ok(());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
