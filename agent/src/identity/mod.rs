//! Who this host is: its addresses, its certificate, and what it remembers of its swarm.
//!
//! What always holds: nothing is sent to a manager before the digest of the join token was compared with the root it
//! presents; a host is a member exactly if the record says so and a whole certificate lies beside it, so that a crash at
//! any moment leaves a member or a host without a swarm.

pub mod address;
pub mod bootstrap;
pub mod ca_calls;
pub mod interfaces;
pub mod record;
pub mod renewal;
pub mod request;

use swarm_types::Role;

/// The role of a certificate in the API's terms.
#[must_use]
pub fn role_of(role: swarm_pki::Role) -> Role {
    match role {
        swarm_pki::Role::Worker => Role::Worker,
        swarm_pki::Role::Manager => Role::Manager,
    }
}
