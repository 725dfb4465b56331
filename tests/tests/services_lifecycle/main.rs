//! Services from their creation to their removal: what the commands print, where tasks go and how updates replace them.

mod changing;
mod creating;
mod offline;
mod placing;
mod showing;

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use swarm_testkit::Cluster;
use swarm_tests::services::{check_every, spread};

#[test]
fn services_are_made_shown_changed_and_removed() -> Result<()> {
    let cluster = Cluster::formed(1, 2)?;
    check_every(
        &cluster,
        &[
            ("images of the host", creating::images_of_the_host),
            ("progress", creating::progress),
            ("quiet", creating::quiet),
            ("progress of what cannot run", creating::progress_of_what_cannot_run),
            ("global services", creating::global),
            ("table of services", showing::table_of_services),
            ("table of tasks", showing::table_of_tasks),
            ("formats", showing::formats),
            ("filters of services", showing::filters_of_services),
            ("filters of tasks", showing::filters_of_tasks),
            ("names, ids and prefixes", showing::names),
            ("inspect", showing::inspect),
            ("scale", changing::scale),
            ("scale that is refused", changing::refused_scale),
            ("update", changing::update_of_the_image),
            ("progress of an update", changing::progress_of_an_update),
            ("update of an update", changing::update_of_an_update),
            ("update that fails", changing::update_that_fails),
            ("force", changing::force),
            ("removal", changing::removal),
        ],
    )
}

#[test]
fn tasks_go_where_they_may() -> Result<()> {
    let cluster = Cluster::formed(1, 2)?;
    check_every(
        &cluster,
        &[
            ("tasks are spread", placing::tasks_are_spread),
            ("constraints", placing::constraints),
            ("labels that change", placing::labels_that_change),
            ("constraints that cannot be read", placing::refused_constraints),
            ("maximum for each node", placing::maximum_for_each_node),
            ("preferences", placing::preferences),
            ("reservations", placing::reservations),
            ("history", placing::history),
        ],
    )
}

/// Checks how many running tasks a service has on each host.
fn is_spread(cluster: &Cluster, name: &str, expected: &[(&str, usize)]) -> Result<()> {
    let pair = |(host, number): &(&str, usize)| ((*host).to_owned(), *number);
    let expected: BTreeMap<_, _> = expected.iter().map(pair).collect();
    let found = spread(cluster, name)?;
    ensure!(found == expected, "{name} is on {found:?}, not {expected:?}");
    Ok(())
}
