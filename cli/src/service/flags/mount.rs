//! `--mount`: comma-separated keys and values.

use super::csv;
use crate::service::flags::parse;
use swarm_types::{BindOptions, Driver, ImageOptions, Mount, MountType, TmpfsOptions, VolumeOptions};

/// Reads a mount.
///
/// # Errors
/// Docker's text on unknown keys, wrong values and options of another type of mount.
pub(crate) fn mount(text: &str) -> Result<Mount, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("value is empty".into());
    }
    let mut mount = Mount::default();
    for field in csv::fields(text)? {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (field.as_str(), None),
        };
        check_spaces(&field, key, value)?;
        set(&mut mount, &field, &key.to_ascii_lowercase(), value)?;
    }
    check(&mount)?;
    Ok(mount)
}

fn check_spaces(field: &str, key: &str, value: Option<&str>) -> Result<(), String> {
    if key.trim() != key {
        return Err(format!("invalid option '{}' in '{field}': option should not have whitespace", key.trim()));
    }
    match value {
        Some(value) if value.trim().is_empty() => Err(format!("invalid value for '{key}': value is empty")),
        Some(value) if value.trim() != value => Err(format!("invalid value for '{key}' in '{field}': value should not have whitespace")),
        _ => Ok(()),
    }
}

fn set(mount: &mut Mount, field: &str, key: &str, value: Option<&str>) -> Result<(), String> {
    let switches = ["readonly", "ro", "volume-nocopy", "bind-nonrecursive", "bind-create-src"];
    let Some(text) = value.or_else(|| switches.contains(&key).then_some("true")) else {
        return Err(format!("invalid field '{field}' must be a key=value pair"));
    };
    match key {
        "type" => mount.kind = text.parse::<MountType>().map_err(|_| format!("invalid mount type: {text:?}"))?,
        "source" | "src" => mount.source = source(text),
        "target" | "dst" | "destination" => text.clone_into(&mut mount.target),
        "readonly" | "ro" => mount.read_only = switch(key, text)?,
        "consistency" => mount.consistency = text.to_ascii_lowercase(),
        "bind-propagation" => bind(mount).propagation = text.to_ascii_lowercase(),
        "bind-nonrecursive" => {
            return Err("bind-nonrecursive is deprecated, use bind-recursive=disabled instead".into());
        }
        "bind-recursive" => match text {
            "enabled" => {}
            "disabled" => bind(mount).non_recursive = true,
            "writable" => bind(mount).read_only_non_recursive = true,
            "readonly" => bind(mount).read_only_force_recursive = true,
            _ => {
                let words = "must be \"enabled\", \"disabled\", \"writable\", or \"readonly\"";
                return Err(format!("invalid value for {key}: {text} ({words})"));
            }
        },
        "bind-create-src" => bind(mount).create_mountpoint = switch(key, text)?,
        "volume-subpath" => text.clone_into(&mut volume(mount).subpath),
        "volume-nocopy" => volume(mount).no_copy = switch(key, text)?,
        "volume-label" => pair(&mut volume(mount).labels, text),
        "volume-driver" => text.clone_into(&mut volume_driver(mount).name),
        "volume-opt" => pair(&mut volume_driver(mount).options, text),
        "image-subpath" => {
            let options = mount.image_options.get_or_insert_with(ImageOptions::default);
            text.clone_into(&mut options.subpath);
        }
        "tmpfs-size" => {
            tmpfs(mount).size_bytes = parse::bytes(text).map_err(|_| format!("invalid value for {key}: {text}"))?;
        }
        "tmpfs-mode" => {
            let mode = u32::from_str_radix(text, 8).map_err(|_| format!("invalid value for {key}: {text}"))?;
            tmpfs(mount).mode = mode;
        }
        _ => return Err(format!("unknown option '{key}' in '{field}'")),
    }
    Ok(())
}

/// A relative path is meant from here, not from where the daemon runs.
fn source(text: &str) -> String {
    if !text.starts_with('.') {
        return text.to_owned();
    }
    std::path::absolute(text).map_or_else(|_| text.to_owned(), |path| clean(&path))
}

/// Resolves `.` and `..` by the text alone, as links need not exist on this machine.
fn clean(path: &std::path::Path) -> String {
    let mut clean = std::path::PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::CurDir => {}
            std::path::Component::ParentDir => {
                clean.pop();
            }
            part => clean.push(part),
        }
    }
    clean.to_string_lossy().into_owned()
}

fn switch(key: &str, text: &str) -> Result<bool, String> {
    match text {
        "1" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        _ => Err(format!(
            "invalid value for '{key}': invalid boolean value ({text:?}): must be one of \"true\", \"1\", \"false\", or \"0\" (default \"true\")"
        )),
    }
}

fn pair(map: &mut std::collections::BTreeMap<String, String>, text: &str) {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    if !key.is_empty() {
        map.insert(key.to_owned(), value.to_owned());
    }
}

fn bind(mount: &mut Mount) -> &mut BindOptions {
    mount.bind_options.get_or_insert_with(BindOptions::default)
}

fn volume(mount: &mut Mount) -> &mut VolumeOptions {
    mount.volume_options.get_or_insert_with(VolumeOptions::default)
}

fn volume_driver(mount: &mut Mount) -> &mut Driver {
    volume(mount).driver_config.get_or_insert_with(Driver::default)
}

fn tmpfs(mount: &mut Mount) -> &mut TmpfsOptions {
    mount.tmpfs_options.get_or_insert_with(TmpfsOptions::default)
}

/// Options must be of the mount's own type, and must agree with each other.
fn check(mount: &Mount) -> Result<(), String> {
    for (options, kind, present) in [
        ("bind", MountType::Bind, mount.bind_options.is_some()),
        ("volume", MountType::Volume, mount.volume_options.is_some()),
        ("image", MountType::Image, mount.image_options.is_some()),
        ("tmpfs", MountType::Tmpfs, mount.tmpfs_options.is_some()),
    ] {
        if present && mount.kind != kind {
            return Err(format!("cannot mix '{options}-*' options with mount type '{}'", mount.kind));
        }
    }
    if mount.target.is_empty() {
        return Err("target is required".into());
    }
    let Some(bind) = &mount.bind_options else {
        return Ok(());
    };
    let also = |key: &str, value: &str| Err(format!("option 'bind-recursive={value}' requires '{key}' to be specified in conjunction"));
    if bind.read_only_non_recursive && !mount.read_only {
        return also("readonly", "writable");
    }
    if bind.read_only_force_recursive && !mount.read_only {
        return also("readonly", "readonly");
    }
    if bind.read_only_force_recursive && bind.propagation != "rprivate" {
        return also("bind-propagation=rprivate", "readonly");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> String {
        match mount(text) {
            Ok(mount) => serde_json::to_string(&mount).expect("serializes"),
            Err(error) => error,
        }
    }

    #[test]
    fn mounts_become_docker_json() {
        assert_eq!(json("source=data,target=/data"), r#"{"Type":"volume","Source":"data","Target":"/data"}"#);
        assert_eq!(json("dst=/data"), r#"{"Type":"volume","Target":"/data"}"#);
        assert_eq!(
            json("type=bind,src=/a,dst=/b,readonly,bind-propagation=RSlave"),
            r#"{"Type":"bind","Source":"/a","Target":"/b","ReadOnly":true,"BindOptions":{"Propagation":"rslave"}}"#
        );
        assert_eq!(
            json("type=bind,src=/a,dst=/b,bind-create-src,bind-recursive=disabled,ro=false"),
            r#"{"Type":"bind","Source":"/a","Target":"/b","BindOptions":{"NonRecursive":true,"CreateMountpoint":true}}"#
        );
        assert_eq!(
            json("src=v,dst=/v,volume-nocopy,volume-label=a=b,volume-driver=nfs,volume-opt=o=addr=1.2.3.4,volume-subpath=x"),
            concat!(
                r#"{"Type":"volume","Source":"v","Target":"/v","VolumeOptions":{"NoCopy":true,"Labels":{"a":"b"},"#,
                r#""Subpath":"x","DriverConfig":{"Name":"nfs","Options":{"o":"addr=1.2.3.4"}}}}"#
            )
        );
        assert_eq!(
            json("type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=1777"),
            r#"{"Type":"tmpfs","Target":"/t","TmpfsOptions":{"SizeBytes":1048576,"Mode":1023}}"#
        );
        assert_eq!(
            json("type=image,src=alpine,dst=/i,image-subpath=etc"),
            r#"{"Type":"image","Source":"alpine","Target":"/i","ImageOptions":{"Subpath":"etc"}}"#
        );
    }

    #[test]
    fn relative_sources_are_meant_from_here() {
        let here = std::env::current_dir().expect("there is one");
        assert_eq!(mount("type=bind,src=./a/../b,dst=/b").expect("reads").source, here.join("b").to_string_lossy());
        assert_eq!(mount("src=a,dst=/b").expect("reads").source, "a");
    }

    #[test]
    fn wrong_mounts_are_refused_in_dockers_words() {
        assert_eq!(json(""), "value is empty");
        assert_eq!(json("type=bind"), "target is required");
        assert_eq!(json("foo"), "invalid field 'foo' must be a key=value pair");
        assert_eq!(json("foo=bar,dst=/a"), "unknown option 'foo' in 'foo=bar'");
        assert_eq!(json("src=,dst=/a"), "invalid value for 'src': value is empty");
        assert_eq!(json("src=a , dst=/a"), "invalid value for 'src' in 'src=a ': value should not have whitespace");
        assert_eq!(json("type=nfs,dst=/a"), "invalid mount type: \"nfs\"");
        assert_eq!(json("type=tmpfs,dst=/a,volume-nocopy"), "cannot mix 'volume-*' options with mount type 'tmpfs'");
        assert_eq!(json("dst=/a,bind-create-src"), "cannot mix 'bind-*' options with mount type 'volume'");
        assert_eq!(json("type=tmpfs,dst=/a,tmpfs-size=x"), "invalid value for tmpfs-size: x");
        assert_eq!(json("type=tmpfs,dst=/a,tmpfs-mode=9"), "invalid value for tmpfs-mode: 9");
        assert_eq!(
            json("dst=/a,ro=yes"),
            "invalid value for 'ro': invalid boolean value (\"yes\"): must be one of \"true\", \"1\", \"false\", or \"0\" (default \"true\")"
        );
        assert_eq!(
            json("type=bind,src=/a,dst=/a,bind-recursive=writable"),
            "option 'bind-recursive=writable' requires 'readonly' to be specified in conjunction"
        );
        assert_eq!(
            json("type=bind,src=/a,dst=/a,ro,bind-recursive=readonly"),
            "option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be specified in conjunction"
        );
    }
}
