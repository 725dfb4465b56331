//! Getting into a swarm, being one of several managers, and getting out again.

mod certificates;
mod init;
mod leaving;
mod managers;
mod one_host;
mod tokens;

use std::collections::BTreeSet;

use anyhow::{Result, anyhow, ensure};
use swarm_testkit::{AgentProc, Cluster};
use swarm_tests::{Check, check_all, state_files};

/// Hosts of which none is in a swarm yet.
struct Scene {
    cluster: Cluster,
    /// The files of an agent that never was in a swarm.
    fresh: BTreeSet<String>,
}

impl Scene {
    fn up(hosts: u8) -> Result<Self> {
        let cluster = Cluster::up(hosts)?;
        let fresh = state_files(cluster.agent(1))?;
        for agent in cluster.agents() {
            ensure!(state_files(agent)? == fresh, "fresh agents differ: {:?} {fresh:?}", state_files(agent)?);
        }
        Ok(Self { cluster, fresh })
    }

    fn check(&self, checks: &[Check<Self>]) -> Result<()> {
        check_all(self, checks).map_err(|error| anyhow!("{error:#}\n{}", self.cluster.logs()))
    }

    fn is_outside(&self, agent: &AgentProc) -> Result<()> {
        swarm_tests::is_outside(agent, &self.fresh)
    }

    /// `IP:2377` of a host.
    fn remote(&self, number: u8) -> String {
        format!("{}:2377", self.cluster.host(number).ip())
    }
}

/// Three hosts: one makes a swarm, another tries to get in with every kind of wrong token, the third has a foreign swarm.
#[test]
fn a_node_gets_in_and_out() -> Result<()> {
    Scene::up(3)?.check(&[
        ("nothing of a cluster works outside one", init::nothing_works_outside),
        ("a bad init leaves nothing", init::a_bad_init_leaves_nothing),
        ("init prints what Docker prints", init::init_prints_what_docker_prints),
        ("join-token", tokens::join_token_prints_what_docker_prints),
        ("a foreign swarm", tokens::a_foreign_swarm_is_made),
        ("refused joins", tokens::a_refused_join_leaves_nothing),
        ("rotation", tokens::a_rotated_token_is_refused_and_the_new_one_works),
        ("members are told so", tokens::a_member_cannot_get_in_twice),
        ("only one of two joins", tokens::of_two_joins_at_once_one_wins),
        ("certificates", certificates::openssl_reads_them),
        ("the cluster port", certificates::the_cluster_port_speaks_tls),
        ("a worker leaves", leaving::a_worker_leaves_and_comes_back),
        ("a worker is removed", leaving::a_worker_is_removed),
    ])
}

/// Four hosts: the second is a worker that joins while the first is the only manager.
#[test]
fn three_managers_agree_and_leave_one_by_one() -> Result<()> {
    Scene::up(4)?.check(&[
        ("the cluster forms", managers::the_cluster_forms),
        ("managers agree", managers::all_tell_the_same),
        ("every manager answers", managers::every_manager_answers_every_call),
        ("a worker does not", managers::a_worker_answers_none),
        ("agents learn new managers", managers::agents_learn_new_managers),
        ("a killed manager is back", managers::a_killed_manager_is_back),
        ("the first manager's host dies", managers::workers_get_tasks_without_the_first_manager),
        ("the first manager's host is back", managers::the_first_host_comes_back),
        ("a manager leaves with force only", leaving::a_manager_leaves_with_force_only),
        ("a join without a leader", managers::a_join_waits_for_a_leader),
        ("a second manager leaves", leaving::the_last_but_one_manager_leaves),
        ("the last manager leaves", leaving::the_last_manager_leaves),
    ])
}

/// A small cluster on a laptop: three agents in one network namespace, on one dockerd.
#[test]
fn three_agents_on_one_host_are_a_cluster() -> Result<()> {
    one_host::three_agents_are_a_cluster()
}
