//! What this host remembers of its membership: `node.json`, and what a restart makes of it.

use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};
use swarm_types::{ClusterId, NodeId, RemoteManager};

/// The file's name.
const FILE: &str = "node.json";

/// How far the membership has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// The first manager is being made; nobody has been told that it exists.
    Initializing,
    /// A certificate is being asked for or saved.
    Joining,
    /// The host is a member.
    Active,
    /// The membership is being given up; there is no way back.
    Leaving,
}

/// What the host remembers. The certificate beside it tells the role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeRecord {
    /// How far the membership has come.
    pub phase: Phase,
    /// This node; unknown until a certificate was issued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_id: Option<NodeId>,
    /// Its cluster; unknown until a certificate was issued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_id: Option<ClusterId>,
    /// `IP:PORT` the manager of this host listens on.
    pub listen_addr: String,
    /// `IP:PORT` told to others; unknown until a joining host has seen its own address.
    #[serde(default)]
    pub advertise_addr: String,
    /// Where VXLAN traffic comes from; empty is the advertised address.
    #[serde(default)]
    pub data_path_addr: String,
    /// Managers known last.
    #[serde(default)]
    pub managers: Vec<RemoteManager>,
    /// The newest orders taken from a manager: generation of the cluster's state.
    #[serde(default)]
    pub orders_generation: u64,
}

/// The record cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The file system refused.
    #[error("could not {verb} {path}")]
    Io {
        /// What was tried.
        verb: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file is damaged, which a crash cannot do: the operator has to look.
    #[error("{path} is damaged")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
}

/// The file `node.json` in a state folder. Every write is one rename and is on the disk when the call returns.
#[derive(Debug, Clone)]
pub struct RecordFile {
    dir: PathBuf,
    path: PathBuf,
}

impl RecordFile {
    /// The file in this folder, which must exist. Nothing is read yet.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), path: dir.join(FILE) }
    }

    /// The record; `None` if the host is in no swarm.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn load(&self) -> Result<Option<NodeRecord>, RecordError> {
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(self.failed("read", source)),
        };
        let damaged = |source| RecordError::Damaged { path: self.path.clone(), source };
        serde_json::from_slice(&text).map(Some).map_err(damaged)
    }

    /// Replaces the record.
    ///
    /// # Errors
    /// [`RecordError::Io`]; the old record stays then.
    pub fn save(&self, record: &NodeRecord) -> Result<(), RecordError> {
        let text = serde_json::to_vec_pretty(record).expect("a record is plain JSON");
        self.place(&text).map_err(|source| self.failed("write", source))
    }

    /// Removes the record.
    ///
    /// # Errors
    /// [`RecordError::Io`].
    pub fn remove(&self) -> Result<(), RecordError> {
        let removed = match fs::remove_file(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            other => other,
        };
        removed.and_then(|()| File::open(&self.dir)?.sync_all()).map_err(|source| self.failed("remove", source))
    }

    fn place(&self, text: &[u8]) -> io::Result<()> {
        let new = self.dir.join(format!(".{FILE}.new"));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(text)?;
        file.sync_all()?;
        fs::rename(&new, &self.path)?;
        File::open(&self.dir)?.sync_all()
    }

    fn failed(&self, verb: &'static str, source: io::Error) -> RecordError {
        RecordError::Io { verb, path: self.path.clone(), source }
    }
}

/// What a starting agent makes of what it finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// The host is in no swarm; whatever lies around is of an attempt that was not finished, and goes.
    Nothing,
    /// The host is a member.
    Member(NodeRecord),
    /// The membership is to be given up to the end.
    Leaving(NodeRecord),
    /// The host was a member and its certificate is gone: only leaving helps.
    Broken(NodeRecord),
}

/// Decides from the record and the node id of the whole certificate on disk, if there is one.
///
/// An interrupted `init` was answered to nobody, so it is taken back. An interrupted `join` holds if its certificate was
/// saved: the record names the node from before that moment on.
#[must_use]
pub fn settle(record: Option<NodeRecord>, certificate_of: Option<NodeId>) -> Found {
    let Some(mut record) = record else {
        return Found::Nothing;
    };
    let has_certificate = certificate_of.is_some() && certificate_of == record.node_id;
    match record.phase {
        Phase::Initializing => Found::Nothing,
        Phase::Joining if has_certificate => {
            record.phase = Phase::Active;
            Found::Member(record)
        }
        Phase::Joining => Found::Nothing,
        Phase::Active if has_certificate => Found::Member(record),
        Phase::Active => Found::Broken(record),
        Phase::Leaving => Found::Leaving(record),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(phase: Phase, node: Option<u8>) -> NodeRecord {
        NodeRecord {
            phase,
            node_id: node.map(|n| NodeId::from_random([n; 16])),
            cluster_id: None,
            listen_addr: "0.0.0.0:2377".into(),
            advertise_addr: String::new(),
            data_path_addr: String::new(),
            managers: vec![],
            orders_generation: 0,
        }
    }

    #[test]
    fn a_crash_at_any_step_leaves_a_member_or_nothing() {
        let id = |n| NodeId::from_random([n; 16]);
        let found = |phase, node, certificate: Option<u8>| match settle(Some(record(phase, node)), certificate.map(id)) {
            Found::Nothing => "nothing",
            Found::Member(record) => {
                assert_eq!(record.phase, Phase::Active);
                "member"
            }
            Found::Leaving(_) => "leaving",
            Found::Broken(_) => "broken",
        };
        assert_eq!(settle(None, None), Found::Nothing);
        assert_eq!(settle(None, Some(id(1))), Found::Nothing);
        // init: record, then the manager makes certificates, then active.
        assert_eq!(found(Phase::Initializing, Some(1), None), "nothing");
        assert_eq!(found(Phase::Initializing, Some(1), Some(1)), "nothing");
        // join: record, then the answer into the record, then the certificate, then active.
        assert_eq!(found(Phase::Joining, None, None), "nothing");
        assert_eq!(found(Phase::Joining, Some(1), None), "nothing");
        assert_eq!(found(Phase::Joining, Some(1), Some(1)), "member");
        assert_eq!(found(Phase::Joining, Some(1), Some(2)), "nothing");
        assert_eq!(found(Phase::Active, Some(1), Some(1)), "member");
        assert_eq!(found(Phase::Active, Some(1), None), "broken");
        // leave: record, then everything goes, the record last.
        assert_eq!(found(Phase::Leaving, Some(1), Some(1)), "leaving");
        assert_eq!(found(Phase::Leaving, Some(1), None), "leaving");
    }

    #[test]
    fn records_survive_and_go() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = RecordFile::new(dir.path());
        assert!(file.load().expect("loads").is_none());
        let saved = record(Phase::Active, Some(3));
        file.save(&saved).expect("saves");
        assert_eq!(file.load().expect("loads"), Some(saved));
        fs::write(dir.path().join(FILE), "{").expect("writes");
        assert!(matches!(file.load(), Err(RecordError::Damaged { .. })));
        file.remove().expect("removes");
        file.remove().expect("removes nothing");
        assert!(file.load().expect("loads").is_none());
    }
}
