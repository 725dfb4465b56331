//! What can go wrong between this crate and the kernel.

use std::io;
use std::path::PathBuf;

/// A change of the kernel's state that failed. All may be tried again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A namespace could not be made, opened or entered.
    #[error("could not {action} the network namespace {path}")]
    Namespace {
        /// What was tried.
        action: &'static str,
        /// Where it is pinned.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// A netlink request was refused.
    #[error("could not {what}: {source}")]
    Netlink {
        /// What was asked for.
        what: String,
        /// The kernel's answer.
        source: rtnetlink::Error,
    },
    /// A setting of the kernel could not be written.
    #[error("could not write {path}")]
    Setting {
        /// The file under `/proc/sys`.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// A program could not be started, or its input not be written.
    #[error("could not run {program}")]
    Run {
        /// The program's name.
        program: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// A program refused its input.
    #[error("{program} failed: {message}")]
    Refused {
        /// The program's name.
        program: &'static str,
        /// What it wrote.
        message: String,
    },
    /// The table of connections could not be read or changed.
    #[error("could not {action} tracked connections")]
    Conntrack {
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// Another agent of this host carries the routing mesh.
    #[error("another agent of this host carries the routing mesh, by the device {0}")]
    MeshTaken(String),
    /// Names cannot be answered on a gateway address.
    #[error("could not listen on port 53 of {address}")]
    Listen {
        /// The address.
        address: std::net::IpAddr,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// A network that this node does not carry was named.
    #[error("network {0} is not on this node")]
    NoNetwork(String),
}

impl Error {
    /// Names the request that `source` refused.
    pub(crate) fn netlink(what: impl Into<String>) -> impl FnOnce(rtnetlink::Error) -> Self {
        let what = what.into();
        move |source| Self::Netlink { what, source }
    }
}

/// An error with its causes on one line.
pub(crate) fn chain(what: &str, error: &Error) -> String {
    let mut text = format!("{what}: {error}");
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
