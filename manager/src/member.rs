//! What a manager remembers about itself beside Raft: its id there, and whether becoming a member was finished.
//!
//! Written by rename, so a crash leaves the old or the new file. Without `finished` the member starts over: making a cluster
//! begins from nothing, joining asks again under the same id.

use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

const FILE: &str = "member.json";

/// A manager's place in Raft.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberFile {
    /// Its id in Raft.
    pub raft_id: u64,
    /// Whether it has become a voting member.
    pub finished: bool,
}

impl MemberFile {
    /// Reads it; `None` before the first start.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn load(dir: &Path) -> io::Result<Option<Self>> {
        match fs::read(dir.join(FILE)) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Stores it durably.
    ///
    /// # Errors
    /// When it cannot be written; the old file stays.
    pub fn save(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)?;
        let staged = dir.join("member.json.tmp");
        let mut file = File::create(&staged)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.sync_all()?;
        fs::rename(&staged, dir.join(FILE))?;
        File::open(dir)?.sync_all()
    }
}
