//! Mounts in short form: `[SOURCE:]TARGET[:OPTIONS]`.

use crate::ComposeError;
use crate::node::Node;
use serde_norway::{Mapping, Value};

/// How a mount may be propagated.
const PROPAGATIONS: [&str; 6] = ["rprivate", "private", "rshared", "shared", "rslave", "slave"];

/// The long form, as the file would have it.
///
/// # Errors
/// On what is neither a short nor a long form.
pub(crate) fn long(node: &Node<'_>) -> Result<Value, ComposeError> {
    if node.value.is_mapping() {
        return Ok(node.value.clone());
    }
    let text = node.text()?;
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, options) = match parts[..] {
        [target] => ("", target, ""),
        [source, target] if target.starts_with('/') => (source, target, ""),
        [target, options] => ("", target, options),
        [source, target, options] => (source, target, options),
        _ => return Err(node.invalid(format!("invalid spec: {text}: too many colons"))),
    };
    if target.is_empty() || (text.contains(':') && source.is_empty() && options.is_empty()) {
        return Err(node.invalid(format!("invalid spec: {text}: empty section between colons")));
    }
    let mut map = Mapping::new();
    let bind = is_path(source);
    map.insert("type".into(), if bind { "bind" } else { "volume" }.into());
    if !source.is_empty() {
        map.insert("source".into(), source.into());
    }
    map.insert("target".into(), target.into());
    options.split(',').filter(|option| !option.is_empty()).try_for_each(|option| apply(node, &mut map, bind, option))?;
    Ok(map.into())
}

/// Whether a source is a path of the host rather than the name of a volume.
pub(crate) fn is_path(source: &str) -> bool {
    source.starts_with(['.', '/', '~'])
}

fn apply(node: &Node<'_>, map: &mut Mapping, bind: bool, option: &str) -> Result<(), ComposeError> {
    let mut within = |section: &str, key: &str, value: Value| {
        let mut inner = Mapping::new();
        inner.insert(key.into(), value);
        map.insert(section.into(), inner.into());
    };
    match option {
        "ro" => drop(map.insert("read_only".into(), true.into())),
        "rw" => drop(map.insert("read_only".into(), false.into())),
        "nocopy" if !bind => within("volume", "nocopy", true.into()),
        propagation if bind && PROPAGATIONS.contains(&propagation) => within("bind", "propagation", propagation.into()),
        // Labels of a security module that engines apply to what only they can see.
        "z" | "Z" | "cached" | "delegated" | "consistent" => {}
        other => return Err(node.invalid(format!("unknown mount option: {other}"))),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        let value = Value::from(text);
        match long(&Node::new("v", &value)) {
            Ok(long) => serde_norway::to_string(&long).expect("writes").trim_end().replace('\n', " "),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn short_mounts_are_read() {
        assert_eq!(read("/data"), "type: volume target: /data");
        assert_eq!(read("db:/data:ro"), "type: volume source: db target: /data read_only: true");
        assert_eq!(read("./conf:/etc/conf:rshared"), "type: bind source: ./conf target: /etc/conf bind:   propagation: rshared");
        assert_eq!(read("db:/data:nocopy"), "type: volume source: db target: /data volume:   nocopy: true");
        assert_eq!(read("a:/b:xx"), "v unknown mount option: xx");
        assert_eq!(read("a:/b:c:d"), "v invalid spec: a:/b:c:d: too many colons");
    }
}
