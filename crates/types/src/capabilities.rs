//! Linux capabilities to add and to drop.

use std::collections::BTreeSet;

/// Stands for every capability.
const ALL: &str = "ALL";
/// Empties the list that it is given for, on update.
const RESET: &str = "RESET";

/// The lists of a new service from its flags: adding wins over dropping, `ALL` over single ones.
pub fn effective(add: &[String], drop: &[String]) -> (Vec<String>, Vec<String>) {
    let whole = |names: &[String]| {
        let mut set = normalized(names);
        set.remove(RESET);
        if set.contains(ALL) { BTreeSet::from([ALL.to_owned()]) } else { set }
    };
    let (add, mut drop) = (whole(add), whole(drop));
    drop.retain(|name| !add.contains(name));
    (add.into_iter().collect(), drop.into_iter().collect())
}

/// The lists of a service after an update.
///
/// Each capability has three states: added, dropped, or neither. Dropping an added one, or adding a dropped one, leads back
/// to neither; only the second time does it reach the other side.
pub fn updated(add: &mut Vec<String>, drop: &mut Vec<String>, to_add: &[String], to_drop: &[String]) {
    let (mut added, mut dropped) = (normalized(add), normalized(drop));
    let (mut to_add, mut to_drop) = (normalized(to_add), normalized(to_drop));
    if to_add.remove(RESET) {
        added.clear();
    }
    if to_drop.remove(RESET) {
        dropped.clear();
    }
    for name in to_drop.difference(&to_add) {
        if !added.remove(name) {
            dropped.insert(name.clone());
        }
    }
    for name in to_add {
        if !dropped.remove(&name) {
            added.insert(name);
        }
    }
    *add = listed(added);
    *drop = listed(dropped);
}

fn listed(names: BTreeSet<String>) -> Vec<String> {
    if names.contains(ALL) { vec![ALL.to_owned()] } else { names.into_iter().collect() }
}

fn normalized(names: &[String]) -> BTreeSet<String> {
    names
        .iter()
        .map(|name| {
            let name = name.trim().to_uppercase();
            if name == ALL || name == RESET || name.starts_with("CAP_") { name } else { format!("CAP_{name}") }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(names: &str) -> Vec<String> {
        names.split_whitespace().map(String::from).collect()
    }

    fn created(add: &str, drop: &str) -> (String, String) {
        let (add, drop) = effective(&texts(add), &texts(drop));
        (add.join(" "), drop.join(" "))
    }

    fn changed(add: &str, drop: &str, to_add: &str, to_drop: &str) -> (String, String) {
        let (mut add, mut drop) = (texts(add), texts(drop));
        updated(&mut add, &mut drop, &texts(to_add), &texts(to_drop));
        (add.join(" "), drop.join(" "))
    }

    fn lists(add: &str, drop: &str) -> (String, String) {
        (add.into(), drop.into())
    }

    #[test]
    fn adding_wins_over_dropping() {
        assert_eq!(created("net_admin CAP_SYS_TIME", "net_admin chown"), lists("CAP_NET_ADMIN CAP_SYS_TIME", "CAP_CHOWN"));
        assert_eq!(created("ALL chown", "ALL"), lists("ALL", ""));
        assert_eq!(created("chown", "ALL net_raw"), lists("CAP_CHOWN", "ALL"));
        assert_eq!(created("RESET", "RESET chown"), lists("", "CAP_CHOWN"));
    }

    #[test]
    fn an_update_goes_through_neither() {
        assert_eq!(changed("", "CAP_A", "a", ""), lists("", ""));
        assert_eq!(changed("", "", "a", ""), lists("CAP_A", ""));
        assert_eq!(changed("CAP_A", "", "", "a"), lists("", ""));
        assert_eq!(changed("", "", "a", "a"), lists("CAP_A", ""));
        assert_eq!(changed("", "CAP_A", "a", "a"), lists("", ""));
        assert_eq!(changed("CAP_A CAP_B", "CAP_C", "RESET", ""), lists("", "CAP_C"));
        assert_eq!(changed("CAP_A", "CAP_C", "RESET d", "RESET e"), lists("CAP_D", "CAP_E"));
        assert_eq!(changed("CAP_A", "", "ALL", ""), lists("ALL", ""));
    }
}
