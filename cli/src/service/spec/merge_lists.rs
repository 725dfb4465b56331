//! How lists and maps of an existing spec are changed by their `-rm` and `-add` flags.

use super::pairs;
use crate::service::environment;
use std::collections::BTreeMap;

/// Removes keys, then adds or replaces pairs.
pub(super) fn merge_pairs(map: &mut BTreeMap<String, String>, remove: &[String], add: &[String]) {
    for key in remove {
        map.remove(key);
    }
    map.extend(pairs(add));
}

/// Removes the items that are in `remove`.
pub(super) fn without(items: &mut Vec<String>, remove: &[String]) {
    items.retain(|item| !remove.contains(item));
}

/// The items in their order, each once.
pub(super) fn without_duplicates<T: PartialEq>(items: Vec<T>) -> Vec<T> {
    let mut kept: Vec<T> = Vec::with_capacity(items.len());
    for item in items {
        if !kept.contains(&item) {
            kept.push(item);
        }
    }
    kept
}

/// Adds items, drops duplicates, removes items, and sorts, so that the order of flags changes nothing.
pub(super) fn merge_sorted(items: &mut Vec<String>, remove: &[String], add: &[String]) {
    items.extend_from_slice(add);
    let mut kept = without_duplicates(std::mem::take(items));
    without(&mut kept, remove);
    kept.sort_unstable();
    *items = kept;
}

/// Removes variables by name, then adds or replaces others in place; new ones go to the end.
pub(super) fn merge_env(env: &mut Vec<String>, remove: &[String], add: &[String]) {
    env.retain(|variable| !remove.iter().any(|key| key == environment::key(variable)));
    for variable in add {
        let key = environment::key(variable);
        match env.iter_mut().find(|existing| environment::key(existing) == key) {
            Some(existing) => variable.clone_into(existing),
            None => env.push(variable.clone()),
        }
    }
}

/// Lines of `/etc/hosts` without the removed names (`NAME` anywhere, `NAME:IP` only with that address), then the added ones.
///
/// The order stays: of several addresses of a name, the first one counts.
pub(super) fn merge_hosts(hosts: &mut Vec<String>, remove: &[String], add: Vec<String>) {
    let mut kept = Vec::with_capacity(hosts.len() + add.len());
    for line in hosts.iter() {
        let mut words = line.split_whitespace();
        let Some(ip) = words.next() else { continue };
        let names: Vec<&str> = words
            .filter(|name| {
                !remove.iter().any(|removed| {
                    let (host, only_ip) = removed.split_once(':').unwrap_or((removed, ""));
                    host == *name && (only_ip.is_empty() || only_ip == ip)
                })
            })
            .collect();
        if !names.is_empty() {
            kept.push(format!("{ip} {}", names.join(" ")));
        }
    }
    kept.extend(add);
    *hosts = without_duplicates(kept);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(items: &[&str]) -> Vec<String> {
        items.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn variables_keep_their_place() {
        let mut env = texts(&["A=1", "B=2", "C=3"]);
        merge_env(&mut env, &texts(&["A", "D"]), &texts(&["B=4", "E=5", "E=6"]));
        assert_eq!(env, ["B=4", "C=3", "E=6"]);
    }

    #[test]
    fn hosts_go_by_name_or_by_name_and_address() {
        let before = ["127.0.0.2 host3 host1 host2 host4", "127.0.0.1 host1 host4", "127.0.0.3 host1", "127.0.0.1 host1"];
        let mut hosts = texts(&before);
        merge_hosts(&mut hosts, &texts(&["host1"]), Vec::new());
        assert_eq!(hosts, ["127.0.0.2 host3 host2 host4", "127.0.0.1 host4"]);

        let mut hosts = texts(&before);
        merge_hosts(&mut hosts, &texts(&["host1:127.0.0.1"]), texts(&["127.0.0.3 host1", "127.0.0.9 new"]));
        assert_eq!(hosts, ["127.0.0.2 host3 host1 host2 host4", "127.0.0.1 host4", "127.0.0.3 host1", "127.0.0.9 new"]);
    }

    #[test]
    fn sorted_lists_have_no_duplicates() {
        let mut items = texts(&["b", "a", "b"]);
        merge_sorted(&mut items, &texts(&["a"]), &texts(&["c", "b"]));
        assert_eq!(items, ["b", "c"]);
    }
}
