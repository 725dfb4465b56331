//! Secrets and configs of the stack and of its services.

use super::{Plan, Result, external};
use crate::ComposeError;
use crate::node::Node;
use swarm_types::{ConfigReference, Driver, FileTarget, PayloadSpec, RuntimeTarget, SecretReference};

/// One of the two kinds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind {
    section: &'static str,
    word: &'static str,
}

/// Secrets.
pub(super) const SECRETS: Kind = Kind { section: "secrets", word: "secret" };
/// Configs.
pub(super) const CONFIGS: Kind = Kind { section: "configs", word: "config" };

/// All may read, if nothing else is said.
const MODE: u32 = 0o444;

/// The objects of a kind that the stack makes.
///
/// # Errors
/// On files that cannot be read, and on objects that name no source.
pub(super) fn of_stack(plan: &Plan<'_>, kind: Kind) -> Result<Vec<PayloadSpec>> {
    let mut specs = Vec::new();
    for (key, node) in plan.section(kind.section) {
        node.only(&["name", "file", "content", "environment", "external", "labels", "driver", "driver_opts", "template_driver"])?;
        if external(node)?.is_some() {
            continue;
        }
        let driver = Driver {
            name: node.get("driver").map(|driver| driver.text()).transpose()?.unwrap_or_default(),
            options: node.get("driver_opts").map(|options| options.labels()).transpose()?.unwrap_or_default(),
        };
        let driver = (driver != Driver::default()).then_some(driver);
        let template = node.get("template_driver").map(|driver| driver.text()).transpose()?;
        specs.push(PayloadSpec {
            name: plan.name_of(key, node)?,
            labels: plan.labels(node.get("labels").map(|labels| labels.labels()).transpose()?.unwrap_or_default()),
            data: if driver.is_some() { Vec::new() } else { data(plan, kind, node)? }.into(),
            driver,
            templating: template.filter(|name| !name.is_empty()).map(|name| Driver { name, ..Driver::default() }),
        });
    }
    Ok(specs)
}

fn data(plan: &Plan<'_>, kind: Kind, node: &Node<'_>) -> Result<Vec<u8>> {
    if let Some(file) = node.get("file") {
        let path = plan.project.path(&file.text()?);
        return (plan.around.read)(&path).map_err(|why| ComposeError::Unreadable { path, why });
    }
    if let Some(content) = node.get("content") {
        return Ok(content.text()?.into_bytes());
    }
    let Some(variable) = node.get("environment") else {
        return Err(node.invalid(format!("{} must have a file, content, environment or external", kind.word)));
    };
    let name = variable.text()?;
    let value = (plan.around.variables)(&name).ok_or_else(|| variable.invalid(format!("environment variable {name:?} is not set")))?;
    Ok(value.into_bytes())
}

/// A reference of a service: full name of the object, and the file it becomes.
struct Reference {
    name: String,
    file: FileTarget,
}

fn references(plan: &Plan<'_>, kind: Kind, service: &str, node: &Node<'_>) -> Result<Vec<Reference>> {
    let mut references = Vec::new();
    for item in node.get(kind.section).map_or_else(|| Ok(Vec::new()), |node| node.items())? {
        item.only(&["source", "target", "uid", "gid", "mode"])?;
        let text = |key: &str| item.get(key).map(|node| node.text()).transpose();
        let source = text("source")?.ok_or_else(|| item.invalid("must have a source"))?;
        let Some(object) = plan.object(kind.section, &source) else {
            return Err(ComposeError::service(service, format!("undefined {} {source:?}", kind.word)));
        };
        references.push(Reference {
            name: plan.name_of(&source, object)?,
            file: FileTarget {
                name: text("target")?.filter(|target| !target.is_empty()).unwrap_or(source),
                uid: text("uid")?.unwrap_or_else(|| "0".into()),
                gid: text("gid")?.unwrap_or_else(|| "0".into()),
                mode: item.get("mode").map_or(Ok(MODE), |mode| mode.mode())?,
            },
        });
    }
    references.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(references)
}

/// The secrets of a service, without their ids.
///
/// # Errors
/// On secrets that the files do not have.
pub(super) fn secrets(plan: &Plan<'_>, service: &str, node: &Node<'_>) -> Result<Vec<SecretReference>> {
    let references = references(plan, SECRETS, service, node)?;
    let secret = |Reference { name, file }| SecretReference { file: Some(file), secret_id: String::new(), secret_name: name };
    Ok(references.into_iter().map(secret).collect())
}

/// The configs of a service, without their ids; that of the credentials is for the engine alone.
///
/// # Errors
/// On configs that the files do not have.
pub(super) fn configs(plan: &Plan<'_>, service: &str, node: &Node<'_>) -> Result<Vec<ConfigReference>> {
    let references = references(plan, CONFIGS, service, node)?;
    let config = |Reference { name, file }| ConfigReference { file: Some(file), config_name: name, ..ConfigReference::default() };
    let mut configs: Vec<ConfigReference> = references.into_iter().map(config).collect();
    if let Some(key) = node.get("credential_spec").and_then(|credentials| credentials.get("config")) {
        let key = key.text()?;
        let Some(object) = plan.object(CONFIGS.section, &key) else {
            return Err(ComposeError::service(service, format!("undefined config {key:?}")));
        };
        let config_name = plan.name_of(&key, object)?;
        configs.push(ConfigReference { runtime: Some(RuntimeTarget {}), config_name, ..ConfigReference::default() });
    }
    Ok(configs)
}
