//! The kernel side of cluster networks on one node.
//!
//! It turns a [`Desired`] description into namespaces, VXLAN devices, routes and nftables rules, and
//! decides nothing itself: which addresses, nodes and backends there are comes from outside. Every
//! network has one namespace of its own on each node that carries it, which routes between the
//! tasks' links and a VXLAN device; nothing lives in the namespaces of the containers.
//!
//! **Invariant:** ensuring what is already there changes nothing. **Invariant:** only devices, tables
//! and namespaces whose name carries the agent's own prefix are touched.

mod compare;
mod conntrack;
mod dataplane;
mod desired;
pub mod dns;
mod error;
mod kernel;
mod mesh;
mod names;
mod netns;
mod nft;
mod plug;
mod routes;
mod rules;

pub use compare::{Compared, Comparison};
pub use dataplane::{Dataplane, Report};
pub use desired::{Desired, Mesh, Network, Peer, Protocol, Published, Subnet};
pub use error::Error;
pub use names::Prefix;
pub use netns::Netns;
