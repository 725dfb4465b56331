//! Writing images in the form that `docker load` reads.

use std::io::Write;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// One file system layer, built entry by entry.
pub(crate) struct Layer(tar::Builder<Vec<u8>>);

impl Layer {
    pub(crate) fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    pub(crate) fn folder(&mut self, path: &str, mode: u32) -> Result<()> {
        self.add(tar::EntryType::Directory, path, mode, &[])
    }

    pub(crate) fn file(&mut self, path: &str, mode: u32, content: &[u8]) -> Result<()> {
        self.add(tar::EntryType::Regular, path, mode, content)
    }

    pub(crate) fn symlink(&mut self, path: &str, target: &str) -> Result<()> {
        let mut header = header(tar::EntryType::Symlink, 0o777, 0);
        self.0.append_link(&mut header, path, target).with_context(|| format!("could not add {path}"))
    }

    pub(crate) fn finish(self) -> Result<Vec<u8>> {
        Ok(self.0.into_inner()?)
    }

    fn add(&mut self, kind: tar::EntryType, path: &str, mode: u32, content: &[u8]) -> Result<()> {
        let mut header = header(kind, mode, content.len());
        self.0.append_data(&mut header, path, content).with_context(|| format!("could not add {path}"))
    }
}

/// An image: a name and what `docker inspect` shows under `Config`.
pub(crate) struct Image {
    pub(crate) reference: &'static str,
    pub(crate) config: Value,
}

/// The archive of images that share one layer.
pub(crate) fn write_archive(layer: &[u8], images: &[Image]) -> Result<Vec<u8>> {
    let digest = hex(&Sha256::digest(layer));
    let layer_path = format!("{digest}/layer.tar");
    let mut archive = Layer::new();
    archive.file(&layer_path, 0o644, layer)?;
    let mut manifest = Vec::new();
    for image in images {
        let config = json!({
            "architecture": architecture(),
            "os": "linux",
            // Fixed, so that an image has the same id on every host and in every run.
            "created": "2024-01-01T00:00:00Z",
            "config": image.config,
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{digest}")]},
            "history": [{"created": "2024-01-01T00:00:00Z", "created_by": "swarm-testkit"}],
        })
        .to_string();
        let path = format!("{}.json", hex(&Sha256::digest(&config)));
        archive.file(&path, 0o644, config.as_bytes())?;
        manifest.push(json!({
            "Config": path,
            "RepoTags": [image.reference],
            "Layers": [layer_path],
        }));
    }
    archive.file("manifest.json", 0o644, Value::from(manifest).to_string().as_bytes())?;
    archive.finish()
}

fn header(kind: tar::EntryType, mode: u32, size: usize) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size as u64);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

/// The machine's architecture by Docker's name.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut text = Vec::with_capacity(bytes.len() * 2);
    for byte in bytes {
        write!(text, "{byte:02x}").expect("writing to memory does not fail");
    }
    String::from_utf8(text).expect("hexadecimal digits are ASCII")
}
