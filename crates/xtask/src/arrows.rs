//! Which crate may depend on which: daemons, rooms, state, types, in this direction only.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::root;

/// For each crate, the crates of this workspace that it may use. Moving a boundary is a change here, in
/// the same commit.
const ALLOWED: &[(&str, &[&str])] = &[
    ("swarm-types", &[]),
    ("swarm-template", &[]),
    ("swarm-state", &["swarm-types"]),
    ("swarm-planner", &["swarm-types", "swarm-state"]),
    ("swarm-session", &["swarm-types"]),
    ("swarm-raftlog", &["swarm-types", "swarm-state"]),
    ("swarm-pki", &["swarm-types"]),
    ("swarm-dataplane", &["swarm-types"]),
    ("swarm-client", &["swarm-types"]),
    ("swarm-compose", &["swarm-types", "swarm-template"]),
    ("swarm-cli", &["swarm-types", "swarm-client", "swarm-template", "swarm-compose"]),
    ("swarm-agent", &["swarm-types", "swarm-pki", "swarm-session", "swarm-template", "swarm-dataplane"]),
    ("swarm-manager", &["swarm-types", "swarm-state", "swarm-planner", "swarm-raftlog", "swarm-pki", "swarm-session", "swarm-template"]),
    ("swarm-testkit", &[]),
    ("xtask", &[]),
];

/// Crates that are for tests: they may use everything, and others only in their tests.
const FOR_TESTS: &[&str] = &["swarm-testkit", "swarm-tests", "swarm-benchmarks", "swarm-simulation"];

/// Crates with neither I/O, clock nor randomness: what they do follows from their arguments alone.
const PURE: &[&str] = &["swarm-types", "swarm-state", "swarm-planner", "swarm-session", "swarm-template"];

/// What no pure crate may use, not even through another crate.
const IMPURE: &[&str] = &["tokio", "mio", "hyper", "async-io", "smol", "openraft", "sled", "bollard", "nix", "rustls"];

/// What no pure crate may name as a dependency itself. imbl brings it along, for a hasher that nobody
/// here uses.
const RANDOM: &[&str] = &["rand", "rand_core", "getrandom", "fastrand", "uuid"];

/// Crates that only some may use, so that what they know stops there.
const ONLY: &[(&str, &[&str])] =
    &[("bollard", &["swarm-agent"]), ("openraft", &["swarm-raftlog", "swarm-manager"]), ("sled", &["swarm-raftlog", "swarm-agent"])];

/// What was read of the dependency graph.
#[derive(Debug, Default)]
struct Graph {
    /// Names of the workspace's crates.
    members: BTreeSet<String>,
    /// For each crate, what it uses outside its tests.
    uses: BTreeMap<String, BTreeSet<String>>,
}

pub(crate) fn check() -> Result<Vec<String>> {
    let graph = read_graph()?;
    let mut faults = faults(&graph);
    for name in PURE {
        let folder = root()?.join("crates").join(name.trim_start_matches("swarm-"));
        clocks(&folder.join("src"), &mut faults)?;
    }
    Ok(faults)
}

fn read_graph() -> Result<Graph> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(root()?)
        .output()
        .context("could not run cargo metadata")?;
    ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    parse_graph(&serde_json::from_slice(&output.stdout)?)
}

fn parse_graph(metadata: &Value) -> Result<Graph> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().map(str::to_owned).context("no text");
    let mut names = BTreeMap::new();
    for package in list(&metadata["packages"]) {
        names.insert(text(&package["id"])?, text(&package["name"])?);
    }
    let name = |id: &Value| -> Result<String> {
        let id = text(id)?;
        names.get(&id).cloned().with_context(|| format!("no package {id}"))
    };
    let mut graph = Graph::default();
    for id in list(&metadata["workspace_members"]) {
        graph.members.insert(name(&id)?);
    }
    for node in list(&metadata["resolve"]["nodes"]) {
        // Several versions of a crate count as one: rules are about names.
        let uses = graph.uses.entry(name(&node["id"])?).or_default();
        for dependency in list(&node["deps"]) {
            let kinds = list(&dependency["dep_kinds"]);
            // A null kind is an ordinary dependency; others are for tests and build scripts.
            if kinds.iter().any(|kind| kind["kind"].is_null()) {
                uses.insert(name(&dependency["pkg"])?);
            }
        }
    }
    ensure!(!graph.members.is_empty(), "cargo metadata names no crate");
    Ok(graph)
}

fn faults(graph: &Graph) -> Vec<String> {
    let mut faults = Vec::new();
    for member in &graph.members {
        let direct = graph.uses.get(member).cloned().unwrap_or_default();
        if !FOR_TESTS.contains(&member.as_str()) {
            let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| name == member) else {
                faults.push(format!("{member} has no line in the table of arrows"));
                continue;
            };
            for used in direct.intersection(&graph.members) {
                if !allowed.contains(&used.as_str()) {
                    faults.push(format!("{member} must not use {used}"));
                }
            }
            for (used, by) in ONLY {
                if direct.contains(*used) && !by.contains(&member.as_str()) {
                    faults.push(format!("{member} must not use {used}: only {} may", by.join(", ")));
                }
            }
        }
        if PURE.contains(&member.as_str()) {
            for used in direct.iter().filter(|used| RANDOM.contains(&used.as_str())) {
                faults.push(format!("{member} is pure and must not use {used}"));
            }
            for (used, path) in reached(graph, member) {
                if IMPURE.contains(&used.as_str()) {
                    faults.push(format!("{member} is pure and must not use {used}: {path}"));
                }
            }
        }
    }
    faults
}

/// Everything that a crate uses, through others too, each with the way to it.
fn reached(graph: &Graph, from: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut open = vec![(from.to_owned(), from.to_owned())];
    while let Some((name, path)) = open.pop() {
        for used in graph.uses.get(&name).into_iter().flatten() {
            if !found.contains_key(used) {
                let path = format!("{path} -> {used}");
                found.insert(used.clone(), path.clone());
                open.push((used.clone(), path));
            }
        }
    }
    found
}

/// Looks for clocks in the sources of a pure crate.
fn clocks(folder: &std::path::Path, faults: &mut Vec<String>) -> Result<()> {
    const CLOCKS: &[&str] = &["SystemTime::now", "Instant::now", "Timestamp::now", "Zoned::now"];
    let entries = std::fs::read_dir(folder).with_context(|| format!("could not read {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            clocks(&path, faults)?;
            continue;
        }
        let text = std::fs::read_to_string(&path)?;
        for clock in CLOCKS.iter().filter(|clock| text.contains(**clock)) {
            faults.push(format!("{}: a pure crate must not call {clock}", path.display()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(edges: &[(&str, &str)]) -> Graph {
        let mut graph = Graph::default();
        for (from, to) in edges {
            graph.uses.entry((*from).into()).or_default().insert((*to).into());
            for name in [from, to] {
                if name.starts_with("swarm-") {
                    graph.members.insert((*name).into());
                }
            }
        }
        graph
    }

    #[test]
    fn the_tree_keeps_its_directions() {
        assert_eq!(check().unwrap(), Vec::<String>::new());
    }

    #[test]
    fn an_arrow_against_the_direction_is_found() {
        let found = faults(&graph(&[("swarm-cli", "swarm-types"), ("swarm-types", "swarm-cli")]));
        assert_eq!(found, ["swarm-types must not use swarm-cli"]);
        let found = faults(&graph(&[("swarm-agent", "swarm-manager")]));
        assert_eq!(found, ["swarm-agent must not use swarm-manager"]);
    }

    #[test]
    fn impurity_is_found_through_other_crates() {
        let found = faults(&graph(&[("swarm-state", "helper"), ("helper", "tokio")]));
        assert_eq!(found, ["swarm-state is pure and must not use tokio: swarm-state -> helper -> tokio"]);
        let found = faults(&graph(&[("swarm-planner", "rand")]));
        assert_eq!(found, ["swarm-planner is pure and must not use rand"]);
    }

    #[test]
    fn a_crate_for_some_is_refused_to_others() {
        let found = faults(&graph(&[("swarm-cli", "bollard")]));
        assert_eq!(found, ["swarm-cli must not use bollard: only swarm-agent may"]);
    }

    #[test]
    fn an_unknown_crate_must_be_entered_in_the_table() {
        let found = faults(&graph(&[("swarm-new", "serde")]));
        assert_eq!(found, ["swarm-new has no line in the table of arrows"]);
    }
}
