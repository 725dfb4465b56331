//! `node promote` and `node demote`.

use super::update::{store, stored};
use crate::failure::Outcome;
use crate::output::print_line;
use crate::session::Session;
use swarm_types::Role;

/// Asks for `role` on each node, up to the first one that fails.
///
/// # Errors
/// On what the daemon refuses.
pub(super) async fn change(nodes: &[String], role: Role, session: &Session) -> Outcome {
    for name in nodes {
        let mut node = stored(name, session).await?;
        if node.spec.get("Role").and_then(serde_json::Value::as_str) == Some(role.as_str()) {
            print_line(&format!("Node {} is already a {role}.", node.id))?;
            continue;
        }
        node.spec.insert("Role".to_owned(), role.as_str().into());
        store(&node, session).await?;
        print_line(&match role {
            Role::Manager => format!("Node {name} promoted to a manager in the swarm."),
            Role::Worker => format!("Manager {name} demoted in the swarm."),
        })?;
    }
    Ok(())
}
