//! The servers that the host uses, as its `resolv.conf` says now.

use std::fs::{self, Metadata};
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// Resolvers of all kinds look at no more.
pub(crate) const SERVERS_MAX: usize = 3;
/// Where servers of names listen.
const PORT: u16 = 53;

/// Tells one writing of the file from the next.
type Stamp = (u64, u64, i64, i64);

/// A `resolv.conf` that is read again when it has changed: one look at the file's times per question is
/// cheaper, and surer, than to watch a name that may be a symbolic link to a file that comes and goes.
#[derive(Debug)]
pub(crate) struct ResolvConf {
    path: PathBuf,
    read: Mutex<Option<(Stamp, Arc<[SocketAddr]>)>>,
}

impl ResolvConf {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, read: Mutex::new(None) }
    }

    /// The servers, in the order of the file; none when there is no such file.
    pub(crate) fn servers(&self) -> io::Result<Arc<[SocketAddr]>> {
        let stamp = match fs::metadata(&self.path) {
            Ok(metadata) => stamp(&metadata),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Arc::default()),
            Err(error) => return Err(error),
        };
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, servers)) = &*read
            && *at == stamp
        {
            return Ok(servers.clone());
        }
        let servers: Arc<[SocketAddr]> = parse(&fs::read_to_string(&self.path)?).into();
        *read = Some((stamp, servers.clone()));
        Ok(servers)
    }
}

fn stamp(metadata: &Metadata) -> Stamp {
    (metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec())
}

fn parse(text: &str) -> Vec<SocketAddr> {
    let mut words = text.lines().map(str::split_whitespace);
    let servers = words.by_ref().filter_map(|mut line| (line.next() == Some("nameserver")).then(|| line.next())?);
    servers.filter_map(address).take(SERVERS_MAX).collect()
}

/// An address, with the interface behind a `%` where it needs one.
fn address(text: &str) -> Option<SocketAddr> {
    let Some((address, interface)) = text.split_once('%') else {
        return Some(SocketAddr::new(text.parse::<IpAddr>().ok()?, PORT));
    };
    let scope = interface.parse().ok().or_else(|| nix::net::if_::if_nametoindex(interface).ok())?;
    Some(SocketAddrV6::new(address.parse::<Ipv6Addr>().ok()?, PORT, 0, scope).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read_and_the_rest_is_not() {
        let text = "# nameserver 192.0.2.9\nsearch example.com\nnameserver 192.0.2.1\n  nameserver\t2001:db8::1 ; second\n\
                    nameserver nonsense\nnameserver fe80::1%7\nnameserver 192.0.2.4\noptions ndots:2\n";
        let servers: Vec<_> = parse(text).iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["192.0.2.1:53", "[2001:db8::1]:53", "[fe80::1%7]:53"]);
    }

    #[test]
    fn a_changed_file_is_read_again_and_a_missing_one_has_no_servers() {
        let path = std::env::temp_dir().join(format!("resolv-{}.conf", std::process::id()));
        let conf = ResolvConf::new(path.clone());
        assert!(conf.servers().expect("no file is no error").is_empty());
        for (text, expected) in [("nameserver 192.0.2.1\n", "192.0.2.1:53"), ("nameserver 192.0.2.22\n", "192.0.2.22:53")] {
            // By rename, as most that write this file do.
            let new = path.with_extension("new");
            fs::write(&new, text).expect("a file");
            fs::rename(&new, &path).expect("a file in its place");
            let servers = conf.servers().expect("servers");
            assert_eq!(servers.iter().map(ToString::to_string).collect::<Vec<_>>(), [expected]);
        }
        fs::remove_file(&path).expect("a file that can go");
    }
}
