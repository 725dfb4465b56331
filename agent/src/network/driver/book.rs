//! What the engine has told the driver: its networks and their endpoints.
//!
//! The engine says everything once, and goes on without saying it again after a restart of the agent. So it is kept in a file,
//! written anew by each change. Networks live as long as the engine's own records, over boots too; endpoints end with the
//! host, and are compared with the engine's containers.

use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write as _},
    net::Ipv4Addr,
    path::{Path, PathBuf},
};
use swarm_types::NetworkId;

/// An endpoint that the engine made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::network) struct Endpoint {
    /// The cluster network.
    pub(in crate::network) network: NetworkId,
    /// Its address there.
    pub(in crate::network) address: Ipv4Addr,
    /// Its hardware address.
    pub(in crate::network) mac: [u8; 6],
    /// Rises with each link that is made; `None` as long as it has none. Of endpoints with one address the highest has the link.
    #[serde(default)]
    pub(in crate::network) joined: Option<u64>,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Content {
    /// The cluster networks behind the engine's networks.
    networks: BTreeMap<String, NetworkId>,
    /// Endpoints by the engine's ids.
    endpoints: BTreeMap<String, Endpoint>,
    joins: u64,
}

/// The book, in memory and on disk.
#[derive(Debug)]
pub(in crate::network) struct Book {
    path: PathBuf,
    content: Content,
}

impl Book {
    /// Reads the book at `path`; one that cannot be read is begun anew, and filled again from what the engine has.
    pub(in crate::network) fn open(path: &Path) -> Self {
        let content = match fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Content::default()),
            Err(error) => Err(error),
        };
        let content = content.unwrap_or_else(|error| {
            tracing::warn!(%error, path = %path.display(), "the network driver's book cannot be read and is begun anew");
            Content::default()
        });
        Self { path: path.to_owned(), content }
    }

    /// The cluster network behind one of the engine's.
    pub(in crate::network) fn network(&self, id: &str) -> Option<NetworkId> {
        self.content.networks.get(id).copied()
    }

    /// Notes a network. It is on the disk when this returns: the engine keeps it over a boot, too.
    pub(in crate::network) fn add_network(&mut self, id: &str, network: NetworkId) -> io::Result<()> {
        if self.content.networks.insert(id.to_owned(), network) == Some(network) {
            return Ok(());
        }
        self.save(true)
    }

    /// Forgets a network.
    pub(in crate::network) fn remove_network(&mut self, id: &str) -> io::Result<()> {
        match self.content.networks.remove(id) {
            Some(_) => self.save(false),
            None => Ok(()),
        }
    }

    /// All endpoints, by the engine's ids.
    pub(in crate::network) fn endpoints(&self) -> &BTreeMap<String, Endpoint> {
        &self.content.endpoints
    }

    /// Notes an endpoint.
    pub(in crate::network) fn add_endpoint(&mut self, id: &str, endpoint: Endpoint) -> io::Result<()> {
        self.content.endpoints.insert(id.to_owned(), endpoint);
        self.save(false)
    }

    /// Notes that an endpoint is about to get the link of its address.
    pub(in crate::network) fn join(&mut self, id: &str) -> io::Result<()> {
        self.content.joins += 1;
        let joins = self.content.joins;
        if let Some(endpoint) = self.content.endpoints.get_mut(id) {
            endpoint.joined = Some(joins);
        }
        self.save(false)
    }

    /// Notes that an endpoint has no link any more.
    pub(in crate::network) fn leave(&mut self, id: &str) -> io::Result<()> {
        match self.content.endpoints.get_mut(id).and_then(|endpoint| endpoint.joined.take()) {
            Some(_) => self.save(false),
            None => Ok(()),
        }
    }

    /// Forgets an endpoint.
    pub(in crate::network) fn remove_endpoint(&mut self, id: &str) -> io::Result<()> {
        match self.content.endpoints.remove(id) {
            Some(_) => self.save(false),
            None => Ok(()),
        }
    }

    /// The endpoint whose link would go with that of `id`: itself, and only if no later one took the address over.
    pub(in crate::network) fn link_of(&self, id: &str) -> Option<&Endpoint> {
        let endpoint = self.content.endpoints.get(id)?;
        let joined = endpoint.joined?;
        let mut same = self.content.endpoints.values().filter(|o| (o.network, o.address) == (endpoint.network, endpoint.address));
        same.all(|other| other.joined.is_none_or(|at| at <= joined)).then_some(endpoint)
    }

    /// Writes by rename, so that a kill leaves the old or the new book. `durable` waits for the disk.
    fn save(&self, durable: bool) -> io::Result<()> {
        let aside = self.path.with_extension("new");
        let mut file = File::create(&aside)?;
        file.write_all(&serde_json::to_vec(&self.content)?)?;
        if durable {
            file.sync_data()?;
        }
        fs::rename(&aside, &self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(last: u8) -> Endpoint {
        Endpoint {
            network: NetworkId::from_random([1; 16]),
            address: Ipv4Addr::new(10, 0, 1, last),
            mac: [2, 0x42, 10, 0, 1, last],
            joined: None,
        }
    }

    #[test]
    fn a_book_is_read_as_it_was_written() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("driver.json");
        let mut book = Book::open(&path);
        book.add_network("n", endpoint(3).network).expect("writes");
        book.add_endpoint("e", endpoint(3)).expect("writes");
        book.join("e").expect("writes");
        let again = Book::open(&path);
        assert_eq!(again.content, book.content);
        assert_eq!(again.network("n"), Some(endpoint(3).network));
        fs::write(&path, "{").expect("writes");
        assert_eq!(Book::open(&path).content, Content::default());
    }

    #[test]
    fn a_late_leave_does_not_take_the_link_of_who_has_the_address_now() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut book = Book::open(&dir.path().join("driver.json"));
        for id in ["old", "new", "other"] {
            book.add_endpoint(id, endpoint(if id == "other" { 4 } else { 3 })).expect("writes");
        }
        book.join("old").expect("writes");
        assert!(book.link_of("old").is_some() && book.link_of("new").is_none());
        book.join("new").expect("writes");
        book.join("other").expect("writes");
        assert!(book.link_of("old").is_none() && book.link_of("new").is_some());
        book.leave("new").expect("writes");
        assert!(book.link_of("new").is_none());
    }
}
