//! From files to one tree: reading, inclusion, extension, merging, profiles.

use crate::interpolate::Lookup;
use crate::merge::{merge, settle};
use crate::node::{Node, scalar};
use crate::parse::{Document, VERSION, parse};
use crate::short::volume::is_path;
use crate::{ComposeError, Project, cleaned};
use serde_norway::{Mapping, Value};
use std::path::{Path, PathBuf};

type Result<T> = std::result::Result<T, ComposeError>;

/// The content of a file, or for people why it cannot be read.
pub type Read<'a> = &'a dyn Fn(&Path) -> std::result::Result<Vec<u8>, String>;

/// A compose file.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its name in errors.
    pub name: String,
    /// The folder that relative paths in it start from.
    pub folder: PathBuf,
    /// Its content.
    pub text: String,
}

/// The surroundings of compose files.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// Values of variables.
    pub variables: Lookup<'a>,
    /// Reads other files that the files name.
    pub read: Read<'a>,
    /// Whether variables are replaced.
    pub interpolate: bool,
    /// Profiles whose services are wanted; `*` is all.
    pub profiles: &'a [String],
}

/// Reads files, later ones laid over earlier ones. Relative paths count from the folder of the first.
///
/// # Errors
/// On anything in them that is no compose file of version 3 or the Compose Specification.
pub fn load(sources: &[Source], around: &Surroundings<'_>) -> Result<Project> {
    let mut whole: Option<(Document, String)> = None;
    for source in sources {
        let document = one(source, around, &mut Vec::new())?;
        whole = Some(match whole {
            None => (document, source.name.clone()),
            Some((base, first)) if base.version != document.version => {
                let (first, second) = (format!("{first}:{}", base.version), format!("{}:{}", source.name, document.version));
                return Err(ComposeError::VersionMismatch { first, second });
            }
            Some((mut base, first)) => {
                merge("", &mut base.tree, document.tree);
                (base, first)
            }
        });
    }
    let (document, folder) = match (whole, sources.first()) {
        (Some((document, _)), Some(first)) => (document, first.folder.clone()),
        _ => (Document { version: VERSION.to_owned(), tree: Mapping::new() }, PathBuf::new()),
    };
    let mut tree = settle(document.tree);
    keep_profiles(&mut tree, around.profiles)?;
    Ok(Project { version: document.version, tree, folder })
}

/// One file with what it includes and extends. `trail` is where the inclusion came through.
fn one(source: &Source, around: &Surroundings<'_>, trail: &mut Vec<PathBuf>) -> Result<Document> {
    let place = cleaned(Path::new(&source.name));
    if trail.contains(&place) {
        return Err(ComposeError::invalid("include", format!("{}: files include each other", source.name)));
    }
    trail.push(place);
    let lookup = around.interpolate.then_some(around.variables);
    let mut document = parse(&source.name, &source.text, lookup)?;
    extend_services(source, &mut document.tree, around)?;
    if let Some(include) = document.tree.remove("include") {
        let mut base = Mapping::new();
        for path in included(&Node::new("include", &include))? {
            let inner = open(source, &path, around)?;
            let mut part = one(&inner, around, trail)?.tree;
            rebase(&mut part, Path::new(&path).parent().unwrap_or(Path::new("")));
            merge("", &mut base, part);
        }
        merge("", &mut base, document.tree);
        document.tree = base;
    }
    trail.pop();
    Ok(document)
}

fn included(node: &Node<'_>) -> Result<Vec<String>> {
    let mut paths = Vec::new();
    for item in node.items()? {
        if item.value.is_mapping() {
            item.only(&["path"])?;
            paths.extend(item.get("path").map_or_else(|| Err(item.invalid("must have a path")), |path| path.texts())?);
        } else {
            paths.push(item.text()?);
        }
    }
    Ok(paths)
}

/// The file that `source` names `path`.
fn open(source: &Source, path: &str, around: &Surroundings<'_>) -> Result<Source> {
    let full = source.folder.join(path);
    let text = (around.read)(&full)
        .and_then(|bytes| String::from_utf8(bytes).map_err(|error| error.to_string()))
        .map_err(|why| ComposeError::Unreadable { path: full.clone(), why })?;
    let folder = full.parent().unwrap_or(Path::new("")).to_owned();
    Ok(Source { name: full.display().to_string(), folder, text })
}

fn extend_services(source: &Source, tree: &mut Mapping, around: &Surroundings<'_>) -> Result<()> {
    let names: Vec<String> = services(tree).map(|services| services.keys().filter_map(scalar).collect()).unwrap_or_default();
    for name in names {
        let extended = extended(source, tree, &name, around, &mut Vec::new())?;
        if let Some(Value::Mapping(services)) = tree.get_mut("services") {
            services.insert(name.into(), extended.into());
        }
    }
    Ok(())
}

fn services(tree: &Mapping) -> Option<&Mapping> {
    tree.get("services").and_then(Value::as_mapping)
}

/// The service `name` laid over what it extends. `trail` is where the search came through.
fn extended(source: &Source, tree: &Mapping, name: &str, around: &Surroundings<'_>, trail: &mut Vec<(String, String)>) -> Result<Mapping> {
    let step = (source.name.clone(), name.to_owned());
    if trail.contains(&step) {
        return Err(ComposeError::Circular { service: trail[0].1.clone(), through: name.to_owned() });
    }
    trail.push(step);
    let found = services(tree).and_then(|services| services.get(name)).and_then(Value::as_mapping);
    let Some(service) = found else {
        return Err(ComposeError::service(&trail[0].1, format!("cannot extend service {name:?} in {}: service not found", source.name)));
    };
    let mut service = service.clone();
    let Some(extends) = service.remove("extends").filter(|extends| !extends.is_null()) else { return Ok(service) };
    let node = Node::new(format!("services.{name}.extends"), &extends);
    let (file, other) = if extends.is_mapping() {
        node.only(&["file", "service"])?;
        let other = node.get("service").map_or_else(|| Err(node.invalid("must have a service")), |other| other.text())?;
        (node.get("file").map(|file| file.text()).transpose()?, other)
    } else {
        (None, node.text()?)
    };
    let mut base = match file {
        None => extended(source, tree, &other, around, trail)?,
        Some(file) => {
            let inner = open(source, &file, around)?;
            let document = parse(&inner.name, &inner.text, around.interpolate.then_some(around.variables))?;
            let mut base = extended(&inner, &document.tree, &other, around, trail)?;
            rebase_service(&mut base, Path::new(&file).parent().unwrap_or(Path::new("")));
            base
        }
    };
    merge(&format!("services.{name}"), &mut base, service);
    Ok(base)
}

/// Makes the relative paths of a file in `folder` count from the file that named it.
fn rebase(tree: &mut Mapping, folder: &Path) {
    if let Some(Value::Mapping(services)) = tree.get_mut("services") {
        services.values_mut().filter_map(Value::as_mapping_mut).for_each(|service| rebase_service(service, folder));
    }
    for section in ["secrets", "configs"] {
        let Some(Value::Mapping(objects)) = tree.get_mut(section) else { continue };
        objects.values_mut().for_each(|object| join(object, "file", folder));
    }
}

fn rebase_service(service: &mut Mapping, folder: &Path) {
    let list = |service: &mut Mapping, section: &str, change: &dyn Fn(&mut Value)| {
        if let Some(Value::Sequence(items)) = service.get_mut(section) {
            items.iter_mut().for_each(change);
        }
    };
    list(service, "env_file", &|file| join(file, "path", folder));
    list(service, "volumes", &|volume| {
        let bind = volume.get("type").and_then(Value::as_str) == Some("bind");
        let relative = volume.get("source").and_then(Value::as_str).is_some_and(|source| is_path(source) && source.starts_with('.'));
        if bind && relative {
            join(volume, "source", folder);
        }
    });
}

/// Puts `folder` before the path under `key`, unless that is absolute or a home folder.
fn join(value: &mut Value, key: &str, folder: &Path) {
    let Some(Value::String(path)) = value.get_mut(key) else { return };
    if !path.starts_with(['/', '~']) && folder != Path::new("") {
        *path = format!("./{}", folder.join(path.as_str()).display()).replace("/./", "/");
        if folder.is_absolute() {
            *path = path.trim_start_matches('.').to_owned();
        }
    }
}

/// Leaves out services that belong to profiles of which none is wanted.
fn keep_profiles(tree: &mut Mapping, wanted: &[String]) -> Result<()> {
    let Some(Value::Mapping(services)) = tree.get_mut("services") else { return Ok(()) };
    let mut left_out = Vec::new();
    for (name, service) in services.iter() {
        let node = Node::new(format!("services.{}", scalar(name).unwrap_or_default()), service);
        let Some(profiles) = node.get("profiles") else { continue };
        let profiles = profiles.texts()?;
        if !profiles.is_empty() && !profiles.iter().any(|profile| wanted.iter().any(|wanted| wanted == profile || wanted == "*")) {
            left_out.push(name.clone());
        }
    }
    services.retain(|name, _| !left_out.contains(name));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(files: &[(&str, &str)], take: usize, profiles: &[&str]) -> std::result::Result<String, String> {
        let read = |path: &Path| {
            let path = cleaned(path);
            let file = files.iter().find(|(file, _)| Path::new(file) == path).ok_or("no such file or directory")?;
            Ok(file.1.as_bytes().to_vec())
        };
        let sources: Vec<Source> = files[..take]
            .iter()
            .map(|(name, text)| {
                let folder = Path::new(name).parent().unwrap_or(Path::new("")).to_owned();
                Source { name: (*name).into(), folder, text: (*text).into() }
            })
            .collect();
        let profiles: Vec<String> = profiles.iter().map(|profile| (*profile).to_owned()).collect();
        let around = Surroundings { variables: &|_| None, read: &read, interpolate: true, profiles: &profiles };
        let project = load(&sources, &around).map_err(|error| error.to_string())?;
        Ok(serde_norway::to_string(&project.tree["services"]).expect("writes"))
    }

    #[test]
    fn services_extend_others_also_of_other_files() {
        let files = [
            ("a/main.yml", "services: {w: {extends: {file: sub/base.yml, service: b}, tty: true}, v: {extends: w, image: y}}"),
            ("a/sub/base.yml", "services: {b: {image: x, env_file: e.env, volumes: ['./d:/d', 'n:/n']}}"),
        ];
        let text = loaded(&files, 1, &[]).expect("loads");
        assert!(text.contains("path: ./sub/e.env"), "{text}");
        assert!(text.contains("source: ./sub/d") && text.contains("source: n"), "{text}");
        assert!(text.contains("image: y") && text.matches("tty: true").count() == 2, "{text}");
    }

    #[test]
    fn circles_and_gaps_are_named() {
        let circle = [("a.yml", "services: {a: {extends: b}, b: {extends: a}}")];
        assert_eq!(loaded(&circle, 1, &[]), Err("service a extends itself through a".into()));
        let gap = [("a.yml", "services: {a: {extends: b}}")];
        assert_eq!(loaded(&gap, 1, &[]), Err("service a: cannot extend service \"b\" in a.yml: service not found".into()));
        let file = [("a.yml", "include: [b.yml]")];
        assert_eq!(loaded(&file, 1, &[]), Err("open b.yml: no such file or directory".into()));
        let roundabout = [("x/a.yml", "include: [./b.yml, ../x/b.yml]"), ("x/b.yml", "include: [../x/./a.yml]")];
        assert!(loaded(&roundabout, 1, &[]).is_err_and(|error| error.contains("include each other")));
        let itself = [("a.yml", "include: [a.yml]")];
        assert_eq!(loaded(&itself, 1, &[]), Err("include a.yml: files include each other".into()));
    }

    #[test]
    fn profiles_choose_services() {
        let file = [("a.yml", "services: {a: {image: x}, b: {image: y, profiles: [debug]}}")];
        assert!(!loaded(&file, 1, &[]).expect("loads").contains("image: y"));
        assert!(loaded(&file, 1, &["debug"]).expect("loads").contains("image: y"));
        assert!(loaded(&file, 1, &["*"]).expect("loads").contains("image: y"));
    }

    #[test]
    fn versions_must_agree() {
        let files = [("a.yml", "version: '3.1'"), ("b.yml", "version: '3.2'")];
        assert_eq!(loaded(&files, 2, &[]), Err("version mismatched between two composefiles : a.yml:3.1 and b.yml:3.2".into()));
    }
}
