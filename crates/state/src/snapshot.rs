//! The state as a stream of bytes, object by object, so that neither side holds it twice.
//!
//! Layout: the format byte, then frames of a four-byte big-endian length and a MessagePack value with field names:
//! first the header, then one per object, templates before what names them. The header's count tells a cut stream.

use crate::{Object, State};
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};
use std::sync::Arc;

const FORMAT: u8 = 1;
/// Bytes of one object at most; a larger length means that the stream is not a snapshot.
const OBJECT_BYTES_MAX: u32 = 64 << 20;

#[derive(Serialize, Deserialize)]
struct Header {
    applied: u64,
    objects: u64,
    changed: Vec<(crate::Table, u64)>,
}

/// A snapshot that cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The stream failed or ended early.
    #[error("snapshot stream failed")]
    Io(#[from] io::Error),
    /// An unknown format byte.
    #[error("unknown snapshot format {0}")]
    Format(u8),
    /// An object's length makes no sense.
    #[error("snapshot holds an object of {0} bytes")]
    Length(u32),
    /// An object could not be written.
    #[error("could not encode an object of the snapshot")]
    Encode(#[from] rmp_serde::encode::Error),
    /// An object could not be read.
    #[error("could not decode an object of the snapshot")]
    Decode(#[from] rmp_serde::decode::Error),
}

impl State {
    /// Writes the whole state.
    ///
    /// # Errors
    /// [`SnapshotError`]; what was written then is of no use.
    pub fn write_to(&self, out: &mut impl Write) -> Result<(), SnapshotError> {
        out.write_all(&[FORMAT])?;
        let payloads = self.secrets.len() + self.configs.len();
        let lists = self.specs.len() + self.nodes.len() + self.services.len() + self.tasks.len() + self.networks.len() + payloads;
        let objects = (lists + usize::from(self.cluster.is_some())) as u64;
        let changed = self.changed.iter().map(|(t, i)| (*t, *i)).collect();
        write_frame(out, &Header { applied: self.applied, objects, changed })?;
        if let Some(cluster) = &self.cluster {
            write_frame(out, &Object::Cluster(Arc::clone(cluster)))?;
        }
        for secret in self.secrets.values() {
            write_frame(out, &Object::Secret(Arc::clone(secret)))?;
        }
        for config in self.configs.values() {
            write_frame(out, &Object::Config(Arc::clone(config)))?;
        }
        for spec in self.specs.values() {
            write_frame(out, &Object::Spec(Arc::clone(spec)))?;
        }
        for network in self.networks.values() {
            write_frame(out, &Object::Network(Arc::clone(network)))?;
        }
        for node in self.nodes.values() {
            write_frame(out, &Object::Node(Arc::clone(node)))?;
        }
        for service in self.services.values() {
            write_frame(out, &Object::Service(Arc::clone(service)))?;
        }
        for task in self.tasks.values() {
            write_frame(out, &Object::Task(Arc::clone(task)))?;
        }
        Ok(())
    }

    /// Reads a whole state.
    ///
    /// # Errors
    /// [`SnapshotError`]; nothing is half read.
    pub fn read_from(input: &mut impl Read) -> Result<Self, SnapshotError> {
        let mut format = [0];
        input.read_exact(&mut format)?;
        if format[0] != FORMAT {
            return Err(SnapshotError::Format(format[0]));
        }
        let header: Header = read_frame(input)?;
        let mut state = Self { applied: header.applied, ..Self::default() };
        for _ in 0..header.objects {
            state.put(read_frame::<Object>(input)?);
        }
        state.changed = header.changed.into_iter().collect();
        Ok(state)
    }
}

fn write_frame<T: Serialize>(out: &mut impl Write, value: &T) -> Result<(), SnapshotError> {
    let bytes = rmp_serde::to_vec_named(value)?;
    let length = u32::try_from(bytes.len()).ok().filter(|l| *l <= OBJECT_BYTES_MAX).ok_or(SnapshotError::Length(u32::MAX))?;
    out.write_all(&length.to_be_bytes())?;
    out.write_all(&bytes)?;
    Ok(())
}

fn read_frame<T: serde::de::DeserializeOwned>(input: &mut impl Read) -> Result<T, SnapshotError> {
    let mut length = [0; 4];
    input.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length);
    if length > OBJECT_BYTES_MAX {
        return Err(SnapshotError::Length(length));
    }
    let mut bytes = vec![0; length as usize];
    input.read_exact(&mut bytes)?;
    Ok(rmp_serde::from_slice(&bytes)?)
}

/// Whether two states hold the same, for tests and self-checks.
impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        self.applied == other.applied
            && self.cluster == other.cluster
            && self.nodes == other.nodes
            && self.managers == other.managers
            && self.services == other.services
            && self.tasks == other.tasks
            && self.specs == other.specs
            && self.secrets == other.secrets
            && self.configs == other.configs
            && self.services_by_name == other.services_by_name
            && self.networks == other.networks
            && self.networks_by_name == other.networks_by_name
            && self.ports == other.ports
            && self.addresses == other.addresses
            && self.secrets_by_name == other.secrets_by_name
            && self.configs_by_name == other.configs_by_name
            && self.tasks_by_service == other.tasks_by_service
            && self.tasks_by_node == other.tasks_by_node
            && self.changed == other.changed
            && self.specs.keys().all(|id| uses(self, id) == uses(other, id))
    }
}

fn uses(state: &State, id: &swarm_types::SpecId) -> u64 {
    state.spec_uses.get(id).copied().unwrap_or(0)
}
