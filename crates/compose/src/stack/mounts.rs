//! Mounts of a service.

use super::{Plan, Result, external};
use crate::ComposeError;
use crate::node::Node;
use std::path::PathBuf;
use swarm_types::{BindOptions, Driver, ImageOptions, Mount, MountType, TmpfsOptions, VolumeOptions};

/// The mounts of the service that the files call `key`.
///
/// # Errors
/// On volumes that the files do not have, and on settings that do not fit the kind of a mount.
pub(super) fn of_service(plan: &Plan<'_>, key: &str, service: &Node<'_>) -> Result<Vec<Mount>> {
    let mut mounts = Vec::new();
    for item in service.get("volumes").map_or_else(|| Ok(Vec::new()), |node| node.items())? {
        mounts.push(mount(plan, key, &item)?);
    }
    for item in service.get("tmpfs").map_or_else(|| Ok(Vec::new()), |node| node.items())? {
        mounts.push(tmpfs(&item)?);
    }
    Ok(mounts)
}

fn mount(plan: &Plan<'_>, key: &str, node: &Node<'_>) -> Result<Mount> {
    node.only(&["type", "source", "target", "read_only", "consistency", "bind", "volume", "tmpfs", "image", "cluster"])?;
    let text = |key: &str| node.get(key).map_or_else(|| Ok(String::new()), |node| node.text());
    let kind = node
        .get("type")
        .map(|kind| kind.text()?.parse().map_err(|_| kind.invalid("volume type must be volume, bind, tmpfs, image, npipe or cluster")));
    let kind: MountType = kind.transpose()?.ok_or_else(|| node.invalid("must have a type"))?;
    let mount = Mount {
        kind,
        source: text("source")?,
        target: text("target")?,
        read_only: node.get("read_only").map(|node| node.switch()).transpose()?.unwrap_or_default(),
        consistency: text("consistency")?,
        ..Mount::default()
    };
    let sections: [(&str, &[MountType]); 4] =
        [("bind", &[MountType::Bind]), ("volume", &[MountType::Volume]), ("tmpfs", &[MountType::Tmpfs]), ("image", &[MountType::Image])];
    for (section, kinds) in sections {
        if node.get(section).is_some() && !kinds.contains(&kind) {
            return Err(node.invalid(format!("{section} options are incompatible with type {kind}")));
        }
    }
    match kind {
        MountType::Bind => bind(plan, node, mount),
        MountType::Volume | MountType::Cluster => volume(plan, key, node, mount),
        MountType::Tmpfs if !mount.source.is_empty() => Err(node.invalid("invalid tmpfs source, source must be empty")),
        MountType::Tmpfs => {
            let options = node.get("tmpfs").map(|tmpfs| {
                tmpfs.only(&["size", "mode"])?;
                let size_bytes = tmpfs.get("size").map_or(Ok(0), |size| size.bytes())?;
                Ok(TmpfsOptions { size_bytes, mode: tmpfs.get("mode").map_or(Ok(0), |mode| mode.mode())?, ..TmpfsOptions::default() })
            });
            Ok(Mount { tmpfs_options: options.transpose()?, ..mount })
        }
        MountType::Image => {
            let options = node.get("image").map(|image| {
                image.only(&["subpath"])?;
                Ok(ImageOptions { subpath: image.get("subpath").map_or_else(|| Ok(String::new()), |path| path.text())? })
            });
            Ok(Mount { image_options: options.transpose()?, ..mount })
        }
        MountType::Npipe => Ok(mount),
    }
}

fn bind(plan: &Plan<'_>, node: &Node<'_>, mount: Mount) -> Result<Mount> {
    if mount.source.is_empty() {
        return Err(node.invalid("invalid bind source, source cannot be empty"));
    }
    let options = node.get("bind").map(|bind| {
        bind.only(&["propagation", "create_host_path", "selinux", "recursive"])?;
        let recursive = bind.get("recursive").map(|word| word.text()).transpose()?.unwrap_or_default();
        Ok(BindOptions {
            propagation: bind.get("propagation").map(|word| word.text()).transpose()?.unwrap_or_default(),
            create_mountpoint: bind.get("create_host_path").map(|node| node.switch()).transpose()?.unwrap_or_default(),
            non_recursive: recursive == "disabled",
            read_only_non_recursive: recursive == "writable",
            read_only_force_recursive: recursive == "readonly",
        })
    });
    Ok(Mount { source: host_path(plan, &mount.source), bind_options: options.transpose()?, ..mount })
}

/// An absolute path: `~` is the home folder here, and relative paths count from the first file.
fn host_path(plan: &Plan<'_>, source: &str) -> String {
    let home = || (plan.around.variables)("HOME").unwrap_or_default();
    let path = match source.strip_prefix('~') {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => PathBuf::from(home() + rest),
        _ => plan.project.folder.join(source),
    };
    crate::cleaned(&path).display().to_string()
}

fn volume(plan: &Plan<'_>, key: &str, node: &Node<'_>, mut mount: Mount) -> Result<Mount> {
    let given = node.get("volume");
    let mut options = VolumeOptions::default();
    if let Some(given) = &given {
        given.only(&["nocopy", "subpath", "labels"])?;
        options.no_copy = given.get("nocopy").map(|node| node.switch()).transpose()?.unwrap_or_default();
        options.subpath = given.get("subpath").map(|node| node.text()).transpose()?.unwrap_or_default();
    }
    if mount.source.is_empty() {
        mount.volume_options = given.is_some().then_some(options);
        return Ok(mount);
    }
    let Some(object) = plan.object("volumes", &mount.source) else {
        return Err(ComposeError::service(key, format!("undefined volume {:?}", mount.source)));
    };
    object.only(&["name", "driver", "driver_opts", "labels", "external"])?;
    mount.source = plan.name_of(&mount.source, object)?;
    if external(object)?.is_none() {
        options.labels = plan.labels(object.get("labels").map(|labels| labels.labels()).transpose()?.unwrap_or_default());
        let driver = Driver {
            name: object.get("driver").map(|driver| driver.text()).transpose()?.unwrap_or_default(),
            options: object.get("driver_opts").map(|options| options.labels()).transpose()?.unwrap_or_default(),
        };
        options.driver_config = (driver != Driver::default()).then_some(driver);
    }
    mount.volume_options = Some(options);
    Ok(mount)
}

/// `PATH[:OPTION,…]` with the options `size` and `mode`.
fn tmpfs(node: &Node<'_>) -> Result<Mount> {
    let text = node.text()?;
    let (target, given) = text.split_once(':').unwrap_or((&text, ""));
    let mut options = TmpfsOptions::default();
    for option in given.split(',').filter(|option| !option.is_empty()) {
        let value = |text: &str| serde_norway::Value::from(text);
        match option.split_once('=') {
            Some(("size", size)) => options.size_bytes = Node::new(node.path.clone(), &value(size)).bytes()?,
            Some(("mode", mode)) => {
                options.mode = u32::from_str_radix(mode, 8).map_err(|_| node.invalid(format!("invalid mode: {mode}")))?;
            }
            _ => return Err(node.invalid(format!("invalid tmpfs option: {option}"))),
        }
    }
    let tmpfs_options = (options != TmpfsOptions::default()).then_some(options);
    Ok(Mount { kind: MountType::Tmpfs, target: target.to_owned(), tmpfs_options, ..Mount::default() })
}
