//! The docker command-line clients that the machine has.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use crate::output;

/// A docker client program.
#[derive(Debug, Clone)]
pub struct DockerClient {
    /// The program file.
    pub path: PathBuf,
    /// Its version, such as `(20, 10)`.
    pub version: (u32, u32),
}

/// The machine's docker client of a major version, such as 20 or 28; `None` when it has none.
///
/// Debian 12 brings version 20; what else there is depends on the machine, so a test that wants another
/// one leaves it out where it is missing.
#[must_use]
pub fn docker_client(major: u32) -> Option<&'static DockerClient> {
    clients().iter().find(|client| client.version.0 == major)
}

/// The client that helpers use unless told otherwise: the oldest, as the least forgiving one.
pub(crate) fn oldest_docker_client() -> Option<&'static DockerClient> {
    clients().iter().min_by_key(|client| client.version)
}

fn clients() -> &'static [DockerClient] {
    static CLIENTS: OnceLock<Vec<DockerClient>> = OnceLock::new();
    CLIENTS.get_or_init(|| {
        ["/usr/bin", "/usr/local/bin", "/usr/sbin"]
            .iter()
            .map(|folder| PathBuf::from(folder).join("docker"))
            .filter(|path| path.exists())
            .filter_map(|path| {
                let mut command = Command::new(&path);
                command.arg("--version");
                let text = output::run(command).ok()?.ok().ok()?;
                let version = parse_version(&text)?;
                Some(DockerClient { path, version })
            })
            .collect()
    })
}

/// Reads `Docker version 20.10.24+dfsg1, build 297e128`.
fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.strip_prefix("Docker version ")?.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    #[test]
    fn versions_are_read() {
        for (text, version) in [
            ("Docker version 20.10.24+dfsg1, build 297e128", Some((20, 10))),
            ("Docker version 28.2.2, build e6534b4", Some((28, 2))),
            ("podman version 4.3.1", None),
        ] {
            assert_eq!(super::parse_version(text), version);
        }
    }
}
