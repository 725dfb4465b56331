//! One file laid over another.
//!
//! Maps are merged, single values replaced. Lists are appended, but for those whose items have a key (ports, mounts, secrets,
//! configs) and those that only make sense as a whole (commands, aliases). `!reset` takes a value away and `!override` puts
//! its own in place of what was there. Source: the Compose Specification, chapter Merge.

use crate::node::scalar;
use serde_norway::{Mapping, Value};

/// Lists and maps that are replaced as a whole, by their last key or last two keys.
const WHOLE: [&str; 5] = ["command", "entrypoint", "healthcheck.test", "ulimits", "aliases"];

/// Lays `over` on `base`, which stands at `path`.
pub(crate) fn merge(path: &str, base: &mut Mapping, over: Mapping) {
    for (key, value) in over {
        let name = scalar(&key).unwrap_or_default();
        let inner = if path.is_empty() { name } else { format!("{path}.{name}") };
        match value {
            Value::Tagged(tagged) if tagged.tag == "!reset" => drop(base.remove(&key)),
            Value::Tagged(tagged) => drop(base.insert(key, tagged.value)),
            value => match base.get_mut(&key) {
                Some(below) => lay(&inner, below, value),
                None => drop(base.insert(key, value)),
            },
        }
    }
}

/// Takes the tags of merging out of a tree that is laid on nothing.
pub(crate) fn settle(map: Mapping) -> Mapping {
    let settled = map.into_iter().filter_map(|(key, value)| match value {
        Value::Tagged(tagged) if tagged.tag == "!reset" => None,
        Value::Tagged(tagged) => Some((key, tagged.value)),
        Value::Mapping(map) => Some((key, settle(map).into())),
        value => Some((key, value)),
    });
    settled.collect()
}

fn lay(path: &str, base: &mut Value, over: Value) {
    if WHOLE.iter().any(|whole| path.ends_with(&format!(".{whole}"))) {
        *base = over;
        return;
    }
    match (base, over) {
        (Value::Mapping(base), Value::Mapping(over)) => {
            if path.ends_with(".logging") && differs(base, &over, "driver") {
                *base = over;
            } else {
                merge(path, base, over);
            }
        }
        (Value::Sequence(base), Value::Sequence(over)) => lists(path, base, over),
        // A key with nothing behind it says nothing.
        (_, Value::Null) => {}
        (base, over) => *base = over,
    }
}

/// Whether both have `key`, and not the same value.
fn differs(base: &Mapping, over: &Mapping, key: &str) -> bool {
    matches!((base.get(key), over.get(key)), (Some(base), Some(over)) if base != over)
}

fn lists(path: &str, base: &mut Vec<Value>, over: Vec<Value>) {
    let keys: &[&str] = match path.split('.').collect::<Vec<_>>()[..] {
        ["services", _, "ports"] => &["target", "published", "protocol"],
        ["services", _, "volumes"] => &["target"],
        ["services", _, "secrets" | "configs"] => &["source"],
        _ => &[],
    };
    let same = |one: &Value, other: &Value| keys.iter().all(|key| text(one, key) == text(other, key));
    for item in over {
        match base.iter_mut().find(|below| if keys.is_empty() { **below == item } else { same(below, &item) }) {
            Some(below) => *below = item,
            None => base.push(item),
        }
    }
}

fn text(item: &Value, key: &str) -> Option<String> {
    item.as_mapping()?.get(key).and_then(scalar)
}

#[cfg(test)]
mod tests {
    use crate::parse::parse;
    use serde_norway::Value;

    fn merged(base: &str, over: &str) -> Value {
        let mut base = parse("a", base, None).expect("reads").tree;
        super::merge("", &mut base, parse("b", over, None).expect("reads").tree);
        base["services"]["w"].clone()
    }

    #[test]
    fn later_files_win() {
        let web = merged(
            "services: {w: {image: a, command: [x], environment: {A: 1, B: 2}, ports: ['80:80'], dns: 1.1.1.1, volumes: ['a:/x']}}",
            "services: {w: {image: b, command: y z, environment: [B=3], ports: ['80:80', '81:81'], dns: [2.2.2.2], volumes: ['b:/x']}}",
        );
        let wanted: Value = serde_norway::from_str(
            "{image: b, command: [y, z], environment: {A: '1', B: '3'}, dns: [1.1.1.1, 2.2.2.2],
              ports: [{mode: ingress, target: 80, published: 80, protocol: tcp}, {mode: ingress, target: 81, published: 81, protocol: tcp}],
              volumes: [{type: volume, source: b, target: /x}]}",
        )
        .expect("YAML");
        assert_eq!(web, wanted);
    }

    #[test]
    fn tags_reset_and_override() {
        let web = merged(
            "services: {w: {image: a, environment: {A: 1}, ports: ['80:80'], dns: [1.1.1.1]}}",
            "services: {w: {ports: !reset [], dns: !override [2.2.2.2], environment: {A: !reset null}}}",
        );
        assert_eq!(web, serde_norway::from_str::<Value>("{image: a, environment: {}, dns: [2.2.2.2]}").expect("YAML"));
    }
}
