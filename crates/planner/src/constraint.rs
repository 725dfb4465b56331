//! Placement constraints: `key==value` and `key!=value` over what is known of a node.

use std::net::IpAddr;
use swarm_state::Node;

const NODE_LABELS: &str = "node.labels.";
const ENGINE_LABELS: &str = "engine.labels.";

/// One parsed constraint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Constraint {
    subject: Subject,
    equal: bool,
    value: Value,
}

/// What a constraint looks at. The fixed keys ignore case, label names do not.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Subject {
    Id,
    Hostname,
    Ip,
    Role,
    Os,
    Arch,
    NodeLabel(String),
    EngineLabel(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    /// Lower case: whole words are compared ignoring case.
    Word(String),
    /// An address or a subnet of so many leading bits.
    Subnet(IpAddr, u8),
}

/// A constraint that cannot be read. The texts are Docker's where it has one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConstraintError {
    /// Neither `==` nor `!=`.
    #[error("constraint expected one operator from ==, !=")]
    Operator,
    /// Not a key by its form.
    #[error("key '{0}' is invalid")]
    Key(String),
    /// Not a value by its form, or not an address where one is needed.
    #[error("value '{0}' is invalid")]
    Value(String),
    /// A key that no node has. Docker accepts these and never places a task.
    #[error(
        "key '{0}' is unknown: expected node.id, node.hostname, node.ip, node.role, node.platform.os, node.platform.arch, \
         node.labels.<label> or engine.labels.<label>"
    )]
    UnknownKey(String),
}

/// Reads all constraints of a placement.
///
/// # Errors
/// [`ConstraintError`] for the first one that cannot be read.
pub fn parse_constraints(texts: &[String]) -> Result<Vec<Constraint>, ConstraintError> {
    texts.iter().map(|text| Constraint::parse(text)).collect()
}

impl Constraint {
    /// Reads one constraint.
    ///
    /// # Errors
    /// [`ConstraintError`].
    pub fn parse(text: &str) -> Result<Self, ConstraintError> {
        let (key, value, equal) = match (text.split_once("=="), text.split_once("!=")) {
            (Some((key, value)), _) => (key.trim(), value.trim(), true),
            (None, Some((key, value))) => (key.trim(), value.trim(), false),
            (None, None) => return Err(ConstraintError::Operator),
        };
        if !is_key(key) {
            return Err(ConstraintError::Key(key.to_owned()));
        }
        if !is_value(value) {
            return Err(ConstraintError::Value(value.to_owned()));
        }
        let subject = Subject::parse(key)?;
        let value = match subject {
            Subject::Ip => {
                let (address, bits) = parse_subnet(value).ok_or_else(|| ConstraintError::Value(value.to_owned()))?;
                Value::Subnet(address, bits)
            }
            _ => Value::Word(value.to_lowercase()),
        };
        Ok(Self { subject, equal, value })
    }

    /// Whether the node satisfies it. A label that is absent counts as empty.
    #[must_use]
    pub fn holds(&self, node: &Node) -> bool {
        let description = &node.api.description;
        let word = match &self.subject {
            Subject::Id => node.api.id.as_str(),
            Subject::Hostname => &description.hostname,
            Subject::Ip => &node.api.status.addr,
            Subject::Role => node.role.as_str(),
            Subject::Os => &description.platform.os,
            Subject::Arch => &description.platform.architecture,
            Subject::NodeLabel(label) => node.api.spec.labels.get(label).map_or("", String::as_str),
            Subject::EngineLabel(label) => description.engine.labels.get(label).map_or("", String::as_str),
        };
        let same = match &self.value {
            Value::Word(value) => equal_ignoring_case(word, value),
            Value::Subnet(address, bits) => word.parse().is_ok_and(|node: IpAddr| in_subnet(node, *address, *bits)),
        };
        same == self.equal
    }
}

impl Subject {
    fn parse(key: &str) -> Result<Self, ConstraintError> {
        let label = |prefix: &str| {
            let (head, label) = key.split_at_checked(prefix.len())?;
            (head.eq_ignore_ascii_case(prefix) && !label.is_empty()).then(|| label.to_owned())
        };
        Ok(match key.to_ascii_lowercase().as_str() {
            "node.id" => Self::Id,
            "node.hostname" => Self::Hostname,
            "node.ip" => Self::Ip,
            "node.role" => Self::Role,
            "node.platform.os" => Self::Os,
            "node.platform.arch" => Self::Arch,
            _ => match (label(NODE_LABELS), label(ENGINE_LABELS)) {
                (Some(label), _) => Self::NodeLabel(label),
                (None, Some(label)) => Self::EngineLabel(label),
                (None, None) => return Err(ConstraintError::UnknownKey(key.to_owned())),
            },
        })
    }
}

/// The label that a spread preference names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpreadKey {
    /// `node.labels.K`
    NodeLabel(String),
    /// `engine.labels.K`
    EngineLabel(String),
}

impl SpreadKey {
    /// Reads a spread descriptor; `None` for anything but a label.
    #[must_use]
    pub fn parse(descriptor: &str) -> Option<Self> {
        match Subject::parse(descriptor) {
            Ok(Subject::NodeLabel(label)) => Some(Self::NodeLabel(label)),
            Ok(Subject::EngineLabel(label)) => Some(Self::EngineLabel(label)),
            _ => None,
        }
    }

    /// The node's value; an absent label is empty and makes a branch of its own.
    #[must_use]
    pub fn value<'a>(&self, node: &'a Node) -> &'a str {
        match self {
            Self::NodeLabel(label) => node.api.spec.labels.get(label),
            Self::EngineLabel(label) => node.api.description.engine.labels.get(label),
        }
        .map_or("", String::as_str)
    }
}

fn is_key(key: &str) -> bool {
    let mut bytes = key.bytes();
    key.len() >= 2
        && bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

fn is_value(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|b| b.is_ascii_alphanumeric() || b.is_ascii_whitespace() || b":-_.*()?+[]\\^$|/".contains(&b))
}

fn equal_ignoring_case(word: &str, lower: &str) -> bool {
    word.eq_ignore_ascii_case(lower) || !word.is_ascii() && word.to_lowercase() == lower
}

fn parse_subnet(text: &str) -> Option<(IpAddr, u8)> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address.parse::<IpAddr>().ok()?, bits.parse::<u8>().ok()?),
        None => {
            let address = text.parse::<IpAddr>().ok()?;
            (address, if address.is_ipv4() { 32 } else { 128 })
        }
    };
    (bits <= if address.is_ipv4() { 32 } else { 128 }).then_some((address, bits))
}

fn in_subnet(node: IpAddr, subnet: IpAddr, bits: u8) -> bool {
    let differing_leading_zeros = match (node, subnet) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        _ => return false,
    };
    differing_leading_zeros >= u32::from(bits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use swarm_types::{NodeId, Role};

    fn node() -> Node {
        let mut node = crate::testing::node(NodeId::from_random([7; 16]), "Alpha");
        node.role = Role::Manager;
        node.api.spec.labels.insert("zone".into(), "East 1".into());
        node.api.description.engine.labels.insert("disk".into(), "ssd".into());
        node.api.status.addr = "10.1.2.3".into();
        node
    }

    #[track_caller]
    fn holds(text: &str) -> bool {
        Constraint::parse(text).expect("parses").holds(&node())
    }

    #[test]
    fn every_key_is_compared_whole_and_ignoring_case() {
        assert!(holds(&format!("node.id == {}", NodeId::from_random([7; 16]))));
        assert!(holds("node.hostname==ALPHA"));
        assert!(!holds("node.hostname==alph"));
        assert!(holds("node.role == manager"));
        assert!(holds("NODE.ROLE != worker"));
        assert!(holds("node.platform.os==linux"));
        assert!(holds("node.platform.arch==x86_64"));
        assert!(!holds("node.platform.arch==amd64"));
        assert!(holds("node.labels.zone==east 1"));
        assert!(holds("engine.labels.disk != hdd"));
    }

    #[test]
    fn an_absent_label_is_empty() {
        assert!(holds("node.labels.missing!=x"));
        assert!(!holds("node.labels.missing==x"));
        assert!(!holds("node.labels.Zone==east 1"), "label names keep their case");
    }

    #[test]
    fn addresses_match_themselves_and_their_subnets() {
        assert!(holds("node.ip==10.1.2.3"));
        assert!(holds("node.ip==10.1.0.0/16"));
        assert!(!holds("node.ip==10.2.0.0/16"));
        assert!(holds("node.ip!=10.2.0.0/16"));
        assert!(holds("node.ip==0.0.0.0/0"));
        assert!(!holds("node.ip==fe80::/64"));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let error = |text: &str| Constraint::parse(text).expect_err("must fail").to_string();
        assert_eq!(error("node.role"), "constraint expected one operator from ==, !=");
        assert_eq!(error("node.role=manager"), "constraint expected one operator from ==, !=");
        assert_eq!(error("no de==x"), "key 'no de' is invalid");
        assert_eq!(error("node.role=="), "value '' is invalid");
        assert_eq!(error("node.labels.a==ä"), "value 'ä' is invalid");
        assert_eq!(error("node.ip==10.1"), "value '10.1' is invalid");
        assert!(error("node.rack==1").starts_with("key 'node.rack' is unknown"));
        assert!(error("node.labels.==1").starts_with("key 'node.labels.' is unknown"));
    }
}
