//! Service specs from flags: a new one, or an old one changed.

mod build;
mod merge;
mod merge_container;
mod merge_lists;
mod merge_networks;
#[cfg(test)]
mod tests;

pub(crate) use build::build;
pub(crate) use merge::merge;
pub(crate) use merge_networks::merge_networks;

use std::collections::BTreeMap;
use swarm_types::{Nanos, RestartCondition, RestartPolicy};

const SECOND: Nanos = 1_000_000_000;

/// What a restart policy starts from when only some of its flags are given: the server's defaults.
fn default_restart_policy() -> RestartPolicy {
    RestartPolicy { condition: RestartCondition::Any, delay: Some(5 * SECOND), max_attempts: Some(0), window: None }
}

/// `KEY=VALUE` texts as a map; a key alone has an empty value.
fn pairs(texts: &[String]) -> BTreeMap<String, String> {
    texts
        .iter()
        .map(|text| {
            let (key, value) = text.split_once('=').unwrap_or((text, ""));
            (key.to_owned(), value.to_owned())
        })
        .collect()
}

/// `NAME:IP` texts as lines of `/etc/hosts`.
fn host_lines(texts: &[String]) -> Vec<String> {
    texts.iter().filter_map(|text| text.split_once(':')).map(|(name, ip)| format!("{ip} {name}")).collect()
}
