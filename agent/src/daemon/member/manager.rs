//! The manager process as the member has it.

use crate::{
    daemon::node::NodeContextOfHost,
    identity::{
        address::{self, Interface},
        record::{NodeRecord, Phase},
    },
    supervisor::{self, ManagerCommand, ManagerState, Start, Stop, Supervisor},
};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use swarm_pki::CertStore;
use tokio::{sync::watch, task::JoinHandle};

/// A manager process with its supervisor.
#[derive(Debug)]
pub(crate) struct RunningManager {
    pub(crate) state: watch::Receiver<ManagerState>,
    stop: watch::Sender<Option<Stop>>,
    supervisor: JoinHandle<()>,
}

impl RunningManager {
    pub(crate) fn start(command: ManagerCommand) -> Self {
        let (state, told) = watch::channel(ManagerState::Starting);
        let (stop, stopped) = watch::channel(None);
        let supervisor = tokio::spawn(Supervisor { command, state, stop: stopped }.run());
        Self { state: told, stop, supervisor }
    }

    pub(crate) async fn stop(self, how: Stop) {
        self.stop.send_replace(Some(how));
        if let Err(error) = self.supervisor.await {
            tracing::error!(%error, "the supervisor broke");
        }
    }
}

/// How to run this host's manager.
pub(crate) fn manager_command(host: &NodeContextOfHost, record: &NodeRecord, start: Start) -> ManagerCommand {
    let paths = &host.paths;
    ManagerCommand {
        bin: host.config.manager_bin.clone(),
        state_dir: paths.manager.clone(),
        certificates: CertStore::new(&paths.state_dir).dir().to_owned(),
        socket: paths.manager_socket.clone(),
        pid_file: paths.manager_pid.clone(),
        log_file: paths.manager_log.clone(),
        listen_addr: record.listen_addr.clone(),
        advertise_addr: record.advertise_addr.clone(),
        log_level: host.config.log_level,
        log_format: host.config.log_format,
        start,
    }
}

/// Stops what an earlier agent left running of a membership that is over.
pub(crate) async fn stop_left_over_manager(host: &NodeContextOfHost) {
    let record = NodeRecord {
        phase: Phase::Leaving,
        node_id: None,
        cluster_id: None,
        listen_addr: String::new(),
        advertise_addr: String::new(),
        data_path_addr: String::new(),
        managers: vec![],
        orders_generation: 0,
    };
    supervisor::stop_left_over(&manager_command(host, &record, Start::Join(vec![]))).await;
}

/// Where this host's own manager can be reached, the address others know first if it is of this host: the manager then
/// sees the node under that address.
pub(crate) fn own_addresses(record: &NodeRecord, interfaces: &[Interface]) -> Vec<String> {
    let mut addresses = Vec::new();
    if let Ok(advertise) = record.advertise_addr.parse::<SocketAddr>()
        && address::is_local(advertise.ip(), interfaces)
    {
        addresses.push(record.advertise_addr.clone());
    }
    if let Ok(mut listen) = record.listen_addr.parse::<SocketAddr>() {
        if listen.ip().is_unspecified() {
            listen.set_ip(match listen {
                SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        if !addresses.contains(&listen.to_string()) {
            addresses.push(listen.to_string());
        }
    }
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(listen: &str, advertise: &str) -> NodeRecord {
        NodeRecord {
            phase: Phase::Active,
            node_id: None,
            cluster_id: None,
            listen_addr: listen.into(),
            advertise_addr: advertise.into(),
            data_path_addr: String::new(),
            managers: vec![],
            orders_generation: 0,
        }
    }

    #[test]
    fn the_own_manager_is_reached_by_what_is_local() {
        let eth0 = Interface {
            name: "eth0".into(),
            is_up: true,
            is_loopback: false,
            kind: None,
            addresses: vec!["10.0.0.5".parse().expect("an address")],
        };
        let own = |listen, advertise| own_addresses(&record(listen, advertise), std::slice::from_ref(&eth0));
        assert_eq!(own("0.0.0.0:2377", "10.0.0.5:2377"), ["10.0.0.5:2377", "127.0.0.1:2377"]);
        assert_eq!(own("0.0.0.0:2377", "192.0.2.1:2377"), ["127.0.0.1:2377"]);
        assert_eq!(own("10.0.0.5:2377", "10.0.0.5:2377"), ["10.0.0.5:2377"]);
        assert_eq!(own("[::]:99", "192.0.2.1:2377"), ["[::1]:99"]);
    }
}
