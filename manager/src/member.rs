//! What a manager remembers about itself beside Raft: its id there, whether becoming a member was finished, and a rebuild
//! that is under way.
//!
//! Written by rename, so a crash leaves the old or the new file. Without `finished` the member starts over: making a cluster
//! begins from nothing, joining and rebuilding ask again under the same id.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

/// Name of the file in the state folder.
pub const FILE: &str = "member.json";

/// A manager's place in Raft.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberFile {
    /// Its id in Raft.
    pub raft_id: u64,
    /// Whether it has become a voting member.
    pub finished: bool,
    /// It lost what its former self knew and gets it from the other managers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rebuild: Option<Rebuild>,
}

/// A rebuild under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rebuild {
    /// What was found damaged.
    pub reason: String,
    /// Addresses of the managers to ask.
    pub managers: Vec<String>,
    /// What the former self left must be moved away before anything may be opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_aside: Option<SetAside>,
}

/// Where the former self's log and snapshots go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetAside {
    /// A folder in the state folder.
    pub folder: String,
    /// Whether it is of use to anybody: what a member held that never finished is not.
    pub keep: bool,
}

impl MemberFile {
    /// A member under a new id. Ids are never used again.
    #[must_use]
    pub fn new(rebuild: Option<Rebuild>) -> Self {
        Self { raft_id: rand::random::<u64>() >> 1 | 1, finished: false, rebuild }
    }

    /// Reads it; `None` before the first start.
    ///
    /// # Errors
    /// When it cannot be read; [`io::ErrorKind::InvalidData`] when it is not what this program writes.
    pub fn load(dir: &Path) -> io::Result<Option<Self>> {
        load(&dir.join(FILE))
    }

    /// Stores it durably.
    ///
    /// # Errors
    /// When it cannot be written; the old file stays.
    pub fn save(&self, dir: &Path) -> io::Result<()> {
        save(dir, FILE, self)
    }
}

/// Reads a JSON file; `None` if there is none, [`io::ErrorKind::InvalidData`] if it is not of the type.
pub(crate) fn load<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Replaces a JSON file durably, in one rename.
pub(crate) fn save<T: Serialize>(dir: &Path, name: &str, value: &T) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let staged = dir.join(format!("{name}.tmp"));
    let mut file = File::create(&staged)?;
    file.write_all(&serde_json::to_vec(value)?)?;
    file.sync_all()?;
    fs::rename(&staged, dir.join(name))?;
    File::open(dir)?.sync_all()
}
