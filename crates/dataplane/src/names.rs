//! The names and addresses an agent uses on its host, so that two agents never use the same.

use std::fmt;
use std::net::Ipv4Addr;

/// The VXLAN device of a network, in its namespace.
pub(crate) const VXLAN: &str = "vx0";
/// The end of the uplink in the ingress network's namespace.
pub(crate) const UPLINK: &str = "up0";
/// MAC of every task's router, the same on all nodes so that a neighbour entry never goes stale.
pub(crate) const ROUTER_MAC: [u8; 6] = [0x02, 0xfd, 0, 0, 0, 1];

/// What all names of one agent begin with: `sw` and six hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefix(u32);

impl Prefix {
    /// The prefix of the agent that is known by `identity`, such as its state folder.
    #[must_use]
    pub fn of(identity: &str) -> Self {
        Self(hash(identity) & 0x00ff_ffff)
    }

    /// Name of the namespace of a network.
    pub(crate) fn namespace(self, network: &str) -> String {
        format!("{self}-{}", network.get(..12).unwrap_or(network))
    }

    /// Name of the host's end of the uplink.
    pub(crate) fn uplink(self) -> String {
        format!("{self}up")
    }

    /// Whether a device is the uplink of some agent.
    pub(crate) fn is_uplink(device: &str) -> bool {
        let digits = device.strip_prefix("sw").and_then(|rest| rest.strip_suffix("up"));
        digits.is_some_and(|digits| digits.len() == 6 && digits.bytes().all(|b| b.is_ascii_hexdigit()))
    }

    /// Name of the end of a link that a container gets, until the engine renames it. 15 bytes at most.
    pub(crate) fn container_link(self, endpoint: &str) -> String {
        format!("{self}{:07x}", hash(endpoint) & 0x0fff_ffff)
    }

    /// The two ends of the uplink, host's first: a /30 of the upper quarter of 169.254.0.0/16. The
    /// addresses of nodes are in the lower half, and clouds use 169.254.169.254.
    pub(crate) fn uplink_addresses(self) -> (Ipv4Addr, Ipv4Addr) {
        let base = 0xa9fe_c000 | ((self.0 & 0xfff) << 2);
        (Ipv4Addr::from(base + 1), Ipv4Addr::from(base + 2))
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sw{:06x}", self.0)
    }
}

/// Name of a task's link in the namespace of its network.
pub(crate) fn task_link(address: Ipv4Addr) -> String {
    format!("t{:08x}", u32::from(address))
}

/// The address of the task whose link has this name, if a task's link it is.
pub(crate) fn task_of(link: &str) -> Option<Ipv4Addr> {
    let digits = link.strip_prefix('t').filter(|digits| digits.len() == 8)?;
    u32::from_str_radix(digits, 16).ok().map(Ipv4Addr::from)
}

/// MAC of a node's VXLAN devices.
pub(crate) fn node_mac(node: u16) -> [u8; 6] {
    let [high, low] = node.to_be_bytes();
    [0x02, 0xfe, 0, 0, high, low]
}

/// The next hop that stands for a node, in the lower half of 169.254.0.0/16.
pub(crate) fn node_hop(node: u16) -> Ipv4Addr {
    Ipv4Addr::from(0xa9fe_0000 | u32::from(node & 0x7fff))
}

/// MAC of a task whose engine does not choose one, as Docker derives it.
pub(crate) fn task_mac(address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    [0x02, 0x42, a, b, c, d]
}

/// FNV-1a: names need no secrecy, but must be the same after a restart and in every version.
fn hash(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_the_kernel_and_differ_between_agents() {
        let (one, two) = (Prefix::of("/a"), Prefix::of("/b"));
        assert_ne!(one.uplink(), two.uplink());
        assert_ne!(one.uplink_addresses(), two.uplink_addresses());
        assert_ne!(one.namespace("n"), two.namespace("n"));
        assert!(one.container_link("e").len() <= 15);
    }

    #[test]
    fn a_link_tells_its_task() {
        let address = Ipv4Addr::new(10, 0, 1, 5);
        assert_eq!(task_of(&task_link(address)), Some(address));
        assert_eq!(task_of(VXLAN), None);
    }
}
