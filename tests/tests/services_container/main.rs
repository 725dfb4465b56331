//! Every flag of `service create` and `service update` about the container itself, followed to the host's dockerd.

mod create;
mod later;
mod mounts;
mod ports;
mod templates;
mod update;

use anyhow::Result;
use swarm_testkit::Cluster;
use swarm_tests::services::check_every;

/// The host on which checks of a single container place it, `h2` by its name.
const HOST: u8 = 2;
/// A second in the unit of the API's durations.
const SECOND: u64 = 1_000_000_000;
const MIB: u64 = 1024 * 1024;

#[test]
fn flags_about_the_container_reach_it() -> Result<()> {
    let cluster = Cluster::formed(1, 2)?;
    check_every(
        &cluster,
        &[
            ("flags of create", create::flags),
            ("more flags of create", create::more_flags),
            ("the stop signal", create::stop_signal),
            ("mounts", mounts::mounts),
            ("missing sources of mounts", mounts::missing_sources),
            ("update adds and removes", update::adds_and_removes),
            ("swap", update::swap),
            ("labels of the service", update::labels_of_the_service),
            ("templates", templates::replicated),
            ("templates of global services", templates::global),
            ("templates that cannot be used", templates::refused),
            ("ports of the host", ports::published),
            ("ports of the host in updates", ports::updated),
            ("later flags are refused by name", later::refused),
        ],
    )
}
