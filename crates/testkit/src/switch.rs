//! The network between the hosts: one bridge in a network namespace of its own.
//!
//! Of its own, because a dockerd in the machine's namespace would make bridged frames pass its firewall.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use nix::sched::{CloneFlags, setns};

use crate::output::{run, run_with_input};

/// The switch of one bed and the address plan of its hosts.
#[derive(Debug)]
pub(crate) struct Switch {
    /// The bed's name, which all its namespaces begin with.
    bed: String,
    /// The bed's number: third byte of all addresses.
    number: u8,
}

/// Last byte of the address that the switch itself has: an outsider for the hosts.
const OUTSIDE: u8 = 254;

impl Switch {
    pub(crate) fn new(bed: &str, number: u8) -> Self {
        Self { bed: bed.to_owned(), number }
    }

    /// Address of host `number`, or of the switch.
    pub(crate) fn address(&self, host: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, self.number, host)
    }

    pub(crate) fn outside_address(&self) -> Ipv4Addr {
        self.address(OUTSIDE)
    }

    pub(crate) fn host_netns(&self, host: u8) -> String {
        format!("{}-h{host}", self.bed)
    }

    pub(crate) fn netns(&self) -> String {
        format!("{}-sw", self.bed)
    }

    /// Makes the namespace and the bridge in it.
    pub(crate) fn create(&self) -> Result<()> {
        let netns = self.netns();
        ip(&["netns", "add", &netns])?;
        ip(&["-n", &netns, "link", "set", "lo", "up"])?;
        ip(&["-n", &netns, "link", "add", "br0", "type", "bridge"])?;
        let address = format!("{}/24", self.outside_address());
        ip(&["-n", &netns, "addr", "add", &address, "dev", "br0"])?;
        ip(&["-n", &netns, "link", "set", "br0", "up"])?;
        self.nft(
            "table bridge bed {
                set blocked { type ifname . ifname; }
                chain forward {
                    type filter hook forward priority 0;
                    iifname . oifname @blocked drop
                }
            }",
        )
    }

    /// Makes a host's namespace and links it to the switch. The host can reach its bed and nothing else:
    /// its default route answers at once that there is no way.
    pub(crate) fn plug(&self, host: u8) -> Result<()> {
        let (netns, switch, port) = (self.host_netns(host), self.netns(), port(host));
        ip(&["netns", "add", &netns])?;
        ip(&["-n", &netns, "link", "set", "lo", "up"])?;
        ip(&["-n", &switch, "link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns", &netns])?;
        ip(&["-n", &switch, "link", "set", &port, "master", "br0", "up"])?;
        // The same card after a reboot: the neighbours' tables stay right.
        let mac = format!("02:77:00:00:{:02x}:{host:02x}", self.number);
        ip(&["-n", &netns, "link", "set", "eth0", "address", &mac])?;
        let address = format!("{}/24", self.address(host));
        ip(&["-n", &netns, "addr", "add", &address, "dev", "eth0"])?;
        ip(&["-n", &netns, "link", "set", "eth0", "up"])?;
        ip(&["-n", &netns, "route", "add", "unreachable", "default"])
    }

    /// Removes a host's namespace and its link.
    pub(crate) fn unplug(&self, host: u8) -> Result<()> {
        // Its other end goes with it. Without this the link lives on while something holds the namespace.
        ip(&["-n", &self.netns(), "link", "del", &port(host)])?;
        ip(&["netns", "del", &self.host_netns(host)])
    }

    /// Takes a host's link down or up. A frame already on its way may still arrive.
    pub(crate) fn set_link(&self, host: u8, up: bool) -> Result<()> {
        let state = if up { "up" } else { "down" };
        ip(&["-n", &self.netns(), "link", "set", &port(host), state])
    }

    /// Drops everything that `from` sends to `to`, or stops doing so. The other direction is not touched.
    pub(crate) fn set_blocked(&self, from: u8, to: u8, blocked: bool) -> Result<()> {
        let verb = if blocked { "add" } else { "delete" };
        let pair = format!("\"{}\" . \"{}\"", port(from), port(to));
        self.nft(&format!("{verb} element bridge bed blocked {{ {pair} }}"))
    }

    fn nft(&self, script: &str) -> Result<()> {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.netns(), "nft", "-f", "-"]);
        run_with_input(command, script.as_bytes())?.ok()?;
        Ok(())
    }
}

/// Where a network namespace of that name can be opened.
pub(crate) fn netns_path(name: &str) -> PathBuf {
    Path::new("/run/netns").join(name)
}

/// Connects from within a network namespace. The stream stays in it.
pub(crate) fn connect_from(netns: &Path, address: SocketAddr, deadline: Duration) -> Result<TcpStream> {
    let file = std::fs::File::open(netns).with_context(|| format!("could not open {}", netns.display()))?;
    // A thread of its own, because entering a namespace changes the thread for good.
    let connected = thread::scope(|scope| {
        scope
            .spawn(|| {
                setns(&file, CloneFlags::CLONE_NEWNET)?;
                TcpStream::connect_timeout(&address, deadline)
            })
            .join()
    });
    connected.map_err(|_| anyhow!("the connecting thread panicked"))?.with_context(|| format!("could not connect to {address}"))
}

/// Name of a host's port on the switch.
fn port(host: u8) -> String {
    format!("h{host}")
}

fn ip(args: &[&str]) -> Result<()> {
    let mut command = Command::new("ip");
    command.args(args);
    run(command)?.ok()?;
    Ok(())
}
