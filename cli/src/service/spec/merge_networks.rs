//! `--network-add` and `--network-rm`.

use crate::absent;
use crate::failure::{Failure, Outcome};
use crate::query::escape;
use crate::service::flags::UpdateFlags;
use crate::session::Session;
use swarm_types::{Network, ServiceSpec};

/// Changes the service's networks as the flags ask. The service names them by id, the user as he likes.
///
/// # Errors
/// If a network to add is there already, and on what the daemon refuses.
pub(crate) async fn merge_networks(flags: &UpdateFlags, spec: &mut ServiceSpec, session: &Session) -> Outcome {
    if flags.network_add.is_empty() && flags.network_rm.is_empty() {
        return Ok(());
    }
    let old = std::mem::take(&mut spec.networks);
    let networks = &mut spec.task_template.networks;
    if networks.is_empty() {
        *networks = old;
    }
    for word in &flags.network_rm {
        let id = id_of(word, session).await?;
        networks.retain(|network| network.target != id && network.target != *word);
    }
    for added in &flags.network_add {
        let id = id_of(&added.target, session).await?;
        if networks.iter().any(|network| network.target == id) {
            return Err(Failure::new(format!("service is already attached to network {}", added.target)));
        }
        let mut added = added.clone();
        added.target = id;
        networks.push(added);
    }
    Ok(())
}

/// The id of a cluster network. What is none keeps its name: it is one of the engine's own, or the daemon will say.
async fn id_of(word: &str, session: &Session) -> Outcome<String> {
    let Some(json) = session.api.find_text(&format!("/networks/{}?scope=swarm", escape(word))).await? else {
        return Ok(word.to_owned());
    };
    let network: Network = absent::read_text(json.as_bytes()).map_err(|e| Failure::new(e.to_string()))?;
    Ok(if network.scope == swarm_types::SCOPE_SWARM { network.id } else { word.to_owned() })
}
