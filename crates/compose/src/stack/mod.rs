//! From merged files to the objects of one stack.

mod container;
mod deploy;
mod environment;
mod mounts;
mod networks;
mod payloads;
mod service;
mod unsupported;

pub use networks::StackNetwork;

use crate::load::Surroundings;
use crate::node::Node;
use crate::{ComposeError, Project};
use serde_norway::Value;
use std::collections::BTreeMap;
use swarm_types::{Labels, PayloadSpec, ServiceSpec};

type Result<T> = std::result::Result<T, ComposeError>;

/// The label by which everything of a stack is found.
pub const NAMESPACE_LABEL: &str = "com.docker.stack.namespace";
/// The label that keeps a service's image as its file has it, without a digest.
pub const IMAGE_LABEL: &str = "com.docker.stack.image";

/// What a stack is made of, in the order of the names.
#[derive(Debug, Clone)]
pub struct Stack {
    /// Networks to make, those that a service uses.
    pub networks: Vec<StackNetwork>,
    /// Networks that a service uses and that must be there.
    pub external_networks: Vec<String>,
    /// Secrets to make.
    pub secrets: Vec<PayloadSpec>,
    /// Configs to make.
    pub configs: Vec<PayloadSpec>,
    /// Services. Secrets and configs are named in them, their ids are for the caller to fill in.
    pub services: Vec<StackService>,
    /// What of the files has no effect, for people.
    pub warnings: Vec<String>,
}

/// A service of a stack.
#[derive(Debug, Clone)]
pub struct StackService {
    /// Its key in the files.
    pub key: String,
    /// What it is, under its full name.
    pub spec: ServiceSpec,
}

/// The name of a stack and the sections of its files.
pub(crate) struct Plan<'a> {
    namespace: &'a str,
    sections: BTreeMap<&'static str, BTreeMap<String, Node<'a>>>,
    project: &'a Project,
    around: &'a Surroundings<'a>,
}

impl Plan<'_> {
    /// The full name of what the files call `key`.
    fn scope(&self, key: &str) -> String {
        format!("{}_{key}", self.namespace)
    }

    /// Labels with the one that names the stack.
    fn labels(&self, mut labels: Labels) -> Labels {
        labels.insert(NAMESPACE_LABEL.to_owned(), self.namespace.to_owned());
        labels
    }

    fn section(&self, name: &str) -> &BTreeMap<String, Node<'_>> {
        static NONE: BTreeMap<String, Node<'static>> = BTreeMap::new();
        self.sections.get(name).unwrap_or(&NONE)
    }

    fn object(&self, section: &str, key: &str) -> Option<&Node<'_>> {
        self.section(section).get(key)
    }

    /// The full name of an object: its own `name`, that of an external one, or the scoped key.
    fn name_of(&self, key: &str, object: &Node<'_>) -> Result<String> {
        if let Some(name) = object.get("name") {
            return name.text();
        }
        match external(object)? {
            Some(Some(name)) => Ok(name),
            Some(None) => Ok(key.to_owned()),
            None => Ok(self.scope(key)),
        }
    }
}

/// Whether an object is made elsewhere, and under which name if the old form gives one.
fn external(object: &Node<'_>) -> Result<Option<Option<String>>> {
    let Some(external) = object.get("external") else { return Ok(None) };
    if external.value.is_mapping() {
        external.only(&["name"])?;
        return Ok(Some(external.get("name").map(|name| name.text()).transpose()?));
    }
    Ok(external.switch()?.then_some(None))
}

impl Project {
    /// The objects of these files as the stack `namespace`.
    ///
    /// # Errors
    /// On everything that makes no sense, with its path.
    pub fn stack(&self, namespace: &str, around: &Surroundings<'_>) -> Result<Stack> {
        let mut sections = BTreeMap::new();
        for name in ["services", "networks", "volumes", "secrets", "configs"] {
            let section = self.tree.get(name).unwrap_or(&Value::Null);
            sections.insert(name, Node::new(name, section).entries()?);
        }
        let plan = Plan { namespace, sections, project: self, around };
        let warnings = unsupported::check(&plan)?;
        let mut services = Vec::new();
        for (key, node) in plan.section("services") {
            services.push(StackService { key: key.clone(), spec: service::spec(&plan, key, node)? });
        }
        let (networks, external_networks) = networks::of_stack(&plan)?;
        Ok(Stack {
            networks,
            external_networks,
            secrets: payloads::of_stack(&plan, payloads::SECRETS)?,
            configs: payloads::of_stack(&plan, payloads::CONFIGS)?,
            services,
            warnings,
        })
    }
}
